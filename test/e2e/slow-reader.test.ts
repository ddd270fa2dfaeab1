// A consumer that stops reading costs the broker bounded memory and does not affect others. 256 MiB (128 MiB for
// other message sizes) are published to it; its queue keeps them (a QoS 0 subscription drops and counts them) while
// another consumer gets its deliveries. When it reads again, it gets the kept messages in order.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, type TestContext, test } from 'node:test';
import amqplib, { type ChannelModel, type ConfirmChannel } from 'amqplib';
import { BrokerProcess } from '../../support/broker-process.ts';
import { RawClient } from '../../support/raw-client.ts';
import * as amqp from '../../support/wire/amqp.ts';
import * as mqtt from '../../support/wire/mqtt.ts';
import * as stomp from '../../support/wire/stomp.ts';
import { message, OPCODE, upgradeRequest } from '../../support/wire/websocket.ts';

const MIB = 1024 * 1024;
const FLOOD_BYTES = 256 * MIB;
const KIB = 1024;
const BODY_BYTES = 4 * KIB;
/** Bytes published between two checks of the broker's memory and of the other consumer. */
const BATCH_BYTES = 2 * MIB;
const GROWTH_MIB = 64;
/** Maximum of bytes in flight to a consumer that does not read: kernel buffers on both sides, and the outbox. */
const UNDER_WAY_BYTES = 32 * MIB;

let broker: BrokerProcess;
let connection: ChannelModel;
let publisher: ConfirmChannel;
let lively: Lively;

// A new broker for each test, because memory used by one flood would hide what the next one needs.
beforeEach(async () => {
  broker = await BrokerProcess.start();
  connection = await amqplib.connect(`amqp://guest:guest@127.0.0.1:${broker.endpoints.amqp}`);
  publisher = await connection.createConfirmChannel();
  lively = await Lively.start(connection);
});

afterEach(async () => {
  await connection?.close();
  await broker?.end();
});

for (const noAck of [true, false]) {
  const mode = noAck ? 'takes everything unacknowledged' : 'acknowledges';
  for (const durable of [false, true]) {
    for (const bodyBytes of noAck ? [BODY_BYTES] : [KIB, BODY_BYTES, 16 * KIB, 64 * KIB]) {
      const messages = `${durable ? 'persistent' : 'transient'} messages of ${bodyBytes / KIB} KiB`;
      test(`an AMQP consumer that ${mode}, ${messages}`, async (t) => {
        await publisher.assertQueue('stalled', { durable });
        const consumer = await amqpConsumer('stalled', noAck);
        const floodBytes = bodyBytes === BODY_BYTES ? FLOOD_BYTES : FLOOD_BYTES / 2;
        await flood(t, '', 'stalled', durable, bodyBytes, floodBytes);
        await assertKept('stalled', bodyBytes, floodBytes);
        await assertReadsAll(consumer, noAck, floodBytes / bodyBytes);
        consumer.destroy();
      });
    }
  }
}

test('a STOMP consumer over a WebSocket', async (t) => {
  const consumer = await stompConsumer('/queue/stalled-stomp');
  await flood(t, '', 'stalled-stomp', true, BODY_BYTES);
  await assertKept('stalled-stomp', BODY_BYTES);
  await assertReadsOn(consumer, FLOOD_BYTES);
  consumer.destroy();
});

test('a STOMP subscriber over a WebSocket whose queue is bounded: the queue drops its oldest', async (t) => {
  const bound = 100;
  const consumer = await stompConsumer('/topic/stalled.bounded', {
    'x-queue-name': 'stalled-bounded',
    'x-max-length': String(bound),
    'x-overflow': 'drop-head',
  });
  await flood(t, 'amq.topic', 'stalled.bounded', false, BODY_BYTES);
  assert.equal((await publisher.checkQueue('stalled-bounded')).messageCount, bound);
  const last = bodyOf(FLOOD_BYTES / BODY_BYTES - 1, BODY_BYTES);
  let bytes = 0;
  let found = false;
  consumer.read();
  await consumer.drain(
    (received) => {
      found ||= received.includes(last);
      // The last body may continue in the next chunk.
      const taken = Math.max(0, received.length - BODY_BYTES);
      bytes += taken;
      return taken;
    },
    () => found,
  );
  assert.ok(bytes < UNDER_WAY_BYTES, `${bytes} bytes came`);
  consumer.destroy();
});

test('an MQTT subscriber at QoS 0: messages that it does not read are dropped and counted', async (t) => {
  const subscriber = await mqttSubscriber('stalled/mqtt');
  const dropped = await droppedMessages();
  const messages = FLOOD_BYTES / BODY_BYTES;
  await flood(t, 'amq.topic', 'stalled.mqtt', false, BODY_BYTES);
  const more = (await droppedMessages()) - dropped;
  assert.ok(more > (FLOOD_BYTES - UNDER_WAY_BYTES) / BODY_BYTES, `${more} of ${messages} counted as dropped`);
  assert.ok(more < messages, 'what fits is delivered');
  await assertReadsOn(subscriber, (messages - more) * BODY_BYTES);
  subscriber.destroy();
});

/** Publishes `floodBytes` in batches, and after each checks the other consumer and the broker's memory. */
async function flood(
  t: TestContext,
  exchange: string,
  routingKey: string,
  persistent: boolean,
  bodyBytes: number,
  floodBytes = FLOOD_BYTES,
): Promise<void> {
  const base = await broker.statusMib('RssAnon');
  let most = base;
  let index = 0;
  for (let sent = 0; sent < floodBytes; sent += BATCH_BYTES) {
    for (let bytes = 0; bytes < BATCH_BYTES; bytes += bodyBytes) {
      publisher.publish(exchange, routingKey, bodyOf(index++, bodyBytes), { persistent });
    }
    await publisher.waitForConfirms();
    await lively.exchange();
    most = Math.max(most, await broker.statusMib('RssAnon'));
  }
  t.diagnostic(`RssAnon grew by ${(most - base).toFixed(1)} MiB from ${base.toFixed(1)} MiB`);
  assert.ok(most - base <= GROWTH_MIB, `RssAnon grew from ${base} to ${most} MiB`);
}

function bodyOf(index: number, bytes: number): Buffer {
  const body = Buffer.alloc(bytes, index & 0xff);
  body.writeUInt32BE(index);
  return body;
}

/** All messages not in flight to the consumer are ready in the queue. */
async function assertKept(queue: string, bodyBytes: number, floodBytes = FLOOD_BYTES): Promise<void> {
  const { messageCount } = await publisher.checkQueue(queue);
  const least = (floodBytes - UNDER_WAY_BYTES) / bodyBytes;
  assert.ok(messageCount >= least, `only ${messageCount} messages are in the queue`);
}

/** The consumer gets all messages, each once and in order. With `noAck` false it acknowledges them as it reads. */
async function assertReadsAll(consumer: RawClient, noAck: boolean, messages: number): Promise<void> {
  let next = 0;
  let acknowledged = 0;
  consumer.read();
  await consumer.drain(
    (received) => {
      let at = 0;
      for (;;) {
        const bytes = amqp.frameBytes(received, at, received.length);
        if (bytes === 0 || at + bytes > received.length) break;
        if (received[at] === amqp.FRAME.body) {
          assert.equal(received.readUInt32BE(at + amqp.FRAME_HEAD_BYTES), next, 'in order');
          next++;
        }
        at += bytes;
      }
      if (!noAck && next > acknowledged) consumer.send(amqp.ack(1, (acknowledged = next), true));
      return at;
    },
    () => next === messages,
  );
}

/** Asserts that at least `bytes` bytes arrive. */
async function assertReadsOn(client: RawClient, bytes: number): Promise<void> {
  let read = 0;
  client.read();
  await client.drain(
    (received) => {
      read += received.length;
      return received.length;
    },
    () => read >= bytes,
  );
}

async function amqpConsumer(queue: string, noAck: boolean): Promise<RawClient> {
  const client = await RawClient.connect(broker.endpoints.amqp);
  const { METHOD } = amqp;
  const answer = (id: amqp.MethodId) => client.until((received) => endOfMethod(received, id));
  client.send(amqp.PROTOCOL_HEADER);
  await answer(METHOD.connectionStart);
  client.send(amqp.startOk('guest', 'guest'));
  await answer(METHOD.connectionTune);
  client.send(amqp.tuneOk(16, 131_072, 0), amqp.open('/'), amqp.channelOpen(1));
  await answer(METHOD.channelOpenOk);
  client.send(amqp.consume(1, queue, 'stalled', noAck));
  await answer(METHOD.basicConsumeOk);
  client.stall();
  return client;
}

/** End of the frame with that method, or 0 if it has not arrived. */
function endOfMethod(received: Buffer, id: amqp.MethodId): number {
  for (let at = 0; ; ) {
    const bytes = amqp.frameBytes(received, at, received.length);
    if (bytes === 0 || at + bytes > received.length) return 0;
    const found = received[at] === amqp.FRAME.method && received.readUInt32BE(at + amqp.FRAME_HEAD_BYTES) === id;
    at += bytes;
    if (found) return at;
  }
}

async function mqttSubscriber(filter: string): Promise<RawClient> {
  const client = await RawClient.connect(broker.endpoints.mqtt);
  client.send(mqtt.connect('stalled', { user: 'guest', password: 'guest' }), mqtt.subscribe(1, filter, 0));
  await client.untilBytes(Buffer.from([0x90, 3, 0, 1, 0]));
  client.stall();
  return client;
}

async function stompConsumer(destination: string, headers: Readonly<Record<string, string>> = {}): Promise<RawClient> {
  const client = await RawClient.connect(broker.endpoints.webStomp);
  client.send(upgradeRequest('/stomp', 'v12.stomp'));
  await client.untilBytes(Buffer.from('\r\n\r\n'));
  client.send(message(OPCODE.text, stomp.connect('guest', 'guest')));
  await client.untilBytes(Buffer.from('CONNECTED'));
  client.send(message(OPCODE.text, stomp.subscribe('stalled', destination, { receipt: 'subscribed', ...headers })));
  await client.untilBytes(Buffer.from('receipt-id:subscribed'));
  client.stall();
  return client;
}

async function droppedMessages(): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${broker.endpoints.http}/metrics`, {
    headers: { authorization: `Basic ${btoa('guest:guest')}` },
  });
  const match = /^\S*messages_dropped_total\S* (\d+)/m.exec(await response.text());
  assert.ok(match !== null, 'the metrics count dropped messages');
  return Number(match[1]);
}

/** The other consumer: sends itself a message and waits for it. */
class Lively {
  private readonly channel: ConfirmChannel;
  private arrived: ((text: string) => void) | null;
  private count: number;

  private constructor(channel: ConfirmChannel) {
    this.channel = channel;
    this.arrived = null;
    this.count = 0;
  }

  static async start(connection: ChannelModel): Promise<Lively> {
    const channel = await connection.createConfirmChannel();
    const lively = new Lively(channel);
    await channel.assertQueue('lively', { durable: true });
    await channel.consume('lively', (delivery) => {
      channel.ack(delivery!);
      lively.arrived?.(delivery!.content.toString());
    });
    return lively;
  }

  async exchange(): Promise<void> {
    const expected = String(++this.count);
    const arrival = new Promise<string>((resolve) => {
      this.arrived = resolve;
    });
    this.channel.sendToQueue('lively', Buffer.from(expected), { persistent: true });
    assert.equal(await arrival, expected);
  }
}
