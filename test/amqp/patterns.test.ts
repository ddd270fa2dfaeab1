// Protects the patterns of RabbitMQ's tutorials, with Node's client libraries: work queue, publish/subscribe, topics,
// confirms settled out of order, and redelivery of unacknowledged messages after a reconnect.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { AMQPWebSocketClient } from '@cloudamqp/amqp-client/amqp-websocket-client';
import amqplib, { type Channel, type ChannelModel, type ConsumeMessage } from 'amqplib';
import { type Broker, createBroker } from '../../src/broker.ts';
import { RawAmqp } from '../../support/raw-amqp.ts';
import * as wire from '../../support/wire/amqp.ts';

describe('patterns', () => {
  let broker: Broker;
  let connection: ChannelModel;

  before(async () => {
    broker = await createBroker();
    connection = await connect();
  });

  after(async () => {
    await connection.close();
    await broker.stop();
  });

  const connect = (): Promise<ChannelModel> => amqplib.connect(`amqp://127.0.0.1:${broker.ports.amqp}`);

  /** Collects bodies until there are `count`. */
  function collector(count: number) {
    const bodies: string[] = [];
    const { promise, resolve } = Promise.withResolvers<string[]>();
    const take = (message: ConsumeMessage | null): void => {
      bodies.push(message!.content.toString());
      if (bodies.length === count) resolve(bodies);
    };
    return { bodies, all: promise, take };
  }

  test('a work queue shares fairly among workers that take one task at a time', async () => {
    const channels: Channel[] = [];
    for (let i = 0; i < 3; i++) channels.push(await connection.createChannel());
    await channels[0]!.assertQueue('tasks', { durable: true });
    const done = new Map<number, number>();
    const { promise, resolve } = Promise.withResolvers<void>();
    let total = 0;
    for (const [worker, channel] of channels.entries()) {
      await channel.prefetch(1);
      await channel.consume('tasks', (task) => {
        done.set(worker, (done.get(worker) ?? 0) + 1);
        channel.ack(task!);
        if (++total === 90) resolve();
      });
    }
    for (let i = 0; i < 90; i++) channels[0]!.sendToQueue('tasks', Buffer.from('x'), { persistent: true });
    await promise;
    assert.equal(done.size, 3);
    for (const count of done.values()) assert.ok(count >= 20, `shares were ${[...done.values()]}`);
    for (const channel of channels) await channel.close();
  });

  test('a slow worker does not delay the others', async () => {
    const slow = await connection.createChannel();
    const quick = await connection.createChannel();
    const { queue } = await slow.assertQueue('', { exclusive: true });
    await slow.prefetch(1);
    await quick.prefetch(1);
    await slow.consume(queue, () => {});
    const { take, all } = collector(9);
    await quick.consume(queue, (message) => {
      quick.ack(message!);
      take(message);
    });
    for (let i = 0; i < 10; i++) quick.sendToQueue(queue, Buffer.from(String(i)));
    assert.equal((await all).length, 9);
    await slow.close();
    await quick.close();
  });

  test('consumers of a higher priority come first, as long as they have credit', async () => {
    const channel = await connection.createChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.prefetch(2);
    const order: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const consume = (name: string, priority: number) =>
      channel.consume(
        queue,
        () => {
          order.push(name);
          if (order.length === 4) resolve();
        },
        { priority },
      );
    await consume('low', -1);
    await consume('high', 10);
    for (let i = 0; i < 4; i++) channel.sendToQueue(queue, Buffer.from('x'));
    await promise;
    assert.deepEqual(order, ['high', 'high', 'low', 'low']);
    await channel.close();
  });

  test('subscribers of a fanout get everything, those of topics what matches', async () => {
    const channel = await connection.createChannel();
    await channel.assertExchange('news', 'fanout', { autoDelete: true });
    await channel.assertExchange('logs', 'topic', { autoDelete: true });
    const expected: [string, string, string[]][] = [
      ['news', '', ['sport.goal', 'weather.rain.local', 'sport']],
      ['logs', 'sport.#', ['sport.goal', 'sport']],
      ['logs', '*.rain.*', ['weather.rain.local']],
      ['logs', '#', ['sport.goal', 'weather.rain.local', 'sport']],
    ];
    const collectors = [];
    for (const [exchange, pattern, wanted] of expected) {
      const { queue } = await channel.assertQueue('', { exclusive: true });
      await channel.bindQueue(queue, exchange, pattern);
      const each = collector(wanted.length);
      await channel.consume(queue, each.take, { noAck: true });
      collectors.push(each);
    }
    for (const key of ['sport.goal', 'weather.rain.local', 'sport']) {
      channel.publish('news', key, Buffer.from(key));
      channel.publish('logs', key, Buffer.from(key));
    }
    for (const [i, { all }] of collectors.entries()) assert.deepEqual(await all, expected[i]![2]);
    await channel.close();
  });

  test('each confirm is for its publish, in whatever order disk and routing complete', async () => {
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue('durable', { durable: true });
    const full = { maxLength: 1, arguments: { 'x-overflow': 'reject-publish' }, exclusive: true };
    await channel.assertQueue('full', full);
    const outcomes: (boolean | null)[] = new Array(60).fill(null);
    const settled: Promise<void>[] = [];
    for (let i = 0; i < 60; i++) {
      const queue = ['durable', 'nobody', 'full'][i % 3]!;
      const { promise, resolve } = Promise.withResolvers<void>();
      settled.push(promise);
      channel.sendToQueue(queue, Buffer.from('x'), { persistent: i % 2 === 0 }, (error) => {
        outcomes[i] = error === null || error === undefined;
        resolve();
      });
    }
    await Promise.all(settled);
    // The full queue has room for the first of its messages.
    assert.deepEqual(
      outcomes,
      Array.from({ length: 60 }, (_, i) => i % 3 !== 2 || i === 2),
    );
    await channel.close();
  });

  test('unacknowledged messages of a lost connection are redelivered, marked and in order', async () => {
    const open = [...broker.connections].length;
    const lost = await RawAmqp.open(broker.ports.amqp!);
    lost.send(wire.declareQueue(1, 'orders', { durable: true }), wire.qos(1, 4));
    for (let i = 0; i < 6; i++) lost.send(wire.publish(1, '', 'orders', Buffer.from(String(i)), 2));
    lost.send(wire.consume(1, 'orders', 'c', false));
    // Declare-ok, qos-ok, consume-ok, and five deliveries of three frames.
    for (let i = 0; i < 3 + 4 * 3; i++) await lost.nextFrame();
    lost.send(wire.ack(1, 2, false));
    for (let i = 0; i < 3; i++) await lost.nextFrame();
    // The socket breaks without connection.close.
    lost.destroy();
    while ([...broker.connections].length > open) await nextTurn();
    const again = await connect();
    const second = await again.createChannel();
    const seen: string[] = [];
    const all = Promise.withResolvers<void>();
    await second.consume('orders', (message) => {
      seen.push(`${message!.content}${message!.fields.redelivered ? ' again' : ''}`);
      second.ack(message!);
      if (seen.length === 5) all.resolve();
    });
    await all.promise;
    assert.deepEqual(seen, ['0 again', '2 again', '3 again', '4 again', '5']);
    await again.close();
  });

  test('a browser client works over a WebSocket', async () => {
    const client = new AMQPWebSocketClient(`ws://127.0.0.1:${broker.ports.ws}/amqp`, '/', 'guest', 'guest');
    const browser = await client.connect();
    const channel = await browser.channel();
    await channel.confirmSelect();
    const { name } = await channel.queueDeclare('', { exclusive: true });
    const large = 'x'.repeat(300_000);
    const bodies: (string | null)[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    await channel.basicConsume(name, { noAck: false }, (message) => {
      bodies.push(message.bodyString());
      void message.ack();
      if (bodies.length === 3) resolve();
    });
    for (const body of ['one', '', large]) await channel.basicPublish('', name, body, { deliveryMode: 2 });
    await promise;
    assert.deepEqual(bodies, ['one', '', large]);
    await browser.close();
  });
});
