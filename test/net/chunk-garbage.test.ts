// Garbage of input chunks is collected every 8 MiB, whatever the chunk sizes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkGarbage } from '../../src/net/chunk-garbage.ts';

const MIB = 1024 * 1024;

test('collects young objects once for each 8 MiB of input', () => {
  let collections = 0;
  const garbage = new ChunkGarbage(() => collections++);
  for (let bytes = 0; bytes < 8 * MIB - 1024; bytes += 1024) garbage.count(1024);
  assert.equal(collections, 0);
  garbage.count(1024);
  assert.equal(collections, 1);
  for (let bytes = 0; bytes < 16 * MIB; bytes += 64 * 1024) garbage.count(64 * 1024);
  assert.equal(collections, 3);
});

test('leaves it to V8 if the program cannot trigger a collection', () => {
  const garbage = new ChunkGarbage(null);
  assert.doesNotThrow(() => garbage.count(64 * MIB));
});
