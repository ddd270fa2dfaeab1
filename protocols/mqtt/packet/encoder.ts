// Writes PUBLISH packets up to 3.1.1 into outboxes; one encoder serves all connections. A message that is being published is
// encoded at most once for all its receivers (shared-frame.ts). Called by packet-writer.ts and session/delivery.ts.

import type { Message } from '../../../src/core/message/message.ts';
import type { Outbox } from '../../../src/net/outbox.ts';
import { FIRST_BYTE } from './packet-types.ts';
import { headerBytes, publishLength, writeLength, writePublishHead } from './publish-packet.ts';
import { COPIED_FRAME_BYTES, SharedFrame } from './shared-frame.ts';
import type { KeyTopics } from './topic-cache.ts';

/** Topics up to this size are written with their packet's head in one reservation. */
const SHORT_TOPIC_BYTES = 4096;

export class PublishEncoder {
  private readonly topics: KeyTopics;
  private readonly shared: SharedFrame;

  constructor(topics: KeyTopics) {
    this.topics = topics;
    this.shared = new SharedFrame();
  }

  /**
   * A PUBLISH that arrived as [start, end) of `frame` is about to be published, with its packet id at `idAt` (0: QoS 0).
   * At QoS 0 frames are copied unchanged, so one with a retain flag is not used. The caller calls `clearFrame` afterwards.
   */
  adoptFrame(message: Message, frame: Buffer, start: number, end: number, idAt: number): void {
    if (idAt !== 0 || frame[start] === FIRST_BYTE.publish) this.shared.adopt(message, frame, start, end, idAt);
  }

  /** The publish is over: lets go of its chunk. */
  clearFrame(): void {
    this.shared.clear();
  }

  /** Writes the message at QoS 0. False if its routing key is no legal topic. */
  writeQos0(outbox: Outbox, message: Message): boolean {
    const { shared } = this;
    if (!shared.isOf(message, false)) {
      const topic = this.topics.topicOf(message.routingKey);
      if (topic.length === 0) return false;
      const length = publishLength(topic.length, message.bodyLength, 0);
      const total = headerBytes(length) + length;
      if (total >= COPIED_FRAME_BYTES) {
        this.writeInParts(outbox, message, FIRST_BYTE.publish, topic, 0, length);
        return true;
      }
      const at = writePublishHead(shared.scratch, 0, FIRST_BYTE.publish, topic, 0, length);
      message.body.copy(shared.scratch, at, message.bodyOffset, message.bodyOffset + message.bodyLength);
      shared.keepScratch(message, total, 0);
    }
    shared.append(outbox);
    return true;
  }

  /** Writes the message at QoS 1 or 2: `firstByte` has QoS and flags. False if its routing key is no legal topic. */
  writeAcknowledged(outbox: Outbox, message: Message, packetId: number, firstByte: number): boolean {
    if (!this.shared.isOf(message, true)) {
      const topic = this.topics.topicOf(message.routingKey);
      if (topic.length === 0) return false;
      const length = publishLength(topic.length, message.bodyLength, 1);
      this.writeInParts(outbox, message, firstByte, topic, packetId, length);
      return true;
    }
    this.shared.write(outbox, firstByte, packetId);
    return true;
  }

  /** Writes a message with flags of its own. Packet id 0 makes it QoS 0. False if its routing key is no legal topic. */
  writeFlagged(outbox: Outbox, message: Message, packetId: number, firstByte: number): boolean {
    const topic = this.topics.topicOf(message.routingKey);
    if (topic.length === 0) return false;
    const length = publishLength(topic.length, message.bodyLength, packetId === 0 ? 0 : 1);
    this.writeInParts(outbox, message, firstByte, topic, packetId, length);
    return true;
  }

  private writeInParts(
    outbox: Outbox,
    message: Message,
    firstByte: number,
    topic: Buffer,
    packetId: number,
    length: number,
  ): void {
    if (topic.length <= SHORT_TOPIC_BYTES) {
      outbox.reserve(9 + topic.length);
      outbox.position = writePublishHead(outbox.buffer, outbox.position, firstByte, topic, packetId, length);
    } else {
      outbox.reserve(7);
      const at = writeLength(outbox.buffer, outbox.position, firstByte, length);
      outbox.buffer[at] = topic.length >> 8;
      outbox.buffer[at + 1] = topic.length;
      outbox.position = at + 2;
      outbox.append(topic, 0, topic.length);
      if (packetId !== 0) {
        outbox.reserve(2);
        outbox.buffer[outbox.position++] = packetId >> 8;
        outbox.buffer[outbox.position++] = packetId;
      }
    }
    if (message.bodyLength > 0) {
      outbox.append(message.body, message.bodyOffset, message.bodyOffset + message.bodyLength);
    }
  }
}
