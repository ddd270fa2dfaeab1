// A process that holds a data directory, for tests that kill or trace it:
//
//   hold     opens the data, prints `open` and waits to be killed
//   confirm  appends a message, and prints `confirmed` when the store reports it committed

import { writeSync } from 'node:fs';
import { LmdbKv } from '../../src/store/kv/lmdb.ts';
import { FakeQueue, message, Opened } from '../store/harness.ts';

const [mode, directory] = process.argv.slice(2);
const open = new Opened(LmdbKv.open(directory!));
if (mode === 'hold') {
  writeSync(1, 'open\n');
  setInterval(() => {}, 1 << 30);
} else {
  const queue = new FakeQueue(open.queues.nextQueueId());
  for (let i = 0; i < 3; i++) {
    open.queues.append(queue.entry(message(`message ${i}`)));
    open.queues.whenCommitted(() => writeSync(1, `confirmed ${i}\n`));
    open.store.seal();
    await new Promise<void>((resolve) => open.queues.whenCommitted(() => resolve()));
  }
  await open.store.close();
}
