// Reading single values: agreement with TypeBox's checker on every leaf of the schema, and parsing of text.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { KEYS } from '../../src/config/keys.ts';
import { allowed, REFUSED, read, written } from '../../src/config/leaf.ts';

const typed = fc.oneof(
  fc.integer(),
  fc.integer({ min: -1, max: 100_000 }),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.constant({}),
  fc.array(fc.oneof(fc.string({ minLength: 1 }), fc.integer())),
);

for (const { path, leaf } of KEYS) {
  test(`${path}: typed values are read exactly where TypeBox's checker takes them`, () => {
    fc.assert(
      fc.property(typed, (value) => {
        assert.equal(read(leaf, value) !== REFUSED, Value.Check(leaf as TSchema, value));
      }),
      { seed: 1 },
    );
  });

  test(`${path}: the default is allowed, and survives being written and read`, () => {
    assert.ok(Value.Check(leaf as TSchema, leaf.default));
    assert.deepEqual(read(leaf, written(leaf, leaf.default)), leaf.default);
  });

  test(`${path}: has a description and words for what is allowed`, () => {
    assert.ok(leaf.description?.endsWith('.'), 'a description is a sentence');
    assert.notEqual(allowed(leaf), '');
  });
}

test('a port is a number or off, in every spelling', () => {
  const { leaf } = KEYS.find((key) => key.path === 'amqp.port')!;
  assert.equal(read(leaf, '0'), 0);
  assert.equal(read(leaf, '65535'), 65_535);
  for (const off of ['off', 'false', 'no', false]) assert.equal(read(leaf, off), false);
  for (const wrong of ['65536', '-1', '5672.0', '0x10', '', ' 1', 'on', true, null]) {
    assert.equal(read(leaf, wrong), REFUSED, String(wrong));
  }
});

test('bytes may be given as a size, other numbers may not', () => {
  const { leaf } = KEYS.find((key) => key.path === 'limits.memoryHighBytes')!;
  assert.equal(read(leaf, '64MiB'), 64 * 1024 * 1024);
  assert.equal(read(leaf, '1GiB'), 1024 ** 3);
  assert.equal(read(leaf, '64MB'), REFUSED);
  assert.equal(read(leaf, '1KiB'), REFUSED, 'below the minimum');
  const { leaf: channels } = KEYS.find((key) => key.path === 'amqp.channelMax')!;
  assert.equal(read(channels, '1KiB'), REFUSED);
});

test('a list is text separated by commas, or a list', () => {
  const { leaf } = KEYS.find((key) => key.path === 'auth.loopbackUsers')!;
  assert.deepEqual(read(leaf, 'guest, anna'), ['guest', 'anna']);
  assert.deepEqual(read(leaf, ['guest', 'anna']), ['guest', 'anna']);
  assert.deepEqual(read(leaf, ''), []);
  assert.equal(read(leaf, [1]), REFUSED);
  assert.equal(read(leaf, 'guest,,anna'), REFUSED);
});
