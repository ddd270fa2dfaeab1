// Makes the property blocks that go out: those of MQTT 5 publishers in the form in which they are kept (see
// property-codec.ts), and those of messages that came over another protocol, from their common properties.

import { type Field, findField, integerOf } from '../../../src/core/message/field-table.ts';
import type { Message } from '../../../src/core/message/message.ts';
import { fieldText } from '../../../src/core/message/plain-fields.ts';
import { NO_CODEC, type Properties } from '../../../src/core/message/properties.ts';
import { parseReplyAddress } from '../../../src/core/session/reply-address.ts';
import { replyTopicOf } from '../topic/reply-topics.ts';
import { topicOfKey } from '../topic/topics.ts';
import { PROPERTY, type PropertyScanner } from './properties.ts';
import { correlationDataOf, hasBlock, isOfMqtt, PAYLOAD_FORMAT_HEADER } from './property-codec.ts';

/** `Message.wireKind` of this front-end: 48, a block that was made of common properties. */
const WIRE_BLOCK = 48;
const LONGEST_TEXT_BYTES = 65_535;
const NO_BYTES = Buffer.alloc(0);

/** Whether a scanned block is kept as it lies: it names no topic alias or delay, and message expiry is first. */
export function isKeepable(buffer: Buffer, scanner: PropertyScanner): boolean {
  if (scanner.has(PROPERTY.topicAlias) || scanner.has(PROPERTY.willDelay)) return false;
  return !scanner.has(PROPERTY.messageExpiry) || buffer[scanner.start] === PROPERTY.messageExpiry;
}

/** A scanned block in the form in which it is kept. */
export function keptBlock(buffer: Buffer, scanner: PropertyScanner): Buffer {
  const rest: Buffer[] = [];
  let expiry: Buffer = NO_BYTES;
  for (let at = scanner.start; at < scanner.end; ) {
    const next = behindProperty(buffer, at);
    const id = buffer[at];
    if (id === PROPERTY.messageExpiry) expiry = buffer.subarray(at, next);
    else if (id !== PROPERTY.topicAlias && id !== PROPERTY.willDelay) rest.push(buffer.subarray(at, next));
    at = next;
  }
  return Buffer.concat([expiry, ...rest]);
}

/** The block of a message that has none of its own: without message expiry, which its encoder writes. `exchange` is where topics live. */
export function foreignBlock(message: Message, exchange: string): Buffer {
  if (message.codec.id === NO_CODEC.id || (isOfMqtt(message) && !hasBlock(message))) return NO_BYTES;
  if (message.wireKind === WIRE_BLOCK) return message.wire;
  const block = blockOf(message.properties(), exchange);
  message.wire = block;
  message.wireKind = WIRE_BLOCK;
  return block;
}

/** Common properties as an MQTT 5 block. What MQTT has no property for is a user property of its name. */
function blockOf(properties: Properties, exchange: string): Buffer {
  const parts: Buffer[] = [];
  const { headers, correlationId, replyTo, contentType, priority, timestamp } = properties;
  const format = integerOf(findField(headers, PAYLOAD_FORMAT_HEADER));
  const hasFormat = format === 0 || format === 1;
  if (hasFormat) parts.push(Buffer.from([PROPERTY.payloadFormat, format]));
  const pair = (name: string, value: string | null): void => {
    if (value !== null) parts.push(Buffer.from([PROPERTY.userProperty]), text(name), text(value));
  };
  if (contentType !== null) parts.push(Buffer.from([PROPERTY.contentType]), text(contentType));
  if (replyTo !== null) {
    const topic = responseTopicOf(replyTo, exchange);
    if (topic === null) pair('reply-to', replyTo);
    else parts.push(Buffer.from([PROPERTY.responseTopic]), text(topic));
  }
  if (correlationId !== null) {
    parts.push(Buffer.from([PROPERTY.correlationData]), counted(correlationDataOf(correlationId)));
  }
  pair('content-encoding', properties.contentEncoding);
  if (priority !== null) pair('priority', String(priority));
  pair('message-id', properties.messageId);
  if (timestamp !== null) pair('timestamp', String(timestamp));
  pair('type', properties.type);
  pair('user-id', properties.userId);
  pair('app-id', properties.appId);
  pair('cluster-id', properties.clusterId);
  for (const field of headers) {
    if (hasFormat && field.name === PAYLOAD_FORMAT_HEADER) continue;
    pair(nameOf(field), fieldText(field.value));
  }
  return Buffer.concat(parts);
}

/** Who sent a message is what the broker has checked, never what a header says. */
function nameOf({ name }: Field): string {
  return name === 'user-id' ? 'x-user-id' : name;
}

/** Where an answer to that reply-to is published; null where no topic leads there. */
function responseTopicOf(replyTo: string, exchange: string): string | null {
  const address = parseReplyAddress(replyTo);
  if (address === null) return replyTo === '' ? null : replyTopicOf(replyTo);
  return address.exchange === exchange ? topicOfKey(address.routingKey) : null;
}

/** U+0000 is no text in MQTT [MQTT-1.5.4-2], and what is too long is cut at a character. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value.includes('\0') ? value.replaceAll('\0', '\ufffd') : value, 'utf8');
  return counted(bytes.length <= LONGEST_TEXT_BYTES ? bytes : cutText(bytes));
}

function cutText(bytes: Buffer): Buffer {
  let end = LONGEST_TEXT_BYTES;
  while ((bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}

function counted(bytes: Buffer): Buffer {
  const all = Buffer.allocUnsafe(2 + Math.min(bytes.length, LONGEST_TEXT_BYTES));
  all.writeUInt16BE(all.length - 2);
  bytes.copy(all, 2, 0, all.length - 2);
  return all;
}

/** The position behind the property at `at`, in a block that was scanned. */
function behindProperty(buffer: Buffer, at: number): number {
  const value = at + 1;
  switch (buffer[at]) {
    case PROPERTY.payloadFormat:
      return value + 1;
    case PROPERTY.topicAlias:
      return value + 2;
    case PROPERTY.messageExpiry:
    case PROPERTY.willDelay:
      return value + 4;
    case PROPERTY.userProperty: {
      const second = value + 2 + buffer.readUInt16BE(value);
      return second + 2 + buffer.readUInt16BE(second);
    }
    default:
      return value + 2 + buffer.readUInt16BE(value);
  }
}
