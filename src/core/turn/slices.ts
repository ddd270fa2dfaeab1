// Slices of work that awaits something in between, and so cannot be a task of the work list: a SUBSCRIBE with 10,000
// filters, each of which asks for a permission; a search for retained messages. Such work does a bounded piece, awaits
// `next`, and does the next one. However many do so at once, one pass of the event loop starts no further slice after
// its time is over; the others continue in the next pass, in the order in which they asked.

import { Ring } from '../message/ring.ts';
import type { TurnWatch, Worker } from './turn-watch.ts';

interface Waiter {
  readonly worker: Worker;
  readonly resolve: () => void;
}

export class Slices {
  private readonly watch: TurnWatch;
  private readonly passMs: number;
  private readonly waiting: Ring<Waiter>;
  /** Counts the passes of the event loop in which slices ran. */
  private pass: number;
  private passEndsAt: number;

  /** `passMs`: the time after which a pass starts no further slice. */
  constructor(watch: TurnWatch, passMs: number) {
    this.watch = watch;
    this.passMs = passMs;
    this.waiting = new Ring();
    this.pass = 0;
    this.passEndsAt = 0;
  }

  /** Resolves when the next slice of this work may begin: after sockets were read and others had their slices. */
  next(worker: Worker): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push({ worker, resolve });
      this.schedule();
    });
  }

  /** A callback for each waiter: the slice runs in the microtasks that follow it, before the next callback. */
  private schedule(): void {
    const asked = this.pass;
    setImmediate(() => this.release(asked));
  }

  private release(asked: number): void {
    const began = this.watch.now();
    // What was scheduled in one pass runs in the next one.
    if (asked === this.pass) {
      this.pass++;
      this.passEndsAt = began + this.passMs;
    }
    if (began >= this.passEndsAt) {
      this.schedule();
      return;
    }
    const { worker, resolve } = this.waiting.shift()!;
    resolve();
    // Next ticks that a microtask asks for come after all microtasks.
    queueMicrotask(() => process.nextTick(() => this.watch.ended('completion', worker, began)));
  }
}
