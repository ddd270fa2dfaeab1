// A disk whose commits complete when the test says so. The test can wait until a commit was requested, so it needs no
// clock.

import type { KvBatch } from '../../src/store/kv/kv.ts';
import { FaultyKv } from '../support/faulty-kv.ts';

export class HeldKv extends FaultyKv {
  private waiters: (() => void)[] = [];

  override commit(batch: KvBatch): Promise<void> {
    const ended = super.commit(batch);
    if (this.waiting) for (const wake of this.waiters.splice(0)) wake();
    return ended;
  }

  /** Resolves when a commit is pending. */
  async whenWaiting(): Promise<void> {
    while (!this.waiting) {
      await new Promise<void>((resolve) => {
        this.waiters.push(resolve);
      });
    }
  }

  /** Completes pending commits, and from now on each commit at once. */
  releaseHeld(): void {
    this.hold = false;
    if (this.waiting) this.release();
  }

  /** From now on the disk is full, even for commits that free space. */
  fill(): void {
    this.full = true;
    this.fullForAll = true;
  }

  makeSpace(): void {
    this.full = false;
  }
}
