// The queues that the store knows: each is read from disk when it is first asked for, and those that changed are listed
// for the next batch. A queue that was dropped is known no more, and is not found on disk either while its drop waits.

import { goneBounds, keyBehind, metaKey, readU64 } from '../keys.ts';
import type { Kv } from '../kv/kv.ts';
import { decodeMeta, QueueState } from './queue-state.ts';

/** Gone ranges that are read at once when a queue is recovered. */
const SLICE = 1024;

export class QueueStates {
  private readonly kv: Kv;
  private readonly found: (state: QueueState) => void;
  private readonly states: Map<number, QueueState>;
  /** Queues that the next batch looks at. */
  private listed: QueueState[];
  /** Dropped since the last batch, and in the batch in flight. */
  private dropped: Set<number>;
  private committing: Set<number>;

  /** `found` is told of each queue that an earlier start left, when it is read. */
  constructor(kv: Kv, found: (state: QueueState) => void) {
    this.kv = kv;
    this.found = found;
    this.states = new Map();
    this.listed = [];
    this.dropped = new Set();
    this.committing = new Set();
  }

  /** Whether the next batch has to look at any. */
  get waiting(): boolean {
    return this.listed.length > 0 || this.dropped.size > 0;
  }

  /** A queue that is known, or null: an earlier start may have left it. */
  known(queueId: number): QueueState | null {
    return this.states.get(queueId) ?? null;
  }

  /** A queue that is known or that an earlier start left. */
  find(queueId: number): QueueState | null {
    return this.states.get(queueId) ?? this.read(queueId);
  }

  /** As `find`; a new one where there is none. */
  of(queueId: number): QueueState {
    const found = this.find(queueId);
    if (found !== null) return found;
    const state = new QueueState(queueId, null);
    this.states.set(queueId, state);
    return state;
  }

  /** The next batch has to look at it. */
  list(state: QueueState): void {
    if (state.listed) return;
    state.listed = true;
    this.listed.push(state);
  }

  /** The next batch has to write it. */
  readonly change = (state: QueueState): void => {
    state.changed = true;
    if (!state.dropped) this.list(state);
  };

  /** Those that the next batch has to look at so far. */
  get listedNow(): readonly QueueState[] {
    return this.listed;
  }

  /** The same, for the batch that does: it says of each that it is listed no more when it comes to it. */
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

  /** The drops that go into a batch: all but those in `held`. */
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

  /** The batch was not written. Returns the drops that it held. */
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
