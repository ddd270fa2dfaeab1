// State that outlives a connection: persistent sessions with their queues, packet ids and subscriptions, takeover of a
// client id, and deliveries to slow or disconnected clients.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { queueNameOf } from '../../../protocols/mqtt/session/session-queue.ts';
import type { Sessions } from '../../../protocols/mqtt/session/sessions.ts';
import { textField } from '../../../src/core/message/field-table.ts';
import { Message, NEVER } from '../../../src/core/message/message.ts';
import { NO_CODEC } from '../../../src/core/message/properties.ts';
import type { Session } from '../../../src/core/session/session.ts';
import { connect5, p, publish5, subscribe5, unsuback5, unsubscribe5 } from '../../../support/wire/mqtt5.ts';
import { ack, connect, DISCONNECT, packet, publish, subscribe, unsubscribe } from '../bytes.ts';
import { Harness, reasonOf } from '../harness.ts';

const hex = (...packets: Buffer[]): string[] => packets.map((bytes) => bytes.toString('hex'));
const suback = (id: number, ...codes: number[]): string =>
  packet(0x90, Buffer.from([id >> 8, id & 255, ...codes])).toString('hex');

/** Publishes as another protocol does. */
function send(session: Session, routingKey: string, body: string, persistent: boolean, exchange = 'amq.topic'): void {
  const bytes = Buffer.from(body);
  session.publish(
    new Message(exchange, routingKey, bytes, 0, bytes.length, bytes, 0, 0, NO_CODEC, persistent, 0, NEVER, 0),
    null,
    0,
  );
}

describe('a persistent session', () => {
  it('queues QoS 1 while its client is disconnected, drops QoS 0, and is reported as present', async () => {
    const broker = new Harness();
    const first = await broker.connect('c', {}, false);
    assert.ok(!first.present);
    first.send(subscribe(1, ['a/#', 1]));
    await broker.settle();
    first.send(DISCONNECT);
    await broker.settle();
    const publisher = await broker.connect('pub');
    publisher.send(publish('a/1', 'x', 1, 1), publish('a/2', 'y'), publish('a/3', 'z', 1, 2));
    await broker.settle();
    assert.equal(broker.meters.droppedDirect, 1);
    const second = broker.open();
    second.send(connectBytes('c'));
    await broker.settle();
    assert.deepEqual(second.take(), ['20020100', ...hex(publish('a/1', 'x', 1, 1), publish('a/3', 'z', 1, 2))]);
    second.send(ack(0x40, 1), ack(0x40, 2));
    await broker.settle();
    assert.equal(broker.hosts.get('/')!.queues.get(queueNameOf('c'))!.unackedCount, 0);
  });

  it('sends again under the same packet ids, with DUP, and gives new messages other ids [MQTT-4.4.0-1]', async () => {
    const broker = new Harness({ limits: { receiveMaximum: 3 } });
    const first = await broker.connect('c', {}, false);
    first.send(subscribe(1, ['a', 1]));
    const publisher = await broker.connect('pub');
    publisher.send(...[1, 2, 3, 4, 5].map((i) => publish('a', `${i}`, 1, i)));
    await broker.settle();
    assert.deepEqual(first.take(), [
      suback(1, 1),
      ...hex(publish('a', '1', 1, 1), publish('a', '2', 1, 2), publish('a', '3', 1, 3)),
    ]);
    first.send(ack(0x40, 2));
    await broker.settle();
    assert.deepEqual(first.take(), hex(publish('a', '4', 1, 4)));
    first.drop();
    await broker.settle();
    const second = broker.open();
    second.send(connectBytes('c'));
    await broker.settle();
    assert.deepEqual(second.take(), [
      '20020100',
      ...hex(publish('a', '1', 1, 1, 8), publish('a', '3', 1, 3, 8), publish('a', '4', 1, 4, 8)),
    ]);
    second.send(ack(0x40, 1));
    await broker.settle();
    const [next] = second.take();
    assert.ok(!hex(publish('a', '5', 1, 3), publish('a', '5', 1, 4)).includes(next!));
    assert.equal(next!.slice(0, 2), '32');
  });

  it('ends when its client connects with a clean one', async () => {
    const broker = new Harness();
    const first = await broker.connect('c', {}, false);
    first.send(subscribe(1, ['a', 1]), DISCONNECT);
    await broker.settle();
    await broker.connect('c');
    const third = await broker.connect('c', {}, false);
    assert.ok(!third.present);
    const publisher = await broker.connect('pub');
    publisher.send(publish('a', 'x', 1, 1));
    await broker.settle();
    assert.deepEqual(third.take(), []);
  });

  it('keeps its subscriptions, which UNSUBSCRIBE and a new QoS reach after a restart too', async () => {
    const broker = new Harness();
    const first = await broker.connect('c', {}, false);
    first.send(subscribe(1, ['a', 1], ['b/+', 0]), DISCONNECT);
    await broker.settle();
    // A restart: a new front-end on the same definitions.
    const restarted = broker.restartFrontEnd();
    const second = await restarted.connect('c', {}, false);
    assert.ok(second.present);
    second.send(subscribe(2, ['b/+', 1]), packet(0xa2, Buffer.from([0, 3, 0, 1, 0x61])));
    await restarted.settle();
    const publisher = await restarted.connect('pub');
    publisher.send(publish('a', 'x', 1, 1), publish('b/c', 'y', 1, 2));
    await restarted.settle();
    assert.deepEqual(second.take(), [suback(2, 1), 'b0020003', ...hex(publish('b/c', 'y', 1, 1))]);
    assert.equal(
      [...restarted.hosts.get('/')!.bindingsOf(restarted.hosts.get('/')!.queues.get(queueNameOf('c'))!)].length,
      1,
    );
  });

  it('loses subscriptions without permission when its client reconnects', async () => {
    let secret = true;
    const broker = new Harness({ topics: (_permission, key) => secret || !key.startsWith('secret') });
    const first = await broker.connect('c', {}, false);
    first.send(subscribe(1, ['a', 1], ['secret/#', 1]));
    await broker.settle();
    first.send(DISCONNECT);
    await broker.settle();
    const publisher = await broker.session();
    send(publisher, 'secret.1', 'allowed then', true);
    await broker.settle();
    secret = false;
    broker.generation++;
    const second = await broker.connect('c', {}, false);
    assert.ok(second.present);
    send(publisher, 'a', '1', true);
    secret = true;
    broker.generation++;
    send(publisher, 'secret.2', 'not selected', true);
    await broker.settle();
    const queue = broker.hosts.get('/')!.queues.get(queueNameOf('c'))!;
    assert.deepEqual(
      [...broker.hosts.get('/')!.bindingsOf(queue)]
        .map(({ routingKey }) => routingKey)
        .filter((key) => key !== queue.name),
      ['a'],
    );
  });

  it('of another user is not resumed with subscriptions that the new user may not make', async () => {
    let secret = true;
    const broker = new Harness({ topics: (permission, key) => permission === 'write' || secret || key === 'a' });
    const [anna, bert] = ['anna', 'bert'].map((user) => ({ user, password: 'guest' }));
    const lasting = async (filter: string) => {
      const client = await broker.connect('c', anna, false);
      client.send(subscribe(1, [filter, 1]));
      await broker.settle();
      client.send(DISCONNECT);
      await broker.settle();
    };
    const publisher = await broker.session();
    await lasting('secret');
    send(publisher, 'secret', 'x', true);
    secret = false;
    broker.generation++;
    const stranger = await broker.connect('c', bert, false);
    assert.ok(!stranger.present);
    await broker.settle();
    assert.deepEqual(stranger.take(), []);
    stranger.send(DISCONNECT);
    await broker.settle();
    await lasting('a');
    send(publisher, 'a', 'x', true);
    const heir = broker.open();
    heir.send(connect({ clientId: 'c', ...bert }, false));
    await broker.settle();
    assert.deepEqual(heir.take(), ['20020100', ...hex(publish('a', 'x', 1, 1))]);
  });

  it('not resumed since a restart does not queue QoS 0', async () => {
    const broker = new Harness();
    const first = await broker.connect('c', {}, false);
    first.send(subscribe(1, ['a', 1]), DISCONNECT);
    await broker.settle();
    const restarted = broker.restartFrontEnd();
    const publisher = await restarted.connect('pub');
    publisher.send(publish('a', 'x'), publish('a', 'y', 1, 1));
    await restarted.settle();
    assert.equal(restarted.hosts.get('/')!.queues.get(queueNameOf('c'))!.readyCount, 1);
    assert.equal(restarted.meters.droppedDirect, 1);
  });

  it('gets nothing before CONNACK, even if messages are published at QoS 0 meanwhile [MQTT-3.2.0-1]', async () => {
    const broker = new Harness();
    const never = [p.sessionExpiry(0xffff_ffff)];
    const first = await broker.connect5('c', { clean: false, properties: never });
    first.send(subscribe5(1, [], ['a', 0], ['$share/g/b', 0]));
    await broker.settle();
    first.drop();
    const publisher = await broker.connect('pub');
    await broker.settle();
    broker.store.hold();
    const second = broker.open();
    second.send(connect5({ clientId: 'c', clean: false, properties: [p.sessionExpiry(5)] }));
    await broker.settle();
    publisher.send(publish('a', 'early'), publish('b', 'early'));
    await broker.settle();
    assert.deepEqual(second.take(), []);
    assert.equal(broker.meters.droppedDirect, 2);
    broker.store.release();
    await broker.settle();
    publisher.send(publish('a', 'late'), publish('b', 'late'));
    await broker.settle();
    const [connack, ...rest] = second.take();
    assert.equal(reasonOf(connack), 'connack 1 0');
    assert.deepEqual(rest, hex(publish5('a', 'late'), publish5('b', 'late')));
  });

  it('whose queue is refused leaves no state, and publishes no will', async () => {
    const broker = new Harness();
    const host = broker.hosts.get('/')!;
    const owner = { disowned: () => {} };
    host.declareQueue({ name: queueNameOf('c'), durable: false, autoDelete: false, args: [], owner });
    const watcher = await broker.connect('watcher');
    watcher.send(subscribe(1, ['wills/#', 0]));
    await broker.settle();
    watcher.take();
    await assert.rejects(
      broker.connect5('c', {
        clean: false,
        properties: [p.sessionExpiry(0xffff_ffff)],
        will: { topic: 'wills/c', payload: 'gone' },
      }),
      /CONNECT was answered with connack 0 /,
    );
    await broker.settle();
    assert.deepEqual([...broker.store.definitions.all('session')], []);
    const { sessions } = broker.frontEnd as unknown as { sessions: Sessions };
    assert.equal(sessions.get('/', 'c'), null);
    assert.deepEqual(watcher.take(), []);
  });

  it('whose client disconnected before it was stored expires, and leaves no queue', async () => {
    for (const stored of [true, false]) {
      const broker = new Harness();
      broker.store.hold();
      const client = broker.open();
      client.send(connect5({ clientId: 'c', properties: [p.sessionExpiry(2)] }));
      await broker.settle();
      client.drop();
      await broker.settle();
      if (stored) broker.store.release();
      broker.tick(10);
      await broker.settle();
      broker.store.release();
      await broker.settle();
      assert.equal(broker.hosts.get('/')!.queues.size, 0, `stored before its end: ${stored}`);
      assert.deepEqual([...broker.store.definitions.all('session')], []);
    }
  });

  it('whose client may not read its queue leaves no queue', async () => {
    const broker = new Harness({ allows: (permission) => permission !== 'read' });
    const fields = { clean: false, properties: [p.sessionExpiry(0xffff_ffff)] };
    await assert.rejects(broker.connect5('c', fields), /CONNECT was answered with connack 0 86/);
    await broker.settle();
    assert.equal(broker.hosts.get('/')!.queues.size, 0);
    assert.deepEqual([...broker.store.definitions.all('session')], []);
  });

  it('does not use a queue that another user declared under its name', async () => {
    const broker = new Harness();
    const long = 'x'.repeat(300);
    const fields = { clean: false, properties: [p.sessionExpiry(0xffff_ffff)] };
    await broker.connect5(long, fields);
    const hashed = queueNameOf(long).slice('mqtt-subscription-'.length, -'qos1'.length);
    await assert.rejects(broker.connect5(hashed, fields), /CONNECT was answered with connack 0 87/);
    const session = await broker.session();
    const request = { name: queueNameOf('c'), durable: true, exclusive: false, autoDelete: false, args: [] };
    await session.declareQueue(request);
    await assert.rejects(broker.connect5('c', fields), /CONNECT was answered with connack 0 87/);
    assert.deepEqual([...broker.hosts.get('/')!.queues.keys()], [queueNameOf(long), queueNameOf('c')]);
  });

  it('is not confused, after a restart, with a queue declared with the arguments of a session queue', async () => {
    const broker = new Harness();
    const session = await broker.session();
    const fields = { clean: false, properties: [p.sessionExpiry(20)] };
    const marks = [textField('x-mqtt-client-id', 'c'), textField('x-mqtt-shared', 'g/b')];
    const request = { durable: true, exclusive: false, autoDelete: false };
    for (const [i, mark] of marks.entries()) await session.declareQueue({ ...request, name: `a${i}`, args: [mark] });
    const first = await broker.connect5('c', fields);
    first.send(subscribe5(1, [], ['$share/g/b', 1]));
    for (const [i, mark] of marks.entries()) await session.declareQueue({ ...request, name: `z${i}`, args: [mark] });
    await broker.settle();
    first.drop();
    await broker.settle();
    const restarted = broker.restartFrontEnd();
    const second = await restarted.connect5('c', fields);
    assert.ok(second.present);
    const publisher = await restarted.connect('pub');
    publisher.send(publish('b', 'x', 1, 1));
    await restarted.settle();
    assert.deepEqual(second.take(), hex(publish5('b', 'x', { qos: 1, id: 1 })));
    second.drop();
    restarted.tick(60);
    await restarted.settle();
    assert.deepEqual([...restarted.hosts.get('/')!.queues.keys()], ['a0', 'a1', 'z0', 'z1']);
  });

  it('whose permission was removed refuses UNSUBSCRIBE, and continues', async () => {
    let allowed = true;
    const broker = new Harness({ allows: async () => allowed });
    const young = await broker.connect5('c');
    const old = await broker.connect('old');
    for (const client of [young, old]) {
      client.send(client === young ? subscribe5(1, [], ['a', 1]) : subscribe(1, ['a', 1]));
      await broker.settle();
      client.take();
    }
    allowed = false;
    broker.generation++;
    young.send(unsubscribe5(2, 'a', 'b'));
    old.send(unsubscribe(2, 'a'));
    await broker.settle();
    assert.deepEqual(young.take(), hex(unsuback5(2, 0x87, 0x11)));
    assert.ok(!young.closed);
    // A 3.1.1 UNSUBACK has no reason codes and would confirm the removal.
    assert.deepEqual(old.take(), []);
    assert.ok(old.closed);
  });

  it('whose client id is too long for a queue name uses its hash', () => {
    assert.equal(queueNameOf('c'), 'mqtt-subscription-cqos1');
    const long = queueNameOf('x'.repeat(1000));
    assert.ok(Buffer.byteLength(long) <= 255);
    assert.notEqual(long, queueNameOf('x'.repeat(999)));
  });
});

describe('a clean session', () => {
  it('leaves no state', async () => {
    const broker = new Harness();
    const ticked = broker.ticker.size;
    const client = await broker.connect('c');
    client.send(subscribe(1, ['a', 1]), publish('a', 'x', 1, 1));
    await broker.settle();
    const host = broker.hosts.get('/')!;
    assert.equal(host.queues.size, 1);
    client.drop();
    await broker.settle();
    assert.equal(host.queues.size, 0);
    assert.equal(host.exchange('amq.topic').bindingCount, 0);
    assert.equal(broker.ticker.size, ticked);
    assert.equal(broker.pool.lentBytes, 0);
  });
});

describe('a client id', () => {
  it('is taken over by a later connection, which gets the unacknowledged messages with DUP', async () => {
    const broker = new Harness();
    const old = await broker.connect('c', {}, false);
    old.send(subscribe(1, ['a', 1]));
    const publisher = await broker.connect('pub');
    publisher.send(publish('a', 'x', 1, 1));
    await broker.settle();
    assert.deepEqual(old.take(), [suback(1, 1), ...hex(publish('a', 'x', 1, 1))]);
    const young = broker.open();
    young.send(connectBytes('c'));
    await broker.settle();
    assert.ok(old.closed);
    assert.deepEqual(young.take(), ['20020100', ...hex(publish('a', 'x', 1, 1, 8))]);
    // The old connection's acknowledgement comes too late and is ignored.
    old.handler.data(ack(0x40, 1));
    assert.equal(broker.hosts.get('/')!.queues.get(queueNameOf('c'))!.unackedCount, 1);
  });

  it('is another in another virtual host', async () => {
    const broker = new Harness();
    broker.hosts.create('other');
    const one = await broker.connect('c');
    const two = await broker.connect('c', { user: 'other:guest' });
    assert.ok(!one.closed && !two.closed);
  });

  it('that many connections use stays with the last one, and clean sessions leave no state', async () => {
    const broker = new Harness({ allows: async () => true });
    const clients = [];
    for (let i = 0; i < 20; i++) {
      const client = broker.open();
      const clean = i % 3 !== 0;
      client.send(connectBytes('c', clean), subscribe(1, ['a', 1]), publish('b', 'x'));
      clients.push(client);
      if (i % 4 === 0) await broker.settle();
    }
    await broker.settle();
    await broker.settle();
    await broker.settle();
    assert.deepEqual(
      clients.map((client) => client.closed),
      clients.map((_, i) => i < 19),
    );
    const publisher = await broker.connect('pub');
    publisher.send(publish('a', 'x', 1, 1));
    await broker.settle();
    const last = clients[19]!;
    assert.deepEqual(last.take().slice(-1), hex(publish('a', 'x', 1, 1)));
    last.drop();
    await broker.settle();
    assert.equal(broker.hosts.get('/')!.queues.size, 0);
  });
});

describe('deliveries', () => {
  it('from other protocols have the routing key as their topic; a key that makes none is counted', async () => {
    const broker = new Harness();
    const client = await broker.connect('c');
    client.send(subscribe(1, ['#', 1]));
    await broker.settle();
    const session = await broker.session();
    await session.declareQueue({ name: 'q', durable: true, exclusive: false, autoDelete: false, args: [] });
    send(session, 'a.b/c', 'one', true);
    send(session, 'a.*', 'two', false);
    for (const key of ['a.+', '#', '', 'nul\u0000']) {
      send(session, key, 'never', true);
      send(session, key, 'never', false);
    }
    send(session, 'z', 'x'.repeat(20_000), true);
    send(session, 'z', 'x'.repeat(20_000), false);
    await broker.settle();
    assert.deepEqual(client.take(), [
      suback(1, 1),
      ...hex(
        publish('a/b.c', 'one', 1, 1),
        publish('a/*', 'two'),
        publish('z', 'x'.repeat(20_000), 1, 6),
        publish('z', 'x'.repeat(20_000)),
      ),
    ]);
    assert.equal(broker.meters.undeliverable, 8);
  });

  it('may come from a manually bound exchange', async () => {
    const broker = new Harness();
    const client = await broker.connect('c', {}, false);
    const session = await broker.session();
    await session.declareExchange({
      name: 'x',
      kind: 'fanout',
      durable: true,
      autoDelete: false,
      internal: false,
      args: [],
    });
    await session.bindQueue({ queue: queueNameOf('c'), exchange: 'x', routingKey: '', args: [] });
    send(session, 'by.hand', 'x', true, 'x');
    send(session, 'by.hand', 'y', false, 'x');
    await broker.settle();
    assert.deepEqual(client.take(), hex(publish('by/hand', 'x', 1, 1), publish('by/hand', 'y')));
  });

  it('at one QoS to some and another to others carry the same message', async () => {
    const broker = new Harness();
    const clients = [];
    for (let i = 0; i < 6; i++) {
      const client = await broker.connect(`c${i}`);
      client.send(subscribe(1, ['a/b', i % 2]));
      clients.push(client);
    }
    await broker.settle();
    for (const client of clients) client.take();
    const publisher = await broker.connect('pub');
    publisher.send(publish('a/b', 'at 1', 1, 77), publish('a/b', 'at 0'), publish('a/b', 'kept', 0, 0, 1));
    send(await broker.session(), 'a.b', 'amqp', true);
    await broker.settle();
    for (const [i, client] of clients.entries()) {
      const qos1 = i % 2 === 1;
      const expected = qos1
        ? [publish('a/b', 'at 1', 1, 1), publish('a/b', 'at 0'), publish('a/b', 'kept'), publish('a/b', 'amqp', 1, 2)]
        : [publish('a/b', 'at 1'), publish('a/b', 'at 0'), publish('a/b', 'kept'), publish('a/b', 'amqp')];
      assert.deepEqual(client.take(), hex(...expected));
    }
  });

  it('to a client that does not read wait at QoS 1, are dropped at QoS 0, and resume when it reads', async () => {
    const outbox = { highWatermarkBytes: 4096, lowWatermarkBytes: 1024, flushBytes: 4096 };
    const broker = new Harness({ outbox });
    const slow = await broker.connect('slow');
    slow.send(subscribe(1, ['a', 1]));
    await broker.settle();
    slow.take();
    slow.transport.stuck = true;
    const publisher = await broker.connect('pub');
    const body = 'x'.repeat(1000);
    for (let i = 1; i <= 20; i++) {
      publisher.send(publish('a', `${i} ${body}`, 1, i), publish('a', `${i} ${body}`));
      await broker.settle();
    }
    const queue = broker.hosts.get('/')!.queues.get(queueNameOf('slow'))!;
    assert.ok(queue.readyCount > 10, `${queue.readyCount} wait`);
    assert.ok(broker.meters.droppedDirect > 10);
    assert.equal(publisher.take().length, 20);
    let seen: string[] = [];
    while (queue.readyCount + queue.unackedCount > 0) {
      slow.transport.unstick();
      await broker.settle();
      const packets = slow.take().filter((p) => p.startsWith('32'));
      assert.ok(packets.length > 0, 'deliveries go on');
      seen = seen.concat(packets);
      for (const p of packets) slow.send(ack(0x40, Number.parseInt(p.slice(12, 16), 16)));
      await broker.settle();
    }
    assert.equal(seen.length, 20);
  });

  it('stop at the inflight window and resume with each acknowledgement, in any order', async () => {
    const broker = new Harness({ limits: { receiveMaximum: 4 } });
    const client = await broker.connect('c');
    client.send(subscribe(1, ['a', 1]));
    await broker.settle();
    client.take();
    const publisher = await broker.connect('pub');
    for (let i = 1; i <= 50; i++) publisher.send(publish('a', `${i}`, 1, i));
    await broker.settle();
    const out = new Set<number>();
    const bodies: number[] = [];
    for (let round = 0; bodies.length < 50; round++) {
      for (const p of client.take()) {
        const id = Number.parseInt(p.slice(10, 14), 16);
        assert.ok(!out.has(id), 'an id that is out is not used again');
        out.add(id);
        bodies.push(Number(Buffer.from(p.slice(14), 'hex').toString()));
      }
      assert.ok(out.size > 0 && out.size <= 4);
      const id = [...out][round % out.size]!;
      out.delete(id);
      client.send(ack(0x40, id), ack(0x40, 60_000));
      await broker.settle();
    }
    assert.deepEqual(
      bodies,
      Array.from({ length: 50 }, (_, i) => i + 1),
    );
  });
});

function connectBytes(clientId: string, clean = false): Buffer {
  return connect({ clientId, user: 'guest', password: 'guest' }, clean);
}
