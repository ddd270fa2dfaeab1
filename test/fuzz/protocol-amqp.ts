// AMQP 0-9-1 for the fuzzer: hand-written conversations, and the meaning of the broker's answers.

import * as amqp from '../../support/wire/amqp.ts';
import type { Frames } from './mutate.ts';
import type { FuzzProtocol, Inspection } from './protocol.ts';
import type { Random } from './random.ts';

const { METHOD, FRAME } = amqp;

const STATES = ['nothing', 'header', 'handshake', 'open', 'channel', 'declared', 'content'] as const;

/** How deep the conversation is after an answer, as an index into STATES. */
const DEPTH = new Map<number, number>([
  [METHOD.connectionStart, 1],
  [METHOD.connectionTune, 2],
  [METHOD.connectionOpenOk, 3],
  [METHOD.channelOpenOk, 4],
  [METHOD.queueDeclareOk, 5],
  [METHOD.exchangeDeclareOk, 5],
  [METHOD.basicAck, 6],
  [METHOD.basicReturn, 6],
  [METHOD.basicGetOk, 6],
  [METHOD.basicDeliver, 6],
]);

export const AMQP: FuzzProtocol = {
  name: 'amqp',
  states: STATES,
  handshakeFrames: 4,
  conversations: (id) => [confirming(id), getting(id), consuming(id), declaring(id), large(id), tables(id)],
  lengthField: (frame) => (frame.length >= amqp.FRAME_HEAD_BYTES ? { offset: 3, bytes: 4 } : null),
  randomFrame,
  inspect,
};

function handshake(): Buffer[] {
  return [
    amqp.PROTOCOL_HEADER,
    amqp.startOk('guest', 'guest'),
    amqp.tuneOk(16, 65_536, 0),
    amqp.open('/'),
    amqp.channelOpen(1),
  ];
}

/** basic.publish as its three frames, so that mutations can come between them. */
function publish(channel: number, exchange: string, key: string, body: Buffer, mandatory = false): Buffer[] {
  return [
    amqp.method(
      channel,
      METHOD.basicPublish,
      amqp.short(0),
      amqp.shortstr(exchange),
      amqp.shortstr(key),
      amqp.octet(mandatory ? 1 : 0),
    ),
    amqp.contentHeader(channel, body.length, 2),
    amqp.frame(FRAME.body, channel, body),
  ];
}

const goodbye = (): Buffer[] => [amqp.channelClose(1), amqp.connectionClose()];

function confirming(id: number): Frames {
  const queue = `fuzz.confirm.${id}`;
  return [
    ...handshake(),
    amqp.declareQueue(1, queue, { autoDelete: true, exclusive: true }),
    amqp.bindQueue(1, queue, 'amq.topic', `fuzz.${id}.#`),
    amqp.confirmSelect(1),
    ...publish(1, '', queue, Buffer.from('first')),
    ...publish(1, 'amq.topic', `fuzz.${id}.a`, Buffer.from('second')),
    ...publish(1, 'amq.topic', 'fuzz.nowhere', Buffer.from('third'), true),
    amqp.method(1, METHOD.queuePurge, amqp.short(0), amqp.shortstr(queue), amqp.octet(0)),
    ...goodbye(),
  ];
}

function getting(id: number): Frames {
  const queue = `fuzz.get.${id}`;
  return [
    ...handshake(),
    amqp.declareQueue(1, queue, { exclusive: true }),
    ...publish(1, '', queue, Buffer.from('a')),
    ...publish(1, '', queue, Buffer.from('b')),
    ...publish(1, '', queue, Buffer.from('c')),
    amqp.get(1, queue, false),
    amqp.get(1, queue, false),
    amqp.method(1, METHOD.basicReject, amqp.longlong(1), amqp.octet(1)),
    amqp.method(1, METHOD.basicNack, amqp.longlong(2), amqp.octet(2)),
    amqp.get(1, queue, true),
    amqp.get(1, queue, false),
    amqp.ack(1, 4, true),
    amqp.method(1, METHOD.basicRecover, amqp.octet(1)),
    amqp.get(1, queue, false),
    amqp.deleteQueue(1, queue),
    ...goodbye(),
  ];
}

function consuming(id: number): Frames {
  const queue = `fuzz.consume.${id}`;
  return [
    ...handshake(),
    amqp.channelOpen(2),
    amqp.declareQueue(2, queue, { exclusive: true, autoDelete: true }),
    amqp.qos(2, 10),
    amqp.consume(2, queue, 'tag', false),
    ...publish(2, '', queue, Buffer.from('one')),
    ...publish(2, '', queue, Buffer.from('two')),
    amqp.frame(FRAME.heartbeat, 0, Buffer.alloc(0)),
    amqp.method(2, METHOD.channelFlow, amqp.octet(1)),
    amqp.method(2, METHOD.basicCancel, amqp.shortstr('tag'), amqp.octet(0)),
    amqp.channelClose(2),
    ...goodbye(),
  ];
}

function declaring(id: number): Frames {
  const exchange = `fuzz.exchange.${id}`;
  const queue = `fuzz.declare.${id}`;
  const args = amqp.table({ 'x-queue-type': 'classic' });
  return [
    ...handshake(),
    amqp.declareExchange(1, exchange, 'headers'),
    amqp.declareQueue(1, queue, { exclusive: true }, args),
    amqp.checkQueue(1, queue),
    amqp.bindQueue(1, queue, exchange, 'key'),
    ...publish(1, exchange, 'key', Buffer.from('x')),
    amqp.method(
      1,
      0x0032_0032 as never,
      amqp.short(0),
      amqp.shortstr(queue),
      amqp.shortstr(exchange),
      amqp.shortstr('key'),
      amqp.table({}),
    ),
    amqp.method(1, 0x0028_0014 as never, amqp.short(0), amqp.shortstr(exchange), amqp.octet(0)),
    amqp.deleteQueue(1, queue),
    ...goodbye(),
  ];
}

/** A body in several frames, with another channel's publish between them. */
function large(id: number): Frames {
  const queue = `fuzz.large.${id}`;
  const body = Buffer.alloc(10_000, 'l');
  const [method] = publish(1, '', queue, body);
  return [
    ...handshake(),
    amqp.channelOpen(2),
    amqp.declareQueue(1, queue, { exclusive: true }),
    amqp.confirmSelect(1),
    method!,
    amqp.contentHeader(1, body.length, 1),
    amqp.frame(FRAME.body, 1, body.subarray(0, 4000)),
    ...publish(2, '', queue, Buffer.from('between')),
    amqp.frame(FRAME.body, 1, body.subarray(4000)),
    amqp.get(1, queue, true),
    amqp.deleteQueue(1, queue),
    ...goodbye(),
  ];
}

/** All properties, and headers with every type of field. */
function tables(id: number): Frames {
  const queue = `fuzz.tables.${id}`;
  const field = (name: string, type: string, ...value: Buffer[]) => [
    amqp.shortstr(name),
    Buffer.from(type, 'latin1'),
    ...value,
  ];
  const inner = amqp.longstr(Buffer.concat(field('deep', 'F', amqp.table({ deeper: 'x' }))));
  const headers = amqp.longstr(
    Buffer.concat([
      ...field('t', 't', amqp.octet(1)),
      ...field('b', 'b', amqp.octet(0x80)),
      ...field('B', 'B', amqp.octet(0xff)),
      ...field('s', 's', amqp.short(0x8000)),
      ...field('u', 'u', amqp.short(0xffff)),
      ...field('I', 'I', amqp.long(0x8000_0000)),
      ...field('i', 'i', amqp.long(0xffff_ffff)),
      ...field('l', 'l', amqp.longlong(Number.MAX_SAFE_INTEGER)),
      ...field('f', 'f', amqp.long(0x3fc0_0000)),
      ...field('d', 'd', amqp.longlong(1)),
      ...field('D', 'D', amqp.octet(2), amqp.long(12_345)),
      ...field('S', 'S', amqp.longstr('text')),
      ...field('A', 'A', amqp.longstr(Buffer.concat([Buffer.from('V'), Buffer.from('t'), amqp.octet(0)]))),
      ...field('T', 'T', amqp.longlong(1_700_000_000)),
      ...field('F', 'F', inner),
      ...field('V', 'V'),
      ...field('x', 'x', amqp.longstr(Buffer.from([0, 1, 2]))),
    ]),
  );
  const properties = Buffer.concat([
    amqp.short(0xfffc),
    amqp.shortstr('text/plain'),
    amqp.shortstr('gzip'),
    headers,
    amqp.octet(2),
    amqp.octet(5),
    amqp.shortstr('correlation'),
    amqp.shortstr('reply'),
    amqp.shortstr('60000'),
    amqp.shortstr('id'),
    amqp.longlong(1_700_000_000),
    amqp.shortstr('type'),
    amqp.shortstr('guest'),
    amqp.shortstr('app'),
    amqp.shortstr(''),
  ]);
  const [method, , body] = publish(1, '', queue, Buffer.from('tables'));
  return [
    ...handshake(),
    amqp.declareQueue(1, queue, { exclusive: true }),
    amqp.confirmSelect(1),
    method!,
    amqp.frame(FRAME.header, 1, Buffer.concat([amqp.short(60), amqp.short(0), amqp.longlong(6), properties])),
    body!,
    amqp.get(1, queue, true),
    ...goodbye(),
  ];
}

function randomFrame(random: Random): Buffer {
  const payload = random.chance(0.7)
    ? Buffer.concat([amqp.long(random.pick(Object.values(METHOD))), random.bytes(random.int(40))])
    : random.bytes(random.int(60));
  return amqp.frame(random.chance(0.9) ? random.pick(Object.values(FRAME)) : random.int(256), random.int(4), payload);
}

/** A broker that refuses the protocol header answers with its own: eight bytes that are not a frame (§4.2.2). */
function inspect(answer: Buffer): Inspection {
  if (answer.subarray(0, 4).toString('latin1') === 'AMQP') {
    if (answer.length !== 8) throw new Error('something follows the protocol header that refuses ours');
    return { state: 'nothing', error: 'protocol header' };
  }
  let depth = 0;
  let error: string | null = null;
  for (let at = 0; at < answer.length; ) {
    const bytes = amqp.frameBytes(answer, at, answer.length);
    if (bytes === 0 || at + bytes > answer.length) throw new Error(`the answer ends within a frame at ${at}`);
    if (answer[at + bytes - 1] !== amqp.FRAME_END) throw new Error(`no frame end after the frame at ${at}`);
    if (answer[at] === FRAME.method) {
      const id = answer.readUInt32BE(at + 7);
      depth = Math.max(depth, DEPTH.get(id) ?? 0);
      if (id === METHOD.connectionClose) error = `connection ${answer.readUInt16BE(at + 11)}`;
      else if (id === METHOD.channelClose) error ??= `channel ${answer.readUInt16BE(at + 11)}`;
    }
    at += bytes;
  }
  return { state: STATES[depth]!, error };
}
