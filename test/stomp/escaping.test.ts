// Header escaping, a table for each version.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { escapeHeader, unescapeHeader } from '../../protocols/stomp/escaping.ts';
import { StompError } from '../../protocols/stomp/stomp-error.ts';
import { negotiateVersion, STOMP_VERSION, type StompVersion } from '../../protocols/stomp/version.ts';

const { v1_0, v1_1, v1_2 } = STOMP_VERSION;

/** text, version, on the wire */
const WRITTEN: readonly (readonly [string, StompVersion, string])[] = [
  ['plain', v1_2, 'plain'],
  ['a:b', v1_2, 'a\\cb'],
  ['a\nb\rc\\d', v1_2, 'a\\nb\\rc\\\\d'],
  ['a:b\nc\\d', v1_1, 'a\\cb\\nc\\\\d'],
  ['a\rb', v1_1, 'a\rb'],
  ['a:b\\c', v1_0, 'a:b\\c'],
  ['a\nb\rc', v1_0, 'a b\rc'],
  ['a\0b', v1_2, 'a b'],
  ['ü€😀', v1_2, 'ü€😀'],
];

/** on the wire, version, text (null: fatal) */
const READ: readonly (readonly [string, StompVersion, string | null])[] = [
  ['a\\cb\\n\\r\\\\', v1_2, 'a:b\n\r\\'],
  ['\\\\n', v1_2, '\\n'],
  ['a\\cb\\n\\\\', v1_1, 'a:b\n\\'],
  ['\\r', v1_1, null],
  ['\\t', v1_1, null],
  ['\\t', v1_2, null],
  ['ends\\', v1_2, null],
  ['\\r\\t\\', v1_0, '\\r\\t\\'],
  ['a:b', v1_2, 'a:b'],
];

describe('header escaping', () => {
  for (const [text, version, wire] of WRITTEN) {
    it(`writes ${JSON.stringify(text)} for version ${version}`, () => {
      assert.equal(escapeHeader(text, version), wire);
    });
  }
  for (const [wire, version, text] of READ) {
    it(`reads ${JSON.stringify(wire)} from version ${version}`, () => {
      if (text === null) assert.throws(() => unescapeHeader(wire, version), StompError);
      else assert.equal(unescapeHeader(wire, version), text);
    });
  }
  it('brings any text back in 1.2', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        fc.pre(!text.includes('\0'));
        assert.equal(unescapeHeader(escapeHeader(text, v1_2), v1_2), text);
      }),
    );
  });
});

describe('version negotiation', () => {
  const table: readonly (readonly [string | null, StompVersion | null])[] = [
    [null, v1_0],
    ['1.2', v1_2],
    ['1.0,1.1,1.2', v1_2],
    ['1.2,1.0', v1_2],
    ['1.0, 1.1', v1_1],
    ['2.0,1.1', v1_1],
    ['2.0', null],
    ['', null],
  ];
  for (const [accept, version] of table) {
    it(`answers accept-version ${JSON.stringify(accept)}`, () => assert.equal(negotiateVersion(accept), version));
  }
});
