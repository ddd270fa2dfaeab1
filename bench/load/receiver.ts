// Counts deliveries and, in a paced run, records their latencies.

import { COUNTER, type Job, LATENCY_BUCKET_US, LATENCY_BUCKETS, nowUs } from './workload.ts';

export class Receiver {
  private readonly counters: Float64Array;
  private readonly latencies: Uint32Array;
  private readonly timed: boolean;

  constructor(job: Job) {
    this.counters = new Float64Array(job.counters);
    this.latencies = new Uint32Array(job.latencies);
    this.timed = job.workload.rate > 0;
  }

  /** Counts a message whose body starts at `offset`. */
  received(buffer: Buffer, offset: number): void {
    this.counters[COUNTER.received]!++;
    if (this.timed && this.counters[COUNTER.measuring] === 1) {
      const bucket = Math.floor((nowUs() - buffer.readDoubleLE(offset)) / LATENCY_BUCKET_US);
      this.latencies[Math.min(LATENCY_BUCKETS - 1, Math.max(0, bucket))]!++;
    }
  }
}
