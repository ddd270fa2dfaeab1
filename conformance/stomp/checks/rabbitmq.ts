// Checks of the headers that RabbitMQ's STOMP plugin adds: prefetch, requeue, queue arguments, AMQP properties,
// permissions, and durability over a restart.

import assert from 'node:assert/strict';
import { EXTENSION, ONLY_1_2, SINCE_1_1, type StompTest, stomp } from '../stomp-check.ts';

const NEWEST = { versions: ONLY_1_2 } as const;
const PREFETCH = 'RabbitMQ: Message Prefetch and Acknowledgments';
const PROPERTIES = 'RabbitMQ: AMQP Properties';
const ARGUMENTS = 'RabbitMQ: Queue Parameters';
const REQUEUE = 'RabbitMQ: NACK';

/** Sends a header and expects it in the message. */
async function passed(t: StompTest, name: string, value: string): Promise<string | undefined> {
  const { connection, destination } = await t.loop();
  connection.send('SEND', { destination, [name]: value }, 'body');
  return (await connection.message('body')).headers[name];
}

/** A SEND with this header must end in an ERROR. */
async function refused(t: StompTest, lines: Readonly<Record<string, string>>): Promise<void> {
  const connection = await t.connect();
  connection.send('SEND', { destination: t.queue(), ...lines }, 'body');
  await connection.expectError();
}

const TEXT_PROPERTIES: readonly (readonly [string, string])[] = [
  ['content-type', 'text/plain;charset=utf-8'],
  ['content-encoding', 'gzip'],
  ['correlation-id', 'a correlation: 7'],
  ['amqp-message-id', 'message 7'],
  ['type', 'a-type'],
  ['app-id', 'an-app'],
];

/** At most this many messages are delivered unacknowledged; each ack allows one more. */
async function prefetched(t: StompTest, ack: string): Promise<void> {
  const destination = t.queue();
  await t.fill(destination, '1', '2', '3', '4');
  const first = await t.connect();
  await first.subscribe(destination, { ack, 'prefetch-count': '2' });
  const messages = [await first.message('1'), await first.message('2')];
  // Messages beyond the first subscriber's prefetch go to a second one.
  const second = await t.connect();
  await second.subscribe(destination, { ack: 'client', 'prefetch-count': '1' });
  await second.message('3');
  first.settle('ACK', messages[0]!);
  await first.message('4');
}

/** An auto-delete queue with a dead letter queue. */
async function deadLettered(t: StompTest, lines: Record<string, string>): Promise<void> {
  const dead = t.queue();
  await t.fill(dead);
  const connection = await t.connect();
  const letters = await t.connect();
  await letters.subscribe(dead);
  const { destination } = await connection.subscribe(`/queue/${t.context.name()}`, {
    ack: 'client-individual',
    durable: 'false',
    'auto-delete': 'true',
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': dead.slice('/queue/'.length),
  });
  connection.send('SEND', { destination: `/amq${destination}` }, 'body');
  connection.settle('NACK', await connection.message('body'), lines);
  await letters.message('body');
}

export const RABBITMQ_CHECKS = [
  ...['client', 'client-individual'].map((ack) =>
    stomp(
      `prefetch.${ack}`,
      PREFETCH,
      EXTENSION,
      `prefetch-count bounds unacknowledged messages, with ack:${ack}`,
      (t) => prefetched(t, ack),
      { versions: SINCE_1_1 },
    ),
  ),
  stomp(
    'prefetch.subscription',
    PREFETCH,
    EXTENSION,
    'each subscription has its own prefetch',
    async (t) => {
      const queues = [t.queue(), t.queue()];
      for (const queue of queues) await t.fill(queue, '1', '2');
      const connection = await t.connect();
      for (const queue of queues)
        await connection.subscribe(queue, { id: queue, ack: 'client', 'prefetch-count': '1' });
      const got = [];
      for (let i = 0; i < 2; i++) got.push((await connection.message('1')).headers.subscription);
      assert.deepEqual(got.sort(), queues.sort());
      await connection.roundTrip();
      connection.expectNone('MESSAGE');
    },
    NEWEST,
  ),
  stomp(
    'prefetch.nack',
    PREFETCH,
    EXTENSION,
    'a NACK makes room as an ACK does',
    async (t) => {
      const destination = t.queue();
      await t.fill(destination, '1', '2');
      const connection = await t.connect();
      await connection.subscribe(destination, { ack: 'client-individual', 'prefetch-count': '1' });
      connection.settle('NACK', await connection.message('1'), { requeue: 'false' });
      await connection.message('2');
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'nack.requeue',
    REQUEUE,
    EXTENSION,
    'a message that is nacked comes again, marked',
    async (t) => {
      const { connection, destination } = await t.loop({ ack: 'client-individual' });
      connection.send('SEND', { destination }, 'body');
      const first = await connection.message('body');
      assert.notEqual(first.headers.redelivered, 'true');
      connection.settle('NACK', first);
      assert.equal((await connection.message('body')).headers.redelivered, 'true');
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'nack.requeue.true',
    REQUEUE,
    EXTENSION,
    'a message that is nacked with requeue:true comes again',
    async (t) => {
      const { connection, destination } = await t.loop({ ack: 'client-individual' });
      connection.send('SEND', { destination }, 'body');
      connection.settle('NACK', await connection.message('body'), { requeue: 'true' });
      connection.settle('ACK', await connection.message('body'));
      await connection.leave();
      assert.deepEqual(await t.left(destination), []);
    },
    NEWEST,
  ),
  stomp(
    'nack.requeue.false',
    REQUEUE,
    EXTENSION,
    'a message that is nacked with requeue:false is gone',
    async (t) => {
      const { connection, destination } = await t.loop({ ack: 'client-individual' });
      for (const body of ['1', '2']) connection.send('SEND', { destination }, body);
      connection.settle('NACK', await connection.message('1'), { requeue: 'false' });
      await connection.message('2');
      await connection.leave();
      assert.deepEqual(await t.left(destination), ['2']);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'nack.cumulative',
    'NACK',
    EXTENSION,
    'with ack:client a NACK is for all messages up to the named one',
    async (t) => {
      const { connection, destination } = await t.loop({ ack: 'client' });
      for (const body of ['1', '2', '3']) connection.send('SEND', { destination }, body);
      const messages = [];
      for (const body of ['1', '2', '3']) messages.push(await connection.message(body));
      connection.settle('NACK', messages[1]!, { requeue: 'false' });
      await connection.leave();
      assert.deepEqual(await t.left(destination), ['3']);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'nack.dead-letter',
    REQUEUE,
    EXTENSION,
    'a message that is nacked with requeue:false goes to the dead-letter exchange',
    (t) => deadLettered(t, { requeue: 'false' }),
    NEWEST,
  ),
  stomp(
    'redelivered.lost',
    PREFETCH,
    EXTENSION,
    'messages redelivered after a lost connection have the redelivered header',
    async (t) => {
      const { connection, destination } = await t.loop({ ack: 'client' });
      connection.send('SEND', { destination, persistent: 'true' }, 'body');
      await connection.message('body');
      connection.carrier.socket.destroy();
      const next = await t.connect();
      await next.subscribe(destination);
      assert.equal((await next.message('body')).headers.redelivered, 'true');
    },
    NEWEST,
  ),
  ...TEXT_PROPERTIES.map(([name, value]) =>
    stomp(
      `property.${name}`,
      PROPERTIES,
      EXTENSION,
      `${name} is a property of the message, and comes with it`,
      async (t) => assert.equal(await passed(t, name, value), value),
      NEWEST,
    ),
  ),
  stomp(
    'property.timestamp',
    PROPERTIES,
    EXTENSION,
    'timestamp is a property of the message, and comes with it',
    async (t) => {
      assert.equal(await passed(t, 'timestamp', '1700000000'), '1700000000');
    },
    NEWEST,
  ),
  stomp(
    'property.priority',
    PROPERTIES,
    EXTENSION,
    'priority is a property of the message, and comes with it',
    async (t) => {
      assert.equal(await passed(t, 'priority', '7'), '7');
    },
    NEWEST,
  ),
  stomp(
    'property.expiration',
    PROPERTIES,
    EXTENSION,
    'expiration is a property of the message, and comes with it',
    async (t) => {
      assert.equal(await passed(t, 'expiration', '60000'), '60000');
    },
    NEWEST,
  ),
  stomp(
    'property.persistent',
    PROPERTIES,
    EXTENSION,
    'persistent is a property of the message, and comes with it',
    async (t) => {
      assert.ok((await passed(t, 'persistent', 'true')) !== undefined, 'no persistent header');
    },
    NEWEST,
  ),
  stomp(
    'property.user-id',
    PROPERTIES,
    EXTENSION,
    'user-id is the user of the connection',
    async (t) => {
      const { user } = t.context.endpoint;
      assert.equal(await passed(t, 'user-id', user), user);
    },
    NEWEST,
  ),
  stomp(
    'property.user-id.other',
    PROPERTIES,
    EXTENSION,
    'user-id of anybody else is refused',
    (t) => refused(t, { 'user-id': `not-${t.context.endpoint.user}` }),
    NEWEST,
  ),
  stomp(
    'property.priority.invalid',
    PROPERTIES,
    EXTENSION,
    'a priority that is no number is refused',
    (t) => refused(t, { priority: 'high' }),
    NEWEST,
  ),
  stomp(
    'property.expiration.invalid',
    PROPERTIES,
    EXTENSION,
    'an expiration that is no number is refused',
    (t) => refused(t, { expiration: 'soon' }),
    NEWEST,
  ),
  stomp(
    'property.expired',
    PROPERTIES,
    EXTENSION,
    'a message that has expired is not delivered',
    async (t) => {
      const destination = t.queue();
      const connection = await t.connect();
      await connection.request('SEND', { destination, expiration: '1', persistent: 'true' }, 'expired');
      assert.deepEqual(await t.left(destination), []);
    },
    NEWEST,
  ),
  stomp(
    'argument.auto-delete',
    ARGUMENTS,
    EXTENSION,
    'a queue with auto-delete goes with its last subscription',
    async (t) => {
      const name = t.context.name();
      const connection = await t.connect();
      const { id } = await connection.subscribe(`/queue/${name}`, { 'auto-delete': 'true', durable: 'false' });
      await connection.request('UNSUBSCRIBE', { id });
      connection.send('SUBSCRIBE', { id: 'again', destination: `/amq/queue/${name}` });
      await connection.expectError();
    },
    NEWEST,
  ),
  stomp(
    'argument.exclusive',
    ARGUMENTS,
    EXTENSION,
    'a queue with exclusive is for its connection',
    async (t) => {
      const name = t.context.name();
      const connection = await t.connect();
      await connection.subscribe(`/queue/${name}`, { exclusive: 'true', durable: 'false', 'auto-delete': 'true' });
      const other = await t.connect();
      other.send('SUBSCRIBE', { id: '1', destination: `/amq/queue/${name}` });
      await other.expectError();
    },
    NEWEST,
  ),
  stomp(
    'argument.inequivalent',
    ARGUMENTS,
    EXTENSION,
    'a queue that is there with other arguments is refused',
    async (t) => {
      const destination = t.queue();
      await t.fill(destination, '1');
      const connection = await t.connect();
      connection.send('SUBSCRIBE', { id: '1', destination, durable: 'false', 'auto-delete': 'true' });
      await connection.expectError();
    },
    NEWEST,
  ),
  stomp(
    'argument.message-ttl',
    ARGUMENTS,
    EXTENSION,
    'x-message-ttl of a SUBSCRIBE is an argument of the queue',
    async (t) => {
      const name = t.context.name();
      const connection = await t.connect();
      await connection.subscribe(`/queue/${name}`, {
        'auto-delete': 'true',
        'x-message-ttl': '60000',
      });
      connection.send('SEND', { destination: `/amq/queue/${name}` }, 'body');
      await connection.message('body');
      const other = await t.connect();
      const asked = { id: '1', 'auto-delete': 'true', 'x-message-ttl': '1' };
      other.send('SUBSCRIBE', { destination: `/queue/${name}`, ...asked });
      await other.expectError();
    },
    NEWEST,
  ),
  stomp(
    'argument.max-length',
    ARGUMENTS,
    EXTENSION,
    'x-max-length of a SUBSCRIBE bounds the queue',
    async (t) => {
      const name = t.context.name();
      const keeper = await t.connect();
      await keeper.subscribe(`/queue/${name}`, {
        durable: 'false',
        'auto-delete': 'true',
        'x-max-length': '1',
        ack: 'client',
        'prefetch-count': '1',
      });
      keeper.send('SEND', { destination: `/amq/queue/${name}` }, 'out');
      await keeper.message('out');
      for (const body of ['dropped', 'kept']) await keeper.request('SEND', { destination: `/amq/queue/${name}` }, body);
      await keeper.subscribe(`/amq/queue/${name}`);
      await keeper.message('kept');
    },
    NEWEST,
  ),
  stomp(
    'queue.deleted',
    'RabbitMQ: Consumer Cancellation',
    EXTENSION,
    'deleting the queue of a subscription causes an ERROR',
    async (t) => {
      const name = t.context.name();
      const lines = { id: 'mine', durable: 'true', 'auto-delete': 'false', 'x-queue-name': name };
      const owner = await t.connect();
      await owner.subscribe(`/topic/${name}`, lines);
      const other = await t.connect();
      await other.subscribe(`/amq/queue/${name}`);
      await owner.request('UNSUBSCRIBE', { id: 'mine', durable: 'true', 'x-queue-name': name });
      await other.expectError();
    },
    NEWEST,
  ),
  stomp(
    'permission.write',
    'RabbitMQ: Access Control',
    EXTENSION,
    'a SEND without write permission is refused',
    async (t) => {
      const user = t.context.name();
      await t.context.controls.createUser!(user, 'secret', ['.*', '', '.*']);
      const connection = await t.connect({ login: user, passcode: 'secret' });
      connection.send('SEND', { destination: `/topic/${user}`, receipt: '1' }, 'body');
      await connection.expectError();
    },
    { versions: ONLY_1_2, needs: 'createUser' },
  ),
  stomp(
    'permission.read',
    'RabbitMQ: Access Control',
    EXTENSION,
    'a SUBSCRIBE without read permission is refused',
    async (t) => {
      const user = t.context.name();
      await t.context.controls.createUser!(user, 'secret', ['.*', '.*', '']);
      const connection = await t.connect({ login: user, passcode: 'secret' });
      connection.send('SUBSCRIBE', { id: '1', destination: `/topic/${user}`, receipt: '1' });
      await connection.expectError();
    },
    { versions: ONLY_1_2, needs: 'createUser' },
  ),
  stomp(
    'permission.configure',
    'RabbitMQ: Access Control',
    EXTENSION,
    'a queue is not declared without configure permission',
    async (t) => {
      const user = t.context.name();
      await t.context.controls.createUser!(user, 'secret', ['', '.*', '.*']);
      const connection = await t.connect({ login: user, passcode: 'secret' });
      connection.send('SEND', { destination: t.queue(), receipt: '1' }, 'body');
      await connection.expectError();
    },
    { versions: ONLY_1_2, needs: 'createUser' },
  ),
  stomp(
    'permission.none',
    'RabbitMQ: Access Control',
    EXTENSION,
    'a user without permissions is not let in',
    async (t) => {
      const user = t.context.name();
      await t.context.controls.createUser!(user, 'secret', null);
      const connection = await t.dial();
      connection.sendConnect({ login: user, passcode: 'secret' });
      await connection.expectError();
    },
    { versions: ONLY_1_2, needs: 'createUser' },
  ),
  stomp(
    'persistent.restart',
    PROPERTIES,
    EXTENSION,
    'a persistent message survives a restart once its receipt was sent',
    async (t) => {
      const destination = t.queue();
      const connection = await t.connect();
      for (const body of ['1', '2']) await connection.request('SEND', { destination, persistent: 'true' }, body);
      await t.context.controls.restart!();
      assert.deepEqual(await t.left(destination), ['1', '2']);
    },
    { versions: ONLY_1_2, needs: 'restart' },
  ),
  stomp(
    'persistent.restart.transaction',
    PROPERTIES,
    EXTENSION,
    'a transaction survives a restart once its receipt was sent',
    async (t) => {
      const destination = t.queue();
      const connection = await t.connect();
      connection.send('BEGIN', { transaction: 'tx' });
      for (const body of ['1', '2'])
        connection.send('SEND', { destination, transaction: 'tx', persistent: 'true' }, body);
      await connection.request('COMMIT', { transaction: 'tx' });
      await t.context.controls.restart!();
      assert.deepEqual(await t.left(destination), ['1', '2']);
    },
    { versions: ONLY_1_2, needs: 'restart' },
  ),
  stomp(
    'persistent.restart.transient',
    PROPERTIES,
    EXTENSION,
    'a message that is not persistent does not survive a restart',
    async (t) => {
      const destination = t.queue();
      const connection = await t.connect();
      await connection.request('SEND', { destination }, 'transient');
      await connection.request('SEND', { destination, persistent: 'true' }, 'persistent');
      await t.context.controls.restart!();
      assert.deepEqual(await t.left(destination), ['persistent']);
    },
    { versions: ONLY_1_2, needs: 'restart' },
  ),
  stomp(
    'durable.restart',
    'RabbitMQ: Durable Topic Subscriptions',
    EXTENSION,
    'a durable subscription survives a restart',
    async (t) => {
      const name = t.context.name();
      const lines = { id: name, durable: 'true', 'auto-delete': 'false' };
      const before = await t.connect();
      await before.subscribe(`/topic/${name}`, lines);
      await t.context.controls.restart!();
      const after = await t.connect();
      await after.request('SEND', { destination: `/topic/${name}`, persistent: 'true' }, 'body');
      await after.subscribe(`/topic/${name}`, lines);
      await after.message('body');
      await after.request('UNSUBSCRIBE', { id: name, durable: 'true' });
    },
    { versions: ONLY_1_2, needs: 'restart' },
  ),
].flat();
