// Waiting for events on a connection of any protocol: for an answer or the end of the connection. A violation by the
// broker fails every wait. A protocol's connection extends this class and reports each event.

export class Conversation {
  /** The broker's violation, or the end of the check. */
  protected failure: Error | null;
  protected finished: boolean;
  private waiting: (() => void)[];

  /** `signal`: aborted when the check's time limit is reached. */
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

  /** Resolves as soon as the condition holds. Rejects if the connection ends before, or has failed. */
  async until(satisfied: () => boolean, what: string): Promise<void> {
    while (!satisfied()) {
      this.requireUnfailed();
      if (this.finished) throw new Error(`expected ${what}, got the end of the connection`);
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    // The condition may hold although a violation came in the same chunk.
    this.requireUnfailed();
  }

  protected requireUnfailed(): void {
    if (this.failure !== null) throw this.failure;
  }

  /** Called after each event. */
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
