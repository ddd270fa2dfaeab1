// Checks of expiry: of messages by their own TTL and their queue's, and of unused queues. A check sees an expiry by its
// dead letter, so that it waits no longer than needed. That a message is gone is checked once one with a longer TTL has
// expired in another queue.

import assert from 'node:assert/strict';
import { type AmqpTest, amqp, EXTENSION } from '../amqp-check.ts';
import type { AmqpChannel } from '../wire/channel.ts';
import { int, type Table, text } from '../wire/table.ts';

const SECTION = 'RabbitMQ: TTL';

/** Arguments of a queue with that dead letter queue. */
const deadTo = (queue: string): Table => ({
  'x-dead-letter-exchange': text(''),
  'x-dead-letter-routing-key': text(queue),
});

/** A queue whose dead letters the channel consumes. */
async function dying(t: AmqpTest, channel: AmqpChannel, args: Table = {}): Promise<string> {
  const dead = await t.queue(channel);
  await channel.consume(dead, { noAck: true });
  return await t.queue(channel, { arguments: { ...deadTo(dead), ...args } });
}

/** Waits until `ms` have passed by the broker's clock: until a message with that TTL has expired. */
async function passed(t: AmqpTest, ms: number): Promise<void> {
  const channel = await t.channel();
  const queue = await dying(t, channel);
  channel.publish({ routingKey: queue, body: 'over', properties: { expiration: `${ms}` } });
  await channel.delivery('over');
}

export const EXPIRY_CHECKS = [
  amqp('expiry.message', SECTION, EXTENSION, 'a message leaves the queue when its expiration is over', async (t) => {
    const channel = await t.channel();
    const queue = await dying(t, channel);
    channel.publish({ routingKey: queue, body: 'm', properties: { expiration: '20' } });
    await channel.delivery('m');
    await channel.getEmpty(queue);
  }),
  amqp(
    'expiry.queue',
    SECTION,
    EXTENSION,
    'a message leaves a queue with x-message-ttl when that is over',
    async (t) => {
      const channel = await t.channel();
      const queue = await dying(t, channel, { 'x-message-ttl': int(20) });
      channel.publish({ routingKey: queue, body: 'm' });
      await channel.delivery('m');
      await channel.getEmpty(queue);
    },
  ),
  amqp('expiry.smaller', SECTION, EXTENSION, 'the smaller of both times counts', async (t) => {
    const channel = await t.channel();
    const queue = await dying(t, channel, { 'x-message-ttl': int(40) });
    channel.publish({ routingKey: queue, body: 'own', properties: { expiration: '20' } });
    channel.publish({ routingKey: queue, body: 'queue', properties: { expiration: '3600000' } });
    for (const body of ['own', 'queue']) await channel.delivery(body);
  }),
  amqp(
    'expiry.kept',
    SECTION,
    EXTENSION,
    'a message that has time left is delivered with its expiration',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel, { arguments: { 'x-message-ttl': int(3_600_000) } });
      channel.publish({ routingKey: queue, body: 'm', properties: { expiration: '60000' } });
      const { content } = await channel.get(queue, { body: 'm' });
      assert.equal(content.properties.expiration, '60000');
    },
  ),
  amqp('expiry.by-queue', SECTION, EXTENSION, 'one message has a time of its own in each of its queues', async (t) => {
    const channel = await t.channel();
    const exchange = await t.exchange(channel, 'fanout');
    const short = await dying(t, channel, { 'x-message-ttl': int(20) });
    const long = await t.queue(channel, { arguments: { 'x-message-ttl': int(3_600_000) } });
    for (const queue of [short, long]) await channel.call('queue.bind', { exchange, queue });
    channel.publish({ exchange, body: 'm' });
    await channel.delivery('m');
    await channel.get(long, { body: 'm' });
  }),
  amqp('expiry.zero.consumer', SECTION, EXTENSION, 'a time of 0 lets a ready consumer have the message', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel, { arguments: { 'x-message-ttl': int(0) } });
    await channel.consume(queue, { noAck: true });
    channel.publish({ routingKey: queue, body: 'm', properties: { expiration: '0' } });
    await channel.delivery('m');
  }),
  amqp('expiry.zero', SECTION, EXTENSION, 'with a time of 0 and no consumer the message is gone', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel, { arguments: { 'x-message-ttl': int(0) } });
    channel.publish({ routingKey: queue, body: 'm' });
    await channel.getEmpty(queue);
  }),
  amqp(
    'expiry.head',
    SECTION,
    EXTENSION,
    'an expired message is not delivered, even if it waited behind one without expiration',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      channel.publish({ routingKey: queue, body: 'stays' });
      channel.publish({ routingKey: queue, body: 'late', properties: { expiration: '10' } });
      channel.publish({ routingKey: queue, body: 'next' });
      await passed(t, 50);
      for (const body of ['stays', 'next']) await channel.get(queue, { body });
      await channel.getEmpty(queue);
    },
  ),
  amqp('expiry.requeued', SECTION, EXTENSION, 'returning a message does not extend its expiration', async (t) => {
    const channel = await t.channel();
    const queue = await dying(t, channel);
    channel.publish({ routingKey: queue, body: 'm', properties: { expiration: '30' } });
    const { args } = await channel.get(queue, { noAck: false, body: 'm' });
    await passed(t, 60);
    channel.send('basic.reject', { deliveryTag: args.deliveryTag, requeue: true });
    const { content } = await channel.delivery('m');
    assert.deepEqual(content.properties.headers?.['x-first-death-reason'], text('expired'));
    await channel.getEmpty(queue);
  }),
  amqp('expiry.unacked', SECTION, EXTENSION, 'a message that is out with a client does not expire', async (t) => {
    const channel = await t.channel();
    const queue = await dying(t, channel);
    channel.publish({ routingKey: queue, body: 'm', properties: { expiration: '10' } });
    const message = await channel.get(queue, { noAck: false, body: 'm' });
    await passed(t, 50);
    channel.ack(message);
    await channel.expectSilence();
  }),
  amqp('expiry.tx', SECTION, EXTENSION, 'the time of a transacted publish counts from the commit', async (t) => {
    const channel = await t.channel();
    const queue = await dying(t, channel);
    await channel.call('tx.select');
    channel.publish({ routingKey: queue, body: 'm', properties: { expiration: '30' } });
    await passed(t, 60);
    await channel.expectSilence();
    await channel.call('tx.commit');
    await channel.delivery('m');
  }),
  amqp(
    'expiry.restart',
    SECTION,
    EXTENSION,
    'a time that is over after a restart is over',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      await channel.call('confirm.select');
      for (const expiration of ['1', '3600000']) {
        channel.publish({ routingKey: queue, body: expiration, properties: { deliveryMode: 2, expiration } });
        await channel.expect('basic.ack');
      }
      await t.context.controls.restart!();
      const again = await t.channel();
      await passed(t, 5);
      const { content } = await again.get(queue, { body: '3600000' });
      assert.equal(content.properties.expiration, '3600000');
      await again.getEmpty(queue);
    },
    { needs: 'restart' },
  ),
  amqp('queue.expires', SECTION, EXTENSION, 'a queue with x-expires is gone when it was unused so long', async (t) => {
    const channel = await t.channel();
    const queue = t.name();
    await channel.call('queue.declare', { queue, arguments: { 'x-expires': int(20) } });
    await passed(t, 150);
    channel.send('queue.declare', { queue, passive: true });
    await channel.expectClose(404);
  }),
  amqp(
    'queue.expires.consumer',
    SECTION,
    EXTENSION,
    'a queue with x-expires stays while it has a consumer',
    async (t) => {
      const channel = await t.channel();
      const queue = t.name();
      // Sent together: a round trip between them may take longer than the queue's time.
      channel.send('queue.declare', { queue, arguments: { 'x-expires': int(20) } });
      channel.send('basic.consume', { queue, noAck: true });
      await channel.expect('queue.declare-ok');
      await channel.expect('basic.consume-ok');
      await passed(t, 150);
      channel.publish({ routingKey: queue, body: 'm' });
      await channel.delivery('m');
    },
  ),
  amqp('queue.expires.used', SECTION, EXTENSION, 'declaring a queue, or getting from it, uses it', async (t) => {
    const channel = await t.channel();
    const queue = t.name();
    const args = { queue, arguments: { 'x-expires': int(1_500) } };
    await channel.call('queue.declare', args);
    await passed(t, 500);
    await channel.call('queue.declare', args);
    await passed(t, 500);
    await channel.call('queue.declare', { queue, passive: true });
    await passed(t, 500);
    await channel.getEmpty(queue);
    await passed(t, 500);
    await channel.call('queue.declare', { queue, passive: true });
  }),
];
