// amqplib against the broker: a backend's use of queues, exchanges and errors, through the most used client for Node.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import amqplib, { type Channel, type ChannelModel, type ConsumeMessage } from 'amqplib';
import { type Broker, createBroker } from '../../src/broker.ts';

describe('amqplib', () => {
  let broker: Broker;
  let connection: ChannelModel;
  let channel: Channel;

  before(async () => {
    broker = await createBroker();
    connection = await amqplib.connect(`amqp://guest:guest@127.0.0.1:${broker.ports.amqp}`);
    channel = await connection.createChannel();
  });

  after(async () => {
    await connection.close();
    await broker.stop();
  });

  /** Opens a channel for a call that must fail; resolves with the error that closed the channel. */
  async function channelError(act: (channel: Channel) => unknown): Promise<Error & { code: number }> {
    const failing = await connection.createChannel();
    const closed = once(failing, 'error');
    Promise.resolve(act(failing)).catch(() => {});
    return (await closed)[0];
  }

  /** Collects `count` messages of a queue without acknowledging them. */
  async function collect(queue: string, count: number, on: Channel = channel): Promise<ConsumeMessage[]> {
    const messages: ConsumeMessage[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const { consumerTag } = await on.consume(queue, (message) => {
      messages.push(message!);
      if (messages.length === count) resolve();
    });
    await promise;
    await on.cancel(consumerTag);
    return messages;
  }

  test('properties and headers of every kind come back as they were sent', async () => {
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const options = {
      contentType: 'application/json',
      contentEncoding: 'utf-8',
      deliveryMode: 2,
      priority: 7,
      correlationId: 'c-1',
      replyTo: 'reply',
      expiration: '60000',
      messageId: 'm-1',
      timestamp: 1700000000,
      type: 'reading',
      userId: 'guest',
      appId: 'bench',
      headers: {
        text: 'grüße 🌍',
        yes: true,
        no: false,
        int: 7,
        negative: -129,
        large: 2 ** 40,
        double: 1.25,
        nothing: null,
        bytes: Buffer.from([0, 255]),
        list: [1, 'two', [true]],
        nested: { a: { b: 'c' } },
        when: { '!': 'timestamp', value: 1700000000 },
        price: { '!': 'decimal', value: { places: 2, digits: 314 } },
      },
    };
    channel.sendToQueue(queue, Buffer.from('{}'), options);
    const message = await channel.get(queue, { noAck: true });
    assert.ok(message !== false);
    const sent = { ...options, clusterId: undefined };
    assert.deepEqual({ ...message.properties }, { ...sent, headers: message.properties.headers });
    assert.deepEqual(message.properties.headers, options.headers);
    assert.equal(message.content.toString(), '{}');
  });

  test('a message of a megabyte crosses in both directions', async () => {
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const body = Buffer.alloc(1_000_003, 'abcdefg');
    channel.sendToQueue(queue, body);
    const [message] = await collect(queue, 1);
    assert.ok(message!.content.equals(body));
  });

  test('work is shared, acknowledged, and returned in order when its worker dies', async () => {
    const { queue } = await channel.assertQueue('work');
    for (let i = 0; i < 10; i++) channel.sendToQueue(queue, Buffer.from(String(i)));
    const dying = await amqplib.connect(`amqp://127.0.0.1:${broker.ports.amqp}`);
    const worker = await dying.createChannel();
    await worker.prefetch(4);
    const got: ConsumeMessage[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    await worker.consume(queue, (message) => {
      got.push(message!);
      if (got.length === 5) resolve();
      else if (got.length === 2) worker.ack(got[1]!);
    });
    await promise;
    await dying.close();
    const rest = await collect(queue, 9);
    assert.deepEqual(
      rest.map((message) => [message.content.toString(), message.fields.redelivered]),
      ['0', '2', '3', '4', '5', '6', '7', '8', '9'].map((body, i) => [body, i < 4]),
    );
    channel.ackAll();
    await channel.deleteQueue(queue);
  });

  for (const [kind, key, bindings, expected] of [
    ['direct', 'red', [['red'], ['blue']], [true, false]],
    ['fanout', 'any', [['x'], ['y']], [true, true]],
    ['topic', 'a.b.c', [['a.*.c'], ['a.#'], ['a.*']], [true, true, false]],
  ] as const) {
    test(`a ${kind} exchange routes by its rule`, async () => {
      await channel.assertExchange(`x-${kind}`, kind, { autoDelete: true });
      const queues: string[] = [];
      for (const [pattern] of bindings) {
        const { queue } = await channel.assertQueue('', { exclusive: true });
        await channel.bindQueue(queue, `x-${kind}`, pattern);
        queues.push(queue);
      }
      channel.publish(`x-${kind}`, key, Buffer.from('m'));
      const received: boolean[] = [];
      for (const queue of queues) received.push((await channel.get(queue, { noAck: true })) !== false);
      assert.deepEqual(received, expected);
    });
  }

  test('a headers exchange matches all or any', async () => {
    await channel.assertExchange('x-headers', 'headers', { autoDelete: true });
    const all = await channel.assertQueue('', { exclusive: true });
    const any = await channel.assertQueue('', { exclusive: true });
    await channel.bindQueue(all.queue, 'x-headers', '', { 'x-match': 'all', a: 1, b: 'two' });
    await channel.bindQueue(any.queue, 'x-headers', '', { 'x-match': 'any', a: 1, b: 'two' });
    channel.publish('x-headers', '', Buffer.from('1'), { headers: { a: 1, b: 'two' } });
    channel.publish('x-headers', '', Buffer.from('2'), { headers: { a: 1 } });
    assert.equal((await channel.checkQueue(all.queue)).messageCount, 1);
    assert.equal((await channel.checkQueue(any.queue)).messageCount, 2);
  });

  test('exchanges bound to each other deliver once', async () => {
    await channel.assertExchange('first', 'fanout', { autoDelete: true });
    await channel.assertExchange('second', 'fanout');
    await channel.bindExchange('second', 'first', '');
    await channel.bindExchange('first', 'second', '');
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.bindQueue(queue, 'second', '');
    channel.publish('first', '', Buffer.from('m'));
    assert.equal((await channel.checkQueue(queue)).messageCount, 1);
    await channel.unbindExchange('first', 'second', '');
    await channel.deleteExchange('second');
  });

  test('confirms resolve, and a mandatory message without a queue is returned', async () => {
    const confirming = await connection.createConfirmChannel();
    const { queue } = await confirming.assertQueue('', { exclusive: true });
    for (let i = 0; i < 100; i++) confirming.sendToQueue(queue, Buffer.from('m'), { persistent: i % 2 === 0 });
    await confirming.waitForConfirms();
    const returned = once(confirming, 'return');
    confirming.publish('', 'nobody', Buffer.from('lost'), { mandatory: true });
    const [message] = await returned;
    assert.deepEqual([message.fields.replyCode, message.content.toString()], [312, 'lost']);
    await confirming.waitForConfirms();
    await confirming.close();
  });

  test('a consumer hears that its queue was deleted', async () => {
    await channel.assertQueue('doomed');
    const { promise, resolve } = Promise.withResolvers<ConsumeMessage | null>();
    await channel.consume('doomed', resolve);
    await channel.deleteQueue('doomed');
    assert.equal(await promise, null);
  });

  test('an auto-delete queue goes with its last consumer', async () => {
    await channel.assertQueue('passing', { autoDelete: true });
    const { consumerTag } = await channel.consume('passing', () => {});
    await channel.cancel(consumerTag);
    assert.equal((await channelError((other) => other.checkQueue('passing'))).code, 404);
  });

  test('purge and delete tell how many messages went', async () => {
    const { queue } = await channel.assertQueue('');
    channel.sendToQueue(queue, Buffer.from('1'));
    channel.sendToQueue(queue, Buffer.from('2'));
    assert.equal((await channel.purgeQueue(queue)).messageCount, 2);
    channel.sendToQueue(queue, Buffer.from('3'));
    const refused = await channelError((other) => other.deleteQueue(queue, { ifEmpty: true }));
    assert.equal(refused.code, 406);
    assert.equal((await channel.deleteQueue(queue)).messageCount, 1);
  });

  test('errors carry the codes and texts that RabbitMQ gives', async () => {
    await channel.assertQueue('settled', { durable: false });
    await channel.assertQueue('short', { maxLength: 1 });
    await channel.assertQueue('private', { exclusive: true });
    const other = await amqplib.connect(`amqp://127.0.0.1:${broker.ports.amqp}`);
    const stranger = await other.createChannel();
    const locked = once(stranger, 'error');
    stranger.checkQueue('private').catch(() => {});
    assert.equal((await locked)[0].code, 405);
    await other.close();
    const cases: [number, string, (channel: Channel) => unknown][] = [
      [
        406,
        "inequivalent arg 'durable' for queue 'settled' in vhost '/': received 'true' but current is 'false'",
        (failing) => failing.assertQueue('settled', { durable: true }),
      ],
      [
        406,
        "inequivalent arg 'x-max-length' for queue 'short' in vhost '/': received '2' but current is '1'",
        (failing) => failing.assertQueue('short', { maxLength: 2 }),
      ],
      [404, "no exchange 'nowhere' in vhost '/'", (failing) => failing.publish('nowhere', '', Buffer.from('m'))],
      [403, "contains reserved prefix 'amq.*'", (failing) => failing.assertQueue('amq.mine')],
      [403, "contains reserved prefix 'amq.*'", (failing) => failing.assertExchange('amq.mine', 'direct')],
      [404, "no queue 'nowhere' in vhost '/'", (failing) => failing.consume('nowhere', () => {})],
    ];
    for (const [code, text, act] of cases) {
      const error = await channelError(act);
      assert.equal(error.code, code);
      assert.ok(error.message.includes(text), error.message);
    }
    await channel.deleteQueue('settled');
    await channel.deleteQueue('short');
  });

  test('an exclusive consumer is alone', async () => {
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.consume(queue, () => {}, { exclusive: true });
    const refused = await channelError((other) => other.consume(queue, () => {}));
    assert.equal(refused.code, 403);
  });

  test('wrong credentials are refused', async () => {
    await assert.rejects(amqplib.connect(`amqp://guest:wrong@127.0.0.1:${broker.ports.amqp}`), /403/);
  });
});
