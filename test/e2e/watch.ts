// The logical clock of a test with several programs: every ledger entry takes the next number, and every waiter checks
// its condition again after each. So the tests proceed by events, not by time.

/** Far above what a busy machine needs; a wait that takes longer fails. */
const LIMIT_MS = 120_000;

export class Watch {
  /** Describes the state when a wait fails. */
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

  /** Number of events so far. */
  get now(): number {
    return this.ticks;
  }

  /** Returns the number of a new event, larger than all before, and wakes the waiters. */
  tick(): number {
    const tick = ++this.ticks;
    // Deferred, so that the caller writes its ledger entry first.
    queueMicrotask(() => this.look());
    return tick;
  }

  /** Resolves once the condition holds, rejects once something failed. */
  until(holds: () => boolean): Promise<void> {
    if (this.failure !== null) return Promise.reject(this.failure);
    if (holds()) return Promise.resolve();
    return new Promise((resolve, reject) => this.waiting.push({ holds, resolve, reject }));
  }

  /** Fails all waiters, now and later. */
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
