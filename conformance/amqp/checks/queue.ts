// Checks of queues: declare, names, passive and equivalent declare, exclusive, auto-delete, purge, delete.

import assert from 'node:assert/strict';
import type { Check } from '../../check.ts';
import { amqp, EXTENSION, MUST, SHOULD } from '../amqp-check.ts';
import { int, text } from '../wire/table.ts';

export const QUEUE_CHECKS: readonly Check[] = [
  amqp('queue.declare', '1.7.2.1', MUST, 'a new queue has its name, no messages and no consumers', async (t) => {
    const channel = await t.channel();
    const queue = t.name();
    const ok = await channel.call('queue.declare', { queue });
    assert.deepEqual(ok, { queue, messageCount: 0, consumerCount: 0 });
  }),
  amqp(
    'queue.declare.counts',
    '1.7.2.2',
    MUST,
    'declare-ok counts messages that are ready, and consumers',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      for (let i = 0; i < 3; i++) channel.publish({ routingKey: queue, body: 'm' });
      await channel.get(queue, { noAck: false });
      assert.deepEqual(await channel.count(queue), { queue, messageCount: 2, consumerCount: 0 });
      await channel.call('basic.qos', { prefetchCount: 1 });
      await channel.consume(queue);
      await channel.delivery();
      assert.deepEqual(await channel.count(queue), { queue, messageCount: 1, consumerCount: 1 });
    },
  ),
  amqp(
    'queue.declare.server-named',
    '1.7.2.1.1',
    MUST,
    'an empty name makes a queue with a name of its own',
    async (t) => {
      const channel = await t.channel();
      const one = await channel.call('queue.declare', { exclusive: true });
      const two = await channel.call('queue.declare', { exclusive: true });
      assert.notEqual(one.queue, '');
      assert.notEqual(one.queue, two.queue);
    },
  ),
  amqp(
    'queue.declare.amq-gen',
    'RabbitMQ: Queues',
    EXTENSION,
    'the name of such a queue begins with amq.gen-',
    async (t) => {
      const channel = await t.channel();
      assert.match((await channel.call('queue.declare', { exclusive: true })).queue, /^amq\.gen-/);
    },
  ),
  amqp(
    'queue.declare.last',
    '1.7.2.3.1',
    MUST,
    'an empty name means the queue that the channel declared last',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      await channel.call('queue.bind', { queue: '', exchange: 'amq.direct', routingKey: queue });
      channel.publish({ exchange: 'amq.direct', routingKey: queue, body: 'm' });
      await channel.get('', { body: 'm' });
      assert.equal((await channel.call('queue.purge', { queue: '' })).messageCount, 0);
      const consumerTag = await channel.consume('', { noAck: true });
      channel.publish({ routingKey: queue, body: 'n' });
      await channel.delivery('n');
      await channel.call('basic.cancel', { consumerTag });
      await channel.call('queue.unbind', { queue: '', exchange: 'amq.direct', routingKey: queue });
      await channel.call('queue.delete', { queue: '' });
      channel.send('queue.declare', { queue, passive: true });
      await channel.expectClose(404);
    },
  ),
  amqp(
    'queue.declare.last-key',
    '1.7.2.3.3',
    MUST,
    'with an empty queue name an empty key means its name',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      await channel.call('queue.bind', { queue: '', exchange: 'amq.direct', routingKey: '' });
      channel.publish({ exchange: 'amq.direct', routingKey: queue, body: 'm' });
      await channel.get(queue, { body: 'm' });
    },
  ),
  ...(
    [
      ['bind', 'queue.bind', { exchange: 'amq.direct' }],
      ['unbind', 'queue.unbind', { exchange: 'amq.direct' }],
      ['purge', 'queue.purge', {}],
      ['delete', 'queue.delete', {}],
      ['consume', 'basic.consume', {}],
      ['get', 'basic.get', {}],
    ] as const
  ).map(([id, name, args]) =>
    amqp(
      `queue.none.${id}`,
      '1.7',
      MUST,
      `${name} with an empty name is refused with 404 if the channel has declared no queue`,
      async (t) => {
        const channel = await t.channel();
        channel.send(name, { ...args, queue: '' });
        await channel.expectClose(404, /^NOT_FOUND - no previously declared queue$/);
      },
    ),
  ),
  ...(
    [
      ['bind', 'queue.bind', { exchange: 'amq.direct' }],
      ['unbind', 'queue.unbind', { exchange: 'amq.direct' }],
      ['purge', 'queue.purge', {}],
      ['consume', 'basic.consume', {}],
      ['get', 'basic.get', {}],
    ] as const
  ).map(([id, name, args]) =>
    amqp(
      `queue.missing.${id}`,
      '1.7',
      MUST,
      `${name} of a queue that does not exist is refused with 404`,
      async (t) => {
        const channel = await t.channel();
        channel.send(name, { ...args, queue: t.context.name() });
        if (id === 'unbind') await channel.expect('queue.unbind-ok');
        else await channel.expectClose(404, /^NOT_FOUND - no queue '.*' in vhost '\/'$/);
      },
    ),
  ),
  amqp('queue.declare.repeated', '1.7.2.1.2', MUST, 'an equivalent declare is answered with declare-ok', async (t) => {
    const channel = await t.channel();
    const args = { queue: t.name(), durable: true, autoDelete: true, arguments: { 'x-max-length': int(5) } };
    await channel.call('queue.declare', args);
    await channel.call('queue.declare', args);
  }),
  ...(
    [
      [
        'durable',
        { durable: true },
        /^PRECONDITION_FAILED - inequivalent arg 'durable' for queue '.*' in vhost '\/': received 'true' but current is 'false'$/,
      ],
      [
        'auto-delete',
        { autoDelete: true },
        /^PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue '.*' in vhost '\/': received 'true' but current is 'false'$/,
      ],
      [
        'arguments',
        { arguments: { 'x-max-length': int(5) } },
        /^PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '.*' in vhost '\/': received the value '5' of type 'signedint' but current is none$/,
      ],
    ] as const
  ).map(([id, other, words]) =>
    amqp(
      `queue.declare.inequivalent-${id}`,
      '1.7.2.1.2',
      MUST,
      `a declare with other ${id} is refused with 406`,
      async (t) => {
        const channel = await t.channel();
        const queue = t.name();
        await channel.call('queue.declare', { queue });
        channel.send('queue.declare', { queue, ...other });
        await channel.expectClose(406, words);
      },
    ),
  ),
  amqp(
    'queue.declare.inequivalent-exclusive',
    '1.7.2.1.2',
    MUST,
    'a declare with another exclusive is refused with 405',
    async (t) => {
      const channel = await t.channel();
      const queue = t.name();
      await channel.call('queue.declare', { queue });
      channel.send('queue.declare', { queue, exclusive: true });
      const { args } = await channel.expect('channel.close');
      assert.ok([405, 406].includes(args.replyCode), `${args.replyCode} ${args.replyText}`);
    },
  ),
  amqp(
    'queue.declare.equivalent-number',
    'RabbitMQ: Queues',
    EXTENSION,
    'arguments of other integer types and the same value are equivalent',
    async (t) => {
      const channel = await t.channel();
      const queue = t.name();
      await channel.call('queue.declare', { queue, arguments: { 'x-max-length': int(5) } });
      await channel.call('queue.declare', { queue, arguments: { 'x-max-length': { type: 'b', value: 5 } } });
    },
  ),
  ...(
    [
      ['type', { 'x-message-ttl': text('soon') }, /^PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue/],
      ['value', { 'x-max-length': int(-1) }, /^PRECONDITION_FAILED - invalid arg 'x-max-length' for queue/],
      ['overflow', { 'x-overflow': text('explode') }, /^PRECONDITION_FAILED - invalid arg 'x-overflow' for queue/],
      ['priority', { 'x-max-priority': int(256) }, /^PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue/],
    ] as const
  ).map(([id, args, words]) =>
    amqp(
      `queue.declare.invalid-${id}`,
      'RabbitMQ: Queues',
      EXTENSION,
      `an argument of a wrong ${id} is refused with 406`,
      async (t) => {
        const channel = await t.channel();
        channel.send('queue.declare', { queue: t.name(), arguments: args });
        await channel.expectClose(406, words);
      },
    ),
  ),
  amqp('queue.declare.kinds', '1.7.2.1.3', MUST, 'queues are durable or transient, exclusive or shared', async (t) => {
    const connection = await t.connect();
    const other = await t.connect();
    let number = 0;
    for (const durable of [true, false]) {
      for (const exclusive of [true, false]) {
        const channel = await t.channel(connection, ++number);
        const queue = t.name();
        await channel.call('queue.declare', { queue, durable, exclusive });
        await channel.call('queue.declare', { queue, durable, exclusive });
        const stranger = await t.channel(other, number);
        stranger.send('queue.declare', { queue, passive: true });
        if (exclusive) await stranger.expectClose(405);
        else await stranger.expect('queue.declare-ok');
        // An exclusive queue never survives a broker restart, and a broker need not compare a flag that has no effect.
        if (exclusive) continue;
        channel.send('queue.declare', { queue, durable: !durable });
        await channel.expectClose(406);
      }
    }
  }),
  amqp('queue.declare.no-wait', '1.7.2.1', MUST, 'a declare with no-wait is not answered, and done', async (t) => {
    const channel = await t.channel();
    const queue = t.name();
    channel.send('queue.declare', { queue, noWait: true });
    await channel.expectSilence();
    await channel.count(queue);
  }),
  amqp('queue.declare.many', '1.7.2.1', SHOULD, 'there may be more than 256 queues', async (t) => {
    const channel = await t.channel();
    for (let i = 0; i < 257; i++) channel.send('queue.declare', { queue: '', exclusive: true });
    for (let i = 0; i < 257; i++) await channel.expect('queue.declare-ok');
  }),
  amqp(
    'queue.default-binding',
    '1.7.2.1',
    MUST,
    'a new queue is bound to the default exchange by its name',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      channel.publish({ exchange: '', routingKey: queue, body: 'm' });
      const { args } = await channel.get(queue, { body: 'm' });
      assert.equal(args.exchange, '');
      assert.equal(args.routingKey, queue);
    },
  ),
  amqp('queue.reserved', '1.7.2.1.1', MUST, 'a new name that begins with amq. is refused with 403', async (t) => {
    const channel = await t.channel();
    channel.send('queue.declare', { queue: `amq.${t.context.name()}` });
    await channel.expectClose(403, /^ACCESS_REFUSED - queue name 'amq\..*' contains reserved prefix 'amq\.\*'$/);
  }),
  amqp('queue.name.utf8', '1.7.2.1.1', EXTENSION, 'names may be of any characters, as RabbitMQ has it', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel, { queue: `${t.context.name()} ø/☃`.slice(-60) });
    channel.publish({ routingKey: queue, body: 'm' });
    await channel.get(queue, { body: 'm' });
  }),
  amqp('queue.name.long', '1.7.2.1.1', MUST, 'a name may have 127 characters', async (t) => {
    const channel = await t.channel();
    const name = t.context.name().padEnd(127, 'x').slice(-127);
    assert.equal(await t.queue(channel, { queue: name }), name);
  }),
  amqp(
    'queue.declare.line-feeds',
    'RabbitMQ: Queues',
    EXTENSION,
    'carriage returns and line feeds are no part of the name of a queue that is declared, bound or deleted',
    async (t) => {
      const channel = await t.channel();
      const name = t.context.name();
      const declared = await channel.call('queue.declare', { queue: `${name}\r\n-a\n`, autoDelete: true });
      assert.equal(declared.queue, `${name}-a`);
      for (const queue of [`${name}-a`, `\n${name}-a`]) {
        assert.equal((await channel.call('queue.declare', { queue, passive: true })).queue, `${name}-a`);
      }
      await channel.call('queue.bind', { queue: `${name}-a\n`, exchange: 'amq.direct', routingKey: 'k' });
      await channel.call('queue.delete', { queue: `${name}-a\n` });
      channel.send('queue.declare', { queue: `${name}-a`, passive: true });
      await channel.expectClose(404);
    },
  ),
  amqp(
    'queue.passive.exists',
    '1.7.2.1.2',
    MUST,
    'a passive declare finds a queue, whatever its other fields are',
    async (t) => {
      const channel = await t.channel();
      const queue = t.name();
      await channel.call('queue.declare', { queue });
      const ok = await channel.call('queue.declare', { queue, passive: true, durable: true, autoDelete: true });
      assert.equal(ok.queue, queue);
    },
  ),
  amqp(
    'queue.passive.missing',
    '1.7.2.1.2',
    MUST,
    'a passive declare of no queue is refused with 404, and creates none',
    async (t) => {
      const connection = await t.connect();
      const queue = t.name();
      for (const number of [1, 2]) {
        const channel = await t.channel(connection, number);
        channel.send('queue.declare', { queue, passive: true });
        await channel.expectClose(404, /^NOT_FOUND - no queue '.*' in vhost '\/'$/);
      }
    },
  ),
  ...(
    [
      ['declare', 'queue.declare', { exclusive: true }],
      ['passive', 'queue.declare', { passive: true }],
      ['bind', 'queue.bind', { exchange: 'amq.direct' }],
      ['purge', 'queue.purge', {}],
      ['delete', 'queue.delete', {}],
      ['consume', 'basic.consume', {}],
      ['get', 'basic.get', {}],
    ] as const
  ).map(([id, name, args]) =>
    amqp(
      `queue.exclusive.${id}`,
      '1.7.2.1.4',
      MUST,
      `${name} of an exclusive queue of another connection is refused with 405`,
      async (t) => {
        const queue = await t.queue(await t.channel());
        const other = await t.channel();
        other.send(name, { ...args, queue });
        await other.expectClose(
          405,
          /^RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '.*' in vhost '\/'/,
        );
      },
    ),
  ),
  amqp('queue.exclusive.publish', '1.7.2.1.4', MUST, 'anybody may publish to an exclusive queue', async (t) => {
    const owner = await t.channel();
    const queue = await t.queue(owner);
    await owner.consume(queue, { noAck: true });
    (await t.channel()).publish({ routingKey: queue, body: 'm' });
    await owner.delivery('m');
  }),
  amqp(
    'queue.exclusive.channels',
    '1.7.2.1.4',
    MUST,
    'all channels of its connection may use an exclusive queue',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      const other = await t.channel(channel.connection, 2);
      await other.count(queue);
      await channel.close();
      await other.count(queue);
    },
  ),
  amqp('queue.exclusive.closed', '1.7.2.1.4', MUST, 'an exclusive queue is deleted with its connection', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    const other = await t.channel();
    channel.connection.send(0, 'connection.close', { replyCode: 200 });
    await channel.connection.expect(0, 'connection.close-ok');
    other.send('queue.declare', { queue, passive: true });
    await other.expectClose(404);
  }),
  amqp('queue.auto-delete', '1.7.2.1.5', MUST, 'an auto-delete queue goes with its last consumer', async (t) => {
    const channel = await t.channel();
    const queue = t.name();
    await channel.call('queue.declare', { queue, autoDelete: true });
    const one = await channel.consume(queue);
    const two = await channel.consume(queue);
    await channel.call('basic.cancel', { consumerTag: one });
    await channel.count(queue);
    await channel.call('basic.cancel', { consumerTag: two });
    channel.send('queue.declare', { queue, passive: true });
    await channel.expectClose(404);
  }),
  amqp(
    'queue.auto-delete.channel',
    '1.7.2.1.5',
    MUST,
    'an auto-delete queue goes when the channel of its last consumer closes',
    async (t) => {
      const channel = await t.channel();
      const queue = t.name();
      await channel.call('queue.declare', { queue, autoDelete: true });
      const consumer = await t.channel(channel.connection, 2);
      await consumer.consume(queue);
      await consumer.close();
      channel.send('queue.declare', { queue, passive: true });
      await channel.expectClose(404);
    },
  ),
  amqp(
    'queue.auto-delete.unused',
    '1.7.2.1.5',
    MUST,
    'an auto-delete queue that never had a consumer stays',
    async (t) => {
      const channel = await t.channel();
      const queue = t.name();
      await channel.call('queue.declare', { queue, autoDelete: true });
      await channel.close();
      await (await t.channel(channel.connection, 2)).count(queue);
    },
  ),
  amqp('queue.purge', '1.7.2.7', MUST, 'purge removes the ready messages and returns their number', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    for (let i = 0; i < 3; i++) channel.publish({ routingKey: queue });
    assert.equal((await channel.call('queue.purge', { queue })).messageCount, 3);
    await channel.getEmpty(queue);
  }),
  amqp('queue.purge.unacked', '1.7.2.7', MUST, 'purge keeps unacknowledged messages', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    for (const body of ['out', 'in']) channel.publish({ routingKey: queue, body });
    const message = await channel.get(queue, { noAck: false, body: 'out' });
    assert.equal((await channel.call('queue.purge', { queue })).messageCount, 1);
    channel.send('basic.reject', { deliveryTag: message.args.deliveryTag, requeue: true });
    await channel.get(queue, { body: 'out' });
  }),
  amqp('queue.purge.no-wait', '1.7.2.7', MUST, 'a purge with no-wait is not answered, and done', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    channel.publish({ routingKey: queue });
    channel.send('queue.purge', { queue, noWait: true });
    await channel.expectSilence();
    await channel.getEmpty(queue);
  }),
  amqp('queue.delete', '1.7.2.9', MUST, 'a deleted queue is gone with its messages, which are counted', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    for (let i = 0; i < 2; i++) channel.publish({ routingKey: queue });
    assert.equal((await channel.call('queue.delete', { queue })).messageCount, 2);
    channel.send('queue.declare', { queue, passive: true });
    await channel.expectClose(404);
  }),
  amqp(
    'queue.delete.missing',
    'RabbitMQ: idempotent delete',
    EXTENSION,
    'a delete of no queue is answered with delete-ok',
    async (t) => {
      const channel = await t.channel();
      assert.equal((await channel.call('queue.delete', { queue: t.context.name() })).messageCount, 0);
    },
  ),
  amqp(
    'queue.delete.in-use',
    '1.7.2.9.2',
    MUST,
    'if-unused refuses to delete a queue with a consumer with 406',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      await channel.consume(queue);
      const other = await t.channel(channel.connection, 2);
      other.send('queue.delete', { queue, ifUnused: true });
      await other.expectClose(406, /^PRECONDITION_FAILED - queue '.*' in vhost '\/' in use$/);
      await channel.count(queue);
    },
  ),
  amqp(
    'queue.delete.not-empty',
    '1.7.2.9.3',
    MUST,
    'if-empty refuses to delete a queue with messages with 406',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      channel.publish({ routingKey: queue });
      await channel.count(queue);
      const other = await t.channel(channel.connection, 2);
      other.send('queue.delete', { queue, ifEmpty: true });
      await other.expectClose(406, /^PRECONDITION_FAILED - queue '.*' in vhost '\/' not empty$/);
      assert.equal((await channel.count(queue)).messageCount, 1);
    },
  ),
  amqp(
    'queue.delete.unused-empty',
    '1.7.2.9',
    MUST,
    'if-unused and if-empty delete a queue without either',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      await channel.call('queue.delete', { queue, ifUnused: true, ifEmpty: true });
      channel.send('queue.declare', { queue, passive: true });
      await channel.expectClose(404);
    },
  ),
  amqp('queue.delete.no-wait', '1.7.2.9', MUST, 'a delete with no-wait is not answered, and done', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    channel.send('queue.delete', { queue, noWait: true });
    await channel.expectSilence();
    channel.send('queue.declare', { queue, passive: true });
    await channel.expectClose(404);
  }),
  amqp(
    'queue.restart.durable',
    '1.7.2.1.3',
    MUST,
    'durable queues and their bindings survive a restart, transient ones do not',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      const exchange = await t.exchange(channel, 'direct', { durable: true });
      await channel.call('queue.bind', { queue, exchange, routingKey: 'k' });
      const transient = await t.sharedQueue(channel, { durable: false });
      await t.context.controls.restart!();
      const after = await t.channel();
      after.publish({ exchange, routingKey: 'k', body: 'm' });
      await after.get(queue, { body: 'm' });
      after.send('queue.declare', { queue: transient, passive: true });
      await after.expectClose(404);
    },
    { needs: 'restart' },
  ),
  amqp(
    'queue.restart.persistent',
    '1.8',
    SHOULD,
    'persistent messages that were confirmed survive a restart',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      await channel.call('confirm.select');
      channel.publish({ routingKey: queue, body: 'kept', properties: { deliveryMode: 2, messageId: 'id' } });
      await channel.expect('basic.ack');
      await t.context.controls.restart!();
      const after = await t.channel();
      const { content } = await after.get(queue, { body: 'kept' });
      assert.deepEqual(content.properties, { deliveryMode: 2, messageId: 'id' });
    },
    { needs: 'restart' },
  ),
];
