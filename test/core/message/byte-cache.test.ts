// Protects the cache of values by bytes: a hit requires exactly equal bytes, whatever was evicted.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteCache } from '../../../src/core/message/byte-cache.ts';

/** Looks up a key inside other bytes, and stores `value` on a miss. */
function look(cache: ByteCache<string>, key: string, value: string): string | null {
  const bytes = Buffer.from(`<<${key}>>`);
  const length = bytes.length - 4;
  const found = cache.get(bytes, 2, length);
  if (found === null) cache.keep(bytes, 2, length, value);
  return found;
}

test('finds stored keys, and no similar ones', () => {
  const cache = new ByteCache<string>(64, 16);
  assert.equal(look(cache, 'a/b', 'a.b'), null);
  assert.equal(look(cache, 'a/b', 'other'), 'a.b');
  assert.equal(look(cache, 'a/', ''), null);
  assert.equal(look(cache, 'a/bc', ''), null);
});

test('stores no key above its bound, nor the empty key', () => {
  const cache = new ByteCache<string>(64, 16);
  assert.equal(look(cache, '', 'not kept'), null);
  assert.equal(look(cache, '', 'not kept'), null);
  const longest = 'x'.repeat(16);
  assert.equal(look(cache, longest, 'kept'), null);
  assert.equal(look(cache, longest, 'other'), 'kept');
  assert.equal(look(cache, `${longest}x`, 'not kept'), null);
  assert.equal(look(cache, `${longest}x`, 'not kept'), null);
});

test('evicts keys above its bound and confuses none', () => {
  const cache = new ByteCache<string>(64, 16);
  let found = 0;
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 200; i++) {
      const value = look(cache, `key ${i}`, `value ${i}`);
      if (value === null) continue;
      assert.equal(value, `value ${i}`);
      found++;
    }
  }
  for (let i = 0; i < 8; i++) look(cache, `last ${i}`, `value ${i}`);
  assert.equal(look(cache, 'last 7', 'other'), 'value 7', 'the last key is there');
  assert.ok(found < 400, 'a cache of 64 slots cannot hold 200 keys');
});
