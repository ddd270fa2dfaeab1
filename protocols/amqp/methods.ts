// Decoders of the methods that a client may send, one for each; the grammar above a decoder is the specification's.
// basic.publish and basic.ack are decoded where they are handled, because they are the hot path.

import type { FieldTable } from '../../src/core/message/field-table.ts';
import type { Reader } from './reader.ts';

/** client-properties(table) mechanism(shortstr) response(longstr) locale(shortstr) */
export function readStartOk(reader: Reader): {
  clientProperties: Buffer;
  mechanism: string;
  response: Buffer;
  locale: string;
} {
  const clientProperties = reader.tableBytes();
  const mechanism = reader.shortString();
  const response = reader.longString();
  const locale = reader.shortString();
  reader.finish();
  return { clientProperties, mechanism, response, locale };
}

/** channel-max(short) frame-max(long) heartbeat(short) */
export function readTuneOk(reader: Reader): { channelMax: number; frameMax: number; heartbeatSeconds: number } {
  const channelMax = reader.short();
  const frameMax = reader.long();
  const heartbeatSeconds = reader.short();
  reader.finish();
  return { channelMax, frameMax, heartbeatSeconds };
}

/** virtual-host(shortstr) reserved(shortstr) reserved(bit) */
export function readConnectionOpen(reader: Reader): { vhost: string } {
  const vhost = reader.shortString();
  reader.shortString();
  reader.bit();
  reader.finish();
  return { vhost };
}

/** reply-code(short) reply-text(shortstr) class-id(short) method-id(short); of connection and channel. */
export function readClose(reader: Reader): { code: number; text: string } {
  const code = reader.short();
  const text = reader.shortString();
  reader.short();
  reader.short();
  reader.finish();
  return { code, text };
}

/** new-secret(longstr) reason(shortstr); RabbitMQ extension. */
export function readUpdateSecret(reader: Reader): { reason: string } {
  reader.longString();
  const reason = reader.shortString();
  reader.finish();
  return { reason };
}

/** active(bit) */
export function readFlow(reader: Reader): { active: boolean } {
  const active = reader.bit();
  reader.finish();
  return { active };
}

/**
 * The name of an exchange or queue that is declared, deleted or bound, without carriage returns and line feeds, as in
 * RabbitMQ. Other methods take names as they are.
 */
function definedName(reader: Reader): string {
  return reader.shortString().replace(/[\r\n]/g, '');
}

/** reserved(short) exchange(shortstr) type(shortstr) passive(bit) durable(bit) auto-delete(bit) internal(bit)
 *  no-wait(bit) arguments(table) */
export function readExchangeDeclare(reader: Reader): {
  exchange: string;
  kind: string;
  passive: boolean;
  durable: boolean;
  autoDelete: boolean;
  internal: boolean;
  noWait: boolean;
  args: FieldTable;
} {
  reader.short();
  const exchange = definedName(reader);
  const kind = reader.shortString();
  const passive = reader.bit();
  const durable = reader.bit();
  const autoDelete = reader.bit();
  const internal = reader.bit();
  const noWait = reader.bit();
  const args = reader.table();
  reader.finish();
  return { exchange, kind, passive, durable, autoDelete, internal, noWait, args };
}

/** reserved(short) exchange(shortstr) if-unused(bit) no-wait(bit) */
export function readExchangeDelete(reader: Reader): { exchange: string; ifUnused: boolean; noWait: boolean } {
  reader.short();
  const exchange = definedName(reader);
  const ifUnused = reader.bit();
  const noWait = reader.bit();
  reader.finish();
  return { exchange, ifUnused, noWait };
}

/** reserved(short) destination(shortstr) source(shortstr) routing-key(shortstr) no-wait(bit) arguments(table);
 *  bind and unbind (RabbitMQ extension). */
export function readExchangeBind(reader: Reader): {
  destination: string;
  source: string;
  routingKey: string;
  noWait: boolean;
  args: FieldTable;
} {
  reader.short();
  const destination = definedName(reader);
  const source = definedName(reader);
  const routingKey = reader.shortString();
  const noWait = reader.bit();
  const args = reader.table();
  reader.finish();
  return { destination, source, routingKey, noWait, args };
}

/** reserved(short) queue(shortstr) passive(bit) durable(bit) exclusive(bit) auto-delete(bit) no-wait(bit)
 *  arguments(table) */
export function readQueueDeclare(reader: Reader): {
  queue: string;
  passive: boolean;
  durable: boolean;
  exclusive: boolean;
  autoDelete: boolean;
  noWait: boolean;
  args: FieldTable;
} {
  reader.short();
  const queue = definedName(reader);
  const passive = reader.bit();
  const durable = reader.bit();
  const exclusive = reader.bit();
  const autoDelete = reader.bit();
  const noWait = reader.bit();
  const args = reader.table();
  reader.finish();
  return { queue, passive, durable, exclusive, autoDelete, noWait, args };
}

/** reserved(short) queue(shortstr) exchange(shortstr) routing-key(shortstr) no-wait(bit) arguments(table) */
export function readQueueBind(reader: Reader): {
  queue: string;
  exchange: string;
  routingKey: string;
  noWait: boolean;
  args: FieldTable;
} {
  reader.short();
  const queue = definedName(reader);
  const exchange = definedName(reader);
  const routingKey = reader.shortString();
  const noWait = reader.bit();
  const args = reader.table();
  reader.finish();
  return { queue, exchange, routingKey, noWait, args };
}

/** reserved(short) queue(shortstr) exchange(shortstr) routing-key(shortstr) arguments(table) */
export function readQueueUnbind(reader: Reader): {
  queue: string;
  exchange: string;
  routingKey: string;
  args: FieldTable;
} {
  reader.short();
  const queue = definedName(reader);
  const exchange = definedName(reader);
  const routingKey = reader.shortString();
  const args = reader.table();
  reader.finish();
  return { queue, exchange, routingKey, args };
}

/** reserved(short) queue(shortstr) no-wait(bit) */
export function readQueuePurge(reader: Reader): { queue: string; noWait: boolean } {
  reader.short();
  const queue = reader.shortString();
  const noWait = reader.bit();
  reader.finish();
  return { queue, noWait };
}

/** reserved(short) queue(shortstr) if-unused(bit) if-empty(bit) no-wait(bit) */
export function readQueueDelete(reader: Reader): {
  queue: string;
  ifUnused: boolean;
  ifEmpty: boolean;
  noWait: boolean;
} {
  reader.short();
  const queue = definedName(reader);
  const ifUnused = reader.bit();
  const ifEmpty = reader.bit();
  const noWait = reader.bit();
  reader.finish();
  return { queue, ifUnused, ifEmpty, noWait };
}

/** prefetch-size(long) prefetch-count(short) global(bit) */
export function readQos(reader: Reader): { prefetchSize: number; prefetchCount: number; global: boolean } {
  const prefetchSize = reader.long();
  const prefetchCount = reader.short();
  const global = reader.bit();
  reader.finish();
  return { prefetchSize, prefetchCount, global };
}

/** reserved(short) queue(shortstr) consumer-tag(shortstr) no-local(bit) no-ack(bit) exclusive(bit) no-wait(bit)
 *  arguments(table) */
export function readConsume(reader: Reader): {
  queue: string;
  tag: string;
  noAck: boolean;
  exclusive: boolean;
  noWait: boolean;
  args: FieldTable;
} {
  reader.short();
  const queue = reader.shortString();
  const tag = reader.shortString();
  reader.bit();
  const noAck = reader.bit();
  const exclusive = reader.bit();
  const noWait = reader.bit();
  const args = reader.table();
  reader.finish();
  return { queue, tag, noAck, exclusive, noWait, args };
}

/** consumer-tag(shortstr) no-wait(bit) */
export function readCancel(reader: Reader): { tag: string; noWait: boolean } {
  const tag = reader.shortString();
  const noWait = reader.bit();
  reader.finish();
  return { tag, noWait };
}

/** reserved(short) queue(shortstr) no-ack(bit) */
export function readGet(reader: Reader): { queue: string; noAck: boolean } {
  reader.short();
  const queue = reader.shortString();
  const noAck = reader.bit();
  reader.finish();
  return { queue, noAck };
}

/** delivery-tag(longlong) requeue(bit) */
export function readReject(reader: Reader): { tag: number; requeue: boolean } {
  const tag = reader.longLong();
  const requeue = reader.bit();
  reader.finish();
  return { tag, requeue };
}

/** delivery-tag(longlong) multiple(bit) requeue(bit); RabbitMQ extension. */
export function readNack(reader: Reader): { tag: number; multiple: boolean; requeue: boolean } {
  const tag = reader.longLong();
  const multiple = reader.bit();
  const requeue = reader.bit();
  reader.finish();
  return { tag, multiple, requeue };
}

/** requeue(bit) */
export function readRecover(reader: Reader): { requeue: boolean } {
  const requeue = reader.bit();
  reader.finish();
  return { requeue };
}

/** no-wait(bit); RabbitMQ extension. */
export function readConfirmSelect(reader: Reader): { noWait: boolean } {
  const noWait = reader.bit();
  reader.finish();
  return { noWait };
}
