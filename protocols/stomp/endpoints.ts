// Prepares destinations: declares the queue of a SEND to /queue/NAME on first use, and the queue that a subscription
// consumes from, with its arguments.

import { createHash, randomBytes } from 'node:crypto';
import { BrokerError } from '../../src/core/errors.ts';
import { EMPTY_TABLE, type Field, type FieldTable, type FieldValue } from '../../src/core/message/field-table.ts';
import type { Session } from '../../src/core/session/session.ts';
import { DESTINATION_KIND, type Destination } from './destination.ts';
import type { Frame } from './frame.ts';
import { isTrue } from './property-codec.ts';
import { StompError } from './stomp-error.ts';

const QUEUE_PREFIX = 'stomp-subscription-';

/** Arguments of the consumer and not of the queue. */
const CONSUMER_ARGUMENTS: ReadonlySet<string> = new Set([
  'x-cancel-on-ha-failover',
  'x-consumer-timeout',
  'x-priority',
  'x-stream-filter',
  'x-stream-match-unfiltered',
  'x-stream-offset',
]);

/**
 * Queue arguments that a SEND may have for the queue that it declares; its other `x-` headers belong to the message.
 */
const QUEUE_ARGUMENTS: ReadonlySet<string> = new Set([
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
  'x-dead-letter-strategy',
  'x-delivery-limit',
  'x-expires',
  'x-max-age',
  'x-max-length',
  'x-max-length-bytes',
  'x-max-priority',
  'x-message-ttl',
  'x-overflow',
  'x-queue-type',
  'x-single-active-consumer',
  'x-stream-max-segment-size-bytes',
]);

/** Arguments that are text even if they look like a number. */
const TEXT_ARGUMENTS: ReadonlySet<string> = new Set([
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
  'x-max-age',
  'x-queue-type',
]);

/** The options in the headers of a SUBSCRIBE (or of a SEND, for the queue that it declares). Absent: null. */
export interface EndpointOptions {
  readonly durable: boolean | null;
  readonly autoDelete: boolean | null;
  readonly exclusive: boolean | null;
  readonly queueName: string | null;
  readonly queueArguments: FieldTable;
  readonly consumerArguments: FieldTable;
}

export const NO_OPTIONS: EndpointOptions = Object.freeze({
  durable: null,
  autoDelete: null,
  exclusive: null,
  queueName: null,
  queueArguments: EMPTY_TABLE,
  consumerArguments: EMPTY_TABLE,
});

/** A queue to consume from. */
export interface Source {
  readonly queue: string;
  /** It outlives the subscription and was made for it: UNSUBSCRIBE with `durable:true` deletes it. */
  readonly durableSubscription: boolean;
}

export function readSubscribeOptions(frame: Frame): EndpointOptions {
  return readOptions(frame, (name) => name.startsWith('x-') && name !== 'x-queue-name');
}

export function readSendOptions(frame: Frame): EndpointOptions {
  return readOptions(frame, (name) => QUEUE_ARGUMENTS.has(name));
}

/** Makes sure that the queue behind a /queue/ destination exists. Throws BrokerError. */
export async function ensureQueue(session: Session, destination: Destination, options: EndpointOptions): Promise<void> {
  const name = destination.routingKey;
  // Asked for nothing in particular: take the queue as somebody else declared it.
  if (asksForNothing(options) && (await exists(session, name))) return;
  await session.declareQueue({
    name,
    durable: options.durable ?? true,
    exclusive: options.exclusive ?? false,
    autoDelete: options.autoDelete ?? false,
    args: options.queueArguments,
  });
}

/** The queue that a subscription consumes from, declared and bound. Throws BrokerError and StompError. */
export async function openSource(
  session: Session,
  destination: Destination,
  subscriptionId: string | null,
  options: EndpointOptions,
): Promise<Source> {
  switch (destination.kind) {
    case DESTINATION_KIND.queue:
      await ensureQueue(session, destination, options);
      return { queue: destination.routingKey, durableSubscription: false };
    case DESTINATION_KIND.amqQueue:
    case DESTINATION_KIND.replyQueue:
      return { queue: destination.routingKey, durableSubscription: false };
    case DESTINATION_KIND.topic:
    case DESTINATION_KIND.exchange:
      return bindSource(session, destination, subscriptionId, options);
    case DESTINATION_KIND.tempQueue:
      throw new StompError('Invalid destination', `'${destination.text}' can only stand in 'reply-to'`);
    default:
      return destination.kind satisfies never;
  }
}

async function bindSource(
  session: Session,
  destination: Destination,
  subscriptionId: string | null,
  options: EndpointOptions,
): Promise<Source> {
  const durable = options.durable ?? false;
  if (durable && subscriptionId === null) {
    throw new StompError('Missing header', "'id' is required for durable subscriptions");
  }
  const autoDelete = options.autoDelete ?? !durable;
  // A queue with a name of the client's choice is one that several subscribers share.
  const exclusive = options.exclusive ?? (!durable && options.queueName === null);
  const name = options.queueName ?? subscriptionQueueName(durable ? `${destination.text}\n${subscriptionId}` : null);
  const { exchange, routingKey } = destination;
  await session.declareQueue({ name, durable, exclusive, autoDelete, args: options.queueArguments });
  await session.bindQueue({ queue: name, exchange, routingKey, args: EMPTY_TABLE });
  return { queue: name, durableSubscription: durable };
}

/** A durable subscription finds its queue again by destination and id; any other gets a name of its own. */
function subscriptionQueueName(identity: string | null): string {
  const bytes = identity === null ? randomBytes(16) : createHash('sha256').update(identity).digest().subarray(0, 16);
  return QUEUE_PREFIX + bytes.toString('base64url');
}

async function exists(session: Session, name: string): Promise<boolean> {
  try {
    await session.checkQueue(name);
    return true;
  } catch (error) {
    if (error instanceof BrokerError && error.kind === 'not-found') return false;
    throw error;
  }
}

function asksForNothing(options: EndpointOptions): boolean {
  return (
    options.durable === null &&
    options.autoDelete === null &&
    options.exclusive === null &&
    options.queueArguments.length === 0
  );
}

function readOptions(frame: Frame, isArgument: (name: string) => boolean): EndpointOptions {
  const flags = new Map<string, string>();
  const queueArguments: Field[] = [];
  const consumerArguments: Field[] = [];
  for (let line = 0; line < frame.lineCount; line++) {
    const name = frame.decode(frame.nameStart(line), frame.nameEnd(line));
    if (flags.has(name)) continue;
    const value = frame.decode(frame.valueStart(line), frame.valueEnd(line));
    flags.set(name, value);
    if (!isArgument(name)) continue;
    const field: Field = { name, value: typed(name, value.trim()) };
    if (CONSUMER_ARGUMENTS.has(name)) consumerArguments.push(field);
    else queueArguments.push(field);
  }
  const flag = (name: string): boolean | null => {
    const value = flags.get(name);
    return value === undefined ? null : isTrue(value);
  };
  return {
    durable: flag('durable'),
    autoDelete: flag('auto-delete'),
    exclusive: flag('exclusive'),
    queueName: flags.get('x-queue-name') ?? null,
    queueArguments,
    consumerArguments,
  };
}

/** Header text as the argument that is meant: integers and booleans have their AMQP types. */
function typed(name: string, text: string): FieldValue {
  if (!TEXT_ARGUMENTS.has(name)) {
    if (/^-?\d{1,18}$/.test(text)) return { type: 'l', value: BigInt(text) };
    if (text === 'true' || text === 'false') return { type: 't', value: text === 'true' };
  }
  return { type: 'S', value: text };
}
