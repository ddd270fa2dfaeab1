// A full recount of the counters that queues keep: ready entries and their bytes, unacknowledged entries, the count of
// each consumer, and the memory of all. It is too slow for every operation of a broker; models and simulations run it
// after each step. It reads private fields, so that the product needs no methods for tests.

import assert from 'node:assert/strict';
import type { Consumer } from '../../src/core/queue/consumer.ts';
import type { MemoryBudget } from '../../src/core/queue/memory-budget.ts';
import type { Queue } from '../../src/core/queue/queue.ts';
import { heldBytes, type QueueEntry, STORE_STATE } from '../../src/core/queue/queue-entry.ts';
import type { ReadyEntries } from '../../src/core/queue/ready-entries.ts';

interface OpenedQueue {
  readonly window: ReadyEntries;
  readonly outstanding: Iterable<QueueEntry> & { readonly count: number };
}

interface OpenedWindow {
  readonly head: Iterable<QueueEntry>;
  readonly tail: Iterable<QueueEntry>;
  readonly returned: Iterable<QueueEntry> | null;
  readonly headBytes: number;
  readonly pagedCount: number;
  readonly count: number;
  readonly bytes: number;
  readonly held: ReadonlySet<number> | null;
}

/** Asserts that every counter of these queues, which are all queues of the core, equals the recount. */
export function checkQueues(queues: Iterable<Queue>, memory: MemoryBudget): void {
  let held = 0;
  for (const queue of queues) held += recount(queue);
  assert.equal(memory.held, held, 'memory of messages');
}

/** Asserts the counters of a queue. Returns its memory. */
function recount(queue: Queue): number {
  const { window, outstanding } = queue as unknown as OpenedQueue;
  const { name } = queue;
  let held = 0;
  const unacked = new Map<Consumer, number>();
  let out = 0;
  const outBySeq = new Set<string>();
  for (const entry of outstanding) {
    out++;
    held += heldBytes(entry);
    outBySeq.add(`${entry.lane} ${entry.seq}`);
    assert.ok(entry.outstanding, `${name}: an entry that is out says so`);
    if (entry.consumer !== null) unacked.set(entry.consumer, (unacked.get(entry.consumer) ?? 0) + 1);
  }
  assert.equal(outstanding.count, out, `${name}: entries that are out`);
  for (const consumer of queue.consumers) {
    assert.equal(consumer.unacked, unacked.get(consumer) ?? 0, `${name}: entries that a consumer holds`);
  }
  for (const lane of window.lanes()) {
    const { head, tail, returned, headBytes, pagedCount, count, bytes, held: apart } = lane as unknown as OpenedWindow;
    let ready = 0;
    let readyBytes = 0;
    for (const entries of [head, tail, returned ?? []]) {
      for (const entry of entries) {
        if (entry.storeState === STORE_STATE.deleted) continue;
        ready++;
        readyBytes += entry.message.bodyLength;
        held += heldBytes(entry);
        assert.ok(!entry.outstanding, `${name}: an entry that is ready is not out`);
      }
    }
    let inHead = 0;
    for (const entry of head) inHead += heldBytes(entry);
    assert.equal(headBytes, inHead, `${name}: bytes of the window`);
    assert.ok(pagedCount >= 0, `${name}: entries on disk only`);
    assert.equal(count, ready + pagedCount, `${name}: ready entries`);
    if (pagedCount === 0) assert.equal(bytes, readyBytes, `${name}: bytes of ready entries`);
    else assert.ok(bytes >= readyBytes, `${name}: bytes of ready entries`);
    for (const seq of apart ?? []) assert.ok(outBySeq.has(`${lane.lane} ${seq}`), `${name}: what is held is out`);
  }
  return held;
}
