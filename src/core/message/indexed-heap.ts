// A binary heap whose items know their index in it, so that any of them can be removed: adding and removing cost the
// logarithm of the size, and looking at the first costs nothing.

/** An item of a heap. */
export interface HeapItem {
  /** Its index in the heap, or -1. Maintained by the heap. */
  heapIndex: number;
}

export class IndexedHeap<T extends HeapItem> {
  private readonly items: T[];
  private readonly before: (a: T, b: T) => boolean;

  /** `before` tells whether an item comes before another one. */
  constructor(before: (a: T, b: T) => boolean) {
    this.items = [];
    this.before = before;
  }

  get size(): number {
    return this.items.length;
  }

  /** The item that comes before all others, or null. */
  get first(): T | null {
    return this.items[0] ?? null;
  }

  /** Adds an item that is in no heap. */
  add(item: T): void {
    item.heapIndex = this.items.length;
    this.items.push(item);
    this.rise(item);
  }

  /** Removes an item of this heap. */
  remove(item: T): void {
    const { items } = this;
    const index = item.heapIndex;
    item.heapIndex = -1;
    const last = items.pop()!;
    if (last === item) return;
    last.heapIndex = index;
    items[index] = last;
    this.sink(last);
    this.rise(last);
  }

  private rise(item: T): void {
    const { items } = this;
    let index = item.heapIndex;
    while (index > 0) {
      const above = (index - 1) >>> 1;
      const parent = items[above]!;
      if (!this.before(item, parent)) break;
      items[index] = parent;
      parent.heapIndex = index;
      index = above;
    }
    items[index] = item;
    item.heapIndex = index;
  }

  private sink(item: T): void {
    const { items } = this;
    let index = item.heapIndex;
    for (;;) {
      let below = 2 * index + 1;
      if (below >= items.length) break;
      if (below + 1 < items.length && this.before(items[below + 1]!, items[below]!)) below++;
      const child = items[below]!;
      if (!this.before(child, item)) break;
      items[index] = child;
      child.heapIndex = index;
      index = below;
    }
    items[index] = item;
    item.heapIndex = index;
  }
}
