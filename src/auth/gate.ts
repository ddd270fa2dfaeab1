// Runs a bounded number of asynchronous jobs at a time, lets a bounded number wait, and refuses more. Password hashes
// go through one, so that a flood of logins takes neither all memory nor the threads on which the store commits.

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

  /** The result of `work`, or null if too many are waiting. */
  async pass<Result>(work: () => Promise<Result>): Promise<Result | null> {
    if (this.running >= this.width) {
      if (this.waiting.length >= this.waitingLimit) return null;
      // A job that ends hands its place to the first one waiting, so that no new job can overtake it.
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
