// Protects the field-table codec: every type's exact bytes, exact round trips, and refusal of wrong lengths by both the
// decoder and the checker.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AmqpError } from '../../protocols/amqp/amqp-error.ts';
import { checkTable, decodeTable, encodeTable, MAX_TABLE_DEPTH } from '../../protocols/amqp/field-table-codec.ts';
import { Writer } from '../../protocols/amqp/writer.ts';
import type { FieldTable, FieldValue } from '../../src/core/message/field-table.ts';
import { anyTable } from './arbitraries.ts';

function encode(table: FieldTable): Buffer {
  const writer = new Writer();
  encodeTable(writer, table);
  return writer.finish();
}

const EXAMPLES: readonly [string, FieldValue, string][] = [
  ['boolean', { type: 't', value: true }, '74 01'],
  ['int8', { type: 'b', value: -2 }, '62 fe'],
  ['uint8', { type: 'B', value: 254 }, '42 fe'],
  ['int16', { type: 's', value: -2 }, '73 fffe'],
  ['uint16', { type: 'u', value: 65534 }, '75 fffe'],
  ['int32', { type: 'I', value: -2 }, '49 fffffffe'],
  ['uint32', { type: 'i', value: 4294967294 }, '69 fffffffe'],
  ['int64 l', { type: 'l', value: -2n }, '6c fffffffffffffffe'],
  ['int64 L', { type: 'L', value: 5n }, '4c 0000000000000005'],
  ['float', { type: 'f', value: 1.5 }, '66 3fc00000'],
  ['double', { type: 'd', value: -2.25 }, '64 c002000000000000'],
  ['decimal', { type: 'D', value: { scale: 2, unscaled: 314 } }, '44 02 0000013a'],
  ['decimal below zero', { type: 'D', value: { scale: 2, unscaled: -5 } }, '44 02 fffffffb'],
  ['text', { type: 'S', value: 'hé' }, '53 00000003 68c3a9'],
  ['bytes that are no text', { type: 'S', value: Buffer.from([0xff]) }, '53 00000001 ff'],
  ['byte array', { type: 'x', value: Buffer.from([0, 1]) }, '78 00000002 0001'],
  ['timestamp', { type: 'T', value: 1700000000n }, '54 000000006553f100'],
  ['void', { type: 'V', value: null }, '56'],
  [
    'array',
    {
      type: 'A',
      value: [
        { type: 'V', value: null },
        { type: 't', value: false },
      ],
    },
    '41 00000003 56 7400',
  ],
  ['table', { type: 'F', value: [{ name: 'k', value: { type: 'b', value: 1 } }] }, '46 00000004 016b 6201'],
];

for (const [name, value, hex] of EXAMPLES) {
  test(`a field of type ${name} has exactly the bytes of the grammar`, () => {
    const payload = Buffer.from(`0161${hex.replaceAll(' ', '')}`, 'hex');
    const length = Buffer.alloc(4);
    length.writeUInt32BE(payload.length);
    const bytes = Buffer.concat([length, payload]);
    const table: FieldTable = [{ name: 'a', value }];
    assert.deepEqual(encode(table), bytes);
    assert.deepEqual(decodeTable(bytes, 4, bytes.length), table);
    checkTable(bytes, 4, bytes.length);
  });
}

test('any table survives the round trip, order and repeated names included', () => {
  fc.assert(
    fc.property(anyTable, (table) => {
      const bytes = encode(table);
      checkTable(bytes, 4, bytes.length);
      const decoded = decodeTable(bytes, 4, bytes.length);
      assert.deepEqual(decoded, table);
      assert.deepEqual(encode(decoded), bytes);
    }),
  );
});

test('bytes that are no table are refused with 502, by decoder and checker alike, and never crash', () => {
  const outcome = (attempt: () => unknown): string => {
    try {
      attempt();
      return 'accepted';
    } catch (error) {
      assert.ok(error instanceof AmqpError && error.code === 502, String(error));
      return 'refused';
    }
  };
  const agree = (bytes: Buffer): void => {
    const decoded = outcome(() => decodeTable(bytes, 0, bytes.length));
    assert.equal(
      outcome(() => checkTable(bytes, 0, bytes.length)),
      decoded,
    );
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => agree(Buffer.from(bytes))));
  fc.assert(
    fc.property(anyTable, fc.nat(), fc.nat(255), (table, where, octet) => {
      const bytes = encode(table).subarray(4);
      if (bytes.length > 0) bytes[where % bytes.length] = octet;
      agree(bytes);
    }),
  );
});

test('a truncated table is refused at every cut', () => {
  const bytes = encode(EXAMPLES.map(([name, value]) => ({ name, value })));
  const whole = new Set<number>();
  for (let fields = 0; fields <= EXAMPLES.length; fields++) {
    whole.add(encode(EXAMPLES.slice(0, fields).map(([name, value]) => ({ name, value }))).length);
  }
  for (let end = 4; end < bytes.length; end++) {
    if (whole.has(end)) continue;
    assert.throws(() => decodeTable(bytes, 4, end), { code: 502 }, `cut at ${end}`);
    assert.throws(() => checkTable(bytes, 4, end), { code: 502 }, `cut at ${end}`);
  }
});

test('nesting is bounded', () => {
  const nested = (levels: number): FieldTable => {
    let table: FieldTable = [];
    for (let i = 0; i < levels; i++) table = [{ name: '', value: { type: 'F', value: table } }];
    return table;
  };
  const allowed = encode(nested(MAX_TABLE_DEPTH));
  assert.deepEqual(decodeTable(allowed, 4, allowed.length), nested(MAX_TABLE_DEPTH));
  const deep = encode(nested(MAX_TABLE_DEPTH + 1));
  assert.throws(() => decodeTable(deep, 4, deep.length), { code: 502 });
  assert.throws(() => checkTable(deep, 4, deep.length), { code: 502 });
});

test('a field name that is longer than a short string is cut at a character', () => {
  const bytes = encode([{ name: `${'a'.repeat(254)}é`, value: { type: 'V', value: null } }]);
  assert.equal(decodeTable(bytes, 4, bytes.length)[0]!.name, 'a'.repeat(254));
});
