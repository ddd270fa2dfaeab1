// Faults of ours that are contained: an exception while one connection is served, in a task that belongs to one queue, or
// in a timer. Whoever contains one (the turn, a consumer, a confirm ring) ends what it belongs to and reports it here,
// where it is counted and logged with its stack. What leaves the turn itself or the store in doubt is not contained: it
// ends the process (src/cli/start.ts).

import { type Logger, SILENT } from '../logger.ts';
import type { Worker } from './turn-watch.ts';

export const FAULT_BOUNDARIES = ['input', 'delivery', 'confirm', 'flush', 'task', 'timer', 'tick'] as const;
export type FaultBoundary = (typeof FAULT_BOUNDARIES)[number];

export class Faults {
  /** By boundary, since the start. */
  readonly counts: Record<FaultBoundary, number>;
  private readonly log: Logger;

  constructor(log: Logger = SILENT) {
    this.counts = { input: 0, delivery: 0, confirm: 0, flush: 0, task: 0, timer: 0, tick: 0 };
    this.log = log;
  }

  /** `worker` tells on whose behalf the work was done; null: nobody's. */
  report(boundary: FaultBoundary, error: unknown, worker: Worker | null): void {
    this.counts[boundary]++;
    const stack = error instanceof Error ? error.stack : String(error);
    this.log.error({ boundary, ...worker?.describeWork(), error: stack }, 'a fault of ours was contained');
  }
}
