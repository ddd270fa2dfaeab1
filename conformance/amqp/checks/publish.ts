// Checks of publishing: refusals, mandatory and immediate, confirms, transactions, direct reply-to.

import assert from 'node:assert/strict';
import type { Check } from '../../check.ts';
import { amqp, EXTENSION, MUST, SHOULD } from '../amqp-check.ts';
import type { AmqpChannel } from '../wire/channel.ts';
import { int, text } from '../wire/table.ts';

const DIRECT = 'amq.rabbitmq.reply-to';
const CONFIRMS = 'RabbitMQ: Publisher confirms';
const REPLIES = 'RabbitMQ: Direct reply-to';

/** Reads acks until this many publishes are confirmed, each once and in any order. */
async function confirmed(channel: AmqpChannel, count: bigint): Promise<void> {
  const open = new Set(Array.from({ length: Number(count) }, (_, index) => BigInt(index + 1)));
  while (open.size > 0) {
    const { args } = await channel.expect('basic.ack');
    const tags = args.multiple ? [...open].filter((tag) => tag <= args.deliveryTag) : [args.deliveryTag];
    assert.ok(tags.length > 0, `an ack of ${args.deliveryTag} for nothing`);
    for (const tag of tags) assert.ok(open.delete(tag), `an ack of ${tag}, which is not open`);
  }
}

export const PUBLISH_CHECKS: readonly Check[] = [
  amqp('publish.no-exchange', '1.8.3.9.1', MUST, 'a publish to no exchange is refused with 404', async (t) => {
    const channel = await t.channel();
    channel.publish({ exchange: t.context.name(), body: 'm' });
    await channel.expectClose(404, /^NOT_FOUND - no exchange '.*' in vhost '\/'$/);
  }),
  amqp(
    'publish.user-id',
    'RabbitMQ: Validated user-id',
    EXTENSION,
    'a user-id that is the publisher’s own is passed on',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      const { user } = t.context.endpoint;
      channel.publish({ routingKey: queue, properties: { userId: user } });
      assert.equal((await channel.get(queue)).content.properties.userId, user);
    },
  ),
  amqp(
    'publish.user-id.other',
    'RabbitMQ: Validated user-id',
    EXTENSION,
    'a user-id of another user is refused with 406',
    async (t) => {
      const channel = await t.channel();
      channel.publish({ routingKey: 'k', properties: { userId: 'somebody' } });
      await channel.expectClose(
        406,
        /^PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was '/,
      );
    },
  ),
  amqp(
    'publish.expiration',
    'RabbitMQ: Time-to-live',
    EXTENSION,
    'an expiration that is no number is refused with 406',
    async (t) => {
      const channel = await t.channel();
      channel.publish({ routingKey: 'k', properties: { expiration: 'soon' } });
      await channel.expectClose(406, /^PRECONDITION_FAILED - invalid expiration 'soon'/);
    },
  ),
  amqp(
    'publish.expiration.zero',
    'RabbitMQ: Time-to-live',
    EXTENSION,
    'a message that expires at once is not in the queue',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      channel.publish({ routingKey: queue, body: 'gone', properties: { expiration: '0' } });
      channel.publish({ routingKey: queue, body: 'here', properties: { expiration: '60000' } });
      await channel.get(queue, { body: 'here' });
    },
  ),
  amqp(
    'publish.too-large',
    '1.2',
    MUST,
    'a body beyond the limit of the broker is refused by its header with 311 or 406',
    async (t) => {
      const channel = await t.channel();
      channel.send('basic.publish', { routingKey: 'k' });
      channel.connection.header(1, 2 ** 40);
      const { args } = await channel.expect('channel.close');
      assert.ok([311, 406].includes(args.replyCode), `${args.replyCode} ${args.replyText}`);
      channel.send('channel.close-ok');
    },
  ),
  amqp(
    'publish.mandatory',
    '1.8.3.9.3',
    SHOULD,
    'a mandatory message without a queue comes back whole, with 312',
    async (t) => {
      const channel = await t.channel();
      const routingKey = t.context.name();
      const properties = { contentType: 'text/plain', headers: { n: int(1) }, messageId: 'id' };
      channel.publish({ exchange: 'amq.direct', routingKey, body: 'back', properties, mandatory: true });
      const { args, content } = await channel.expect('basic.return');
      assert.deepEqual(args, { replyCode: 312, replyText: 'NO_ROUTE', exchange: 'amq.direct', routingKey });
      assert.equal(content.body.toString(), 'back');
      assert.deepEqual(content.properties, properties);
    },
  ),
  amqp(
    'publish.mandatory.routed',
    '1.8.3.9.3',
    SHOULD,
    'a mandatory message with a queue does not come back',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      channel.publish({ routingKey: queue, body: 'm', mandatory: true });
      await channel.get(queue, { body: 'm' });
      await channel.expectSilence();
    },
  ),
  amqp(
    'publish.mandatory.default',
    '1.8.3.9.3',
    SHOULD,
    'the default exchange returns a mandatory message without a queue of that name',
    async (t) => {
      const channel = await t.channel();
      channel.publish({ routingKey: t.context.name(), mandatory: true });
      assert.equal((await channel.expect('basic.return')).args.exchange, '');
    },
  ),
  amqp('publish.immediate', '1.8.3.9.4', EXTENSION, 'immediate is refused with 540, as RabbitMQ does', async (t) => {
    const channel = await t.channel();
    channel.publish({ routingKey: 'k', immediate: true });
    await channel.connection.expectClose(540, /^NOT_IMPLEMENTED - immediate=true$/);
  }),
  amqp(
    'publish.persistent',
    '1.8',
    SHOULD,
    'a persistent message is in a durable queue after the channel is gone',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      channel.publish({ routingKey: queue, body: 'm', properties: { deliveryMode: 2 } });
      await channel.close();
      const after = await t.channel();
      assert.equal((await after.get(queue, { body: 'm' })).content.properties.deliveryMode, 2);
    },
  ),

  amqp(
    'permission.configure',
    'RabbitMQ: Access control',
    EXTENSION,
    'declaring without configure permission is refused with 403',
    async (t) => {
      const user = t.context.name();
      await t.context.controls.createUser!(user, 'secret', ['^$', '.*', '.*']);
      const channel = await t.channel(await t.connect({ user, password: 'secret' }));
      channel.send('queue.declare', { queue: t.name() });
      await channel.expectClose(403, /^ACCESS_REFUSED - .*access to queue '.*' in vhost '\/' refused for user '.*'$/);
    },
    { needs: 'createUser' },
  ),
  amqp(
    'permission.write',
    'RabbitMQ: Access control',
    EXTENSION,
    'publishing without write permission is refused with 403',
    async (t) => {
      const user = t.context.name();
      await t.context.controls.createUser!(user, 'secret', ['.*', '^$', '.*']);
      const channel = await t.channel(await t.connect({ user, password: 'secret' }));
      channel.publish({ exchange: 'amq.direct', routingKey: 'k' });
      await channel.expectClose(
        403,
        /^ACCESS_REFUSED - .*access to exchange 'amq.direct' in vhost '\/' refused for user '.*'$/,
      );
    },
    { needs: 'createUser' },
  ),
  amqp(
    'permission.read',
    'RabbitMQ: Access control',
    EXTENSION,
    'reading a queue without read permission is refused with 403',
    async (t) => {
      const user = t.context.name();
      await t.context.controls.createUser!(user, 'secret', ['.*', '.*', '^$']);
      const queue = await t.sharedQueue(await t.channel());
      const channel = await t.channel(await t.connect({ user, password: 'secret' }));
      channel.send('basic.get', { queue });
      await channel.expectClose(403, /^ACCESS_REFUSED - .*access to queue '.*' in vhost '\/' refused for user '.*'$/);
    },
    { needs: 'createUser' },
  ),

  amqp('confirm.ack', CONFIRMS, EXTENSION, 'publishes are confirmed, counted from 1, each once', async (t) => {
    const channel = await t.channel();
    const queue = await t.sharedQueue(channel);
    await channel.call('confirm.select');
    for (let i = 0; i < 20; i++) channel.publish({ routingKey: queue, properties: { deliveryMode: (i % 2) + 1 } });
    await confirmed(channel, 20n);
    await channel.expectSilence();
  }),
  amqp('confirm.count', CONFIRMS, EXTENSION, 'counting begins with select', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    channel.publish({ routingKey: queue });
    await channel.call('confirm.select');
    await channel.call('confirm.select');
    channel.publish({ routingKey: queue });
    assert.equal((await channel.expect('basic.ack')).args.deliveryTag, 1n);
    await channel.expectSilence();
  }),
  amqp('confirm.queued', CONFIRMS, EXTENSION, 'a confirmed message is in its queue', async (t) => {
    const channel = await t.channel();
    const queue = await t.sharedQueue(channel);
    await channel.call('confirm.select');
    channel.publish({ routingKey: queue, body: 'm', properties: { deliveryMode: 2 } });
    await confirmed(channel, 1n);
    await (await t.channel()).get(queue, { body: 'm' });
  }),
  amqp('confirm.unroutable', CONFIRMS, EXTENSION, 'an unroutable message is confirmed', async (t) => {
    const channel = await t.channel();
    await channel.call('confirm.select');
    channel.publish({ routingKey: t.context.name() });
    await confirmed(channel, 1n);
  }),
  amqp('confirm.return-first', CONFIRMS, EXTENSION, 'basic.return comes before the ack of its message', async (t) => {
    const channel = await t.channel();
    await channel.call('confirm.select');
    channel.publish({ routingKey: t.context.name(), mandatory: true });
    await channel.expect('basic.return');
    await confirmed(channel, 1n);
  }),
  amqp('confirm.no-wait', CONFIRMS, EXTENSION, 'select with no-wait is not answered, and done', async (t) => {
    const channel = await t.channel();
    channel.send('confirm.select', { noWait: true });
    await channel.expectSilence();
    channel.publish({ routingKey: t.context.name() });
    await confirmed(channel, 1n);
  }),
  amqp(
    'confirm.nack',
    'RabbitMQ: Queue length limit',
    EXTENSION,
    'a message refused by a full queue with reject-publish is nacked',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel, {
        arguments: { 'x-max-length': int(1), 'x-overflow': text('reject-publish') },
      });
      await channel.call('confirm.select');
      channel.publish({ routingKey: queue, body: '1' });
      await confirmed(channel, 1n);
      channel.publish({ routingKey: queue, body: '2' });
      const { args } = await channel.expect('basic.nack');
      assert.equal(args.deliveryTag, 2n);
      await channel.get(queue, { body: '1' });
      await channel.getEmpty(queue);
    },
  ),
  amqp(
    'confirm.drop-head',
    'RabbitMQ: Queue length limit',
    EXTENSION,
    'a full queue drops its oldest, and confirms',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel, { arguments: { 'x-max-length': int(2) } });
      await channel.call('confirm.select');
      for (const body of ['1', '2', '3']) channel.publish({ routingKey: queue, body });
      await confirmed(channel, 3n);
      for (const body of ['2', '3']) await channel.get(queue, { body });
      await channel.getEmpty(queue);
    },
  ),
  amqp('confirm.after-tx', CONFIRMS, EXTENSION, 'a transacted channel cannot confirm: 406', async (t) => {
    const channel = await t.channel();
    await channel.call('tx.select');
    channel.send('confirm.select');
    await channel.expectClose(406, /^PRECONDITION_FAILED - cannot switch from tx to confirm mode$/);
  }),

  amqp('tx.select', '1.9.2.1', MUST, 'select is answered with select-ok, also again', async (t) => {
    const channel = await t.channel();
    await channel.call('tx.select');
    await channel.call('tx.select');
  }),
  ...(['commit', 'rollback'] as const).map((name) =>
    amqp(
      `tx.${name}.none`,
      '1.9.2',
      MUST,
      `${name} on a channel that is not transacted is refused with 406`,
      async (t) => {
        const channel = await t.channel();
        channel.send(`tx.${name}`);
        await channel.expectClose(406, /^PRECONDITION_FAILED - channel is not transactional$/);
      },
    ),
  ),
  amqp('tx.after-confirm', CONFIRMS, EXTENSION, 'a confirming channel cannot be transacted: 406', async (t) => {
    const channel = await t.channel();
    await channel.call('confirm.select');
    channel.send('tx.select');
    await channel.expectClose(406, /^PRECONDITION_FAILED - cannot switch from confirm to tx mode$/);
  }),
  amqp(
    'tx.commit.publish',
    '1.9.2.3',
    MUST,
    'a published message is in its queue after commit-ok, and not before',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      const other = await t.channel();
      await channel.call('tx.select');
      for (const body of ['1', '2']) channel.publish({ routingKey: queue, body, properties: { deliveryMode: 2 } });
      await channel.expectSilence();
      await other.getEmpty(queue);
      await channel.call('tx.commit');
      for (const body of ['1', '2']) await other.get(queue, { body });
      await other.getEmpty(queue);
    },
  ),
  amqp(
    'tx.rollback.publish',
    '1.9.2.5',
    MUST,
    'rollback discards published messages and begins a new transaction',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      await channel.call('tx.select');
      channel.publish({ routingKey: queue, body: 'never' });
      await channel.call('tx.rollback');
      await channel.call('tx.commit');
      await channel.getEmpty(queue);
      channel.publish({ routingKey: queue, body: 'm' });
      await channel.call('tx.commit');
      await channel.get(queue, { body: 'm' });
    },
  ),
  amqp('tx.close', '1.9.2', MUST, 'uncommitted messages are discarded when the channel closes', async (t) => {
    const channel = await t.channel();
    const queue = await t.sharedQueue(channel);
    await channel.call('tx.select');
    channel.publish({ routingKey: queue, body: 'never' });
    await channel.close();
    await (await t.channel(channel.connection, 2)).getEmpty(queue);
  }),
  amqp('tx.commit.ack', '1.9.2.3', MUST, 'an ack is done at the commit', async (t) => {
    const channel = await t.channel();
    const queue = await t.sharedQueue(channel);
    await t.fill(queue, '1', '2');
    await channel.call('tx.select');
    channel.ack(await channel.get(queue, { noAck: false, body: '1' }));
    await channel.call('tx.commit');
    channel.ack(await channel.get(queue, { noAck: false, body: '2' }));
    await channel.close();
    const after = await t.channel(channel.connection, 2);
    await after.get(queue, { body: '2' });
    await after.getEmpty(queue);
  }),
  amqp('tx.rollback.ack', '1.9.2.5', MUST, 'a rollback takes acks back and redelivers nothing by itself', async (t) => {
    const channel = await t.channel();
    const queue = await t.sharedQueue(channel);
    await t.fill(queue, 'm');
    await channel.call('tx.select');
    const message = await channel.get(queue, { noAck: false, body: 'm' });
    channel.ack(message);
    await channel.call('tx.rollback');
    await channel.getEmpty(queue);
    channel.ack(message);
    await channel.call('tx.commit');
    await channel.close();
    await (await t.channel(channel.connection, 2)).getEmpty(queue);
  }),
  amqp(
    'tx.recover',
    '1.9.2',
    EXTENSION,
    'an ack that is not committed holds its message: recover brings back the others only',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      await t.fill(queue, '1', '2');
      await channel.call('tx.select');
      channel.ack(await channel.get(queue, { noAck: false, body: '1' }));
      await channel.get(queue, { noAck: false, body: '2' });
      await channel.call('basic.recover', { requeue: true });
      await channel.get(queue, { noAck: false, body: '2' });
      await channel.getEmpty(queue);
      await channel.call('tx.rollback');
      await channel.call('basic.recover', { requeue: true });
      for (const body of ['1', '2']) assert.equal((await channel.get(queue, { body })).args.redelivered, true);
    },
  ),
  amqp(
    'tx.return',
    '1.9.2.3',
    EXTENSION,
    'a mandatory message whose queue has gone by the commit is returned before commit-ok',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      await channel.call('tx.select');
      channel.publish({ routingKey: queue, mandatory: true, body: 'm' });
      await channel.call('queue.delete', { queue });
      channel.send('tx.commit');
      const { args, content } = await channel.expect('basic.return');
      assert.deepEqual([args.replyCode, args.routingKey, content.body.toString()], [312, queue, 'm']);
      await channel.expect('tx.commit-ok');
    },
  ),
  amqp('tx.ack.unknown', '1.8.3.13', MUST, 'an ack of no delivery is refused with 406 at once', async (t) => {
    const channel = await t.channel();
    await channel.call('tx.select');
    channel.send('basic.ack', { deliveryTag: 7n });
    await channel.expectClose(406, /^PRECONDITION_FAILED - unknown delivery tag 7$/);
  }),
  amqp('tx.commit.both', '1.9', SHOULD, 'a commit applies acknowledgements and publishes together', async (t) => {
    const channel = await t.channel();
    const queue = await t.sharedQueue(channel);
    await t.fill(queue, 'in');
    await channel.call('tx.select');
    channel.ack(await channel.get(queue, { noAck: false, body: 'in' }));
    channel.publish({ routingKey: queue, body: 'out' });
    await channel.call('tx.commit');
    await channel.close();
    const after = await t.channel(channel.connection, 2);
    await after.get(queue, { body: 'out' });
    await after.getEmpty(queue);
  }),

  amqp(
    'tx.fails-whole',
    '1.9',
    SHOULD,
    'a commit that a full queue with reject-publish refuses leaves none of its messages, and acknowledges nothing',
    async (t) => {
      const channel = await t.channel();
      const source = await t.sharedQueue(channel);
      const queue = await t.sharedQueue(channel, {
        arguments: { 'x-max-length': int(1), 'x-overflow': text('reject-publish') },
      });
      await t.fill(source, 'in');
      await channel.call('tx.select');
      channel.ack(await channel.get(source, { noAck: false, body: 'in' }));
      for (const body of ['fits', 'too much']) channel.publish({ routingKey: queue, body });
      channel.send('tx.commit');
      await channel.expectClose(406, /^PRECONDITION_FAILED/);
      const after = await t.channel(channel.connection, 2);
      await after.getEmpty(queue);
      await after.get(source, { body: 'in' });
    },
  ),

  amqp(
    'reply-to',
    REPLIES,
    EXTENSION,
    'a reply to the address that a request carries comes straight back',
    async (t) => {
      const client = await t.channel();
      const server = await t.channel();
      const queue = await t.queue(server);
      const consumerTag = await client.consume(DIRECT, { noAck: true });
      client.publish({ routingKey: queue, body: 'question', properties: { replyTo: DIRECT, correlationId: '7' } });
      await server.consume(queue, { noAck: true });
      const { content } = await server.delivery('question');
      const { replyTo, correlationId } = content.properties;
      assert.match(replyTo!, /^amq\.rabbitmq\.reply-to\..+/);
      assert.equal(correlationId, '7');
      server.publish({ routingKey: replyTo!, body: 'answer', properties: { correlationId: correlationId! } });
      const answer = await client.delivery('answer');
      assert.deepEqual(answer.args, {
        consumerTag,
        deliveryTag: answer.args.deliveryTag,
        redelivered: false,
        exchange: '',
        routingKey: replyTo,
      });
      assert.equal(answer.content.properties.correlationId, '7');
    },
  ),
  amqp(
    'reply-to.mandatory',
    REPLIES,
    EXTENSION,
    'an address is no queue: a mandatory reply comes back, and is delivered as well',
    async (t) => {
      const client = await t.channel();
      const server = await t.channel();
      const queue = await t.queue(server);
      await client.consume(DIRECT, { noAck: true });
      client.publish({ routingKey: queue, properties: { replyTo: DIRECT } });
      await server.consume(queue, { noAck: true });
      const routingKey = (await server.delivery()).content.properties.replyTo!;
      server.publish({ routingKey, body: 'reply', mandatory: true });
      await client.delivery('reply');
      const returned = await server.expect('basic.return');
      assert.equal(returned.content.body.toString(), 'reply');
    },
  ),
  amqp(
    'reply-to.declare',
    REPLIES,
    EXTENSION,
    'a passive declare of a reply address tells whether its requester still consumes',
    async (t) => {
      const client = await t.channel();
      const server = await t.channel();
      const queue = await t.queue(server);
      await client.consume(DIRECT, { noAck: true });
      client.publish({ routingKey: queue, properties: { replyTo: DIRECT } });
      await server.consume(queue, { noAck: true });
      const address = (await server.delivery()).content.properties.replyTo!;
      assert.equal((await server.call('queue.declare', { queue: address, passive: true })).queue, address);
      await client.close();
      server.send('queue.declare', { queue: address, passive: true });
      await server.expectClose(404);
    },
  ),
  amqp('reply-to.ack', REPLIES, EXTENSION, 'a reply consumer that would acknowledge is refused with 406', async (t) => {
    const channel = await t.channel();
    channel.send('basic.consume', { queue: DIRECT });
    await channel.expectClose(406, /^PRECONDITION_FAILED - reply consumer cannot acknowledge$/);
  }),
  amqp('reply-to.twice', REPLIES, EXTENSION, 'a second reply consumer of a channel is refused with 406', async (t) => {
    const channel = await t.channel();
    await channel.consume(DIRECT, { noAck: true });
    channel.send('basic.consume', { queue: DIRECT, noAck: true });
    await channel.expectClose(406, /^PRECONDITION_FAILED - reply consumer already set$/);
  }),
  amqp('reply-to.none', REPLIES, EXTENSION, 'a request without a reply consumer is refused with 406', async (t) => {
    const channel = await t.channel();
    channel.publish({ routingKey: 'k', properties: { replyTo: DIRECT } });
    await channel.expectClose(406, /^PRECONDITION_FAILED - fast reply consumer does not exist$/);
  }),
];
