// Publishers that wait until the consumers of one queue have caught up, each with the queue length below which it
// continues.

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

  /** Wakes the publishers that wait for a queue length above `ready`. */
  tell(ready: number): void {
    for (const [waiter, level] of this.levels) {
      if (ready >= level) continue;
      this.levels.delete(waiter);
      waiter.drained();
    }
  }
}
