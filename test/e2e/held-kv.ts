// A disk whose commits end when the test says so, with a way to wait until one has been asked for: what happens then
// needs no clock.

import type { KvBatch } from '../../src/store/kv/kv.ts';
import { FaultyKv } from '../support/faulty-kv.ts';

export class HeldKv extends FaultyKv {
  private waiters: (() => void)[] = [];

  override commit(batch: KvBatch): Promise<void> {
    const ended = super.commit(batch);
    if (this.waiting) for (const wake of this.waiters.splice(0)) wake();
    return ended;
  }

  /** Resolves when a commit waits. */
  async whenWaiting(): Promise<void> {
    while (!this.waiting) {
      await new Promise<void>((resolve) => {
        this.waiters.push(resolve);
      });
    }
  }

  /** Ends what waits, and all that come from now on, at once. */
  releaseHeld(): void {
    this.hold = false;
    if (this.waiting) this.release();
  }

  /** From now on there is no space, not even for what frees some. */
  fill(): void {
    this.full = true;
    this.fullForAll = true;
  }

  makeSpace(): void {
    this.full = false;
  }
}
