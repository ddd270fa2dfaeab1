// Destinations, as RabbitMQ's STOMP gateway spells them:
//
//   NAME, /queue/NAME        a durable queue, declared on first use; sent to through the default exchange
//   /topic/KEY               exchange amq.topic; words separated by dots
//   /exchange/NAME[/KEY]     any exchange
//   /amq/queue/NAME          a queue that exists; never declared
//   /temp-queue/NAME         in `reply-to` only: an exclusive queue of the connection
//   /reply-queue/NAME        what a `reply-to` became; sent to through the default exchange; may contain slashes
//
// A slash inside a name is %2F, a percent sign may be %25. RabbitMQ writes both and reads only the first; reading both
// makes every name survive the round trip.

import { routingKeyFault } from '../../src/core/routing-key.ts';
import { StompError } from './stomp-error.ts';

export const DESTINATION_KIND = {
  queue: 'queue',
  topic: 'topic',
  exchange: 'exchange',
  amqQueue: 'amq-queue',
  tempQueue: 'temp-queue',
  replyQueue: 'reply-queue',
} as const;

export type DestinationKind = (typeof DESTINATION_KIND)[keyof typeof DESTINATION_KIND];

export interface Destination {
  readonly kind: DestinationKind;
  /** The exchange of a SEND. */
  readonly exchange: string;
  readonly routingKey: string;
  /** The header as it was sent, for error messages. */
  readonly text: string;
}

const TOPIC_EXCHANGE = 'amq.topic';

const PREFIXES: readonly (readonly [string, DestinationKind])[] = [
  ['/queue/', DESTINATION_KIND.queue],
  ['/topic/', DESTINATION_KIND.topic],
  ['/exchange/', DESTINATION_KIND.exchange],
  ['/amq/queue/', DESTINATION_KIND.amqQueue],
  ['/temp-queue/', DESTINATION_KIND.tempQueue],
  ['/reply-queue/', DESTINATION_KIND.replyQueue],
];

const REPLY_QUEUE_PREFIX = '/reply-queue/';

/** Throws StompError unless the text is a destination, and its routing key is one. */
export function parseDestination(text: string): Destination {
  const destination = split(text);
  const fault = routingKeyFault(destination.routingKey);
  if (fault === null) return destination;
  throw new StompError('Invalid destination', `the routing key of a destination is invalid: ${fault}`);
}

function split(text: string): Destination {
  for (const [prefix, kind] of PREFIXES) {
    if (!text.startsWith(prefix)) continue;
    const rest = text.slice(prefix.length);
    if (kind === DESTINATION_KIND.exchange) return exchangeDestination(text, rest);
    if (rest === '') throw invalid(text);
    if (kind === DESTINATION_KIND.replyQueue) return { kind, exchange: '', routingKey: rest, text };
    if (rest.includes('/')) throw invalid(text);
    const name = unescapeName(rest);
    return { kind, exchange: kind === DESTINATION_KIND.topic ? TOPIC_EXCHANGE : '', routingKey: name, text };
  }
  // RabbitMQ takes a plain name for a queue's, and its users may have such destinations.
  if (text !== '' && !text.includes('/')) {
    return { kind: DESTINATION_KIND.queue, exchange: '', routingKey: unescapeName(text), text };
  }
  const known = PREFIXES.map(([prefix]) => prefix).join(', ');
  throw new StompError('Unknown destination', `'${text}' is not a valid destination; valid ones begin with ${known}`);
}

/** The `destination` of a MESSAGE that was published with this exchange and routing key. */
export function formatDestination(exchange: string, routingKey: string): string {
  if (exchange === '') return `/queue/${escapeName(routingKey)}`;
  if (exchange === TOPIC_EXCHANGE) return `/topic/${escapeName(routingKey)}`;
  if (routingKey === '') return `/exchange/${escapeName(exchange)}`;
  return `/exchange/${escapeName(exchange)}/${escapeName(routingKey)}`;
}

/**
 * `reply-to` as the other protocols need it: the plain name of a queue, to which an AMQP service replies through the
 * default exchange. Anything but a queue stays unchanged.
 */
export function replyToName(header: string): string {
  if (header.startsWith(REPLY_QUEUE_PREFIX)) return header.slice(REPLY_QUEUE_PREFIX.length);
  for (const prefix of ['/queue/', '/amq/queue/']) {
    if (header.startsWith(prefix)) return unescapeName(header.slice(prefix.length));
  }
  return header;
}

/** The inverse: a plain queue name becomes a destination that a SEND reaches without declaring it. */
export function replyToHeader(name: string): string {
  for (const [prefix] of PREFIXES) if (name.startsWith(prefix)) return name;
  return REPLY_QUEUE_PREFIX + name;
}

function exchangeDestination(text: string, rest: string): Destination {
  const kind = DESTINATION_KIND.exchange;
  const slash = rest.indexOf('/');
  // The default exchange has no such destination: SEND and SUBSCRIBE would mean different things.
  if (rest === '' || slash === 0) throw invalid(text);
  if (slash < 0) return { kind, exchange: unescapeName(rest), routingKey: '', text };
  const key = rest.slice(slash + 1);
  if (key.includes('/')) throw invalid(text);
  return { kind, exchange: unescapeName(rest.slice(0, slash)), routingKey: unescapeName(key), text };
}

function unescapeName(text: string): string {
  return text.includes('%') ? text.replace(/%(2f|25)/gi, (_, code: string) => (code === '25' ? '%' : '/')) : text;
}

function escapeName(name: string): string {
  return name.includes('/') || name.includes('%')
    ? name.replace(/[/%]/g, (character) => (character === '/' ? '%2F' : '%25'))
    : name;
}

function invalid(text: string): StompError {
  return new StompError('Invalid destination', `'${text}' is not a valid destination (a slash inside a name is %2F)`);
}
