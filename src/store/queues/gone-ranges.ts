// Which sequence numbers of a queue have no entry any more: everything below the floor, and ranges above it whose
// entries were settled out of order. An acknowledgement in order costs an addition; no record is deleted for it.
//
// A number that was never stored (a transient entry that stayed in memory, an entry acknowledged before it was written)
// is gone too. Writing and loading find such gaps; they are stored only when a settled entry adjoins them.

import { goneKey, u64 } from '../keys.ts';
import type { KvBatch } from '../kv/kv.ts';

interface Range {
  from: number;
  to: number;
  /** Whether a record with this `from` is on disk, or in the next batch. */
  stored: boolean;
  /** Whether the next batch must write it. */
  dirty: boolean;
}

export class GoneRanges {
  /** Everything below it is gone. */
  floor: number;
  /** Disjoint, not adjacent, in order, all above the floor. */
  private ranges: Range[];
  private dirty: Range[];
  /** `from` of records that the next batch removes. */
  private obsolete: number[];

  constructor(floor: number) {
    this.floor = floor;
    this.ranges = [];
    this.dirty = [];
    this.obsolete = [];
  }

  /** Restores a range from disk. Called in order; after a crash a range may lie below the floor. */
  restore(from: number, to: number): void {
    if (from <= this.floor) {
      this.obsolete.push(from);
      if (to > this.floor) this.add(this.floor, to, true);
      return;
    }
    this.ranges.push({ from, to, stored: true, dirty: false });
  }

  /** Adds a range. Not `settled`: only a gap, which is not worth a record of its own. */
  add(from: number, to: number, settled: boolean): void {
    if (to <= this.floor || from >= to) return;
    if (from <= this.floor) {
      this.raise(to);
      return;
    }
    const { ranges } = this;
    // Usually at the end: gaps, and consumers that are ahead of a slow one.
    let first = ranges.length;
    while (first > 0 && ranges[first - 1]!.to >= from) {
      if (first > 16) {
        first = this.indexOf(from);
        break;
      }
      first--;
    }
    let end = first;
    while (end < ranges.length && ranges[end]!.from <= to) end++;
    if (end === first) {
      const range = { from, to, stored: false, dirty: false };
      ranges.splice(first, 0, range);
      if (settled) this.touch(range);
      return;
    }
    const kept = ranges[first]!;
    const last = ranges[end - 1]!;
    if (kept.from <= from && last === kept && kept.to >= to) {
      if (settled && !kept.stored) this.touch(kept);
      return;
    }
    let worth = settled || kept.stored || kept.dirty;
    if (from < kept.from) {
      if (kept.stored) this.obsolete.push(kept.from);
      kept.from = from;
      kept.stored = false;
    }
    const until = Math.max(to, last.to);
    for (let i = first + 1; i < end; i++) {
      worth ||= ranges[i]!.stored || ranges[i]!.dirty;
      this.forget(ranges[i]!);
    }
    kept.to = until;
    if (end > first + 1) ranges.splice(first + 1, end - first - 1);
    if (worth) this.touch(kept);
  }

  /** Removes a number: its entry is written late, below numbers that are already gone. */
  punch(seq: number): void {
    const { ranges } = this;
    if (seq < this.floor) {
      const behind = seq + 1;
      if (behind < this.floor) {
        const range = { from: behind, to: this.floor, stored: false, dirty: false };
        ranges.unshift(range);
        this.touch(range);
      }
      this.floor = seq;
      return;
    }
    const index = this.indexOf(seq);
    const range = ranges[index];
    if (range === undefined || range.from > seq || range.to <= seq) return;
    const to = range.to;
    if (seq === range.from) {
      this.forget(range);
      ranges.splice(index, 1);
    } else {
      range.to = seq;
      if (range.stored || range.dirty) this.touch(range);
    }
    if (seq + 1 < to) {
      const rest = { from: seq + 1, to, stored: false, dirty: false };
      ranges.splice(seq === range.from ? index : index + 1, 0, rest);
      this.touch(rest);
    }
  }

  has(seq: number): boolean {
    return this.covers(seq, seq + 1);
  }

  /** Whether everything in `from <= seq < to` is gone. */
  covers(from: number, to: number): boolean {
    if (to <= this.floor) return true;
    const start = Math.max(from, this.floor);
    if (start > from) return false;
    const range = this.ranges[this.indexOf(from)];
    return range !== undefined && range.from <= from && range.to >= to;
  }

  /** Number of ranges above the floor. */
  get count(): number {
    return this.ranges.length;
  }

  /** Bounds of the range at `index`, in order. */
  rangeAt(index: number): { readonly from: number; readonly to: number } {
    return this.ranges[index]!;
  }

  /** Writes the changed ranges into a batch. The queue writes the floor. */
  gather(batch: KvBatch, queueId: number): void {
    // Removes go first: a range may be stored again under the same key.
    for (const from of this.obsolete) batch.remove(goneKey(queueId, from));
    this.obsolete = [];
    const { dirty } = this;
    if (dirty.length === 0) return;
    this.dirty = [];
    for (const range of dirty) {
      if (!range.dirty) continue;
      range.dirty = false;
      range.stored = true;
      batch.put(goneKey(queueId, range.from), u64(range.to));
    }
  }

  /**
   * The batch of the last `gather` was not written: the next one writes everything again. It may remove keys that do
   * not exist, which costs nothing.
   */
  ungather(removed: readonly number[]): void {
    for (const range of this.ranges) if (range.stored) this.touch(range);
    for (const from of removed) this.obsolete.push(from);
  }

  /** What the next `gather` removes; its caller keeps it for `ungather`. */
  obsoleteNow(): readonly number[] {
    return this.obsolete;
  }

  private raise(to: number): void {
    this.floor = to;
    const { ranges } = this;
    let absorbed = 0;
    while (absorbed < ranges.length && ranges[absorbed]!.from <= this.floor) {
      const range = ranges[absorbed++]!;
      this.forget(range);
      if (range.to > this.floor) this.floor = range.to;
    }
    if (absorbed === 1) ranges.shift();
    else if (absorbed > 1) ranges.splice(0, absorbed);
  }

  private touch(range: Range): void {
    if (range.dirty) return;
    range.dirty = true;
    this.dirty.push(range);
  }

  private forget(range: Range): void {
    if (range.stored) this.obsolete.push(range.from);
    range.dirty = false;
    range.stored = false;
  }

  /** The first range that ends at or behind `seq`. */
  private indexOf(seq: number): number {
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.ranges[middle]!.to < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
