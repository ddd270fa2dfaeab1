// Runs one workload against one broker: a publishing thread, a consuming thread, one second of warm-up, then two
// readings of the counters.

import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { Endpoints } from '../../support/peers.ts';
import {
  COUNTER,
  COUNTERS,
  type Job,
  LATENCY_BUCKET_US,
  LATENCY_BUCKETS,
  type LoadResult,
  type Speaker,
  type Workload,
} from './workload.ts';

const WARM_UP_MS = 1000;
const WORKER = new URL('./worker.ts', import.meta.url);

let runs = 0;

/** Null if the broker does not speak one of the protocols. Rejects with the first error of either thread. */
export async function runLoad(workload: Workload, broker: Endpoints, seconds: number): Promise<LoadResult | null> {
  const from = portOf(workload.publisher, broker);
  const to = portOf(workload.consumer, broker);
  if (from === undefined || to === undefined) return null;
  const shared = {
    workload,
    path: broker.webStompPath ?? '/stomp',
    name: `bench.${process.pid}.${++runs}`,
    counters: new SharedArrayBuffer(COUNTERS * Float64Array.BYTES_PER_ELEMENT),
    latencies: new SharedArrayBuffer(LATENCY_BUCKETS * Uint32Array.BYTES_PER_ELEMENT),
  };
  const counters = new Float64Array(shared.counters);
  const threads: Thread[] = [];
  try {
    const consumer = new Thread({ ...shared, role: 'consume', port: to });
    threads.push(consumer);
    await consumer.ready;
    const publisher = new Thread({ ...shared, role: 'publish', port: from });
    threads.push(publisher);
    await publisher.ready;
    const failure = Promise.race(threads.map((thread) => thread.failure));
    publisher.start();
    await Promise.race([delay(WARM_UP_MS), failure]);
    const before = Float64Array.from(counters);
    counters[COUNTER.measuring] = 1;
    const started = performance.now();
    await Promise.race([delay(seconds * 1000), failure]);
    const after = Float64Array.from(counters);
    counters[COUNTER.measuring] = 0;
    const elapsed = (performance.now() - started) / 1000;
    const rate = (at: number) => (after[at]! - before[at]!) / elapsed;
    const timed = workload.rate > 0;
    const latencies = new Uint32Array(shared.latencies);
    return {
      sent: rate(COUNTER.sent),
      received: rate(COUNTER.received),
      confirmed: rate(COUNTER.confirmed),
      p50: timed ? percentileMs(latencies, 0.5) : null,
      p99: timed ? percentileMs(latencies, 0.99) : null,
    };
  } finally {
    await Promise.all(threads.map((thread) => thread.end()));
  }
}

class Thread {
  /** Resolves when the thread is connected; rejects if connecting fails. */
  readonly ready: Promise<void>;
  /** Rejects when the thread fails, during connecting or later. */
  readonly failure: Promise<never>;
  private readonly worker: Worker;

  constructor(job: Job) {
    this.worker = new Worker(WORKER, { workerData: job });
    this.failure = new Promise((_, reject) => {
      this.worker.on('error', reject);
      this.worker.on('message', (message: unknown) => {
        if (message !== 'ready') reject(new Error((message as { failed: string }).failed));
      });
    });
    this.failure.catch(() => {});
    const connected = new Promise<void>((resolve) => {
      this.worker.once('message', () => resolve());
    });
    this.ready = Promise.race([this.failure, connected]);
  }

  start(): void {
    this.worker.postMessage('start');
  }

  async end(): Promise<void> {
    await this.worker.terminate();
  }
}

function portOf(speaker: Speaker, broker: Endpoints): number | undefined {
  return speaker === 'webstomp' ? broker.webStomp : broker[speaker];
}

function percentileMs(latencies: Uint32Array, share: number): number {
  let total = 0;
  for (const count of latencies) total += count;
  let seen = 0;
  for (let bucket = 0; bucket < latencies.length; bucket++) {
    seen += latencies[bucket]!;
    if (seen >= total * share) return (bucket * LATENCY_BUCKET_US) / 1000;
  }
  return (LATENCY_BUCKETS * LATENCY_BUCKET_US) / 1000;
}
