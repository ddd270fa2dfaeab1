// Writes PUBLISH packets of MQTT 5 into outboxes; one encoder serves all connections. A packet that is the same for all
// receivers (no subscription identifier, topic alias or message expiry) is encoded once (shared-frame.ts). Called by
// packet-writer.ts.
//
//   properties  [message expiry] [subscription identifier]* [topic alias] block        the block as it is kept

import { type Message, NEVER } from '../../../src/core/message/message.ts';
import type { Outbox } from '../../../src/net/outbox.ts';
import { FIRST_BYTE, PUBLISH_FLAG } from './packet-types.ts';
import { PROPERTY, variableBytes, writeVariable } from './properties.ts';
import { foreignBlock } from './property-block.ts';
import { hasBlock } from './property-codec.ts';
import { headerBytes, writeLength } from './publish-packet.ts';
import { COPIED_FRAME_BYTES, SharedFrame } from './shared-frame.ts';
import type { BrokerAliases } from './topic-aliases.ts';
import type { KeyTopics } from './topic-cache.ts';

/** Message expiry as a property. */
const EXPIRY_BYTES = 5;
const ALIAS_BYTES = 3;

/** The outcome of writing a delivery. */
export const WRITTEN = { written: 0, noTopic: 1, tooLarge: 2 } as const;
export type Written = (typeof WRITTEN)[keyof typeof WRITTEN];

/** The longest message expiry that a property holds. */
const LONGEST_EXPIRY_S = 0xffff_ffff;

/**
 * Seconds until a message expires, or -1 if it does not. At least 1: an expired message is not delivered, except one with
 * an expiry of 0 that was delivered at once. Never more than the publisher asked for, also after the clock went back.
 */
function secondsLeft(message: Message, now: number): number {
  const { expirationMs, receivedAt } = message;
  if (expirationMs <= 0) return expirationMs === 0 ? 0 : -1;
  const leftMs = expirationMs - Math.max(0, now - receivedAt);
  return Math.min(Math.max(1, Math.ceil(leftMs / 1000)), LONGEST_EXPIRY_S);
}

/** As in AMQP, a message with an expiry of 0 is delivered only if a consumer can take it at once. */
export function isExpired(message: Message, now: number): boolean {
  if (message.expirationMs === NEVER || message.expirationMs < 0) return false;
  return now - message.receivedAt >= Math.max(1, message.expirationMs);
}

export class PublishEncoder5 {
  private readonly topics: KeyTopics;
  private readonly exchange: string;
  private readonly shared: SharedFrame;

  constructor(topics: KeyTopics, exchange: string) {
    this.topics = topics;
    this.exchange = exchange;
    this.shared = new SharedFrame();
  }

  /** As in encoder.ts. */
  adoptFrame(message: Message, frame: Buffer, start: number, end: number, idAt: number): void {
    this.shared.adopt(message, frame, start, end, idAt);
  }

  /** The publish is over: lets go of its chunk. */
  clearFrame(): void {
    this.shared.clear();
  }

  /**
   * Writes one delivery. `firstByte` has QoS and flags, `packetId` is 0 at QoS 0. `aliases` is null if the client
   * accepts none; `now` and the message's expiry are in milliseconds; `maximumBytes` is the client's Maximum Packet Size.
   */
  write(
    outbox: Outbox,
    message: Message,
    firstByte: number,
    packetId: number,
    subscriptionIds: readonly number[],
    aliases: BrokerAliases | null,
    now: number,
    maximumBytes: number,
  ): Written {
    if (subscriptionIds.length > 0 || aliases !== null || message.expirationMs >= 0) {
      return this.writeOwn(outbox, message, firstByte, packetId, subscriptionIds, aliases, now, maximumBytes);
    }
    const { shared } = this;
    const withId = packetId !== 0;
    if (!shared.isOf(message, withId)) {
      const topic = this.topics.topicOf(message.routingKey);
      if (topic.length === 0) return WRITTEN.noTopic;
      const block = blockBytes(message, this.exchange);
      const length = remaining(topic.length, packetId, block, message.bodyLength);
      const total = headerBytes(length) + length;
      if (total > maximumBytes) return WRITTEN.tooLarge;
      if (total >= COPIED_FRAME_BYTES) {
        return this.writeOwn(outbox, message, firstByte, packetId, subscriptionIds, null, now, maximumBytes);
      }
      const { scratch } = shared;
      const at = this.writeHead(scratch, 0, firstByte, length, topic, packetId, block);
      const body = this.writeBlock(scratch, at, message);
      message.body.copy(scratch, body, message.bodyOffset, message.bodyOffset + message.bodyLength);
      shared.keepScratch(message, total, withId ? at - variableBytes(block) - 2 : 0);
    }
    if (shared.bytes > maximumBytes) return WRITTEN.tooLarge;
    shared.write(outbox, firstByte, packetId);
    return WRITTEN.written;
  }

  /** Writes a packet that only this receiver gets. */
  private writeOwn(
    outbox: Outbox,
    message: Message,
    firstByte: number,
    packetId: number,
    subscriptionIds: readonly number[],
    aliases: BrokerAliases | null,
    now: number,
    maximumBytes: number,
  ): Written {
    const { routingKey } = message;
    const whole = this.topics.topicOf(routingKey);
    if (whole.length === 0) return WRITTEN.noTopic;
    const known = aliases === null ? 0 : aliases.known(routingKey);
    const alias = known !== 0 || aliases === null ? known : aliases.next();
    const topic = known === 0 ? whole : NO_TOPIC;
    const seconds = secondsLeft(message, now);
    let own = seconds === -1 ? 0 : EXPIRY_BYTES;
    for (let i = 0; i < subscriptionIds.length; i++) own += 1 + variableBytes(subscriptionIds[i]!);
    if (alias !== 0) own += ALIAS_BYTES;
    const block = own + blockBytes(message, this.exchange);
    const length = remaining(topic.length, packetId, block, message.bodyLength);
    if (headerBytes(length) + length > maximumBytes) return WRITTEN.tooLarge;
    if (known === 0 && alias !== 0) aliases!.set(routingKey, alias);
    const headLength = headerBytes(length) + length - message.bodyLength;
    const { scratch } = this.shared;
    const head = headLength < COPIED_FRAME_BYTES ? scratch : Buffer.allocUnsafe(headLength);
    if (head === scratch) this.shared.scratchOverwritten();
    let at = this.writeHead(head, 0, firstByte, length, topic, packetId, block);
    if (seconds !== -1) {
      head[at] = PROPERTY.messageExpiry;
      at = head.writeUInt32BE(seconds, at + 1);
    }
    for (let i = 0; i < subscriptionIds.length; i++) {
      head[at] = PROPERTY.subscriptionId;
      at = writeVariable(head, at + 1, subscriptionIds[i]!);
    }
    if (alias !== 0) {
      head[at] = PROPERTY.topicAlias;
      at = head.writeUInt16BE(alias, at + 1);
    }
    at = this.writeBlock(head, at, message);
    outbox.append(head, 0, at);
    if (message.bodyLength > 0) {
      outbox.append(message.body, message.bodyOffset, message.bodyOffset + message.bodyLength);
    }
    return WRITTEN.written;
  }

  /** Everything up to the first property; `block` is their length. */
  private writeHead(
    target: Buffer,
    position: number,
    firstByte: number,
    length: number,
    topic: Buffer,
    packetId: number,
    block: number,
  ): number {
    let at = writeLength(target, position, firstByte, length);
    at = target.writeUInt16BE(topic.length, at);
    at += topic.copy(target, at);
    if (packetId !== 0) at = target.writeUInt16BE(packetId, at);
    return writeVariable(target, at, block);
  }

  /** The message's own block, without the message expiry. */
  private writeBlock(target: Buffer, position: number, message: Message): number {
    if (hasBlock(message)) {
      const skipped = expiryBytes(message);
      const { native, nativeOffset, nativeLength } = message;
      return position + native.copy(target, position, nativeOffset + skipped, nativeOffset + nativeLength);
    }
    const block = foreignBlock(message, this.exchange);
    return position + block.copy(target, position);
  }
}

const NO_TOPIC = Buffer.alloc(0);

/** First byte of a delivery. */
export function publishByte(qos: number, retain: boolean, duplicate: boolean): number {
  return FIRST_BYTE.publish | (qos << 1) | (retain ? PUBLISH_FLAG.retain : 0) | (duplicate ? PUBLISH_FLAG.dup : 0);
}

/** Bytes of a message's block without its message expiry. */
function blockBytes(message: Message, exchange: string): number {
  if (hasBlock(message)) return message.nativeLength - expiryBytes(message);
  return foreignBlock(message, exchange).length;
}

function expiryBytes(message: Message): number {
  return message.native[message.nativeOffset] === PROPERTY.messageExpiry ? EXPIRY_BYTES : 0;
}

function remaining(topicBytes: number, packetId: number, block: number, bodyBytes: number): number {
  return 2 + topicBytes + (packetId === 0 ? 0 : 2) + variableBytes(block) + block + bodyBytes;
}
