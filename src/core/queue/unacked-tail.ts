// Entries that a client has kept for long, by delivery tag: a sorted list with holes, which are closed when they are as
// many as the entries. The ledger of a channel (unacked.ts) moves entries here, in the order of their tags.

import type { QueueEntry } from './queue-entry.ts';

export class UnackedTail {
  private tags: number[];
  private entries: (QueueEntry | null)[];
  /** Everything before it is a hole. */
  private first: number;
  private count: number;

  constructor() {
    this.tags = [];
    this.entries = [];
    this.first = 0;
    this.count = 0;
  }

  get size(): number {
    return this.count;
  }

  /** Takes an entry in. Its tag is higher than all before. */
  add(tag: number, entry: QueueEntry): void {
    if (this.tags.length > this.count * 2) this.close();
    this.tags.push(tag);
    this.entries.push(entry);
    this.count++;
  }

  get(tag: number): QueueEntry | null {
    return this.entries[this.place(tag)] ?? null;
  }

  /** Removes and returns the entry with that tag, or null where there is none. */
  take(tag: number): QueueEntry | null {
    const at = this.place(tag);
    const entry = this.entries[at] ?? null;
    if (entry === null) return null;
    this.entries[at] = null;
    this.count--;
    while (this.first < this.entries.length && this.entries[this.first] === null) this.first++;
    if (this.count === 0) this.close();
    return entry;
  }

  /** Removes and returns the oldest entry where its tag is not above `tag`, else null. */
  takeFirst(tag: number): QueueEntry | null {
    const oldest = this.tags[this.first];
    return oldest === undefined || oldest > tag ? null : this.take(oldest);
  }

  /** The tags of its entries that are above `tag`, in order. */
  tagsAbove(tag: number): number[] {
    return this.tags.filter((each, at) => each > tag && this.entries[at] !== null);
  }

  /** Where the tag stands, or -1. */
  private place(tag: number): number {
    let low = this.first;
    let high = this.tags.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.tags[middle]! < tag) low = middle + 1;
      else high = middle;
    }
    return this.tags[low] === tag ? low : -1;
  }

  private close(): void {
    let kept = 0;
    for (let i = this.first; i < this.tags.length; i++) {
      if (this.entries[i] === null) continue;
      this.tags[kept] = this.tags[i]!;
      this.entries[kept++] = this.entries[i]!;
    }
    this.tags.length = kept;
    this.entries.length = kept;
    this.first = 0;
  }
}
