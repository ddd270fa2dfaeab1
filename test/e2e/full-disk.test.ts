// Protects a full disk's effect on clients, at the socket: a client whose publish or declaration could not be stored
// gets an error of its protocol, consumers continue, and everything works again when there is space.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBroker } from '../../src/broker.ts';
import { argumentsOf, expectMethod, methodOf } from '../../support/raw-amqp.ts';
import type { RawClient } from '../../support/raw-client.ts';
import { expectStomp, headerOf } from '../../support/raw-stomp.ts';
import * as amqp from '../../support/wire/amqp.ts';
import * as mqtt from '../../support/wire/mqtt.ts';
import * as stomp from '../../support/wire/stomp.ts';
import { EchoClients } from './echo.ts';
import { HeldKv } from './held-kv.ts';

const { METHOD } = amqp;
const METHOD_BLOCKED = 0x000a003c;
const METHOD_UNBLOCKED = 0x000a003d;
const BODY = Buffer.from('body');
const PATIENCE = { timeout: 30_000 };

test(
  'every publisher is told that its message was not stored, and all work again when there is space',
  PATIENCE,
  async () => {
    const kv = new HeldKv();
    const broker = await createBroker({}, { kv });
    const clients = await EchoClients.open(broker.ports);
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

    // One commit for all of them: while another commit is held, the next batch accumulates.
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
    kv.releaseHeld();

    await expectMethod(kept.peer, METHOD_BLOCKED);
    const nack = await expectMethod(publisher.peer, METHOD.basicNack);
    assert.deepEqual([nack.readBigUInt64BE(0), nack[8]! & 1], [2n, 1]);
    const close = await expectMethod(declarer.peer, METHOD.connectionClose);
    assert.equal(close.readUInt16BE(0), 506);
    assert.deepEqual(await device.peer.rest(), []);
    const error = await expectStomp(browser.peer, 'ERROR');
    assert.equal(headerOf(error, 'receipt-id'), 'refused');
    assert.deepEqual(await browser.peer.rest(), []);

    // Consumers continue.
    const consumer = await clients.connect('amqp');
    consumer.send(amqp.consume(1, queue, 'c', false));
    await expectMethod(consumer.peer, METHOD.basicConsumeOk);
    const bodies: string[] = [];
    for (let i = 0; i < 3; i++) bodies.push(await takeBody(consumer.peer));
    assert.deepEqual(bodies, ['kept', 'body', 'kept too']);
    consumer.send(amqp.ack(1, 2, true), amqp.checkQueue(1, queue));
    const state = await expectMethod(consumer.peer, METHOD.queueDeclareOk);
    assert.equal(state.readUInt32BE(1 + queue.length), 0);

    // A new request makes the store try the disk again.
    kv.makeSpace();
    const retrier = await clients.connect('amqp');
    retrier.send(amqp.declareQueue(1, 'again', { durable: true }));
    await expectMethod(retrier.peer, METHOD.queueDeclareOk);
    await expectMethod(kept.peer, METHOD_UNBLOCKED);
    publisher.send(amqp.publish(1, '', queue, Buffer.from('new'), 2));
    const ack = await expectMethod(publisher.peer, METHOD.basicAck);
    assert.equal(ack.readBigUInt64BE(0), 3n);
    assert.equal(await takeBody(consumer.peer), 'new');

    // The disk has the confirmed, unacknowledged messages and none of the refused ones.
    const reopened = await createBroker({}, { kv: kv.crash(false) });
    const found = reopened.hosts.get('/')!.queues;
    assert.equal(found.get(queue)!.readyCount, 2);
    assert.equal(found.has('refused'), false);
    assert.equal(found.has('again'), true);
    await reopened.stop();
    await clients.close();
    await broker.stop();
  },
);

/** The body of a delivery that fits into one frame. */
async function takeBody(peer: RawClient): Promise<string> {
  const deliver = await peer.take();
  assert.equal(methodOf(deliver), METHOD.basicDeliver, argumentsOf(deliver).toString('latin1'));
  await peer.take();
  const body = await peer.take();
  return body.toString('utf8', amqp.FRAME_HEAD_BYTES, body.length - 1);
}
