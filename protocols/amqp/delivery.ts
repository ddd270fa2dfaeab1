// One AMQP consumer: encodes deliveries into the connection's outbox. It is the hot path of consuming.
//
// The repeating parts of a delivery (frame headers, consumer tag, exchange, routing key) are in a template that is
// copied as a whole; tag, sizes, properties and body are written over or after it. 11 ns for `set` of a whole 90-byte
// array against 31 ns for a range `copy` and 52 ns for a loop (bench/amqp-codec.ts).

import type { Message } from '../../src/core/message/message.ts';
import { ownBytes } from '../../src/core/message/own-bytes.ts';
import type { Consumer, DeliverySink } from '../../src/core/queue/consumer.ts';
import type { QueueEntry } from '../../src/core/queue/queue-entry.ts';
import type { Unacked } from '../../src/core/queue/unacked.ts';
import type { Outbox } from '../../src/net/outbox.ts';
import { CONTENT_HEADER_BYTES, writeContent } from './content.ts';
import { nativeOf } from './foreign-properties.ts';
import { FRAME, FRAME_END, FRAME_HEADER_BYTES, FRAME_OVERHEAD_BYTES } from './frames.ts';
import { CLASS_BASIC, METHOD } from './method-ids.ts';
import { amqpProperties } from './properties.ts';
import type { ShortStringEncoder } from './short-string.ts';

/**
 * Properties and body up to this size are written in one piece. Larger bodies are sent by reference or in several
 * frames.
 */
const ONE_PIECE_BYTES = 8 * 1024 - 1;

/** Below this a loop is faster than the call into C++ (bench/amqp-codec.ts). */
const COPY_BY_LOOP_BYTES = 24;

/** Method frame with three short strings, and the content header up to the property flags. */
const MAX_HEAD_BYTES = FRAME_OVERHEAD_BYTES + 4 + 3 * 256 + 9 + FRAME_HEADER_BYTES + CONTENT_HEADER_BYTES;

/** The header frame of a content up to the property flags: class basic, zeros for channel, sizes and weight. */
const EMPTY_HEADER = Buffer.alloc(FRAME_HEADER_BYTES + CONTENT_HEADER_BYTES);
EMPTY_HEADER[0] = FRAME.header;
EMPTY_HEADER.writeUInt16BE(CLASS_BASIC, FRAME_HEADER_BYTES);

const NO_TEMPLATE = Buffer.alloc(0);

/** What a consumer needs of its channel. */
export interface DeliveryChannel {
  readonly number: number;
  readonly outbox: Outbox;
  readonly unacked: Unacked;
  readonly encodedNames: ShortStringEncoder;
  /** The largest payload that the client takes in one frame. */
  readonly maxPayloadBytes: number;
  /** Whether the channel takes one more delivery of the consumer. False: it waits until the channel resumes it. */
  admits(consumer: Consumer): boolean;
  /** The consumer's queue was deleted. */
  consumerCancelled(delivery: Delivery): void;
  /** A fault of ours: the connection ends at once. */
  broken(): void;
}

export class Delivery implements DeliverySink {
  readonly tag: string;
  /** Set once the session has accepted the consumer. */
  consumer: Consumer | null;
  private readonly channel: DeliveryChannel;
  private readonly outbox: Outbox;
  /** The method frame up to the redelivered bit, with zeros for tag and bit; where the tag is in it. */
  private readonly prefix: Buffer;
  private readonly tagAt: number;
  /** Exchange and routing key of the last delivery, and what `writeHead` wrote for them, once `composed`. */
  private exchange: string;
  private routingKey: string;
  private template: Buffer;
  private composed: boolean;

  constructor(tag: string, channel: DeliveryChannel) {
    this.tag = tag;
    this.consumer = null;
    this.channel = channel;
    this.outbox = channel.outbox;
    this.prefix = prefixOf(channel.number, channel.encodedNames.get(tag));
    this.tagAt = this.prefix.length - 9;
    this.exchange = '';
    this.routingKey = '';
    this.template = NO_TEMPLATE;
    this.composed = false;
  }

  writable(consumer: Consumer): boolean {
    return this.channel.admits(consumer);
  }

  failed(): void {
    this.channel.broken();
  }

  cancelled(): void {
    this.channel.consumerCancelled(this);
  }

  deliver(_consumer: Consumer, message: Message, entry: QueueEntry | null, redelivered: boolean): void {
    this.encode(message, entry, redelivered);
  }

  /** Delivers a direct reply, which has no queue and no consumer in the core. */
  reply(message: Message): void {
    this.encode(message, null, false);
  }

  private encode(message: Message, entry: QueueEntry | null, redelivered: boolean): void {
    const { unacked, maxPayloadBytes } = this.channel;
    const deliveryTag = entry === null ? unacked.skip() : unacked.add(entry);
    const { routingKey, exchange, bodyLength } = message;
    const known = this.knows(exchange, routingKey);
    let native = message.native;
    let nativeAt = message.nativeOffset;
    let nativeLength = message.nativeLength;
    if (message.codec.id !== amqpProperties.id) {
      native = nativeOf(message);
      nativeAt = 0;
      nativeLength = native.length;
    }
    if (nativeLength + bodyLength > ONE_PIECE_BYTES || nativeLength + bodyLength > maxPayloadBytes) {
      this.deliverLarge(message, deliveryTag, redelivered);
      return;
    }

    const { outbox } = this;
    outbox.reserve(MAX_HEAD_BYTES + nativeLength + 1 + bodyLength + FRAME_OVERHEAD_BYTES);
    const out = outbox.buffer;
    const start = outbox.position;
    let at: number;
    if (known) {
      out.set(this.template, start);
      at = start + this.template.length;
    } else {
      at = this.writeHead(out, start, exchange, routingKey);
    }
    writeTag(out, start + this.tagAt, deliveryTag);
    if (redelivered) out[start + this.tagAt + 8] = 1;
    // Sizes here are below 64 KiB: their upper bytes are already zero.
    const headerSize = CONTENT_HEADER_BYTES + nativeLength;
    out[at - 14] = headerSize >>> 8;
    out[at - 13] = headerSize;
    out[at - 2] = bodyLength >>> 8;
    out[at - 1] = bodyLength;
    if (nativeLength < COPY_BY_LOOP_BYTES) {
      for (let i = 0; i < nativeLength; i++) out[at + i] = native[nativeAt + i]!;
    } else {
      native.copy(out, at, nativeAt, nativeAt + nativeLength);
    }
    at += nativeLength;
    out[at++] = FRAME_END;
    if (bodyLength > 0) {
      const { number } = this.channel;
      out[at] = FRAME.body;
      out[at + 1] = number >>> 8;
      out[at + 2] = number;
      out[at + 3] = 0;
      out[at + 4] = 0;
      out[at + 5] = bodyLength >>> 8;
      out[at + 6] = bodyLength;
      at += FRAME_HEADER_BYTES;
      const { body, bodyOffset } = message;
      if (bodyLength < COPY_BY_LOOP_BYTES) {
        for (let i = 0; i < bodyLength; i++) out[at + i] = body[bodyOffset + i]!;
      } else {
        body.copy(out, at, bodyOffset, bodyOffset + bodyLength);
      }
      at += bodyLength;
      out[at++] = FRAME_END;
    }
    outbox.position = at;
  }

  private deliverLarge(message: Message, deliveryTag: number, redelivered: boolean): void {
    const { outbox, channel } = this;
    outbox.reserve(MAX_HEAD_BYTES);
    const start = outbox.position;
    const at = this.writeHead(outbox.buffer, start, message.exchange, message.routingKey);
    writeTag(outbox.buffer, start + this.tagAt, deliveryTag);
    if (redelivered) outbox.buffer[start + this.tagAt + 8] = 1;
    outbox.position = at - CONTENT_HEADER_BYTES - FRAME_HEADER_BYTES;
    writeContent(outbox, channel.number, message, channel.maxPayloadBytes);
  }

  /**
   * Whether the template is for this exchange and key. It is created when a key comes twice in a row: if every message
   * has another key, creating it costs more than it saves.
   */
  private knows(exchange: string, routingKey: string): boolean {
    if (routingKey !== this.routingKey || exchange !== this.exchange) {
      this.exchange = exchange;
      this.routingKey = routingKey;
      this.composed = false;
      return false;
    }
    if (!this.composed) {
      const head = Buffer.alloc(MAX_HEAD_BYTES);
      this.template = ownBytes(head.subarray(0, this.writeHead(head, 0, exchange, routingKey)));
      this.composed = true;
    }
    return true;
  }

  /**
   * Method frame and content header up to the property flags, with zeros for tag, redelivered and sizes. Returns where
   * it ends.
   *
   *   deliver = consumer-tag(shortstr) delivery-tag(longlong) redelivered(bit) exchange(shortstr) routing-key(shortstr)
   */
  private writeHead(out: Buffer, start: number, exchange: string, routingKey: string): number {
    const { number, encodedNames } = this.channel;
    const exchangeBytes = encodedNames.get(exchange);
    const keyBytes = encodedNames.get(routingKey);
    out.set(this.prefix, start);
    let at = start + this.prefix.length;
    const payload = at - start - FRAME_HEADER_BYTES + exchangeBytes.length + keyBytes.length;
    out[start + 5] = payload >>> 8;
    out[start + 6] = payload;
    out.set(exchangeBytes, at);
    at += exchangeBytes.length;
    out.set(keyBytes, at);
    at += keyBytes.length;
    out[at++] = FRAME_END;
    out.set(EMPTY_HEADER, at);
    out[at + 1] = number >>> 8;
    out[at + 2] = number;
    return at + EMPTY_HEADER.length;
  }
}

/** Up to the redelivered bit. */
function prefixOf(channel: number, tag: Buffer): Buffer {
  const prefix = Buffer.alloc(FRAME_HEADER_BYTES + 4 + tag.length + 9);
  prefix[0] = FRAME.method;
  prefix.writeUInt16BE(channel, 1);
  prefix.writeUInt32BE(METHOD.basicDeliver, FRAME_HEADER_BYTES);
  prefix.set(tag, FRAME_HEADER_BYTES + 4);
  return prefix;
}

function writeTag(out: Buffer, at: number, tag: number): void {
  if (tag > 0xffffffff) out.writeUInt32BE(Math.floor(tag / 0x100000000), at);
  out[at + 4] = tag >>> 24;
  out[at + 5] = tag >>> 16;
  out[at + 6] = tag >>> 8;
  out[at + 7] = tag;
}
