// Checks of bindings and routing: direct, fanout, topic and headers exchanges, unbind, exchange-to-exchange bindings,
// alternate exchanges, and further routing keys in CC and BCC.

import assert from 'node:assert/strict';
import type { Check } from '../../check.ts';
import { type AmqpTest, amqp, EXTENSION, MUST, SHOULD } from '../amqp-check.ts';
import type { AmqpChannel } from '../wire/channel.ts';
import { bool, int, list, type Table, text } from '../wire/table.ts';

/** Publishes messages with these keys and returns those that reach a queue with these binding keys. */
async function arriving(
  t: AmqpTest,
  type: string,
  bindings: readonly string[],
  keys: readonly string[],
): Promise<string[]> {
  const channel = await t.channel();
  const exchange = await t.exchange(channel, type);
  const queue = await t.queue(channel);
  for (const routingKey of bindings) await channel.call('queue.bind', { queue, exchange, routingKey });
  for (const routingKey of keys) channel.publish({ exchange, routingKey, body: routingKey });
  return contents(channel, queue);
}

/** Takes all messages of the queue. */
async function contents(channel: AmqpChannel, queue: string): Promise<string[]> {
  const bodies: string[] = [];
  for (;;) {
    channel.send('basic.get', { queue, noAck: true });
    const answer = await channel.receive();
    if (answer.name !== 'basic.get-ok') {
      assert.equal(answer.name, 'basic.get-empty');
      return bodies;
    }
    bodies.push(answer.content.body.toString());
  }
}

const TOPICS: readonly (readonly [string, string, string, readonly string[], readonly string[]])[] = [
  ['star', 'a star is one word', 'a.*.c', ['a.b.c', 'a..c'], ['a.c', 'a.b.b.c', 'a.b.c.d']],
  ['hash', 'a hash is any number of words, none too', 'a.#', ['a', 'a.b', 'a.b.c', 'a.'], ['b', 'b.a', 'ab']],
  ['hash-middle', 'a hash may stand between words', 'a.#.z', ['a.z', 'a.b.z', 'a.b.c.z', 'a.z.z'], ['a', 'z', 'a.z.b']],
  ['hash-alone', 'a hash alone is everything', '#', ['', 'a', 'a.b', '.'], []],
  ['literal', 'words are compared as they are', 'a.b', ['a.b'], ['A.b', 'a.bb', 'a.b.', '.a.b']],
  ['empty', 'an empty pattern is the empty key', '', [''], ['a', '.']],
  ['mixed', 'star and hash combine', '*.#.*', ['a.b', 'a.b.c', '.'], ['a', '']],
];

const HEADERS: readonly (readonly [string, string, Table, Table, boolean])[] = [
  [
    'all',
    'all headers must match',
    { 'x-match': text('all'), a: text('1'), b: int(2) },
    { a: text('1'), b: int(2), c: int(3) },
    true,
  ],
  [
    'all-missing',
    'with all, one that is missing is none',
    { 'x-match': text('all'), a: text('1'), b: int(2) },
    { a: text('1') },
    false,
  ],
  [
    'any',
    'with any, one that matches is enough',
    { 'x-match': text('any'), a: text('1'), b: int(2) },
    { b: int(2) },
    true,
  ],
  [
    'any-none',
    'with any, none is none',
    { 'x-match': text('any'), a: text('1') },
    { a: text('2'), c: text('1') },
    false,
  ],
  ['default', 'without x-match all must match', { a: text('1'), b: text('2') }, { a: text('1') }, false],
  ['void', 'a binding without a value asks for presence only', { a: { type: 'V' } }, { a: int(77) }, true],
  [
    'x-ignored',
    'headers that begin with x- do not take part',
    { 'x-match': text('all'), 'x-other': text('1'), a: text('1') },
    { a: text('1') },
    true,
  ],
  ['type', 'a value of another type is another value', { a: text('1') }, { a: int(1) }, false],
];

/** Two exchanges and a queue: the first exchange is bound to the second, and that to the queue. */
async function chain(
  t: AmqpTest,
  channel: AmqpChannel,
): Promise<{ source: string; destination: string; queue: string }> {
  const source = await t.exchange(channel, 'direct');
  const destination = await t.exchange(channel, 'fanout');
  const queue = await t.queue(channel);
  await channel.call('exchange.bind', { destination, source, routingKey: 'k' });
  await channel.call('queue.bind', { queue, exchange: destination });
  return { source, destination, queue };
}

export const ROUTING_CHECKS: readonly Check[] = [
  amqp('routing.direct', '1.7.2.3.3', MUST, 'a direct exchange routes to bindings with an equal key', async (t) => {
    assert.deepEqual(await arriving(t, 'direct', ['k', 'l'], ['k', 'K', 'kk', 'l', '']), ['k', 'l']);
  }),
  amqp(
    'routing.direct.empty',
    '1.7.2.3.3',
    MUST,
    'a direct binding with an empty key is for the empty key',
    async (t) => {
      assert.deepEqual(await arriving(t, 'direct', [''], ['k', '']), ['']);
    },
  ),
  amqp('routing.fanout', '3.1.3.2', MUST, 'a fanout exchange passes everything on, whatever the keys', async (t) => {
    assert.deepEqual(await arriving(t, 'fanout', ['k'], ['k', 'other', '']), ['k', 'other', '']);
  }),
  amqp('routing.fanout.queues', '3.1.3.2', MUST, 'every bound queue gets its own', async (t) => {
    const channel = await t.channel();
    const exchange = await t.exchange(channel, 'fanout');
    const queues = [await t.queue(channel), await t.queue(channel), await t.queue(channel)];
    for (const queue of queues) await channel.call('queue.bind', { queue, exchange });
    channel.publish({ exchange, body: 'm' });
    for (const queue of queues) await channel.get(queue, { body: 'm' });
  }),
  ...TOPICS.map(([id, title, pattern, matching, others]) =>
    amqp(`routing.topic.${id}`, '3.1.3.3', SHOULD, `in a topic pattern ${title}`, async (t) => {
      assert.deepEqual(await arriving(t, 'topic', [pattern], [...others, ...matching]), matching);
    }),
  ),
  ...HEADERS.map(([id, title, binding, headers, matches]) =>
    amqp(`routing.headers.${id}`, '3.1.3.4', SHOULD, `in a headers binding ${title}`, async (t) => {
      const channel = await t.channel();
      const exchange = await t.exchange(channel, 'headers');
      const queue = await t.queue(channel);
      await channel.call('queue.bind', { queue, exchange, arguments: binding });
      channel.publish({ exchange, body: 'm', properties: { headers } });
      assert.deepEqual(await contents(channel, queue), matches ? ['m'] : []);
    }),
  ),
  amqp('routing.headers.invalid', '3.1.3.4', SHOULD, 'an x-match that is neither is refused with 406', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    channel.send('queue.bind', { queue, exchange: 'amq.headers', arguments: { 'x-match': text('some') } });
    await channel.expectClose(406);
  }),
  amqp(
    'routing.unique',
    '1.7.2.3',
    MUST,
    'a queue gets a message once, however many of its bindings match',
    async (t) => {
      assert.deepEqual(await arriving(t, 'topic', ['a.*', 'a.#', '#', 'a.b'], ['a.b']), ['a.b']);
    },
  ),
  amqp('routing.unbound', '1.8.3.9', MUST, 'a message that no binding matches is dropped in silence', async (t) => {
    const channel = await t.channel();
    channel.publish({ exchange: 'amq.direct', routingKey: t.context.name() });
    await channel.expectSilence();
  }),
  amqp('queue.bind.duplicate', '1.7.2.3', MUST, 'a binding that is there may be made again, and is one', async (t) => {
    const channel = await t.channel();
    const exchange = await t.exchange(channel, 'direct');
    const queue = await t.queue(channel);
    for (let i = 0; i < 2; i++) await channel.call('queue.bind', { queue, exchange, routingKey: 'k' });
    channel.publish({ exchange, routingKey: 'k', body: 'm' });
    assert.deepEqual(await contents(channel, queue), ['m']);
    await channel.call('queue.unbind', { queue, exchange, routingKey: 'k' });
    channel.publish({ exchange, routingKey: 'k', body: 'm' });
    assert.deepEqual(await contents(channel, queue), []);
  }),
  amqp(
    'queue.bind.arguments',
    'RabbitMQ: Bindings',
    EXTENSION,
    'bindings that differ in their arguments are two',
    async (t) => {
      const channel = await t.channel();
      const exchange = await t.exchange(channel, 'direct');
      const queue = await t.queue(channel);
      for (const n of [1, 2]) {
        await channel.call('queue.bind', { queue, exchange, routingKey: 'k', arguments: { n: int(n) } });
      }
      await channel.call('queue.unbind', { queue, exchange, routingKey: 'k', arguments: { n: int(1) } });
      channel.publish({ exchange, routingKey: 'k', body: 'm' });
      assert.deepEqual(await contents(channel, queue), ['m']);
      await channel.call('queue.unbind', { queue, exchange, routingKey: 'k', arguments: { n: int(2) } });
      channel.publish({ exchange, routingKey: 'k', body: 'm' });
      assert.deepEqual(await contents(channel, queue), []);
    },
  ),
  amqp(
    'queue.bind.transient-exchange',
    '1.7.2.3',
    MUST,
    'a durable queue may be bound to a transient exchange',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.sharedQueue(channel);
      const exchange = await t.exchange(channel, 'direct', { durable: false });
      await channel.call('queue.bind', { queue, exchange });
    },
  ),
  amqp('queue.bind.many', '1.7.2.3', SHOULD, 'a queue may be bound to more than four exchanges', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    for (let i = 0; i < 5; i++) {
      const exchange = await t.exchange(channel, 'fanout');
      await channel.call('queue.bind', { queue, exchange });
      channel.publish({ exchange, body: `${i}` });
    }
    assert.deepEqual(await contents(channel, queue), ['0', '1', '2', '3', '4']);
  }),
  amqp('queue.bind.no-exchange', '1.7.2.3.2', MUST, 'a binding to no exchange is refused with 404', async (t) => {
    const channel = await t.channel();
    const queue = await t.queue(channel);
    channel.send('queue.bind', { queue, exchange: t.context.name() });
    await channel.expectClose(404, /^NOT_FOUND - no exchange '.*' in vhost '\/'$/);
  }),
  amqp('queue.bind.no-wait', '1.7.2.3', MUST, 'a bind with no-wait is not answered, and done', async (t) => {
    const channel = await t.channel();
    const exchange = await t.exchange(channel, 'fanout');
    const queue = await t.queue(channel);
    channel.send('queue.bind', { queue, exchange, noWait: true });
    await channel.expectSilence();
    channel.publish({ exchange, body: 'm' });
    await channel.get(queue, { body: 'm' });
  }),
  amqp('queue.unbind', '1.7.2.5', MUST, 'after unbind nothing comes by that key, and others stay', async (t) => {
    const channel = await t.channel();
    const exchange = await t.exchange(channel, 'direct');
    const queue = await t.queue(channel);
    for (const routingKey of ['k', 'l']) await channel.call('queue.bind', { queue, exchange, routingKey });
    await channel.call('queue.unbind', { queue, exchange, routingKey: 'k' });
    for (const routingKey of ['k', 'l']) channel.publish({ exchange, routingKey, body: routingKey });
    assert.deepEqual(await contents(channel, queue), ['l']);
  }),
  amqp(
    'queue.unbind.missing',
    'RabbitMQ: idempotent unbind',
    EXTENSION,
    'an unbind of no binding is answered with unbind-ok',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      await channel.call('queue.unbind', { queue, exchange: 'amq.direct', routingKey: 'never-bound' });
    },
  ),
  amqp(
    'queue.unbind.no-exchange',
    '1.7.2.5.2',
    EXTENSION,
    'an unbind from no exchange is answered with unbind-ok',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      await channel.call('queue.unbind', { queue, exchange: t.context.name(), routingKey: 'k' });
    },
  ),

  amqp(
    'exchange.bind',
    'RabbitMQ: Exchange to exchange bindings',
    EXTENSION,
    'a message goes through bound exchanges, with the exchange and key of its publish',
    async (t) => {
      const channel = await t.channel();
      const { source, queue } = await chain(t, channel);
      channel.publish({ exchange: source, routingKey: 'other', body: 'n' });
      channel.publish({ exchange: source, routingKey: 'k', body: 'm' });
      const { args } = await channel.get(queue, { body: 'm' });
      assert.deepEqual([args.exchange, args.routingKey], [source, 'k']);
    },
  ),
  amqp(
    'publish.cc.bound-exchanges',
    'RabbitMQ: Sender-selected distribution',
    EXTENSION,
    'every key of CC and BCC goes on to every exchange on the way',
    async (t) => {
      const channel = await t.channel();
      const [source, destination] = [await t.exchange(channel, 'direct'), await t.exchange(channel, 'topic')];
      const queue = await t.queue(channel);
      await channel.call('exchange.bind', { destination, source, routingKey: 'rk1' });
      await channel.call('queue.bind', { queue, exchange: destination, routingKey: 'rk2' });
      const headers = { CC: list(text('rk1')), BCC: list(text('rk2')) };
      channel.publish({ exchange: source, routingKey: '', body: 'm', properties: { headers } });
      for (const key of ['rk1', 'rk2']) channel.publish({ exchange: source, routingKey: key, body: 'alone' });
      assert.deepEqual(await contents(channel, queue), ['m']);
    },
  ),
  amqp(
    'exchange.bind.once',
    'RabbitMQ: Exchange to exchange bindings',
    EXTENSION,
    'a queue that several ways lead to gets a message once',
    async (t) => {
      const channel = await t.channel();
      const { source, queue } = await chain(t, channel);
      await channel.call('queue.bind', { queue, exchange: source, routingKey: 'k' });
      channel.publish({ exchange: source, routingKey: 'k', body: 'm' });
      assert.deepEqual(await contents(channel, queue), ['m']);
    },
  ),
  amqp(
    'exchange.bind.cycle',
    'RabbitMQ: Exchange to exchange bindings',
    EXTENSION,
    'exchanges that are bound in a circle deliver once',
    async (t) => {
      const channel = await t.channel();
      const { source, destination, queue } = await chain(t, channel);
      await channel.call('exchange.bind', { destination: source, source: destination });
      await channel.call('exchange.bind', { destination, source: destination });
      channel.publish({ exchange: source, routingKey: 'k', body: 'm' });
      assert.deepEqual(await contents(channel, queue), ['m']);
    },
  ),
  amqp(
    'exchange.unbind',
    'RabbitMQ: Exchange to exchange bindings',
    EXTENSION,
    'after unbind nothing passes',
    async (t) => {
      const channel = await t.channel();
      const { source, destination, queue } = await chain(t, channel);
      await channel.call('exchange.unbind', { destination, source, routingKey: 'k' });
      channel.publish({ exchange: source, routingKey: 'k', body: 'm' });
      assert.deepEqual(await contents(channel, queue), []);
    },
  ),
  amqp(
    'exchange.unbind.missing',
    'RabbitMQ: Exchange to exchange bindings',
    EXTENSION,
    'an unbind of no binding is answered with unbind-ok',
    async (t) => {
      const channel = await t.channel();
      const { source, destination } = await chain(t, channel);
      await channel.call('exchange.unbind', { destination, source, routingKey: 'never-bound' });
    },
  ),
  amqp(
    'exchange.bind.missing',
    'RabbitMQ: Exchange to exchange bindings',
    EXTENSION,
    'a binding of exchanges that do not exist is refused with 404',
    async (t) => {
      const connection = await t.connect();
      for (const number of [1, 2]) {
        const channel = await t.channel(connection, number);
        const none = t.context.name();
        const ends =
          number === 1 ? { destination: none, source: 'amq.direct' } : { destination: 'amq.direct', source: none };
        channel.send('exchange.bind', ends);
        await channel.expectClose(404, /^NOT_FOUND - no exchange/);
      }
    },
  ),
  amqp(
    'exchange.bind.no-wait',
    'RabbitMQ: Exchange to exchange bindings',
    EXTENSION,
    'bind and unbind with no-wait are not answered, and done',
    async (t) => {
      const channel = await t.channel();
      const { source, destination, queue } = await chain(t, channel);
      channel.send('exchange.bind', { destination, source, routingKey: 'l', noWait: true });
      channel.send('exchange.unbind', { destination, source, routingKey: 'k', noWait: true });
      await channel.expectSilence();
      for (const routingKey of ['k', 'l']) channel.publish({ exchange: source, routingKey, body: routingKey });
      assert.deepEqual(await contents(channel, queue), ['l']);
    },
  ),
  amqp(
    'exchange.bind.internal',
    'RabbitMQ: Exchange to exchange bindings',
    EXTENSION,
    'an internal exchange routes messages that reach it through a binding',
    async (t) => {
      const channel = await t.channel();
      const source = await t.exchange(channel, 'fanout');
      const destination = await t.exchange(channel, 'fanout', { internal: true });
      const queue = await t.queue(channel);
      await channel.call('exchange.bind', { destination, source });
      await channel.call('queue.bind', { queue, exchange: destination });
      channel.publish({ exchange: source, body: 'm' });
      await channel.get(queue, { body: 'm' });
    },
  ),

  amqp(
    'exchange.alternate',
    'RabbitMQ: Alternate exchanges',
    EXTENSION,
    'only unroutable messages go to the alternate exchange',
    async (t) => {
      const channel = await t.channel();
      const alternate = await t.exchange(channel, 'fanout');
      const exchange = await t.exchange(channel, 'direct', { arguments: { 'alternate-exchange': text(alternate) } });
      const [routed, unrouted] = [await t.queue(channel), await t.queue(channel)];
      await channel.call('queue.bind', { queue: routed, exchange, routingKey: 'k' });
      await channel.call('queue.bind', { queue: unrouted, exchange: alternate });
      for (const routingKey of ['k', 'l']) channel.publish({ exchange, routingKey, body: routingKey });
      assert.deepEqual(await contents(channel, routed), ['k']);
      const { args } = await channel.get(unrouted, { body: 'l' });
      assert.equal(args.exchange, exchange);
      await channel.getEmpty(unrouted);
    },
  ),
  amqp(
    'exchange.alternate.chain',
    'RabbitMQ: Alternate exchanges',
    EXTENSION,
    'an alternate exchange may have one itself',
    async (t) => {
      const channel = await t.channel();
      const last = await t.exchange(channel, 'fanout');
      const middle = await t.exchange(channel, 'direct', { arguments: { 'alternate-exchange': text(last) } });
      const first = await t.exchange(channel, 'direct', { arguments: { 'alternate-exchange': text(middle) } });
      const queue = await t.queue(channel);
      await channel.call('queue.bind', { queue, exchange: last });
      channel.publish({ exchange: first, routingKey: 'k', body: 'm' });
      await channel.get(queue, { body: 'm' });
    },
  ),
  amqp(
    'exchange.alternate.mandatory',
    'RabbitMQ: Alternate exchanges',
    EXTENSION,
    'a message that went to an alternate exchange is not returned',
    async (t) => {
      const channel = await t.channel();
      const alternate = await t.exchange(channel, 'fanout');
      const exchange = await t.exchange(channel, 'direct', { arguments: { 'alternate-exchange': text(alternate) } });
      const queue = await t.queue(channel);
      await channel.call('queue.bind', { queue, exchange: alternate });
      channel.publish({ exchange, routingKey: 'k', body: 'm', mandatory: true });
      await channel.get(queue, { body: 'm' });
    },
  ),
  amqp(
    'exchange.alternate.missing',
    'RabbitMQ: Alternate exchanges',
    EXTENSION,
    'an alternate exchange that does not exist is as none',
    async (t) => {
      const channel = await t.channel();
      const exchange = await t.exchange(channel, 'direct', {
        arguments: { 'alternate-exchange': text(t.context.name()) },
      });
      channel.publish({ exchange, routingKey: 'k', body: 'm', mandatory: true });
      await channel.expect('basic.return');
      await channel.expectSilence();
    },
  ),

  amqp(
    'publish.cc',
    'RabbitMQ: Sender-selected distribution',
    EXTENSION,
    'keys in CC are routed to as well; receivers see them',
    async (t) => {
      const channel = await t.channel();
      const queues = [await t.queue(channel), await t.queue(channel), await t.queue(channel)] as const;
      const headers = { CC: list(text(queues[1]), text(queues[2])), other: bool(true) };
      channel.publish({ routingKey: queues[0], body: 'm', properties: { headers } });
      for (const queue of queues) {
        const { args, content } = await channel.get(queue, { body: 'm' });
        assert.equal(args.routingKey, queues[0]);
        assert.deepEqual(content.properties.headers, headers);
      }
    },
  ),
  amqp(
    'publish.bcc',
    'RabbitMQ: Sender-selected distribution',
    EXTENSION,
    'a message is also routed by its BCC keys, and is delivered without them',
    async (t) => {
      const channel = await t.channel();
      const queues = [await t.queue(channel), await t.queue(channel)] as const;
      const headers = { BCC: list(text(queues[1])), other: bool(true) };
      channel.publish({ routingKey: queues[0], body: 'm', properties: { headers } });
      for (const queue of queues) {
        const { content } = await channel.get(queue, { body: 'm' });
        assert.deepEqual(content.properties.headers, { other: bool(true) });
      }
    },
  ),
  amqp(
    'publish.cc.unique',
    'RabbitMQ: Sender-selected distribution',
    EXTENSION,
    'a queue that several keys lead to gets the message once',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      const headers = { CC: list(text(queue)), BCC: list(text(queue)) };
      channel.publish({ routingKey: queue, body: 'm', properties: { headers } });
      assert.deepEqual(await contents(channel, queue), ['m']);
    },
  ),
  amqp(
    'publish.cc.type',
    'RabbitMQ: Sender-selected distribution',
    EXTENSION,
    'a CC that is no array is refused with 406',
    async (t) => {
      const channel = await t.channel();
      channel.publish({ routingKey: 'k', properties: { headers: { CC: text('k') } } });
      await channel.expectClose(406, /unacceptable_type_in_header,"CC",longstr/);
    },
  ),
];
