// Checks of consumers: tags, deliveries, prefetch, exclusive consumers, priorities, cancel by either side, and get.

import assert from 'node:assert/strict';
import type { Check } from '../../check.ts';
import { amqp, EXTENSION, MUST, SHOULD } from '../amqp-check.ts';
import { bool, int, table, text } from '../wire/table.ts';

export const CONSUME_CHECKS: readonly Check[] = [
  amqp(
    'consume.deliver',
    '1.8.3.13',
    MUST,
    'a delivery has consumer tag, delivery tag, exchange and routing key, and the message',
    async (t) => {
      const channel = await t.channel();
      const exchange = await t.exchange(channel, 'direct');
      const queue = await t.queue(channel);
      await channel.call('queue.bind', { queue, exchange, routingKey: 'k' });
      const consumerTag = await channel.consume(queue, { consumerTag: 'me' });
      assert.equal(consumerTag, 'me');
      channel.publish({ exchange, routingKey: 'k', body: 'm' });
      const { args } = await channel.delivery('m');
      assert.deepEqual(args, { consumerTag, deliveryTag: 1n, redelivered: false, exchange, routingKey: 'k' });
    },
  ),
  amqp(
    'consume.backlog',
    '1.8.3.3',
    MUST,
    'a consumer gets what the queue had before, in its order, after consume-ok',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      await t.fill(queue, '1', '2', '3');
      await channel.consume(queue, { noAck: true });
      for (const body of ['1', '2', '3']) await channel.delivery(body);
    },
  ),
  amqp(
    'consume.delivery-tags',
    '1.1',
    MUST,
    'delivery tags of a channel count from 1, over all its consumers',
    async (t) => {
      const channel = await t.channel();
      const queues = [await t.queue(channel), await t.queue(channel)] as const;
      for (const queue of queues) await channel.consume(queue);
      for (let i = 0; i < 4; i++) {
        channel.publish({ routingKey: queues[i % 2]! });
        assert.equal((await channel.delivery()).args.deliveryTag, BigInt(i + 1));
      }
      const other = await t.channel(channel.connection, 2);
      const queue = await t.queue(other);
      other.publish({ routingKey: queue });
      assert.equal((await other.get(queue, { noAck: false })).args.deliveryTag, 1n);
    },
  ),
  amqp('consume.tag.generated', '1.8.3.3.1', MUST, 'an empty consumer tag is replaced by a unique one', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    const tags = [await channel.consume(queue), await channel.consume(queue)];
    assert.ok(tags.every((tag) => tag !== ''));
    assert.notEqual(tags[0], tags[1]);
  }),
  amqp(
    'consume.tag.duplicate',
    '1.8.3.3.1',
    MUST,
    'a consumer tag that the channel has already closes the connection with 530',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      await channel.consume(queue, { consumerTag: 'twice' });
      channel.send('basic.consume', { queue, consumerTag: 'twice' });
      await channel.connection.expectClose(530, /^NOT_ALLOWED - attempt to reuse consumer tag 'twice'$/);
    },
  ),
  amqp(
    'consume.tag.local',
    '1.8.3.3.1',
    MUST,
    'channels may use the same consumer tag for consumers of their own',
    async (t) => {
      const one = await t.channel();
      const two = await t.channel(one.connection, 2);
      const queues = [await t.queue(one), await t.queue(two)] as const;
      await one.consume(queues[0], { consumerTag: 'same', noAck: true });
      await two.consume(queues[1], { consumerTag: 'same', noAck: true });
      one.publish({ routingKey: queues[1], body: 'for two' });
      await two.delivery('for two');
      await one.call('basic.cancel', { consumerTag: 'same' });
      one.publish({ routingKey: queues[1], body: 'still' });
      await two.delivery('still');
    },
  ),
  amqp('consume.no-wait', '1.8.3.3', MUST, 'a consume with no-wait is not answered, and done', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    channel.send('basic.consume', { queue, consumerTag: 'quiet', noAck: true, noWait: true });
    await channel.expectSilence();
    channel.publish({ routingKey: queue, body: 'm' });
    assert.equal((await channel.delivery('m')).args.consumerTag, 'quiet');
  }),
  amqp('consume.many', '1.8.3.3', SHOULD, 'a queue may have more than 16 consumers', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    for (let i = 0; i < 17; i++) await channel.consume(queue);
    assert.equal((await channel.count(queue)).consumerCount, 17);
  }),
  amqp('consume.round-robin', '3.1.4', SHOULD, 'consumers of a queue take turns', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    for (const consumerTag of ['a', 'b', 'c']) await channel.consume(queue, { consumerTag, noAck: true });
    const turns: Record<string, number> = { a: 0, b: 0, c: 0 };
    for (let i = 0; i < 9; i++) channel.publish({ routingKey: queue });
    for (let i = 0; i < 9; i++) turns[(await channel.delivery()).args.consumerTag]!++;
    assert.deepEqual(turns, { a: 3, b: 3, c: 3 });
  }),
  amqp('consume.exclusive', '1.8.3.3.3', MUST, 'an exclusive consumer keeps others out with 403', async (t) => {
    const channel = await t.channel();
    const queue = await t.sharedQueue(channel);
    await channel.consume(queue, { exclusive: true });
    const other = await t.channel();
    other.send('basic.consume', { queue });
    await other.expectClose(403, /^ACCESS_REFUSED - queue '.*' in vhost '\/' in exclusive use$/);
  }),
  amqp(
    'consume.exclusive.late',
    '1.8.3.3.3',
    MUST,
    'a queue with consumers cannot be had exclusively: 403',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      await channel.consume(queue);
      const other = await t.channel();
      other.send('basic.consume', { queue, exclusive: true });
      await other.expectClose(403, /^ACCESS_REFUSED - queue '.*' in vhost '\/' in exclusive use$/);
    },
  ),
  amqp(
    'consume.exclusive.released',
    '1.8.3.3.3',
    MUST,
    'a queue is free again when its exclusive consumer is cancelled',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      const consumerTag = await channel.consume(queue, { exclusive: true });
      await channel.call('basic.cancel', { consumerTag });
      await channel.consume(queue);
    },
  ),
  amqp('consume.no-local', '1.8.3.3', EXTENSION, 'no-local is ignored, as RabbitMQ has it', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    await channel.consume(queue, { noLocal: true, noAck: true });
    channel.publish({ routingKey: queue, body: 'mine' });
    await channel.delivery('mine');
  }),
  amqp(
    'consume.no-ack',
    '1.8',
    MUST,
    'messages delivered to a no-ack consumer leave the queue and are not redelivered',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      await channel.consume(queue, { noAck: true });
      await t.fill(queue, '1', '2');
      for (const body of ['1', '2']) await channel.delivery(body);
      await channel.close();
      const after = await t.channel(channel.connection, 2);
      await after.getEmpty(queue);
    },
  ),
  amqp('consume.no-ack.ack', '1.8.3.13', MUST, 'an ack of a no-ack delivery is refused with 406', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    await channel.consume(queue, { noAck: true });
    channel.publish({ routingKey: queue });
    channel.ack(await channel.delivery());
    await channel.expectClose(406, /^PRECONDITION_FAILED - unknown delivery tag 1$/);
  }),
  amqp('consume.no-ack.prefetch', '1.8.3.1.2', MUST, 'prefetch is ignored for a no-ack consumer', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    await channel.call('basic.qos', { prefetchCount: 1 });
    await channel.consume(queue, { noAck: true });
    for (const body of ['1', '2', '3']) channel.publish({ routingKey: queue, body });
    for (const body of ['1', '2', '3']) await channel.delivery(body);
  }),
  amqp(
    'consume.requeue-on-close',
    '1.8',
    MUST,
    'unacknowledged messages are redelivered, with the mark, when their channel closes',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      await channel.consume(queue);
      await t.fill(queue, '1', '2', '3', '4');
      for (const body of ['1', '2', '3', '4']) {
        const message = await channel.delivery(body);
        if (body < '3') channel.ack(message);
      }
      await channel.close();
      const after = await t.channel(channel.connection, 2);
      for (const body of ['3', '4']) assert.equal((await after.get(queue, { body })).args.redelivered, true);
      await after.getEmpty(queue);
    },
  ),
  amqp(
    'consume.requeue-on-loss',
    '1.1',
    SHOULD,
    'unacknowledged messages are redelivered, with the mark, when their connection is lost',
    async (t) => {
      const waiting = await t.channel();
      const queue = await t.sharedQueue(waiting);
      await t.fill(queue, 'm');
      const lost = await t.channel();
      await lost.consume(queue);
      assert.equal((await lost.delivery('m')).args.redelivered, false);
      lost.connection.socket.destroy();
      await waiting.consume(queue);
      assert.equal((await waiting.delivery('m')).args.redelivered, true);
    },
  ),
  amqp(
    'consume.redelivery-order',
    'RabbitMQ: Consumers',
    EXTENSION,
    'redelivered messages come before newer ones, in their original order',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      await t.fill(queue, '1', '2', '3', '4');
      for (const body of ['1', '2', '3']) await channel.get(queue, { noAck: false, body });
      await channel.close();
      const after = await t.channel(channel.connection, 2);
      for (const body of ['1', '2', '3', '4']) {
        assert.equal((await after.get(queue, { body })).args.redelivered, body < '4');
      }
    },
  ),
  amqp(
    'consume.cancel',
    '1.8.3.5',
    MUST,
    'after cancel-ok nothing is delivered, and new messages stay in the queue',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      const consumerTag = await channel.consume(queue);
      assert.equal((await channel.call('basic.cancel', { consumerTag })).consumerTag, consumerTag);
      channel.publish({ routingKey: queue, body: 'm' });
      await channel.get(queue, { body: 'm' });
    },
  ),
  amqp(
    'consume.cancel.unacked',
    '1.8.3.5',
    MUST,
    'messages of a cancelled consumer may still be acknowledged',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      const consumerTag = await channel.consume(queue);
      for (const body of ['1', '2']) channel.publish({ routingKey: queue, body });
      const messages = [await channel.delivery('1'), await channel.delivery('2')] as const;
      await channel.call('basic.cancel', { consumerTag });
      await channel.getEmpty(queue);
      channel.ack(messages[0]);
      channel.send('basic.reject', { deliveryTag: messages[1].args.deliveryTag, requeue: true });
      await channel.get(queue, { body: '2' });
      await channel.getEmpty(queue);
    },
  ),
  amqp(
    'consume.cancel.unknown',
    '1.8.3.5',
    MUST,
    'a cancel of a tag that is not in use is answered with cancel-ok',
    async (t) => {
      const channel = await t.channel();
      assert.equal((await channel.call('basic.cancel', { consumerTag: 'nobody' })).consumerTag, 'nobody');
    },
  ),
  amqp('consume.cancel.no-wait', '1.8.3.5', MUST, 'a cancel with no-wait is not answered, and done', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    const consumerTag = await channel.consume(queue);
    channel.send('basic.cancel', { consumerTag, noWait: true });
    await channel.expectSilence();
    assert.equal((await channel.count(queue)).consumerCount, 0);
  }),
  amqp(
    'consume.cancel-notify',
    'RabbitMQ: Consumer cancel notification',
    EXTENSION,
    'a consumer is told when its queue is deleted',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      const consumerTag = await channel.consume(queue);
      await (await t.channel()).call('queue.delete', { queue });
      const { args } = await channel.expect('basic.cancel');
      assert.equal(args.consumerTag, consumerTag);
      await channel.expectSilence();
    },
  ),
  amqp(
    'consume.cancel-notify.unasked',
    'RabbitMQ: Consumer cancel notification',
    EXTENSION,
    'a client that does not know consumer_cancel_notify is not told',
    async (t) => {
      const capabilities = table({ consumer_cancel_notify: bool(false) });
      const channel = await t.channel(await t.connect({ clientProperties: { capabilities } }));
      const queue = await t.sharedQueue(channel);
      await channel.consume(queue);
      await (await t.channel()).call('queue.delete', { queue });
      await channel.expectSilence();
    },
  ),
  amqp(
    'consume.priority',
    'RabbitMQ: Consumer priorities',
    EXTENSION,
    'a consumer of a higher x-priority gets messages as long as it takes them',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      await channel.call('basic.qos', { prefetchCount: 2 });
      await channel.consume(queue, { consumerTag: 'low' });
      await channel.consume(queue, { consumerTag: 'high', arguments: { 'x-priority': int(10) } });
      await channel.consume(queue, { consumerTag: 'lowest', arguments: { 'x-priority': int(-5) } });
      for (let i = 0; i < 5; i++) channel.publish({ routingKey: queue });
      const turns: string[] = [];
      for (let i = 0; i < 5; i++) turns.push((await channel.delivery()).args.consumerTag);
      assert.deepEqual(turns, ['high', 'high', 'low', 'low', 'lowest']);
    },
  ),
  amqp(
    'consume.priority.type',
    'RabbitMQ: Consumer priorities',
    EXTENSION,
    'an x-priority that is no number is refused with 406',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      channel.send('basic.consume', { queue, arguments: { 'x-priority': text('high') } });
      await channel.expectClose(406, /^PRECONDITION_FAILED - invalid arg 'x-priority'/);
    },
  ),

  amqp('qos.count', '1.8.3.1.2', MUST, 'unacknowledged messages do not exceed the prefetch count', async (t) => {
    const channel = await t.channel();
    const queue = await t.sharedQueue(channel);
    await t.fill(queue, '1', '2', '3', '4');
    await channel.call('basic.qos', { prefetchCount: 2 });
    await channel.consume(queue);
    const first = await channel.delivery('1');
    await channel.delivery('2');
    await channel.expectNoMore(queue);
    channel.ack(first);
    await channel.delivery('3');
    await channel.expectNoMore(queue);
  }),
  amqp('qos.unlimited', '1.8.3.1.2', MUST, 'a prefetch count of 0 is no limit', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    await channel.call('basic.qos', { prefetchCount: 0 });
    await channel.consume(queue);
    for (let i = 0; i < 300; i++) channel.publish({ routingKey: queue, body: `${i}` });
    for (let i = 0; i < 300; i++) await channel.delivery(`${i}`);
  }),
  amqp(
    'qos.per-consumer',
    'RabbitMQ: Consumer prefetch',
    EXTENSION,
    'without global the count is for each new consumer',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      await t.fill(queue, '1', '2', '3', '4');
      await channel.call('basic.qos', { prefetchCount: 1 });
      await channel.consume(queue, { consumerTag: 'one' });
      await channel.delivery('1');
      await channel.call('basic.qos', { prefetchCount: 2 });
      await channel.consume(queue, { consumerTag: 'two' });
      for (const body of ['2', '3']) assert.equal((await channel.delivery(body)).args.consumerTag, 'two');
      await channel.expectNoMore(queue);
    },
  ),
  amqp(
    'qos.global',
    'RabbitMQ: Consumer prefetch',
    EXTENSION,
    'with global the count is for all consumers of the channel',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      await channel.call('basic.qos', { prefetchCount: 3, global: true });
      await channel.consume(queue);
      await channel.consume(queue);
      await t.fill(queue, '1', '2', '3', '4');
      const messages = [await channel.delivery(), await channel.delivery(), await channel.delivery()];
      await channel.expectNoMore(queue);
      channel.ack(messages[0]!);
      await channel.delivery('4');
    },
  ),
  amqp(
    'qos.both',
    'RabbitMQ: Consumer prefetch',
    EXTENSION,
    'the count of a consumer and that of the channel both hold',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      await channel.call('basic.qos', { prefetchCount: 2 });
      await channel.call('basic.qos', { prefetchCount: 3, global: true });
      const turns: Record<string, number> = { a: 0, b: 0 };
      for (const consumerTag of ['a', 'b']) await channel.consume(queue, { consumerTag });
      await t.fill(queue, '1', '2', '3', '4', '5', '6');
      for (let i = 0; i < 3; i++) turns[(await channel.delivery()).args.consumerTag]!++;
      await channel.expectNoMore(queue);
      assert.deepEqual(Object.values(turns).sort(), [1, 2]);
    },
  ),
  amqp(
    'qos.raised',
    'RabbitMQ: Consumer prefetch',
    EXTENSION,
    'a raised count of the channel lets more out at once',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      await t.fill(queue, '1', '2', '3');
      await channel.call('basic.qos', { prefetchCount: 1, global: true });
      await channel.consume(queue);
      await channel.delivery('1');
      await channel.call('basic.qos', { prefetchCount: 2, global: true });
      await channel.delivery('2');
      await channel.expectNoMore(queue);
    },
  ),
  amqp(
    'qos.global.turns',
    'RabbitMQ: Consumer prefetch',
    EXTENSION,
    'consumers of one queue that share a count are served in turn',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      await channel.call('basic.qos', { prefetchCount: 1, global: true });
      for (const consumerTag of ['a', 'b']) await channel.consume(queue, { consumerTag });
      await t.fill(queue, '1', '2', '3', '4', '5', '6', '7', '8', '9', '10');
      const turns: Record<string, number> = { a: 0, b: 0 };
      for (let i = 0; i < 10; i++) {
        const message = await channel.delivery(`${i + 1}`);
        turns[message.args.consumerTag]!++;
        channel.ack(message);
      }
      assert.deepEqual(turns, { a: 5, b: 5 });
    },
  ),
  amqp(
    'qos.global.queues',
    'RabbitMQ: Consumer prefetch',
    EXTENSION,
    'consumers of several queues that share a count are all served, and not one after the other',
    async (t) => {
      const channel = await t.channel();
      const tags = ['a', 'b', 'c'];
      const queues = [await t.sharedQueue(channel), await t.sharedQueue(channel), await t.sharedQueue(channel)];
      await channel.call('basic.qos', { prefetchCount: 1, global: true });
      for (const [i, queue] of queues.entries()) await channel.consume(queue, { consumerTag: tags[i]! });
      for (const queue of queues) await t.fill(queue, '1', '2', '3', '4', '5', '6');
      const served: string[] = [];
      for (let i = 0; i < 18; i++) {
        const message = await channel.delivery();
        served.push(message.args.consumerTag);
        channel.ack(message);
      }
      for (const tag of tags) assert.equal(served.filter((each) => each === tag).length, 6, tag);
      assert.ok(new Set(served.slice(0, 6)).size > 1, `the first six went to ${served.slice(0, 6)}`);
    },
  ),
  amqp(
    'qos.global.no-ack',
    'RabbitMQ: Consumer prefetch',
    EXTENSION,
    'the count of a channel holds back consumers that do not acknowledge, too, until there is room',
    async (t) => {
      const channel = await t.channel();
      const [first, second] = [await t.sharedQueue(channel), await t.sharedQueue(channel)];
      await t.fill(first, 'held');
      await t.fill(second, 'free');
      await channel.call('basic.qos', { prefetchCount: 1, global: true });
      await channel.consume(first);
      const held = await channel.delivery('held');
      await channel.consume(second, { noAck: true });
      await channel.expectNoMore(second);
      channel.ack(held);
      await channel.delivery('free');
    },
  ),
  amqp('qos.size', '1.8.3.1.1', EXTENSION, 'a prefetch size is refused with 540, as RabbitMQ does', async (t) => {
    const channel = await t.channel();
    channel.send('basic.qos', { prefetchSize: 1000 });
    await channel.connection.expectClose(540, /^NOT_IMPLEMENTED - prefetch_size!=0 \(1000\)$/);
  }),
  amqp('qos.get', '1.8.3.1.2', MUST, 'what get hands out does not count against prefetch', async (t) => {
    const channel = await t.channel();
    const queue = await t.sharedQueue(channel);
    await t.fill(queue, '1', '2');
    await channel.call('basic.qos', { prefetchCount: 1 });
    await channel.get(queue, { noAck: false, body: '1' });
    await channel.consume(queue);
    await channel.delivery('2');
  }),

  amqp('get.ok', '1.8.3.10', MUST, 'get-ok has the oldest message and the number of messages left', async (t) => {
    const channel = await t.channel();
    const queue = await t.sharedQueue(channel);
    await t.fill(queue, '1', '2', '3');
    const { args } = await channel.get(queue, { noAck: false, body: '1' });
    assert.deepEqual(args, { deliveryTag: 1n, redelivered: false, exchange: '', routingKey: queue, messageCount: 2 });
  }),
  amqp('get.empty', '1.8.3.10', MUST, 'get of an empty queue is answered with get-empty', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    channel.send('basic.get', { queue });
    assert.equal((await channel.expect('basic.get-empty')).args.reserved1, '');
  }),
  amqp('get.no-ack', '1.8.3.10', MUST, 'a message taken by get with no-ack is not redelivered', async (t) => {
    const channel = await t.channel();
    const queue = await t.sharedQueue(channel);
    await t.fill(queue, 'm');
    await channel.get(queue, { noAck: true, body: 'm' });
    await channel.close();
    await (await t.channel(channel.connection, 2)).getEmpty(queue);
  }),
  amqp(
    'get.unacked',
    '1.8.3.10',
    MUST,
    'a message taken by get and not acknowledged is redelivered, with the mark, when its channel closes',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      await t.fill(queue, 'm');
      await channel.get(queue, { noAck: false, body: 'm' });
      await channel.close();
      const { args } = await (await t.channel(channel.connection, 2)).get(queue, { body: 'm' });
      assert.equal(args.redelivered, true);
    },
  ),
];
