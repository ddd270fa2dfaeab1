// A first-in first-out ring: push at the tail, shift at the head, both O(1), in place of `Array.shift`. It grows by
// doubling and gives its memory back when it empties after having been large. An unused ring allocates nothing.

const FIRST_CAPACITY = 16;
/** A ring that was larger than this drops its array when it runs empty. */
const KEEP_CAPACITY = 4096;

export class Ring<T> {
  private items: (T | undefined)[];
  private head: number;
  private count: number;

  constructor() {
    this.items = [];
    this.head = 0;
    this.count = 0;
  }

  get length(): number {
    return this.count;
  }

  push(item: T): void {
    if (this.count === this.items.length) this.grow();
    this.items[(this.head + this.count) & (this.items.length - 1)] = item;
    this.count++;
  }

  /**
   * Takes in `items`, which are sorted by rank as the ring is, each behind those of a lower or its own rank. One pass from
   * the tail: it costs the items and what they pass, not their product.
   */
  merge(items: readonly T[], rank: (item: T) => number): void {
    let from = this.count - 1;
    for (let i = 0; i < items.length; i++) this.push(items[i]!);
    const all = this.items;
    const mask = all.length - 1;
    for (let left = items.length - 1, to = this.count - 1; left >= 0; to--) {
      const passed = from < 0 ? undefined : all[(this.head + from) & mask]!;
      if (passed !== undefined && rank(passed) > rank(items[left]!)) {
        all[(this.head + to) & mask] = passed;
        from--;
      } else {
        all[(this.head + to) & mask] = items[left--];
      }
    }
  }

  /** The item at the head, or undefined where the ring is empty. */
  peek(): T | undefined {
    return this.count === 0 ? undefined : this.items[this.head];
  }

  /** The item `index` places behind the head; undefined beyond the end. */
  at(index: number): T | undefined {
    return index < this.count ? this.items[(this.head + index) & (this.items.length - 1)] : undefined;
  }

  shift(): T | undefined {
    if (this.count === 0) return undefined;
    const item = this.items[this.head];
    this.items[this.head] = undefined;
    this.head = (this.head + 1) & (this.items.length - 1);
    if (--this.count === 0 && this.items.length > KEEP_CAPACITY) this.clear();
    return item;
  }

  /** From the head to the tail. */
  *[Symbol.iterator](): IterableIterator<T> {
    for (let i = 0; i < this.count; i++) yield this.at(i)!;
  }

  clear(): void {
    this.items = [];
    this.head = 0;
    this.count = 0;
  }

  private grow(): void {
    const capacity = this.items.length === 0 ? FIRST_CAPACITY : this.items.length * 2;
    const items: (T | undefined)[] = new Array(capacity).fill(undefined);
    for (let i = 0; i < this.count; i++) items[i] = this.items[(this.head + i) & (this.items.length - 1)];
    this.items = items;
    this.head = 0;
  }
}
