// STOMP's native properties (codec id 3) and their common form.
//
// Native bytes are header lines `name:value LF`, always escaped as 1.2 does whatever the publisher's version, without
// the headers that belong to the SEND frame itself and without repeated names (send-headers.ts makes them). They go
// into a MESSAGE as they are.
//
// The other way round, properties become header lines so that nothing vanishes: numbers, booleans and timestamps
// (seconds) as text, nested tables and arrays as JSON, octets that are no UTF-8 as base64, void as an empty value.

import { EMPTY_TABLE, type Field, textField } from '../../src/core/message/field-table.ts';
import { fieldText } from '../../src/core/message/plain-fields.ts';
import type { Properties, PropertyCodec } from '../../src/core/message/properties.ts';
import { replyToHeader, replyToName } from './destination.ts';
import { escapeHeader, unescapeHeader } from './escaping.ts';
import { FRAME_HEADERS, PROPERTY_HEADERS } from './header-names.ts';
import { STOMP_VERSION, type StompVersion } from './version.ts';

const LF = 0x0a;
const MAX_TIMESTAMP = 0xffff_ffff_ffff_ffffn;

export const STOMP_CODEC: PropertyCodec = Object.freeze({
  // Stored with each message.
  id: 3,
  retainHeader: true,
  decode: decodeHeaders,
});

/** Header lines to the common form. The lines were validated when they arrived. */
export function decodeHeaders(native: Buffer, offset: number, length: number): Properties {
  const properties = new Map<string, string>();
  const headers: Field[] = [];
  const end = offset + length;
  let at = offset;
  while (at < end) {
    let stop = native.indexOf(LF, at);
    if (stop < 0 || stop > end) stop = end;
    const line = native.toString('utf8', at, stop);
    at = stop + 1;
    const colon = line.indexOf(':');
    const name = unescapeHeader(line.slice(0, colon), STOMP_VERSION.v1_2);
    const value = unescapeHeader(line.slice(colon + 1), STOMP_VERSION.v1_2);
    if (PROPERTY_HEADERS.has(name)) properties.set(name, value);
    else headers.push(textField(name, value));
  }
  const text = (name: string): string | null => properties.get(name) ?? null;
  const persistent = text('persistent');
  const priority = text('priority');
  const replyTo = text('reply-to');
  const timestamp = text('timestamp');
  const seconds = timestamp === null ? null : secondsOf(timestamp);
  // What does not fit the property's type is still the publisher's header.
  if (timestamp !== null && seconds === null) headers.push(textField('timestamp', timestamp));
  return {
    contentType: text('content-type'),
    contentEncoding: text('content-encoding'),
    headers: headers.length === 0 ? EMPTY_TABLE : headers,
    deliveryMode: persistent === null ? null : isTrue(persistent) ? 2 : 1,
    priority: priority === null ? null : Number(priority),
    correlationId: text('correlation-id'),
    replyTo: replyTo === null ? null : replyToName(replyTo),
    expiration: text('expiration'),
    messageId: text('amqp-message-id'),
    timestamp: seconds,
    type: text('type'),
    userId: text('user-id'),
    appId: text('app-id'),
    clusterId: text('cluster-id'),
  };
}

/** The common form to header lines, escaped for a receiver of that version. */
export function encodeHeaders(properties: Properties, persistent: boolean, version: StompVersion): Buffer {
  const { priority, replyTo, timestamp, headers } = properties;
  let text = '';
  text += line('content-type', properties.contentType, version);
  text += line('content-encoding', properties.contentEncoding, version);
  if (persistent || properties.deliveryMode === 2) text += 'persistent:true\n';
  if (priority !== null) text += `priority:${priority}\n`;
  text += line('correlation-id', properties.correlationId, version);
  if (replyTo !== null) text += line('reply-to', replyToHeader(replyTo), version);
  text += line('expiration', properties.expiration, version);
  text += line('amqp-message-id', properties.messageId, version);
  if (timestamp !== null) text += `timestamp:${timestamp}\n`;
  text += line('type', properties.type, version);
  text += line('user-id', properties.userId, version);
  text += line('app-id', properties.appId, version);
  text += line('cluster-id', properties.clusterId, version);
  if (headers.length > 0) text += headerLines(properties, persistent, version);
  return Buffer.from(text, 'utf8');
}

/**
 * Message headers. One whose name would be read as something else (a header of the frame, a property that is set, or
 * who sent it) has `x-` in front of it; of repeated names the first stands (STOMP 1.2, «Repeated Header Entries»).
 */
function headerLines(properties: Properties, persistent: boolean, version: StompVersion): string {
  let text = '';
  const written = new Set<string>();
  for (const { name, value } of properties.headers) {
    const shown = isTaken(properties, persistent, name) ? `x-${name}` : name;
    if (written.has(shown)) continue;
    written.add(shown);
    text += line(shown, fieldText(value), version);
  }
  return text;
}

function line(name: string, value: string | null, version: StompVersion): string {
  return value === null ? '' : `${escapeHeader(name, version)}:${escapeHeader(value, version)}\n`;
}

/** Whether a message header of that name would be taken for something else. */
function isTaken(properties: Properties, persistent: boolean, name: string): boolean {
  // Who sent a message is what the broker has checked, never what a header says.
  if (name === '' || name === 'user-id' || FRAME_HEADERS.has(name)) return true;
  if (!PROPERTY_HEADERS.has(name)) return false;
  if (name === 'persistent') return persistent || properties.deliveryMode === 2;
  return propertyNamed(properties, name) !== null;
}

function propertyNamed(properties: Properties, name: string): unknown {
  switch (name) {
    case 'content-type':
      return properties.contentType;
    case 'content-encoding':
      return properties.contentEncoding;
    case 'priority':
      return properties.priority;
    case 'correlation-id':
      return properties.correlationId;
    case 'reply-to':
      return properties.replyTo;
    case 'expiration':
      return properties.expiration;
    case 'amqp-message-id':
      return properties.messageId;
    case 'timestamp':
      return properties.timestamp;
    case 'type':
      return properties.type;
    case 'app-id':
      return properties.appId;
    case 'cluster-id':
      return properties.clusterId;
    default:
      return null;
  }
}

/** `true` in either spelling that RabbitMQ accepts. */
export function isTrue(value: string): boolean {
  return value === 'true' || value === 'True';
}

function secondsOf(text: string): bigint | null {
  if (!/^[0-9]{1,20}$/.test(text)) return null;
  const seconds = BigInt(text);
  return seconds <= MAX_TIMESTAMP ? seconds : null;
}
