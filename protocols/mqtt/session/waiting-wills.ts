// The memory of wills whose clients are away and whose delay is not over. A session costs its client nothing while it is
// away, so all such wills together have a bound: beyond it a will is published at once, as if it had no delay.

import type { LimitHits } from '../../../src/core/ports/limit-hits.ts';
import type { MqttCountedLimit } from '../limits.ts';
import type { Will } from '../packet/will-record.ts';

/** A will and its stored form, which its session keeps to compare with. */
const STORED_FACTOR = 3;

export class WaitingWills {
  /** Memory that they take. */
  bytes: number;
  private readonly maximum: number;
  private readonly hits: LimitHits<MqttCountedLimit>;

  constructor(maximum: number, hits: LimitHits<MqttCountedLimit>) {
    this.bytes = 0;
    this.maximum = maximum;
    this.hits = hits;
  }

  /** Whether there is room for a will. It is not added. */
  admits(will: Will): boolean {
    if (this.bytes + willBytes(will) <= this.maximum) return true;
    this.hits['mqtt.waitingWillBytes']++;
    return false;
  }

  add(will: Will): void {
    this.bytes += willBytes(will);
  }

  remove(will: Will): void {
    this.bytes -= willBytes(will);
  }
}

/** Memory that a will takes, with its stored form. */
export function willBytes({ topic, payload, block }: Will): number {
  return (topic.length + payload.length + block.length) * STORED_FACTOR;
}
