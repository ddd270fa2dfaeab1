// The ready entries of one queue that were out with somebody and came back, in the order of their numbers. They are few
// as a rule, and ahead of everything else. The bytes of some may be on disk only.

import { messageBytes, type QueueEntry, STORE_STATE } from './queue-entry.ts';
import type { StoredEntry } from './queue-store.ts';

export class ReturnedEntries {
  /** From the highest sequence number to the lowest, so that the next one is popped. */
  private sorted: QueueEntry[];
  /** Those that came back since somebody last looked: clients return one by one, in any order. */
  private unsorted: QueueEntry[];

  constructor() {
    this.sorted = [];
    this.unsorted = [];
  }

  add(entries: readonly QueueEntry[]): void {
    for (let i = 0; i < entries.length; i++) this.unsorted.push(entries[i]!);
  }

  /** The first that was not withdrawn, or null. */
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

  /** Takes what `peek` returned; undefined where that was null. */
  take(): QueueEntry | undefined {
    return this.sorted.pop();
  }

  /** The number of the last one, as far as they were looked at. */
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
   * Gives entries the messages that were read back, in order; among them are those of entries that are still out. Returns
   * the bytes that are in memory now.
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
    // Only those that come before the last of them move, and there are few: what comes back is what went out last.
    const before = sorted.splice(placeOf(sorted, back[0]!.seq));
    for (let i = 0, j = 0; i < back.length || j < before.length; ) {
      const next =
        j === before.length || (i < back.length && back[i]!.seq > before[j]!.seq) ? back[i++]! : before[j++]!;
      sorted.push(next);
    }
  }
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
