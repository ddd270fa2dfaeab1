// Checks of destinations as in RabbitMQ's STOMP plugin: queues, topics, exchanges, and reply queues.

import assert from 'node:assert/strict';
import { EXTENSION, ONLY_1_2, type StompTest, stomp } from '../stomp-check.ts';

const QUEUE = 'RabbitMQ: Queue Destinations';
const TOPIC = 'RabbitMQ: Topic Destinations';
const EXCHANGE = 'RabbitMQ: Exchange Destinations';
const AMQ_QUEUE = 'RabbitMQ: AMQ Queue Destinations';
const TEMP_QUEUE = 'RabbitMQ: Temp Queue Destinations';
const DURABLE = 'RabbitMQ: Durable Topic Subscriptions';
const PROPERTIES = 'RabbitMQ: User generated queue names for Topic and Exchange destinations';

const NEWEST = { versions: ONLY_1_2 } as const;

/** Sends messages with these keys and returns those that a topic subscription gets. */
async function matching(t: StompTest, pattern: string, keys: readonly string[]): Promise<string[]> {
  const root = t.context.name();
  const connection = await t.connect();
  await connection.subscribe(`/topic/${root}.${pattern}`, { id: 'matching' });
  await connection.subscribe(`/topic/${root}.last`, { id: 'last' });
  for (const key of [...keys, 'last']) connection.send('SEND', { destination: `/topic/${root}.${key}` }, key);
  const got: string[] = [];
  for (;;) {
    const { headers, body } = await connection.message();
    if (headers.subscription === 'last') break;
    got.push(body.toString());
  }
  // Two subscriptions are two queues: a message sent through the same one comes after the earlier messages.
  connection.send('SEND', { destination: `/topic/${root}.${keys[0]}` }, 'end');
  for (let body = ''; body !== 'end'; ) {
    body = (await connection.message()).body.toString();
    if (body !== 'end') got.push(body);
  }
  return got;
}

/** A durable subscription of a topic, which is removed when the check ends. */
function durable(t: StompTest): { destination: string; lines: Record<string, string> } {
  const id = t.context.name();
  const destination = `/topic/${id}`;
  const lines = { id, durable: 'true', 'auto-delete': 'false' };
  t.context.after(async () => {
    const connection = await new (t.constructor as typeof StompTest)(
      { ...t.context, signal: AbortSignal.timeout(4_000), note: () => {} },
      t.version,
      'tcp',
    ).connect();
    await connection.subscribe(destination, lines);
    await connection.request('UNSUBSCRIBE', { id, durable: 'true' });
    connection.carrier.socket.destroy();
  });
  return { destination, lines };
}

export const DESTINATION_CHECKS = [
  stomp('destination.queue.kept', QUEUE, EXTENSION, 'a queue keeps messages until a client subscribes', async (t) => {
    const destination = t.queue();
    await t.fill(destination, '1', '2');
    assert.deepEqual(await t.left(destination), ['1', '2']);
  }),
  stomp(
    'destination.queue.shared',
    QUEUE,
    EXTENSION,
    'each message of a queue comes to one of its subscribers, in turn',
    async (t) => {
      const destination = t.queue();
      const takers = [await t.connect(), await t.connect()];
      for (const taker of takers) await taker.subscribe(destination);
      await t.fill(destination, '1', '2', '3', '4');
      const got: string[] = [];
      for (const taker of takers) for (let i = 0; i < 2; i++) got.push((await taker.message()).body.toString());
      assert.deepEqual(got.sort(), ['1', '2', '3', '4']);
    },
  ),
  stomp(
    'destination.queue.slash',
    QUEUE,
    EXTENSION,
    'a slash in the name of a queue is %2F',
    async (t) => {
      const destination = `${t.queue()}%2Fa`;
      const connection = await t.connect();
      await connection.subscribe(destination, { 'auto-delete': 'true', durable: 'false' });
      connection.send('SEND', { destination }, 'body');
      assert.equal((await connection.message('body')).headers.destination, destination);
    },
    NEWEST,
  ),
  stomp(
    'destination.queue.slash.bare',
    QUEUE,
    EXTENSION,
    'a bare slash in the name of a queue is refused',
    async (t) => {
      const connection = await t.connect();
      connection.send('SEND', { destination: `${t.queue()}/a` }, 'body');
      await connection.expectError();
    },
    NEWEST,
  ),
  stomp(
    'destination.queue.no-name',
    QUEUE,
    EXTENSION,
    'a queue has a name',
    async (t) => {
      const connection = await t.connect();
      connection.send('SEND', { destination: '/queue/' }, 'body');
      await connection.expectError();
    },
    NEWEST,
  ),
  stomp(
    'destination.topic.all',
    TOPIC,
    EXTENSION,
    'a message to a topic comes to each of its subscribers',
    async (t) => {
      const destination = `/topic/${t.context.name()}`;
      const takers = [await t.connect(), await t.connect()];
      for (const taker of takers) await taker.subscribe(destination);
      takers[0]!.send('SEND', { destination }, 'body');
      for (const taker of takers) await taker.message('body');
    },
  ),
  stomp(
    'destination.topic.twice',
    TOPIC,
    EXTENSION,
    'two subscriptions of one connection get it twice',
    async (t) => {
      const destination = `/topic/${t.context.name()}`;
      const connection = await t.connect();
      for (const id of ['a', 'b']) await connection.subscribe(destination, { id });
      connection.send('SEND', { destination }, 'body');
      const ids = [];
      for (let i = 0; i < 2; i++) ids.push((await connection.message('body')).headers.subscription);
      assert.deepEqual(ids.sort(), ['a', 'b']);
    },
    NEWEST,
  ),
  stomp(
    'destination.topic.not-kept',
    TOPIC,
    EXTENSION,
    'a topic message without a subscriber is not stored',
    async (t) => {
      const destination = `/topic/${t.context.name()}`;
      const connection = await t.connect();
      await connection.request('SEND', { destination }, 'early');
      await connection.subscribe(destination);
      connection.send('SEND', { destination }, 'body');
      await connection.message('body');
    },
  ),
  stomp(
    'destination.topic.star',
    TOPIC,
    EXTENSION,
    '* is one word of a topic',
    async (t) => {
      assert.deepEqual(await matching(t, '*.b', ['a.b', 'x.b', 'b', 'a.c', 'a.a.b']), ['a.b', 'x.b']);
    },
    NEWEST,
  ),
  stomp(
    'destination.topic.hash',
    TOPIC,
    EXTENSION,
    '# is any words of a topic, and none',
    async (t) => {
      assert.deepEqual(await matching(t, 'a.#', ['a.b', 'a', 'b', 'a.b.c', 'b.a']), ['a.b', 'a', 'a.b.c']);
    },
    NEWEST,
  ),
  stomp(
    'destination.exchange.direct',
    EXCHANGE,
    EXTENSION,
    '/exchange/name/key sends to an exchange with a key',
    async (t) => {
      const destination = `/exchange/amq.direct/${t.context.name()}`;
      const connection = await t.connect();
      await connection.subscribe(destination);
      connection.send('SEND', { destination: `${destination}-other` }, 'other');
      connection.send('SEND', { destination }, 'body');
      assert.equal((await connection.message('body')).headers.destination, destination);
    },
  ),
  stomp(
    'destination.exchange.topic',
    EXCHANGE,
    EXTENSION,
    '/exchange/amq.topic and /topic are the same place',
    async (t) => {
      const key = t.context.name();
      const connection = await t.connect();
      await connection.subscribe(`/topic/${key}`);
      connection.send('SEND', { destination: `/exchange/amq.topic/${key}` }, 'body');
      await connection.message('body');
    },
    NEWEST,
  ),
  stomp(
    'destination.exchange.no-key',
    EXCHANGE,
    EXTENSION,
    '/exchange/name is an exchange without a key',
    async (t) => {
      const connection = await t.connect();
      const marker = t.context.name();
      await connection.subscribe('/exchange/amq.fanout');
      connection.send('SEND', { destination: '/exchange/amq.fanout' }, marker);
      for (let body = ''; body !== marker; ) body = (await connection.message()).body.toString();
    },
    NEWEST,
  ),
  stomp(
    'destination.exchange.missing.subscribe',
    EXCHANGE,
    EXTENSION,
    'subscribing to an exchange that is not there is refused',
    async (t) => {
      const connection = await t.connect();
      connection.send('SUBSCRIBE', { id: '1', destination: `/exchange/${t.context.name()}/key` });
      await connection.expectError();
    },
    NEWEST,
  ),
  stomp(
    'destination.exchange.missing.send',
    EXCHANGE,
    EXTENSION,
    'sending to an exchange that is not there is refused',
    async (t) => {
      const connection = await t.connect();
      connection.send('SEND', { destination: `/exchange/${t.context.name()}/key` }, 'body');
      await connection.expectError();
    },
    NEWEST,
  ),
  stomp(
    'destination.exchange.default',
    EXCHANGE,
    EXTENSION,
    'an exchange has a name',
    async (t) => {
      const connection = await t.connect();
      connection.send('SEND', { destination: '/exchange/' }, 'body');
      await connection.expectError();
    },
    NEWEST,
  ),
  stomp('destination.amq-queue', AMQ_QUEUE, EXTENSION, '/amq/queue is a queue that is there', async (t) => {
    const destination = t.queue();
    await t.fill(destination, '1');
    const name = destination.slice('/queue/'.length);
    const connection = await t.connect();
    await connection.subscribe(`/amq/queue/${name}`);
    await connection.message('1');
    connection.send('SEND', { destination: `/amq/queue/${name}` }, '2');
    await connection.message('2');
  }),
  stomp(
    'destination.amq-queue.missing',
    AMQ_QUEUE,
    EXTENSION,
    'subscribing to a queue that is not there is refused',
    async (t) => {
      const connection = await t.connect();
      connection.send('SUBSCRIBE', { id: '1', destination: `/amq/queue/${t.context.name()}` });
      await connection.expectError();
    },
    NEWEST,
  ),
  stomp(
    'destination.temp-queue',
    TEMP_QUEUE,
    EXTENSION,
    "a message to the reply-to destination reaches the requester's temporary queue",
    async (t) => {
      const { connection: service, destination } = await t.loop();
      const client = await t.connect();
      client.send('SEND', { destination, 'reply-to': '/temp-queue/mine', 'correlation-id': '7' }, 'question');
      const question = await service.message('question');
      const replyTo = question.headers['reply-to']!;
      assert.match(replyTo, /^\/reply-queue\/./);
      service.send('SEND', { destination: replyTo, 'correlation-id': question.headers['correlation-id']! }, 'answer');
      const { headers } = await client.message('answer');
      assert.deepEqual([headers.subscription, headers['correlation-id']], ['/temp-queue/mine', '7']);
    },
  ),
  stomp(
    'destination.temp-queue.same',
    TEMP_QUEUE,
    EXTENSION,
    'the same name is the same queue on one connection',
    async (t) => {
      const { connection: service, destination } = await t.loop();
      const client = await t.connect();
      const replyTo = async (name: string): Promise<string> => {
        client.send('SEND', { destination, 'reply-to': `/temp-queue/${name}` }, name);
        return (await service.message(name)).headers['reply-to']!;
      };
      const [first, again, other] = [await replyTo('a'), await replyTo('a'), await replyTo('b')];
      assert.equal(first, again);
      assert.notEqual(first, other);
    },
    NEWEST,
  ),
  stomp(
    'destination.temp-queue.local',
    TEMP_QUEUE,
    EXTENSION,
    'the same name is another queue on another connection',
    async (t) => {
      const { connection: service, destination } = await t.loop();
      const asked = [];
      for (let i = 0; i < 2; i++) {
        const client = await t.connect();
        client.send('SEND', { destination, 'reply-to': '/temp-queue/same' }, `${i}`);
        asked.push({ client, replyTo: (await service.message(`${i}`)).headers['reply-to']! });
      }
      for (const [index, { client, replyTo }] of asked.entries()) {
        service.send('SEND', { destination: replyTo }, `answer ${index}`);
        await client.message(`answer ${index}`);
      }
    },
    NEWEST,
  ),
  stomp(
    'destination.temp-queue.send',
    TEMP_QUEUE,
    EXTENSION,
    'a temporary queue is no destination of SEND',
    async (t) => {
      const connection = await t.connect();
      connection.send('SEND', { destination: '/temp-queue/mine' }, 'body');
      await connection.expectError();
    },
    NEWEST,
  ),
  stomp(
    'destination.temp-queue.subscribe',
    TEMP_QUEUE,
    EXTENSION,
    'a temporary queue is no destination of SUBSCRIBE',
    async (t) => {
      const connection = await t.connect();
      connection.send('SUBSCRIBE', { id: '1', destination: '/temp-queue/mine' });
      await connection.expectError();
    },
    NEWEST,
  ),
  stomp(
    'destination.reply-to.queue',
    'RabbitMQ: AMQP Properties',
    EXTENSION,
    'a reply-to that is any other destination stays',
    async (t) => {
      const { connection, destination } = await t.loop();
      const replyTo = '/topic/answers.here';
      connection.send('SEND', { destination, 'reply-to': replyTo }, 'body');
      assert.equal((await connection.message('body')).headers['reply-to'], replyTo);
    },
    NEWEST,
  ),
  stomp(
    'durable.kept',
    DURABLE,
    EXTENSION,
    'a durable subscription keeps messages while its subscriber is disconnected',
    async (t) => {
      const { destination, lines } = durable(t);
      const before = await t.connect();
      await before.subscribe(destination, lines);
      await before.leave();
      const sender = await t.connect();
      await sender.request('SEND', { destination, persistent: 'true' }, 'while away');
      const after = await t.connect();
      await after.subscribe(destination, lines);
      await after.message('while away');
    },
  ),
  stomp(
    'durable.unsubscribed',
    DURABLE,
    EXTENSION,
    'an UNSUBSCRIBE with durable deletes the durable subscription',
    async (t) => {
      const { destination, lines } = durable(t);
      const connection = await t.connect();
      await connection.subscribe(destination, lines);
      await connection.request('UNSUBSCRIBE', { id: lines.id!, durable: 'true' });
      await connection.request('SEND', { destination, persistent: 'true' }, 'lost');
      await connection.subscribe(destination, lines);
      connection.send('SEND', { destination }, 'next');
      await connection.message('next');
    },
    NEWEST,
  ),
  stomp(
    'durable.unsubscribed.not',
    DURABLE,
    EXTENSION,
    'an UNSUBSCRIBE that does not say durable leaves it there',
    async (t) => {
      const { destination, lines } = durable(t);
      const connection = await t.connect();
      await connection.subscribe(destination, lines);
      await connection.request('UNSUBSCRIBE', { id: lines.id! });
      await connection.request('SEND', { destination, persistent: 'true' }, 'kept');
      await connection.subscribe(destination, lines);
      await connection.message('kept');
    },
    NEWEST,
  ),
  stomp(
    'durable.shared',
    DURABLE,
    EXTENSION,
    'subscribers with the same id and topic share a durable subscription',
    async (t) => {
      const { destination, lines } = durable(t);
      const takers = [await t.connect(), await t.connect()];
      for (const taker of takers) await taker.subscribe(destination, lines);
      const sender = await t.connect();
      for (const body of ['1', '2', '3', '4']) sender.send('SEND', { destination }, body);
      const got: string[] = [];
      for (const taker of takers) for (let i = 0; i < 2; i++) got.push((await taker.message()).body.toString());
      assert.deepEqual(got.sort(), ['1', '2', '3', '4']);
    },
    NEWEST,
  ),
  stomp('durable.no-id', DURABLE, EXTENSION, 'a durable subscription needs an id', async (t) => {
    const connection = await t.connect();
    connection.send('SUBSCRIBE', {
      destination: `/topic/${t.context.name()}`,
      durable: 'true',
      'auto-delete': 'false',
    });
    await connection.expectError();
  }),
  stomp(
    'durable.queue-name',
    PROPERTIES,
    EXTENSION,
    'x-queue-name names the queue of a topic subscription',
    async (t) => {
      const name = t.context.name();
      const connection = await t.connect();
      await connection.subscribe(`/topic/${name}.key`, { 'x-queue-name': name });
      connection.send('SEND', { destination: `/amq/queue/${name}` }, 'body');
      await connection.message('body');
    },
    NEWEST,
  ),
].flat();
