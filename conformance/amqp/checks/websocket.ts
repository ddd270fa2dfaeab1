// Checks of AMQP over WebSocket: binary messages form a byte stream, split anywhere; text messages are refused.

import assert from 'node:assert/strict';
import type { Check } from '../../check.ts';
import { type AmqpTest, amqp, EXTENSION } from '../amqp-check.ts';
import { AmqpConnection } from '../wire/connection.ts';
import { encodeFrame, encodeHeader, encodeMethod, FRAME, PROTOCOL_HEADER } from '../wire/frames.ts';
import { WebSocketStream } from '../wire/websocket.ts';

const SECTION = 'AMQP over WebSocket, RFC 6455 §5.6';

async function dial(t: AmqpTest): Promise<{ connection: AmqpConnection; stream: WebSocketStream }> {
  const stream = await WebSocketStream.open(t.context);
  return { stream, connection: new AmqpConnection(stream, t.context) };
}

function overWebSocket(id: string, title: string, run: (t: AmqpTest) => Promise<void>): Check {
  return { ...amqp(`ws.${id}`, SECTION, EXTENSION, title, run), webSocket: true };
}

export const WEBSOCKET_CHECKS: readonly Check[] = [
  overWebSocket('subprotocol', 'the subprotocol amqp is agreed to', async (t) => {
    const { stream } = await dial(t);
    assert.equal(stream.client.subprotocol, 'amqp');
  }),
  overWebSocket('frames', 'frames in binary messages publish and get, both ways in binary', async (t) => {
    const { connection } = await dial(t);
    await connection.open();
    const channel = await t.channel(connection);
    const queue = await t.queue(channel);
    const body = Buffer.alloc(100_000, 'w');
    channel.publish({ routingKey: queue, body, properties: { messageId: 'id' } });
    const { content } = await channel.get(queue);
    assert.ok(content.body.equals(body));
    assert.deepEqual(content.properties, { messageId: 'id' });
  }),
  overWebSocket('split', 'a frame may be split across messages, and fragments of one', async (t) => {
    const { connection, stream } = await dial(t);
    await connection.open();
    const channel = await t.channel(connection);
    const queue = await t.queue(channel);
    const frames = Buffer.concat([
      encodeFrame(FRAME.method, 1, encodeMethod('basic.publish', { routingKey: queue })),
      encodeFrame(FRAME.header, 1, encodeHeader(4, {})),
      encodeFrame(FRAME.body, 1, Buffer.from('body')),
    ]);
    for (const byte of frames) stream.client.message('binary', Buffer.of(byte));
    await channel.get(queue, { body: 'body' });
    stream.client.message('binary', frames.subarray(0, 9), frames.subarray(9, 20), frames.subarray(20));
    await channel.get(queue, { body: 'body' });
  }),
  overWebSocket('joined', 'a message may have several frames', async (t) => {
    const { connection, stream } = await dial(t);
    await connection.open();
    const channel = await t.channel(connection);
    const queue = await t.queue(channel);
    const frames = ['1', '2', '3'].flatMap((body) => [
      encodeFrame(FRAME.method, 1, encodeMethod('basic.publish', { routingKey: queue })),
      encodeFrame(FRAME.header, 1, encodeHeader(1, {})),
      encodeFrame(FRAME.body, 1, Buffer.from(body)),
    ]);
    stream.client.message('binary', Buffer.concat(frames));
    for (const body of ['1', '2', '3']) await channel.get(queue, { body });
  }),
  overWebSocket('text', 'a text message is refused, and ends the connection', async (t) => {
    const { connection, stream } = await dial(t);
    // Valid UTF-8 and a protocol header: only the message type is wrong.
    stream.client.message('text', PROTOCOL_HEADER);
    await connection.expectEnd();
  }),
  overWebSocket('text.open', 'text on an open connection closes it with 501', async (t) => {
    const { connection, stream } = await dial(t);
    await connection.open();
    // A heartbeat without its frame end, which is not valid UTF-8; with it, a broker that accepts text would find
    // nothing wrong.
    const heartbeat = encodeFrame(FRAME.heartbeat, 0, Buffer.alloc(0));
    stream.client.message('text', heartbeat.subarray(0, -1));
    stream.client.message('binary', heartbeat.subarray(-1));
    connection.send(1, 'channel.open');
    await connection.expectClose(501);
  }),
];
