// Field tables: equality as redeclarations need it, and a lossless JSON form.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type FieldTable,
  type FieldValue,
  fieldFinder,
  findField,
  integerOf,
  sameTable,
  sameValue,
  textField,
  textOf,
} from '../../../src/core/message/field-table.ts';
import { tableFromJson, tableToJson } from '../../../src/core/message/field-table-json.ts';

const bytes = fc.uint8Array({ maxLength: 8 }).map((array) => Buffer.from(array));
const integer = (min: number, max: number) => fc.integer({ min, max });

const plain = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(fields, { noNullPrototype: true });

const { table, value } = fc.letrec<{ table: FieldTable; value: FieldValue }>((tie) => {
  const of = <T>(type: FieldValue['type'], values: fc.Arbitrary<T>) =>
    values.map((value) => ({ type, value }) as unknown as FieldValue);
  return {
    value: fc.oneof(
      { maxDepth: 3 },
      of('t', fc.boolean()),
      of('b', integer(-128, 127)),
      of('B', integer(0, 255)),
      of('s', integer(-32_768, 32_767)),
      of('u', integer(0, 65_535)),
      of('I', integer(-(2 ** 31), 2 ** 31 - 1)),
      of('i', integer(0, 2 ** 32 - 1)),
      of('l', fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
      of('T', fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
      of('f', fc.float()),
      of('d', fc.double()),
      of('D', plain({ scale: integer(0, 255), unscaled: integer(-(2 ** 31), 2 ** 31 - 1) })),
      of('S', fc.oneof(fc.string({ unit: 'binary' }), bytes)),
      of('x', bytes),
      of('V', fc.constant(null)),
      of('A', fc.array(tie('value'), { maxLength: 4 })),
      of('F', tie('table')),
    ),
    table: fc.array(plain({ name: fc.oneof(fc.constantFrom('a', 'b'), fc.string()), value: tie('value') }), {
      maxLength: 4,
    }) as fc.Arbitrary<FieldTable>,
  };
});

describe('a field table as JSON', () => {
  it('round-trips', () => {
    fc.assert(
      fc.property(table, (table) => {
        assert.deepEqual(tableFromJson(JSON.parse(JSON.stringify(tableToJson(table)))), table);
      }),
      { numRuns: 1000 },
    );
  });

  it('is refused if it is not in our form', () => {
    for (const json of [null, {}, 'a', [1], [['a', '?', 1]], [[1, 'I', 1]]]) {
      assert.throws(() => tableFromJson(json), TypeError);
    }
  });
});

describe('equality', () => {
  it('is reflexive', () => {
    fc.assert(
      fc.property(table, (table) => {
        assert.ok(sameTable(table, table));
        assert.ok(sameTable(table, tableFromJson(JSON.parse(JSON.stringify(tableToJson(table))))));
      }),
      { numRuns: 1000 },
    );
  });

  it('is symmetric', () => {
    fc.assert(
      fc.property(table, table, (a, b) => assert.equal(sameTable(a, b), sameTable(b, a))),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(value, value, (a, b) => assert.equal(sameValue(a, b), sameValue(b, a))),
      { numRuns: 1000 },
    );
  });

  it('of tables does not depend on the order', () => {
    const many = Array.from({ length: 30 }, (_, i) => textField(`f${i}`, `${i}`));
    for (const table of [many, many.slice(0, 3)]) {
      assert.ok(sameTable(table, [...table].reverse()));
      assert.ok(!sameTable(table, table.slice(1)));
      assert.ok(!sameTable(table, [...table.slice(1), textField('other', '0')]));
      assert.ok(!sameTable(table, [...table.slice(1), textField('f0', 'other')]));
    }
  });

  it('of integers is of their value, of text and bytes of their content', () => {
    const same = (a: FieldValue, b: FieldValue): boolean => sameValue(a, b);
    assert.ok(same({ type: 'b', value: 5 }, { type: 'l', value: 5n }));
    assert.ok(!same({ type: 'I', value: 5 }, { type: 'd', value: 5 }));
    assert.ok(!same({ type: 'l', value: 2n ** 60n }, { type: 'l', value: 2n ** 60n + 1n }));
    assert.ok(same({ type: 'S', value: 'ü' }, { type: 'x', value: Buffer.from('ü') }));
    assert.ok(same({ type: 'f', value: 0.5 }, { type: 'd', value: 0.5 }));
    assert.ok(!same({ type: 't', value: true }, { type: 'B', value: 1 }));
    assert.ok(!same({ type: 'T', value: 1n }, { type: 'l', value: 1n }));
  });
});

describe('fields', () => {
  it('are found by name, the first of several', () => {
    for (const length of [2, 50]) {
      const table = Array.from({ length }, (_, i) => textField(`f${i >> 1}`, `${i}`));
      for (const find of [(name: string) => findField(table, name), fieldFinder(table)]) {
        assert.deepEqual(find('f0'), { type: 'S', value: '0' });
        assert.equal(find('g'), null);
      }
    }
  });

  it('are returned as numbers or text if they have that type', () => {
    assert.equal(integerOf({ type: 'l', value: 7n }), 7);
    assert.equal(integerOf({ type: 'd', value: 7 }), null);
    assert.equal(integerOf(null), null);
    assert.equal(textOf({ type: 'S', value: 'a' }), 'a');
    assert.equal(textOf({ type: 'S', value: Buffer.from([0xff]) }), null);
    assert.equal(textOf({ type: 'I', value: 1 }), null);
  });
});
