// Checks of exchanges: predeclared ones, declare, passive and equivalent declare, reserved names, delete.

import type { Check } from '../../check.ts';
import { amqp, EXTENSION, MUST, SHOULD } from '../amqp-check.ts';
import type { AmqpChannel } from '../wire/channel.ts';
import { int, text } from '../wire/table.ts';

const KINDS = [
  ['direct', MUST],
  ['fanout', MUST],
  ['topic', SHOULD],
  ['headers', SHOULD],
] as const;

export const EXCHANGE_CHECKS: readonly Check[] = [
  ...KINDS.map(([kind, level]) =>
    amqp(`exchange.type.${kind}`, '1.6', level, `exchanges of type ${kind} can be declared`, async (t) => {
      const channel = await t.channel();
      await t.exchange(channel, kind);
      await channel.expectSilence();
    }),
  ),
  ...KINDS.map(([kind, level]) =>
    amqp(
      `exchange.predeclared.${kind}`,
      '1.6',
      level,
      `amq.${kind} is there, and a queue can be bound to it`,
      async (t) => {
        const channel = await t.channel();
        const exchange = `amq.${kind}`;
        await channel.call('exchange.declare', { exchange, passive: true });
        const queue = await t.queue(channel);
        await channel.call('queue.bind', { queue, exchange, routingKey: queue });
        await channel.call('queue.unbind', { queue, exchange, routingKey: queue });
      },
    ),
  ),
  amqp('exchange.predeclared.match', 'RabbitMQ: Exchanges', EXTENSION, 'amq.match is a headers exchange', async (t) => {
    const channel = await t.channel();
    await channel.call('exchange.declare', { exchange: 'amq.match', type: 'headers', durable: true });
  }),
  amqp('exchange.type.unknown', '1.6.2.1.2', MUST, 'an unknown type is refused with 503', async (t) => {
    const channel = await t.channel();
    channel.send('exchange.declare', { exchange: t.name(), type: 'no-such-type' });
    await channel.connection.expectClose(503, /^COMMAND_INVALID - /);
  }),
  amqp(
    'exchange.declare.repeated',
    '1.6.2.1.3',
    MUST,
    'an equivalent declare is answered with declare-ok',
    async (t) => {
      const channel = await t.channel();
      const args = { exchange: t.name(), type: 'topic', durable: true, autoDelete: true };
      await channel.call('exchange.declare', args);
      await channel.call('exchange.declare', args);
    },
  ),
  ...(
    [
      [
        'type',
        { type: 'fanout' },
        /inequivalent arg 'type' for exchange '.*' in vhost '\/': received 'fanout' but current is 'direct'/,
      ],
      [
        'durable',
        { durable: true },
        /inequivalent arg 'durable' for exchange '.*' in vhost '\/': received 'true' but current is 'false'/,
      ],
      ['auto-delete', { autoDelete: true }, /inequivalent arg 'auto_delete' for exchange/],
      ['internal', { internal: true }, /inequivalent arg 'internal' for exchange/],
      [
        'arguments',
        { arguments: { 'alternate-exchange': text('other') } },
        /inequivalent arg 'alternate-exchange' for exchange/,
      ],
    ] as const
  ).map(([id, other, words]) =>
    amqp(
      `exchange.declare.inequivalent-${id}`,
      '1.6.2.1.3',
      id === 'auto-delete' || id === 'internal' ? EXTENSION : MUST,
      `a declare with another ${id} is refused with 406`,
      async (t) => {
        const channel = await t.channel();
        const exchange = await t.exchange(channel, 'direct');
        channel.send('exchange.declare', { exchange, type: 'direct', ...other });
        await channel.expectClose(406, words);
      },
    ),
  ),
  amqp('exchange.declare.durabilities', '1.6.2.1.4', MUST, 'exchanges are durable or transient', async (t) => {
    const connection = await t.connect();
    for (const [number, durable] of [[1, true] as const, [2, false] as const]) {
      const channel = await t.channel(connection, number);
      const exchange = await t.exchange(channel, 'direct', { durable });
      await channel.call('exchange.declare', { exchange, type: 'direct', durable });
      channel.send('exchange.declare', { exchange, type: 'direct', durable: !durable });
      await channel.expectClose(406);
    }
  }),
  amqp(
    'exchange.declare.line-feeds',
    'RabbitMQ: Exchanges',
    EXTENSION,
    'carriage returns and line feeds are no part of the name of an exchange that is declared or deleted',
    async (t) => {
      const channel = await t.channel();
      const exchange = t.context.name();
      await channel.call('exchange.declare', { exchange: `${exchange}\r\n`, type: 'direct', autoDelete: true });
      for (const name of [exchange, `\n${exchange}`]) {
        await channel.call('exchange.declare', { exchange: name, type: 'direct', passive: true });
      }
      await channel.call('exchange.delete', { exchange: `${exchange}\n` });
      channel.send('exchange.declare', { exchange, type: 'direct', passive: true });
      await channel.expectClose(404);
    },
  ),
  amqp(
    'exchange.passive.exists',
    '1.6.2.1.3',
    MUST,
    'a passive declare finds an exchange, whatever its other fields are',
    async (t) => {
      const channel = await t.channel();
      const exchange = await t.exchange(channel, 'fanout');
      await channel.call('exchange.declare', { exchange, type: 'fanout', durable: true, passive: true });
    },
  ),
  amqp(
    'exchange.passive.missing',
    '1.6.2.1.3',
    MUST,
    'a passive declare of no exchange is refused with 404',
    async (t) => {
      const channel = await t.channel();
      channel.send('exchange.declare', { exchange: t.context.name(), type: 'direct', passive: true });
      await channel.expectClose(404, /^NOT_FOUND - no exchange '.*' in vhost '\/'$/);
    },
  ),
  amqp('exchange.passive.creates-nothing', '1.6.2.1.3', MUST, 'a passive declare creates nothing', async (t) => {
    const connection = await t.connect();
    const exchange = t.name();
    for (const number of [1, 2]) {
      const channel = await t.channel(connection, number);
      channel.send('exchange.declare', { exchange, type: 'direct', passive: true });
      await channel.expectClose(404);
    }
  }),
  amqp('exchange.reserved', '1.6.2.1.1', MUST, 'a new name that begins with amq. is refused with 403', async (t) => {
    const channel = await t.channel();
    channel.send('exchange.declare', { exchange: `amq.${t.context.name()}`, type: 'direct' });
    await channel.expectClose(403, /^ACCESS_REFUSED - exchange name 'amq\..*' contains reserved prefix 'amq\.\*'$/);
  }),
  amqp('exchange.reserved.exists', '1.6.2.1.1', MUST, 'an amq. exchange that exists may be declared', async (t) => {
    const channel = await t.channel();
    await channel.call('exchange.declare', { exchange: 'amq.direct', type: 'direct', durable: true });
  }),
  amqp(
    'exchange.reserved.delete',
    'RabbitMQ: Exchanges',
    EXTENSION,
    'an amq. exchange cannot be deleted',
    async (t) => {
      const channel = await t.channel();
      channel.send('exchange.delete', { exchange: 'amq.match' });
      await channel.expectClose(403, /^ACCESS_REFUSED - /);
    },
  ),
  ...(
    [
      ['declare', (channel: AmqpChannel) => channel.send('exchange.declare', { exchange: '', type: 'direct' })],
      ['delete', (channel: AmqpChannel) => channel.send('exchange.delete', { exchange: '' })],
      ['bind', (channel: AmqpChannel) => channel.send('exchange.bind', { destination: '', source: 'amq.direct' })],
    ] as const
  ).map(([id, send]) =>
    amqp(`exchange.default.${id}`, '1.6', MUST, `the default exchange cannot be used in exchange.${id}`, async (t) => {
      const channel = await t.channel();
      send(channel);
      await channel.expectClose(403, /^ACCESS_REFUSED - operation not permitted on the default exchange$/);
    }),
  ),
  amqp(
    'exchange.default.queue-bind',
    'RabbitMQ: Exchanges',
    EXTENSION,
    'queues cannot be bound to the default exchange',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      channel.send('queue.bind', { queue, exchange: '', routingKey: 'k' });
      await channel.expectClose(403, /^ACCESS_REFUSED - operation not permitted on the default exchange$/);
    },
  ),
  amqp(
    'exchange.name.utf8',
    '1.6.2.1.1',
    EXTENSION,
    'names may be of any characters, as RabbitMQ has it',
    async (t) => {
      const channel = await t.channel();
      const exchange = `${t.name()} ø/☃`;
      await channel.call('exchange.declare', { exchange, type: 'direct' });
      await channel.call('exchange.declare', { exchange, passive: true });
      await channel.call('exchange.delete', { exchange });
    },
  ),
  amqp('exchange.declare.no-wait', '1.6.2.1', MUST, 'a declare with no-wait is not answered, and done', async (t) => {
    const channel = await t.channel();
    const exchange = t.name();
    channel.send('exchange.declare', { exchange, type: 'direct', noWait: true });
    await channel.expectSilence();
    await channel.call('exchange.declare', { exchange, passive: true });
  }),
  amqp('exchange.declare.many', '1.6.2.1', SHOULD, 'there may be more than 16 exchanges', async (t) => {
    const channel = await t.channel();
    for (let i = 0; i < 17; i++) await t.exchange(channel, 'direct');
  }),
  amqp(
    'exchange.declare.argument-type',
    'RabbitMQ: Alternate exchanges',
    EXTENSION,
    'an argument of a wrong type is refused with 406',
    async (t) => {
      const channel = await t.channel();
      channel.send('exchange.declare', {
        exchange: t.name(),
        type: 'direct',
        arguments: { 'alternate-exchange': int(1) },
      });
      await channel.expectClose(
        406,
        /^PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange '.*' in vhost '\/'$/,
      );
    },
  ),
  amqp('exchange.delete', '1.6.2.3', MUST, 'a deleted exchange is gone', async (t) => {
    const channel = await t.channel();
    const exchange = await t.exchange(channel, 'direct');
    await channel.call('exchange.delete', { exchange });
    channel.send('exchange.declare', { exchange, passive: true });
    await channel.expectClose(404);
  }),
  amqp('exchange.delete.bindings', '1.6.2.3', MUST, 'the bindings of a deleted exchange are gone', async (t) => {
    const channel = await t.channel();
    const exchange = await t.exchange(channel, 'fanout');
    const queue = await t.queue(channel);
    await channel.call('queue.bind', { queue, exchange });
    await channel.call('exchange.delete', { exchange });
    await channel.call('exchange.declare', { exchange, type: 'fanout' });
    channel.publish({ exchange, body: 'lost' });
    await channel.getEmpty(queue);
  }),
  amqp(
    'exchange.delete.missing',
    'RabbitMQ: idempotent delete',
    EXTENSION,
    'a delete of no exchange is answered with delete-ok',
    async (t) => {
      const channel = await t.channel();
      await channel.call('exchange.delete', { exchange: t.context.name() });
    },
  ),
  amqp(
    'exchange.delete.in-use',
    '1.6.2.3.2',
    MUST,
    'if-unused refuses to delete a bound exchange with 406',
    async (t) => {
      const channel = await t.channel();
      const exchange = await t.exchange(channel, 'direct');
      await channel.call('queue.bind', { queue: await t.queue(channel), exchange });
      channel.send('exchange.delete', { exchange, ifUnused: true });
      await channel.expectClose(406, /^PRECONDITION_FAILED - exchange '.*' in vhost '\/' in use$/);
      const again = await t.channel(channel.connection, 2);
      await again.call('exchange.declare', { exchange, passive: true });
    },
  ),
  amqp('exchange.delete.unused', '1.6.2.3.2', MUST, 'if-unused deletes an exchange without bindings', async (t) => {
    const channel = await t.channel();
    const exchange = await t.exchange(channel, 'direct');
    await channel.call('exchange.delete', { exchange, ifUnused: true });
    channel.send('exchange.declare', { exchange, passive: true });
    await channel.expectClose(404);
  }),
  amqp('exchange.delete.no-wait', '1.6.2.3', MUST, 'a delete with no-wait is not answered, and done', async (t) => {
    const channel = await t.channel();
    const exchange = await t.exchange(channel, 'direct');
    channel.send('exchange.delete', { exchange, noWait: true });
    await channel.expectSilence();
    channel.send('exchange.declare', { exchange, passive: true });
    await channel.expectClose(404);
  }),
  amqp(
    'exchange.auto-delete',
    'RabbitMQ: Exchanges',
    EXTENSION,
    'an auto-delete exchange goes with its last binding',
    async (t) => {
      const channel = await t.channel();
      const exchange = await t.exchange(channel, 'direct', { autoDelete: true });
      const queue = await t.queue(channel);
      await channel.call('queue.bind', { queue, exchange, routingKey: 'a' });
      await channel.call('queue.bind', { queue, exchange, routingKey: 'b' });
      await channel.call('queue.unbind', { queue, exchange, routingKey: 'a' });
      await channel.call('exchange.declare', { exchange, passive: true });
      await channel.call('queue.unbind', { queue, exchange, routingKey: 'b' });
      channel.send('exchange.declare', { exchange, passive: true });
      await channel.expectClose(404);
    },
  ),
  amqp(
    'exchange.auto-delete.queue',
    'RabbitMQ: Exchanges',
    EXTENSION,
    'an auto-delete exchange goes with its last queue',
    async (t) => {
      const channel = await t.channel();
      const exchange = await t.exchange(channel, 'direct', { autoDelete: true });
      const queue = await t.queue(channel);
      await channel.call('queue.bind', { queue, exchange });
      await channel.call('queue.delete', { queue });
      channel.send('exchange.declare', { exchange, passive: true });
      await channel.expectClose(404);
    },
  ),
  amqp('exchange.internal', '1.8.3.9.2', MUST, 'a publish to an internal exchange is refused with 403', async (t) => {
    const channel = await t.channel();
    const exchange = await t.exchange(channel, 'fanout', { internal: true });
    channel.publish({ exchange, body: 'm' });
    await channel.expectClose(403, /^ACCESS_REFUSED - cannot publish to internal exchange '.*' in vhost '\/'$/);
  }),
];
