// Checks of frames: how they may be split, malformed ones, and the reply codes (General Specification, 4.2).

import assert from 'node:assert/strict';
import type { Check } from '../../check.ts';
import { type AmqpTest, amqp, EXTENSION, MUST } from '../amqp-check.ts';
import type { AmqpChannel } from '../wire/channel.ts';
import { encodeFrame, encodeHeader, encodeMethod, FRAME } from '../wire/frames.ts';

/** A violation on an open channel, and the code of the close that answers it. */
function violation(
  id: string,
  section: string,
  code: number | readonly number[],
  title: string,
  send: (channel: AmqpChannel, t: AmqpTest) => void | Promise<void>,
): Check {
  const codes = [code].flat();
  return amqp(
    `framing.${id}`,
    section,
    MUST,
    `${title} closes the connection with ${codes.join(' or ')}`,
    async (t) => {
      const channel = await t.channel();
      await send(channel, t);
      await channel.connection.expectClose(codes);
    },
  );
}

const METHOD_GET = encodeMethod('basic.get', { queue: 'q' });

export const FRAMING_CHECKS: readonly Check[] = [
  violation('end', '4.2.3', 501, 'a frame that does not end in 0xCE', ({ connection }) => {
    const frame = encodeFrame(FRAME.method, 1, METHOD_GET);
    frame[frame.length - 1] = 0xcd;
    connection.raw(frame);
  }),
  violation('too-large', '4.2.3', 501, 'a frame far beyond the agreed frame-max', ({ connection }) => {
    connection.frame(FRAME.body, 1, Buffer.alloc(2 * connection.frameMax));
  }),
  violation('too-large.by-one', '4.2.3', 501, 'a frame one octet beyond the agreed frame-max', ({ connection }) => {
    connection.frame(FRAME.body, 1, Buffer.alloc(connection.frameMax - 7));
  }),
  violation('type', '4.2.3', 501, 'a frame of an unknown type', ({ connection }) => {
    connection.frame(5, 1, Buffer.alloc(4));
  }),
  violation('heartbeat.channel', '4.2.7', [501, 505], 'a heartbeat on a channel', ({ connection }) => {
    connection.frame(FRAME.heartbeat, 1, Buffer.alloc(0));
  }),
  amqp(
    'framing.heartbeat.channel.code',
    'RabbitMQ: Heartbeats',
    EXTENSION,
    'a heartbeat on a channel closes the connection with 505, one with a payload with 501',
    async (t) => {
      for (const [channel, payload, code] of [
        [1, '', 505],
        [1, 'x', 501],
        [0, 'x', 501],
      ] as const) {
        const { connection } = await t.channel();
        connection.frame(FRAME.heartbeat, channel, Buffer.from(payload));
        await connection.expectClose(code);
      }
    },
  ),
  violation('method.short', '4.2.4', 501, 'a method frame without room for its ids', ({ connection }) => {
    connection.frame(FRAME.method, 1, Buffer.from([0, 60]));
  }),
  violation('method.fields-short', '4.2.4', [501, 502], 'a method whose fields are cut short', ({ connection }) => {
    connection.frame(FRAME.method, 1, METHOD_GET.subarray(0, 8));
  }),
  violation('method.unknown', '4.2.4', 540, 'a method that does not exist', ({ connection }) => {
    connection.frame(FRAME.method, 1, Buffer.from([0, 60, 0, 199]));
  }),
  violation('method.unknown-class', '4.2.4', 540, 'a method of a class that does not exist', ({ connection }) => {
    connection.frame(FRAME.method, 1, Buffer.from([0, 199, 0, 10]));
  }),
  violation('method.server-only', '1.2', 503, 'a method that only a broker may send', (channel) => {
    channel.send('basic.get-empty');
  }),
  violation('method.channel-on-zero', '4.2.3', 504, 'a method of a channel on channel 0', ({ connection }) => {
    connection.send(0, 'queue.declare', { queue: 'q' });
  }),
  violation('method.connection-on-channel', '4.2.3', 503, 'a method of the connection on a channel', (channel) => {
    channel.send('connection.open', { virtualHost: '/' });
  }),
  violation('content.method-within', '4.2.6', 505, 'a method where a content header is due', (channel) => {
    channel.send('basic.publish', { routingKey: 'nowhere' });
    channel.send('basic.qos');
  }),
  violation('content.method-within-body', '4.2.6', 505, 'a method where a content body is due', (channel) => {
    channel.send('basic.publish', { routingKey: 'nowhere' });
    channel.connection.header(1, 5);
    channel.send('basic.qos');
  }),
  violation('content.header-alone', '4.2.6', 505, 'a content header without its method', ({ connection }) => {
    connection.header(1, 0);
  }),
  violation('content.body-alone', '4.2.6', 505, 'a content body without its method', ({ connection }) => {
    connection.body(1, Buffer.from('x'));
  }),
  violation('content.body-first', '4.2.6', 505, 'a content body where its header is due', (channel) => {
    channel.send('basic.publish', { routingKey: 'nowhere' });
    channel.connection.body(1, Buffer.from('x'));
  }),
  violation('content.header-twice', '4.2.6', 505, 'a second content header', (channel) => {
    channel.send('basic.publish', { routingKey: 'nowhere' });
    channel.connection.header(1, 5);
    channel.connection.header(1, 5);
  }),
  violation('content.class', '4.2.6.1', 505, 'a content header of another class', (channel) => {
    channel.send('basic.publish', { routingKey: 'nowhere' });
    channel.connection.frame(FRAME.header, 1, encodeHeader(0, {}, 50));
  }),
  violation('content.overrun', '4.2.6.2', [501, 505], 'a body longer than its header says', (channel) => {
    channel.send('basic.publish', { routingKey: 'nowhere' });
    channel.connection.header(1, 2);
    channel.connection.body(1, Buffer.from('three'));
  }),
  violation('content.properties-short', '4.2.6.1', 502, 'a property list that is cut short', (channel) => {
    channel.send('basic.publish', { routingKey: 'nowhere' });
    const header = encodeHeader(0, { contentType: 'text/plain' });
    channel.connection.frame(FRAME.header, 1, header.subarray(0, header.length - 3));
  }),
  amqp(
    'framing.content.zero-channel',
    '4.2.6',
    MUST,
    'content on channel 0 closes the connection with 504 or 505',
    async (t) => {
      const connection = await t.connect();
      connection.header(0, 0);
      const { args } = await connection.expect(0, 'connection.close');
      assert.ok([503, 504, 505].includes(args.replyCode), `${args.replyCode} ${args.replyText}`);
      connection.send(0, 'connection.close-ok');
      await connection.expectEnd();
    },
  ),
  amqp('framing.split', '4.2.3', MUST, 'a frame may arrive cut at any byte', async (t) => {
    const channel = await t.channel();
    const { connection } = channel;
    const queue = await t.queue(channel);
    const conversation = Buffer.concat([
      encodeFrame(FRAME.method, 1, encodeMethod('basic.publish', { routingKey: queue })),
      encodeFrame(FRAME.header, 1, encodeHeader(4, { contentType: 'text/plain' })),
      encodeFrame(FRAME.body, 1, Buffer.from('body')),
      encodeFrame(FRAME.method, 1, encodeMethod('basic.get', { queue, noAck: true })),
    ]);
    await t.sendInPieces(
      connection,
      [...conversation].map((byte) => Buffer.of(byte)),
    );
    const { content } = await channel.expect('basic.get-ok');
    assert.equal(content.body.toString(), 'body');
    assert.equal(content.properties.contentType, 'text/plain');
  }),
  amqp('framing.joined', '4.2.3', MUST, 'many frames may arrive in one piece', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    const pieces: Buffer[] = [];
    for (let i = 0; i < 50; i++) {
      pieces.push(encodeFrame(FRAME.method, 1, encodeMethod('basic.publish', { routingKey: queue })));
      pieces.push(encodeFrame(FRAME.header, 1, encodeHeader(2, {})));
      pieces.push(encodeFrame(FRAME.body, 1, Buffer.from(String(i).padStart(2, '0'))));
    }
    channel.connection.raw(Buffer.concat(pieces));
    for (let i = 0; i < 50; i++) await channel.get(queue, { body: String(i).padStart(2, '0') });
  }),
  amqp('framing.body.frames', '4.2.6.2', MUST, 'a body may come in frames of any size', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    channel.send('basic.publish', { routingKey: queue });
    channel.connection.header(1, 10);
    for (const piece of ['a', 'bcd', 'efghij']) channel.connection.body(1, Buffer.from(piece));
    await channel.get(queue, { body: 'abcdefghij' });
  }),
  amqp('framing.body.empty-frame', '4.2.6.2', EXTENSION, 'a body frame may be empty', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    channel.send('basic.publish', { routingKey: queue });
    channel.connection.header(1, 2);
    for (const piece of ['', 'a', '', 'b']) channel.connection.body(1, Buffer.from(piece));
    await channel.get(queue, { body: 'ab' });
  }),
  amqp('framing.body.zero', '4.2.6.2', MUST, 'a message without a body has no body frame', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    channel.publish({ routingKey: queue });
    const { content } = await channel.get(queue);
    assert.deepEqual(content.frames, []);
    await channel.getEmpty(queue);
  }),
  amqp('framing.body.full-frames', '4.2.3', MUST, 'frames as large as agreed are welcome', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    const body = Buffer.alloc(2 * (channel.connection.frameMax - 8) + 1, 'x');
    channel.publish({ routingKey: queue, body });
    assert.ok((await channel.get(queue)).content.body.equals(body));
  }),
  amqp(
    'framing.frame-max.deliver',
    '4.2.3',
    MUST,
    'deliveries keep to the frame-max of their connection',
    async (t) => {
      const publisher = await t.channel();
      const queue = await t.sharedQueue(publisher);
      const consumer = await t.channel(await t.connect({ tune: { frameMax: 4096 } }));
      await consumer.consume(queue, { noAck: true });
      const body = Buffer.alloc(10_000, 'y');
      publisher.publish({ routingKey: queue, body });
      // The test connection rejects a larger frame.
      const { content } = await consumer.delivery();
      assert.ok(content.body.equals(body));
      assert.equal(content.frames.length, 3);
    },
  ),
  amqp('framing.frame-max.get', '4.2.3', MUST, 'get-ok keeps to the frame-max of its connection', async (t) => {
    const channel = await t.channel(await t.connect({ tune: { frameMax: 4096 } }));
    const queue = await t.queue(channel);
    const body = Buffer.alloc(9_000, 'z');
    channel.publish({ routingKey: queue, body });
    const { content } = await channel.get(queue);
    assert.ok(content.body.equals(body));
    assert.equal(content.frames.length, 3);
  }),
  amqp('framing.body.large', '4.2.6.2', MUST, 'a body of 1 MiB arrives whole', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    const body = Buffer.alloc(1024 * 1024);
    for (let i = 0; i < body.length; i++) body[i] = i * 31 + (i >> 8);
    channel.publish({ routingKey: queue, body });
    assert.ok((await channel.get(queue)).content.body.equals(body));
  }),
  amqp('framing.heartbeat.accepted', '4.2.7', MUST, 'heartbeats are welcome at any time', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    const { connection } = channel;
    connection.frame(FRAME.heartbeat, 0, Buffer.alloc(0));
    channel.send('basic.publish', { routingKey: queue });
    connection.frame(FRAME.heartbeat, 0, Buffer.alloc(0));
    connection.header(1, 1);
    connection.frame(FRAME.heartbeat, 0, Buffer.alloc(0));
    connection.body(1, Buffer.from('m'));
    await channel.get(queue, { body: 'm' });
  }),
  amqp(
    'framing.heartbeat.sent',
    '4.2.7',
    MUST,
    'a broker that has nothing to say sends a heartbeat within the agreed delay',
    async (t) => {
      const connection = await t.connect({ tune: { heartbeat: 1 } });
      const beat = setInterval(() => connection.frame(FRAME.heartbeat, 0, Buffer.alloc(0)), 400);
      t.context.after(() => clearInterval(beat));
      await connection.until(() => connection.heartbeats >= 2, 'two heartbeats');
    },
    { slow: true },
  ),
  amqp(
    'framing.heartbeat.missed',
    '4.2.7',
    MUST,
    'a client that is silent for two heartbeat intervals is disconnected without close',
    async (t) => {
      const connection = await t.connect({ tune: { heartbeat: 1 } });
      await connection.expectEnd();
      assert.ok(connection.heartbeats > 0, 'the broker sent no heartbeat itself');
    },
    { slow: true },
  ),
  amqp('framing.heartbeat.off', '4.2.7', MUST, 'a heartbeat of 0 asks for none', async (t) => {
    const channel = await t.channel(await t.connect({ tune: { heartbeat: 0 } }));
    await channel.expectSilence();
    assert.equal(channel.connection.heartbeats, 0);
  }),
];
