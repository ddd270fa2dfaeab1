// Further clients against the broker, each with its typical use: publish with confirms, consume with acknowledgements,
// get, nack and redelivery, errors. pika and amqp-tools run as processes if they are installed.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { AMQPClient, type AMQPMessage } from '@cloudamqp/amqp-client';
import { Connection } from 'rabbitmq-client';
import { type Broker, createBroker } from '../../src/broker.ts';

const run = promisify(execFile);

const PYTHON = '/usr/bin/python3';
const PIKA = '/usr/lib/python3/dist-packages/pika';
const CC = '/usr/bin/cc';
const LIBRABBITMQ = '/usr/include/amqp.h';
const AMQP_PUBLISH = '/usr/bin/amqp-publish';

const missing = (path: string): string | false => (existsSync(path) ? false : `${path} is not installed`);

describe('other clients', () => {
  let broker: Broker;
  let url: string;

  before(async () => {
    broker = await createBroker();
    url = `amqp://guest:guest@127.0.0.1:${broker.ports.amqp}`;
  });

  after(async () => {
    await broker.stop();
  });

  test('@cloudamqp/amqp-client publishes with confirms, consumes, acknowledges and gets', async () => {
    const connection = await new AMQPClient(url).connect();
    const channel = await connection.channel();
    await channel.confirmSelect();
    await channel.queueDeclare('cloudamqp', { durable: true });
    const headers = { text: 'ü', number: 5, list: [1, 'x'], nested: { yes: true } };
    for (let i = 1; i <= 3; i++) {
      const properties = { deliveryMode: 2, headers, timestamp: new Date(1700000000000) };
      assert.equal(await channel.basicPublish('', 'cloudamqp', `m${i}`, properties), i);
    }
    await channel.basicQos(2);
    const bodies: (string | null)[] = [];
    const { promise, resolve } = Promise.withResolvers<AMQPMessage>();
    const consumer = await channel.basicConsume('cloudamqp', { noAck: false }, (message: AMQPMessage) => {
      bodies.push(message.bodyString());
      void message.ack();
      if (bodies.length === 3) resolve(message);
    });
    const last = await promise;
    assert.deepEqual(bodies, ['m1', 'm2', 'm3']);
    assert.deepEqual(last.properties.headers, headers);
    assert.equal(last.properties.timestamp?.getTime(), 1700000000000);
    await consumer.cancel();
    await channel.basicPublish('', 'cloudamqp', 'again');
    const got = await channel.basicGet('cloudamqp', { noAck: false });
    await got!.nack(true);
    const redelivered = await channel.basicGet('cloudamqp', { noAck: true });
    assert.deepEqual([redelivered!.bodyString(), redelivered!.redelivered], ['again', true]);
    assert.equal(await channel.basicGet('cloudamqp', { noAck: true }), null);
    await channel.queueDelete('cloudamqp');
    await connection.close();
  });

  test('rabbitmq-client publishes, consumes with a worker, and calls a service', async () => {
    const connection = new Connection(url);
    const seen: unknown[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const worker = connection.createConsumer(
      {
        queue: 'events',
        queueOptions: { durable: true },
        qos: { prefetchCount: 2 },
        exchanges: [{ exchange: 'events', type: 'topic' }],
        queueBindings: [{ exchange: 'events', routingKey: 'users.*' }],
      },
      async (message) => {
        seen.push(message.body);
        if (seen.length === 5) resolve();
      },
    );
    await new Promise((ready) => worker.once('ready', ready as () => void));
    const publisher = connection.createPublisher({ confirm: true, maxAttempts: 1 });
    for (let id = 1; id <= 5; id++) await publisher.send({ exchange: 'events', routingKey: 'users.visit' }, { id });
    await promise;
    assert.deepEqual(
      seen,
      [1, 2, 3, 4, 5].map((id) => ({ id })),
    );
    await publisher.close();
    await worker.close();
    await connection.queueDelete('events');
    await connection.exchangeDelete({ exchange: 'events' });
    await assert.rejects(connection.queueDeclare({ queue: 'events', passive: true }), /NOT_FOUND/);
    await connection.close();
  });

  test('pika', { skip: missing(PIKA) }, async () => {
    const script = new URL('./pika-round.py', import.meta.url).pathname;
    const { stdout } = await run(PYTHON, [script, String(broker.ports.amqp)], { timeout: 30_000 });
    assert.equal(stdout, 'done\n');
  });

  test('librabbitmq, from a program in C', { skip: missing(CC) || missing(LIBRABBITMQ) }, async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'trivium-librabbitmq-'));
    t.after(() => rm(directory, { recursive: true }));
    const program = join(directory, 'round');
    const source = new URL('./librabbitmq-round.c', import.meta.url).pathname;
    await run(CC, ['-o', program, source, '-lrabbitmq'], { timeout: 60_000 });
    const { stdout } = await run(program, [String(broker.ports.amqp)], { timeout: 30_000 });
    assert.equal(stdout, 'done\n');
  });

  test('amqp-tools declare, publish, get and consume', { skip: missing(AMQP_PUBLISH) }, async () => {
    const server = ['--url', url];
    const declared = await run('amqp-declare-queue', [...server, '-q', 'tools']);
    assert.equal(declared.stdout, 'tools\n');
    await run(AMQP_PUBLISH, [...server, '-r', 'tools', '-p', '-b', 'first']);
    await run(AMQP_PUBLISH, [...server, '-r', 'tools', '-b', 'second']);
    const got = await run('amqp-get', [...server, '-q', 'tools']);
    assert.equal(got.stdout, 'first');
    const consumed = await run('amqp-consume', [...server, '-q', 'tools', '-c', '1', 'cat']);
    assert.equal(consumed.stdout, 'second');
    const deleted = await run('amqp-delete-queue', [...server, '-q', 'tools']);
    assert.equal(deleted.stdout, '0\n');
  });
});
