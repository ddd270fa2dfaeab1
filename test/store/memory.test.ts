// The store's contract over memory.

import { MemoryKv } from '../../src/store/kv/memory.ts';
import { storeContract } from './contract.ts';
import { retainedContract } from './retained/retained-contract.ts';

for (const contract of [storeContract, retainedContract]) {
  contract('memory', async () => {
    const kv = new MemoryKv();
    return { open: async () => kv, remove: async () => {} };
  });
}
