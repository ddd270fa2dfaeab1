// The AMQP hot path without sockets: frames to messages, messages to deliveries; and the ways to copy that delivery.ts
// chooses between.
//
//   node bench/amqp-codec.ts [--json]

import type { ContentParser } from '../protocols/amqp/content-parser.ts';
import { Delivery, type DeliveryChannel } from '../protocols/amqp/delivery.ts';
import { nativeOf } from '../protocols/amqp/foreign-properties.ts';
import { FRAME, FrameParser, type FrameSink } from '../protocols/amqp/frames.ts';
import { amqpProperties, PropertyScanner } from '../protocols/amqp/properties.ts';
import { type PublishChannel, Publishing } from '../protocols/amqp/publishing.ts';
import { ShortStringCache, ShortStringEncoder } from '../protocols/amqp/short-string.ts';
import { Message, NEVER } from '../src/core/message/message.ts';
import { NO_CODEC } from '../src/core/message/properties.ts';
import { newMeters } from '../src/core/ports/meters.ts';
import type { Consumer } from '../src/core/queue/consumer.ts';
import { Unacked } from '../src/core/queue/unacked.ts';
import { PUBLISH } from '../src/core/session/publish-path.ts';
import type { Session } from '../src/core/session/session.ts';
import { Turn } from '../src/core/turn/turn.ts';
import * as wire from '../support/wire/amqp.ts';
import { type Figure, printFigures } from './figure.ts';
import { discardingOutbox } from './stand-ins.ts';

const BODY = Buffer.alloc(100, 7);
const CHUNK_BYTES = 64 * 1024;
const ROUNDS = 4_000_000;
const MAX_PAYLOAD_BYTES = 131_064;

const outbox = discardingOutbox();

/** Frames to messages to deliveries, as channel and connection do it, without the core. */
class Loop implements FrameSink {
  readonly content: ContentParser;
  count = 0;
  private readonly delivery: Delivery | null;

  constructor(delivers: boolean) {
    const numbered = { number: 1, outbox, maxPayloadBytes: MAX_PAYLOAD_BYTES };
    const publish: PublishChannel = {
      ...numbered,
      session: { publish: (message: Message) => this.published(message), requirePublish() {} } as unknown as Session,
      turn: new Turn({ now: () => 0 }),
      meters: newMeters(),
      names: new ShortStringCache(),
      scanner: new PropertyScanner(),
      maxMessageBytes: 1 << 27,
      unfinished: { bytes: 0 },
      unfinishedBytes: MAX_PAYLOAD_BYTES,
      replyAddress: null,
      fail: (error) => {
        throw error;
      },
      suspendFor: () => {},
      broken: () => {},
    };
    this.content = new Publishing(publish).content;
    const deliver: DeliveryChannel = {
      ...numbered,
      unacked: new Unacked(),
      encodedNames: new ShortStringEncoder(),
      admits: () => true,
      consumerCancelled: () => {},
      broken: () => {},
    };
    this.delivery = delivers ? new Delivery('consumer', deliver) : null;
  }

  frame(type: number, _channel: number, buffer: Buffer, at: number, end: number, limit: number): number {
    if (type === FRAME.method) return this.content.publish(buffer, at + 4, end, limit);
    if (type === FRAME.header) this.content.header(buffer, at, end);
    else this.content.body(buffer, at, end);
    return end + 1;
  }

  private published(message: Message): number {
    this.count++;
    this.delivery?.deliver(NOBODY, message, null, false);
    return PUBLISH.routed;
  }
}

const NOBODY = {} as Consumer;

/** Messages parsed a second, with `keys` routing keys in rotation. */
function parse(keys: number, delivers: boolean): number {
  const messages = Array.from({ length: Math.max(keys, 1000) }, (_, i) =>
    wire.publish(1, '', `bench.${i % keys}`, BODY),
  );
  const stream = Buffer.concat(messages);
  const loop = new Loop(delivers);
  const parser = new FrameParser(loop, MAX_PAYLOAD_BYTES);
  let started = 0n;
  // The first round is a warm-up.
  for (const rounds of [ROUNDS / 4, ROUNDS]) {
    started = process.hrtime.bigint();
    loop.count = 0;
    while (loop.count < rounds) {
      for (let at = 0; at < stream.length; at += CHUNK_BYTES) {
        parser.feed(stream.subarray(at, at + CHUNK_BYTES));
        outbox.flush();
      }
    }
  }
  return loop.count / seconds(started);
}

/** Deliveries a second of bodies of `bytes` bytes. */
function deliver(bytes: number): number {
  const native = Buffer.from([0x10, 0, 2]);
  const body = Buffer.alloc(bytes, 7);
  const message = new Message('', 'bench', body, 0, bytes, native, 0, 3, amqpProperties, true, 0, NEVER, 0);
  const delivery = new Delivery('consumer', {
    number: 1,
    outbox,
    unacked: new Unacked(),
    encodedNames: new ShortStringEncoder(),
    maxPayloadBytes: MAX_PAYLOAD_BYTES,
    admits: () => true,
    consumerCancelled: () => {},
    broken: () => {},
  });
  let started = 0n;
  for (const rounds of [ROUNDS / 4, ROUNDS]) {
    started = process.hrtime.bigint();
    for (let i = 1; i <= rounds; i++) {
      delivery.deliver(NOBODY, message, null, false);
      if ((i & 511) === 0) outbox.flush();
    }
  }
  return ROUNDS / seconds(started);
}

/** Nanoseconds for the AMQP properties of a message that MQTT 3.1.1 published at QoS 1. */
function foreignProperties(): number {
  const message = () => new Message('amq.topic', 'bench', BODY, 0, 0, BODY, 0, 0, NO_CODEC, true, 0, NEVER, 0);
  let started = 0n;
  let bytes = 0;
  for (const rounds of [ROUNDS / 4, ROUNDS]) {
    started = process.hrtime.bigint();
    bytes = 0;
    for (let i = 0; i < rounds; i++) bytes += nativeOf(message()).length;
  }
  if (bytes !== 3 * ROUNDS) throw new Error(`${bytes} bytes of properties`);
  return (seconds(started) / ROUNDS) * 1e9;
}

/** Nanoseconds for one copy of `bytes` bytes. */
function copy(
  bytes: number,
  way: (from: Buffer, whole: Buffer, to: Buffer, at: number, bytes: number) => void,
): number {
  const from = Buffer.allocUnsafeSlow(4096).fill(1);
  const whole = Buffer.allocUnsafeSlow(bytes).fill(1);
  const to = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  let started = 0n;
  for (const rounds of [ROUNDS / 4, ROUNDS]) {
    started = process.hrtime.bigint();
    for (let i = 0; i < rounds; i++) way(from, whole, to, (i * 131) & 0x7fff, bytes);
  }
  return (seconds(started) / ROUNDS) * 1e9;
}

function seconds(started: bigint): number {
  return Number(process.hrtime.bigint() - started) / 1e9;
}

const rate = (title: string, value: number): Figure => ({ title, value, unit: '/s', target: '' });
const nanoseconds = (title: string, value: number): Figure => ({ title, value, unit: 'ns', target: '' });

const figures: Figure[] = [
  rate('parse basic.publish, 100 B, 1 key', parse(1, false)),
  rate('parse basic.publish, 100 B, 500 keys', parse(500, false)),
  rate('parse basic.publish, 100 B, 100,000 keys (beyond the cache)', parse(100_000, false)),
  rate('parse and deliver, 100 B, 1 key', parse(1, true)),
  rate('parse and deliver, 100 B, 500 keys', parse(500, true)),
  rate('encode basic.deliver, 16 B', deliver(16)),
  rate('encode basic.deliver, 100 B', deliver(100)),
  rate('encode basic.deliver, 1 KiB', deliver(1024)),
  rate('encode basic.deliver, 64 KiB (by reference)', deliver(64 * 1024)),
];
figures.push(nanoseconds('make an MQTT 3.1.1 message and its AMQP properties', foreignProperties()));
for (const bytes of [16, 24, 90]) {
  figures.push(
    nanoseconds(
      `copy ${bytes} B, loop`,
      copy(bytes, (from, _whole, to, at, n) => loopCopy(from, to, at, n)),
    ),
    nanoseconds(
      `copy ${bytes} B, Buffer.copy of a range`,
      copy(bytes, (from, _whole, to, at, n) => rangeCopy(from, to, at, n)),
    ),
    nanoseconds(
      `copy ${bytes} B, set of a whole array`,
      copy(bytes, (_from, whole, to, at) => to.set(whole, at)),
    ),
  );
}
printFigures(figures);

function loopCopy(from: Buffer, to: Buffer, at: number, bytes: number): void {
  for (let i = 0; i < bytes; i++) to[at + i] = from[i]!;
}

function rangeCopy(from: Buffer, to: Buffer, at: number, bytes: number): void {
  from.copy(to, at, 0, bytes);
}
