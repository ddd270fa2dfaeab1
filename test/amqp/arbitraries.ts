// Generators for property tests of the AMQP codecs: field values of every type, tables, property sets.

import fc from 'fast-check';
import type { FieldTable, FieldValue } from '../../src/core/message/field-table.ts';
import type { Properties } from '../../src/core/message/properties.ts';

/** Ordinary objects, as the codecs create them, because fast-check's null-prototype objects do not compare as equal. */
function plain<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true });
}

const anyText = fc.string({ unit: 'grapheme', maxLength: 12 });
const anyName = fc.string({ unit: 'grapheme', maxLength: 8 });
const anyBytes = fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes));
const anyUint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const anyInt64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });

export const anyTable: fc.Arbitrary<FieldTable> = fc.letrec<{ table: FieldTable; value: FieldValue }>((tie) => ({
  table: fc.array(plain({ name: anyName, value: tie('value') }), { maxLength: 5 }),
  value: fc.oneof(
    { depthSize: 'small' },
    plain({ type: fc.constant('t'), value: fc.boolean() }),
    plain({ type: fc.constant('b'), value: fc.integer({ min: -128, max: 127 }) }),
    plain({ type: fc.constant('B'), value: fc.integer({ min: 0, max: 255 }) }),
    plain({ type: fc.constant('s'), value: fc.integer({ min: -32768, max: 32767 }) }),
    plain({ type: fc.constant('u'), value: fc.integer({ min: 0, max: 65535 }) }),
    plain({ type: fc.constant('I'), value: fc.integer() }),
    plain({ type: fc.constant('i'), value: fc.integer({ min: 0, max: 4294967295 }) }),
    plain({ type: fc.constantFrom('l', 'L'), value: anyInt64 }),
    plain({ type: fc.constant('T'), value: anyUint64 }),
    plain({ type: fc.constant('f'), value: fc.float({ noNaN: true }) }),
    plain({ type: fc.constant('d'), value: fc.double({ noNaN: true }) }),
    plain({
      type: fc.constant('D'),
      value: plain({ scale: fc.nat(255), unscaled: fc.integer({ min: -2147483648, max: 2147483647 }) }),
    }),
    plain({ type: fc.constant('S'), value: anyText }),
    plain({ type: fc.constant('x'), value: anyBytes }),
    plain({ type: fc.constant('V'), value: fc.constant(null) }),
    plain({ type: fc.constant('A'), value: fc.array(tie('value'), { maxLength: 4 }) }),
    plain({ type: fc.constant('F'), value: tie('table') }),
  ) as fc.Arbitrary<FieldValue>,
})).table;

const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { nil: null });

export const anyProperties: fc.Arbitrary<Properties> = plain({
  contentType: maybe(anyText),
  contentEncoding: maybe(anyText),
  headers: anyTable,
  deliveryMode: maybe(fc.nat(255)),
  priority: maybe(fc.nat(255)),
  correlationId: maybe(anyText),
  replyTo: maybe(anyText),
  expiration: maybe(fc.nat(4294967295).map(String)),
  messageId: maybe(anyText),
  timestamp: maybe(anyUint64),
  type: maybe(anyText),
  userId: maybe(anyText),
  appId: maybe(anyText),
  clusterId: maybe(anyText),
});
