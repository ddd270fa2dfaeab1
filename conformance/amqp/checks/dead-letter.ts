// Checks of dead letters: which messages become one, their x-death headers, and where they are routed.

import assert from 'node:assert/strict';
import { type AmqpTest, amqp, EXTENSION } from '../amqp-check.ts';
import type { AmqpChannel } from '../wire/channel.ts';
import type { Properties } from '../wire/methods.ts';
import { int, list, type Table, table, text, type Value } from '../wire/table.ts';

const SECTION = 'RabbitMQ: Dead letter exchanges';

const deadTo = (queue: string): Table => ({
  'x-dead-letter-exchange': text(''),
  'x-dead-letter-routing-key': text(queue),
});

/** A queue, and its dead letter queue, which the channel consumes. */
async function mortal(t: AmqpTest, channel: AmqpChannel, args: Table = {}): Promise<{ queue: string; dead: string }> {
  const dead = await t.queue(channel);
  await channel.consume(dead, { noAck: true });
  return { dead, queue: await t.queue(channel, { arguments: { ...deadTo(dead), ...args } }) };
}

/** Takes the next message and rejects it. */
async function reject(channel: AmqpChannel, queue: string): Promise<void> {
  const { args } = await channel.get(queue, { noAck: false });
  channel.send('basic.reject', { deliveryTag: args.deliveryTag });
}

/** The elements of x-death. */
function deaths(properties: Properties): Table[] {
  const field = properties.headers?.['x-death'];
  assert.equal(field?.type, 'A', 'x-death is an array');
  return (field as Extract<Value, { type: 'A' }>).value.map((each) => {
    assert.equal(each.type, 'F', 'of tables');
    return (each as Extract<Value, { type: 'F' }>).value;
  });
}

const story = (properties: Properties): string[] =>
  deaths(properties).map(({ queue, reason, count }) => {
    const [where, why] = [queue, reason].map((field) => (field as { value: string }).value);
    return `${where} ${why} ${(count as { value: bigint }).value}`;
  });

export const DEAD_LETTER_CHECKS = [
  amqp(
    'dead-letter.nack',
    SECTION,
    EXTENSION,
    'messages that are nacked together die together, in order',
    async (t) => {
      const channel = await t.channel();
      const { queue } = await mortal(t, channel);
      for (const body of ['1', '2', '3']) channel.publish({ routingKey: queue, body });
      for (const body of ['1', '2', '3']) await channel.get(queue, { noAck: false, body });
      channel.send('basic.nack', { deliveryTag: 3n, multiple: true, requeue: false });
      for (const body of ['1', '2', '3']) await channel.delivery(body);
    },
  ),
  amqp(
    'dead-letter.properties',
    SECTION,
    EXTENSION,
    'a dead letter has x-death headers and is otherwise unchanged',
    async (t) => {
      const channel = await t.channel();
      const { queue, dead } = await mortal(t, channel);
      const before = Math.floor(Date.now() / 1000);
      const properties = { messageId: 'm', priority: 3, deliveryMode: 2, expiration: '20', headers: { a: int(1) } };
      channel.publish({ routingKey: queue, body: 'm', properties });
      const { args, content } = await channel.delivery('m');
      assert.deepEqual([args.exchange, args.routingKey, args.redelivered], ['', dead, false]);
      const { headers, ...others } = content.properties;
      assert.deepEqual(others, { messageId: 'm', priority: 3, deliveryMode: 2 });
      assert.deepEqual(headers!.a, int(1));
      const [{ time, ...death }] = deaths(content.properties) as [Table];
      assert.deepEqual(death, {
        count: { type: 'l', value: 1n },
        reason: text('expired'),
        queue: text(queue),
        exchange: text(''),
        'routing-keys': list(text(queue)),
        'original-expiration': text('20'),
      });
      assert.equal(time?.type, 'T');
      const seconds = Number((time as { value: bigint }).value);
      assert.ok(seconds >= before - 1 && seconds <= Date.now() / 1000 + 1, `time is ${seconds}`);
      for (const [name, value] of Object.entries({ reason: 'expired', queue, exchange: '' })) {
        assert.deepEqual(headers![`x-first-death-${name}`], text(value));
      }
    },
  ),
  amqp('dead-letter.maxlen', SECTION, EXTENSION, 'a message that makes room is a dead letter', async (t) => {
    const channel = await t.channel();
    const { queue } = await mortal(t, channel, { 'x-max-length': int(1) });
    channel.publish({ routingKey: queue, body: '1' });
    channel.publish({ routingKey: queue, body: '2' });
    const { content } = await channel.delivery('1');
    assert.deepEqual(story(content.properties), [`${queue} maxlen 1`]);
    await channel.get(queue, { body: '2' });
  }),
  amqp(
    'dead-letter.reject-publish',
    SECTION,
    EXTENSION,
    'reject-publish-dlx nacks and takes the message along',
    async (t) => {
      const channel = await t.channel();
      const overflow = { 'x-max-length': int(1), 'x-overflow': text('reject-publish-dlx') };
      const { queue } = await mortal(t, channel, overflow);
      const publisher = await t.channel(channel.connection, 2);
      await publisher.call('confirm.select');
      publisher.publish({ routingKey: queue, body: '1' });
      await publisher.expect('basic.ack');
      publisher.publish({ routingKey: queue, body: '2' });
      await publisher.expect('basic.nack');
      const { content } = await channel.delivery('2');
      assert.deepEqual(story(content.properties), [`${queue} maxlen 1`]);
      await channel.get(queue, { body: '1' });
    },
  ),
  amqp('dead-letter.own-key', SECTION, EXTENSION, 'without a key of the queue the message keeps its own', async (t) => {
    const channel = await t.channel();
    const exchange = await t.exchange(channel, 'direct');
    const dead = await t.queue(channel);
    const queue = await t.queue(channel, { arguments: { 'x-dead-letter-exchange': text(exchange) } });
    await channel.call('queue.bind', { exchange, queue: dead, routingKey: queue });
    await channel.consume(dead, { noAck: true });
    channel.publish({ routingKey: queue, body: 'm' });
    await reject(channel, queue);
    const { args } = await channel.delivery('m');
    assert.deepEqual([args.exchange, args.routingKey], [exchange, queue]);
  }),
  amqp(
    'dead-letter.cc',
    SECTION,
    EXTENSION,
    'CC keys route a dead letter unless its queue has a dead letter routing key',
    async (t) => {
      const channel = await t.channel();
      const exchange = await t.exchange(channel, 'direct');
      const dead = await t.queue(channel);
      await channel.call('queue.bind', { exchange, queue: dead, routingKey: 'copy' });
      await channel.consume(dead, { noAck: true });
      const properties = { headers: { CC: list(text('copy')) } };
      for (const [key, args] of [
        ['own', { 'x-dead-letter-exchange': text(exchange) }],
        ['readdressed', { 'x-dead-letter-exchange': text(exchange), 'x-dead-letter-routing-key': text('copy') }],
      ] as const) {
        const queue = await t.queue(channel, { arguments: args });
        channel.publish({ routingKey: queue, body: key, properties });
        await reject(channel, queue);
        const { content } = await channel.delivery(key);
        assert.equal(content.properties.headers?.CC?.type, key === 'own' ? 'A' : undefined);
        assert.deepEqual(deaths(content.properties)[0]!['routing-keys'], list(text(queue), text('copy')));
      }
    },
  ),
  amqp(
    'dead-letter.no-exchange',
    SECTION,
    EXTENSION,
    'a dead letter without an exchange to go to is dropped',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel, { arguments: { 'x-dead-letter-exchange': text(t.name()) } });
      channel.publish({ routingKey: queue, body: 'm' });
      await reject(channel, queue);
      await channel.getEmpty(queue);
      await channel.expectSilence();
    },
  ),
  amqp('dead-letter.later', SECTION, EXTENSION, 'the exchange may be declared after the queue', async (t) => {
    const channel = await t.channel();
    const exchange = t.name();
    const queue = await t.queue(channel, { arguments: { 'x-dead-letter-exchange': text(exchange) } });
    await channel.call('exchange.declare', { exchange, type: 'fanout' });
    const dead = await t.queue(channel);
    await channel.call('queue.bind', { exchange, queue: dead });
    await channel.consume(dead, { noAck: true });
    channel.publish({ routingKey: queue, body: 'm' });
    await reject(channel, queue);
    await channel.delivery('m');
  }),
  amqp(
    'dead-letter.again',
    SECTION,
    EXTENSION,
    'deaths are counted by queue and reason, the latest in front',
    async (t) => {
      const channel = await t.channel();
      const [first, second] = [t.context.name(), t.context.name()];
      await t.queue(channel, { queue: first, arguments: deadTo(second) });
      await t.queue(channel, { queue: second, arguments: { ...deadTo(first), 'x-message-ttl': int(10) } });
      await channel.consume(first);
      channel.publish({ routingKey: first, body: 'm' });
      const stories: string[][] = [];
      for (let round = 0; round < 3; round++) {
        const { args, content } = await channel.delivery('m');
        if (round > 0) stories.push(story(content.properties));
        if (round > 0) assert.deepEqual(content.properties.headers!['x-first-death-queue'], text(first));
        channel.send('basic.reject', { deliveryTag: args.deliveryTag });
      }
      assert.deepEqual(stories, [
        [`${second} expired 1`, `${first} rejected 1`],
        [`${second} expired 2`, `${first} rejected 2`],
      ]);
    },
  ),
  amqp('dead-letter.cycle', SECTION, EXTENSION, 'a message does not go round by itself', async (t) => {
    const channel = await t.channel();
    const [first, second] = [t.context.name(), t.context.name()];
    const exchange = await t.exchange(channel, 'fanout');
    const witness = await t.queue(channel);
    await t.queue(channel, { queue: first, arguments: { ...deadTo(second), 'x-message-ttl': int(10) } });
    const onwards = { 'x-dead-letter-exchange': text(exchange), 'x-message-ttl': int(10) };
    await t.queue(channel, { queue: second, arguments: onwards });
    for (const queue of [witness, first]) await channel.call('queue.bind', { exchange, queue });
    await channel.consume(witness, { noAck: true });
    channel.publish({ routingKey: first, body: 'm' });
    // The message expires in both queues and reaches the witness, but must not return to the first queue: then the
    // witness would get it twice.
    const { content } = await channel.delivery('m');
    assert.deepEqual(story(content.properties), [`${second} expired 1`, `${first} expired 1`]);
    const ticking = await t.channel(channel.connection, 2);
    const clock = await mortal(t, ticking, { 'x-message-ttl': int(100) });
    ticking.publish({ routingKey: clock.queue, body: 'over' });
    await ticking.delivery('over');
    await channel.expectSilence();
  }),
  amqp('dead-letter.confirm', SECTION, EXTENSION, 'a message that dies at once is confirmed', async (t) => {
    const channel = await t.channel();
    const dead = await t.sharedQueue(channel);
    const args = { ...deadTo(dead), 'x-message-ttl': int(0) };
    const queue = await t.sharedQueue(channel, { arguments: args });
    await channel.call('confirm.select');
    channel.publish({ routingKey: queue, body: 'm', properties: { deliveryMode: 2 } });
    await channel.expect('basic.ack');
    await channel.consume(dead, { noAck: true });
    await channel.delivery('m');
  }),
  amqp(
    'dead-letter.tx',
    SECTION,
    EXTENSION,
    'a rejection in a transaction makes a dead letter at its commit',
    async (t) => {
      const channel = await t.channel();
      const { queue } = await mortal(t, channel);
      const other = await t.channel(channel.connection, 2);
      await other.call('tx.select');
      channel.publish({ routingKey: queue, body: 'm' });
      await channel.count(queue);
      const { args } = await other.get(queue, { noAck: false, body: 'm' });
      other.send('basic.reject', { deliveryTag: args.deliveryTag });
      await other.count(queue);
      await channel.expectSilence();
      await other.call('tx.commit');
      const { content } = await channel.delivery('m');
      assert.deepEqual(story(content.properties), [`${queue} rejected 1`]);
    },
  ),
  amqp('dead-letter.written-by-client', SECTION, EXTENSION, 'an x-death of a client is counted on', async (t) => {
    const channel = await t.channel();
    const { queue } = await mortal(t, channel);
    const event = (where: string, count: bigint): Value =>
      table({ queue: text(where), reason: text('rejected'), count: { type: 'l', value: count } });
    const headers = { 'x-death': list(event('elsewhere', 2n), event(queue, 7n)) };
    channel.publish({ routingKey: queue, body: 'm', properties: { headers } });
    await reject(channel, queue);
    const { content } = await channel.delivery('m');
    assert.deepEqual(story(content.properties), [`${queue} rejected 8`, 'elsewhere rejected 2']);
  }),
  amqp(
    'dead-letter.earlier-versions',
    SECTION,
    EXTENSION,
    'an x-death without counts, with an element for each death, is counted by queue and reason',
    async (t) => {
      const channel = await t.channel();
      const { queue } = await mortal(t, channel);
      const event = (where: string): Value => table({ queue: text(where), reason: text('expired') });
      const earlier = Array.from({ length: 22 }, (_, i) => event(`q${i % 5}`));
      channel.publish({ routingKey: queue, body: 'm', properties: { headers: { 'x-death': list(...earlier) } } });
      await reject(channel, queue);
      const { content } = await channel.delivery('m');
      const [latest, ...others] = story(content.properties);
      assert.equal(latest, `${queue} rejected 1`);
      assert.deepEqual(others.sort(), ['q0 expired 5', 'q1 expired 5', 'q2 expired 4', 'q3 expired 4', 'q4 expired 4']);
    },
  ),
  amqp(
    'dead-letter.restart',
    SECTION,
    EXTENSION,
    'dead letters survive a restart, with their history',
    async (t) => {
      const channel = await t.channel();
      const dead = await t.sharedQueue(channel);
      const queue = await t.sharedQueue(channel, { arguments: { ...deadTo(dead), 'x-message-ttl': int(10) } });
      await channel.call('confirm.select');
      channel.publish({ routingKey: queue, body: 'm', properties: { deliveryMode: 2 } });
      await channel.expect('basic.ack');
      await channel.consume(dead);
      await channel.delivery('m');
      await t.context.controls.restart!();
      const again = await t.channel();
      await again.consume(dead, { noAck: true });
      const { content } = await again.delivery('m');
      assert.deepEqual(story(content.properties), [`${queue} expired 1`]);
    },
    { needs: 'restart' },
  ),
  amqp(
    'permission.dead-letter',
    SECTION,
    EXTENSION,
    'declaring a queue with a dead letter exchange needs read permission on the queue and write permission on the exchange',
    async (t) => {
      for (const [permissions, words] of [
        [['.*', '', '.*'], /^ACCESS_REFUSED - write access to exchange 'amq\.fanout'/],
        [['.*', '.*', ''], /^ACCESS_REFUSED - read access to queue /],
      ] as const) {
        const user = t.context.name();
        await t.context.controls.createUser!(user, 'secret', permissions);
        const channel = await t.channel(await t.connect({ user, password: 'secret' }));
        channel.send('queue.declare', { queue: t.name(), arguments: { 'x-dead-letter-exchange': text('amq.fanout') } });
        await channel.expectClose(403, words);
      }
    },
    { needs: 'createUser' },
  ),
];
