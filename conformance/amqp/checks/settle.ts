// Checks of acknowledgements: ack, nack, reject, recover, and unknown delivery tags.

import assert from 'node:assert/strict';
import type { Check } from '../../check.ts';
import { type AmqpTest, amqp, EXTENSION, MUST, SHOULD } from '../amqp-check.ts';
import type { AmqpChannel } from '../wire/channel.ts';
import { int, text } from '../wire/table.ts';

/** A channel with three unacknowledged messages. */
async function threeOut(t: AmqpTest): Promise<{ channel: AmqpChannel; queue: string }> {
  const channel = await t.channel();
  const queue = await t.sharedQueue(channel);
  await t.fill(queue, '1', '2', '3');
  for (const body of ['1', '2', '3']) await channel.get(queue, { noAck: false, body });
  return { channel, queue };
}

/** The messages that are redelivered after the channel has closed. */
async function returned(t: AmqpTest, channel: AmqpChannel, queue: string): Promise<string> {
  await channel.close();
  const after = await t.channel(channel.connection, 99);
  let bodies = '';
  for (;;) {
    after.send('basic.get', { queue, noAck: true });
    const answer = await after.receive();
    if (answer.name === 'basic.get-empty') return bodies;
    bodies += answer.content.body.toString();
  }
}

const SETTLED: readonly (readonly [string, string, string, (channel: AmqpChannel) => void])[] = [
  ['ack.single', 'ack settles one message', '13', (channel) => channel.send('basic.ack', { deliveryTag: 2n })],
  [
    'ack.multiple',
    'ack with multiple settles everything up to the tag',
    '3',
    (channel) => channel.send('basic.ack', { deliveryTag: 2n, multiple: true }),
  ],
  [
    'ack.all',
    'ack with multiple and tag 0 settles everything that is out',
    '',
    (channel) => channel.send('basic.ack', { deliveryTag: 0n, multiple: true }),
  ],
  [
    'nack.discard',
    'nack without requeue drops a message',
    '13',
    (channel) => channel.send('basic.nack', { deliveryTag: 2n }),
  ],
  [
    'nack.multiple',
    'nack with multiple drops everything up to the tag',
    '3',
    (channel) => channel.send('basic.nack', { deliveryTag: 2n, multiple: true }),
  ],
  [
    'nack.all',
    'nack with multiple and tag 0 drops everything that is out',
    '',
    (channel) => channel.send('basic.nack', { deliveryTag: 0n, multiple: true }),
  ],
  [
    'reject.discard',
    'reject without requeue drops a message',
    '13',
    (channel) => channel.send('basic.reject', { deliveryTag: 2n }),
  ],
];

const UNKNOWN: readonly (readonly [string, string, (channel: AmqpChannel) => void])[] = [
  ['ack.unknown', 'an ack of a tag that was never out', (channel) => channel.send('basic.ack', { deliveryTag: 99n })],
  [
    'ack.twice',
    'a second ack',
    (channel) => {
      channel.send('basic.ack', { deliveryTag: 1n });
      channel.send('basic.ack', { deliveryTag: 1n });
    },
  ],
  [
    'ack.multiple.unknown',
    'an ack with multiple beyond the last tag',
    (channel) => channel.send('basic.ack', { deliveryTag: 99n, multiple: true }),
  ],
  ['nack.unknown', 'a nack of a tag that was never out', (channel) => channel.send('basic.nack', { deliveryTag: 99n })],
  [
    'reject.unknown',
    'a reject of a tag that was never out',
    (channel) => channel.send('basic.reject', { deliveryTag: 99n }),
  ],
  ['ack.zero', 'an ack of tag 0 without multiple', (channel) => channel.send('basic.ack', { deliveryTag: 0n })],
];

export const SETTLE_CHECKS: readonly Check[] = [
  ...SETTLED.map(([id, title, left, settle]) =>
    amqp(
      id,
      id.startsWith('nack') ? 'RabbitMQ: Negative acknowledgements' : '1.8.3.13',
      id.startsWith('nack') ? EXTENSION : MUST,
      title,
      async (t) => {
        const { channel, queue } = await threeOut(t);
        settle(channel);
        assert.equal(await returned(t, channel, queue), left);
      },
    ),
  ),
  ...UNKNOWN.map(([id, title, settle]) =>
    amqp(id, '1.8.3.13', id.startsWith('nack') ? EXTENSION : MUST, `${title} is refused with 406`, async (t) => {
      const { channel } = await threeOut(t);
      settle(channel);
      await channel.expectClose(406, /^PRECONDITION_FAILED - unknown delivery tag \d+$/);
    }),
  ),
  amqp(
    'ack.multiple.nothing',
    '1.8.3.13',
    MUST,
    'ack with multiple and tag 0 has no effect without unacknowledged messages',
    async (t) => {
      const channel = await t.channel();
      channel.send('basic.ack', { deliveryTag: 0n, multiple: true });
      await channel.expectSilence();
    },
  ),
  amqp('ack.channel', '1.1', MUST, 'a tag is for its channel only: 406 on another', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    channel.publish({ routingKey: queue });
    const message = await channel.get(queue, { noAck: false });
    const other = await t.channel(channel.connection, 2);
    other.ack(message);
    await other.expectClose(406, /unknown delivery tag/);
  }),
  amqp(
    'reject.requeue',
    '1.8.3.14',
    MUST,
    'reject with requeue puts a message back to its place, marked',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      await t.fill(queue, '1', '2');
      const { args } = await channel.get(queue, { noAck: false, body: '1' });
      channel.send('basic.reject', { deliveryTag: args.deliveryTag, requeue: true });
      assert.equal((await channel.get(queue, { body: '1' })).args.redelivered, true);
      assert.equal((await channel.get(queue, { body: '2' })).args.redelivered, false);
    },
  ),
  amqp(
    'reject.redelivers',
    '1.8.3.14',
    SHOULD,
    'a consumer that rejects with requeue gets the message again if it is the only one',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      await channel.consume(queue);
      channel.publish({ routingKey: queue, body: 'm' });
      const first = await channel.delivery('m');
      channel.send('basic.reject', { deliveryTag: first.args.deliveryTag, requeue: true });
      const again = await channel.delivery('m');
      assert.equal(again.args.redelivered, true);
      assert.equal(again.args.deliveryTag, 2n);
    },
  ),
  amqp(
    'nack.requeue',
    'RabbitMQ: Negative acknowledgements',
    EXTENSION,
    'nack with requeue and multiple puts messages back in their order, marked',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      await t.fill(queue, '1', '2', '3', '4');
      for (const body of ['1', '2', '3']) await channel.get(queue, { noAck: false, body });
      channel.send('basic.nack', { deliveryTag: 2n, multiple: true, requeue: true });
      assert.equal((await channel.get(queue, { body: '1' })).args.redelivered, true);
      assert.equal((await channel.get(queue, { body: '2' })).args.redelivered, true);
      assert.equal((await channel.get(queue, { body: '4' })).args.redelivered, false);
    },
  ),
  amqp(
    'reject.dead-letter',
    'RabbitMQ: Dead letter exchanges',
    EXTENSION,
    'a rejected message goes to the dead-letter exchange of its queue, with its death',
    async (t) => {
      const channel = await t.channel();
      const dead = await t.queue(channel);
      const queue = await t.queue(channel, {
        arguments: { 'x-dead-letter-exchange': text(''), 'x-dead-letter-routing-key': text(dead) },
      });
      channel.publish({ routingKey: queue, body: 'm' });
      const { args } = await channel.get(queue, { noAck: false });
      await channel.consume(dead, { noAck: true });
      channel.send('basic.reject', { deliveryTag: args.deliveryTag });
      const message = await channel.delivery('m');
      assert.equal(message.args.routingKey, dead);
      assert.equal(message.content.properties.headers?.['x-death']?.type, 'A');
      assert.deepEqual(message.content.properties.headers?.['x-first-death-reason'], text('rejected'));
      assert.deepEqual(message.content.properties.headers?.['x-first-death-queue'], text(queue));
    },
  ),
  ...([true, false] as const).map((sync) =>
    amqp(
      sync ? 'recover' : 'recover.async',
      sync ? '1.8.3.16' : '1.8.3.15',
      sync ? MUST : SHOULD,
      `recover${sync ? '' : '-async'} with requeue brings back everything that is out, marked`,
      async (t) => {
        const { channel, queue } = await threeOut(t);
        if (sync) await channel.call('basic.recover', { requeue: true });
        else channel.send('basic.recover-async', { requeue: true });
        for (const body of ['1', '2', '3']) assert.equal((await channel.get(queue, { body })).args.redelivered, true);
        await channel.getEmpty(queue);
      },
    ),
  ),
  amqp('recover.consumer', '1.8.3.16', MUST, 'recover with requeue delivers again, with new tags', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    await channel.consume(queue);
    channel.publish({ routingKey: queue, body: 'm' });
    await channel.delivery('m');
    channel.send('basic.recover', { requeue: true });
    const answers = [await channel.receive(), await channel.receive()];
    assert.deepEqual(answers.map(({ name }) => name).sort(), ['basic.deliver', 'basic.recover-ok']);
    const again = answers.find(({ name }) => name === 'basic.deliver')!;
    assert.deepEqual(again.args, {
      ...again.args,
      deliveryTag: 2n,
      redelivered: true,
      routingKey: queue,
    });
  }),
  amqp(
    'recover.no-requeue',
    '1.8.3.16',
    EXTENSION,
    'recover without requeue is refused with 540, as RabbitMQ does',
    async (t) => {
      const channel = await t.channel();
      channel.send('basic.recover', { requeue: false });
      await channel.connection.expectClose(540, /^NOT_IMPLEMENTED - requeue=false$/);
    },
  ),

  amqp(
    'priority',
    '1.8',
    MUST,
    'a message of a higher priority overtakes, in a queue with x-max-priority',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel, { arguments: { 'x-max-priority': int(9) } });
      for (const [body, priority] of [
        ['low', 0],
        ['low2', 0],
        ['high', 9],
        ['middle', 5],
        ['high2', 9],
      ] as const) {
        channel.publish({ routingKey: queue, body, properties: { priority } });
      }
      for (const body of ['high', 'high2', 'middle', 'low', 'low2']) await channel.get(queue, { body });
    },
  ),
  amqp(
    'priority.cap',
    'RabbitMQ: Priority queues',
    EXTENSION,
    'a priority beyond the maximum is the maximum, none is the lowest',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel, { arguments: { 'x-max-priority': int(2) } });
      channel.publish({ routingKey: queue, body: 'none' });
      channel.publish({ routingKey: queue, body: 'two', properties: { priority: 2 } });
      channel.publish({ routingKey: queue, body: 'nine', properties: { priority: 9 } });
      for (const body of ['two', 'nine', 'none']) await channel.get(queue, { body });
    },
  ),
  amqp(
    'priority.plain',
    'RabbitMQ: Priority queues',
    EXTENSION,
    'a queue without x-max-priority keeps the order of arrival',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      channel.publish({ routingKey: queue, body: '1', properties: { priority: 0 } });
      channel.publish({ routingKey: queue, body: '2', properties: { priority: 9 } });
      for (const body of ['1', '2']) await channel.get(queue, { body });
    },
  ),
  amqp('order.persistence', '1.8', MUST, 'messages keep their order, however persistent they are', async (t) => {
    const channel = await t.channel();
    const queue = await t.sharedQueue(channel);
    for (let i = 0; i < 10; i++) {
      channel.publish({ routingKey: queue, body: `${i}`, properties: { deliveryMode: (i % 2) + 1 } });
    }
    for (let i = 0; i < 10; i++) await channel.get(queue, { body: `${i}` });
  }),
];
