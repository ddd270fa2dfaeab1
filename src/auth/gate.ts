// Lets a bounded number of asynchronous pieces of work run at a time and a bounded number wait; more are refused.
// Password hashes pass through one, so that a flood of logins takes neither all memory nor the threads that the store
// commits on.

export class Gate {
  private readonly width: number;
  private readonly waitingLimit: number;
  private running: number;
  private readonly waiting: (() => void)[];

  constructor(width: number, waitingLimit: number) {
    this.width = width;
    this.waitingLimit = waitingLimit;
    this.running = 0;
    this.waiting = [];
  }

  /** The result of `work`, or null where too many wait already. */
  async pass<Result>(work: () => Promise<Result>): Promise<Result | null> {
    if (this.running >= this.width) {
      if (this.waiting.length >= this.waitingLimit) return null;
      // Whoever leaves hands over its place, so that nobody slips in between.
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    } else this.running++;
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.running--;
      else next();
    }
  }
}
