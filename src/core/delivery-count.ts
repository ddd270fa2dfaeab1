// How often a message came back, told to whoever gets it next, as RabbitMQ's quorum queues do.

import type { Message } from './message/message.ts';
import type { PropertyRewriter } from './message/property-rewriter.ts';

const HEADER = 'x-delivery-count';

/** The message with a header that counts its returns, in place of one that it had. */
export function withDeliveryCount(message: Message, returns: number, rewriter: PropertyRewriter): Message {
  const properties = message.properties();
  const others = properties.headers.filter(({ name }) => name !== HEADER);
  const headers = [...others, { name: HEADER, value: { type: 'l', value: BigInt(returns) } } as const];
  const native = rewriter.rewrite(message, { ...properties, headers });
  return message.rewritten(message.exchange, message.routingKey, native, rewriter.codec);
}
