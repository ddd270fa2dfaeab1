// A store whose commits happen when the test says so: what must wait for a commit can be seen waiting. It keeps nothing.

import type { LoadedRange, QueueMeta, QueueStore } from '../../src/core/ports.ts';
import { type QueueEntry, STORE_STATE } from '../../src/core/queue-entry.ts';

export class ManualStore implements QueueStore {
  /** While true nothing commits; `release` commits what waits. */
  held: boolean;
  uncommittedBytes: number;
  private lastId: number;
  private entries: QueueEntry[];
  private callbacks: ((error: Error | null) => void)[];

  constructor() {
    this.held = false;
    this.uncommittedBytes = 0;
    this.lastId = 0;
    this.entries = [];
    this.callbacks = [];
  }

  recover(): QueueMeta | null {
    return null;
  }

  nextQueueId(): number {
    return ++this.lastId;
  }

  append(entry: QueueEntry): void {
    entry.storeState = STORE_STATE.pending;
    this.entries.push(entry);
  }

  remove(entry: QueueEntry): void {
    entry.storeState = STORE_STATE.deleted;
    settle(entry, true);
  }

  load(): LoadedRange {
    return { entries: [], nextSeq: Number.MAX_SAFE_INTEGER };
  }

  purge(): void {}
  deleteQueue(): void {}
  markDelivering(): void {}
  settleDelivered(): void {}

  group(run: () => void): void {
    run();
  }

  whenCommitted(done: (error: Error | null) => void): void {
    this.callbacks.push(done);
  }

  seal(): void {
    if (!this.held) this.finish(null);
  }

  /** Commits what waits and holds nothing any more. */
  release(): void {
    this.held = false;
    this.finish(null);
  }

  /** Fails what waits, as a full disk does. */
  fail(): void {
    this.finish(new Error('no space left on device'));
  }

  private finish(error: Error | null): void {
    const { entries, callbacks } = this;
    this.entries = [];
    this.callbacks = [];
    for (const entry of entries) {
      if (entry.storeState !== STORE_STATE.pending) continue;
      entry.storeState = error === null ? STORE_STATE.committed : STORE_STATE.deleted;
      settle(entry, error === null);
      if (error === null) entry.queue.committed(entry);
      else entry.queue.withdrawn(entry);
    }
    for (const callback of callbacks) callback(error);
  }
}

function settle(entry: QueueEntry, ok: boolean): void {
  const { ring, slot } = entry;
  entry.ring = null;
  if (ring === null) return;
  if (ok) ring.settle(slot);
  else ring.refuse(slot);
}
