// The clock and the bell of a test in which several programs talk at once: every entry of a ledger takes the next
// number, and whoever waits for something looks again after each. So tests go on by what has happened, never by time.

/** Far above what a busy machine needs; what has not happened by then will not. */
const LIMIT_MS = 120_000;

export class Watch {
  /** What is said of how things stand where they do not go on. */
  describe: () => string;
  private readonly limit: NodeJS.Timeout;
  private ticks: number;
  private waiting: { holds: () => boolean; resolve: () => void; reject: (error: Error) => void }[];
  private failure: Error | null;

  constructor() {
    this.describe = () => '';
    this.limit = setTimeout(() => this.fail(new Error(`it does not go on\n${this.describe()}`)), LIMIT_MS);
    this.ticks = 0;
    this.waiting = [];
    this.failure = null;
  }

  /** How much has happened. */
  get now(): number {
    return this.ticks;
  }

  /** The number of what happens now; everything before has a lower one. Wakes who waits. */
  tick(): number {
    const tick = ++this.ticks;
    // What belongs to this entry is written first, by whoever asked for the number.
    queueMicrotask(() => this.look());
    return tick;
  }

  /** Resolves once the condition holds, rejects once something failed. */
  until(holds: () => boolean): Promise<void> {
    if (this.failure !== null) return Promise.reject(this.failure);
    if (holds()) return Promise.resolve();
    return new Promise((resolve, reject) => this.waiting.push({ holds, resolve, reject }));
  }

  /** What should not have happened ends the waiting of all. */
  fail(error: Error): void {
    this.failure ??= error;
    for (const { reject } of this.waiting.splice(0)) reject(this.failure);
  }

  end(): void {
    clearTimeout(this.limit);
  }

  private look(): void {
    const waiting = this.waiting;
    this.waiting = [];
    for (const each of waiting) {
      if (each.holds()) each.resolve();
      else this.waiting.push(each);
    }
  }
}
