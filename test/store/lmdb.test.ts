// The store's contract over LMDB, and what only LMDB has: the lock on the data directory.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { LmdbKv } from '../../src/store/kv/lmdb.ts';
import { storeContract } from './contract.ts';
import { retainedContract } from './retained/retained-contract.ts';

async function directory(): Promise<string> {
  return await mkdtemp(join(tmpdir(), 'trivium-store-'));
}

for (const contract of [storeContract, retainedContract]) {
  contract('LMDB', async () => {
    const path = await directory();
    return {
      open: async () => LmdbKv.open(path),
      remove: async () => await rm(path, { recursive: true }),
    };
  });
}

test('a second broker is kept out of a data directory until the first is gone', async () => {
  const path = await directory();
  const first = LmdbKv.open(path);
  assert.throws(() => LmdbKv.open(path), /in use by another broker/);
  await first.close();
  await LmdbKv.open(path).close();
  await rm(path, { recursive: true });
});
