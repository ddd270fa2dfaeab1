// The kinds of exchanges, and the exchanges that every virtual host has.

import { DirectExchange } from './direct.ts';
import type { Exchange, ExchangeGraph, ExchangeOptions } from './exchange.ts';
import { FanoutExchange } from './fanout.ts';
import { HeadersExchange } from './headers.ts';
import { TopicExchange } from './topic.ts';

export const EXCHANGE_KINDS = ['direct', 'fanout', 'topic', 'headers'] as const;
export type ExchangeKind = (typeof EXCHANGE_KINDS)[number];

/** Exchanges that exist in every virtual host (AMQP 0-9-1 §3.1.3 and RabbitMQ). */
export const PREDECLARED: readonly (readonly [name: string, kind: ExchangeKind])[] = [
  ['amq.direct', 'direct'],
  ['amq.fanout', 'fanout'],
  ['amq.topic', 'topic'],
  ['amq.headers', 'headers'],
  ['amq.match', 'headers'],
];

export function isExchangeKind(kind: string): kind is ExchangeKind {
  return (EXCHANGE_KINDS as readonly string[]).includes(kind);
}

/**
 * Creates an exchange of that kind. `graph` has the other exchanges of its virtual host, which may be declared later.
 */
export function newExchange(kind: ExchangeKind, options: ExchangeOptions, graph: ExchangeGraph): Exchange {
  switch (kind) {
    case 'direct':
      return new DirectExchange(options, graph);
    case 'fanout':
      return new FanoutExchange(options, graph);
    case 'topic':
      return new TopicExchange(options, graph);
    case 'headers':
      return new HeadersExchange(options, graph);
    default:
      throw new TypeError(`unknown exchange kind ${kind satisfies never}`);
  }
}
