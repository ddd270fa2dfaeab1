// The session: it checks permissions before each operation, even if the authorizer answers late; exclusive queues and
// consumers end with their session; and a durable operation completes only after its commit.

import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { EMPTY_TABLE, type FieldTable, textField } from '../../../src/core/message/field-table.ts';
import { Message, NEVER } from '../../../src/core/message/message.ts';
import { NO_PROPERTIES } from '../../../src/core/message/properties.ts';
import type { Authenticator, Authorizer } from '../../../src/core/ports/authorization.ts';
import { FAN_OUT_SLICE } from '../../../src/core/queue/fan-out.ts';
import { AccessControl } from '../../../src/core/session/access-control.ts';
import { PUBLISH } from '../../../src/core/session/publish-path.ts';
import { type QueueRequest, Session } from '../../../src/core/session/session.ts';
import { ConfirmRing } from '../../../src/core/turn/confirms.ts';
import { VirtualHosts } from '../../../src/core/vhost/virtual-hosts.ts';
import { FakeStore } from '../../support/fake-store.ts';
import { Core, consumeOptions, message, RecordingSink, turns } from '../core.ts';

/** Answers as the test sets, and records what it was asked. */
class FakeAuthorizer implements Authorizer {
  generation = 1;
  asked: string[] = [];
  restricted: string[] = [];
  answer: (question: string) => boolean | Promise<boolean> = () => true;

  allows(_identity: unknown, vhost: string, permission: string, resource: string): boolean | Promise<boolean> {
    const question = `${permission} ${resource}`;
    assert.equal(vhost, '/');
    this.asked.push(question);
    return this.answer(question);
  }

  restrictsTopics(_identity: unknown, _vhost: string, exchange: string): boolean {
    return this.restricted.includes(exchange);
  }

  allowsTopic(
    _identity: unknown,
    _vhost: string,
    exchange: string,
    permission: string,
    routingKey: string,
    clientId: string | null,
  ): boolean | Promise<boolean> {
    const question = `${permission} ${routingKey} in ${exchange} by ${clientId}`;
    this.asked.push(question);
    return this.answer(question);
  }
}

let core: Core;
let store: FakeStore;
let authorizer: FakeAuthorizer;
let hosts: VirtualHosts;

function start(automatic: boolean): void {
  store = new FakeStore({ automatic });
  core = new Core(store);
  authorizer = new FakeAuthorizer();
  hosts = new VirtualHosts(core.dependencies);
  hosts.recover();
}

function session(): Session {
  return new Session(hosts.get('/')!, { user: 'alice', tags: [] }, around());
}

function around() {
  const identify = async (user: string) => (user === 'alice' ? { user, tags: [] } : { refused: 'nobody by that name' });
  const authenticator: Authenticator = {
    authenticate: ({ user }) => identify(user),
    identify,
    certified: () => ({ refused: 'no certificates here' }),
    knows: () => false,
    exchange: () => null,
    mayEnter: () => true,
  };
  return { ...core.dependencies, hosts, authenticator, authorizer };
}

const EXCHANGE = { durable: false, autoDelete: false, internal: false, args: [] };

function queueRequest(name: string, options: Partial<QueueRequest> = {}): QueueRequest {
  return { name, durable: true, exclusive: false, autoDelete: false, args: EMPTY_TABLE, ...options };
}

function exchangeRequest(name: string, kind = 'direct', args: FieldTable = EMPTY_TABLE) {
  return { name, kind, durable: true, autoDelete: false, internal: false, args };
}

const binding = { queue: 'q', exchange: 'amq.topic', routingKey: 'k', args: EMPTY_TABLE };

/** Whether the promise has settled after a few turns. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  const mark = (): void => {
    done = true;
  };
  promise.then(mark, mark);
  await turns();
  return done;
}

beforeEach(() => start(true));

describe('permissions', () => {
  /** Each operation and the permissions that it asks for, in order (RabbitMQ's access control guide). */
  const operations: readonly [string, (client: Session) => Promise<unknown>, readonly string[]][] = [
    ['declare an exchange', (client) => client.declareExchange(exchangeRequest('x')), ['configure x']],
    [
      'declare an exchange with an alternate',
      (client) => client.declareExchange(exchangeRequest('x', 'direct', [textField('alternate-exchange', 'alt')])),
      ['configure x', 'read x', 'write alt'],
    ],
    ['delete an exchange', (client) => client.deleteExchange('other', false), ['configure other']],
    [
      'bind an exchange',
      (client) =>
        client.bindExchange({ destination: 'amq.fanout', source: 'amq.topic', routingKey: '', args: EMPTY_TABLE }),
      ['write amq.fanout', 'read amq.topic'],
    ],
    [
      'unbind an exchange',
      (client) =>
        client.unbindExchange({ destination: 'amq.fanout', source: 'amq.topic', routingKey: '', args: EMPTY_TABLE }),
      ['write amq.fanout', 'read amq.topic'],
    ],
    ['declare a queue', (client) => client.declareQueue(queueRequest('new')), ['configure new']],
    ['delete a queue', (client) => client.deleteQueue('q', { ifUnused: false, ifEmpty: false }), ['configure q']],
    ['purge a queue', (client) => client.purgeQueue('q'), ['read q']],
    ['bind a queue', (client) => client.bindQueue(binding), ['write q', 'read amq.topic']],
    ['unbind a queue', (client) => client.unbindQueue(binding), ['write q', 'read amq.topic']],
    ['consume', (client) => client.consume('q', consumeOptions(), new RecordingSink()), ['read q']],
    ['get', (client) => client.get('q', true), ['read q']],
  ];

  for (const [name, operate, wanted] of operations) {
    it(`are asked to ${name}: ${wanted.join(', ')}`, async () => {
      await session().declareQueue(queueRequest('q'));
      authorizer.asked = [];
      await operate(session());
      assert.deepEqual(authorizer.asked, wanted);
    });

    it(`refuse to ${name} where one is missing, whenever that turns out`, async () => {
      await session().declareQueue(queueRequest('q'));
      for (const missing of wanted) {
        for (const late of [false, true]) {
          authorizer.answer = (question) => (late ? turns(1).then(() => question !== missing) : question !== missing);
          await assert.rejects(operate(session()), {
            kind: 'access-refused',
            message: new RegExp(`^${missing.split(' ')[0]} access to .* in vhost '/' refused for user 'alice'$`),
          });
        }
      }
    });
  }

  it('are asked once until the answers may have changed', async () => {
    const client = session();
    await client.declareQueue(queueRequest('q'));
    await client.declareQueue(queueRequest('q'));
    assert.deepEqual(authorizer.asked, ['configure q']);
    authorizer.generation++;
    authorizer.answer = () => false;
    await assert.rejects(client.declareQueue(queueRequest('q')), { kind: 'access-refused' });
  });

  it('to publish are known before anything happens', async () => {
    const client = session();
    await client.declareQueue(queueRequest('q'));
    let allow = Promise.withResolvers<boolean>();
    authorizer.answer = () => allow.promise;
    authorizer.generation++;
    const toQueue = message({ key: 'q' });
    assert.equal(client.publish(toQueue, null, 0), PUBLISH.pending);
    assert.equal(client.publish(toQueue, null, 0), PUBLISH.pending);
    assert.equal(hosts.get('/')!.queues.get('q')!.readyCount, 0);
    const ready = client.ready();
    allow.resolve(true);
    await ready;
    assert.equal(client.publish(toQueue, null, 0), PUBLISH.routed);
    assert.equal(client.publish(message({ key: 'nobody' }), null, 0), PUBLISH.unroutable);
    assert.deepEqual(authorizer.asked, ['configure q', 'write amq.default']);
    allow = Promise.withResolvers();
    authorizer.generation++;
    assert.equal(client.publish(toQueue, null, 0), PUBLISH.pending);
    allow.resolve(false);
    await client.ready();
    assert.throws(() => client.publish(toQueue, null, 0), {
      kind: 'access-refused',
      message: "write access to default exchange in vhost '/' refused for user 'alice'",
    });
  });

  it('that cannot be found out fail those who ask, and may be asked again', async () => {
    const client = session();
    authorizer.answer = () => Promise.reject(new Error('the directory is away'));
    assert.equal(client.publish(message({ key: 'q' }), null, 0), PUBLISH.pending);
    await assert.rejects(client.ready(), /directory/);
    await assert.rejects(client.declareQueue(queueRequest('q')), /directory/);
    authorizer.answer = () => true;
    assert.equal(client.publish(message({ key: 'q' }), null, 0), PUBLISH.unroutable);
  });

  it('asked for several things at once wait for all of them, each asked once', async () => {
    const client = session();
    authorizer.answer = () => turns(1).then(() => true);
    await Promise.all(['a', 'b', 'a', 'c'].map((name) => client.declareQueue(queueRequest(name))));
    assert.deepEqual(authorizer.asked.sort(), ['configure a', 'configure b', 'configure c']);
  });
});

describe('publishing', () => {
  it('throws where there is no such exchange, or it is internal', async () => {
    const client = session();
    assert.throws(() => client.publish(message({ exchange: 'x' }), null, 0), {
      kind: 'not-found',
      message: "no exchange 'x' in vhost '/'",
    });
    await client.declareExchange({ ...exchangeRequest('x'), internal: true });
    assert.throws(() => client.publish(message({ exchange: 'x' }), null, 0), { kind: 'access-refused' });
  });

  it('follows every change of the route', async () => {
    const client = session();
    const x = () => client.publish(message({ exchange: 'x', key: 'k' }), null, 0);
    await client.declareExchange(exchangeRequest('x'));
    await client.declareQueue(queueRequest('q'));
    assert.equal(x(), PUBLISH.unroutable);
    await client.bindQueue({ ...binding, exchange: 'x' });
    assert.equal(x(), PUBLISH.routed);
    assert.equal(client.publish(message({ exchange: 'amq.direct', key: 'k' }), null, 0), PUBLISH.unroutable);
    assert.equal(x(), PUBLISH.routed);
    await client.unbindQueue({ ...binding, exchange: 'x' });
    assert.equal(x(), PUBLISH.unroutable);
    await client.bindQueue({ ...binding, exchange: 'x' });
    await client.deleteQueue('q', { ifUnused: false, ifEmpty: false });
    assert.equal(x(), PUBLISH.unroutable);
    await client.deleteExchange('x', false);
    assert.throws(x, { kind: 'not-found' });
    await client.declareExchange(exchangeRequest('x', 'headers'));
    await client.declareQueue(queueRequest('q'));
    await client.bindQueue({ ...binding, exchange: 'x', args: [textField('a', '1')] });
    assert.equal(x(), PUBLISH.unroutable);
    const withHeader = message({ exchange: 'x', key: 'k', headers: [textField('a', '1')] });
    assert.equal(client.publish(withHeader, null, 0), PUBLISH.routed);
    assert.equal(x(), PUBLISH.unroutable);
  });

  it('holds a confirm until every durable queue has the message', async () => {
    start(false);
    const client = session();
    const outcomes: string[] = [];
    const ring = new ConfirmRing(
      { confirmed: (_ring, from, to, ok) => outcomes.push(`${from}-${to} ${ok}`) },
      core.turn,
    );
    const host = hosts.get('/')!;
    for (const [name, durable] of [
      ['a', true],
      ['b', true],
      ['c', false],
    ] as const) {
      const { queue } = host.declareQueue({ name, durable, autoDelete: false, args: EMPTY_TABLE, owner: null });
      host.bind(host.exchange('amq.fanout'), { queue }, '', EMPTY_TABLE, 'amqp');
    }
    const publish = (persistent: boolean): void => {
      const slot = ring.open();
      client.publish(message({ exchange: 'amq.fanout', persistent }), ring, slot);
      ring.settle(slot);
    };
    publish(false);
    publish(true);
    publish(false);
    await turns();
    assert.deepEqual(outcomes, ['0-0 true']);
    store.commit();
    await turns();
    assert.deepEqual(outcomes, ['0-0 true', '1-2 true']);
    publish(true);
    await turns();
    store.fail();
    await turns();
    assert.deepEqual(outcomes.slice(2), ['3-3 false']);
    assert.deepEqual(
      ['a', 'b', 'c'].map((name) => host.queues.get(name)!.readyCount),
      [3, 3, 4],
    );
  });
});

describe('a change of something durable', () => {
  beforeEach(() => start(false));

  const commit = async (): Promise<void> => {
    core.turn.begin();
    await turns();
    store.commit();
  };

  it('is done when it is on disk, whoever asked for the same in between', async () => {
    const first = session().declareQueue(queueRequest('q'));
    await turns();
    const second = session().declareQueue(queueRequest('q'));
    assert.ok(!(await settled(first)) && !(await settled(second)));
    store.commit();
    await commit();
    await Promise.all([first, second]);
    const bound = session().bindQueue(binding);
    const again = session().bindQueue(binding);
    assert.ok(!(await settled(bound)) && !(await settled(again)));
    store.commit();
    await commit();
    await Promise.all([bound, again]);
    assert.ok(await settled(session().declareQueue(queueRequest('q'))), 'nothing is awaited any more');
    const deleted = session().deleteQueue('q', { ifUnused: false, ifEmpty: false });
    assert.ok(!(await settled(deleted)));
    store.commit();
    assert.equal(await deleted, 0);
  });

  it('is taken back where it cannot be stored', async () => {
    const client = session();
    const declared = client.declareQueue(queueRequest('q'));
    await turns();
    store.fail();
    await assert.rejects(declared, { kind: 'unavailable' });
    assert.ok(!hosts.get('/')!.queues.has('q'));
    const exchange = client.declareExchange(exchangeRequest('x'));
    await turns();
    store.fail();
    await assert.rejects(exchange, { kind: 'unavailable' });
    assert.ok(!hosts.get('/')!.exchanges.has('x'));
  });

  it('does not delay what is not durable', async () => {
    const slow = session().declareQueue(queueRequest('q'));
    const request = queueRequest('t', { durable: false });
    assert.ok(await settled(session().declareQueue(request)));
    assert.ok(await settled(session().declareQueue(request)));
    store.commit();
    await slow;
  });
});

describe('queues by name', () => {
  it('get a name where they have none', async () => {
    const { name } = await session().declareQueue(queueRequest(''));
    assert.match(name, /^amq\.gen-[\w-]{22}$/);
    await session().checkQueue(name);
  });

  it('may not take a reserved or an overlong name', async () => {
    await assert.rejects(session().declareQueue(queueRequest('amq.mine')), {
      kind: 'access-refused',
      message: "queue name 'amq.mine' contains reserved prefix 'amq.*'",
    });
    await assert.rejects(session().declareQueue(queueRequest('ü'.repeat(128))), { kind: 'precondition-failed' });
    await session().declareQueue(queueRequest('x'.repeat(255)));
  });

  it('are not found where they are not, and deleting them counts 0', async () => {
    const client = session();
    const missing = { kind: 'not-found', message: "no queue 'q' in vhost '/'" };
    await assert.rejects(client.checkQueue('q'), missing);
    await assert.rejects(client.purgeQueue('q'), missing);
    await assert.rejects(client.get('q', true), missing);
    await assert.rejects(client.consume('q', consumeOptions(), new RecordingSink()), missing);
    await assert.rejects(client.bindQueue(binding), missing);
    assert.equal(await client.deleteQueue('q', { ifUnused: false, ifEmpty: false }), 0);
  });

  it('are deleted by condition', async () => {
    const client = session();
    await client.declareQueue(queueRequest('q'));
    client.publish(message({ key: 'q' }), null, 0);
    await assert.rejects(client.deleteQueue('q', { ifUnused: false, ifEmpty: true }), {
      kind: 'precondition-failed',
      message: "queue 'q' in vhost '/' not empty",
    });
    const sink = new RecordingSink();
    const consumer = await client.consume('q', consumeOptions(), sink);
    await assert.rejects(client.deleteQueue('q', { ifUnused: true, ifEmpty: false }), {
      kind: 'precondition-failed',
      message: "queue 'q' in vhost '/' in use",
    });
    assert.equal(await client.deleteQueue('q', { ifUnused: false, ifEmpty: false }), 1);
    assert.equal(sink.cancellations, 1);
    assert.ok(consumer.ended);
    assert.equal(core.memory.held, 0);
  });
});

describe('an exclusive queue', () => {
  const exclusive = queueRequest('mine', { exclusive: true });
  const locked = { kind: 'resource-locked', message: /^cannot obtain exclusive access to locked queue 'mine'/ };

  it("is its session's alone", async () => {
    const owner = session();
    const other = session();
    await owner.declareQueue(exclusive);
    await owner.declareQueue(exclusive);
    await owner.declareQueue({ ...exclusive, durable: !exclusive.durable });
    await assert.rejects(owner.declareQueue({ ...exclusive, exclusive: false }), locked);
    await assert.rejects(other.declareQueue(exclusive), locked);
    await assert.rejects(other.checkQueue('mine'), locked);
    await assert.rejects(other.get('mine', true), locked);
    await assert.rejects(other.purgeQueue('mine'), locked);
    await assert.rejects(other.bindQueue({ ...binding, queue: 'mine' }), locked);
    await assert.rejects(other.consume('mine', consumeOptions(), new RecordingSink()), locked);
    await assert.rejects(other.deleteQueue('mine', { ifUnused: false, ifEmpty: false }), locked);
    assert.equal(other.publish(message({ key: 'mine' }), null, 0), PUBLISH.routed);
    assert.equal((await owner.get('mine', true))!.messageCount, 0);
  });

  it('is not stored, and ends with its session', async () => {
    const owner = session();
    await owner.declareQueue(exclusive);
    assert.deepEqual([...store.definitions.all('queue')], []);
    owner.close();
    owner.close();
    assert.ok(!hosts.get('/')!.queues.has('mine'));
    await session().declareQueue({ ...exclusive, exclusive: false });
  });

  it('that ended before is forgotten', async () => {
    const owner = session();
    for (let i = 0; i < 10; i++) {
      await owner.declareQueue(exclusive);
      await owner.deleteQueue('mine', { ifUnused: false, ifEmpty: false });
      await owner.declareQueue({ ...exclusive, autoDelete: true });
      owner.cancel(await owner.consume('mine', consumeOptions(), new RecordingSink()));
    }
    const kept = owner as unknown as { owned: Set<unknown>; consumers: Set<unknown> };
    assert.equal(kept.owned.size, 0);
    assert.equal(kept.consumers.size, 0);
  });
});

describe('consumers', () => {
  it('deliver from their start until they are cancelled', async () => {
    const client = session();
    await client.declareQueue(queueRequest('q'));
    const sink = new RecordingSink();
    const consumer = await client.consume('q', consumeOptions(), sink);
    client.publish(message({ key: 'q', body: 'a' }), null, 0);
    await turns();
    assert.deepEqual(sink.bodies, []);
    consumer.start();
    await turns();
    client.publish(message({ key: 'q', body: 'b' }), null, 0);
    assert.deepEqual(sink.bodies, ['a', 'b']);
    client.cancel(consumer);
    client.cancel(consumer);
    client.publish(message({ key: 'q', body: 'c' }), null, 0);
    await turns();
    assert.deepEqual(sink.bodies, ['a', 'b']);
    // Its client may still settle the unacknowledged messages.
    const [a, b] = sink.take();
    client.acknowledge(b!);
    client.reject(a!, true);
    assert.equal((await client.get('q', true))!.message.bodyBytes().toString(), 'a');
  });

  // Otherwise a crash could lead to a second delivery without the redelivered mark.
  for (const [way, take] of Object.entries({
    'a consumer begins': (client: Session) => client.consume('q', consumeOptions(), new RecordingSink()),
    'a message is taken': (client: Session) => client.get('q', false),
  })) {
    it(`${way} once it is on disk that messages may be out, or cannot be written`, async () => {
      for (const full of [false, true]) {
        start(false);
        const queue = hosts.get('/')!.declareQueue({ ...queueRequest('q'), owner: null }).queue;
        store.stored(queue, 1, message({ key: 'q', body: 'a' }));
        queue.recover(false);
        const first = take(session());
        const second = take(session());
        assert.ok(!(await settled(first)) && !(await settled(second)));
        assert.ok(store.delivering.has(queue.id));
        if (full) store.fail();
        else store.commit();
        await Promise.all([first, second]);
        assert.equal(await settled(take(session())), !full, 'once it is written nothing is awaited any more');
      }
    });
  }

  it('that are exclusive are alone', async () => {
    const client = session();
    await client.declareQueue(queueRequest('q'));
    const taken = { kind: 'access-refused', message: "queue 'q' in vhost '/' in exclusive use" };
    const consume = (exclusive: boolean) => client.consume('q', consumeOptions({ exclusive }), new RecordingSink());
    const first = await consume(false);
    await assert.rejects(consume(true), taken);
    client.cancel(first);
    const alone = await consume(true);
    await assert.rejects(consume(false), taken);
    client.cancel(alone);
    await consume(false);
  });

  it('end with their session', async () => {
    const client = session();
    await client.declareQueue(queueRequest('q', { autoDelete: true }));
    const sink = new RecordingSink();
    (await client.consume('q', consumeOptions(), sink)).start();
    client.publish(message({ key: 'q', body: 'a' }), null, 0);
    client.requeueAll(sink.take());
    client.close();
    await turns();
    assert.deepEqual(sink.bodies, []);
    assert.ok(!hosts.get('/')!.queues.has('q'));
    assert.equal(sink.cancellations, 0, 'it is not told of its own doing');
  });

  it('that end with their queue are forgotten', async () => {
    const client = session();
    await client.declareQueue(queueRequest('q'));
    await client.consume('q', consumeOptions(), new RecordingSink());
    await session().deleteQueue('q', { ifUnused: false, ifEmpty: false });
    assert.equal((client as unknown as { consumers: Set<unknown> }).consumers.size, 0);
  });
});

describe('a session that is closed while something is awaited', () => {
  it('begins and takes nothing any more', async () => {
    await session().declareQueue(queueRequest('q'));
    session().publish(message({ key: 'q' }), null, 0);
    const client = session();
    authorizer.answer = () => turns(1).then(() => true);
    const waiting = [
      client.consume('q', consumeOptions(), new RecordingSink()),
      client.declareQueue(queueRequest('mine', { exclusive: true })),
      client.get('q', false),
    ];
    client.close();
    for (const one of waiting) await assert.rejects(one, { kind: 'unavailable' });
    const queue = hosts.get('/')!.queues.get('q')!;
    assert.deepEqual([queue.consumers.size, queue.readyCount, queue.unackedCount], [0, 1, 0]);
    assert.ok(!hosts.get('/')!.queues.has('mine'));
  });
});

describe('taking one message', () => {
  it('waits for the disk, and says what is left', async () => {
    store = new FakeStore({ automatic: true, late: true });
    core = new Core(store, { queueWindowEntries: 1 });
    hosts = new VirtualHosts(core.dependencies);
    hosts.recover();
    const client = session();
    await client.declareQueue(queueRequest('q'));
    for (const body of ['a', 'b', 'c']) client.publish(message({ key: 'q', body, persistent: true }), null, 0);
    await turns();
    const a = (await client.get('q', false))!;
    assert.deepEqual([a.message.bodyBytes().toString(), a.redelivered, a.messageCount], ['a', false, 2]);
    const waiting = client.get('q', true);
    assert.ok(!(await settled(waiting)));
    store.answerLoads();
    assert.equal((await waiting)!.entry, null);
    client.reject(a.entry!, true);
    assert.equal((await client.get('q', true))!.redelivered, true);
    assert.equal((await client.get('q', true))!.message.bodyBytes().toString(), 'c');
    assert.equal(await client.get('q', true), null);
  });

  it('fails where the disk is damaged, and the queue goes on when it is purged', async () => {
    for (const late of [false, true]) {
      store = new FakeStore({ automatic: true, late });
      core = new Core(store, { queueWindowEntries: 1 });
      hosts = new VirtualHosts(core.dependencies);
      hosts.recover();
      const client = session();
      await client.declareQueue(queueRequest('q'));
      for (const body of ['a', 'b', 'c']) client.publish(message({ key: 'q', body, persistent: true }), null, 0);
      await turns();
      await client.get('q', true);
      store.damage = new Error('bad record');
      const failing = assert.rejects(client.get('q', true), { kind: 'internal' });
      await turns();
      store.answerLoads();
      await failing;
      await assert.rejects(client.get('q', true), { kind: 'internal' });
      store.damage = null;
      assert.equal(await client.purgeQueue('q'), 2);
      client.publish(message({ key: 'q', body: 'd' }), null, 0);
      assert.equal((await client.get('q', true))!.message.bodyBytes().toString(), 'd');
      assert.equal(core.memory.held, 0);
    }
  });
});

describe('the default exchange', () => {
  it('can be neither declared, deleted nor bound', async () => {
    const client = session();
    await client.declareQueue(queueRequest('q'));
    const refused = { kind: 'access-refused', message: 'operation not permitted on the default exchange' };
    await assert.rejects(client.declareExchange(exchangeRequest('')), refused);
    await assert.rejects(client.deleteExchange('', false), refused);
    await assert.rejects(client.bindQueue({ ...binding, exchange: '' }), refused);
    await assert.rejects(client.unbindQueue({ ...binding, exchange: '' }), refused);
    const pair = { destination: '', source: 'amq.topic', routingKey: '', args: EMPTY_TABLE };
    await assert.rejects(client.bindExchange(pair), refused);
  });
});

const HERE = { loopback: true, address: '127.0.0.1', gone: false };

describe('access control', () => {
  it('lets those in who are who they say, to virtual hosts that are there', async () => {
    const client = new AccessControl(around());
    const credentials = { user: 'alice', password: 'secret', vhost: '/', origin: HERE };
    assert.equal((await client.login(credentials)).identity.user, 'alice');
    await assert.rejects(client.login({ ...credentials, user: 'mallory' }), { kind: 'access-refused' });
    await assert.rejects(client.login({ ...credentials, vhost: 'x' }), { kind: 'not-found' });
  });
});

describe('a publish to thousands of queues', () => {
  it('lets its publisher wait, and keeps its order', async () => {
    const publisher = session();
    const host = hosts.get('/')!;
    const count = FAN_OUT_SLICE + 1;
    for (let i = 0; i < count; i++) {
      const request = { name: `q${i}`, durable: false, autoDelete: false, args: EMPTY_TABLE, owner: null };
      const { queue } = host.declareQueue(request);
      host.bind(host.exchange('amq.fanout'), { queue }, '', EMPTY_TABLE, 'amqp');
    }
    const last = host.queues.get(`q${count - 1}`)!;
    assert.equal(publisher.publish(message({ exchange: 'amq.fanout', body: 'first' }), null, 0), PUBLISH.routed);
    const second = message({ key: last.name, body: 'second' });
    assert.equal(publisher.publish(second, null, 0), PUBLISH.pending);
    await publisher.ready();
    assert.equal(publisher.publish(second, null, 0), PUBLISH.routed);
    const bodies = [last.takeNext(true), last.takeNext(true)].map((entry) => entry?.message.bodyBytes().toString());
    assert.deepEqual(bodies, ['first', 'second']);
  });
});

describe('topic permissions', () => {
  beforeEach(() => {
    start(true);
    authorizer.restricted = ['amq.topic'];
  });

  const publish = (client: Session, key: string, exchange = 'amq.topic') =>
    client.publish(message({ exchange, key }), null, 0);

  for (const late of [false, true]) {
    it(`are asked once for each key, ${late ? 'whenever the answer comes' : 'at once'}`, async () => {
      const client = session();
      client.clientId = 'c';
      authorizer.answer = (question) => {
        const answer = !question.includes('secret');
        return late && question.includes(' in ') ? turns(1).then(() => answer) : answer;
      };
      const outcomes = [publish(client, 'a.b')];
      if (late) {
        await client.ready();
        outcomes.push(publish(client, 'a.b'));
      }
      assert.deepEqual(outcomes, late ? [PUBLISH.pending, PUBLISH.unroutable] : [PUBLISH.unroutable]);
      publish(client, 'a.b');
      const asked = ['write amq.topic', 'write a.b in amq.topic by c'];
      assert.deepEqual(authorizer.asked, asked);
      if (late) {
        assert.equal(publish(client, 'secret'), PUBLISH.pending);
        await client.ready();
      }
      assert.throws(() => publish(client, 'secret'), { kind: 'access-refused' });
      assert.throws(() => publish(client, 'secret'), /write access to topic 'secret' in exchange 'amq.topic'/);
      assert.equal(publish(client, 'a.b'), PUBLISH.unroutable);
      authorizer.generation++;
      authorizer.answer = () => true;
      assert.equal(publish(client, 'secret'), PUBLISH.unroutable);
    });
  }

  it('refuse ways to the exchange on which no key is checked', async () => {
    const client = session();
    await client.declareExchange({ ...EXCHANGE, name: 'mine', kind: 'fanout' });
    const bound = client.bindExchange({ source: 'mine', destination: 'amq.topic', routingKey: '', args: [] });
    await assert.rejects(bound, /write access to all topics of exchange 'amq.topic' in vhost '\/' refused/);
    assert.equal(hosts.get('/')!.exchange('mine').bindingCount, 0);
    const alternate = [textField('alternate-exchange', 'amq.topic')];
    const declared = client.declareExchange({ ...EXCHANGE, name: 'other', kind: 'direct', args: alternate });
    await assert.rejects(declared, { kind: 'access-refused' });
    assert.equal(hosts.get('/')!.exchanges.has('other'), false);
    authorizer.answer = (question) => !question.includes('secret');
    const dead = (key: string | null) => [
      textField('x-dead-letter-exchange', 'amq.topic'),
      ...(key === null ? [] : [textField('x-dead-letter-routing-key', key)]),
    ];
    await assert.rejects(client.declareQueue(queueRequest('q', { args: dead(null) })), { kind: 'access-refused' });
    await assert.rejects(client.declareQueue(queueRequest('q', { args: dead('secret') })), { kind: 'access-refused' });
    assert.equal(hosts.get('/')!.queues.has('q'), false);
    await client.declareQueue(queueRequest('q', { args: dead('a.b') }));
  });

  it('see a + of the MQTT dialect as *', async () => {
    const client = session();
    await client.declareQueue(queueRequest('q'));
    authorizer.asked = [];
    const filter = { queue: 'q', exchange: 'amq.topic', routingKey: '+.a+.+.+', args: [], dialect: 'mqtt' } as const;
    await client.bindQueue(filter);
    assert.deepEqual(
      authorizer.asked.filter((question) => question.includes(' in ')),
      ['read *.a+.*.* in amq.topic by null'],
    );
  });

  it('are asked of further keys and in transactions', () => {
    authorizer.answer = (question) => !question.includes('secret');
    const client = session();
    const sent = message({ exchange: 'amq.topic', key: 'a' });
    assert.throws(() => client.publishCopies(sent, ['secret'], null, 0), { kind: 'access-refused' });
    assert.throws(() => client.route(sent, ['secret']), { kind: 'access-refused' });
    assert.throws(() => client.route(message({ exchange: 'amq.topic', key: 'secret' }), []), {
      kind: 'access-refused',
    });
  });

  it('are asked before a queue or an exchange is bound', async () => {
    authorizer.answer = (question) => !question.includes('secret');
    const client = session();
    await client.declareQueue(queueRequest('q'));
    const binding = { queue: 'q', exchange: 'amq.topic', args: EMPTY_TABLE };
    await client.bindQueue({ ...binding, routingKey: 'a.#' });
    await assert.rejects(client.bindQueue({ ...binding, routingKey: 'secret.#' }), { kind: 'access-refused' });
    const to = { destination: 'amq.fanout', source: 'amq.topic', args: EMPTY_TABLE };
    await client.bindExchange({ ...to, routingKey: 'a.#' });
    await assert.rejects(client.bindExchange({ ...to, routingKey: 'secret' }), { kind: 'access-refused' });
    assert.equal(hosts.get('/')!.exchange('amq.topic').bindingCount, 2);
  });

  it('are not asked where none are set, and in exchanges of other kinds', async () => {
    authorizer.restricted = ['amq.direct'];
    const client = session();
    publish(client, 'a');
    publish(client, 'a', 'amq.direct');
    assert.deepEqual(authorizer.asked, ['write amq.topic', 'write amq.direct']);
  });
});

describe('what a session does beside queues and exchanges', () => {
  beforeEach(() => start(true));

  it('retains what it has published, and removes it by an empty body', () => {
    const client = session();
    const kept = () => [...(core.retained.hosts.get('/')?.keys() ?? [])];
    assert.equal(client.retain(message({ exchange: 'amq.topic', key: 'a.b', body: 'x' }), null, 0), true);
    assert.deepEqual(kept(), ['a.b']);
    client.retain(message({ exchange: 'amq.topic', key: 'a.b' }), null, 0);
    assert.deepEqual(kept(), []);
  });

  it('opens an address for direct replies, and closes it', () => {
    const client = session();
    const replies: string[] = [];
    const address = client.openReplies({ reply: (reply) => replies.push(reply.bodyBytes().toString()) });
    assert.equal(client.hasReplies(address), true);
    session().publish(message({ key: address, body: 'yes' }), null, 0);
    client.closeReplies(address);
    assert.equal(client.hasReplies(address), false);
    session().publish(message({ key: address, body: 'too late' }), null, 0);
    assert.deepEqual(replies, ['yes']);
  });

  it("takes the QoS 0 messages of its consumer's queue past the queue", async () => {
    const client = session();
    await client.declareQueue(queueRequest('q'));
    const consumer = await client.consume('q', consumeOptions(), new RecordingSink());
    const received: string[] = [];
    client.receiveDirect(consumer, { receive: (direct) => received.push(direct.bodyBytes().toString()) });
    client.publish(message({ key: 'q', body: 'direct' }), null, 0);
    assert.deepEqual(received, ['direct']);
    assert.equal(consumer.queue.readyCount, 0);
  });
});

/** How a message's protocol asks to retain it. */
const BY_HEADER = true;
const BY_FLAG = false;

describe('retained messages of other protocols', () => {
  beforeEach(() => start(true));

  /** A message whose codec has a retain header or not, and whose native bytes contain the header names. */
  function sent(
    retainHeader: boolean,
    key: string,
    body: string,
    headers: FieldTable,
    exchange = 'amq.topic',
  ): Message {
    const chunk = Buffer.from(`before ${headers.map(({ name }) => name).join()} and more x-mqtt-retain`);
    const native = chunk.length - ' x-mqtt-retain'.length - 'before '.length;
    const codec = { id: 77, retainHeader, decode: () => ({ ...NO_PROPERTIES, headers }) };
    const bytes = Buffer.from(body);
    return new Message(exchange, key, bytes, 0, bytes.length, chunk, 7, native, codec, true, 0, NEVER, 0);
  }
  const RETAIN: FieldTable = [{ name: 'x-mqtt-retain', value: { type: 't', value: true } }];
  const kept = () =>
    [...(core.retained.hosts.get('/')?.values() ?? [])].map((each) => `${each.routingKey} ${each.bodyBytes()}`);

  it('are kept and removed by a header, and by nothing that only looks like it', () => {
    const client = session();
    const publish = (...args: Parameters<typeof sent>) => client.publish(sent(...args), null, 0);
    publish(BY_HEADER, 'a.b', 'one', RETAIN);
    publish(BY_HEADER, 'c', 'two', [textField('x-mqtt-retain', 'true')]);
    assert.deepEqual(kept(), ['a.b one', 'c two']);
    publish(BY_HEADER, 'd', 'no', [{ name: 'x-mqtt-retain', value: { type: 't', value: false } }]);
    publish(BY_HEADER, 'd', 'no', [textField('x-mqtt-retain', 'yes')]);
    publish(BY_HEADER, 'd', 'no', [textField('x-mqtt-retained', 'true')]);
    publish(BY_HEADER, 'd', 'no', [textField('x-other', 'true')]);
    publish(BY_FLAG, 'd', 'no', RETAIN);
    publish(BY_HEADER, 'd', 'no', RETAIN, 'amq.direct');
    for (const key of ['', 'a.#', '+', 'a\u0000']) publish(BY_HEADER, key, 'no', RETAIN);
    assert.deepEqual(kept(), ['a.b one', 'c two']);
    publish(BY_HEADER, 'a.b', '', RETAIN);
    assert.deepEqual(kept(), ['c two']);
  });

  it('are kept with copies and at the end of a transaction', async () => {
    const client = session();
    client.publishCopies(sent(BY_HEADER, 'a', 'copy', RETAIN), ['b'], null, 0);
    const transacted = sent(BY_HEADER, 'c', 'tx', RETAIN);
    const routed = client.route(transacted, [])!;
    assert.deepEqual(kept(), ['a copy']);
    core.turn.begin();
    await client.commit([routed], []);
    assert.deepEqual(kept(), ['a copy', 'c tx']);
  });

  it("leave the broker's own topics alone, as every publish must", () => {
    const client = session();
    for (const key of ['$SYS', '$SYS.broker.uptime']) {
      assert.throws(() => client.publish(sent(BY_HEADER, key, 'x', RETAIN), null, 0), { kind: 'access-refused' });
      assert.throws(() => client.route(sent(BY_HEADER, 'a', 'x', []), [key]), { kind: 'access-refused' });
    }
    client.publish(sent(BY_HEADER, '$SYSTEM', 'x', []), null, 0);
    client.publish(sent(BY_HEADER, '$SYS.a', 'x', [], 'amq.direct'), null, 0);
    assert.deepEqual(kept(), []);
  });
});

describe('a publish whose route must be found', () => {
  it('waits for a later slice if its input has taken its time, and then goes ahead', async () => {
    start(true);
    const client = session();
    const host = hosts.get('/')!;
    const { queue } = host.declareQueue({ ...queueRequest('q'), owner: null });
    host.bind(host.exchange('amq.topic'), { queue }, '#', [], 'amqp');
    core.turn.input(1);
    assert.equal(client.publish(message({ exchange: 'amq.topic', key: 'a' }), null, 0), PUBLISH.routed);
    core.time += 11;
    assert.equal(client.publish(message({ exchange: 'amq.topic', key: 'a' }), null, 0), PUBLISH.routed, 'it is known');
    const late = message({ exchange: 'amq.topic', key: 'b' });
    assert.equal(client.publish(late, null, 0), PUBLISH.pending);
    assert.equal(queue.readyCount, 2);
    await client.ready();
    assert.equal(client.publish(late, null, 0), PUBLISH.routed);
    assert.equal(client.publish(message({ exchange: 'amq.topic', key: 'c' }), null, 0), PUBLISH.pending);
    assert.equal(queue.readyCount, 3);
  });

  it('by many keys is done in slices, and reaches each queue once', async () => {
    start(true);
    const client = session();
    const host = hosts.get('/')!;
    const queues = ['q0', 'q1', 'q2'].map((name) => {
      const { queue } = host.declareQueue({ ...queueRequest(name), owner: null });
      host.bind(host.exchange('amq.topic'), { queue }, `*.${name}`, [], 'amqp');
      return queue;
    });
    const sent = message({ exchange: 'amq.topic', key: 'a.q0' });
    const keys = Array.from({ length: 100 }, (_, i) => `b${i}.q${i % 3}`);
    core.turn.input(1);
    core.time += 11;
    let slices = 0;
    while (client.publishCopies(sent, keys, null, 0) === PUBLISH.pending) {
      assert.deepEqual(
        queues.map(({ readyCount }) => readyCount),
        [0, 0, 0],
      );
      slices++;
      await client.ready();
    }
    assert.ok(slices > 10, `${slices} slices`);
    assert.deepEqual(
      queues.map(({ readyCount }) => readyCount),
      [1, 1, 1],
    );
  });

  it('by too many keys, or one that is too long, is refused', () => {
    start(true);
    const client = session();
    const sent = message({ exchange: 'amq.topic', key: 'a' });
    const keys = Array.from({ length: 1025 }, (_, i) => `${i}`);
    assert.throws(() => client.publishCopies(sent, keys, null, 0), /at most 1024 routing keys in CC and BCC, not 1025/);
    assert.throws(() => client.publishCopies(sent, ['k'.repeat(5000)], null, 0), /longer than 4096 bytes/);
  });
});

describe("the broker's own topics", () => {
  it('get no message over another exchange, nor a dead letter', async () => {
    start(true);
    const client = session();
    const host = hosts.get('/')!;
    const { queue } = host.declareQueue({ ...queueRequest('watch'), owner: null });
    host.bind(host.exchange('amq.topic'), { queue }, '$SYS.#', [], 'amqp');
    await client.declareExchange({ ...EXCHANGE, name: 'mine', kind: 'fanout' });
    await client.bindExchange({ source: 'mine', destination: 'amq.topic', routingKey: '', args: [] });
    const key = '$SYS.broker.version';
    assert.equal(client.publish(message({ exchange: 'mine', key }), null, 0), PUBLISH.unroutable);
    const alternate = [textField('alternate-exchange', 'amq.topic')];
    await client.declareExchange({ ...EXCHANGE, name: 'other', kind: 'direct', args: alternate });
    assert.equal(client.publish(message({ exchange: 'other', key }), null, 0), PUBLISH.unroutable);
    const args = [textField('x-dead-letter-exchange', 'amq.topic'), textField('x-dead-letter-routing-key', key)];
    await client.declareQueue(queueRequest('dying', { args }));
    client.publish(message({ exchange: '', key: 'dying', expirationMs: 0 }), null, 0);
    await turns();
    assert.equal(queue.readyCount, 0);
    assert.equal(core.meters.deadLettersLost, 1);
  });
});
