// Checks of channel open, close and flow, of connection close, and of what is ignored after a close.

import assert from 'node:assert/strict';
import type { Check } from '../../check.ts';
import { amqp, EXTENSION, MUST } from '../amqp-check.ts';
import { AmqpChannel } from '../wire/channel.ts';
import { bool, table } from '../wire/table.ts';

export const CHANNEL_CHECKS: readonly Check[] = [
  amqp('connection.close.client', '1.4.2.10', MUST, 'close is answered with close-ok', async (t) => {
    const connection = await t.connect();
    connection.send(0, 'connection.close', { replyCode: 200, replyText: 'bye' });
    await connection.expect(0, 'connection.close-ok');
  }),
  amqp('connection.close.early', '1.4.2.10', MUST, 'close is answered before open, too', async (t) => {
    const connection = await t.dial();
    await connection.login();
    connection.send(0, 'connection.close', { replyCode: 200 });
    await connection.expect(0, 'connection.close-ok');
  }),
  amqp(
    'connection.close.with-channels',
    '1.4.2.10',
    MUST,
    'close of a connection is answered with close-ok while its channels are open and consume',
    async (t) => {
      const channel = await t.channel();
      await channel.consume(await t.queue(channel));
      channel.connection.send(0, 'connection.close', { replyCode: 200 });
      await channel.connection.expect(0, 'connection.close-ok');
    },
  ),
  amqp(
    'connection.close.discards',
    '1.4.2.10.1',
    MUST,
    'methods after a close of the broker are discarded, and close is answered with close-ok',
    async (t) => {
      const connection = await t.connect();
      connection.send(1, 'queue.declare', { queue: t.name() });
      connection.send(1, 'channel.open');
      connection.send(2, 'channel.open');
      const { args } = await connection.expect(0, 'connection.close');
      assert.equal(args.replyCode, 504);
      connection.send(3, 'channel.open');
      connection.send(0, 'connection.close', { replyCode: 200 });
      await connection.expect(0, 'connection.close-ok');
      for (const channel of [1, 3]) connection.expectNothing(channel);
    },
  ),
  amqp('connection.close.names-method', '1.4.2.10', MUST, 'close names the method that provoked it', async (t) => {
    const connection = await t.connect();
    connection.send(1, 'basic.qos');
    const { classId, methodId } = await connection.expectClose(504);
    assert.deepEqual([classId, methodId], [60, 10]);
  }),
  amqp(
    'connection.update-secret',
    'RabbitMQ: update-secret',
    EXTENSION,
    'update-secret is answered with update-secret-ok, and the connection continues',
    async (t) => {
      const connection = await t.connect();
      await connection.call(0, 'connection.update-secret', {
        newSecret: t.context.endpoint.password,
        reason: 'conformance',
      });
      await t.channel(connection);
    },
  ),
  amqp(
    'connection.blocked',
    'RabbitMQ: Blocked connections',
    EXTENSION,
    'a publisher gets connection.blocked and connection.unblocked; then its publishes are confirmed',
    async (t) => {
      const channel = await t.channel();
      const { connection } = channel;
      const queue = await t.queue(channel);
      await channel.call('confirm.select');
      channel.publish({ routingKey: queue, body: 'before' });
      await channel.expect('basic.ack');
      const other = await t.channel();
      await t.context.controls.block!(true);
      try {
        assert.notEqual((await connection.expect(0, 'connection.blocked')).args.reason, '');
        channel.publish({ routingKey: queue, body: 'during' });
        // A broker answers this after everything sent before on any connection, if it reads that connection.
        await other.expectSilence();
      } finally {
        await t.context.controls.block!(false);
      }
      const { order } = await connection.expect(0, 'connection.unblocked');
      assert.ok((await channel.expect('basic.ack')).order > order, 'it was confirmed while it was blocked');
    },
    { needs: 'block' },
  ),
  amqp(
    'connection.blocked.unasked',
    'RabbitMQ: Blocked connections',
    EXTENSION,
    'a client that does not know connection.blocked is not told',
    async (t) => {
      const capabilities = table({ 'connection.blocked': bool(false) });
      const connection = await t.connect({ clientProperties: { capabilities } });
      const channel = await t.channel(connection);
      await t.context.controls.block!(true);
      await t.context.controls.block!(false);
      await channel.expectSilence();
      connection.expectNothing(0);
    },
    { needs: 'block' },
  ),
  amqp(
    'connection.blocked.consumers',
    'RabbitMQ: Blocked connections',
    EXTENSION,
    'a connection that only consumes gets deliveries while publishers are blocked',
    async (t) => {
      const publisher = await t.channel();
      const queue = await t.sharedQueue(publisher);
      await publisher.call('confirm.select');
      publisher.publish({ routingKey: queue, body: 'm' });
      await publisher.expect('basic.ack');
      const consumer = await t.channel();
      await t.context.controls.block!(true);
      try {
        await publisher.connection.expect(0, 'connection.blocked');
        await consumer.consume(queue, { noAck: true });
        await consumer.delivery('m');
      } finally {
        await t.context.controls.block!(false);
      }
    },
    { needs: 'block' },
  ),

  amqp('channel.open', '1.5.2.1', MUST, 'open is answered with open-ok', async (t) => {
    const connection = await t.connect();
    const { reserved1 } = await connection.call(1, 'channel.open');
    assert.equal(reserved1, '');
  }),
  amqp(
    'channel.open.twice',
    '1.5.2.1',
    MUST,
    'an open of an open channel closes the connection with 504',
    async (t) => {
      const channel = await t.channel();
      channel.send('channel.open');
      await channel.connection.expectClose(504, /^CHANNEL_ERROR - second 'channel.open' seen$/);
    },
  ),
  amqp('channel.open.any-number', '1.5.2.1', MUST, 'channels may be opened by any number, in any order', async (t) => {
    const connection = await t.connect();
    for (const number of [2047, 5, 1024, 1]) {
      const channel = await t.channel(connection, number);
      await channel.expectSilence();
    }
  }),
  amqp(
    'channel.open.all',
    '1.4.2.5.1',
    MUST,
    'as many channels as the broker has offered can be open at once',
    async (t) => {
      const connection = await t.dial();
      const { channelMax } = await connection.login();
      const highest = channelMax === 0 ? 2047 : Math.min(channelMax, 2047);
      connection.send(0, 'connection.tune-ok', { channelMax, frameMax: 4096, heartbeat: 0 });
      connection.send(0, 'connection.open', { virtualHost: '/' });
      await connection.expect(0, 'connection.open-ok');
      for (let number = 1; number <= highest; number++) connection.send(number, 'channel.open');
      for (let number = 1; number <= highest; number++) await connection.expect(number, 'channel.open-ok');
      await new AmqpChannel(connection, highest).expectSilence();
    },
    { slow: true },
  ),
  amqp('channel.unopened', '1.2', MUST, 'a method on a channel that is not open closes with 504', async (t) => {
    const connection = await t.connect();
    connection.send(7, 'queue.declare', { queue: '' });
    await connection.expectClose(504, /^CHANNEL_ERROR - expected 'channel.open'$/);
  }),
  amqp('channel.close.client', '1.5.2.5', MUST, 'close is answered with close-ok', async (t) => {
    const channel = await t.channel();
    await channel.close();
    channel.connection.expectNothing(1);
  }),
  amqp('channel.close.reopen', '1.5.2.5', MUST, 'the number of a closed channel may be opened again', async (t) => {
    const channel = await t.channel();
    await channel.close();
    const again = await t.channel(channel.connection);
    await again.expectSilence();
  }),
  amqp(
    'channel.close.used-after',
    '1.2',
    MUST,
    'a method on a channel after its close-ok closes the connection with 504',
    async (t) => {
      const channel = await t.channel();
      await channel.close();
      channel.send('basic.qos');
      await channel.connection.expectClose(504);
    },
  ),
  amqp(
    'channel.close.discards',
    '1.5.2.5.1',
    MUST,
    'methods and content after a close of the broker are discarded until close-ok',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      channel.send('queue.declare', { queue: t.context.name(), passive: true });
      channel.publish({ routingKey: queue, body: 'discarded' });
      channel.send('queue.purge', { queue });
      await channel.expectClose(404);
      const again = await t.channel(channel.connection);
      assert.equal((await again.count(queue)).messageCount, 0);
      again.connection.expectNothing(1);
    },
  ),
  amqp(
    'channel.close.crossing',
    '1.5.2.5.1',
    MUST,
    'a close that crosses the close of the broker is answered with close-ok',
    async (t) => {
      const channel = await t.channel();
      channel.send('queue.declare', { queue: t.context.name(), passive: true });
      channel.send('channel.close', { replyCode: 200 });
      await channel.expect('channel.close');
      await channel.expect('channel.close-ok');
      channel.send('channel.close-ok');
      const other = await t.channel(channel.connection, 2);
      await other.expectSilence();
    },
  ),
  amqp('channel.close.names-method', '1.5.2.5', MUST, 'close names the method that provoked it', async (t) => {
    const channel = await t.channel();
    channel.send('queue.declare', { queue: t.context.name(), passive: true });
    const { classId, methodId } = await channel.expectClose(404);
    assert.deepEqual([classId, methodId], [50, 10]);
  }),
  amqp('channel.close.others-live', '1.2', MUST, 'an error of one channel leaves the others alone', async (t) => {
    const channel = await t.channel();
    const other = await t.channel(channel.connection, 2);
    const queue = await t.queue(other);
    channel.send('queue.declare', { queue: t.context.name(), passive: true });
    await channel.expectClose(404);
    other.publish({ routingKey: queue, body: 'still here' });
    await other.get(queue, { body: 'still here' });
  }),
  amqp('channel.flow.active', '1.5.2.3', MUST, 'flow active is answered with flow-ok active', async (t) => {
    const channel = await t.channel();
    assert.equal((await channel.call('channel.flow', { active: true })).active, true);
  }),
  amqp(
    'channel.flow.inactive',
    '1.5.2.3',
    MUST,
    'flow inactive is answered with flow-ok, or with 540 by a broker that leaves flow to prefetch',
    async (t) => {
      const channel = await t.channel();
      channel.send('channel.flow', { active: false });
      await channel.connection.until(
        () => channel.connection.has(0) || channel.connection.has(1),
        'flow-ok or a close',
      );
      if (channel.connection.has(0)) await channel.connection.expectClose(540);
      else assert.equal((await channel.expect('channel.flow-ok')).args.active, false);
    },
  ),
  amqp(
    'channel.interleaved',
    '4.2.6',
    MUST,
    'contents of several channels may interleave frame by frame, both ways',
    async (t) => {
      const one = await t.channel();
      const { connection } = one;
      const two = await t.channel(connection, 2);
      const queues = [await t.queue(one), await t.queue(two)] as const;
      one.send('basic.publish', { routingKey: queues[0] });
      two.send('basic.publish', { routingKey: queues[1] });
      connection.header(1, 6);
      connection.header(2, 6);
      connection.body(1, Buffer.from('one'));
      connection.body(2, Buffer.from('two'));
      connection.body(1, Buffer.from('ONE'));
      connection.body(2, Buffer.from('TWO'));
      await one.get(queues[0], { body: 'oneONE' });
      await two.get(queues[1], { body: 'twoTWO' });
    },
  ),
  amqp('channel.order', '4.7', MUST, 'methods of one channel are executed in their order', async (t) => {
    const channel = await t.channel();
    const queue = t.name();
    for (let i = 0; i < 5; i++) {
      channel.send('queue.declare', { queue });
      channel.publish({ routingKey: queue });
      channel.send('queue.delete', { queue });
    }
    for (let i = 0; i < 5; i++) {
      assert.equal((await channel.expect('queue.declare-ok')).args.messageCount, 0);
      assert.equal((await channel.expect('queue.delete-ok')).args.messageCount, 1);
    }
  }),
];
