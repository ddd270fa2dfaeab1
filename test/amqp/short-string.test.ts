// Protects the caches of names: the string is the one that the bytes encode, even after collisions and evictions.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cutUtf8, ShortStringCache, ShortStringEncoder } from '../../protocols/amqp/short-string.ts';

test('any sequence of names comes back as it is encoded, however often', () => {
  const cache = new ShortStringCache();
  const encoder = new ShortStringEncoder();
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme', maxLength: 40 }), { maxLength: 50 }), (names) => {
      for (const name of [...names, ...names]) {
        const encoded = encoder.get(name);
        const expected = cutUtf8(name, 255);
        assert.equal(encoded[0], expected.length);
        assert.deepEqual(encoded.subarray(1), expected);
        assert.equal(cache.get(encoded, 1, encoded[0]!), expected.toString());
      }
    }),
  );
});

test('more names than there is room for stay right', () => {
  const cache = new ShortStringCache();
  const encoder = new ShortStringEncoder();
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 10_000; i++) {
      const encoded = encoder.get(`sensors.${i}.temperature`);
      assert.equal(cache.get(encoded, 1, encoded[0]!), `sensors.${i}.temperature`);
    }
  }
});

test('a string is cut at a character', () => {
  assert.equal(cutUtf8('aü', 2).toString(), 'a');
  assert.equal(cutUtf8('a🌍', 4).toString(), 'a');
  assert.equal(cutUtf8('a🌍', 5).toString(), 'a🌍');
  assert.equal(cutUtf8('ü', 1).length, 0);
});
