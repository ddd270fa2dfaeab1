// Every method of AMQP 0-9-1 and of RabbitMQ's extensions as data: its ids, its fields in wire order, and whether
// content follows. Written from the specification, independently of any codec.

import type { Table } from './table.ts';

/** Consecutive bits share octets. */
export interface FieldValues {
  bit: boolean;
  octet: number;
  short: number;
  long: number;
  longlong: bigint;
  shortstr: string;
  longstr: string;
  table: Table;
}
export type FieldType = keyof FieldValues;

interface Method<F extends Readonly<Record<string, FieldType>>> {
  readonly classId: number;
  readonly methodId: number;
  readonly fields: F;
  readonly content: boolean;
}

function method<const F extends Readonly<Record<string, FieldType>>>(
  classId: number,
  methodId: number,
  fields: F,
  content = false,
): Method<F> {
  return { classId, methodId, fields, content };
}

const CLOSE = { replyCode: 'short', replyText: 'shortstr', classId: 'short', methodId: 'short' } as const;
const BINDING = { ticket: 'short', destination: 'shortstr', source: 'shortstr', routingKey: 'shortstr' } as const;
const QUEUE_BINDING = { ticket: 'short', queue: 'shortstr', exchange: 'shortstr', routingKey: 'shortstr' } as const;

export const METHODS = {
  'connection.start': method(10, 10, {
    versionMajor: 'octet',
    versionMinor: 'octet',
    serverProperties: 'table',
    mechanisms: 'longstr',
    locales: 'longstr',
  }),
  'connection.start-ok': method(10, 11, {
    clientProperties: 'table',
    mechanism: 'shortstr',
    response: 'longstr',
    locale: 'shortstr',
  }),
  'connection.secure': method(10, 20, { challenge: 'longstr' }),
  'connection.secure-ok': method(10, 21, { response: 'longstr' }),
  'connection.tune': method(10, 30, { channelMax: 'short', frameMax: 'long', heartbeat: 'short' }),
  'connection.tune-ok': method(10, 31, { channelMax: 'short', frameMax: 'long', heartbeat: 'short' }),
  'connection.open': method(10, 40, { virtualHost: 'shortstr', reserved1: 'shortstr', reserved2: 'bit' }),
  'connection.open-ok': method(10, 41, { reserved1: 'shortstr' }),
  'connection.close': method(10, 50, CLOSE),
  'connection.close-ok': method(10, 51, {}),
  'connection.blocked': method(10, 60, { reason: 'shortstr' }),
  'connection.unblocked': method(10, 61, {}),
  'connection.update-secret': method(10, 70, { newSecret: 'longstr', reason: 'shortstr' }),
  'connection.update-secret-ok': method(10, 71, {}),
  'channel.open': method(20, 10, { reserved1: 'shortstr' }),
  'channel.open-ok': method(20, 11, { reserved1: 'longstr' }),
  'channel.flow': method(20, 20, { active: 'bit' }),
  'channel.flow-ok': method(20, 21, { active: 'bit' }),
  'channel.close': method(20, 40, CLOSE),
  'channel.close-ok': method(20, 41, {}),
  'exchange.declare': method(40, 10, {
    ticket: 'short',
    exchange: 'shortstr',
    type: 'shortstr',
    passive: 'bit',
    durable: 'bit',
    autoDelete: 'bit',
    internal: 'bit',
    noWait: 'bit',
    arguments: 'table',
  }),
  'exchange.declare-ok': method(40, 11, {}),
  'exchange.delete': method(40, 20, { ticket: 'short', exchange: 'shortstr', ifUnused: 'bit', noWait: 'bit' }),
  'exchange.delete-ok': method(40, 21, {}),
  'exchange.bind': method(40, 30, { ...BINDING, noWait: 'bit', arguments: 'table' }),
  'exchange.bind-ok': method(40, 31, {}),
  'exchange.unbind': method(40, 40, { ...BINDING, noWait: 'bit', arguments: 'table' }),
  'exchange.unbind-ok': method(40, 51, {}),
  'queue.declare': method(50, 10, {
    ticket: 'short',
    queue: 'shortstr',
    passive: 'bit',
    durable: 'bit',
    exclusive: 'bit',
    autoDelete: 'bit',
    noWait: 'bit',
    arguments: 'table',
  }),
  'queue.declare-ok': method(50, 11, { queue: 'shortstr', messageCount: 'long', consumerCount: 'long' }),
  'queue.bind': method(50, 20, { ...QUEUE_BINDING, noWait: 'bit', arguments: 'table' }),
  'queue.bind-ok': method(50, 21, {}),
  'queue.purge': method(50, 30, { ticket: 'short', queue: 'shortstr', noWait: 'bit' }),
  'queue.purge-ok': method(50, 31, { messageCount: 'long' }),
  'queue.delete': method(50, 40, {
    ticket: 'short',
    queue: 'shortstr',
    ifUnused: 'bit',
    ifEmpty: 'bit',
    noWait: 'bit',
  }),
  'queue.delete-ok': method(50, 41, { messageCount: 'long' }),
  'queue.unbind': method(50, 50, { ...QUEUE_BINDING, arguments: 'table' }),
  'queue.unbind-ok': method(50, 51, {}),
  'basic.qos': method(60, 10, { prefetchSize: 'long', prefetchCount: 'short', global: 'bit' }),
  'basic.qos-ok': method(60, 11, {}),
  'basic.consume': method(60, 20, {
    ticket: 'short',
    queue: 'shortstr',
    consumerTag: 'shortstr',
    noLocal: 'bit',
    noAck: 'bit',
    exclusive: 'bit',
    noWait: 'bit',
    arguments: 'table',
  }),
  'basic.consume-ok': method(60, 21, { consumerTag: 'shortstr' }),
  'basic.cancel': method(60, 30, { consumerTag: 'shortstr', noWait: 'bit' }),
  'basic.cancel-ok': method(60, 31, { consumerTag: 'shortstr' }),
  'basic.publish': method(
    60,
    40,
    { ticket: 'short', exchange: 'shortstr', routingKey: 'shortstr', mandatory: 'bit', immediate: 'bit' },
    true,
  ),
  'basic.return': method(
    60,
    50,
    { replyCode: 'short', replyText: 'shortstr', exchange: 'shortstr', routingKey: 'shortstr' },
    true,
  ),
  'basic.deliver': method(
    60,
    60,
    {
      consumerTag: 'shortstr',
      deliveryTag: 'longlong',
      redelivered: 'bit',
      exchange: 'shortstr',
      routingKey: 'shortstr',
    },
    true,
  ),
  'basic.get': method(60, 70, { ticket: 'short', queue: 'shortstr', noAck: 'bit' }),
  'basic.get-ok': method(
    60,
    71,
    { deliveryTag: 'longlong', redelivered: 'bit', exchange: 'shortstr', routingKey: 'shortstr', messageCount: 'long' },
    true,
  ),
  'basic.get-empty': method(60, 72, { reserved1: 'shortstr' }),
  'basic.ack': method(60, 80, { deliveryTag: 'longlong', multiple: 'bit' }),
  'basic.reject': method(60, 90, { deliveryTag: 'longlong', requeue: 'bit' }),
  'basic.recover-async': method(60, 100, { requeue: 'bit' }),
  'basic.recover': method(60, 110, { requeue: 'bit' }),
  'basic.recover-ok': method(60, 111, {}),
  'basic.nack': method(60, 120, { deliveryTag: 'longlong', multiple: 'bit', requeue: 'bit' }),
  'confirm.select': method(85, 10, { noWait: 'bit' }),
  'confirm.select-ok': method(85, 11, {}),
  'tx.select': method(90, 10, {}),
  'tx.select-ok': method(90, 11, {}),
  'tx.commit': method(90, 20, {}),
  'tx.commit-ok': method(90, 21, {}),
  'tx.rollback': method(90, 30, {}),
  'tx.rollback-ok': method(90, 31, {}),
} as const;

export type MethodName = keyof typeof METHODS;
export type Args<N extends MethodName> = {
  -readonly [F in keyof (typeof METHODS)[N]['fields']]: (typeof METHODS)[N]['fields'][F] extends FieldType
    ? FieldValues[(typeof METHODS)[N]['fields'][F]]
    : never;
};
/** Methods whose answer is `<name>-ok`. */
export type Call = { [N in MethodName]: `${N}-ok` extends MethodName ? N : never }[MethodName];

const BY_ID = new Map<number, MethodName>(
  (Object.entries(METHODS) as [MethodName, Method<Record<string, FieldType>>][]).map(
    ([name, { classId, methodId }]) => [classId * 65_536 + methodId, name],
  ),
);

export function methodName(classId: number, methodId: number): MethodName | null {
  return BY_ID.get(classId * 65_536 + methodId) ?? null;
}

/** The properties of basic content, most significant flag first. */
export const PROPERTIES = {
  contentType: 'shortstr',
  contentEncoding: 'shortstr',
  headers: 'table',
  deliveryMode: 'octet',
  priority: 'octet',
  correlationId: 'shortstr',
  replyTo: 'shortstr',
  expiration: 'shortstr',
  messageId: 'shortstr',
  timestamp: 'longlong',
  type: 'shortstr',
  userId: 'shortstr',
  appId: 'shortstr',
  clusterId: 'shortstr',
} as const satisfies Record<string, FieldType>;
export type Properties = { -readonly [P in keyof typeof PROPERTIES]?: FieldValues[(typeof PROPERTIES)[P]] };
