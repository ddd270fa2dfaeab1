// Checks of queue types: priorities, single active consumer, quorum queues with a delivery limit; and which arguments
// each type accepts.

import assert from 'node:assert/strict';
import { amqp, EXTENSION } from '../amqp-check.ts';
import { bool, int, type Table, text } from '../wire/table.ts';

const PRIORITY = 'RabbitMQ: Priority queues';
const SINGLE = 'RabbitMQ: Single active consumer';
const QUORUM = 'RabbitMQ: Quorum queues';
const QUEUES = 'RabbitMQ: Queues';

const quorum = (more: Table = {}): Table => ({ 'x-queue-type': text('quorum'), ...more });
const single = { 'x-single-active-consumer': bool(true) };

interface Refusal {
  readonly id: string;
  readonly args: Table;
  readonly words: RegExp;
  readonly durable?: boolean;
  readonly exclusive?: boolean;
  readonly autoDelete?: boolean;
}

const REFUSALS: readonly Refusal[] = [
  { id: 'ttl', args: { 'x-message-ttl': int(-1) }, words: /'x-message-ttl' for queue '.*: \{value_negative,-1\}$/ },
  { id: 'ttl-type', args: { 'x-message-ttl': text('1') }, words: /'x-message-ttl' .*"expected integer, got longstr"$/ },
  { id: 'expires', args: { 'x-expires': int(0) }, words: /'x-expires' for queue '.*: \{value_zero,0\}$/ },
  {
    id: 'dlx',
    args: { 'x-dead-letter-exchange': int(1) },
    words: /invalid type 'signedint' for arg 'x-dead-letter-ex/,
  },
  { id: 'dlx-key', args: { 'x-dead-letter-routing-key': text('k') }, words: /routing_key_but_no_dlx_defined$/ },
  { id: 'overflow', args: { 'x-overflow': text('spill') }, words: /'x-overflow' for queue '.*: invalid_overflow$/ },
  { id: 'single', args: { 'x-single-active-consumer': int(1) }, words: /\{unacceptable_type,signedint\}$/ },
  { id: 'type', args: { 'x-queue-type': text('odd') }, words: /'x-queue-type' .*"unsupported queue type 'odd'"$/ },
  { id: 'mode', args: { 'x-queue-mode': text('odd') }, words: /'x-queue-mode' .*"unsupported queue mode 'odd'"$/ },
  { id: 'version', args: { 'x-queue-version': int(3) }, words: /'x-queue-version' .*"unsupported queue version '3'"$/ },
  { id: 'delivery-limit', args: { 'x-delivery-limit': int(3) }, words: /of queue type rabbit_classic_queue$/ },
  { id: 'quorum-priority', args: quorum({ 'x-max-priority': int(3) }), words: /of queue type rabbit_quorum_queue$/ },
  { id: 'quorum-mode', args: quorum({ 'x-queue-mode': text('lazy') }), words: /of queue type rabbit_quorum_queue$/ },
  { id: 'quorum-size', args: quorum({ 'x-quorum-initial-group-size': int(0) }), words: /\{value_zero,0\}$/ },
  { id: 'quorum-transient', args: quorum(), durable: false, words: /invalid property 'non-durable' for queue '/ },
  { id: 'quorum-exclusive', args: quorum(), exclusive: true, words: /invalid property 'exclusive-owner' for queue '/ },
  { id: 'quorum-auto-delete', args: quorum(), autoDelete: true, words: /invalid property 'auto-delete' for queue '/ },
];

export const QUEUE_KIND_CHECKS = [
  amqp(
    'priority.requeue',
    PRIORITY,
    EXTENSION,
    'a message that comes back takes its place in its priority',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel, { arguments: { 'x-max-priority': int(5) } });
      for (const [body, priority] of [
        ['low', 1],
        ['high', 5],
        ['high2', 5],
      ] as const) {
        channel.publish({ routingKey: queue, body, properties: { priority } });
      }
      for (const body of ['high', 'high2', 'low']) await channel.get(queue, { noAck: false, body });
      channel.send('basic.nack', { deliveryTag: 0n, multiple: true, requeue: true });
      for (const body of ['high', 'high2', 'low']) await channel.get(queue, { body });
    },
  ),
  amqp(
    'priority.restart',
    PRIORITY,
    EXTENSION,
    'priorities survive a restart',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel, { arguments: { 'x-max-priority': int(5) } });
      await channel.call('confirm.select');
      for (const [body, priority] of [
        ['low', 1],
        ['high', 5],
        ['low2', 1],
        ['high2', 5],
      ] as const) {
        channel.publish({ routingKey: queue, body, properties: { priority, deliveryMode: 2 } });
        await channel.expect('basic.ack');
      }
      await t.context.controls.restart!();
      const again = await t.channel();
      assert.equal((await again.count(queue)).messageCount, 4);
      for (const body of ['high', 'high2', 'low', 'low2']) await again.get(queue, { body });
    },
    { needs: 'restart' },
  ),
  amqp('priority.count', PRIORITY, EXTENSION, 'counts and purges are of all priorities', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel, { arguments: { 'x-max-priority': int(5) } });
    await channel.call('confirm.select');
    for (const priority of [1, 5, 5, 3]) {
      channel.publish({ routingKey: queue, body: 'm', properties: { priority } });
      await channel.expect('basic.ack');
    }
    assert.equal((await channel.count(queue)).messageCount, 4);
    assert.equal((await channel.call('queue.purge', { queue })).messageCount, 4);
    await channel.getEmpty(queue);
  }),
  amqp(
    'priority.maxlen',
    PRIORITY,
    EXTENSION,
    'the maximum length drops from the head: the highest priority',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel, { arguments: { 'x-max-priority': int(5), 'x-max-length': int(2) } });
      for (const [body, priority] of [
        ['low', 1],
        ['high', 5],
        ['middle', 3],
      ] as const) {
        channel.publish({ routingKey: queue, body, properties: { priority } });
      }
      for (const body of ['middle', 'low']) await channel.get(queue, { body });
      await channel.getEmpty(queue);
    },
  ),

  amqp('single-active', SINGLE, EXTENSION, 'the first consumer gets everything, then the next in line', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel, { arguments: single });
    for (const consumerTag of ['a', 'b', 'c']) await channel.consume(queue, { consumerTag, noAck: true });
    for (const [consumerTag, body] of [
      ['a', '1'],
      ['a', '2'],
      ['b', '3'],
      ['c', '4'],
    ] as const) {
      if (body === '3') await channel.call('basic.cancel', { consumerTag: 'a' });
      if (body === '4') await channel.call('basic.cancel', { consumerTag: 'b' });
      channel.publish({ routingKey: queue, body });
      assert.equal((await channel.delivery(body)).args.consumerTag, consumerTag);
    }
  }),
  amqp('single-active.waits', SINGLE, EXTENSION, 'the others get nothing while the active one is busy', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel, { arguments: single });
    await channel.call('basic.qos', { prefetchCount: 1 });
    for (const consumerTag of ['a', 'b']) await channel.consume(queue, { consumerTag });
    for (const body of ['1', '2']) channel.publish({ routingKey: queue, body });
    const first = await channel.delivery('1');
    await channel.expectNoMore(queue);
    channel.ack(first);
    assert.equal((await channel.delivery('2')).args.consumerTag, 'a');
  }),
  amqp(
    'single-active.priority',
    SINGLE,
    EXTENSION,
    'a consumer of higher priority does not replace the active one, but is next',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel, { arguments: single });
      for (const [consumerTag, priority] of [
        ['a', 0],
        ['b', 0],
        ['c', 5],
      ] as const) {
        await channel.consume(queue, { consumerTag, noAck: true, arguments: { 'x-priority': int(priority) } });
      }
      channel.publish({ routingKey: queue, body: '1' });
      assert.equal((await channel.delivery('1')).args.consumerTag, 'a');
      await channel.call('basic.cancel', { consumerTag: 'a' });
      channel.publish({ routingKey: queue, body: '2' });
      assert.equal((await channel.delivery('2')).args.consumerTag, 'c');
    },
  ),
  amqp('single-active.exclusive', SINGLE, EXTENSION, 'such a queue takes no exclusive consumer', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel, { arguments: single });
    channel.send('basic.consume', { queue, exclusive: true });
    await channel.expectClose(403, /^ACCESS_REFUSED - queue '.*' in vhost '\/' in exclusive use/);
  }),

  amqp('quorum', QUORUM, EXTENSION, 'a quorum queue is a queue', async (t) => {
    const channel = await t.channel();
    const queue = await t.sharedQueue(channel, { arguments: quorum() });
    await channel.call('confirm.select');
    channel.publish({ routingKey: queue, body: 'm' });
    await channel.expect('basic.ack');
    await channel.consume(queue);
    channel.ack(await channel.delivery('m'));
    await channel.call('queue.declare', { queue, durable: true, arguments: quorum() });
  }),
  amqp(
    'quorum.restart',
    QUORUM,
    EXTENSION,
    'messages of a quorum queue survive a restart, persistent or not',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel, { arguments: quorum() });
      await channel.call('confirm.select');
      channel.publish({ routingKey: queue, body: 'm', properties: { deliveryMode: 1 } });
      await channel.expect('basic.ack');
      await t.context.controls.restart!();
      const again = await t.channel();
      const { content } = await again.get(queue, { body: 'm' });
      assert.equal(content.properties.deliveryMode, 1);
    },
    { needs: 'restart' },
  ),
  amqp(
    'quorum.delivery-count',
    QUORUM,
    EXTENSION,
    'a redelivered message has the number of its returns in x-delivery-count',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel, { arguments: quorum() });
      await t.fill(queue, 'm');
      await channel.consume(queue);
      for (let returns = 0; returns < 3; returns++) {
        const { args, content } = await channel.delivery('m');
        const count = content.properties.headers?.['x-delivery-count'];
        if (returns > 0) assert.deepEqual(count, { type: 'l', value: BigInt(returns) });
        assert.equal(args.redelivered, returns > 0);
        channel.send('basic.reject', { deliveryTag: args.deliveryTag, requeue: true });
      }
      await channel.delivery('m');
    },
  ),
  amqp(
    'quorum.delivery-limit',
    QUORUM,
    EXTENSION,
    'a message that comes back too often is a dead letter',
    async (t) => {
      const channel = await t.channel();
      const dead = await t.queue(channel);
      const queue = await t.sharedQueue(channel, {
        arguments: quorum({
          'x-delivery-limit': int(2),
          'x-dead-letter-exchange': text(''),
          'x-dead-letter-routing-key': text(dead),
        }),
      });
      await t.fill(queue, 'm');
      await channel.consume(queue);
      for (let delivery = 0; delivery < 3; delivery++) {
        const { args } = await channel.delivery('m');
        assert.equal(args.redelivered, delivery > 0);
        channel.send('basic.nack', { deliveryTag: args.deliveryTag, requeue: true });
      }
      await channel.consume(dead, { consumerTag: 'dead', noAck: true });
      const { args, content } = await channel.delivery('m');
      assert.equal(args.consumerTag, 'dead');
      assert.deepEqual(content.properties.headers?.['x-first-death-reason'], text('delivery_limit'));
    },
  ),

  ...REFUSALS.map(({ id, args, words, ...properties }) =>
    amqp(`queue.argument.${id}`, QUEUES, EXTENSION, `an impossible declaration is refused (${id})`, async (t) => {
      const channel = await t.channel();
      channel.send('queue.declare', { queue: t.name(), durable: true, ...properties, arguments: args });
      await channel.expectClose(406, words);
    }),
  ),
  ...(
    [
      ['ttl', { 'x-message-ttl': int(5) }, { 'x-message-ttl': int(6) }],
      ['ttl-missing', { 'x-message-ttl': int(5) }, {}],
      ['dlx', { 'x-dead-letter-exchange': text('a') }, { 'x-dead-letter-exchange': text('b') }],
      ['priority', { 'x-max-priority': int(5) }, {}],
      ['expires', {}, { 'x-expires': int(60_000) }],
      ['single', single, { 'x-single-active-consumer': bool(false) }],
      ['mode', { 'x-queue-mode': text('lazy') }, {}],
      ['type', quorum(), {}],
    ] as const
  ).map(([id, first, second]) =>
    amqp(`queue.argument.other-${id}`, QUEUES, EXTENSION, `another value is another queue (${id})`, async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel, { arguments: first });
      channel.send('queue.declare', { queue, durable: true, arguments: second });
      await channel.expectClose(406, /^PRECONDITION_FAILED - inequivalent arg 'x-/);
    }),
  ),
  amqp('queue.argument.classic', QUEUES, EXTENSION, 'a queue of type classic is one of no type', async (t) => {
    const channel = await t.channel();
    const queue = await t.sharedQueue(channel, { arguments: { 'x-queue-type': text('classic') } });
    await channel.call('queue.declare', { queue, durable: true });
  }),
];
