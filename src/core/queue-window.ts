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
  /** Those that came back since somebody last looked: clients return one by one, in any order. */
  private returning: QueueEntry[];
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
  /** Whose the first of them was; null where there are none. */
  private holder: object | null;
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
    this.returning = [];
    this.headBytes = 0;
    this.pagedFrom = 0;
    this.pagedTo = 0;
    this.pagedCount = 0;
    this.loading = null;
    this.damage = null;
    this.held = null;
    this.holder = null;
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
    if (this.isShort() && this.hasRoom(0)) {
      this.around.turn.retain(entry.message);
      this.pushHead(entry);
      return;
    }
    // What only passes through memory on its way to disk needs no memory of its own: the seal copies its bytes.
    if (entry.storeState === STORE_STATE.none) this.around.store.append(entry);
    this.tail.push(entry);
  }

  hold(entry: QueueEntry, holder: object): void {
    this.held ??= new Set();
    this.holder ??= holder;
    this.held.add(entry.seq);
    // Behind what is on disk only, or may be by then, it is found in its place if it is there too.
    const isAlone = this.holder === holder;
    if (entry.storeState === STORE_STATE.none && !(isAlone && this.isShort())) this.around.store.append(entry);
  }

  holdNoMore(entry: QueueEntry): void {
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
        this.around.meters.pagedOut++;
        this.pagedCount++;
        this.release(entry);
      } else {
        if (entry.storeState === STORE_STATE.none) this.around.store.append(entry);
        toTail.push(entry);
      }
    }
    this.head.merge(toHead, seqOf);
    this.tail.merge(toTail, seqOf);
    this.committed();
  }

  peek(): QueueEntry | null {
    if (this.returning.length > 0) this.sortReturned();
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
    for (let i = 0; i < entries.length; i++) {
      this.bytes += entries[i]!.message.bodyLength;
      this.returning.push(entries[i]!);
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
        this.head.merge([entry], seqOf);
        this.headBytes += heldBytes(entry);
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
    for (const entry of [...this.returned, ...this.returning]) {
      if (entry.storeState !== STORE_STATE.deleted) this.release(entry);
    }
    for (const ring of [this.head, this.tail]) {
      for (let entry = ring.shift(); entry !== undefined; entry = ring.shift()) {
        if (entry.storeState !== STORE_STATE.deleted) this.release(entry);
      }
    }
    this.returned = [];
    this.returning = [];
    this.headBytes = 0;
    this.pagedCount = 0;
    this.count = 0;
    this.bytes = 0;
    this.version++;
    this.loading = null;
    this.damage = null;
    return dropped;
  }

  /** Whether all that is ready is in the head. */
  private isShort(): boolean {
    return this.pagedCount === 0 && this.tail.length === 0;
  }

  /** Whether the head takes one more, beside so many that are about to join it. */
  private hasRoom(joining: number): boolean {
    const { limits, memory } = this.around;
    const entries = this.head.length + joining;
    return (
      entries < limits.queueWindowEntries * memory.share && this.headBytes < limits.queueWindowBytes * memory.share
    );
  }

  private pushHead(entry: QueueEntry): void {
    this.head.push(entry);
    this.headBytes += heldBytes(entry);
  }

  /** Whether an entry that becomes ready late must stand in the head, be it full or not. */
  private belongsInHead({ seq, storeState }: QueueEntry): boolean {
    // Read back with what lies around it would be what is out, too.
    const isOvertaken = seq < this.takenTo || seq < this.deliveredTo;
    // What could not be written cannot be read back among what is on disk: it comes before.
    const isMissedByLoads = storeState !== STORE_STATE.committed && seq < this.pagedTo;
    return isOvertaken || isMissedByLoads || this.isPassed(seq);
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

  private sortReturned(): void {
    const { returned } = this;
    const back = this.returning.sort((a, b) => b.seq - a.seq);
    this.returning = [];
    // Only those that come before the last of them move, and there are few: what comes back is what went out last.
    const before = returned.splice(placeOf(returned, back[0]!.seq));
    for (let i = 0, j = 0; i < back.length || j < before.length; ) {
      const next =
        j === before.length || (i < back.length && back[i]!.seq > before[j]!.seq) ? back[i++]! : before[j++]!;
      returned.push(next);
    }
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
    return this.head.length * 2 < this.around.limits.queueWindowEntries && this.hasRoom(0);
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
    entry.terms = stored.terms;
    if (this.queue.returns !== null) entry.deliveryCount = this.queue.returns.of(stored.seq);
    if (entry.expiresAt !== NEVER_EXPIRES) this.queue.ages();
    return entry;
  }
}

const seqOf = (entry: QueueEntry): number => entry.seq;

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
