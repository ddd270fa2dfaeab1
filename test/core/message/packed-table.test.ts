// Tables that are kept for long: small ones as they are, large ones as text that takes a few times their wire bytes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { FieldTable, FieldValue } from '../../../src/core/message/field-table.ts';
import { packTable, unpackTable } from '../../../src/core/message/packed-table.ts';
import { anyTable } from '../../amqp/arbitraries.ts';

const byte = (value: number): FieldValue => ({ type: 'b', value });

test('a table comes back as it was', () => {
  fc.assert(fc.property(anyTable, (table) => assert.deepEqual(unpackTable(packTable(table)), table)));
});

test('a small table stays as it is', () => {
  const table: FieldTable = [{ name: 'x-match', value: { type: 'S', value: 'all' } }];
  assert.equal(packTable(table), table);
});

for (const [what, table] of [
  ['many fields', Array.from({ length: 10_000 }, () => ({ name: '', value: byte(1) }))],
  ['a long array', [{ name: 'a', value: { type: 'A', value: Array.from({ length: 10_000 }, () => byte(1)) } }]],
  [
    'nested tables',
    [{ name: 'a', value: { type: 'F', value: Array.from({ length: 10_000 }, () => ({ name: '', value: byte(1) })) } }],
  ],
] as const satisfies readonly (readonly [string, FieldTable])[]) {
  test(`${what} take few bytes`, () => {
    const packed = packTable(table);
    assert.ok(Buffer.isBuffer(packed));
    assert.ok(packed.length < 16 * 2 * 10_000, `${packed.length} bytes`);
    assert.deepEqual(unpackTable(packed), table);
  });
}
