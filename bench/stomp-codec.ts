// The STOMP hot path without sockets and core: SEND frames to messages, messages to MESSAGE frames.
//
//   node bench/stomp-codec.ts [--json]

import type { Destination } from '../protocols/stomp/destination.ts';
import { DestinationCache } from '../protocols/stomp/destination-cache.ts';
import { DestinationLines } from '../protocols/stomp/destination-lines.ts';
import { FrameParser } from '../protocols/stomp/frame-parser.ts';
import { FrameWriter } from '../protocols/stomp/frame-writer.ts';
import { STOMP_LIMITS } from '../protocols/stomp/limits.ts';
import { MessageHead } from '../protocols/stomp/message-head.ts';
import { STOMP_CODEC } from '../protocols/stomp/property-codec.ts';
import { readSendHeaders, type SendHeaders } from '../protocols/stomp/send-headers.ts';
import { STOMP_VERSION } from '../protocols/stomp/version.ts';
import { Message, NEVER } from '../src/core/message/message.ts';
import { NO_PROPERTIES } from '../src/core/message/properties.ts';
import { MESSAGE_KIND } from '../src/net/message-kind.ts';
import type { Outbox } from '../src/net/outbox.ts';
import type { Transport } from '../src/net/transport.ts';
import { type Figure, printFigures } from './figure.ts';
import { discardingOutbox, rateOf } from './stand-ins.ts';

const CHUNK_BYTES = 64 * 1024;
const ROUNDS = 2_000_000;
const BODY = Buffer.alloc(100, 'x');
const NUL = Buffer.from([0]);
const NATIVE = Buffer.from('content-type:application/json\npersistent:true\nx-sensor:a1\n');
const FOREIGN = {
  id: 1,
  retainHeader: true,
  decode: () => ({ ...NO_PROPERTIES, contentType: 'application/json', deliveryMode: 2 }),
};
const { v1_2 } = STOMP_VERSION;

const lines = new DestinationLines(v1_2);
const destinations = new DestinationCache(v1_2);

const plain = (): string[] => ['destination:/topic/bench.t.0', 'content-length:100'];
const application = (): string[] => [...plain(), 'content-type:application/json', 'persistent:true', 'x-sensor:a1'];

const figures: Figure[] = [
  parse('parse SEND, headers repeat', plain),
  parse('parse SEND, five headers repeat', application),
  parse('parse SEND, receipts differ', (i) => [...plain(), `receipt:message-${i}`]),
  parse('parse SEND, 1,000 destinations', (i) => [`destination:/topic/bench.t.${i % 1000}`, 'content-length:100']),
  parse('parse SEND, no content-length', () => plain().slice(0, 1)),
  parse('parse SEND, a header differs', (i) => [...plain(), `x-own:${i}`]),
  encode('encode MESSAGE, headers repeat', 1, () => message('bench.t.0', Buffer.alloc(0), STOMP_CODEC)),
  encode('encode MESSAGE, three headers repeat', 1, () => message('bench.t.0', NATIVE, STOMP_CODEC)),
  encode('encode MESSAGE, 1,000 routing keys', 1, (i) => message(`bench.t.${i % 1000}`, NATIVE, STOMP_CODEC)),
  encode('encode MESSAGE of another protocol', 1, (i) => message(`bench.t.${i % 1000}`, NATIVE, FOREIGN)),
  encode('encode MESSAGE of another protocol to 10 (deliveries)', 10, () => message('bench.t.0', NATIVE, FOREIGN)),
];
printFigures(figures);

/** Parses frames into messages as the connection does. */
function parse(title: string, headers: (i: number) => readonly string[]): Figure {
  const frames: Buffer[] = [];
  for (let i = 0; i < 5000; i++)
    frames.push(Buffer.concat([Buffer.from(`SEND\n${headers(i).join('\n')}\n\n`), BODY, NUL]));
  const stream = Buffer.concat(frames);
  const chunks: Buffer[] = [];
  for (let at = 0; at < stream.length; at += CHUNK_BYTES) chunks.push(stream.subarray(at, at + CHUNK_BYTES));
  const parser = new FrameParser(STOMP_LIMITS);
  let last: Message | null = null;
  let sendHeaders: SendHeaders | null = null;
  let templateDestination: Destination | null = null;
  const pass = (rounds: number): void => {
    let count = 0;
    for (let i = 0; count < rounds; i = (i + 1) % chunks.length) {
      parser.push(chunks[i]!);
      while (parser.next()) {
        let destination = templateDestination;
        if (!parser.repeated) {
          sendHeaders = readSendHeaders(parser, null);
          destination = templateDestination = destinations.resolve(parser);
        } else if (!parser.sameDestination) destination = destinations.resolve(parser);
        const { native, persistent, priority, expirationMs } = sendHeaders!;
        last = new Message(
          destination!.exchange,
          destination!.routingKey,
          parser.buffer,
          parser.start + parser.bodyStart,
          parser.bodyLength,
          native,
          0,
          native.length,
          STOMP_CODEC,
          persistent,
          priority,
          expirationMs,
          0,
        );
        count++;
      }
    }
  };
  pass(ROUNDS / 2);
  const value = rateOf(ROUNDS, () => pass(ROUNDS));
  if (last === null || (last as Message).bodyLength !== 100) throw new Error('nothing was parsed');
  return { title, value, unit: '/s', target: '' };
}

/** Encodes messages for a number of subscriptions each. */
function encode(title: string, subscriptions: number, make: (i: number) => Message): Figure {
  const heads: MessageHead[] = [];
  const writers: FrameWriter[] = [];
  const outboxes: Outbox[] = [];
  for (let i = 0; i < subscriptions; i++) {
    heads.push(new MessageHead(`sub-${i}`, `lxyz12.a-${i}-`, false, v1_2));
    const transport = discarding();
    outboxes.push(transport.outbox);
    writers.push(new FrameWriter(transport, v1_2, lines));
  }
  const pass = (rounds: number): void => {
    for (let i = 0; i < rounds; i++) {
      const next = make(i);
      for (let s = 0; s < subscriptions; s++) writers[s]!.message(heads[s]!, next, i + 1, false);
      if (i % 200 === 0) for (const outbox of outboxes) outbox.flush();
    }
  };
  const rounds = ROUNDS / subscriptions;
  pass(rounds / 2);
  return { title, value: rateOf(rounds, () => pass(rounds)) * subscriptions, unit: '/s', target: '' };
}

function message(key: string, native: Buffer, codec: typeof STOMP_CODEC): Message {
  return new Message('amq.topic', key, BODY, 0, 100, native, 0, native.length, codec, false, 0, NEVER, 0);
}

/** A transport whose socket accepts every write at once. */
function discarding(): Transport {
  const kind = MESSAGE_KIND.binary;
  return { outbox: discardingOutbox(), messageKind: kind, lastMessageKind: kind } as unknown as Transport;
}
