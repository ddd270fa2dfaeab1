// Protects the rule that no answer is sent before its change is durable, at the socket and byte by byte. While a commit
// is held, an answer that depends on it is not sent, and its connection still serves other requests. After the commit
// all answers are sent, in order.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { type Broker, createBroker } from '../../src/broker.ts';
import { expectMethod } from '../../support/raw-amqp.ts';
import { tcp } from '../../support/raw-client.ts';
import { rawMqtt } from '../../support/raw-mqtt.ts';
import { expectStomp, headerOf, readStompFrame } from '../../support/raw-stomp.ts';
import * as amqp from '../../support/wire/amqp.ts';
import * as mqtt from '../../support/wire/mqtt.ts';
import * as stomp from '../../support/wire/stomp.ts';
import { EchoClients } from './echo.ts';
import { HeldKv } from './held-kv.ts';
import { declareExchange, OPERATIONS, receipt } from './held-operations.ts';

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

/** Creates what the operations below use, again if one of them has deleted it. */
beforeEach(async () => {
  kv.releaseHeld();
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

describe('while a commit is held', () => {
  for (const { what, protocol, clean = true, first = [], firstAnswers = 0, send, answer } of OPERATIONS) {
    test(`no ${what} is sent`, PATIENCE, async () => {
      const client = await clients.connect(protocol, { clean });
      client.send(...first);
      for (let i = 0; i < firstAnswers; i++) await client.peer.take();
      kv.hold = true;
      client.send(...send);
      await kv.whenWaiting();
      await client.saysNothing();
      kv.releaseHeld();
      answer(await client.peer.take());
      await client.saysNothing();
      await client.peer.close();
    });
  }

  test('no CONNACK of a new persistent session is sent', PATIENCE, async () => {
    const client = rawMqtt(await tcp(broker.ports.mqtt!));
    const other = await clients.connect('mqtt');
    kv.hold = true;
    client.send(mqtt.connect('new session', { user: 'guest', password: 'guest', clean: false }), mqtt.pingreq());
    await kv.whenWaiting();
    await other.saysNothing();
    assert.equal(client.socket.bytesRead, 0);
    kv.releaseHeld();
    assert.equal((await client.take()).toString('hex'), '20020000');
    assert.equal((await client.take())[0]! >> 4, mqtt.PACKET.pingresp);
    await client.close();
    await other.peer.close();
  });

  test('a repeated declaration is not confirmed before the first one', PATIENCE, async () => {
    const [first, second] = [await clients.connect('amqp'), await clients.connect('amqp')];
    kv.hold = true;
    first.send(amqp.declareQueue(1, 'shared', { durable: true }));
    await kv.whenWaiting();
    await first.saysNothing();
    second.send(amqp.declareQueue(1, 'shared', { durable: true }));
    await second.saysNothing();
    kv.releaseHeld();
    for (const { peer } of [first, second]) await expectMethod(peer, METHOD.queueDeclareOk);
    await Promise.all([first.peer.close(), second.peer.close()]);
  });

  test('requests that need no disk are answered, even on the same connection', PATIENCE, async () => {
    const client = await clients.connect('amqp');
    client.send(amqp.confirmSelect(1));
    await expectMethod(client.peer, METHOD.confirmSelectOk);
    kv.hold = true;
    client.send(amqp.publish(1, '', 'q', BODY, 2));
    await kv.whenWaiting();
    client.send(amqp.declareQueue(1, 'transient', { exclusive: true }), amqp.qos(1, 5));
    await expectMethod(client.peer, METHOD.queueDeclareOk);
    await expectMethod(client.peer, METHOD.basicQosOk);
    kv.releaseHeld();
    await expectMethod(client.peer, METHOD.basicAck);
    await client.peer.close();
  });

  test('a message may be delivered, but its publisher is not told', PATIENCE, async () => {
    const [publisher, consumer] = [await clients.connect('mqtt'), await clients.connect('amqp')];
    consumer.send(amqp.method(1, METHOD.queuePurge, amqp.short(0), amqp.shortstr('q'), amqp.octet(0)));
    await expectMethod(consumer.peer, METHOD.queuePurgeOk);
    // A message acknowledged before its commit needs no commit; this one stays unacknowledged.
    consumer.send(amqp.consume(1, 'q', 'c', false));
    await expectMethod(consumer.peer, METHOD.basicConsumeOk);
    kv.hold = true;
    publisher.send(mqtt.publish('held', BODY, 1, 3));
    await expectMethod(consumer.peer, METHOD.basicDeliver);
    await kv.whenWaiting();
    await publisher.saysNothing();
    kv.releaseHeld();
    assert.equal((await publisher.peer.take()).toString('hex'), '40020003');
    await Promise.all([publisher.peer.close(), consumer.peer.close()]);
  });
});

describe('when a commit ends, confirms are sent in the order of their messages', () => {
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
    kv.releaseHeld();
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

  test('PUBACK and PUBREC, unroutable messages among stored ones', PATIENCE, async () => {
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
    kv.releaseHeld();
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
    kv.releaseHeld();
    for (const id of ['1', '2', '3', '4', '5']) receipt(id)(await client.peer.take());
    await client.peer.close();
  });

  test('an answer to a close waits for the messages before it', PATIENCE, async () => {
    const client = await clients.connect('stomp');
    kv.hold = true;
    client.send(stomp.send('/queue/q', BODY, { persistent: 'true', receipt: 'sent' }));
    await kv.whenWaiting();
    client.send(stomp.frame('DISCONNECT', { receipt: 'bye' }));
    const other = await clients.connect('mqtt');
    await other.saysNothing();
    kv.releaseHeld();
    const last = (await client.peer.rest()).map((unit) => headerOf(readStompFrame(unit), 'receipt-id'));
    assert.deepEqual(last, ['sent', 'bye']);
    await other.peer.close();
  });
});
