// The queues that the store knows. Each is read from disk when it is first used; changed ones are listed for the next
// batch. A dropped queue is unknown at once, also while its drop waits for a batch.

import { goneBounds, keyBehind, metaKey, readU64 } from '../keys.ts';
import type { Kv } from '../kv/kv.ts';
import { decodeMeta, QueueState } from './queue-state.ts';

/** Gone ranges that one read takes when a queue is recovered. */
const SLICE = 1024;

export class QueueStates {
  private readonly kv: Kv;
  private readonly found: (state: QueueState) => void;
  private readonly states: Map<number, QueueState>;
  /** Queues that the next batch visits. */
  private listed: QueueState[];
  /** Dropped since the last batch, and in the batch in flight. */
  private dropped: Set<number>;
  private committing: Set<number>;

  /** `found` is called with each queue of an earlier start when it is read. */
  constructor(kv: Kv, found: (state: QueueState) => void) {
    this.kv = kv;
    this.found = found;
    this.states = new Map();
    this.listed = [];
    this.dropped = new Set();
    this.committing = new Set();
  }

  /** Whether the next batch visits any queue. */
  get waiting(): boolean {
    return this.listed.length > 0 || this.dropped.size > 0;
  }

  /** A queue that was read already, or null: it may still be on disk. */
  known(queueId: number): QueueState | null {
    return this.states.get(queueId) ?? null;
  }

  /** A queue, read from disk if needed, or null. */
  find(queueId: number): QueueState | null {
    return this.states.get(queueId) ?? this.read(queueId);
  }

  /** As `find`; creates the queue if there is none. */
  of(queueId: number): QueueState {
    const found = this.find(queueId);
    if (found !== null) return found;
    const state = new QueueState(queueId, null);
    this.states.set(queueId, state);
    return state;
  }

  /** Lists the queue for the next batch. */
  list(state: QueueState): void {
    if (state.listed) return;
    state.listed = true;
    this.listed.push(state);
  }

  /** Lists the queue, whose meta record the next batch must write. */
  readonly change = (state: QueueState): void => {
    state.changed = true;
    if (!state.dropped) this.list(state);
  };

  /** Queues that are listed so far. */
  get listedNow(): readonly QueueState[] {
    return this.listed;
  }

  /** The listed queues, for the batch that visits them: each is unlisted at its visit. */
  takeListed(): readonly QueueState[] {
    const { listed } = this;
    this.listed = [];
    return listed;
  }

  drop(state: QueueState): void {
    state.dropped = true;
    this.states.delete(state.id);
    this.dropped.add(state.id);
  }

  /** The drops that go into a batch: all but those of `held` queues. */
  gatherDrops(held: ReadonlySet<number>): ReadonlySet<number> {
    this.committing = this.dropped;
    this.dropped = new Set();
    for (const queueId of held) {
      if (this.committing.delete(queueId)) this.dropped.add(queueId);
    }
    return this.committing;
  }

  dropsCommitted(): void {
    this.committing = new Set();
  }

  /** The batch was not written. Returns the drops that it contained. */
  withdrawDrops(): ReadonlySet<number> {
    const withdrawn = this.committing;
    this.dropped = new Set([...withdrawn, ...this.dropped]);
    this.committing = new Set();
    return withdrawn;
  }

  private read(queueId: number): QueueState | null {
    const value = this.dropped.has(queueId) || this.committing.has(queueId) ? null : this.kv.get(metaKey(queueId));
    if (value === null) return null;
    const state = new QueueState(queueId, decodeMeta(value, queueId));
    let [from, to] = goneBounds(queueId);
    for (;;) {
      const slice = this.kv.range(from, to, SLICE);
      for (const { key, value: end } of slice) state.gone.restore(readU64(key, 9), readU64(end, 0));
      if (slice.length < SLICE) break;
      from = keyBehind(slice[slice.length - 1]!.key);
    }
    this.states.set(queueId, state);
    this.found(state);
    return state;
  }
}
