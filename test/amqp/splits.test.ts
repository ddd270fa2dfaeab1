// A conversation means the same wherever the network splits it. A valid one with every kind of frame, methods of each
// class, and bodies of no, one and several frames is sent to a connection in two pieces, split at each byte in turn;
// the answers must equal those to the whole.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { amqpFrontEnd } from '../../protocols/amqp/front-end.ts';
import * as wire from '../../support/wire/amqp.ts';
import { MemoryTransport } from '../support/memory-transport.ts';
import { ProtocolHarness } from '../support/protocol-harness.ts';

const { FRAME, METHOD } = wire;
/** Turns after which a connection has sent all its answers. */
const QUIET_TURNS = 6;

/** Properties: content-type, a header table, delivery mode 1. */
function publish(queue: string, ...frames: string[]): Buffer {
  const { short, shortstr, octet, longlong, table } = wire;
  const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
  const properties = [short(0xb000), shortstr('text/plain'), table({ n: 1, s: 'x' }), octet(1)];
  return Buffer.concat([
    wire.method(1, METHOD.basicPublish, short(0), shortstr(''), shortstr(queue), octet(0)),
    wire.frame(FRAME.header, 1, Buffer.concat([short(60), short(0), longlong(bytes), ...properties])),
    ...frames.map((text) => wire.frame(FRAME.body, 1, Buffer.from(text))),
  ]);
}

const CONVERSATION = Buffer.concat([
  wire.PROTOCOL_HEADER,
  wire.startOk('guest', 'guest'),
  wire.tuneOk(2047, 131_072, 0),
  wire.open('/'),
  wire.channelOpen(1),
  wire.confirmSelect(1),
  wire.declareQueue(1, 'cut', { autoDelete: true }, wire.table({ 'x-max-length': 10 })),
  wire.bindQueue(1, 'cut', 'amq.topic', 'a.#'),
  wire.frame(FRAME.heartbeat, 0, Buffer.alloc(0)),
  publish('cut', 'one'),
  publish('cut'),
  publish('cut', 'in ', 'three ', 'frames'),
  wire.get(1, 'cut', false),
  wire.ack(1, 1, false),
  wire.get(1, 'cut', false),
  wire.ack(1, 2, true),
  wire.get(1, 'cut', true),
  wire.get(1, 'cut', true),
  wire.qos(1, 1),
  wire.consume(1, 'cut', 'tag', true),
  publish('cut', 'late'),
  wire.deleteQueue(1, 'cut'),
  wire.channelClose(1),
  wire.connectionClose(),
]);

/** All answers of the broker to these pieces; each piece is read before the next one is sent. */
async function answersTo(...pieces: Buffer[]): Promise<Buffer> {
  const harness = new ProtocolHarness();
  const transport = new MemoryTransport(harness);
  transport.handler = amqpFrontEnd(harness.context, harness.ticker)(transport);
  for (const piece of pieces) {
    transport.receive(piece);
    await nextTurn();
  }
  for (let quiet = 0, seen = -1; quiet < QUIET_TURNS; ) {
    quiet = transport.bytesWritten === seen ? quiet + 1 : 0;
    seen = transport.bytesWritten;
    await nextTurn();
  }
  assert.ok(transport.ended, 'the conversation came to its end');
  return Buffer.concat(transport.written.map(({ bytes }) => bytes));
}

test('a conversation that is cut anywhere gets the same answers', async () => {
  const whole = framesOf(await answersTo(CONVERSATION));
  // Seven -ok; gets of a body, of an empty one, of one in three frames and of an empty queue; qos and consume; a
  // delivery; three -ok.
  assert.equal(whole.length, 7 + (3 + 2 + 3 + 1) + 2 + 3 + 3);
  assert.ok(whole.at(-1)!.endsWith(METHOD.connectionCloseOk.toString(16)), 'nothing was refused');
  for (let at = 1; at < CONVERSATION.length; at++) {
    const cut = await answersTo(CONVERSATION.subarray(0, at), CONVERSATION.subarray(at));
    assert.deepEqual(framesOf(cut), whole, `cut at ${at}`);
  }
});

/** Type, channel and content of each frame, without confirms, because one may cover several publishes. */
function framesOf(answers: Buffer): string[] {
  const frames: string[] = [];
  for (let at = 0; at < answers.length; at += wire.frameBytes(answers, at, answers.length)) {
    const end = at + wire.frameBytes(answers, at, answers.length) - 1;
    const [type, channel] = [answers[at]!, answers.readUInt16BE(at + 1)];
    const payload = answers.subarray(at + wire.FRAME_HEAD_BYTES, end);
    if (type === FRAME.method && payload.readUInt32BE(0) === METHOD.basicAck) continue;
    frames.push(`${type} ${channel} ${payload.toString('hex')}`);
  }
  return frames;
}
