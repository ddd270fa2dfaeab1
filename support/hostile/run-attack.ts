// Runs one attack beside the watchers, and says what it did to them and to the broker.

import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Attack } from './attack.ts';
import type { HostileBroker } from './hostile-broker.ts';
import type { Waits, Watchers } from './watchers.ts';
import type { WorkerInput } from './worker.ts';

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url));
const SAMPLE_MS = 50;

export interface AttackResult {
  readonly waits: Record<string, Waits>;
  /** The most anonymous memory that the broker had, in MiB. */
  readonly mostRssAnonMib: number;
  /** The longest pause of the broker's event loop, in ms. */
  readonly longestPauseMs: number;
  readonly tookMs: number;
}

/**
 * Resolves when the attack has its answers and every watcher has had one more exchange. An attack that takes longer
 * than `limitMs` is ended.
 */
export async function runAttack(
  attack: Attack,
  broker: HostileBroker,
  watchers: Watchers,
  limitMs: number,
): Promise<AttackResult> {
  watchers.take();
  await broker.longestPauseMs();
  const began = performance.now();
  let mostRssAnonMib = 0;
  const sampling = setInterval(async () => {
    if (broker.alive) mostRssAnonMib = Math.max(mostRssAnonMib, await broker.rssAnonMib());
  }, SAMPLE_MS);
  try {
    await attackInWorker(attack, broker, limitMs);
    await watchers.onceMore();
  } finally {
    clearInterval(sampling);
  }
  return {
    waits: watchers.take(),
    mostRssAnonMib,
    longestPauseMs: broker.alive ? await broker.longestPauseMs() : Number.NaN,
    tookMs: performance.now() - began,
  };
}

async function attackInWorker(attack: Attack, broker: HostileBroker, limitMs: number): Promise<void> {
  const workerData: WorkerInput = { name: attack.name, ports: broker.ports };
  const worker = new Worker(WORKER, { workerData });
  worker.on('message', ({ moveClockMs }: { moveClockMs: number }) => {
    broker.moveClock(moveClockMs).then(
      () => worker.postMessage('moved'),
      () => worker.terminate(),
    );
  });
  const failed: Error[] = [];
  worker.on('error', (error: Error) => failed.push(error));
  const limit = setTimeout(() => {
    failed.push(new Error(`the attack had no answer within ${limitMs} ms`));
    void worker.terminate();
  }, limitMs);
  await new Promise((resolve) => worker.once('exit', resolve));
  clearTimeout(limit);
  if (failed.length > 0) throw failed[0];
}
