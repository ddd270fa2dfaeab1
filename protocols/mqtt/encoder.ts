// Writes PUBLISH packets into outboxes; one encoder serves all connections. It remembers the frame of the message that
// is being published right now: a publish from MQTT already arrived as the bytes that its receivers get, so delivering
// it is one copy (and two bytes for the packet id at QoS 1); a message from another protocol is encoded for its first
// receiver and copied for the others. Nothing is remembered of messages that wait in queues.

import type { Message } from '../../src/core/message.ts';
import type { Outbox } from '../../src/net/outbox.ts';
import { FIRST_BYTE } from './packet-types.ts';
import { headerBytes, publishLength, writeLength, writePublishHead } from './publish.ts';
import type { KeyTopics } from './topic-cache.ts';

/** Frames below this size are copied whole; the body of a larger one may go by reference. */
const COPIED_FRAME_BYTES = 8 * 1024;
/** Topics up to this size are written with their packet's head in one reservation. */
const SHORT_TOPIC_BYTES = 4096;

export class PublishEncoder {
  private readonly topics: KeyTopics;
  /** The message whose frame is at hand, as bytes [start, end) of `frame`, its packet id at `idAt` (0: QoS 0). */
  private message: Message | null;
  private frame: Buffer;
  private start: number;
  private end: number;
  private idAt: number;
  /** Where frames of messages from other protocols are put together. */
  private readonly scratch: Buffer;

  constructor(topics: KeyTopics) {
    this.topics = topics;
    this.message = null;
    this.scratch = Buffer.allocUnsafeSlow(COPIED_FRAME_BYTES);
    this.frame = this.scratch;
    this.start = 0;
    this.end = 0;
    this.idAt = 0;
  }

  /**
   * A PUBLISH that arrived as [start, end) of `frame` is about to be published; `idAt` is where its packet id is, 0 at
   * QoS 0. A frame with a retain flag is of no use at QoS 0, where it would be copied as it is. The caller says
   * `done` afterwards.
   */
  offer(message: Message, frame: Buffer, start: number, end: number, idAt: number): void {
    if (end - start > COPIED_FRAME_BYTES || (idAt === 0 && frame[start] !== FIRST_BYTE.publish)) return;
    this.message = message;
    this.frame = frame;
    this.start = start;
    this.end = end;
    this.idAt = idAt;
  }

  /** The publish is over: nothing of its chunk is kept. */
  done(): void {
    this.message = null;
    this.frame = this.scratch;
  }

  /** Writes the message at QoS 0. False where its routing key makes no topic. */
  writeQos0(outbox: Outbox, message: Message): boolean {
    if (message !== this.message || this.idAt !== 0) {
      const topic = this.topics.topicOf(message.routingKey);
      if (topic.length === 0) return false;
      const length = publishLength(topic.length, message.bodyLength, 0);
      const total = headerBytes(length) + length;
      if (total >= COPIED_FRAME_BYTES) {
        this.writeInParts(outbox, message, FIRST_BYTE.publish, topic, 0, length);
        return true;
      }
      const at = writePublishHead(this.scratch, 0, FIRST_BYTE.publish, topic, 0, length);
      message.body.copy(this.scratch, at, message.bodyOffset, message.bodyOffset + message.bodyLength);
      this.message = message;
      this.frame = this.scratch;
      this.start = 0;
      this.end = total;
      this.idAt = 0;
    }
    outbox.append(this.frame, this.start, this.end);
    return true;
  }

  /** Writes the message at QoS 1 or 2: `firstByte` has QoS and flags. False where its routing key makes no topic. */
  writeAcknowledged(outbox: Outbox, message: Message, packetId: number, firstByte: number): boolean {
    if (message !== this.message || this.idAt === 0) {
      const topic = this.topics.topicOf(message.routingKey);
      if (topic.length === 0) return false;
      const length = publishLength(topic.length, message.bodyLength, 1);
      this.writeInParts(outbox, message, firstByte, topic, packetId, length);
      return true;
    }
    const bytes = this.end - this.start;
    outbox.reserve(bytes);
    const { buffer, position } = outbox;
    this.frame.copy(buffer, position, this.start, this.end);
    buffer[position] = firstByte;
    const id = position + this.idAt - this.start;
    buffer[id] = packetId >> 8;
    buffer[id + 1] = packetId;
    outbox.position = position + bytes;
    return true;
  }

  /** Writes a message with flags of its own. Packet id 0 makes it QoS 0. False where its routing key makes no topic. */
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
