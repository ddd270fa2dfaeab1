// Encoders of the method frames that the broker sends, one for each method. Deliveries and confirms are written
// directly into the outbox (delivery.ts, publishing.ts).

import type { FieldTable } from '../../src/core/message/field-table.ts';
import type { AmqpError } from './amqp-error.ts';
import { encodeTable } from './field-table-codec.ts';
import { FRAME, FRAME_END, FRAME_HEADER_BYTES } from './frames.ts';
import { METHOD, type MethodId } from './method-ids.ts';
import { Writer } from './writer.ts';

/** `AMQP` and the supported version: the reply to any other protocol header (§4.2.2). */
export const PROTOCOL_HEADER = Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1]);

export const HEARTBEAT_FRAME = Buffer.from([FRAME.heartbeat, 0, 0, 0, 0, 0, 0, FRAME_END]);

/** A method without arguments. */
export function bareMethod(channel: number, method: MethodId): Buffer {
  return end(begin(channel, method));
}

/** version-major(octet) version-minor(octet) server-properties(table) mechanisms(longstr) locales(longstr) */
export function connectionStart(serverProperties: FieldTable, mechanisms: string): Buffer {
  const writer = begin(0, METHOD.connectionStart);
  writer.octet(0);
  writer.octet(9);
  encodeTable(writer, serverProperties);
  writer.longString(mechanisms);
  writer.longString('en_US');
  return end(writer);
}

/** channel-max(short) frame-max(long) heartbeat(short) */
export function connectionTune(channelMax: number, frameMax: number, heartbeatSeconds: number): Buffer {
  const writer = begin(0, METHOD.connectionTune);
  writer.short(channelMax);
  writer.long(frameMax);
  writer.short(heartbeatSeconds);
  return end(writer);
}

/** reserved(shortstr) */
export function connectionOpenOk(): Buffer {
  const writer = begin(0, METHOD.connectionOpenOk);
  writer.shortString('');
  return end(writer);
}

/** reason(shortstr); RabbitMQ extension. */
export function connectionBlocked(reason: string): Buffer {
  const writer = begin(0, METHOD.connectionBlocked);
  writer.shortString(reason);
  return end(writer);
}

/** reply-code(short) reply-text(shortstr) class-id(short) method-id(short); `cause`: the method at fault, or 0. */
export function closeMethod(
  channel: number,
  method: typeof METHOD.connectionClose | typeof METHOD.channelClose,
  error: AmqpError,
  cause: number,
): Buffer {
  const writer = begin(channel, method);
  writer.short(error.code);
  writer.shortString(error.message);
  writer.long(cause);
  return end(writer);
}

/** reserved(longstr) */
export function channelOpenOk(channel: number): Buffer {
  const writer = begin(channel, METHOD.channelOpenOk);
  writer.longString('');
  return end(writer);
}

/** active(bit) */
export function channelFlowOk(channel: number, active: boolean): Buffer {
  const writer = begin(channel, METHOD.channelFlowOk);
  writer.bit(active);
  return end(writer);
}

/** queue(shortstr) message-count(long) consumer-count(long) */
export function queueDeclareOk(channel: number, queue: string, messages: number, consumers: number): Buffer {
  const writer = begin(channel, METHOD.queueDeclareOk);
  writer.shortString(queue);
  writer.long(messages);
  writer.long(consumers);
  return end(writer);
}

/** message-count(long); purge-ok and delete-ok. */
export function messageCountOk(
  channel: number,
  method: typeof METHOD.queuePurgeOk | typeof METHOD.queueDeleteOk,
  messages: number,
): Buffer {
  const writer = begin(channel, method);
  writer.long(messages);
  return end(writer);
}

/** consumer-tag(shortstr); consume-ok and cancel-ok. */
export function consumerTagOk(
  channel: number,
  method: typeof METHOD.basicConsumeOk | typeof METHOD.basicCancelOk,
  tag: string,
): Buffer {
  const writer = begin(channel, method);
  writer.shortString(tag);
  return end(writer);
}

/** consumer-tag(shortstr) no-wait(bit): the queue went away beneath the consumer (RabbitMQ extension). */
export function consumerCancelled(channel: number, tag: string): Buffer {
  const writer = begin(channel, METHOD.basicCancel);
  writer.shortString(tag);
  writer.bit(true);
  return end(writer);
}

/** reserved(shortstr) */
export function getEmpty(channel: number): Buffer {
  const writer = begin(channel, METHOD.basicGetEmpty);
  writer.shortString('');
  return end(writer);
}

/** delivery-tag(longlong) redelivered(bit) exchange(shortstr) routing-key(shortstr) message-count(long) */
export function getOk(
  channel: number,
  tag: number,
  redelivered: boolean,
  exchange: string,
  routingKey: string,
  messages: number,
): Buffer {
  const writer = begin(channel, METHOD.basicGetOk);
  writer.longLong(tag);
  writer.bit(redelivered);
  writer.shortString(exchange);
  writer.shortString(routingKey);
  writer.long(messages);
  return end(writer);
}

/** reply-code(short) reply-text(shortstr) exchange(shortstr) routing-key(shortstr) */
export function basicReturn(channel: number, code: number, text: string, exchange: string, routingKey: string): Buffer {
  const writer = begin(channel, METHOD.basicReturn);
  writer.short(code);
  writer.shortString(text);
  writer.shortString(exchange);
  writer.shortString(routingKey);
  return end(writer);
}

function begin(channel: number, method: MethodId): Writer {
  const writer = new Writer();
  writer.octet(FRAME.method);
  writer.short(channel);
  writer.long(0);
  writer.long(method);
  return writer;
}

function end(writer: Writer): Buffer {
  writer.patchLong(3, writer.length - FRAME_HEADER_BYTES);
  writer.octet(FRAME_END);
  return writer.finish();
}
