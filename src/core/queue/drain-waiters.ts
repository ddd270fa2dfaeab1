// Publishers that wait until the consumers of one queue have caught up, each with the length below which it goes on.

/** A publisher that waits for consumers to catch up. */
export interface DrainWaiter {
  drained(): void;
}

export class DrainWaiters {
  private readonly levels: Map<DrainWaiter, number>;

  constructor() {
    this.levels = new Map();
  }

  get size(): number {
    return this.levels.size;
  }

  add(waiter: DrainWaiter, level: number): void {
    this.levels.set(waiter, level);
  }

  remove(waiter: DrainWaiter): void {
    this.levels.delete(waiter);
  }

  /** So many messages are ready now. */
  tell(ready: number): void {
    for (const [waiter, level] of this.levels) {
      if (ready >= level) continue;
      this.levels.delete(waiter);
      waiter.drained();
    }
  }
}
