// Protects backpressure as AMQP clients see it: publishers are not read and get connection.blocked; consumers continue.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import amqplib from 'amqplib';
import { createBroker } from '../../src/broker.ts';

test('backpressure blocks and notifies publishers, not consumers; its end unblocks them', async (t) => {
  const broker = await createBroker();
  t.after(() => broker.stop());
  const url = `amqp://127.0.0.1:${broker.ports.amqp}`;
  const publishing = await amqplib.connect(url);
  const publisher = await publishing.createConfirmChannel();
  const consuming = await amqplib.connect(url);
  const consumer = await consuming.createChannel();
  await consumer.assertQueue('held');
  publisher.sendToQueue('held', Buffer.from('before'));
  await publisher.waitForConfirms();

  const blocked = Promise.all([once(publishing, 'blocked'), once(consuming, 'blocked')]);
  for (const connection of broker.connections) connection.block('low on memory', true);
  assert.deepEqual(await blocked, [['low on memory'], ['low on memory']]);

  publisher.sendToQueue('held', Buffer.from('after'));
  const published = broker.meters.published;
  const message = await consumer.get('held', { noAck: true });
  assert.ok(message !== false && message.content.toString() === 'before');
  for (let i = 0; i < 10; i++) await nextTurn();
  assert.equal(broker.meters.published, published);
  assert.deepEqual(
    [...broker.connections].map((connection) => connection.info().state),
    ['blocked', 'running'],
  );

  const unblocked = once(publishing, 'unblocked');
  for (const connection of broker.connections) connection.unblock();
  await unblocked;
  await publisher.waitForConfirms();
  assert.equal(broker.meters.published, published + 1);
  await publishing.close();
  await consuming.close();
});
