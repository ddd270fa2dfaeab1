// What one connection says: it writes frames into the transport's outbox, each in a WebSocket message of its own, of the
// kind that the client uses, and with an EOL behind its NUL: some clients read up to that, and others take a message for
// a frame. The hottest code is `message`; all else is rare.
//
//   MESSAGE LF subscription LF destination LF (native headers) redelivered LF message-id LF [ack LF] content-length LF
//   LF body NUL LF
//
// The front part, up to the digits of message-id, stays the same while a publisher repeats its headers, so a
// subscription keeps it from the second time on and copies it in one piece (message-head.ts): 2 × over writing its
// parts, bench/stomp-codec.ts. MESSAGE frames always carry content-length, and only 1.2 names the message in `ack`.

import { isUtf8 } from 'node:buffer';
import type { Message } from '../../src/core/message/message.ts';
import { NO_CODEC } from '../../src/core/message/properties.ts';
import { MESSAGE_KIND } from '../../src/net/message-kind.ts';
import { REFERENCE_BYTES } from '../../src/net/outbox.ts';
import type { Transport } from '../../src/net/transport.ts';
import type { DestinationLines } from './destination-lines.ts';
import { escapeHeader } from './escaping.ts';
import type { MessageHead } from './message-head.ts';
import { encodeHeaders, STOMP_CODEC } from './property-codec.ts';
import { STOMP_VERSION, type StompVersion, SUPPORTED_VERSIONS } from './version.ts';

const LF = 0x0a;
const NUL = 0;
const DIGIT_0 = 0x30;
const BACKSLASH = 0x5c;

/** Heads from this size on are built separately and not in the slab. */
const MAX_HEAD_BYTES = 16 * 1024;
/** Room beside head and body: two numbers, the lines around them, NUL and LF. */
const EXTRA_BYTES = 128;

const NO_BYTES = Buffer.alloc(0);
const PERSISTENT = Buffer.from('persistent:true\n');
const ACK = Buffer.from('\nack:');
const CONTENT_LENGTH = Buffer.from('\ncontent-length:');

/**
 * `Message.wireKind` of this front-end, 32–47: header bytes that were encoded for a version (32 + 4 × version) or none
 * (44), plus what is known of the body: nothing, UTF-8, or not.
 */
const WIRE = { first: 32, native: 44, last: 47 } as const;
const BODY_UNKNOWN = 0;
const BODY_UTF8 = 1;
const BODY_BINARY = 2;

export class FrameWriter {
  private readonly transport: Transport;
  /** Whether the client sends text messages, and so expects them. */
  private textual: boolean;
  readonly version: StompVersion;
  private readonly lines: DestinationLines;

  constructor(transport: Transport, version: StompVersion, lines: DestinationLines) {
    this.transport = transport;
    this.textual = false;
    this.version = version;
    this.lines = lines;
    this.followClient();
  }

  /** Uses the kind of WebSocket message that the client used last. */
  followClient(): void {
    this.textual = this.transport.lastMessageKind === MESSAGE_KIND.text;
  }

  /** A fault of ours, perhaps in the middle of a frame: the connection ends at once, and what was written is dropped. */
  broken(): void {
    this.transport.fault();
  }

  /** A whole frame of text. */
  frame(bytes: Buffer): void {
    if (this.textual) this.transport.messageKind = MESSAGE_KIND.text;
    this.transport.outbox.append(bytes, 0, bytes.length);
    this.transport.outbox.endMessage();
  }

  /** `receiptId` is the header's value as the client sent it, byte for byte (latin1), so it needs no escaping. */
  receipt(receiptId: string): void {
    const bytes = Buffer.from(`RECEIPT\nreceipt-id:${receiptId}\n\n\0\n`, 'latin1');
    if (this.textual && !isUtf8(bytes)) this.binaryFrame(bytes);
    else this.frame(bytes);
  }

  private binaryFrame(bytes: Buffer): void {
    this.transport.messageKind = MESSAGE_KIND.binary;
    this.transport.outbox.append(bytes, 0, bytes.length);
    this.transport.outbox.endMessage();
  }

  heartBeat(): void {
    if (this.textual) this.transport.messageKind = MESSAGE_KIND.text;
    const { outbox } = this.transport;
    outbox.reserve(1);
    outbox.buffer[outbox.position++] = LF;
    outbox.endMessage();
  }

  /** Writes one MESSAGE. `number` identifies it within its subscription. */
  message(head: MessageHead, message: Message, number: number, redelivered: boolean): void {
    const { native } = message;
    let headers = native;
    let headersAt = message.nativeOffset;
    let headersLength = message.nativeLength;
    if (message.codec.id !== STOMP_CODEC.id || this.version !== STOMP_VERSION.v1_2) {
      headers = this.encodedHeaders(message);
      if (headers !== native) {
        headersAt = 0;
        headersLength = headers.length;
      }
    }
    if (this.textual) {
      this.transport.messageKind = isText(message) ? MESSAGE_KIND.text : MESSAGE_KIND.binary;
    }
    const { outbox } = this.transport;
    const { bodyLength } = message;
    const byReference = bodyLength >= REFERENCE_BYTES;
    const room = byReference ? EXTRA_BYTES : EXTRA_BYTES + bodyLength;
    if (!redelivered && head.repeats(message, headers, headersLength)) {
      const bytes = head.bytes(this.lines);
      outbox.reserve(bytes.length + head.idBytes + room);
      bytes.copy(outbox.buffer, outbox.position);
      outbox.position += bytes.length;
    } else this.writeHead(head, message, headers, headersAt, headersLength, redelivered, room);
    const { buffer } = outbox;
    let at = writeDigits(buffer, outbox.position, number);
    if (head.ack !== null) {
      at = writeBytes(buffer, at, ACK);
      at = writeBytes(buffer, at, head.ack);
      at = writeDigits(buffer, at, number);
    }
    at = writeBytes(buffer, at, CONTENT_LENGTH);
    at = writeDigits(buffer, at, bodyLength);
    buffer[at++] = LF;
    buffer[at++] = LF;
    if (byReference) {
      outbox.position = at;
      outbox.append(message.body, message.bodyOffset, message.bodyOffset + bodyLength);
      outbox.reserve(2);
      outbox.buffer[outbox.position++] = NUL;
      outbox.buffer[outbox.position++] = LF;
    } else {
      message.body.copy(buffer, at, message.bodyOffset, message.bodyOffset + bodyLength);
      at += bodyLength;
      buffer[at++] = NUL;
      buffer[at++] = LF;
      outbox.position = at;
    }
    outbox.endMessage();
  }

  /** The front part, piece by piece. */
  private writeHead(
    head: MessageHead,
    message: Message,
    headers: Buffer,
    headersAt: number,
    headersLength: number,
    redelivered: boolean,
    room: number,
  ): void {
    const { outbox } = this.transport;
    const line = this.lines.line(message.exchange, message.routingKey);
    const end = redelivered ? head.redelivered : head.fresh;
    const length = head.start.length + line.length + headersLength + end.length;
    if (length + head.idBytes > MAX_HEAD_BYTES) {
      const whole = [head.start, line, headers.subarray(headersAt, headersAt + headersLength), end];
      outbox.append(Buffer.concat(whole), 0, length);
      outbox.reserve(head.idBytes + room);
      return;
    }
    outbox.reserve(length + head.idBytes + room);
    const { buffer } = outbox;
    let at = outbox.position;
    at += head.start.copy(buffer, at);
    at += line.copy(buffer, at);
    if (headersLength > 0) at += headers.copy(buffer, at, headersAt, headersAt + headersLength);
    at += end.copy(buffer, at);
    outbox.position = at;
  }

  /** Header bytes for this client's version, encoded once for all receivers that speak it. */
  private encodedHeaders(message: Message): Buffer {
    const { native } = message;
    if (message.codec.id === STOMP_CODEC.id) {
      // A native form without escapes is the same in all versions.
      const found = native.indexOf(BACKSLASH, message.nativeOffset);
      if (found < 0 || found >= message.nativeOffset + message.nativeLength) return native;
    }
    // MQTT 3.1.1: no properties but the one that stands for its QoS.
    if (message.codec.id === NO_CODEC.id) return message.persistent ? PERSISTENT : NO_BYTES;
    const kind = WIRE.first + 4 * this.version;
    if (message.wireKind >= kind && message.wireKind < kind + 4) return message.wire;
    const headers = encodeHeaders(message.properties(), message.persistent, this.version);
    message.wire = headers;
    message.wireKind = kind;
    return headers;
  }
}

/** Whether a message may be in a WebSocket text message. Computed once for all receivers. */
function isText(message: Message): boolean {
  let kind = message.wireKind;
  if (kind < WIRE.first || kind > WIRE.last) {
    if (kind !== 0) return isUtf8(bodyOf(message));
    kind = WIRE.native;
  }
  const known = kind & 3;
  if (known !== BODY_UNKNOWN) return known === BODY_UTF8;
  const text = isUtf8(bodyOf(message));
  message.wireKind = kind + (text ? BODY_UTF8 : BODY_BINARY);
  return text;
}

function bodyOf(message: Message): Buffer {
  return message.body.subarray(message.bodyOffset, message.bodyOffset + message.bodyLength);
}

/** A frame of text: headers are escaped for that version. */
export function textFrame(
  command: string,
  headers: readonly (readonly [string, string])[],
  body: string,
  version: StompVersion,
): Buffer {
  const lines = headers.map(([name, value]) => `${name}:${escapeHeader(value, version)}\n`);
  return Buffer.from(`${command}\n${lines.join('')}\n${body}\0\n`);
}

/**
 * An ERROR frame. `receiptId` is the failed frame's receipt header, byte for byte (latin1), or null. The content type
 * names its charset because stompit ends its process with an unhandled error on a bare text/plain.
 */
export function errorFrame(summary: string, detail: string, receiptId: string | null, version: StompVersion): Buffer {
  const body = Buffer.from(`${detail}\n`);
  const receipt = receiptId === null ? '' : `receipt-id:${Buffer.from(receiptId, 'latin1').toString()}\n`;
  const lines = [
    'ERROR\n',
    `message:${escapeHeader(summary, version)}\n`,
    receipt,
    'content-type:text/plain;charset=utf-8\n',
    `version:${SUPPORTED_VERSIONS}\n`,
    `content-length:${body.length}\n\n`,
  ];
  return Buffer.concat([Buffer.from(lines.join('')), body, Buffer.from([NUL, LF])]);
}

/** Writes a natural number in decimal and returns where it ends. */
export function writeDigits(buffer: Buffer, at: number, value: number): number {
  if (value < 10) {
    buffer[at] = DIGIT_0 + value;
    return at + 1;
  }
  let length = 2;
  for (let bound = 100; bound <= value; bound *= 10) length++;
  const end = at + length;
  let rest = value;
  for (let i = end - 1; i >= at; i--) {
    const tenth = Math.floor(rest / 10);
    buffer[i] = DIGIT_0 + rest - tenth * 10;
    rest = tenth;
  }
  return end;
}

function writeBytes(buffer: Buffer, at: number, bytes: Buffer): number {
  const length = bytes.length;
  for (let i = 0; i < length; i++) buffer[at + i] = bytes[i]!;
  return at + length;
}
