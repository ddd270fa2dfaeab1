// The ready entries of one queue that were delivered and came back, in the order of their numbers. They are usually
// few, and come before all other entries. The bytes of some may be only on disk.

import { messageBytes, type QueueEntry, STORE_STATE } from './queue-entry.ts';
import type { StoredEntry } from './queue-store.ts';

export class ReturnedEntries {
  /** From the highest sequence number to the lowest, so that the next one is popped. */
  private sorted: QueueEntry[];
  /** Entries that returned since the last `peek`: clients return them one by one, in any order. */
  private unsorted: QueueEntry[];

  constructor() {
    this.sorted = [];
    this.unsorted = [];
  }

  add(entries: readonly QueueEntry[]): void {
    for (let i = 0; i < entries.length; i++) this.unsorted.push(entries[i]!);
  }

  /** The first entry that was not withdrawn, or null. */
  peek(): QueueEntry | null {
    if (this.unsorted.length > 0) this.sort();
    const { sorted } = this;
    while (sorted.length > 0) {
      const first = sorted[sorted.length - 1]!;
      if (first.storeState !== STORE_STATE.deleted) return first;
      sorted.pop();
    }
    return null;
  }

  /** Takes the entry that `peek` returned; undefined if that was null. */
  take(): QueueEntry | undefined {
    return this.sorted.pop();
  }

  /** The highest sequence number among the sorted entries. */
  get lastSeq(): number {
    return this.sorted[0]!.seq;
  }

  /** Those that are still there, in no order. */
  *[Symbol.iterator](): IterableIterator<QueueEntry> {
    for (const entries of [this.sorted, this.unsorted]) {
      for (const entry of entries) if (entry.storeState !== STORE_STATE.deleted) yield entry;
    }
  }

  /**
   * Gives entries the messages that were read back, in order; some of these belong to entries that are still
   * outstanding. Returns the bytes that are now in memory.
   */
  refresh(stored: readonly StoredEntry[]): number {
    const { sorted } = this;
    let bytes = 0;
    let at = sorted.length - 1;
    for (const { seq, message } of stored) {
      while (at >= 0 && sorted[at]!.seq < seq) at--;
      const entry = sorted[at];
      if (entry === undefined || entry.seq !== seq || !entry.unloaded) continue;
      entry.message = message;
      entry.unloaded = false;
      bytes += messageBytes(message);
    }
    return bytes;
  }

  private sort(): void {
    const { sorted } = this;
    const back = this.unsorted.sort((a, b) => b.seq - a.seq);
    this.unsorted = [];
    // Only entries that come before the last returned one move. They are few: entries return soon after they were
    // delivered.
    const before = sorted.splice(placeOf(sorted, back[0]!.seq));
    for (let i = 0, j = 0; i < back.length || j < before.length; ) {
      const next =
        j === before.length || (i < back.length && back[i]!.seq > before[j]!.seq) ? back[i++]! : before[j++]!;
      sorted.push(next);
    }
  }
}

/** The number of entries, sorted descending, with a higher sequence number. */
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
