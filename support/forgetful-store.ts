// A store that keeps nothing and commits at once, for code that never reads back: registries, and transient messages
// consumed at once.

import type { QueueStore } from '../src/core/queue/queue-store.ts';

export function forgetfulStore(): QueueStore {
  let queues = 0;
  return {
    recover: () => null,
    nextQueueId: (count = 1) => {
      queues += count;
      return queues - count + 1;
    },
    append() {},
    remove() {},
    load: (_queueId, _from, to) => ({ entries: [], nextSeq: to }),
    purge() {},
    deleteQueue() {},
    markDelivering() {},
    settleDelivered() {},
    group: (run) => run(),
    whenCommitted: (done) => done(null),
    seal() {},
    uncommittedBytes: 0,
  };
}
