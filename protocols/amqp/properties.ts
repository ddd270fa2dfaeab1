// The properties of class basic in a content header (§4.2.6.1): the native form of AMQP messages.
//
//   native         = property-flags *property-flags property-list
//   property-flags = short-uint; bit 15 is the first property, bit 0 says that another word of flags follows
//   property-list  = the values of the properties whose flag is set, in order
//
// `PropertyScanner` checks the bytes once, when they arrive. AMQP consumers get them unchanged; `amqpProperties`
// decodes them for everything else.

import { EMPTY_TABLE } from '../../src/core/message/field-table.ts';
import { NEVER } from '../../src/core/message/message.ts';
import { NO_PROPERTIES, type Properties, type PropertyCodec } from '../../src/core/message/properties.ts';
import { REPLY_QUEUE } from '../../src/core/vhost/direct-replies.ts';
import { AmqpError, REPLY } from './amqp-error.ts';
import { checkTable, encodeTable } from './field-table-codec.ts';
import { Reader } from './reader.ts';
import { Writer } from './writer.ts';

const FLAG = {
  contentType: 1 << 15,
  contentEncoding: 1 << 14,
  headers: 1 << 13,
  deliveryMode: 1 << 12,
  priority: 1 << 11,
  correlationId: 1 << 10,
  replyTo: 1 << 9,
  expiration: 1 << 8,
  messageId: 1 << 7,
  timestamp: 1 << 6,
  type: 1 << 5,
  userId: 1 << 4,
  appId: 1 << 3,
  clusterId: 1 << 2,
  continued: 1,
} as const;

const PERSISTENT = 2;

/** RabbitMQ's limit of TTLs: ten years. */
const MAX_EXPIRATION_MS = 315_360_000_000;

export const amqpProperties: PropertyCodec = Object.freeze({
  // Stored with each message.
  id: 1,
  retainHeader: true,
  decode: decodeProperties,
});

function decodeProperties(native: Buffer, offset: number, length: number): Properties {
  const reader = new Reader(native, offset, offset + length);
  const flags = reader.short();
  for (let word = flags; (word & FLAG.continued) !== 0; ) word = reader.short();
  if ((flags & ~FLAG.continued) === 0) return NO_PROPERTIES;
  return {
    contentType: flags & FLAG.contentType ? reader.shortString() : null,
    contentEncoding: flags & FLAG.contentEncoding ? reader.shortString() : null,
    headers: flags & FLAG.headers ? reader.table() : EMPTY_TABLE,
    deliveryMode: flags & FLAG.deliveryMode ? reader.octet() : null,
    priority: flags & FLAG.priority ? reader.octet() : null,
    correlationId: flags & FLAG.correlationId ? reader.shortString() : null,
    replyTo: flags & FLAG.replyTo ? reader.shortString() : null,
    expiration: flags & FLAG.expiration ? reader.shortString() : null,
    messageId: flags & FLAG.messageId ? reader.shortString() : null,
    timestamp: flags & FLAG.timestamp ? reader.bigLongLong() : null,
    type: flags & FLAG.type ? reader.shortString() : null,
    userId: flags & FLAG.userId ? reader.shortString() : null,
    appId: flags & FLAG.appId ? reader.shortString() : null,
    clusterId: flags & FLAG.clusterId ? reader.shortString() : null,
  };
}

/** Property flags and list. Strings that are longer than 255 bytes are cut; an empty header table is left out. */
export function encodeProperties(properties: Properties): Buffer {
  const writer = new Writer();
  writer.short(0);
  let flags = 0;
  const text = (flag: number, value: string | null): void => {
    if (value === null) return;
    flags |= flag;
    writer.shortString(value);
  };
  const octet = (flag: number, value: number | null): void => {
    if (value === null) return;
    flags |= flag;
    writer.octet(value);
  };
  text(FLAG.contentType, properties.contentType);
  text(FLAG.contentEncoding, properties.contentEncoding);
  if (properties.headers.length > 0) {
    flags |= FLAG.headers;
    encodeTable(writer, properties.headers);
  }
  octet(FLAG.deliveryMode, properties.deliveryMode);
  octet(FLAG.priority, properties.priority);
  text(FLAG.correlationId, properties.correlationId);
  text(FLAG.replyTo, properties.replyTo);
  text(FLAG.expiration, properties.expiration);
  text(FLAG.messageId, properties.messageId);
  if (properties.timestamp !== null) {
    flags |= FLAG.timestamp;
    writer.bigLongLong(properties.timestamp);
  }
  text(FLAG.type, properties.type);
  text(FLAG.userId, properties.userId);
  text(FLAG.appId, properties.appId);
  text(FLAG.clusterId, properties.clusterId);
  writer.patchShort(0, flags);
  return writer.finish();
}

/** `expirationMs` of a message whose expiration is not a number of milliseconds. */
export const INVALID_EXPIRATION = -2;

/**
 * Walks the native bytes of an arriving message: checks that they are well-formed, and extracts what routing needs.
 * There is one for each process; its fields hold the result of the last scan.
 */
export class PropertyScanner {
  persistent: boolean;
  priority: number;
  /** NEVER where there is none, INVALID_EXPIRATION where it is not a number of milliseconds. */
  expirationMs: number;
  /** Whether the message may need special handling: a user id, an invalid expiration, a direct reply-to, CC or BCC. */
  special: boolean;
  /** Where the text of a reply-to that requests direct replies begins, or -1. */
  replyToAt: number;

  constructor() {
    this.persistent = false;
    this.priority = 0;
    this.expirationMs = NEVER;
    this.special = false;
    this.replyToAt = -1;
  }

  /** Throws SYNTAX_ERROR unless `buffer[start, end)` is exactly one list of flags and properties. */
  scan(buffer: Buffer, start: number, end: number): void {
    this.persistent = false;
    this.priority = 0;
    this.expirationMs = NEVER;
    this.special = false;
    this.replyToAt = -1;
    if (end - start < 2) throw malformed();
    const flags = (buffer[start]! << 8) | buffer[start + 1]!;
    let at = start + 2;
    for (let word = flags; (word & FLAG.continued) !== 0; at += 2) {
      if (end - at < 2) throw malformed();
      word = (buffer[at]! << 8) | buffer[at + 1]!;
    }
    if ((flags & FLAG.contentType) !== 0) at = skipShortString(buffer, at, end);
    if ((flags & FLAG.contentEncoding) !== 0) at = skipShortString(buffer, at, end);
    if ((flags & FLAG.headers) !== 0) {
      const from = at;
      at = skipTable(buffer, at, end);
      if (mentionsCopies(buffer, from, at)) this.special = true;
    }
    if ((flags & FLAG.deliveryMode) !== 0) {
      if (at >= end) throw malformed();
      this.persistent = buffer[at++] === PERSISTENT;
    }
    if ((flags & FLAG.priority) !== 0) {
      if (at >= end) throw malformed();
      this.priority = buffer[at++]!;
    }
    if ((flags & FLAG.correlationId) !== 0) at = skipShortString(buffer, at, end);
    if ((flags & FLAG.replyTo) !== 0) {
      const from = at + 1;
      at = skipShortString(buffer, at, end);
      if (isReplyQueue(buffer, from, at)) {
        this.replyToAt = from;
        this.special = true;
      }
    }
    if ((flags & FLAG.expiration) !== 0) {
      const from = at + 1;
      at = skipShortString(buffer, at, end);
      this.expirationMs = parseExpiration(buffer, from, at);
      if (this.expirationMs === INVALID_EXPIRATION) this.special = true;
    }
    if ((flags & FLAG.messageId) !== 0) at = skipShortString(buffer, at, end);
    if ((flags & FLAG.timestamp) !== 0) at += 8;
    if ((flags & FLAG.type) !== 0) at = skipShortString(buffer, at, end);
    if ((flags & FLAG.userId) !== 0) {
      at = skipShortString(buffer, at, end);
      this.special = true;
    }
    if ((flags & FLAG.appId) !== 0) at = skipShortString(buffer, at, end);
    if ((flags & FLAG.clusterId) !== 0) at = skipShortString(buffer, at, end);
    if (at !== end) throw malformed();
  }
}

function skipShortString(buffer: Buffer, at: number, end: number): number {
  if (at >= end) throw malformed();
  const after = at + 1 + buffer[at]!;
  if (after > end) throw malformed();
  return after;
}

function skipTable(buffer: Buffer, at: number, end: number): number {
  if (end - at < 4) throw malformed();
  const after = at + 4 + buffer.readUInt32BE(at);
  if (after > end) throw malformed();
  checkTable(buffer, at + 4, after);
  return after;
}

/**
 * Whether a header may be named CC or BCC: searches the bytes of such a name with its length before it. Decoding the
 * table later shows whether they are a name at the outer level.
 */
function mentionsCopies(buffer: Buffer, from: number, end: number): boolean {
  for (let at = from + 5; at < end - 2; at++) {
    if (buffer[at] !== 0x43 || buffer[at + 1] !== 0x43) continue;
    if (buffer[at - 1] === 2 || (buffer[at - 1] === 0x42 && buffer[at - 2] === 3)) return true;
  }
  return false;
}

function isReplyQueue(buffer: Buffer, from: number, to: number): boolean {
  return to - from === REPLY_QUEUE.length && buffer.toString('latin1', from, to) === REPLY_QUEUE;
}

function parseExpiration(buffer: Buffer, from: number, to: number): number {
  if (from === to) return INVALID_EXPIRATION;
  let value = 0;
  for (let i = from; i < to; i++) {
    const digit = buffer[i]! - 0x30;
    if (digit < 0 || digit > 9) return INVALID_EXPIRATION;
    value = value * 10 + digit;
    if (value > MAX_EXPIRATION_MS) return INVALID_EXPIRATION;
  }
  return value;
}

function malformed(): AmqpError {
  return new AmqpError(REPLY.syntaxError, 'malformed property list in content header');
}
