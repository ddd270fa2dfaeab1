// What micro benchmarks of routing put in place of real parts: queues that are only names, messages without a body.

import { Message, NEVER } from '../src/core/message.ts';
import type { PropertyCodec } from '../src/core/properties.ts';
import type { Queue } from '../src/core/queue.ts';

const NO_BYTES = Buffer.alloc(0);
const NO_CODEC = {
  decode: () => {
    throw new Error('a routing benchmark reads no properties');
  },
} as unknown as PropertyCodec;

/** Routing looks at a queue's identity and tells it of its bindings; nothing else. */
export function standInQueues(count: number): Queue[] {
  return Array.from({ length: count }, (_, i) => {
    return { name: `queue-${i}`, persisted: false, bound: () => {}, unbound: () => {} } as unknown as Queue;
  });
}

export function messageTo(routingKey: string): Message {
  return new Message('bench', routingKey, NO_BYTES, 0, 0, NO_BYTES, 0, 0, NO_CODEC, false, 0, NEVER, 0);
}
