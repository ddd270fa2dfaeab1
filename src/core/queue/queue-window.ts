// The ready entries of one queue, in order, of which only a window is in memory:
//
//   returned     entries that were delivered and came back (returned-entries.ts); they come first
//   head         the window: the next entries to deliver
//   paged        a range of sequence numbers that is on disk only
//   tail         the newest entries, in memory until they are committed; then they join `paged`
//
// While everything fits the window, `paged` and `tail` are empty and an append goes to `head`. Reading back starts when
// the window is half empty (page-reader.ts), so that a consumer seldom waits. Memory is bounded by the window, and by
// what waits for its commit, which backpressure bounds.
//
// An entry that was withdrawn (its commit failed) stays in place, marked deleted and no longer counted, until its turn
// comes.

import { invariantEqual } from '../invariant.ts';
import type { CoreLimits } from '../limits.ts';
import { Ring } from '../message/ring.ts';
import type { Meters } from '../ports/meters.ts';
import type { Turn } from '../turn/turn.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { PageReader } from './page-reader.ts';
import type { Queue } from './queue.ts';
import { heldBytes, messageBytes, NEVER_EXPIRES, QueueEntry, STORE_STATE } from './queue-entry.ts';
import type { LoadedRange, QueueStore, StoredEntry } from './queue-store.ts';
import type { ReadyEntries } from './ready-entries.ts';
import { ReturnedEntries } from './returned-entries.ts';

/** What a window needs; shared by all queues. */
export interface WindowDependencies {
  readonly store: QueueStore;
  readonly memory: MemoryBudget;
  readonly limits: CoreLimits;
  readonly meters: Meters;
  readonly turn: Turn;
}

export class QueueWindow implements ReadyEntries {
  readonly lane: number;
  /** The first sequence number that was never used. */
  nextSeq: number;
  /** One more than the highest sequence number delivered; restored at a restart. */
  deliveredTo: number;
  /** One more than the highest sequence number that `take` has returned since the start. */
  private takenTo: number;
  private readonly queue: Queue;
  private readonly dependencies: WindowDependencies;
  private readonly head: Ring<QueueEntry>;
  private readonly tail: Ring<QueueEntry>;
  /** Created with the first entry that returns. */
  private returned: ReturnedEntries | null;
  private headBytes: number;
  private pagedFrom: number;
  private pagedTo: number;
  private pagedCount: number;
  /** Created with the first load. */
  private reader: PageReader | null;
  /** Sequence numbers of held entries, which are not ready yet; created with the first. */
  private held: Set<number> | null;
  /** The holder of the first held entry; null if there are none. */
  private holder: object | null;
  private count: number;
  private bytes: number;

  constructor(queue: Queue, dependencies: WindowDependencies, lane = 0) {
    this.lane = lane;
    this.nextSeq = 1;
    this.deliveredTo = 0;
    this.takenTo = 0;
    this.queue = queue;
    this.dependencies = dependencies;
    this.head = new Ring();
    this.tail = new Ring();
    this.returned = null;
    this.headBytes = 0;
    this.pagedFrom = 0;
    this.pagedTo = 0;
    this.pagedCount = 0;
    this.reader = null;
    this.held = null;
    this.holder = null;
    this.count = 0;
    this.bytes = 0;
  }

  get bodyBytes(): number {
    return this.bytes;
  }

  get length(): number {
    return this.count;
  }

  get pagedLength(): number {
    return this.pagedCount;
  }

  /** The id under which the store keeps the entries. */
  get storeId(): number {
    return this.queue.id + this.lane;
  }

  of(_lane: number): QueueWindow {
    return this;
  }

  lanes(): readonly QueueWindow[] {
    return [this];
  }

  recover(): void {
    const meta = this.dependencies.store.recover(this.storeId);
    if (meta === null) return;
    this.nextSeq = meta.nextSeq;
    this.deliveredTo = Math.min(meta.deliveredTo, meta.nextSeq);
    this.bytes = meta.bytes;
    this.pagedFrom = meta.floor;
    this.pagedTo = meta.nextSeq;
    this.pagedCount = meta.count;
    this.count = meta.count;
  }

  append(entry: QueueEntry): void {
    this.count++;
    this.bytes += entry.message.bodyLength;
    this.dependencies.memory.held += heldBytes(entry);
    if (this.isShort() && this.hasRoom(0)) {
      this.dependencies.turn.retain(entry.message);
      this.pushHead(entry);
      return;
    }
    // An entry that only passes through memory on its way to disk needs no memory of its own: the seal copies its
    // bytes.
    if (entry.storeState === STORE_STATE.none) this.dependencies.store.append(entry);
    this.tail.push(entry);
  }

  hold(entry: QueueEntry, holder: object): void {
    this.held ??= new Set();
    this.holder ??= holder;
    this.held.add(entry.seq);
    // An entry whose place may be among entries that are only on disk must be on disk too, to be found there.
    const isAlone = this.holder === holder;
    if (entry.storeState === STORE_STATE.none && !(isAlone && this.isShort())) this.dependencies.store.append(entry);
  }

  endHold(entry: QueueEntry): void {
    this.held?.delete(entry.seq);
    if (this.held?.size === 0) this.holder = null;
  }

  insert(entries: readonly QueueEntry[]): void {
    const toHead: QueueEntry[] = [];
    const toTail: QueueEntry[] = [];
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      this.count++;
      this.bytes += entry.message.bodyLength;
      const isLast = this.isShort() && entry.seq > this.lastSeq();
      if (this.belongsInHead(entry) || (isLast && this.hasRoom(toHead.length))) {
        this.headBytes += heldBytes(entry);
        toHead.push(entry);
      } else if (entry.seq < this.pagedTo && this.pagedCount > 0) {
        this.dependencies.meters.pagedOut++;
        this.pagedCount++;
        this.release(entry);
      } else {
        if (entry.storeState === STORE_STATE.none) this.dependencies.store.append(entry);
        toTail.push(entry);
      }
    }
    this.head.merge(toHead, seqOf);
    this.tail.merge(toTail, seqOf);
    this.committed();
  }

  peek(): QueueEntry | null {
    const first = this.returned === null ? null : this.returned.peek();
    if (first !== null) {
      if (first.unloaded) this.reload(first);
      return first.unloaded ? null : first;
    }
    const { head } = this;
    while (head.peek()?.storeState === STORE_STATE.deleted) this.shiftHead();
    if (
      this.head.length * 2 < this.dependencies.limits.queueWindowEntries &&
      (this.pagedCount > 0 || this.tail.length > 0)
    ) {
      this.refill();
    }
    return head.peek() ?? null;
  }

  /** Takes the first entry if it has expired by then, else returns null. */
  takeExpired(now: number): QueueEntry | null {
    const first = this.peek();
    return first !== null && first.expiresAt <= now ? this.take() : null;
  }

  nextExpiry(): number {
    return this.peek()?.expiresAt ?? NEVER_EXPIRES;
  }

  take(): QueueEntry {
    const entry = this.returned?.take() ?? this.shiftHead();
    if (entry.seq >= this.takenTo) this.takenTo = entry.seq + 1;
    this.uncount(entry);
    return entry;
  }

  whenReadBack(): Promise<void> | null {
    return this.reader?.whenRead() ?? null;
  }

  release(entry: QueueEntry): void {
    this.dependencies.memory.held -= heldBytes(entry);
  }

  unload(entry: QueueEntry): void {
    if (entry.unloaded || entry.storeState !== STORE_STATE.committed || this.dependencies.memory.share === 1) return;
    if (this.held?.has(entry.seq)) return;
    this.dependencies.memory.held -= messageBytes(entry.message);
    entry.message = entry.message.shell();
    entry.unloaded = true;
  }

  putBack(entries: readonly QueueEntry[]): void {
    this.count += entries.length;
    for (let i = 0; i < entries.length; i++) this.bytes += entries[i]!.message.bodyLength;
    this.returned ??= new ReturnedEntries();
    this.returned.add(entries);
  }

  /** The newest entries leave memory when they are committed. */
  committed(): void {
    for (let entry = this.tail.peek(); entry !== undefined; entry = this.tail.peek()) {
      if (entry.storeState === STORE_STATE.deleted) {
        this.tail.shift();
        continue;
      }
      // A transient entry that could not be written is tried again; a persistent one would have been refused.
      if (entry.storeState === STORE_STATE.none) this.dependencies.store.append(entry);
      if (entry.storeState !== STORE_STATE.committed) return;
      this.tail.shift();
      if (this.isPassed(entry.seq)) {
        this.head.merge([entry], seqOf);
        this.headBytes += heldBytes(entry);
        continue;
      }
      this.dependencies.meters.pagedOut++;
      if (this.pagedCount === 0) this.pagedFrom = entry.seq;
      this.pagedTo = entry.seq + 1;
      this.pagedCount++;
      this.release(entry);
    }
  }

  withdrawn(entry: QueueEntry): void {
    this.uncount(entry);
    this.release(entry);
  }

  clear(): number {
    const dropped = this.count;
    if (this.returned !== null) for (const entry of this.returned) this.release(entry);
    for (const ring of [this.head, this.tail]) {
      for (let entry = ring.shift(); entry !== undefined; entry = ring.shift()) {
        if (entry.storeState !== STORE_STATE.deleted) this.release(entry);
      }
    }
    this.returned = null;
    this.headBytes = 0;
    this.pagedCount = 0;
    this.count = 0;
    this.bytes = 0;
    this.reader?.clear();
    return dropped;
  }

  /** Whether all ready entries are in the head. */
  private isShort(): boolean {
    return this.pagedCount === 0 && this.tail.length === 0;
  }

  /** Whether the head takes one more entry, beside `joining` that are about to join it. */
  private hasRoom(joining: number): boolean {
    const { limits, memory } = this.dependencies;
    const entries = this.head.length + joining;
    return (
      entries < limits.queueWindowEntries * memory.share && this.headBytes < limits.queueWindowBytes * memory.share
    );
  }

  private pushHead(entry: QueueEntry): void {
    this.head.push(entry);
    this.headBytes += heldBytes(entry);
  }

  /** Whether an entry that becomes ready late must join the head, even if the head is full. */
  private belongsInHead({ seq, storeState }: QueueEntry): boolean {
    // It must not join `paged`: reading that part of the disk would also return entries that are delivered and not yet
    // acknowledged.
    const isOvertaken = seq < this.takenTo || seq < this.deliveredTo;
    // An entry that could not be written cannot be read back among those on disk, so it joins the head before them.
    const isMissedByLoads = storeState !== STORE_STATE.committed && seq < this.pagedTo;
    return isOvertaken || isMissedByLoads || this.isPassed(seq);
  }

  /** The highest sequence number of the ready entries, returned ones not counted; 0 if there are none. */
  private lastSeq(): number {
    const { head, tail } = this;
    if (tail.length > 0) return tail.at(tail.length - 1)!.seq;
    if (this.pagedCount > 0) return this.pagedTo - 1;
    return head.length > 0 ? head.at(head.length - 1)!.seq : 0;
  }

  /**
   * Whether its place is in the head: before the range on disk or, if nothing is on disk, before the head's last entry.
   */
  private isPassed(seq: number): boolean {
    const { head } = this;
    if (this.pagedCount > 0) return seq < this.pagedFrom;
    return head.length > 0 && seq < head.at(head.length - 1)!.seq;
  }

  private shiftHead(): QueueEntry {
    const entry = this.head.shift()!;
    this.headBytes -= heldBytes(entry);
    if (this.head.length === 0) invariantEqual(this.headBytes, 0, 'the bytes of an empty window');
    return entry;
  }

  /** An entry is no longer ready. */
  private uncount(entry: QueueEntry): void {
    this.bytes -= entry.message.bodyLength;
    if (--this.count > 0) return;
    invariantEqual(this.count, 0, 'the ready entries of an empty queue');
    invariantEqual(this.bytes, 0, 'the bytes of an empty queue');
  }

  /** Fills the head: from disk as long as there are entries, then with those that never left memory. */
  private refill(): void {
    if (this.pagedCount > 0) {
      this.reader ??= new PageReader(this.queue, this.storeId, this.dependencies);
      while (this.pagedCount > 0 && this.reader.idle && this.mayLoad()) {
        if (!this.reader.read(this.pagedFrom, this.pagedTo, (range) => this.takeIn(range))) return;
      }
    }
    if (this.pagedCount > 0 || this.reader?.busy) return;
    for (let entry = this.tail.shift(); entry !== undefined; entry = this.tail.shift()) {
      if (entry.storeState === STORE_STATE.deleted) continue;
      this.dependencies.turn.retain(entry.message);
      this.pushHead(entry);
    }
  }

  private mayLoad(): boolean {
    if (this.head.length === 0) return true;
    return this.head.length * 2 < this.dependencies.limits.queueWindowEntries && this.hasRoom(0);
  }

  /** Reads the bytes of returned entries back, starting with the first. */
  private reload(first: QueueEntry): void {
    this.reader ??= new PageReader(this.queue, this.storeId, this.dependencies);
    if (!this.reader.idle) return;
    this.reader.read(first.seq, this.returned!.lastSeq + 1, ({ entries }) => {
      if (this.returned !== null) this.dependencies.memory.held += this.returned.refresh(entries);
      const isMissing = first.unloaded && first.storeState === STORE_STATE.committed && !first.outstanding;
      if (isMissing) this.reader!.damaged(new Error(`entry ${first.seq} of queue '${this.queue.name}' is not on disk`));
    });
  }

  private takeIn(range: LoadedRange): void {
    const { memory, meters } = this.dependencies;
    const { entries } = range;
    let taken = 0;
    for (let i = 0; i < entries.length; i++) {
      // Held entries are on disk among the others, and not ready.
      if (this.held?.has(entries[i]!.seq)) continue;
      const entry = this.entryOf(entries[i]!);
      memory.held += heldBytes(entry);
      this.pushHead(entry);
      taken++;
    }
    meters.pagedIn += taken;
    this.pagedCount -= taken;
    this.pagedFrom = range.nextSeq;
    if (this.pagedFrom >= this.pagedTo && this.pagedCount !== 0) this.recount();
  }

  /**
   * Everything on disk was read, and the counts do not agree with it: records are missing, or there are too many. That
   * is reported as damage, and the entries in memory are counted again, so that the queue continues.
   */
  private recount(): void {
    this.queue.damaged(new Error(`${this.pagedCount} entries of queue '${this.queue.name}' are not on disk`));
    this.pagedCount = 0;
    this.count = 0;
    this.bytes = 0;
    for (const entries of [this.returned ?? [], this.head, this.tail]) {
      for (const { storeState, message } of entries) {
        if (storeState === STORE_STATE.deleted) continue;
        this.count++;
        this.bytes += message.bodyLength;
      }
    }
  }

  private entryOf(stored: StoredEntry): QueueEntry {
    const entry = new QueueEntry(
      this.queue,
      stored.seq,
      stored.message,
      stored.expiresAt,
      stored.redelivered,
      this.lane,
    );
    entry.storeState = STORE_STATE.committed;
    entry.subscriptionOptions = stored.subscriptionOptions;
    if (this.queue.returns !== null) entry.deliveryCount = this.queue.returns.of(stored.seq);
    if (entry.expiresAt !== NEVER_EXPIRES) this.queue.ages();
    return entry;
  }
}

const seqOf = (entry: QueueEntry): number => entry.seq;
