// Assembles published messages from basic.publish, content header and body frames. It is the hot path of publishing.
// Method, header and body that lie in one chunk are read in one pass. A message whose exchange, key and property bytes
// equal those of the previous one is recognised by comparing bytes, and nothing is decoded again. Each message creates
// one object: the Message, which publishing.ts publishes.
//
// content = method-frame header-frame *body-frame (§4.2.6; frames of one content follow each other)

import { Message, NEVER } from '../../src/core/message/message.ts';
import { OWN_ALLOCATION_BYTES } from '../../src/core/message/message-slabs.ts';
import { ownBytes } from '../../src/core/message/own-bytes.ts';
import type { Turn } from '../../src/core/turn/turn.ts';
import { AmqpError, REPLY } from './amqp-error.ts';
import { CONTENT_HEADER_BYTES } from './content.ts';
import { FRAME, FRAME_END, FRAME_HEADER_BYTES, FRAME_OVERHEAD_BYTES } from './frames.ts';
import { CLASS_BASIC } from './method-ids.ts';
import { amqpProperties, type PropertyScanner } from './properties.ts';
import type { ShortStringCache } from './short-string.ts';

/** What the parser needs of its channel. */
export interface ContentChannel {
  readonly number: number;
  readonly turn: Turn;
  readonly names: ShortStringCache;
  readonly scanner: PropertyScanner;
  /** The largest payload of a frame, in both directions. */
  readonly maxPayloadBytes: number;
  readonly maxMessageBytes: number;
  /** Bytes that are allocated for unfinished bodies on all channels of the connection, and how many there may be. */
  readonly unfinished: { bytes: number };
  readonly unfinishedBytes: number;
}

/** Receives the messages. */
export interface ContentSink {
  publish(message: Message, mandatory: boolean): void;
  /**
   * A message whose properties need special handling (special-properties.ts); `replyToAt` is relative to its native
   * bytes, or -1.
   */
  publishSpecial(message: Message, mandatory: boolean, replyToAt: number): void;
  /**
   * A body has begun whose end has not arrived. False: it would be refused, and the channel was closed; nothing of it is
   * kept.
   */
  admits(exchange: string): boolean;
  /** Closes the channel: a content violates a rule. */
  refuse(why: string): void;
  /** Closes the connection: its unfinished bodies take too much memory. */
  overflowed(): void;
}

const EXPECT = { method: 0, header: 1, body: 2 } as const;

/** Bytes of the last method and property list that are kept for the comparison. */
const REMEMBERED_BYTES = 96;
/** A larger body is gathered in memory that grows as it arrives, because a header may announce more than is sent. */
const FIRST_BODY_BYTES = 1024 * 1024;

const NOTHING = Buffer.alloc(0);

export class ContentParser {
  private readonly channel: ContentChannel;
  private readonly sink: ContentSink;
  private expect: (typeof EXPECT)[keyof typeof EXPECT];
  private exchange: string;
  private routingKey: string;
  private mandatory: boolean;
  /** The arguments of the last basic.publish and the properties of the last header; length -1: none. */
  private readonly lastMethod: Buffer;
  private lastMethodLength: number;
  private readonly lastNative: Buffer;
  private lastNativeLength: number;
  private persistent: boolean;
  private priority: number;
  private expirationMs: number;
  private special: boolean;
  private replyToAt: number;
  /** The content that is being assembled. `content`: native bytes and body, once the body needs a second frame. */
  private native: Buffer;
  private nativeOffset: number;
  private nativeLength: number;
  private bodyLength: number;
  private bodyReceived: number;
  private content: Buffer;

  constructor(channel: ContentChannel, sink: ContentSink) {
    this.channel = channel;
    this.sink = sink;
    this.expect = EXPECT.method;
    this.exchange = '';
    this.routingKey = '';
    this.mandatory = false;
    this.lastMethod = Buffer.alloc(REMEMBERED_BYTES);
    this.lastMethodLength = -1;
    this.lastNative = Buffer.alloc(REMEMBERED_BYTES);
    this.lastNativeLength = -1;
    this.persistent = false;
    this.priority = 0;
    this.expirationMs = NEVER;
    this.special = false;
    this.replyToAt = -1;
    this.native = NOTHING;
    this.nativeOffset = 0;
    this.nativeLength = 0;
    this.bodyLength = 0;
    this.bodyReceived = 0;
    this.content = NOTHING;
  }

  /** Whether a content is being assembled: then a method frame is a violation. */
  get assembling(): boolean {
    return this.expect !== EXPECT.method;
  }

  /** The channel closed: drops what was being assembled. */
  close(): void {
    this.dropContent();
    this.native = NOTHING;
  }

  /**
   * A basic.publish whose arguments are `buffer[at, end)`. Where its content follows whole before `limit`, that is
   * published too. Returns where the next frame begins.
   *
   *   publish = reserved(short) exchange(shortstr) routing-key(shortstr) mandatory(bit) immediate(bit)
   */
  publish(buffer: Buffer, at: number, end: number, limit: number): number {
    if (!remembered(this.lastMethod, this.lastMethodLength, buffer, at, end)) this.readMethod(buffer, at, end);
    const header = end + 1 + FRAME_HEADER_BYTES;
    if (
      limit - header < CONTENT_HEADER_BYTES + 3 ||
      buffer[end + 1] !== FRAME.header ||
      !this.isOurs(buffer, end + 2)
    ) {
      this.expect = EXPECT.header;
      return end + 1;
    }
    const headerSize = readLong(buffer, header - 4);
    const headerEnd = header + headerSize;
    if (headerSize > this.channel.maxPayloadBytes || headerEnd >= limit || buffer[headerEnd] !== FRAME_END) {
      this.expect = EXPECT.header;
      return end + 1;
    }
    if (!this.readHeader(buffer, header, headerEnd)) return headerEnd + 1;
    const { bodyLength } = this;
    const body = headerEnd + 1 + FRAME_HEADER_BYTES;
    const bodyEnd = body + bodyLength;
    if (
      bodyLength === 0 ||
      bodyEnd >= limit ||
      buffer[headerEnd + 1] !== FRAME.body ||
      !this.isOurs(buffer, headerEnd + 2) ||
      readLong(buffer, body - 4) !== bodyLength ||
      bodyLength > this.channel.maxPayloadBytes ||
      buffer[bodyEnd] !== FRAME_END
    ) {
      if (bodyLength === 0) this.complete(buffer, headerEnd, 0, false);
      else this.expectBody();
      return headerEnd + 1;
    }
    this.complete(buffer, body, bodyLength, false);
    return bodyEnd + 1;
  }

  /** A method frame arrived instead of content: throws. */
  interrupted(): never {
    throw this.expect === EXPECT.body ? expectedBody() : expectedHeader();
  }

  /** A content header frame of this channel. */
  header(buffer: Buffer, at: number, end: number): void {
    if (this.expect === EXPECT.method) {
      throw new AmqpError(REPLY.unexpectedFrame, 'expected method frame, got non method frame instead');
    }
    if (this.expect === EXPECT.body) {
      throw expectedBody();
    }
    if (!this.readHeader(buffer, at, end)) return;
    if (this.bodyLength === 0) this.complete(buffer, end, 0, false);
    else this.expectBody();
  }

  /** A content body frame of this channel. */
  body(buffer: Buffer, at: number, end: number): void {
    if (this.expect === EXPECT.method) {
      throw new AmqpError(REPLY.unexpectedFrame, 'expected method frame, got non method frame instead');
    }
    if (this.expect === EXPECT.header) {
      throw expectedHeader();
    }
    const bytes = end - at;
    const received = this.bodyReceived + bytes;
    if (received > this.bodyLength) {
      throw new AmqpError(REPLY.frameError, `content body is longer than the ${this.bodyLength} bytes of its header`);
    }
    if (bytes === this.bodyLength) {
      // A frame that spanned chunks was assembled in a buffer of exactly its size.
      const alone = bytes >= OWN_ALLOCATION_BYTES && buffer.length === bytes + FRAME_OVERHEAD_BYTES;
      if (alone) this.ownNative();
      this.complete(buffer, at, bytes, alone);
      return;
    }
    if (!this.makeRoom(received)) return;
    buffer.copy(this.content, this.nativeLength + this.bodyReceived, at, end);
    this.bodyReceived = received;
    if (received < this.bodyLength) return;
    this.native = this.content;
    this.nativeOffset = 0;
    this.complete(this.content, this.nativeLength, received, true);
  }

  private readMethod(buffer: Buffer, at: number, end: number): void {
    this.lastMethodLength = -1;
    const exchangeAt = at + 3;
    if (end - exchangeAt < 2) throw shortArguments();
    const exchangeLength = buffer[exchangeAt - 1]!;
    const keyAt = exchangeAt + exchangeLength + 1;
    if (end - keyAt < 1) throw shortArguments();
    const keyLength = buffer[keyAt - 1]!;
    const bitsAt = keyAt + keyLength;
    if (bitsAt + 1 !== end) throw shortArguments();
    const bits = buffer[bitsAt]!;
    if ((bits & 2) !== 0) throw new AmqpError(REPLY.notImplemented, 'immediate=true');
    const { names } = this.channel;
    this.exchange = names.get(buffer, exchangeAt, exchangeLength);
    this.routingKey = names.get(buffer, keyAt, keyLength);
    this.mandatory = (bits & 1) !== 0;
    this.lastMethodLength = remember(this.lastMethod, buffer, at, end);
  }

  /**
   * class-id(short) weight(short) body-size(longlong) property-flags property-list. False where the body would be too
   * large: the channel is closing then and ignores it.
   */
  private readHeader(buffer: Buffer, at: number, end: number): boolean {
    if (end - at < CONTENT_HEADER_BYTES + 2) throw new AmqpError(REPLY.syntaxError, 'content header is cut short');
    const classId = (buffer[at]! << 8) | buffer[at + 1]!;
    if (classId !== CLASS_BASIC) {
      throw new AmqpError(
        REPLY.unexpectedFrame,
        `expected content header for class ${CLASS_BASIC}, got one for class ${classId} instead`,
      );
    }
    this.bodyLength = readLong(buffer, at + 8);
    const high = readLong(buffer, at + 4);
    if (high !== 0) this.bodyLength += high * 0x100000000;
    this.bodyReceived = 0;
    if (this.bodyLength > this.channel.maxMessageBytes) {
      this.expect = EXPECT.method;
      this.native = NOTHING;
      this.sink.refuse(
        `message size ${this.bodyLength} is larger than configured max size ${this.channel.maxMessageBytes}`,
      );
      return false;
    }
    const from = at + CONTENT_HEADER_BYTES;
    this.native = buffer;
    this.nativeOffset = from;
    this.nativeLength = end - from;
    if (!remembered(this.lastNative, this.lastNativeLength, buffer, from, end)) this.scan(buffer, from, end);
    return true;
  }

  private scan(buffer: Buffer, from: number, end: number): void {
    this.lastNativeLength = -1;
    const { scanner } = this.channel;
    scanner.scan(buffer, from, end);
    this.persistent = scanner.persistent;
    this.priority = scanner.priority;
    this.expirationMs = scanner.expirationMs;
    this.special = scanner.special;
    this.replyToAt = scanner.replyToAt < 0 ? -1 : scanner.replyToAt - from;
    this.lastNativeLength = remember(this.lastNative, buffer, from, end);
  }

  /** The content is complete: publishes it. `owned`: native bytes and body are in memory of our own. */
  private complete(body: Buffer, bodyOffset: number, bodyLength: number, owned: boolean): void {
    this.expect = EXPECT.method;
    const message = new Message(
      this.exchange,
      this.routingKey,
      body,
      bodyOffset,
      bodyLength,
      this.native,
      this.nativeOffset,
      this.nativeLength,
      amqpProperties,
      this.persistent,
      this.priority,
      this.expirationMs,
      this.channel.turn.now,
    );
    if (owned) {
      message.owned = true;
      this.dropContent();
    }
    this.native = NOTHING;
    if (this.special) this.sink.publishSpecial(message, this.mandatory, this.replyToAt);
    else this.sink.publish(message, this.mandatory);
  }

  private ownNative(): void {
    const { native, nativeOffset, nativeLength } = this;
    this.native = ownBytes(native.subarray(nativeOffset, nativeOffset + nativeLength));
    this.nativeOffset = 0;
  }

  /** A client that may not publish makes nobody gather its bodies. */
  private expectBody(): void {
    if (this.sink.admits(this.exchange)) this.expect = EXPECT.body;
    else {
      this.expect = EXPECT.method;
      this.native = NOTHING;
    }
  }

  private dropContent(): void {
    this.channel.unfinished.bytes -= this.content.length;
    this.content = NOTHING;
  }

  /** False: the connection's unfinished bodies would take too much memory. */
  private makeRoom(received: number): boolean {
    const { content, nativeLength } = this;
    const { unfinished, unfinishedBytes } = this.channel;
    const needed = nativeLength + received;
    if (content.length >= needed) return true;
    const whole = nativeLength + this.bodyLength;
    const larger = Buffer.allocUnsafeSlow(
      Math.min(whole, Math.max(needed, content.length * 2, nativeLength + FIRST_BODY_BYTES)),
    );
    if (content.length === 0) this.native.copy(larger, 0, this.nativeOffset, this.nativeOffset + nativeLength);
    else content.copy(larger, 0, 0, nativeLength + this.bodyReceived);
    unfinished.bytes += larger.length - content.length;
    this.content = larger;
    if (unfinished.bytes <= unfinishedBytes + nativeLength) return true;
    this.sink.overflowed();
    return false;
  }

  /** Whether the frame header at `at` has this channel's number. */
  private isOurs(buffer: Buffer, at: number): boolean {
    return ((buffer[at]! << 8) | buffer[at + 1]!) === this.channel.number;
  }
}

function remember(memory: Buffer, buffer: Buffer, from: number, to: number): number {
  const length = to - from;
  if (length > REMEMBERED_BYTES) return -1;
  for (let i = 0; i < length; i++) memory[i] = buffer[from + i]!;
  return length;
}

function remembered(memory: Buffer, length: number, buffer: Buffer, from: number, to: number): boolean {
  if (to - from !== length) return false;
  for (let i = 0; i < length; i++) if (memory[i] !== buffer[from + i]) return false;
  return true;
}

function readLong(buffer: Buffer, at: number): number {
  return ((buffer[at]! << 24) | (buffer[at + 1]! << 16) | (buffer[at + 2]! << 8) | buffer[at + 3]!) >>> 0;
}

function shortArguments(): AmqpError {
  return new AmqpError(REPLY.syntaxError, 'arguments of basic.publish do not fill their frame');
}

function expectedHeader(): AmqpError {
  return new AmqpError(
    REPLY.unexpectedFrame,
    `expected content header for class ${CLASS_BASIC}, got non content header frame instead`,
  );
}

function expectedBody(): AmqpError {
  return new AmqpError(REPLY.unexpectedFrame, 'expected content body, got non content body frame instead');
}
