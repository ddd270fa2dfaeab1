// The plain form of fields, as values and as text.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FieldTable, FieldValue } from '../../../src/core/message/field-table.ts';
import { fieldText, type PlainValue, plainTable } from '../../../src/core/message/plain-fields.ts';

const NESTED: FieldTable = [
  {
    name: 'a',
    value: {
      type: 'A',
      value: [
        { type: 'I', value: 1 },
        { type: 'V', value: null },
      ],
    },
  },
  { name: '__proto__', value: { type: 'S', value: 'x' } },
];

const CASES: readonly [what: string, value: FieldValue, plain: PlainValue, text: string][] = [
  ['true', { type: 't', value: true }, true, 'true'],
  ['an integer', { type: 'I', value: -5 }, -5, '-5'],
  ['a long that a double holds', { type: 'l', value: 2n ** 53n - 1n }, 9007199254740991, '9007199254740991'],
  ['a long that no double holds', { type: 'l', value: 2n ** 53n + 1n }, '9007199254740993', '9007199254740993'],
  ['a double', { type: 'd', value: 1.5 }, 1.5, '1.5'],
  ['what is no number', { type: 'd', value: Number.NaN }, 'NaN', 'NaN'],
  ['a decimal', { type: 'D', value: { scale: 2, unscaled: -5 } }, -0.05, '-0.05'],
  ['a decimal with ten digits', { type: 'D', value: { scale: 9, unscaled: 2147483647 } }, 2.147483647, '2.147483647'],
  ['text', { type: 'S', value: 'ü' }, 'ü', 'ü'],
  ['bytes that are UTF-8', { type: 'x', value: Buffer.from('ü') }, 'ü', 'ü'],
  ['bytes that are not', { type: 'S', value: Buffer.from([0xff]) }, '/w==', '/w=='],
  ['void', { type: 'V', value: null }, null, ''],
  ['an empty table', { type: 'F', value: [] }, {}, '{}'],
];

describe('the plain form', () => {
  for (const [what, value, plain, text] of CASES) {
    it(`of ${what}`, () => {
      const shown = plainTable([{ name: 'field', value }]).field;
      assert.equal(JSON.stringify(shown), JSON.stringify(plain));
      assert.equal(fieldText(value), text);
    });
  }

  it('of a table contains nested tables, arrays and any field name', () => {
    const json = '{"a":[1,null],"__proto__":"x"}';
    assert.equal(JSON.stringify(plainTable(NESTED)), json);
    assert.equal(fieldText({ type: 'F', value: NESTED }), json);
  });

  it('has the first field of a repeated name', () => {
    const twice = ['first', 'second'].map((value) => ({ name: 'n', value: { type: 'S', value } }) as const);
    assert.deepEqual({ ...plainTable(twice) }, { n: 'first' });
  });
});
