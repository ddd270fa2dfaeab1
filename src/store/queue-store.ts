// The durable entries of queues: the core's `QueueStore` over a `Kv`.
//
// An entry is pending, then committing, then committed, then deleted. Pending entries are written when their batch is
// sealed and not before, so one that is acknowledged first is never written. A settled entry is not deleted by itself:
// its number joins the gone ranges of its queue (usually by raising the floor), written with the queue's meta record in
// the same transaction, and whole segments are removed in the background. So an acknowledgement costs an addition,
// purging a queue of millions costs a record, and a restart reads a record for each queue.

import type { ConfirmRing } from '../core/confirms.ts';
import type { LoadedRange, Meters, QueueMeta, QueueStore, StoredEntry } from '../core/ports.ts';
import type { PropertyCodec } from '../core/properties.ts';
import { type QueueEntry, STORE_STATE } from '../core/queue-entry.ts';
import type { Committer, Participant } from './committer.ts';
import type { Header } from './header.ts';
import {
  bodyIdOf,
  bodyKey,
  droppedKey,
  firstSeqOf,
  goneBounds,
  keyBehind,
  lastSeqOf,
  metaKey,
  readU64,
  type SegmentKind,
  segmentKey,
} from './keys.ts';
import type { Kv, KvBatch } from './kv.ts';
import { decodeMeta, encodeMeta, QueueState } from './queue-state.ts';
import { Reclaimer } from './reclaimer.ts';
import { SegmentWriter, type Slab } from './segment-codec.ts';
import { SegmentCursor, segmentKeys } from './segment-cursor.ts';
import { SHARED_BODY_BYTES, SharedBodies } from './shared-bodies.ts';

/** What an entry takes beside its bytes while it waits. */
const PENDING_OVERHEAD_BYTES = 64;
/** Gone ranges that are read at once when a queue is recovered. */
const SLICE = 1024;
/** Segments that are brought into memory at once. */
const PREFETCH_SEGMENTS = 256;

/** What the batch in flight did to a queue, for the case that it is not written. */
interface Undo {
  readonly state: QueueState;
  readonly obsolete: readonly number[];
}

/** Appends and removes that belong together. */
interface Group {
  adds: QueueEntry[];
  /** Written entries that are settled. */
  removes: QueueEntry[];
  /** Groups whose appends this one takes back while they are pending: they become one. */
  joined: Group[];
}

export class KvQueueStore implements QueueStore, Participant {
  private readonly kv: Kv;
  private readonly header: Header;
  private readonly codecs: ReadonlyMap<number, PropertyCodec>;
  private readonly meters: Meters;
  private readonly committer: Committer;
  private readonly writer: SegmentWriter;
  private readonly bodies: SharedBodies;
  private readonly reclaimer: Reclaimer;
  private readonly states: Map<number, QueueState>;
  /** Queues that the next batch looks at. */
  private listed: QueueState[];
  private dropped: number[];
  private openGroup: Group | null;
  private groups: Group[];
  /** The group in which an entry that is not committed was appended. */
  private readonly groupOf: Map<QueueEntry, Group>;
  private pendingBytes: number;
  /** Of the batch in flight. */
  private undo: Undo[];
  private committingDropped: number[];
  private committingGroups: Group[];
  private committingBytes: number;
  private slabs: Slab[];

  constructor(
    kv: Kv,
    header: Header,
    codecs: ReadonlyMap<number, PropertyCodec>,
    meters: Meters,
    committer: Committer,
  ) {
    this.kv = kv;
    this.header = header;
    this.codecs = codecs;
    this.meters = meters;
    this.committer = committer;
    this.writer = new SegmentWriter(header.epoch);
    this.bodies = new SharedBodies(kv, header);
    this.reclaimer = new Reclaimer(kv, this.bodies);
    this.states = new Map();
    this.listed = [];
    this.dropped = [];
    this.openGroup = null;
    this.groups = [];
    this.groupOf = new Map();
    this.pendingBytes = 0;
    this.undo = [];
    this.committingDropped = [];
    this.committingGroups = [];
    this.committingBytes = 0;
    this.slabs = [];
  }

  get uncommittedBytes(): number {
    return this.pendingBytes + this.committingBytes;
  }

  recover(queueId: number): QueueMeta | null {
    return this.find(queueId)?.meta() ?? null;
  }

  nextQueueId(): number {
    return this.header.nextQueueId();
  }

  append(entry: QueueEntry): void {
    const state = this.stateOf(entry.queue.id);
    const { message } = entry;
    entry.storeState = STORE_STATE.pending;
    if (entry.seq >= state.nextSeq) state.nextSeq = entry.seq + 1;
    state.pending.push(entry);
    if (!state.listed) this.list(state);
    this.pendingBytes += costOf(entry);
    if (message.bodyLength >= SHARED_BODY_BYTES) this.bodies.added(message);
    if (this.openGroup !== null) this.openGroup.adds.push(entry);
  }

  remove(entry: QueueEntry): void {
    const before = entry.storeState;
    if (before === STORE_STATE.none || before === STORE_STATE.deleted) return;
    entry.storeState = STORE_STATE.deleted;
    if (before === STORE_STATE.pending) {
      this.unqueue(entry);
      settle(entry);
      const group = this.openGroup === null ? undefined : this.groupOf.get(entry);
      if (group !== undefined) this.openGroup!.joined.push(group);
      return;
    }
    // A committing one is on its way to disk already: the next batch says that it is gone.
    if (before === STORE_STATE.committing) settle(entry);
    const state = this.states.get(entry.queue.id);
    if (state === undefined) return;
    if (this.openGroup !== null) this.openGroup.removes.push(entry);
    this.forget(state, entry);
  }

  group(run: () => void): void {
    if (this.openGroup !== null) {
      run();
      return;
    }
    const group: Group = { adds: [], removes: [], joined: [] };
    this.openGroup = group;
    try {
      run();
    } finally {
      this.openGroup = null;
      if (group.adds.length > 0) this.endGroup(group);
    }
  }

  load(
    queueId: number,
    fromSeq: number,
    toSeq: number,
    maxEntries: number,
    maxBytes: number,
  ): LoadedRange | Promise<LoadedRange> {
    const state = this.states.get(queueId) ?? this.find(queueId);
    if (state === null) return { entries: [], nextSeq: toSeq };
    const keys = this.coldKeys(state, Math.max(fromSeq, state.gone.floor), Math.min(toSeq, state.sealedTo), maxEntries);
    const warming = this.kv.prefetch(keys);
    if (warming === null) return this.read(state, fromSeq, toSeq, maxEntries, maxBytes);
    return warming.then(() => this.read(state, fromSeq, toSeq, maxEntries, maxBytes));
  }

  purge(queueId: number, keep: readonly QueueEntry[]): void {
    const state = this.find(queueId);
    if (state === null) return;
    const kept = new Set(keep);
    state.pending = this.withdrawOthers(state.pending, kept);
    for (const entry of state.committing) {
      if (kept.has(entry) || entry.storeState !== STORE_STATE.committing) continue;
      entry.storeState = STORE_STATE.deleted;
      settle(entry);
    }
    // What is left: the kept ones that are written or on their way.
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
    this.change(state);
    this.reclaimer.enlist(state);
  }

  deleteQueue(queueId: number): void {
    const state = this.find(queueId);
    if (state === null) return;
    this.withdrawOthers(state.pending, new Set());
    state.pending = [];
    for (const entry of state.committing) {
      if (entry.storeState !== STORE_STATE.committing) continue;
      entry.storeState = STORE_STATE.deleted;
      settle(entry);
    }
    state.dropped = true;
    this.states.delete(queueId);
    this.dropped.push(queueId);
  }

  markDelivering(queueId: number): void {
    const state = this.stateOf(queueId);
    if (state.deliveredTo === Number.POSITIVE_INFINITY) return;
    state.deliveredTo = Number.POSITIVE_INFINITY;
    this.change(state);
  }

  settleDelivered(queueId: number, seq: number): void {
    const state = this.find(queueId);
    if (state === null || state.deliveredTo === seq) return;
    state.deliveredTo = seq;
    this.change(state);
  }

  whenCommitted(done: (error: Error | null) => void): void {
    this.committer.whenCommitted(done);
  }

  seal(): void {
    this.committer.seal();
  }

  // The part in commits.

  hasPending(): boolean {
    return this.listed.length > 0 || this.dropped.length > 0;
  }

  gather(batch: KvBatch, whole: boolean): void {
    if (!whole) this.suspendGroups();
    // Before the entries: it looks at what is on disk.
    const held = whole ? NOBODY : this.sourcesOfGroups();
    this.committingDropped = this.dropped.filter((queueId) => !held.has(queueId));
    this.dropped = this.dropped.filter((queueId) => held.has(queueId));
    for (const queueId of this.committingDropped) {
      batch.remove(metaKey(queueId));
      batch.put(droppedKey(queueId), NOTHING);
      this.reclaimer.drop(queueId);
    }
    for (let i = 0; i < this.listed.length; i++) this.reclaimer.consider(this.listed[i]!);
    if (this.reclaimer.busy) this.reclaimer.gather(batch, this.change);
    const states = this.listed;
    this.listed = [];
    this.undo = [];
    for (let i = 0; i < states.length; i++) this.gatherQueue(states[i]!, batch, whole);
    if (!whole) {
      this.resumeGroups();
      return;
    }
    this.bodies.gathered();
    this.slabs = this.writer.takeSlabs();
    this.committingBytes = this.pendingBytes;
    this.pendingBytes = 0;
    this.committingGroups = this.groups;
    this.groups = [];
  }

  committed(): void {
    this.reclaimer.committed();
    this.writer.recycle(this.slabs);
    this.slabs = [];
    this.committingBytes = 0;
    for (const { adds } of this.committingGroups) for (const entry of adds) this.groupOf.delete(entry);
    this.committingGroups = [];
    this.committingDropped = [];
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
    for (const queueId of this.committingDropped) this.reclaimer.undrop(queueId);
    this.slabs = [];
    this.committingBytes = 0;
    const undo = this.undo;
    this.undo = [];
    this.dropped = [...this.committingDropped, ...this.dropped];
    this.committingDropped = [];
    const whole = this.ungroup();
    for (const { state, obsolete } of undo) {
      const entries = state.committing;
      state.committing = [];
      if (state.dropped) {
        for (const entry of entries) this.refuse(state, entry);
        continue;
      }
      state.gone.ungather(obsolete);
      this.change(state);
      const again: QueueEntry[] = [];
      for (const entry of entries) {
        if (!whole.has(entry)) this.refuse(state, entry);
        else if (this.requeue(state, entry)) again.push(entry);
      }
      if (again.length > 0) state.pending = [...again, ...state.pending];
    }
  }

  /** One queue's part of a batch. */
  private gatherQueue(state: QueueState, batch: KvBatch, whole: boolean): void {
    state.listed = false;
    if (state.dropped) return;
    if (whole) this.gatherEntries(state, batch);
    else if (state.pending.length > 0) this.list(state);
    if (!state.changed) return;
    state.changed = false;
    this.undo.push({ state, obsolete: state.gone.obsoleteNow() });
    state.gone.gather(batch, state.id);
    batch.put(metaKey(state.id), encodeMeta(state));
  }

  private gatherEntries(state: QueueState, batch: KvBatch): void {
    const entries = state.pending;
    if (entries.length === 0) return;
    state.pending = [];
    let kept = 0;
    let late: QueueEntry[] | null = null;
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      if (entry.storeState !== STORE_STATE.pending) continue;
      entry.storeState = STORE_STATE.committing;
      entries[kept++] = entry;
      const { message, seq } = entry;
      if (message.persistent) {
        state.count++;
        state.bytes += message.bodyLength;
      }
      if (seq < state.sealedTo) {
        late ??= [];
        late.push(entry);
        continue;
      }
      if (seq > state.sealedTo) state.gone.add(state.sealedTo, seq, false);
      state.sealedTo = seq + 1;
      this.write(state, 'entry', entry, batch);
    }
    this.endSegment(state, 'entry', batch);
    entries.length = kept;
    state.committing = entries;
    if (kept > 0) state.changed = true;
    if (late !== null) this.gatherLate(state, late, batch);
  }

  /** Late segments hold consecutive numbers only, so that they never overlap one another. */
  private gatherLate(state: QueueState, late: QueueEntry[], batch: KvBatch): void {
    late.sort((a, b) => a.seq - b.seq);
    state.late = true;
    for (const entry of late) {
      state.gone.punch(entry.seq);
      if (this.writer.open && entry.seq !== this.writer.lastSeq + 1) this.endSegment(state, 'late', batch);
      this.write(state, 'late', entry, batch);
    }
    this.endSegment(state, 'late', batch);
  }

  private write(state: QueueState, kind: SegmentKind, entry: QueueEntry, batch: KvBatch): void {
    const { writer } = this;
    const { message } = entry;
    if (message.bodyLength >= SHARED_BODY_BYTES) {
      const bodyId = this.bodies.share(message, state.id, entry.seq, batch);
      if (bodyId !== 0) {
        this.endSegment(state, kind, batch);
        writer.begin(entry, 0);
        writer.add(entry, true);
        batch.put(segmentKey(kind, state.id, entry.seq, entry.seq, bodyId), writer.end());
        return;
      }
    }
    if (writer.open && !writer.takes(entry, message.bodyLength)) this.endSegment(state, kind, batch);
    if (!writer.open) writer.begin(entry, message.bodyLength);
    writer.add(entry, false);
  }

  private endSegment(state: QueueState, kind: SegmentKind, batch: KvBatch): void {
    const { writer } = this;
    if (!writer.open) return;
    const value = writer.end();
    batch.put(segmentKey(kind, state.id, writer.firstSeq, writer.lastSeq, 0), value);
  }

  /** An entry of a batch that was not written, and that is not to be tried again. */
  private refuse(state: QueueState, entry: QueueEntry): void {
    if (entry.storeState !== STORE_STATE.committing) {
      this.neverWritten(entry);
      return;
    }
    entry.storeState = STORE_STATE.deleted;
    state.gone.add(entry.seq, entry.seq + 1, false);
    if (entry.message.persistent) {
      state.count--;
      state.bytes -= entry.message.bodyLength;
    }
    const ring: ConfirmRing | null = entry.ring;
    entry.ring = null;
    ring?.refuse(entry.slot);
    entry.queue.withdrawn(entry);
  }

  /** An entry of a group that waits whole: it is pending again. False where it was settled. */
  private requeue(state: QueueState, entry: QueueEntry): boolean {
    if (entry.storeState !== STORE_STATE.committing) {
      this.neverWritten(entry);
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

  /** An entry was settled while its batch failed: a group that waits must not settle it again. */
  private neverWritten(entry: QueueEntry): void {
    for (const group of this.groups) group.removes = group.removes.filter((removed) => removed !== entry);
  }

  private endGroup(group: Group): void {
    for (const other of new Set(group.joined)) {
      group.adds.push(...other.adds);
      group.removes.push(...other.removes);
      this.groups = this.groups.filter((each) => each !== other);
    }
    group.joined = [];
    // Appends alone may be refused: nobody was told anything of them yet.
    if (group.removes.length === 0) return;
    for (const entry of group.adds) this.groupOf.set(entry, group);
    this.groups.push(group);
  }

  /** The groups of a batch that was not written wait for the next whole one. Returns the entries that wait with them. */
  private ungroup(): Set<QueueEntry> {
    const waiting = new Set<QueueEntry>();
    for (const { adds } of this.committingGroups) for (const entry of adds) waiting.add(entry);
    this.groups = [...this.committingGroups, ...this.groups];
    this.committingGroups = [];
    return waiting;
  }

  /** A batch without new records must not hold the removes of groups whose appends wait. */
  private suspendGroups(): void {
    for (const group of this.groups) {
      for (const entry of group.removes) {
        const state = this.states.get(entry.queue.id);
        if (state === undefined || !state.gone.has(entry.seq)) continue;
        state.gone.punch(entry.seq);
        if (!entry.message.persistent) continue;
        state.count++;
        state.bytes += entry.message.bodyLength;
      }
    }
  }

  /** Queues from which waiting groups move: while those wait they are not deleted from disk. */
  private sourcesOfGroups(): ReadonlySet<number> {
    return new Set(this.groups.flatMap(({ removes }) => removes.map((entry) => entry.queue.id)));
  }

  /** After such a batch was gathered. */
  private resumeGroups(): void {
    for (const group of this.groups) {
      for (const entry of group.removes) {
        const state = this.states.get(entry.queue.id);
        if (state !== undefined && !state.gone.has(entry.seq)) this.forget(state, entry);
      }
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
    state.changed = true;
    if (!state.listed) this.list(state);
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

  /** Keys of what a read will need and what may not be in memory. */
  private coldKeys(state: QueueState, from: number, to: number, maxEntries: number): Buffer[] {
    const cold: Buffer[] = [];
    let entries = 0;
    for (const key of segmentKeys(this.kv, 'entry', state.id, from, to, PREFETCH_SEGMENTS)) {
      if (entries >= maxEntries) break;
      const last = lastSeqOf(key);
      entries += last - Math.max(from, firstSeqOf(key)) + 1;
      if (firstSeqOf(key) >= state.warmFrom && last < state.warmTo) continue;
      cold.push(key);
      const bodyId = bodyIdOf(key);
      if (bodyId !== 0) cold.push(bodyKey(bodyId));
    }
    return cold;
  }

  private read(state: QueueState, fromSeq: number, toSeq: number, maxEntries: number, maxBytes: number): LoadedRange {
    if (state.dropped) return { entries: [], nextSeq: toSeq };
    const { gone, redeliveredTo } = state;
    const bound = Math.min(toSeq, state.firstUncommitted());
    const from = Math.max(fromSeq, gone.floor);
    if (from >= bound) return { entries: [], nextSeq: Math.max(fromSeq, bound) };
    const inOrder = new SegmentCursor(this.kv, 'entry', state.id, from, bound, this.codecs);
    const late = state.late ? new SegmentCursor(this.kv, 'late', state.id, from, bound, this.codecs) : null;
    const entries: StoredEntry[] = [];
    let bytes = 0;
    let expected = from;
    let nextSeq = bound;
    for (;;) {
      const cursor = late !== null && late.seq < inOrder.seq ? late : inOrder;
      const { seq } = cursor;
      if (seq >= bound) break;
      const reader = cursor.reader!;
      if (seq > expected) this.foundGap(state, expected, seq);
      expected = seq + 1;
      if (!reader.persistent && reader.epoch !== this.header.epoch) this.foundStale(state, seq);
      else if (!gone.has(seq)) {
        if (entries.length >= maxEntries || (bytes + reader.size > maxBytes && entries.length > 0)) {
          nextSeq = seq;
          break;
        }
        bytes += reader.size;
        entries.push(reader.entry(seq < redeliveredTo));
      }
      cursor.advance();
    }
    if (nextSeq === bound) this.foundGap(state, expected, Math.min(bound, state.sealedTo));
    else this.readAhead(state, nextSeq, Math.min(toSeq, state.sealedTo), maxEntries);
    return { entries, nextSeq };
  }

  /** Numbers of an earlier start that were never stored. Later ones are known from writing. */
  private foundGap(state: QueueState, from: number, to: number): void {
    const end = Math.min(to, state.recoveredTo);
    if (from < end) state.gone.add(from, end, false);
  }

  /** A transient entry of an earlier start. */
  private foundStale(state: QueueState, seq: number): void {
    if (state.gone.has(seq)) return;
    state.gone.add(seq, seq + 1, true);
    this.change(state);
  }

  private readAhead(state: QueueState, from: number, to: number, maxEntries: number): void {
    const keys = this.coldKeys(state, from, to, maxEntries);
    const warming = this.kv.prefetch(keys);
    if (warming === null) return;
    const last = keys.findLast((key) => key.length > 9)!;
    const warmTo = lastSeqOf(last) + 1;
    warming.then(
      () => {
        state.warmFrom = Math.min(from, firstSeqOf(keys[0]!));
        state.warmTo = warmTo;
      },
      () => {},
    );
  }

  private stateOf(queueId: number): QueueState {
    const known = this.states.get(queueId);
    if (known !== undefined) return known;
    const state = this.find(queueId) ?? new QueueState(queueId, null);
    this.states.set(queueId, state);
    return state;
  }

  /** A queue that is known or that an earlier start left. */
  private find(queueId: number): QueueState | null {
    const known = this.states.get(queueId);
    if (known !== undefined) return known;
    const value =
      this.dropped.includes(queueId) || this.committingDropped.includes(queueId) ? null : this.kv.get(metaKey(queueId));
    if (value === null) return null;
    const meta = decodeMeta(value, queueId);
    const state = new QueueState(queueId, meta);
    let [from, to] = goneBounds(queueId);
    for (;;) {
      const slice = this.kv.range(from, to, SLICE);
      for (const { key, value: end } of slice) state.gone.restore(readU64(key, 9), readU64(end, 0));
      if (slice.length < SLICE) break;
      from = keyBehind(slice[slice.length - 1]!.key);
    }
    this.states.set(queueId, state);
    if (state.reclaimedTo < state.gone.floor) this.reclaimer.enlist(state);
    return state;
  }

  private list(state: QueueState): void {
    state.listed = true;
    this.listed.push(state);
  }

  private readonly change = (state: QueueState): void => {
    state.changed = true;
    if (!state.listed && !state.dropped) this.list(state);
  };
}

const NOTHING = Buffer.alloc(0);
const NOBODY: ReadonlySet<number> = new Set();

function costOf(entry: QueueEntry): number {
  return entry.message.bodyLength + entry.message.nativeLength + PENDING_OVERHEAD_BYTES;
}

/** This target's answer for the publisher's confirm. */
function settle(entry: QueueEntry): void {
  const { ring } = entry;
  if (ring === null) return;
  entry.ring = null;
  ring.settle(entry.slot);
}
