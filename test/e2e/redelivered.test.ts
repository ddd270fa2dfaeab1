// The redelivered mark is exact after an orderly stop: messages never delivered do not have it, messages that were
// unacknowledged have it.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import amqplib from 'amqplib';
import { createBroker } from '../../src/broker.ts';

test('after an orderly stop only delivered messages have the redelivered mark', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'trivium-redelivered-'));
  t.after(() => rm(dataDir, { recursive: true, force: true }));

  const first = await createBroker({ dataDir });
  const publisher = await amqplib.connect(`amqp://guest:guest@127.0.0.1:${first.ports.amqp}`);
  // The broker's stop ends the connection with an error.
  publisher.on('error', () => {});
  const channel = await publisher.createConfirmChannel();
  await channel.assertQueue('kept');
  for (const body of ['one', 'two', 'three']) channel.sendToQueue('kept', Buffer.from(body), { persistent: true });
  await channel.waitForConfirms();
  const got = await channel.get('kept');
  assert.ok(got !== false && !got.fields.redelivered);
  await first.stop();

  const second = await createBroker({ dataDir });
  t.after(() => second.stop());
  const consumer = await amqplib.connect(`amqp://guest:guest@127.0.0.1:${second.ports.amqp}`);
  const reading = await consumer.createChannel();
  const seen: [string, boolean][] = [];
  for (let i = 0; i < 3; i++) {
    const message = await reading.get('kept', { noAck: true });
    assert.ok(message !== false);
    seen.push([message.content.toString(), message.fields.redelivered]);
  }
  assert.deepEqual(seen, [
    ['one', true],
    ['two', false],
    ['three', false],
  ]);
  await consumer.close();
});
