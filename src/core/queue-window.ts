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

import type { CoreLimits } from './limits.ts';
import { ENTRY_OVERHEAD_BYTES, type MemoryBudget } from './memory-budget.ts';
import type { LoadedRange, Meters, QueueStore, StoredEntry } from './ports.ts';
import type { Queue } from './queue.ts';
import { QueueEntry, STORE_STATE } from './queue-entry.ts';
import { Ring } from './ring.ts';

/** While memory is short, windows shrink to this share. */
const PRESSED_SHARE = 1 / 8;
/** Entries that one load reads at most, so that a turn stays short. */
const LOAD_ENTRIES = 4096;
const LOAD_BYTES = 4 * 1024 * 1024;

/** What a window needs from its surroundings; shared by all queues. */
export interface WindowSurroundings {
  readonly store: QueueStore;
  readonly memory: MemoryBudget;
  readonly limits: CoreLimits;
  readonly meters: Meters;
}

/** Bytes that an entry holds in memory. */
export function heldBytes(entry: QueueEntry): number {
  return ENTRY_OVERHEAD_BYTES + entry.message.bodyLength + entry.message.nativeLength;
}

export class QueueWindow {
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
  /** Grows when the contents were dropped: a load that was under way then is void. */
  private version: number;
  private count: number;

  constructor(queue: Queue, around: WindowSurroundings) {
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
    this.version = 0;
    this.count = 0;
  }

  /** Ready entries, in memory or not. */
  get length(): number {
    return this.count;
  }

  /** Ready entries that are on disk only. */
  get pagedLength(): number {
    return this.pagedCount;
  }

  /** What a restart found on disk: `count` entries in [from, to). */
  recover(from: number, to: number, count: number): void {
    this.pagedFrom = from;
    this.pagedTo = to;
    this.pagedCount = count;
    this.count = count;
  }

  append(entry: QueueEntry): void {
    this.count++;
    this.around.memory.held += heldBytes(entry);
    if (this.pagedCount === 0 && this.tail.length === 0 && this.hasRoom()) {
      this.pushHead(entry);
      return;
    }
    if (entry.storeState === STORE_STATE.none) {
      this.around.meters.pagedOut++;
      this.around.store.append(entry);
    }
    this.tail.push(entry);
  }

  /** The next entry, or null: the queue is empty, or its head is being read back and `queue.wake` will be called. */
  peek(): QueueEntry | null {
    const last = this.returned[this.returned.length - 1];
    if (last !== undefined) return last;
    if (this.head.length * 2 < this.around.limits.queueWindowEntries && (this.pagedCount > 0 || this.tail.length > 0)) {
      this.refill();
    }
    for (let entry = this.head.peek(); entry !== undefined; entry = this.head.peek()) {
      if (entry.storeState !== STORE_STATE.deleted) return entry;
      this.shiftHead();
    }
    return null;
  }

  /** Takes the entry that `peek` returned. It stays accounted for until `release`. */
  take(): QueueEntry {
    this.count--;
    return this.returned.pop() ?? this.shiftHead();
  }

  /** Resolves when the load that is under way is in; null where none is. */
  whenReadBack(): Promise<void> | null {
    return this.loading;
  }

  /** The entry left memory for good: settled, dropped or withdrawn. */
  release(entry: QueueEntry): void {
    this.around.memory.held -= heldBytes(entry);
  }

  /** Entries come back, in any order; they are delivered again in their original order. */
  putBack(entries: readonly QueueEntry[]): void {
    this.count += entries.length;
    if (entries.length === 1 && this.returned.length > 0) {
      insertDescending(this.returned, entries[0]!);
      return;
    }
    this.returned.push(...entries);
    this.returned.sort((a, b) => b.seq - a.seq);
  }

  /** An entry was committed: newest entries that are safe on disk leave memory. */
  committed(): void {
    for (let entry = this.tail.peek(); entry !== undefined; entry = this.tail.peek()) {
      if (entry.storeState === STORE_STATE.deleted) {
        this.tail.shift();
        continue;
      }
      if (entry.storeState !== STORE_STATE.committed) return;
      this.tail.shift();
      if (this.pagedCount === 0) this.pagedFrom = entry.seq;
      this.pagedTo = entry.seq + 1;
      this.pagedCount++;
      this.release(entry);
    }
  }

  /** A ready entry was refused by the store: it is skipped wherever it stands. */
  withdrawn(entry: QueueEntry): void {
    this.count--;
    this.release(entry);
  }

  /** Forgets all ready entries, on disk or not. Returns how many there were. */
  clear(): number {
    const dropped = this.count;
    for (const entry of this.returned) this.release(entry);
    for (const ring of [this.head, this.tail]) {
      for (let entry = ring.shift(); entry !== undefined; entry = ring.shift()) {
        if (entry.storeState !== STORE_STATE.deleted) this.release(entry);
      }
    }
    this.returned = [];
    this.headBytes = 0;
    this.pagedCount = 0;
    this.count = 0;
    this.version++;
    this.loading = null;
    return dropped;
  }

  private hasRoom(): boolean {
    const { limits, memory } = this.around;
    const share = memory.pressed ? PRESSED_SHARE : 1;
    return this.head.length < limits.queueWindowEntries * share && this.headBytes < limits.queueWindowBytes * share;
  }

  private pushHead(entry: QueueEntry): void {
    this.head.push(entry);
    this.headBytes += heldBytes(entry);
  }

  private shiftHead(): QueueEntry {
    const entry = this.head.shift()!;
    this.headBytes -= heldBytes(entry);
    return entry;
  }

  /** Brings entries towards the head: from disk as long as some are there, then those that never left memory. */
  private refill(): void {
    while (this.pagedCount > 0 && this.loading === null && this.hasRoom() && this.needsMore()) {
      const { store } = this.around;
      const loaded = store.load(this.queue.id, this.pagedFrom, this.pagedTo, LOAD_ENTRIES, LOAD_BYTES);
      if (loaded instanceof Promise) {
        this.loadLater(loaded);
        return;
      }
      this.takeIn(loaded);
    }
    if (this.pagedCount > 0 || this.loading !== null) return;
    for (let entry = this.tail.shift(); entry !== undefined; entry = this.tail.shift()) {
      if (entry.storeState !== STORE_STATE.deleted) this.pushHead(entry);
    }
  }

  private needsMore(): boolean {
    return this.head.length * 2 < this.around.limits.queueWindowEntries;
  }

  private loadLater(loaded: Promise<LoadedRange>): void {
    const { version } = this;
    const done = (range: LoadedRange): void => {
      if (version !== this.version) return;
      this.loading = null;
      this.takeIn(range);
      this.queue.wake();
    };
    this.loading = loaded.then(done, (error: unknown) => {
      if (version === this.version) this.queue.damaged(error as Error);
    });
  }

  private takeIn(range: LoadedRange): void {
    const { memory, meters } = this.around;
    const { entries } = range;
    for (let i = 0; i < entries.length; i++) {
      const entry = this.revive(entries[i]!);
      memory.held += heldBytes(entry);
      this.pushHead(entry);
    }
    meters.pagedIn += entries.length;
    this.pagedCount -= entries.length;
    this.pagedFrom = range.nextSeq;
    // What was counted and is not there (transient entries of an earlier start) is counted no more.
    if (this.pagedFrom >= this.pagedTo && this.pagedCount !== 0) {
      this.count -= this.pagedCount;
      this.pagedCount = 0;
    }
  }

  private revive(stored: StoredEntry): QueueEntry {
    const entry = new QueueEntry(this.queue, stored.seq, stored.message, stored.expiresAt, stored.redelivered);
    entry.storeState = STORE_STATE.committed;
    return entry;
  }
}

function insertDescending(entries: QueueEntry[], entry: QueueEntry): void {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (entries[middle]!.seq > entry.seq) low = middle + 1;
    else high = middle;
  }
  entries.splice(low, 0, entry);
}
