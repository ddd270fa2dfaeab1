// Test doubles of the micro benchmarks: queues that are only names, messages without a body, sockets that accept every
// write; and their shared clock.

import { Message, NEVER } from '../src/core/message/message.ts';
import type { PropertyCodec } from '../src/core/message/properties.ts';
import type { Queue } from '../src/core/queue/queue.ts';
import { OUTBOX_DEFAULTS, Outbox } from '../src/net/outbox.ts';
import { SlabPool } from '../src/net/slab-pool.ts';

const NO_BYTES = Buffer.alloc(0);
const NO_CODEC = {
  decode: () => {
    throw new Error('a routing benchmark reads no properties');
  },
} as unknown as PropertyCodec;

/** Routing uses only a queue's identity and its list of bindings. */
export function standInQueues(count: number): Queue[] {
  return Array.from({ length: count }, (_, i) => {
    return { name: `queue-${i}`, persisted: false, bound: () => {}, unbound: () => {} } as unknown as Queue;
  });
}

export function messageTo(routingKey: string): Message {
  return new Message('bench', routingKey, NO_BYTES, 0, 0, NO_BYTES, 0, 0, NO_CODEC, false, 0, NEVER, 0);
}

/** An outbox whose socket accepts every write at once. */
export function discardingOutbox(): Outbox {
  const sink = {
    writableLength: 0,
    cork() {},
    uncork() {},
    write(_chunk: Buffer, sent?: () => void): boolean {
      sent?.();
      return true;
    },
  };
  const context = { scheduler: { flushLater() {} }, pool: new SlabPool(), outbox: OUTBOX_DEFAULTS };
  return new Outbox(sink, { drained() {}, stalled() {} }, context, null);
}

/** Operations a second, if `run` performs `count` of them. */
export function rateOf(count: number, run: () => void): number {
  const started = performance.now();
  run();
  return (count * 1000) / (performance.now() - started);
}
