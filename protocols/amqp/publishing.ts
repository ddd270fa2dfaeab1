// The publishing half of a channel: assembles content from frames and offers messages to the session; confirms them.
// The hot path of publishing: method, header and body that lie in one chunk are taken in one pass, and a message that
// resembles the one before it (same exchange and key, same property bytes) is recognised by comparing bytes, so that
// nothing is decoded again. Per message one object is made: the Message.
//
//   content = method-frame header-frame *body-frame        (§4.2.6; frames of one content follow each other)

import { ConfirmRing, type ConfirmSink, type RingScheduler } from '../../src/core/confirms.ts';
import { Message, NEVER } from '../../src/core/message.ts';
import type { Meters } from '../../src/core/ports.ts';
import { PUBLISH, type PublishOutcome, type Session } from '../../src/core/session.ts';
import type { Turn } from '../../src/core/turn.ts';
import type { Outbox } from '../../src/net/outbox.ts';
import { AmqpError, REPLY } from './amqp-error.ts';
import { CONTENT_HEADER_BYTES, writeContent } from './content.ts';
import { FRAME, FRAME_END, FRAME_HEADER_BYTES } from './frames.ts';
import { basicReturn } from './method-frames.ts';
import { CLASS_BASIC, METHOD } from './method-ids.ts';
import { amqpProperties, INVALID_EXPIRATION, type PropertyScanner } from './properties.ts';
import type { ShortStringCache } from './short-string.ts';

/** What a publisher needs of its channel. */
export interface PublishChannel {
  readonly number: number;
  readonly session: Session;
  readonly outbox: Outbox;
  readonly turn: Turn;
  readonly meters: Meters;
  readonly names: ShortStringCache;
  readonly scanner: PropertyScanner;
  /** The largest payload of a frame, both ways. */
  readonly maxPayloadBytes: number;
  readonly maxMessageBytes: number;
  /** The channel (or the connection) ends with this error. */
  fail(error: unknown, method: number): void;
  /** Nothing more is parsed until `work` is done. */
  suspendFor(work: Promise<void>, method: number): void;
}

const EXPECT = { method: 0, header: 1, body: 2 } as const;

/** Bytes of the last method and property list that are kept to compare with. */
const REMEMBERED_BYTES = 96;
/** A larger body is gathered in memory that grows as it arrives: a header may lie about its size. */
const FIRST_BODY_BYTES = 1024 * 1024;

const NOTHING = Buffer.alloc(0);

export class Publishing implements ConfirmSink {
  private readonly channel: PublishChannel;
  private readonly session: Session;
  private readonly turn: Turn;
  private expect: (typeof EXPECT)[keyof typeof EXPECT];
  /** The ring of a channel in confirm mode. */
  private ring: ConfirmRing | null;
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
  /** A user id that is not the publisher's own, or null. */
  private forgedUserId: string | null;
  /** The content that is being assembled. `content`: native bytes and body, once the body needs a second frame. */
  private native: Buffer;
  private nativeOffset: number;
  private nativeLength: number;
  private bodyLength: number;
  private bodyReceived: number;
  private content: Buffer;

  constructor(channel: PublishChannel) {
    this.channel = channel;
    this.session = channel.session;
    this.turn = channel.turn;
    this.expect = EXPECT.method;
    this.ring = null;
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
    this.forgedUserId = null;
    this.native = NOTHING;
    this.nativeOffset = 0;
    this.nativeLength = 0;
    this.bodyLength = 0;
    this.bodyReceived = 0;
    this.content = NOTHING;
  }

  /** Whether a content is being assembled: a method frame is then out of place. */
  get assembling(): boolean {
    return this.expect !== EXPECT.method;
  }

  /** Publishes are confirmed from now on. */
  confirm(scheduler: RingScheduler): void {
    this.ring ??= new ConfirmRing(this, scheduler);
  }

  /** The channel is gone: what is still unconfirmed stays so. */
  close(): void {
    this.ring?.close();
    this.content = NOTHING;
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
      else this.expect = EXPECT.body;
      return headerEnd + 1;
    }
    this.complete(buffer, body, bodyLength, false);
    return bodyEnd + 1;
  }

  /** A content header frame of this channel. */
  header(buffer: Buffer, at: number, end: number): void {
    if (this.expect === EXPECT.method) {
      throw new AmqpError(REPLY.unexpectedFrame, 'expected method frame, got non method frame instead');
    }
    if (this.expect === EXPECT.body) {
      throw new AmqpError(REPLY.unexpectedFrame, 'expected content body, got non content body frame instead');
    }
    if (!this.readHeader(buffer, at, end)) return;
    if (this.bodyLength === 0) this.complete(buffer, end, 0, false);
    else this.expect = EXPECT.body;
  }

  /** A content body frame of this channel. */
  body(buffer: Buffer, at: number, end: number): void {
    if (this.expect === EXPECT.method) {
      throw new AmqpError(REPLY.unexpectedFrame, 'expected method frame, got non method frame instead');
    }
    if (this.expect === EXPECT.header) {
      throw new AmqpError(
        REPLY.unexpectedFrame,
        `expected content header for class ${CLASS_BASIC}, got non content header frame instead`,
      );
    }
    const bytes = end - at;
    const received = this.bodyReceived + bytes;
    if (received > this.bodyLength) {
      throw new AmqpError(REPLY.frameError, `content body is longer than the ${this.bodyLength} bytes of its header`);
    }
    if (bytes === this.bodyLength) {
      this.complete(buffer, at, bytes, false);
      return;
    }
    this.makeRoom(received);
    buffer.copy(this.content, this.nativeLength + this.bodyReceived, at, end);
    this.bodyReceived = received;
    if (received < this.bodyLength) return;
    this.native = this.content;
    this.nativeOffset = 0;
    this.complete(this.content, this.nativeLength, received, true);
  }

  confirmed(_ring: ConfirmRing, from: number, to: number, ok: boolean): void {
    const { outbox, number } = this.channel;
    // Method frame with delivery-tag(longlong) and bits; slots count from 0, delivery tags from 1. AMQP's `multiple`
    // covers everything up to the tag, and whatever lies before `from` has left already.
    outbox.reserve(21);
    const out = outbox.buffer;
    const at = outbox.position;
    out[at] = FRAME.method;
    out[at + 1] = number >>> 8;
    out[at + 2] = number;
    out.writeUInt32BE(13, at + 3);
    out.writeUInt32BE(ok ? METHOD.basicAck : METHOD.basicNack, at + 7);
    out.writeUInt32BE(Math.floor((to + 1) / 0x100000000), at + 11);
    out.writeUInt32BE((to + 1) % 0x100000000, at + 15);
    out[at + 19] = from < to ? 1 : 0;
    out[at + 20] = FRAME_END;
    outbox.position = at + 21;
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
      this.refuse(`message size ${this.bodyLength} is larger than configured max size ${this.channel.maxMessageBytes}`);
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
    const { scanner, session } = this.channel;
    scanner.scan(buffer, from, end);
    this.persistent = scanner.persistent;
    this.priority = scanner.priority;
    this.expirationMs = scanner.expirationMs;
    this.forgedUserId = null;
    if (scanner.userIdLength >= 0) {
      const { userIdAt, userIdLength } = scanner;
      const userId = buffer.toString('utf8', userIdAt, userIdAt + userIdLength);
      if (userId !== session.identity.user) this.forgedUserId = userId;
    }
    this.lastNativeLength = remember(this.lastNative, buffer, from, end);
  }

  /** The content is whole: publish it. `owned`: native bytes and body are in memory of our own. */
  private complete(body: Buffer, bodyOffset: number, bodyLength: number, owned: boolean): void {
    this.expect = EXPECT.method;
    const { expirationMs, forgedUserId, turn } = this;
    if (expirationMs === INVALID_EXPIRATION || forgedUserId !== null) {
      this.refuseProperties();
      return;
    }
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
      expirationMs,
      turn.now,
    );
    if (owned) {
      message.owned = true;
      this.content = NOTHING;
    }
    this.native = NOTHING;
    const { ring } = this;
    this.offer(message, ring, ring === null ? 0 : ring.open(), this.mandatory);
  }

  private offer(message: Message, ring: ConfirmRing | null, slot: number, mandatory: boolean): void {
    let outcome: PublishOutcome;
    try {
      outcome = this.session.publish(message, ring, slot);
    } catch (error) {
      this.channel.fail(error, METHOD.basicPublish);
      return;
    }
    if (outcome === PUBLISH.pending) {
      const again = (): void => this.offer(message, ring, slot, mandatory);
      this.channel.suspendFor(this.session.ready().then(again), METHOD.basicPublish);
      return;
    }
    // RabbitMQ's rule: the return goes out before the confirm.
    if (outcome === PUBLISH.unroutable && mandatory) this.giveBack(message);
    if (ring !== null) ring.settle(slot);
  }

  private giveBack(message: Message): void {
    const { outbox, number, maxPayloadBytes, meters } = this.channel;
    meters.returned++;
    const method = basicReturn(number, REPLY.noRoute, 'NO_ROUTE', message.exchange, message.routingKey);
    outbox.append(method, 0, method.length);
    writeContent(outbox, number, message, maxPayloadBytes);
  }

  private makeRoom(received: number): void {
    const { content, nativeLength } = this;
    const needed = nativeLength + received;
    if (content.length >= needed) return;
    const whole = nativeLength + this.bodyLength;
    const larger = Buffer.allocUnsafeSlow(
      Math.min(whole, Math.max(needed, content.length * 2, nativeLength + FIRST_BODY_BYTES)),
    );
    if (content.length === 0) this.native.copy(larger, 0, this.nativeOffset, this.nativeOffset + nativeLength);
    else content.copy(larger, 0, 0, nativeLength + this.bodyReceived);
    this.content = larger;
  }

  /** The channel number of a frame header, which begins at `at`, is ours. */
  private isOurs(buffer: Buffer, at: number): boolean {
    return ((buffer[at]! << 8) | buffer[at + 1]!) === this.channel.number;
  }

  private refuseProperties(): void {
    const { forgedUserId, session } = this;
    if (forgedUserId !== null) {
      this.refuse(`user_id property set to '${forgedUserId}' but authenticated user was '${session.identity.user}'`);
      return;
    }
    const { expiration } = amqpProperties.decode(this.native, this.nativeOffset, this.nativeLength);
    this.refuse(`invalid expiration '${expiration}': not a number of milliseconds`);
  }

  private refuse(why: string): void {
    this.native = NOTHING;
    this.channel.fail(new AmqpError(REPLY.preconditionFailed, why), METHOD.basicPublish);
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
