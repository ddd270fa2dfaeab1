// The MQTT hot path without sockets: cutting a stream into packets, PUBLISH to message, message to receivers.
//
//   node bench/mqtt-codec.ts [--json]

import { PublishEncoder } from '../protocols/mqtt/packet/encoder.ts';
import { NEXT, type Next, PacketFramer, type PacketHandler } from '../protocols/mqtt/packet/framer.ts';
import { PublishReader, readPacketId } from '../protocols/mqtt/packet/publish-packet.ts';
import { KeyTopics, TopicKeys } from '../protocols/mqtt/packet/topic-cache.ts';
import { Inflight, STAGE } from '../protocols/mqtt/session/inflight.ts';
import { Message, NEVER } from '../src/core/message/message.ts';
import { NO_CODEC } from '../src/core/message/properties.ts';
import { QueueEntry } from '../src/core/queue/queue-entry.ts';
import type { Outbox } from '../src/net/outbox.ts';
import { type Figure, printFigures } from './figure.ts';
import { discardingOutbox, rateOf } from './stand-ins.ts';

const BODY = Buffer.alloc(100, 7);
const CHUNK_BYTES = 64 * 1024;
const ROUNDS = 3_000_000;
const LIMITS = { topicBytes: 4096, topicLevels: 128 };
const NO_BYTES = Buffer.alloc(0);

const reader = new PublishReader();
const encoder = new PublishEncoder(new KeyTopics());

/**
 * Does what a connection does with each PUBLISH, without the core: builds the message and encodes it for its receivers.
 */
class Sink implements PacketHandler {
  receivers: Outbox[] = [];
  qos = 0;
  count = 0;
  last: Message | null = null;
  private readonly keys = new TopicKeys(LIMITS);

  packet(buffer: Buffer, start: number, body: number, end: number): Next {
    reader.read(buffer, buffer[start]!, body, end);
    const key = this.keys.keyOf(buffer, reader.topicStart, reader.topicLength);
    const message = messageOf(key, buffer, reader.payloadStart, end);
    encoder.adoptFrame(message, buffer, start, end, reader.qos === 0 ? 0 : reader.payloadStart - 2);
    for (const outbox of this.receivers) {
      if (this.qos === 0) encoder.writeQos0(outbox, message);
      else encoder.writeAcknowledged(outbox, message, (this.count & 0xfff) + 1, 0x32);
    }
    encoder.clearFrame();
    this.count++;
    this.last = message;
    return NEXT.goOn;
  }
}

const figures: Figure[] = [
  { ...figure('parse PUBLISH QoS 0, 1 topic', parse(1, 0)), target: '' },
  { ...figure('parse PUBLISH QoS 0, 1,000 topics', parse(1000, 0)), target: '' },
  { ...figure('parse PUBLISH QoS 0, 100,000 topics (beyond the cache)', parse(100_000, 0)), target: '' },
  { ...figure('parse and deliver to 1 at QoS 0', parse(1000, 1)), target: '' },
  { ...figure('parse and deliver to 20 at QoS 0 (deliveries)', parse(1000, 20) * 20), target: '' },
  { ...figure('parse and deliver to 1 at QoS 1', parse(1000, 1, 1)), target: '' },
  { ...figure('encode a message of another protocol, QoS 0', encode(0)), target: '' },
  { ...figure('encode a message of another protocol, QoS 1', encode(1)), target: '' },
  { ...figure('packet ids: add, PUBACK, take', acknowledge()), target: '' },
];
printFigures(figures);

function figure(title: string, value: number): { title: string; value: number; unit: string } {
  return { title, value, unit: '/s' };
}

function parse(topics: number, receivers: number, qos = 0): number {
  const sink = new Sink();
  sink.qos = qos;
  const outboxes = Array.from({ length: receivers }, () => discardingOutbox());
  sink.receivers = outboxes;
  const framer = new PacketFramer(sink, 1 << 20);
  const chunks = streamOf(topics, qos);
  const rounds = ROUNDS / Math.max(1, receivers);
  const pass = (packets: number): void => {
    sink.count = 0;
    for (let i = 0; sink.count < packets; i = (i + 1) % chunks.length) {
      framer.push(chunks[i]!);
      for (const outbox of outboxes) outbox.flush();
    }
  };
  pass(rounds / 5);
  return rateOf(rounds, () => pass(rounds));
}

function encode(qos: number): number {
  const outbox = discardingOutbox();
  const messages = Array.from({ length: 1000 }, (_, i) => messageOf(`sensors.device${i}.temperature`, BODY, 0, 100));
  const pass = (count: number): void => {
    for (let i = 0; i < count; i++) {
      const message = messages[i % 1000]!;
      if (qos === 0) encoder.writeQos0(outbox, message);
      else encoder.writeAcknowledged(outbox, message, i & 0xffff || 1, 0x32);
      if (i % 400 === 0) outbox.flush();
    }
    outbox.flush();
  };
  pass(ROUNDS / 5);
  return rateOf(ROUNDS, () => pass(ROUNDS));
}

function acknowledge(): number {
  const inflight = new Inflight();
  const entry = new QueueEntry(null as never, 1, messageOf('a', BODY, 0, 100), 0, false);
  const packet = Buffer.alloc(2);
  const pass = (count: number): void => {
    for (let i = 0; i < count; i += 100) {
      let id = 0;
      for (let k = 0; k < 100; k++) id = inflight.add(entry, STAGE.sent1);
      for (let k = 99; k >= 0; k--) {
        const acked = id - k <= 0 ? id - k + 65_535 : id - k;
        packet[0] = acked >> 8;
        packet[1] = acked;
        const taken = readPacketId(packet, 0, 2);
        if (inflight.stageOf(taken) !== STAGE.sent1 || inflight.entryOf(taken) === null)
          throw new Error('an id was lost');
        inflight.free(taken);
      }
    }
  };
  pass(ROUNDS / 5);
  return rateOf(ROUNDS, () => pass(ROUNDS));
}

function streamOf(topics: number, qos: number): Buffer[] {
  const packets: Buffer[] = [];
  for (let i = 0; i < Math.max(topics, 5000); i++) {
    const topic = Buffer.from(`sensors/device${i % topics}/temperature`);
    const id = qos === 0 ? [] : [1, 2];
    const head = [0x30 | (qos << 1), 2 + topic.length + id.length + BODY.length, topic.length >> 8, topic.length & 255];
    if (head[1]! > 127) head.splice(1, 1, (head[1]! & 127) | 128, head[1]! >> 7);
    packets.push(Buffer.concat([Buffer.from(head), topic, Buffer.from(id), BODY]));
  }
  const stream = Buffer.concat(packets);
  const chunks: Buffer[] = [];
  for (let at = 0; at < stream.length; at += CHUNK_BYTES)
    chunks.push(Buffer.from(stream.subarray(at, at + CHUNK_BYTES)));
  return chunks;
}

function messageOf(key: string, body: Buffer, start: number, end: number): Message {
  return new Message('amq.topic', key, body, start, end - start, NO_BYTES, 0, 0, NO_CODEC, true, 0, NEVER, 0);
}
