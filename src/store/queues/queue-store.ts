// The durable entries of queues: the core's `QueueStore` over a `Kv`.
//
// An entry is pending, then committing, then committed, then deleted. Pending entries are written when their batch is
// sealed, so an entry that is acknowledged earlier is never written. A settled entry is not deleted by itself: its
// number joins the gone ranges of its queue (usually by raising the floor), which are written with the queue's meta
// record in the same transaction. Whole segments are removed in the background. So an acknowledgement costs an
// addition, purging a queue of millions costs one record, and a restart reads one record for each queue.

import type { PropertyCodec } from '../../core/message/properties.ts';
import type { Meters } from '../../core/ports/meters.ts';
import { type QueueEntry, STORE_STATE, storeIdOf } from '../../core/queue/queue-entry.ts';
import type { LoadedRange, QueueMeta, QueueStore } from '../../core/queue/queue-store.ts';
import type { Committer, Participant } from '../committer.ts';
import type { Header } from '../header.ts';
import { droppedKey, metaKey } from '../keys.ts';
import type { Kv, KvBatch } from '../kv/kv.ts';
import { EntryWriter } from './entry-writer.ts';
import { MoveGroups } from './move-groups.ts';
import { QueueReader } from './queue-reader.ts';
import { encodeMeta, type QueueState } from './queue-state.ts';
import { QueueStates } from './queue-states.ts';
import { Reclaimer, type ReclaimLimits } from './reclaimer.ts';
import { SHARED_BODY_BYTES, SharedBodies } from './shared-bodies.ts';

/** Memory of a waiting entry beside its bytes. */
const PENDING_OVERHEAD_BYTES = 64;

/** The changes of the batch in flight to one queue, to undo them if it is not written. */
interface Undo {
  readonly state: QueueState;
  readonly obsolete: readonly number[];
}

export class KvQueueStore implements QueueStore, Participant {
  private readonly header: Header;
  private readonly meters: Meters;
  private readonly committer: Committer;
  private readonly writer: EntryWriter;
  private readonly reader: QueueReader;
  private readonly groups: MoveGroups;
  private readonly bodies: SharedBodies;
  private readonly reclaimer: Reclaimer;
  private readonly states: QueueStates;
  private pendingBytes: number;
  /** Of the batch in flight. */
  private undo: Undo[];
  private committingBytes: number;

  constructor(
    kv: Kv,
    header: Header,
    codecs: ReadonlyMap<number, PropertyCodec>,
    meters: Meters,
    committer: Committer,
    reclaim: ReclaimLimits,
  ) {
    this.header = header;
    this.meters = meters;
    this.committer = committer;
    this.bodies = new SharedBodies(kv, header);
    this.writer = new EntryWriter(header.epoch, this.bodies);
    this.groups = new MoveGroups();
    this.reclaimer = new Reclaimer(kv, this.bodies, reclaim);
    this.states = new QueueStates(kv, (state) => {
      if (state.reclaimedTo < state.gone.floor) this.reclaimer.enlist(state);
    });
    this.reader = new QueueReader(kv, codecs, header.epoch, this.states.change);
    this.pendingBytes = 0;
    this.undo = [];
    this.committingBytes = 0;
  }

  get uncommittedBytes(): number {
    return this.pendingBytes + this.committingBytes;
  }

  recover(queueId: number): QueueMeta | null {
    return this.states.find(queueId)?.meta() ?? null;
  }

  nextQueueId(count = 1): number {
    return this.header.nextQueueId(count);
  }

  append(entry: QueueEntry): void {
    const state = this.states.of(storeIdOf(entry));
    const { message } = entry;
    entry.storeState = STORE_STATE.pending;
    if (entry.seq >= state.nextSeq) state.nextSeq = entry.seq + 1;
    state.pending.push(entry);
    this.states.list(state);
    this.pendingBytes += costOf(entry);
    if (message.bodyLength >= SHARED_BODY_BYTES) this.bodies.added(message);
    this.groups.appended(entry);
  }

  remove(entry: QueueEntry): void {
    const before = entry.storeState;
    if (before === STORE_STATE.none || before === STORE_STATE.deleted) return;
    entry.storeState = STORE_STATE.deleted;
    if (before === STORE_STATE.pending) {
      this.unqueue(entry);
      settle(entry);
      this.groups.withdrawn(entry);
      return;
    }
    // A committing entry is written anyway: the next batch records that it is gone.
    if (before === STORE_STATE.committing) settle(entry);
    const state = this.states.known(storeIdOf(entry));
    if (state === null) return;
    this.groups.removed(entry);
    this.forget(state, entry);
  }

  group(run: () => void, unfinished = false): void {
    this.groups.run(run, unfinished);
  }

  load(
    queueId: number,
    fromSeq: number,
    toSeq: number,
    maxEntries: number,
    maxBytes: number,
  ): LoadedRange | Promise<LoadedRange> {
    const state = this.states.find(queueId);
    if (state === null) return { entries: [], nextSeq: toSeq };
    return this.reader.load(state, fromSeq, toSeq, maxEntries, maxBytes);
  }

  purge(queueId: number, keep: readonly QueueEntry[]): void {
    const state = this.states.find(queueId);
    if (state === null) return;
    const kept = new Set(keep);
    state.pending = this.withdrawOthers(state.pending, kept);
    for (const entry of state.committing) {
      if (kept.has(entry) || entry.storeState !== STORE_STATE.committing) continue;
      entry.storeState = STORE_STATE.deleted;
      settle(entry);
    }
    // The kept entries that are written or in the commit in flight.
    const left = keep
      .filter(({ storeState }) => storeState === STORE_STATE.committing || storeState === STORE_STATE.committed)
      .sort((a, b) => a.seq - b.seq);
    let from = 0;
    state.count = 0;
    state.bytes = 0;
    for (const { seq, message } of left) {
      state.gone.add(from, seq, true);
      from = seq + 1;
      if (!message.persistent) continue;
      state.count++;
      state.bytes += message.bodyLength;
    }
    state.gone.add(from, state.sealedTo, true);
    this.states.change(state);
    this.reclaimer.enlist(state);
  }

  deleteQueue(queueId: number): void {
    const state = this.states.find(queueId);
    if (state === null) return;
    this.withdrawOthers(state.pending, new Set());
    state.pending = [];
    for (const entry of state.committing) {
      if (entry.storeState !== STORE_STATE.committing) continue;
      entry.storeState = STORE_STATE.deleted;
      settle(entry);
    }
    this.states.drop(state);
  }

  markDelivering(queueId: number): void {
    const state = this.states.of(queueId);
    if (state.deliveredTo === Number.POSITIVE_INFINITY) return;
    state.deliveredTo = Number.POSITIVE_INFINITY;
    this.states.change(state);
  }

  settleDelivered(queueId: number, seq: number): void {
    const state = this.states.find(queueId);
    if (state === null || state.deliveredTo === seq) return;
    state.deliveredTo = seq;
    this.states.change(state);
  }

  whenCommitted(done: (error: Error | null) => void): void {
    this.committer.whenCommitted(done);
  }

  seal(): void {
    this.committer.seal();
  }

  // The part in commits.

  hasPending(): boolean {
    return this.states.waiting;
  }

  isDue(): boolean {
    return this.states.waiting || this.reclaimer.busy;
  }

  gather(batch: KvBatch, whole: boolean): void {
    if (!whole) this.suspendGroups();
    // Drops go before the entries, because they look at what is on disk. A queue from which a waiting group moves stays
    // on disk until the message has arrived.
    const held = new Set<number>();
    if (!whole) for (const entry of this.groups.removes()) held.add(storeIdOf(entry));
    for (const queueId of this.states.gatherDrops(held)) {
      batch.remove(metaKey(queueId));
      batch.put(droppedKey(queueId), NOTHING);
      this.reclaimer.drop(queueId);
    }
    for (const state of this.states.listedNow) this.reclaimer.consider(state);
    if (this.reclaimer.busy) this.reclaimer.gather(batch, this.states.change);
    const states = this.states.takeListed();
    this.undo = [];
    for (let i = 0; i < states.length; i++) this.gatherQueue(states[i]!, batch, whole);
    if (!whole) {
      this.resumeGroups();
      return;
    }
    this.writer.gathered();
    this.groups.gather();
    this.committingBytes = this.pendingBytes;
    this.pendingBytes = 0;
  }

  committed(): void {
    this.reclaimer.committed();
    this.writer.committed();
    this.groups.committed();
    this.committingBytes = 0;
    this.states.dropsCommitted();
    const { undo, meters } = this;
    this.undo = [];
    if (undo.length > 0) meters.commits++;
    for (let i = 0; i < undo.length; i++) {
      const { state } = undo[i]!;
      const entries = state.committing;
      if (entries.length === 0) continue;
      state.committing = [];
      meters.committedEntries += entries.length;
      for (let j = 0; j < entries.length; j++) {
        const entry = entries[j]!;
        if (entry.storeState !== STORE_STATE.committing) continue;
        entry.storeState = STORE_STATE.committed;
        settle(entry);
        entry.queue.committed(entry);
      }
    }
  }

  withdraw(): void {
    this.reclaimer.withdraw();
    for (const queueId of this.states.withdrawDrops()) this.reclaimer.undrop(queueId);
    this.writer.withdraw();
    this.committingBytes = 0;
    const undo = this.undo;
    this.undo = [];
    const waiting = this.groups.withdraw();
    for (const { state, obsolete } of undo) {
      const entries = state.committing;
      state.committing = [];
      if (state.dropped) {
        for (const entry of entries) this.refuse(state, entry);
        continue;
      }
      state.gone.ungather(obsolete);
      this.states.change(state);
      const again: QueueEntry[] = [];
      for (const entry of entries) {
        if (!waiting.has(entry)) this.refuse(state, entry);
        else if (this.requeue(state, entry)) again.push(entry);
      }
      if (again.length > 0) state.pending = [...again, ...state.pending];
    }
  }

  /** One queue's part of a batch. */
  private gatherQueue(state: QueueState, batch: KvBatch, whole: boolean): void {
    state.listed = false;
    if (state.dropped) return;
    if (whole) this.writer.write(state, batch);
    else if (state.pending.length > 0) this.states.list(state);
    if (!state.changed) return;
    state.changed = false;
    this.undo.push({ state, obsolete: state.gone.obsoleteNow() });
    state.gone.gather(batch, state.id);
    batch.put(metaKey(state.id), encodeMeta(state));
  }

  /** An entry of a failed batch that is not tried again. */
  private refuse(state: QueueState, entry: QueueEntry): void {
    if (entry.storeState !== STORE_STATE.committing) {
      this.groups.neverWritten(entry);
      return;
    }
    entry.storeState = STORE_STATE.deleted;
    state.gone.add(entry.seq, entry.seq + 1, false);
    if (entry.message.persistent) {
      state.count--;
      state.bytes -= entry.message.bodyLength;
    }
    const { ring } = entry;
    entry.ring = null;
    ring?.refuse(entry.slot);
    entry.queue.withdrawn(entry);
  }

  /** An entry of a group that waits whole becomes pending again. False if it was settled. */
  private requeue(state: QueueState, entry: QueueEntry): boolean {
    if (entry.storeState !== STORE_STATE.committing) {
      this.groups.neverWritten(entry);
      return false;
    }
    entry.storeState = STORE_STATE.pending;
    if (entry.message.persistent) {
      state.count--;
      state.bytes -= entry.message.bodyLength;
    }
    this.pendingBytes += costOf(entry);
    if (entry.message.bodyLength >= SHARED_BODY_BYTES) this.bodies.added(entry.message);
    return true;
  }

  /** A batch without new records must not contain the removes of groups whose appends wait. */
  private suspendGroups(): void {
    for (const entry of this.groups.removes()) {
      const state = this.states.known(storeIdOf(entry));
      if (state === null || !state.gone.has(entry.seq)) continue;
      state.gone.punch(entry.seq);
      if (!entry.message.persistent) continue;
      state.count++;
      state.bytes += entry.message.bodyLength;
    }
  }

  /** Called after such a batch was gathered. */
  private resumeGroups(): void {
    for (const entry of this.groups.removes()) {
      const state = this.states.known(storeIdOf(entry));
      if (state !== null && !state.gone.has(entry.seq)) this.forget(state, entry);
    }
  }

  /** A written entry is settled. */
  private forget(state: QueueState, entry: QueueEntry): void {
    const { message, seq } = entry;
    state.gone.add(seq, seq + 1, true);
    state.deadEntries++;
    state.deadBytes += message.bodyLength + message.nativeLength;
    if (message.persistent) {
      state.count--;
      state.bytes -= message.bodyLength;
    }
    this.states.change(state);
  }

  /** A pending entry will not be written. */
  private unqueue(entry: QueueEntry): void {
    this.pendingBytes -= costOf(entry);
    if (entry.message.bodyLength >= SHARED_BODY_BYTES) this.bodies.withdrawn(entry.message);
  }

  private withdrawOthers(pending: QueueEntry[], kept: ReadonlySet<QueueEntry>): QueueEntry[] {
    return pending.filter((entry) => {
      if (entry.storeState !== STORE_STATE.pending) return false;
      if (kept.has(entry)) return true;
      entry.storeState = STORE_STATE.deleted;
      this.unqueue(entry);
      settle(entry);
      return false;
    });
  }
}

const NOTHING = Buffer.alloc(0);

function costOf(entry: QueueEntry): number {
  return entry.message.bodyLength + entry.message.nativeLength + PENDING_OVERHEAD_BYTES;
}

/** Settles this queue's share of the publisher's confirm. */
function settle(entry: QueueEntry): void {
  const { ring } = entry;
  if (ring === null) return;
  entry.ring = null;
  ring.settle(entry.slot);
}
