// The store's contract over memory.

import { MemoryKv } from '../../src/store/kv-memory.ts';
import { storeContract } from './contract.ts';

storeContract('memory', async () => {
  const kv = new MemoryKv();
  return { open: async () => kv, remove: async () => {} };
});
