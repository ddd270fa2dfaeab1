// The queue arguments that the core knows (RabbitMQ's `x-…`): checked before the queue exists and converted to the
// settings of a queue. Rules and error texts are those of RabbitMQ 3.10. Unknown arguments are stored without an
// effect.

import { BrokerError } from '../errors.ts';
import {
  FIELD_TYPE_NAMES,
  type FieldTable,
  type FieldValue,
  findField,
  integerOf,
  textOf,
} from '../message/field-table.ts';
import { routingKeyFault } from '../routing-key.ts';
import { OVERFLOWS, type Overflow, type QueueLimits } from './queue-limits.ts';

/** Where the dead letters of a queue go. */
export interface DeadLetterAddress {
  /** Name of an exchange that may be declared later; a message that dies while it does not exist is dropped. */
  readonly exchange: string;
  /** Null: dead letters keep the keys with which they were published. */
  readonly routingKey: string | null;
}

/** The settings of a queue. Infinity means "no limit" throughout. */
export interface QueueArguments {
  /** RabbitMQ's quorum type: everything in it survives a restart, and deliveries are counted. */
  readonly quorum: boolean;
  /** How long a message may wait, in milliseconds. */
  readonly messageTtlMs: number;
  /** How long the queue outlives its last use, in milliseconds. */
  readonly expiresMs: number;
  readonly deadLetters: DeadLetterAddress | null;
  /** 0: messages have no priorities. */
  readonly maxPriority: number;
  readonly singleActiveConsumer: boolean;
  /** How often a message may return before it is dropped or becomes a dead letter. */
  readonly deliveryLimit: number;
  readonly limits: QueueLimits | null;
}

/** RabbitMQ's limit for values in milliseconds: ten years. */
const MAX_MS = 315_360_000_000;
const MAX_PRIORITY = 255;

const QUEUE_TYPES = ['classic', 'quorum', 'stream'] as const;
type QueueType = (typeof QUEUE_TYPES)[number];

const CLASSIC: readonly QueueType[] = ['classic'];
const QUORUM: readonly QueueType[] = ['quorum'];
const STREAM: readonly QueueType[] = ['stream'];
const ANY: readonly QueueType[] = QUEUE_TYPES;

/**
 * The arguments, with the queue types that accept them. Two declarations must agree in all of these to be equivalent.
 */
const KNOWN: ReadonlyMap<string, readonly QueueType[]> = new Map([
  ['x-expires', ANY],
  ['x-message-ttl', ANY],
  ['x-dead-letter-exchange', ANY],
  ['x-dead-letter-routing-key', ANY],
  ['x-dead-letter-strategy', QUORUM],
  ['x-max-length', ANY],
  ['x-max-length-bytes', ANY],
  ['x-overflow', ANY],
  ['x-max-priority', CLASSIC],
  ['x-single-active-consumer', ANY],
  ['x-delivery-limit', QUORUM],
  ['x-queue-mode', CLASSIC],
  ['x-queue-version', CLASSIC],
  ['x-queue-master-locator', CLASSIC],
  ['x-queue-leader-locator', QUORUM],
  ['x-quorum-initial-group-size', QUORUM],
  ['x-max-in-memory-length', QUORUM],
  ['x-max-in-memory-bytes', QUORUM],
  ['x-max-age', STREAM],
  ['x-stream-max-segment-size-bytes', STREAM],
  ['x-initial-cluster-size', STREAM],
]);

/** Arguments that two declarations must agree in, without `x-queue-type`. RabbitMQ ignores all others too. */
export const COMPARED_ARGUMENTS: readonly string[] = [...KNOWN.keys()];

/** The properties of a declaration that the queue type restricts. */
export interface DeclaredProperties {
  readonly durable: boolean;
  readonly exclusive: boolean;
  readonly autoDelete: boolean;
}

/** Throws precondition-failed for a declaration that RabbitMQ would refuse, and for an unsupported queue type. */
export function checkQueueDeclaration(
  args: FieldTable,
  properties: DeclaredProperties,
  queue: string,
  vhost: string,
): void {
  const reader = new ArgumentReader(args, queue, vhost);
  const type = reader.oneOf('x-queue-type', QUEUE_TYPES, 'classic', (asked) => `"unsupported queue type '${asked}'"`);
  if (type === 'stream') throw reader.invalid('x-queue-type', `"queue type 'stream' is not supported by this broker"`);
  for (const { name } of args) {
    const types = KNOWN.get(name);
    if (types === undefined || types.includes(type)) continue;
    throw new BrokerError(
      'precondition-failed',
      `invalid arg '${name}' for queue '${queue}' in vhost '${vhost}' of queue type rabbit_${type}_queue`,
    );
  }
  const { deadLetters } = readQueueArguments(args, queue, vhost);
  const fault = routingKeyFault(deadLetters?.routingKey ?? '');
  if (fault !== null) throw reader.invalid('x-dead-letter-routing-key', `"${fault}"`);
  reader.checkWithoutEffect();
  if (type !== 'quorum') return;
  const { durable, exclusive, autoDelete } = properties;
  const refused = exclusive ? 'exclusive-owner' : !durable ? 'non-durable' : autoDelete ? 'auto-delete' : null;
  if (refused === null) return;
  throw new BrokerError(
    'precondition-failed',
    `invalid property '${refused}' for queue '${queue}' in vhost '${vhost}'`,
  );
}

/** Throws precondition-failed, in RabbitMQ's words, for invalid values. */
export function readQueueArguments(args: FieldTable, queue: string, vhost: string): QueueArguments {
  const reader = new ArgumentReader(args, queue, vhost);
  return {
    quorum: textOf(findField(args, 'x-queue-type')) === 'quorum',
    messageTtlMs: reader.milliseconds('x-message-ttl', 0),
    expiresMs: reader.milliseconds('x-expires', 1),
    deadLetters: reader.deadLetters(),
    maxPriority: reader.maxPriority(),
    singleActiveConsumer: reader.flag('x-single-active-consumer'),
    deliveryLimit: reader.deliveryLimit(),
    limits: reader.limits(),
  };
}

/** Reads one declaration's arguments, each by its rule. */
class ArgumentReader {
  private readonly args: FieldTable;
  private readonly what: string;

  constructor(args: FieldTable, queue: string, vhost: string) {
    this.args = args;
    this.what = `queue '${queue}' in vhost '${vhost}'`;
  }

  invalid(name: string, why: string): BrokerError {
    return new BrokerError('precondition-failed', `invalid arg '${name}' for ${this.what}: ${why}`);
  }

  /** Infinity if the argument is absent. */
  count(name: string): number {
    return this.integer(name) ?? Number.POSITIVE_INFINITY;
  }

  /** −1, in the definitions of RabbitMQ 4, stands for no limit. */
  deliveryLimit(): number {
    const field = findField(this.args, 'x-delivery-limit');
    return field !== null && integerOf(field) === -1 ? Number.POSITIVE_INFINITY : this.count('x-delivery-limit');
  }

  milliseconds(name: string, least: number): number {
    const value = this.integer(name);
    if (value === null) return Number.POSITIVE_INFINITY;
    if (value < least) throw this.invalid(name, `{value_zero,${value}}`);
    if (value > MAX_MS) throw this.invalid(name, `{value_too_large,${value}}`);
    return value;
  }

  maxPriority(): number {
    const value = this.integer('x-max-priority') ?? 0;
    if (value > MAX_PRIORITY) throw this.invalid('x-max-priority', `{max_value_exceeded,${value}}`);
    return value;
  }

  flag(name: string): boolean {
    const field = findField(this.args, name);
    if (field === null) return false;
    if (field.type !== 't') throw this.unacceptable(name, field);
    return field.value;
  }

  deadLetters(): DeadLetterAddress | null {
    const exchange = findField(this.args, 'x-dead-letter-exchange');
    const routingKey = this.text('x-dead-letter-routing-key');
    if (exchange === null) {
      if (routingKey !== null) throw this.invalid('x-dead-letter-routing-key', 'routing_key_but_no_dlx_defined');
      return null;
    }
    const name = textOf(exchange);
    if (name === null) {
      const type = FIELD_TYPE_NAMES[exchange.type];
      const message = `invalid type '${type}' for arg 'x-dead-letter-exchange' in ${this.what}`;
      throw new BrokerError('precondition-failed', message);
    }
    return { exchange: name, routingKey };
  }

  limits(): QueueLimits | null {
    const maxLength = this.count('x-max-length');
    const maxBytes = this.count('x-max-length-bytes');
    const overflow: Overflow = this.oneOf('x-overflow', OVERFLOWS, 'drop-head', () => 'invalid_overflow');
    if (maxLength === Number.POSITIVE_INFINITY && maxBytes === Number.POSITIVE_INFINITY) return null;
    return { maxLength, maxBytes, overflow };
  }

  oneOf<T extends string>(name: string, known: readonly T[], otherwise: T, why: (asked: string) => string): T {
    const asked = this.text(name) ?? otherwise;
    const found = known.find((value) => value === asked);
    if (found === undefined) throw this.invalid(name, why(asked));
    return found;
  }

  /** Arguments about where and how RabbitMQ stores a queue: they must be valid, and have no effect here. */
  checkWithoutEffect(): void {
    this.oneOf('x-queue-mode', ['default', 'lazy'], 'default', (asked) => `"unsupported queue mode '${asked}'"`);
    const version = this.integer('x-queue-version') ?? 1;
    if (version !== 1 && version !== 2) {
      throw this.invalid('x-queue-version', `"unsupported queue version '${version}'"`);
    }
    const masters = ['client-local', 'random', 'min-masters'];
    this.oneOf('x-queue-master-locator', masters, 'client-local', () => 'invalid_queue_locator_arg');
    const leaders = ['client-local', 'balanced', 'random', 'least-leaders'];
    this.oneOf('x-queue-leader-locator', leaders, 'client-local', () => 'invalid_queue_locator_arg');
    const strategies = ['at-most-once', 'at-least-once'];
    this.oneOf('x-dead-letter-strategy', strategies, 'at-most-once', () => 'invalid_dlx_strategy');
    if (this.count('x-quorum-initial-group-size') === 0) {
      throw this.invalid('x-quorum-initial-group-size', '{value_zero,0}');
    }
    this.count('x-max-in-memory-length');
    this.count('x-max-in-memory-bytes');
  }

  private integer(name: string): number | null {
    const field = findField(this.args, name);
    if (field === null) return null;
    const value = integerOf(field);
    if (value === null) throw this.invalid(name, `"expected integer, got ${FIELD_TYPE_NAMES[field.type]}"`);
    if (value < 0) throw this.invalid(name, `{value_negative,${value}}`);
    return value;
  }

  private text(name: string): string | null {
    const field = findField(this.args, name);
    if (field === null) return null;
    const text = textOf(field);
    if (text === null) throw this.unacceptable(name, field);
    return text;
  }

  private unacceptable(name: string, field: FieldValue): BrokerError {
    return this.invalid(name, `{unacceptable_type,${FIELD_TYPE_NAMES[field.type]}}`);
  }
}
