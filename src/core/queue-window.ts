// The ready entries of one queue, in order, of which only a window is in memory:
//
//   returned     entries that came back (requeued), few, sorted; they are ahead of everything else
//   head         the window: the next entries to deliver
//   paged        a range of sequence numbers that is on disk only
//   tail         the newest entries, in memory until they are committed; then they join `paged`
//
// While everything fits the window, `paged` and `tail` are empty and an append goes to `head`. Reading back starts when
// the window is half empty, so that a consumer seldom waits. Memory is bounded by the window and by what waits for its
// commit, which backpressure bounds.
//
// An entry that was withdrawn (its commit failed) stays where it is, marked deleted and accounted for no more, until its
// turn comes.

import { BrokerError } from './errors.ts';
import type { CoreLimits } from './limits.ts';
import { ENTRY_OVERHEAD_BYTES, type MemoryBudget } from './memory-budget.ts';
import type { Message } from './message.ts';
import type { LoadedRange, Meters, QueueStore, StoredEntry } from './ports.ts';
import type { Queue } from './queue.ts';
import { NEVER_EXPIRES, QueueEntry, STORE_STATE } from './queue-entry.ts';
import type { ReadyEntries } from './ready-entries.ts';
import { Ring } from './ring.ts';
import type { Turn } from './turn.ts';

/** Entries that one load reads at most, so that a turn stays short. */
const LOAD_ENTRIES = 4096;
const LOAD_BYTES = 4 * 1024 * 1024;
/** However short memory is, an empty head is given so much of it: consumers are what makes room. */
const LEAST_SHARE = 1 / 16;

/** What a window needs from its surroundings; shared by all queues. */
export interface WindowSurroundings {
  readonly store: QueueStore;
  readonly memory: MemoryBudget;
  readonly limits: CoreLimits;
  readonly meters: Meters;
  readonly turn: Turn;
}

/** Bytes that an entry holds in memory. */
export function heldBytes(entry: QueueEntry): number {
  return entry.unloaded ? ENTRY_OVERHEAD_BYTES : ENTRY_OVERHEAD_BYTES + messageBytes(entry.message);
}

export function messageBytes(message: Message): number {
  return message.bodyLength + message.nativeLength;
}

export class QueueWindow implements ReadyEntries {
  readonly lane: number;
  /** The first sequence number that was never used. */
  nextSeq: number;
  /** The number behind the last entry that was ever out with somebody. */
  deliveredTo: number;
  /** The number behind the last entry that was ever taken from here. */
  private takenTo: number;
  private readonly queue: Queue;
  private readonly around: WindowSurroundings;
  private readonly head: Ring<QueueEntry>;
  private readonly tail: Ring<QueueEntry>;
  /** Sorted from the highest sequence number to the lowest, so that the next one is popped. */
  private returned: QueueEntry[];
  private headBytes: number;
  private pagedFrom: number;
  private pagedTo: number;
  private pagedCount: number;
  /** The load that is under way, or null. */
  private loading: Promise<void> | null;
  /** Set where the head cannot be read back: the queue stands until it is purged. */
  private damage: Error | null;
  /** Numbers of entries that were given out and are not among the ready ones yet; made with the first. */
  private held: Set<number> | null;
  /** Grows when the contents were dropped: a load that was under way then is void. */
  private version: number;
  private count: number;
  private bytes: number;

  constructor(queue: Queue, around: WindowSurroundings, lane = 0) {
    this.lane = lane;
    this.nextSeq = 1;
    this.deliveredTo = 0;
    this.takenTo = 0;
    this.queue = queue;
    this.around = around;
    this.head = new Ring();
    this.tail = new Ring();
    this.returned = [];
    this.headBytes = 0;
    this.pagedFrom = 0;
    this.pagedTo = 0;
    this.pagedCount = 0;
    this.loading = null;
    this.damage = null;
    this.held = null;
    this.version = 0;
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
    const meta = this.around.store.recover(this.storeId);
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
    this.around.memory.held += heldBytes(entry);
    if (this.pagedCount === 0 && this.tail.length === 0 && this.hasRoom()) {
      this.around.turn.retain(entry.message);
      this.pushHead(entry);
      return;
    }
    // What only passes through memory on its way to disk needs no memory of its own: the seal copies its bytes.
    if (entry.storeState === STORE_STATE.none) this.around.store.append(entry);
    this.tail.push(entry);
  }

  hold(entry: QueueEntry): void {
    this.held ??= new Set();
    this.held.add(entry.seq);
  }

  holdNoMore(entry: QueueEntry): void {
    this.held?.delete(entry.seq);
  }

  insert(entry: QueueEntry): void {
    const { seq } = entry;
    const stored = entry.storeState === STORE_STATE.committed;
    const isLast = seq > this.lastSeq();
    // Read back with what lies around it would be what is out, too.
    const isOvertaken = seq < Math.max(this.takenTo, this.deliveredTo);
    this.count++;
    this.bytes += entry.message.bodyLength;
    if (isLast && this.pagedCount === 0 && this.tail.length === 0 && this.hasRoom()) {
      this.pushHead(entry);
    } else if (isOvertaken || this.isPassed(seq) || (!stored && seq < this.pagedTo)) {
      // What is not on disk cannot be read back among what is: it comes before.
      this.insertHead(entry);
    } else if (this.pagedCount > 0 && seq < this.pagedTo) {
      this.around.meters.pagedOut++;
      this.pagedCount++;
      this.release(entry);
    } else {
      if (!stored) this.around.store.append(entry);
      insertBySeq(this.tail, entry);
      this.committed();
    }
  }

  peek(): QueueEntry | null {
    const { returned, head } = this;
    for (let last = returned[returned.length - 1]; last !== undefined; last = returned[returned.length - 1]) {
      if (last.storeState === STORE_STATE.deleted) {
        returned.pop();
        continue;
      }
      if (last.unloaded) this.reload(last);
      return last.unloaded ? null : last;
    }
    while (head.peek()?.storeState === STORE_STATE.deleted) this.shiftHead();
    if (this.head.length * 2 < this.around.limits.queueWindowEntries && (this.pagedCount > 0 || this.tail.length > 0)) {
      this.refill();
    }
    return head.peek() ?? null;
  }

  /** The first entry where it expires by then, else null. */
  takeExpired(now: number): QueueEntry | null {
    const first = this.peek();
    return first !== null && first.expiresAt <= now ? this.take() : null;
  }

  nextExpiry(): number {
    return this.peek()?.expiresAt ?? NEVER_EXPIRES;
  }

  take(): QueueEntry {
    const entry = this.returned.pop() ?? this.shiftHead();
    if (entry.seq >= this.takenTo) this.takenTo = entry.seq + 1;
    this.bytes = --this.count === 0 ? 0 : this.bytes - entry.message.bodyLength;
    return entry;
  }

  whenReadBack(): Promise<void> | null {
    if (this.damage === null) return this.loading;
    const { name } = this.queue;
    return Promise.reject(new BrokerError('internal', `the next message of queue '${name}' cannot be read`));
  }

  release(entry: QueueEntry): void {
    this.around.memory.held -= heldBytes(entry);
  }

  unload(entry: QueueEntry): void {
    if (entry.unloaded || entry.storeState !== STORE_STATE.committed || this.around.memory.share === 1) return;
    if (this.held?.has(entry.seq)) return;
    this.around.memory.held -= messageBytes(entry.message);
    entry.message = entry.message.shell();
    entry.unloaded = true;
  }

  putBack(entries: readonly QueueEntry[]): void {
    this.count += entries.length;
    for (let i = 0; i < entries.length; i++) this.bytes += entries[i]!.message.bodyLength;
    const { returned } = this;
    const back = [...entries].sort((a, b) => b.seq - a.seq);
    // Only those that come after the first of them move, and there are few: what comes back is what went out last.
    const behind = returned.splice(placeOf(returned, back[0]!.seq));
    for (let i = 0, j = 0; i < back.length || j < behind.length; ) {
      const next =
        j === behind.length || (i < back.length && back[i]!.seq > behind[j]!.seq) ? back[i++]! : behind[j++]!;
      returned.push(next);
    }
  }

  /** Newest entries that are safe on disk leave memory. */
  committed(): void {
    for (let entry = this.tail.peek(); entry !== undefined; entry = this.tail.peek()) {
      if (entry.storeState === STORE_STATE.deleted) {
        this.tail.shift();
        continue;
      }
      // A transient one that could not be written is tried again; a persistent one would have been refused.
      if (entry.storeState === STORE_STATE.none) this.around.store.append(entry);
      if (entry.storeState !== STORE_STATE.committed) return;
      this.tail.shift();
      if (this.isPassed(entry.seq)) {
        this.insertHead(entry);
        continue;
      }
      this.around.meters.pagedOut++;
      if (this.pagedCount === 0) this.pagedFrom = entry.seq;
      this.pagedTo = entry.seq + 1;
      this.pagedCount++;
      this.release(entry);
    }
  }

  withdrawn(entry: QueueEntry): void {
    this.count--;
    this.bytes -= entry.message.bodyLength;
    this.release(entry);
  }

  clear(): number {
    const dropped = this.count;
    for (const entry of this.returned) if (entry.storeState !== STORE_STATE.deleted) this.release(entry);
    for (const ring of [this.head, this.tail]) {
      for (let entry = ring.shift(); entry !== undefined; entry = ring.shift()) {
        if (entry.storeState !== STORE_STATE.deleted) this.release(entry);
      }
    }
    this.returned = [];
    this.headBytes = 0;
    this.pagedCount = 0;
    this.count = 0;
    this.bytes = 0;
    this.version++;
    this.loading = null;
    this.damage = null;
    return dropped;
  }

  private hasRoom(): boolean {
    const { limits, memory } = this.around;
    const { share } = memory;
    return this.head.length < limits.queueWindowEntries * share && this.headBytes < limits.queueWindowBytes * share;
  }

  private pushHead(entry: QueueEntry): void {
    this.head.push(entry);
    this.headBytes += heldBytes(entry);
  }

  /** To its place in the head: at its end, as a rule. */
  private insertHead(entry: QueueEntry): void {
    insertBySeq(this.head, entry);
    this.headBytes += heldBytes(entry);
  }

  /** The highest number among the ready entries, those that were returned left aside; 0 where there are none. */
  private lastSeq(): number {
    const { head, tail } = this;
    if (tail.length > 0) return tail.at(tail.length - 1)!.seq;
    if (this.pagedCount > 0) return this.pagedTo - 1;
    return head.length > 0 ? head.at(head.length - 1)!.seq : 0;
  }

  /** Whether what comes after it is in the head already. */
  private isPassed(seq: number): boolean {
    const { head } = this;
    if (this.pagedCount > 0) return seq < this.pagedFrom;
    return head.length > 0 && seq < head.at(head.length - 1)!.seq;
  }

  private shiftHead(): QueueEntry {
    const entry = this.head.shift()!;
    this.headBytes -= heldBytes(entry);
    return entry;
  }

  /** Brings entries towards the head: from disk as long as some are there, then those that never left memory. */
  private refill(): void {
    while (this.pagedCount > 0 && this.loading === null && this.damage === null && this.mayLoad()) {
      const loaded = this.load(this.pagedFrom, this.pagedTo);
      if (loaded === null) return;
      if (loaded instanceof Promise) {
        this.loadLater(loaded, (range) => this.takeIn(range));
        return;
      }
      this.takeIn(loaded);
    }
    if (this.pagedCount > 0 || this.loading !== null) return;
    for (let entry = this.tail.shift(); entry !== undefined; entry = this.tail.shift()) {
      if (entry.storeState === STORE_STATE.deleted) continue;
      this.around.turn.retain(entry.message);
      this.pushHead(entry);
    }
  }

  private mayLoad(): boolean {
    if (this.head.length === 0) return true;
    return this.head.length * 2 < this.around.limits.queueWindowEntries && this.hasRoom();
  }

  /** Null where what is there cannot be read. */
  private load(from: number, to: number): LoadedRange | Promise<LoadedRange> | null {
    const { store, memory } = this.around;
    const share = Math.max(memory.share, LEAST_SHARE);
    try {
      return store.load(this.storeId, from, to, Math.ceil(LOAD_ENTRIES * share), LOAD_BYTES * share);
    } catch (error) {
      this.damaged(error as Error);
      return null;
    }
  }

  private damaged(error: Error): void {
    this.damage = error;
    this.queue.damaged(error);
  }

  private loadLater(loaded: Promise<LoadedRange>, use: (range: LoadedRange) => void): void {
    const { version } = this;
    const done = (range: LoadedRange): void => {
      if (version !== this.version) return;
      this.loading = null;
      use(range);
      this.queue.wake();
    };
    this.loading = loaded.then(done, (error: unknown) => {
      if (version !== this.version) return;
      this.loading = null;
      this.damaged(error as Error);
    });
  }

  /** Reads the bytes of returned entries back, from the first one on. */
  private reload(first: QueueEntry): void {
    if (this.loading !== null || this.damage !== null) return;
    const loaded = this.load(first.seq, this.returned[0]!.seq + 1);
    if (loaded === null) return;
    if (loaded instanceof Promise) this.loadLater(loaded, (range) => this.refresh(first, range));
    else this.refresh(first, loaded);
  }

  /** Gives returned entries the messages that were read back. The range also holds entries that are still out. */
  private refresh(first: QueueEntry, range: LoadedRange): void {
    const { returned } = this;
    let at = returned.length - 1;
    for (const { seq, message } of range.entries) {
      while (at >= 0 && returned[at]!.seq < seq) at--;
      const entry = returned[at];
      if (entry === undefined || entry.seq !== seq || !entry.unloaded) continue;
      entry.message = message;
      entry.unloaded = false;
      this.around.memory.held += messageBytes(message);
    }
    if (first.unloaded && first.storeState === STORE_STATE.committed && returned.includes(first)) {
      this.damaged(new Error(`entry ${first.seq} of queue '${this.queue.name}' is not on disk`));
    }
  }

  private takeIn(range: LoadedRange): void {
    const { memory, meters } = this.around;
    const { entries } = range;
    let taken = 0;
    for (let i = 0; i < entries.length; i++) {
      // What is held is on disk among the others, and not ready.
      if (this.held?.has(entries[i]!.seq)) continue;
      const entry = this.revive(entries[i]!);
      memory.held += heldBytes(entry);
      this.pushHead(entry);
      taken++;
    }
    meters.pagedIn += taken;
    this.pagedCount -= taken;
    this.pagedFrom = range.nextSeq;
    // What was counted and is not there (transient entries of an earlier start) is counted no more.
    if (this.pagedFrom >= this.pagedTo && this.pagedCount !== 0) {
      this.count -= this.pagedCount;
      this.pagedCount = 0;
      if (this.count === 0) this.bytes = 0;
    }
  }

  private revive(stored: StoredEntry): QueueEntry {
    const entry = new QueueEntry(
      this.queue,
      stored.seq,
      stored.message,
      stored.expiresAt,
      stored.redelivered,
      this.lane,
    );
    entry.storeState = STORE_STATE.committed;
    if (this.queue.returns !== null) entry.deliveryCount = this.queue.returns.of(stored.seq);
    if (entry.expiresAt !== NEVER_EXPIRES) this.queue.ages();
    return entry;
  }
}

/** Puts an entry into a ring that is sorted by sequence number, from its end on: it seldom has to pass many. */
function insertBySeq(ring: Ring<QueueEntry>, entry: QueueEntry): void {
  let place = ring.length;
  while (place > 0 && ring.at(place - 1)!.seq > entry.seq) place--;
  ring.insert(place, entry);
}

/** How many of the entries, sorted descending, have a higher sequence number. */
function placeOf(entries: readonly QueueEntry[], seq: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (entries[middle]!.seq > seq) low = middle + 1;
    else high = middle;
  }
  return low;
}
