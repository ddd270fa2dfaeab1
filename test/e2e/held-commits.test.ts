// Protects the rule that nothing is confirmed before it is durable, at the socket and byte by byte: while a commit is
// held, whatever waits for it does not leave, and the connection that waits is alive all the same. When the commit has
// ended everything leaves, in order.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { type Broker, createBroker } from '../../src/broker.ts';
import * as amqp from '../support/wire/amqp.ts';
import * as mqtt from '../support/wire/mqtt.ts';
import * as stomp from '../support/wire/stomp.ts';
import { EchoClients, type Protocol } from './echo.ts';
import { HeldKv } from './held-kv.ts';
import {
  argumentsOf,
  expectMethod,
  expectStomp,
  headerOf,
  methodOf,
  mqttPeer,
  type RawPeer,
  readStompFrame,
  tcp,
} from './raw-peer.ts';

const { METHOD } = amqp;
const BODY = Buffer.from('body');
const PATIENCE = { timeout: 30_000 };

let kv: HeldKv;
let broker: Broker;
let clients: EchoClients;

before(async () => {
  kv = new HeldKv();
  broker = await createBroker({}, { kv });
  clients = await EchoClients.open(broker.ports);
});

/** What the operations below work on, made anew where one of them has deleted it. */
beforeEach(async () => {
  kv.letGo();
  const { peer } = await clients.connect('amqp');
  for (const [request, answer] of [
    [amqp.declareQueue(1, 'q', { durable: true }), METHOD.queueDeclareOk],
    [declareExchange('x'), METHOD.exchangeDeclareOk],
    [amqp.bindQueue(1, 'q', 'x', 'bound'), METHOD.queueBindOk],
    [amqp.bindQueue(1, 'q', 'amq.topic', 'held'), METHOD.queueBindOk],
  ] as const) {
    peer.send(request);
    await expectMethod(peer, answer);
  }
  await peer.close();
});

after(async () => {
  await clients.close();
  await broker.stop();
});

function declareExchange(name: string): Buffer {
  const durable = amqp.octet(2);
  return amqp.method(
    1,
    METHOD.exchangeDeclare,
    amqp.short(0),
    amqp.shortstr(name),
    amqp.shortstr('direct'),
    durable,
    amqp.table({}),
  );
}

/** Methods that the wire helpers have no name for: exchange.delete, exchange.bind, queue.unbind and their answers. */
const MORE = {
  exchangeDelete: 0x00280014,
  exchangeDeleteOk: 0x00280015,
  exchangeBind: 0x0028001e,
  exchangeBindOk: 0x0028001f,
  queueUnbind: 0x00320032,
  queueUnbindOk: 0x00320033,
} as const;

function plainMethod(id: number, ...fields: Buffer[]): Buffer {
  return amqp.frame(amqp.FRAME.method, 1, Buffer.concat([amqp.long(id), ...fields]));
}

const names = (...texts: string[]) => texts.map(amqp.shortstr);

interface Operation {
  readonly what: string;
  readonly protocol: Protocol;
  readonly clean?: boolean;
  /** What precedes the operation while commits still end. */
  readonly first?: readonly Buffer[];
  readonly firstAnswers?: number;
  readonly send: readonly Buffer[];
  readonly answer: (unit: Buffer) => void;
}

const method = (id: number) => (unit: Buffer) => assert.equal(methodOf(unit).toString(16), id.toString(16));
const packet = (type: number) => (unit: Buffer) => assert.equal(unit[0]! >> 4, type);
const receipt = (id: string) => (unit: Buffer) => {
  const frame = readStompFrame(unit);
  assert.deepEqual([frame.command, headerOf(frame, 'receipt-id')], ['RECEIPT', id]);
};

const OPERATIONS: readonly Operation[] = [
  {
    what: 'basic.ack of a persistent message',
    protocol: 'amqp',
    first: [amqp.confirmSelect(1)],
    firstAnswers: 1,
    send: [amqp.publish(1, '', 'q', BODY, 2)],
    answer: method(METHOD.basicAck),
  },
  {
    what: 'queue.declare-ok',
    protocol: 'amqp',
    send: [amqp.declareQueue(1, 'new queue', { durable: true })],
    answer: method(METHOD.queueDeclareOk),
  },
  {
    what: 'exchange.declare-ok',
    protocol: 'amqp',
    send: [declareExchange('new exchange')],
    answer: method(METHOD.exchangeDeclareOk),
  },
  {
    what: 'queue.bind-ok',
    protocol: 'amqp',
    send: [amqp.bindQueue(1, 'q', 'x', 'new key')],
    answer: method(METHOD.queueBindOk),
  },
  {
    what: 'exchange.bind-ok',
    protocol: 'amqp',
    send: [
      plainMethod(
        MORE.exchangeBind,
        amqp.short(0),
        ...names('x', 'amq.topic', 'new key'),
        amqp.octet(0),
        amqp.table({}),
      ),
    ],
    answer: method(MORE.exchangeBindOk),
  },
  {
    what: 'queue.unbind-ok',
    protocol: 'amqp',
    send: [plainMethod(MORE.queueUnbind, amqp.short(0), ...names('q', 'x', 'bound'), amqp.table({}))],
    answer: method(MORE.queueUnbindOk),
  },
  {
    what: 'queue.purge-ok',
    protocol: 'amqp',
    first: [amqp.confirmSelect(1), amqp.publish(1, '', 'q', BODY, 2)],
    firstAnswers: 2,
    send: [amqp.method(1, METHOD.queuePurge, amqp.short(0), amqp.shortstr('q'), amqp.octet(0))],
    answer: method(METHOD.queuePurgeOk),
  },
  {
    what: 'queue.delete-ok',
    protocol: 'amqp',
    send: [amqp.deleteQueue(1, 'q')],
    answer: method(METHOD.queueDeleteOk),
  },
  {
    what: 'exchange.delete-ok',
    protocol: 'amqp',
    send: [plainMethod(MORE.exchangeDelete, amqp.short(0), amqp.shortstr('x'), amqp.octet(0))],
    answer: method(MORE.exchangeDeleteOk),
  },
  {
    what: 'PUBACK',
    protocol: 'mqtt',
    send: [mqtt.publish('held', BODY, 1, 5)],
    answer: packet(mqtt.PACKET.puback),
  },
  {
    what: 'PUBREC',
    protocol: 'mqtt',
    send: [mqtt.publish('held', BODY, 2, 6)],
    answer: packet(mqtt.PACKET.pubrec),
  },
  {
    what: 'SUBACK of a persistent session',
    protocol: 'mqtt',
    clean: false,
    send: [mqtt.subscribe(7, 'new', 1)],
    answer: packet(mqtt.PACKET.suback),
  },
  {
    what: 'UNSUBACK of a persistent session',
    protocol: 'mqtt',
    clean: false,
    first: [mqtt.subscribe(8, 'old', 1)],
    firstAnswers: 1,
    send: [mqtt.unsubscribe(9, 'old')],
    answer: packet(11),
  },
  {
    what: 'RECEIPT of a persistent SEND',
    protocol: 'stomp',
    send: [stomp.send('/queue/q', BODY, { persistent: 'true', receipt: 'r' })],
    answer: receipt('r'),
  },
  {
    what: 'RECEIPT of a SEND that declares its queue',
    protocol: 'stomp',
    send: [stomp.send('/queue/new-by-send', BODY, { receipt: 'r' })],
    answer: receipt('r'),
  },
  {
    what: 'RECEIPT of a COMMIT',
    protocol: 'stomp',
    first: [
      stomp.frame('BEGIN', { transaction: 't' }),
      stomp.send('/queue/q', BODY, { persistent: 'true', transaction: 't', receipt: 'sent' }),
    ],
    firstAnswers: 1,
    send: [stomp.frame('COMMIT', { transaction: 't', receipt: 'committed' })],
    answer: receipt('committed'),
  },
  {
    what: 'RECEIPT of a durable SUBSCRIBE',
    protocol: 'stomp',
    send: [stomp.subscribe('d', '/topic/durable', { durable: 'true', receipt: 'r' })],
    answer: receipt('r'),
  },
  {
    what: 'RECEIPT of an UNSUBSCRIBE that deletes its queue',
    protocol: 'stomp',
    first: [stomp.subscribe('d', '/topic/durable', { durable: 'true', receipt: 'subscribed' })],
    firstAnswers: 1,
    send: [stomp.frame('UNSUBSCRIBE', { id: 'd', durable: 'true', receipt: 'r' })],
    answer: receipt('r'),
  },
];

describe('while a commit is held', () => {
  for (const { what, protocol, clean = true, first = [], firstAnswers = 0, send, answer } of OPERATIONS) {
    test(`no ${what} leaves`, PATIENCE, async () => {
      const client = await clients.connect(protocol, { clean });
      client.send(...first);
      for (let i = 0; i < firstAnswers; i++) await client.peer.take();
      kv.hold = true;
      client.send(...send);
      await kv.whenWaiting();
      await client.saysNothing();
      kv.letGo();
      answer(await client.peer.take());
      await client.saysNothing();
      await client.peer.close();
    });
  }

  test('no CONNACK of a new persistent session leaves', PATIENCE, async () => {
    const client = mqttPeer(await tcp(broker.ports.mqtt!));
    const other = await clients.connect('mqtt');
    kv.hold = true;
    client.send(mqtt.connect('new session', { user: 'guest', password: 'guest', clean: false }), mqtt.pingreq());
    await kv.whenWaiting();
    await other.saysNothing();
    assert.equal(client.socket.bytesRead, 0);
    kv.letGo();
    assert.equal((await client.take()).toString('hex'), '20020000');
    assert.equal((await client.take())[0]! >> 4, mqtt.PACKET.pingresp);
    await client.close();
    await other.peer.close();
  });

  test('what is declared already is confirmed no earlier than its first declaration', PATIENCE, async () => {
    const [first, second] = [await clients.connect('amqp'), await clients.connect('amqp')];
    kv.hold = true;
    first.send(amqp.declareQueue(1, 'shared', { durable: true }));
    await kv.whenWaiting();
    await first.saysNothing();
    second.send(amqp.declareQueue(1, 'shared', { durable: true }));
    await second.saysNothing();
    kv.letGo();
    for (const { peer } of [first, second]) await expectMethod(peer, METHOD.queueDeclareOk);
    await Promise.all([first.peer.close(), second.peer.close()]);
  });

  test('what needs no disk is answered, on the same connection too', PATIENCE, async () => {
    const client = await clients.connect('amqp');
    client.send(amqp.confirmSelect(1));
    await expectMethod(client.peer, METHOD.confirmSelectOk);
    kv.hold = true;
    client.send(amqp.publish(1, '', 'q', BODY, 2));
    await kv.whenWaiting();
    client.send(amqp.declareQueue(1, 'transient', { exclusive: true }), amqp.qos(1, 5));
    await expectMethod(client.peer, METHOD.queueDeclareOk);
    await expectMethod(client.peer, METHOD.basicQosOk);
    kv.letGo();
    await expectMethod(client.peer, METHOD.basicAck);
    await client.peer.close();
  });

  test('a message may be delivered, but its publisher is not told', PATIENCE, async () => {
    const [publisher, consumer] = [await clients.connect('mqtt'), await clients.connect('amqp')];
    consumer.send(amqp.method(1, METHOD.queuePurge, amqp.short(0), amqp.shortstr('q'), amqp.octet(0)));
    await expectMethod(consumer.peer, METHOD.queuePurgeOk);
    // What is acknowledged before its commit needs none: this one is not.
    consumer.send(amqp.consume(1, 'q', 'c', false));
    await expectMethod(consumer.peer, METHOD.basicConsumeOk);
    kv.hold = true;
    publisher.send(mqtt.publish('held', BODY, 1, 3));
    await expectMethod(consumer.peer, METHOD.basicDeliver);
    await kv.whenWaiting();
    await publisher.saysNothing();
    kv.letGo();
    assert.equal((await publisher.peer.take()).toString('hex'), '40020003');
    await Promise.all([publisher.peer.close(), consumer.peer.close()]);
  });
});

describe('when a commit ends, confirms leave in the order of their messages', () => {
  test('basic.ack, transient messages among persistent ones', PATIENCE, async () => {
    const client = await clients.connect('amqp');
    client.send(amqp.confirmSelect(1));
    await expectMethod(client.peer, METHOD.confirmSelectOk);
    kv.hold = true;
    const modes = [2, 0, 2, 0, 0, 2] as const;
    client.send(amqp.publish(1, '', 'q', BODY, 2));
    await kv.whenWaiting();
    for (const mode of modes) client.send(amqp.publish(1, '', 'q', BODY, mode));
    await client.saysNothing();
    kv.letGo();
    let acked = 0;
    while (acked < modes.length + 1) {
      const args = await expectMethod(client.peer, METHOD.basicAck);
      const tag = Number(args.readBigUInt64BE(0));
      assert.ok(args[8] === 1 ? tag > acked : tag === acked + 1, `${tag} after ${acked}`);
      acked = tag;
    }
    assert.equal(acked, modes.length + 1);
    await client.saysNothing();
    await client.peer.close();
  });

  test('PUBACK and PUBREC, messages that nobody wants among those that are stored', PATIENCE, async () => {
    const client = await clients.connect('mqtt');
    kv.hold = true;
    client.send(mqtt.publish('held', BODY, 1, 11));
    await kv.whenWaiting();
    client.send(
      mqtt.publish('nobody', BODY, 1, 12),
      mqtt.publish('held', BODY, 2, 13),
      mqtt.publish('nobody', BODY, 2, 14),
      mqtt.publish('held', BODY, 1, 15),
    );
    await client.saysNothing();
    kv.letGo();
    const answers: string[] = [];
    for (let i = 0; i < 5; i++) answers.push((await client.peer.take()).toString('hex'));
    assert.deepEqual(answers, ['4002000b', '4002000c', '5002000d', '5002000e', '4002000f']);
    await client.peer.close();
  });

  test('RECEIPT, of frames of all kinds', PATIENCE, async () => {
    const client = await clients.connect('stomp');
    client.send(stomp.send('/queue/q', BODY, { receipt: 'warm' }));
    await expectStomp(client.peer, 'RECEIPT');
    kv.hold = true;
    client.send(stomp.send('/queue/q', BODY, { persistent: 'true', receipt: '1' }));
    await kv.whenWaiting();
    client.send(
      stomp.send('/topic/nobody', BODY, { receipt: '2' }),
      stomp.send('/queue/q', BODY, { persistent: 'true', receipt: '3' }),
      stomp.frame('BEGIN', { transaction: 't', receipt: '4' }),
      stomp.frame('ABORT', { transaction: 't', receipt: '5' }),
    );
    await client.saysNothing();
    kv.letGo();
    for (const id of ['1', '2', '3', '4', '5']) receipt(id)(await client.peer.take());
    await client.peer.close();
  });

  test('a goodbye waits for the messages before it', PATIENCE, async () => {
    const client = await clients.connect('stomp');
    kv.hold = true;
    client.send(stomp.send('/queue/q', BODY, { persistent: 'true', receipt: 'sent' }));
    await kv.whenWaiting();
    client.send(stomp.frame('DISCONNECT', { receipt: 'bye' }));
    const other = await clients.connect('mqtt');
    await other.saysNothing();
    kv.letGo();
    const last = (await client.peer.rest()).map((unit) => headerOf(readStompFrame(unit), 'receipt-id'));
    assert.deepEqual(last, ['sent', 'bye']);
    await other.peer.close();
  });
});

describe('when a commit fails for want of space', () => {
  test('every publisher learns that it is not stored, and all goes on when there is space', PATIENCE, async () => {
    const kept = await clients.connect('amqp', { capabilities: ['connection.blocked'] });
    const queue = 'full';
    kept.send(amqp.confirmSelect(1), amqp.declareQueue(1, queue, { durable: true }));
    await expectMethod(kept.peer, METHOD.confirmSelectOk);
    await expectMethod(kept.peer, METHOD.queueDeclareOk);
    kept.send(amqp.bindQueue(1, queue, 'amq.topic', 'full'), amqp.publish(1, '', queue, Buffer.from('kept'), 2));
    await expectMethod(kept.peer, METHOD.queueBindOk);
    await expectMethod(kept.peer, METHOD.basicAck);

    const publisher = await clients.connect('amqp');
    publisher.send(amqp.confirmSelect(1));
    await expectMethod(publisher.peer, METHOD.confirmSelectOk);
    const [declarer, device, browser] = [
      await clients.connect('amqp'),
      await clients.connect('mqtt'),
      await clients.connect('stomp'),
    ];
    browser.send(stomp.send(`/queue/${queue}`, BODY, { receipt: 'transient' }));
    await expectStomp(browser.peer, 'RECEIPT');

    // One commit for all of them: while another is held the next batch gathers.
    kv.hold = true;
    kept.send(amqp.publish(1, '', queue, Buffer.from('kept too'), 2));
    await kv.whenWaiting();
    publisher.send(amqp.publish(1, '', queue, BODY, 2), amqp.publish(1, '', queue, BODY, 2));
    declarer.send(amqp.declareQueue(1, 'refused', { durable: true }));
    device.send(mqtt.publish('full', BODY, 1, 1));
    browser.send(stomp.send(`/queue/${queue}`, BODY, { persistent: 'true', receipt: 'refused' }));
    for (const client of [publisher, declarer, device, browser]) await client.saysNothing();
    kv.release();
    await expectMethod(kept.peer, METHOD.basicAck);
    await kv.whenWaiting();
    kv.fill();
    kv.letGo();

    await expectMethod(kept.peer, METHOD_BLOCKED);
    const nack = await expectMethod(publisher.peer, METHOD.basicNack);
    assert.deepEqual([nack.readBigUInt64BE(0), nack[8]! & 1], [2n, 1]);
    const close = await expectMethod(declarer.peer, METHOD.connectionClose);
    assert.equal(close.readUInt16BE(0), 506);
    assert.deepEqual(await device.peer.rest(), []);
    const error = await expectStomp(browser.peer, 'ERROR');
    assert.equal(headerOf(error, 'receipt-id'), 'refused');
    assert.deepEqual(await browser.peer.rest(), []);

    // Consuming goes on.
    const consumer = await clients.connect('amqp');
    consumer.send(amqp.consume(1, queue, 'c', false));
    await expectMethod(consumer.peer, METHOD.basicConsumeOk);
    const bodies: string[] = [];
    for (let i = 0; i < 3; i++) bodies.push(await takeBody(consumer.peer));
    assert.deepEqual(bodies, ['kept', 'body', 'kept too']);
    consumer.send(amqp.ack(1, 2, true), amqp.checkQueue(1, queue));
    const state = await expectMethod(consumer.peer, METHOD.queueDeclareOk);
    assert.equal(state.readUInt32BE(1 + queue.length), 0);

    // Somebody asks for something new, which is when the disk is tried again.
    kv.makeSpace();
    const retrier = await clients.connect('amqp');
    retrier.send(amqp.declareQueue(1, 'again', { durable: true }));
    await expectMethod(retrier.peer, METHOD.queueDeclareOk);
    await expectMethod(kept.peer, METHOD_UNBLOCKED);
    publisher.send(amqp.publish(1, '', queue, Buffer.from('new'), 2));
    const ack = await expectMethod(publisher.peer, METHOD.basicAck);
    assert.equal(ack.readBigUInt64BE(0), 3n);
    assert.equal(await takeBody(consumer.peer), 'new');

    // On disk there is what was confirmed and not acknowledged, and nothing of what was refused.
    const reopened = await createBroker({}, { kv: kv.crash(false) });
    const found = reopened.hosts.get('/')!.queues;
    assert.equal(found.get(queue)!.readyCount, 2);
    assert.equal(found.has('refused'), false);
    assert.equal(found.has('again'), true);
    await reopened.stop();
  });
});

const METHOD_BLOCKED = 0x000a003c;
const METHOD_UNBLOCKED = 0x000a003d;

/** The body of a delivery that fits into one frame. */
async function takeBody(peer: RawPeer): Promise<string> {
  const deliver = await peer.take();
  assert.equal(methodOf(deliver), METHOD.basicDeliver, argumentsOf(deliver).toString('latin1'));
  await peer.take();
  const body = await peer.take();
  return body.toString('utf8', amqp.FRAME_HEAD_BYTES, body.length - 1);
}
