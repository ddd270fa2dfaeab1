// Protects backpressure on publishers at the socket, with tiny limits and a disk that completes no commit. The broker
// stops reading a publisher of any protocol, with or without confirms, while consumers continue. When there is room
// again, all continue and no message is lost. No clock decides whether a publisher has stopped: a consumer on another
// connection takes many messages while no byte of the publisher is read.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, beforeEach, test } from 'node:test';
import { type Broker, createBroker } from '../../src/broker.ts';
import { argumentsOf, expectMethod, methodOf, openAmqp } from '../../support/raw-amqp.ts';
import { type RawClient, tcp } from '../../support/raw-client.ts';
import { openMqtt } from '../../support/raw-mqtt.ts';
import { openStomp } from '../../support/raw-stomp.ts';
import * as amqp from '../../support/wire/amqp.ts';
import * as mqtt from '../../support/wire/mqtt.ts';
import * as stomp from '../../support/wire/stomp.ts';
import { HeldKv } from './held-kv.ts';

const { METHOD } = amqp;
const METHOD_BLOCKED = 0x000a003c;
const METHOD_UNBLOCKED = 0x000a003d;
const MIB = 1024 * 1024;
const PATIENCE = { timeout: 60_000 };

const BODY_BYTES = 64 * 1024;
/** Messages that the canary consumer takes while no byte of a stopped publisher may be read. */
const CANARY_STEPS = 50;
const CANARY_MESSAGES = 5_000;

let kv: HeldKv;
let broker: Broker;
let open: RawClient[];

async function start(limits: Record<string, number>): Promise<void> {
  kv = new HeldKv();
  broker = await createBroker({ limits: { queueWindowBytes: MIB, ...limits } }, { kv });
}

beforeEach(() => {
  open = [];
});

afterEach(async () => {
  kv.releaseHeld();
  for (const peer of open) await peer.close();
  await broker.stop();
});

async function amqpClient(capabilities: readonly string[] = []): Promise<RawClient> {
  const peer = await openAmqp(await tcp(broker.ports.amqp!), { capabilities });
  open.push(peer);
  return peer;
}

/** The load of one publisher: it writes while its socket is writable, and counts. */
class Publisher {
  readonly name: string;
  readonly peer: RawClient;
  /** Messages written so far. */
  written: number;
  /** Set to stop writing. */
  enough: boolean;
  readonly done: Promise<void>;

  constructor(peer: RawClient, message: (body: Buffer, number: number) => Buffer, name: string) {
    this.name = name;
    this.peer = peer;
    this.written = 0;
    this.enough = false;
    this.done = this.pump(message);
  }

  private async pump(message: (body: Buffer, number: number) => Buffer): Promise<void> {
    while (!this.enough) {
      const number = ++this.written;
      const body = Buffer.alloc(BODY_BYTES, '.');
      body.write(`${this.name} ${number} `);
      if (!this.peer.send(message(body, number))) await once(this.peer.socket, 'drain');
    }
  }

  /** The broker's side of the connection. */
  info() {
    const peer = `127.0.0.1:${this.peer.socket.localPort}`;
    const connection = [...broker.connections].find((candidate) => candidate.info().peer === peer);
    assert.ok(connection !== undefined, 'the broker has closed a publisher');
    return connection.info();
  }
}

/** Takes messages published before, one by one, to show that connections that only consume are served. */
class Canary {
  private readonly peer: RawClient;

  constructor(peer: RawClient) {
    this.peer = peer;
  }

  static async open(): Promise<Canary> {
    const peer = await amqpClient();
    peer.send(amqp.declareQueue(1, 'canary', { exclusive: true }));
    await expectMethod(peer, METHOD.queueDeclareOk);
    const filler = await amqpClient();
    const batch = Array.from({ length: CANARY_MESSAGES }, () => amqp.publish(1, '', 'canary', Buffer.from('tweet')));
    filler.send(...batch, amqp.qos(1, 1));
    await expectMethod(filler, METHOD.basicQosOk);
    await filler.close();
    return new Canary(peer);
  }

  async step(): Promise<void> {
    this.peer.send(amqp.get(1, 'canary', true));
    await expectMethod(this.peer, METHOD.basicGetOk);
    await this.peer.take();
    await this.peer.take();
  }
}

/** Resolves when no publisher is read although each has more to send. */
async function untilStopped(publishers: readonly Publisher[], canary: Canary): Promise<void> {
  let before = '';
  for (let quiet = 0; quiet < CANARY_STEPS; quiet++) {
    await canary.step();
    const infos = publishers.map((publisher) => publisher.info());
    const now = JSON.stringify([infos.map((info) => info.bytesRead), publishers.map(({ written }) => written)]);
    if (now !== before || infos.some(({ state }) => state !== 'blocked')) quiet = 0;
    before = now;
  }
  for (const { peer } of publishers) assert.ok(peer.socket.writableNeedDrain, 'its socket takes more');
}

/**
 * Stops the publishers and consumes the queue: it has each publisher's messages in order, none missing and none twice.
 */
async function consumeAll(publishers: readonly Publisher[]): Promise<void> {
  for (const publisher of publishers) publisher.enough = true;
  const consumer = await amqpClient();
  consumer.send(amqp.consume(1, 'load', 'c', true));
  await expectMethod(consumer, METHOD.basicConsumeOk);
  const next = new Map(publishers.map(({ name }) => [name, 1]));
  for (let left = publishers.reduce((sum, { written }) => sum + written, 0); left > 0; left--) {
    const deliver = await consumer.take();
    assert.equal(methodOf(deliver), METHOD.basicDeliver, argumentsOf(deliver).toString('latin1'));
    await consumer.take();
    const body = await consumer.take();
    assert.equal(body.length, amqp.FRAME_HEAD_BYTES + BODY_BYTES + 1);
    const [name, number] = body.toString('latin1', amqp.FRAME_HEAD_BYTES, amqp.FRAME_HEAD_BYTES + 20).split(' ');
    assert.equal(Number(number), next.get(name!), `of ${name}`);
    next.set(name!, Number(number) + 1);
  }
}

async function declareLoad(peer: RawClient, durable: boolean): Promise<void> {
  peer.send(amqp.declareQueue(1, 'load', { durable }), amqp.bindQueue(1, 'load', 'amq.topic', 'load'));
  await expectMethod(peer, METHOD.queueDeclareOk);
  await expectMethod(peer, METHOD.queueBindOk);
  // The first consumer of a queue waits until the redelivered mark is on disk; later consumers wait for no commit.
  peer.send(amqp.get(1, 'load', true));
  await expectMethod(peer, METHOD.basicGetEmpty);
}

test('publishers that outrun the disk are not read until it has caught up', PATIENCE, async () => {
  await start({ uncommittedHighBytes: MIB, uncommittedLowBytes: MIB / 4 });
  const watching = await amqpClient(['connection.blocked']);
  await declareLoad(watching, true);
  const canary = await Canary.open();
  const [backend, device, browser] = [
    await amqpClient(),
    await openMqtt(await tcp(broker.ports.mqtt!), 'device'),
    await openStomp(await tcp(broker.ports.stomp!)),
  ];
  open.push(device, browser);
  kv.hold = true;
  const publishers = [
    new Publisher(backend, (body) => amqp.publish(1, '', 'load', body, 2), 'amqp'),
    new Publisher(device, (body, number) => mqtt.publish('load', body, 1, number), 'mqtt'),
    new Publisher(browser, (body) => stomp.send('/queue/load', body, { persistent: 'true' }), 'stomp'),
  ];
  await untilStopped(publishers, canary);
  // Flow control that ends quickly is not an alarm: no client is notified.
  watching.send(amqp.qos(1, 1));
  await expectMethod(watching, METHOD.basicQosOk);

  const consumed = consumeAll(publishers);
  kv.releaseHeld();
  await Promise.all([...publishers.map(({ done }) => done), consumed]);
  for (let id = 1; id <= publishers[1]!.written; id++) {
    assert.equal((await device.take()).toString('hex'), mqtt.acknowledgement(mqtt.PACKET.puback, id).toString('hex'));
  }
  await canary.step();
});

test('publishers that fill the memory are not read until consumers have made room', PATIENCE, async () => {
  await start({ memoryHighBytes: 8 * MIB, memoryLowBytes: 4 * MIB, uncommittedHighBytes: 1024 * MIB });
  const [told, untold] = [await amqpClient(['connection.blocked']), await amqpClient()];
  // The first consumer of a durable queue would wait for a commit, and none will complete.
  await declareLoad(untold, false);
  const canary = await Canary.open();
  const [backend, device, browser] = [
    await amqpClient(['connection.blocked']),
    await openMqtt(await tcp(broker.ports.mqtt!), 'device'),
    await openStomp(await tcp(broker.ports.stomp!)),
  ];
  open.push(device, browser);
  // Without a commit no message is paged out.
  kv.hold = true;
  const publishers = [
    new Publisher(backend, (body) => amqp.publish(1, '', 'load', body), 'amqp'),
    new Publisher(device, (body) => mqtt.publish('load', body, 0, 0), 'mqtt'),
    new Publisher(browser, (body) => stomp.send('/queue/load', body), 'stomp'),
  ];
  await untilStopped(publishers, canary);
  for (const peer of [told, backend]) {
    const reason = await expectMethod(peer, METHOD_BLOCKED);
    assert.equal(reason.toString('utf8', 1), 'low on memory');
  }
  untold.send(amqp.qos(1, 1));
  await expectMethod(untold, METHOD.basicQosOk);

  // The disk still completes no commit.
  await Promise.all([...publishers.map(({ done }) => done), consumeAll(publishers)]);
  for (const peer of [told, backend]) await expectMethod(peer, METHOD_UNBLOCKED);
  await canary.step();
});

test(
  'a client that connects while publishers are blocked is blocked at its first message, and may consume',
  PATIENCE,
  async () => {
    await start({ uncommittedHighBytes: MIB, uncommittedLowBytes: MIB / 4 });
    const first = await amqpClient();
    await declareLoad(first, true);
    const canary = await Canary.open();
    kv.hold = true;
    const early = new Publisher(first, (body) => amqp.publish(1, '', 'load', body, 2), 'early');
    await untilStopped([early], canary);
    const late = new Publisher(await amqpClient(), (body) => amqp.publish(1, '', 'load', body, 2), 'late');
    await untilStopped([early, late], canary);
    const consumed = consumeAll([early, late]);
    kv.releaseHeld();
    await Promise.all([early.done, late.done, consumed]);
  },
);
