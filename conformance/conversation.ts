// What a check waits for on a connection of any protocol: something that it has asked for, or the end; and what no broker
// may do, which ends the waiting whatever was waited for. A protocol's connection extends it and says when something came.

export class Conversation {
  /** What the broker may not do, or that the check is over. */
  protected failure: Error | null;
  protected finished: boolean;
  private waiting: (() => void)[];

  /** `signal`: aborted when the check's time is up. */
  constructor(signal: AbortSignal) {
    this.failure = null;
    this.finished = false;
    this.waiting = [];
    signal.addEventListener('abort', () => this.fail(new Error('the check is over')));
  }

  /** Whether the broker has ended the connection. */
  get ends(): boolean {
    return this.finished;
  }

  /** Resolves as soon as it is so. Rejects where the connection ends before, or has failed. */
  async until(satisfied: () => boolean, what: string): Promise<void> {
    while (!satisfied()) {
      this.requireUnfailed();
      if (this.finished) throw new Error(`expected ${what}, got the end of the connection`);
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    // What satisfies may stand beside what no broker may send.
    this.requireUnfailed();
  }

  protected requireUnfailed(): void {
    if (this.failure !== null) throw this.failure;
  }

  /** Something has come. */
  protected wake(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }

  protected fail(error: Error): void {
    this.failure ??= error;
    this.wake();
  }

  protected finish(): void {
    this.finished = true;
    this.wake();
  }
}
