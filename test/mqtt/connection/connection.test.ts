// A connection as a client sees it: CONNECT and its answers, subscriptions, publishing at each QoS, wills, keep-alive,
// and the close after every violation of the protocol.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SILENT } from '../../../src/core/logger.ts';
import type { Credentials } from '../../../src/core/ports/authorization.ts';
import { TURN_INPUT_BYTES } from '../../../src/core/turn/turn.ts';
import { connect5 } from '../../../support/wire/mqtt5.ts';
import { ack, connect, DISCONNECT, PINGREQ, packet, publish, subscribe, unsubscribe } from '../bytes.ts';
import { Harness, reasonOf } from '../harness.ts';

const hex = (...packets: Buffer[]): string[] => packets.map((bytes) => bytes.toString('hex'));
const suback = (id: number, ...codes: number[]): string =>
  packet(0x90, Buffer.from([id >> 8, id & 255, ...codes])).toString('hex');

describe('CONNECT', () => {
  it('is accepted, and later packets are handled after it', async () => {
    const broker = new Harness();
    const client = broker.open();
    client.send(connect({ user: 'guest', password: 'guest' }), subscribe(1, ['a', 0]), PINGREQ, publish('a', 'x'));
    await broker.settle();
    assert.deepEqual(client.take(), ['20020000', suback(1, 0), 'd000', ...hex(publish('a', 'x'))]);
  });

  it('is answered alike in every split of the conversation', async () => {
    const bytes = Buffer.concat([
      connect({ user: 'guest', password: 'guest' }),
      subscribe(1, ['a/+', 1]),
      publish('a/b', 'x', 1, 9),
      PINGREQ,
      unsubscribe(2, 'a/+'),
    ]);
    for (let split = 1; split < bytes.length; split++) {
      const broker = new Harness();
      const client = broker.open();
      client.send(bytes.subarray(0, split));
      if (split % 2 === 0) await broker.settle();
      client.send(bytes.subarray(split));
      await broker.settle();
      const seen = client.take().sort();
      const expected = ['20020000', suback(1, 1), ...hex(publish('a/b', 'x', 1, 1)), '40020009', 'd000', 'b0020002'];
      assert.deepEqual(seen, expected.sort(), `split at ${split}`);
    }
  });

  it('of MQTT 3.1 may have a client id that is longer than its 23 characters, as everywhere', async () => {
    const broker = new Harness();
    const client = broker.open();
    client.send(connect({ name: 'MQIsdp', level: 3, clientId: 'x'.repeat(24), user: 'guest', password: 'guest' }));
    await broker.settle();
    assert.deepEqual(client.take(), ['20020000']);
  });

  it('of a bridge (bit 7 of the level) gets no echo, and the retain flag as it was published', async () => {
    for (const [name, level] of [
      ['MQTT', 0x84],
      ['MQIsdp', 0x83],
    ] as const) {
      const broker = new Harness();
      const bridge = broker.open();
      bridge.send(connect({ name, level, clientId: 'bridge', user: 'guest', password: 'guest' }));
      await broker.settle();
      assert.deepEqual(bridge.take(), ['20020000']);
      bridge.send(subscribe(1, ['a/#', 1]));
      await broker.settle();
      bridge.take();
      bridge.send(publish('a/own', 'x', 0));
      const other = await broker.connect('other');
      other.send(publish('a/other', 'x', 0, 0, 1));
      await broker.settle();
      assert.deepEqual(bridge.take(), hex(publish('a/other', 'x', 0, 0, 1)));
    }
    const client = new Harness().open();
    client.send(connect({ level: 0x85 }));
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(client.closed, 'MQTT 5 has options for that');
  });

  it('is refused with the right code', async () => {
    const broker = new Harness({ options: { anonymous: null } });
    const rows: [Buffer, string][] = [
      [connect({ user: 'guest', password: 'wrong' }), '20020004'],
      [connect({ user: 'nowhere:guest', password: 'guest' }), '20020004'],
      [connect({}), '20020005'],
      [connect({ level: 0 }), '20020001'],
      [connect({ level: 6 }), '20020001'],
      [connect({ name: 'MQIsdp', level: 5 }), '20020001'],
      [connect({ name: 'MQIsdp', level: 3, clientId: '', user: 'guest', password: 'guest' }), '20020002'],
      [connect({ clientId: '', user: 'guest', password: 'guest' }, false), '20020002'],
      [connect({ clientId: 'x'.repeat(1025), user: 'guest', password: 'guest' }), '20020002'],
    ];
    for (const [bytes, answer] of rows) {
      const client = broker.open();
      client.send(bytes);
      await broker.settle();
      assert.deepEqual(client.take(), [answer]);
      assert.ok(client.closed);
    }
    assert.equal(broker.connections.size, 0);
  });

  it('without a user name is accepted from loopback, and from elsewhere only if so configured', async () => {
    const anonymous = { user: 'anonymous' };
    for (const [options, near, far] of [
      [{}, '20020000', '20020005'],
      [{ anonymous: { ...anonymous, loopbackOnly: false } }, '20020000', '20020000'],
      [{ anonymous: null }, '20020005', '20020005'],
    ] as const) {
      const broker = new Harness({ options });
      for (const loopback of [true, false]) {
        const client = broker.open();
        client.transport.loopback = loopback;
        client.send(connect({}));
        await broker.settle();
        assert.deepEqual(client.take(), [loopback ? near : far]);
      }
    }
  });

  it('with a user name that nobody has is anonymous where everybody is let in', async () => {
    const anonymous = { user: 'anonymous', loopbackOnly: false };
    for (const [options, fields, answer, user] of [
      [{ anonymous }, { user: 'device-7', password: 'whatever' }, '20020000', 'anonymous'],
      [{ anonymous }, { user: 'device-7' }, '20020000', 'anonymous'],
      [{ anonymous }, { user: 'guest', password: 'wrong' }, '20020004', null],
      [{ anonymous }, { user: 'guest', password: 'guest' }, '20020000', 'guest'],
      [{}, { user: 'device-7', password: 'whatever' }, '20020004', null],
    ] as const) {
      const broker = new Harness({ options });
      const client = broker.open();
      client.send(connect(fields));
      await broker.settle();
      assert.deepEqual(client.take(), [answer]);
      const users = [...broker.connections].map((connection) => connection.info().user);
      assert.deepEqual(users, user === null ? [] : [user]);
    }
  });

  it('with a password and no user name is not anonymous', async () => {
    const broker = new Harness({ options: { anonymous: { user: 'anonymous', loopbackOnly: false } } });
    const client = broker.open();
    client.send(connect5({ user: null, password: 'x' }));
    await broker.settle();
    assert.equal(reasonOf(client.take()[0]), 'connack 0 86');
    assert.ok(client.closed);
  });

  it('may have colons in its user name, if so configured', async () => {
    const login = async ({ user, vhost }: Credentials) => ({ user: `${user} in ${vhost}`, tags: [] });
    for (const [ignoreColonsInUsername, who] of [
      [true, 'a:guest in /'],
      [false, 'guest in a'],
    ] as const) {
      const broker = new Harness({ options: { ignoreColonsInUsername }, login });
      broker.hosts.create('a');
      await broker.connect('c', { user: 'a:guest' });
      assert.equal([...broker.connections][0]!.info().user, who);
    }
  });

  it('names a virtual host before the last colon of the user name', async () => {
    const broker = new Harness();
    broker.hosts.create('a:b');
    const client = await broker.connect('c', { user: 'a:b:guest' });
    const [connection] = [...broker.connections];
    assert.equal(connection!.info().vhost, 'a:b');
    assert.equal(connection!.info().user, 'guest');
    assert.ok(!client.closed);
  });

  it('without a client id gets one, if the session is clean', async () => {
    const broker = new Harness();
    await broker.connect('');
    await broker.connect('');
    assert.equal(broker.connections.size, 2);
  });

  it('that does not come in time closes the socket', async () => {
    const broker = new Harness();
    const client = broker.open();
    broker.tick(20);
    assert.ok(!client.closed);
    broker.tick(1);
    assert.ok(client.closed);
  });

  it('that arrives byte by byte has the same time limit', async () => {
    const broker = new Harness();
    const client = broker.open();
    for (const byte of connect({ user: 'guest', password: 'guest', clientId: 'x'.repeat(100) }).subarray(0, 21)) {
      assert.ok(!client.closed);
      client.send(Buffer.from([byte]));
      broker.tick(1);
    }
    assert.ok(client.closed);
  });

  it('whose login hangs closes the socket in time, and a login that completes later has no effect', async () => {
    let answer: (identity: { user: string; tags: string[] }) => void = () => {};
    const broker = new Harness({ login: () => new Promise((resolve) => (answer = resolve)) });
    const client = broker.open();
    client.send(connect({ user: 'guest', password: 'guest' }));
    await broker.settle();
    broker.tick(1);
    broker.tick(21);
    assert.ok(client.closed);
    answer({ user: 'guest', tags: [] });
    await broker.settle();
    assert.deepEqual(client.take(), []);
    assert.equal(broker.connections.size, 0);
  });
});

describe('a protocol violation closes only its own connection', () => {
  const breaches: [why: string, bytes: Buffer][] = [
    ['a second CONNECT', connect()],
    ['packet type 0', packet(0x00)],
    ['packet type 15', packet(0xf0)],
    ['CONNACK', packet(0x20, Buffer.from([0, 0]))],
    ['SUBACK', packet(0x90, Buffer.from([0, 1, 0]))],
    ['PINGRESP', packet(0xd0)],
    ['PINGREQ with content', packet(0xc0, Buffer.from([0]))],
    ['PINGREQ with flags', packet(0xc1)],
    ['DISCONNECT with flags', packet(0xe1)],
    ['PUBACK with flags', packet(0x42, Buffer.from([0, 1]))],
    ['PUBACK with id 0', packet(0x40, Buffer.from([0, 0]))],
    ['PUBREL without its flags', packet(0x60, Buffer.from([0, 1]))],
    ['PUBLISH with QoS 3', packet(0x36, Buffer.from([0, 1, 97, 0, 1]))],
    ['PUBLISH to a wildcard', publish('a/#', '')],
    ['PUBLISH to a topic that is not UTF-8', publish(Buffer.from([0xc3, 0x28]), '')],
    ['SUBSCRIBE with a bad filter', subscribe(1, ['a#', 0])],
    ['SUBSCRIBE without filters', subscribe(1)],
    ['UNSUBSCRIBE with packet id 0', unsubscribe(0, 'a')],
    ['a remaining length of five bytes', Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 1])],
    ['a packet over the limit', Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])],
  ];

  it('for every violation', async () => {
    const broker = new Harness();
    const canary = await broker.connect('canary');
    canary.send(subscribe(1, ['canary', 0]));
    await broker.settle();
    canary.take();
    for (const [why, bytes] of breaches) {
      const client = await broker.connect('breaker', { will: { topic: 'canary', payload: why } });
      client.send(bytes);
      await broker.settle();
      assert.ok(client.closed, why);
      assert.deepEqual(client.take(), [], why);
      assert.deepEqual(canary.take(), hex(publish('canary', why)), why);
    }
    assert.equal(broker.connections.size, 1);
  });

  it('also if the first packet is not a CONNECT', async () => {
    const broker = new Harness();
    for (const bytes of [PINGREQ, publish('a', ''), packet(0x12), Buffer.from('GET / HTTP/1.1\r\n\r\n')]) {
      const client = broker.open();
      client.send(bytes);
      await broker.settle();
      assert.ok(client.closed);
      assert.deepEqual(client.take(), []);
    }
  });
});

describe('subscriptions', () => {
  it('select by wildcards and each publish once, at the lower QoS of the two', async () => {
    const broker = new Harness();
    const client = await broker.connect('sub');
    client.send(subscribe(7, ['s/+/t', 0], ['s/#', 1], ['$x/+', 2], ['#', 0]));
    await broker.settle();
    assert.deepEqual(client.take(), [suback(7, 0, 1, 2, 0)]);
    const publisher = await broker.connect('pub');
    publisher.send(
      publish('s/a/t', '0'),
      publish('s/a/t', '1', 1, 1),
      publish('other', '2', 1, 2),
      publish('$x/y', '3'),
    );
    await broker.settle();
    assert.deepEqual(
      client.take(),
      hex(publish('s/a/t', '0'), publish('s/a/t', '1', 1, 1), publish('other', '2'), publish('$x/y', '3')),
    );
    assert.deepEqual(publisher.take(), ['40020001', '40020002']);
  });

  it('are replaced by one of the same filter, and end with UNSUBSCRIBE', async () => {
    const broker = new Harness();
    const client = await broker.connect('sub');
    client.send(subscribe(1, ['a', 1]), subscribe(2, ['a', 0]), publish('a', 'x', 1, 1));
    await broker.settle();
    assert.deepEqual(client.take(), [suback(1, 1), suback(2, 0), ...hex(publish('a', 'x')), '40020001']);
    client.send(unsubscribe(3, 'a', 'unknown'), publish('a', 'x', 1, 2));
    await broker.settle();
    assert.deepEqual(client.take(), ['b0020003', '40020002']);
  });

  it('that are not permitted or too many are refused with 0x80 and leave the others', async () => {
    const broker = new Harness({ limits: { subscriptionsPerSession: 2, topicLevels: 4 } });
    const client = await broker.connect('sub');
    client.send(subscribe(1, ['a/b/c/d/e', 0], ['a', 0], ['b', 1], ['c', 0], ['a', 1]));
    await broker.settle();
    assert.deepEqual(client.take(), [suback(1, 0x80, 0, 1, 0x80, 1)]);
    const strict = new Harness({ allows: (permission) => permission !== 'read' });
    const refused = await strict.connect('sub');
    refused.send(subscribe(1, ['a', 0]), PINGREQ);
    await strict.settle();
    assert.deepEqual(refused.take(), [suback(1, 0x80), 'd000']);
  });

  it('that are refused by the thousand do not fill the log, nor do retained messages above the limit', async () => {
    const said: string[] = [];
    const say = (_details: object, message: string): void => void said.push(message);
    const log = { ...SILENT, info: say, warn: say };
    const lines = (about: string): number => said.splice(0).filter((line) => line.includes(about)).length;
    const filters = Array.from({ length: 1000 }, (_, i): [string, number] => [`a/${i}`, 0]);
    const noQueue = new Harness({ log, allows: (permission) => permission !== 'read' });
    const noTopics = new Harness({ log, topics: (permission) => permission === 'write' });
    for (const broker of [noQueue, noTopics]) {
      const client = await broker.connect('c');
      client.send(subscribe(1, ...filters), subscribe(2, ...filters));
      for (let i = 0; i < 3; i++) await broker.settle();
      assert.deepEqual(
        client.take(),
        [1, 2].map((id) => suback(id, ...filters.map(() => 0x80))),
      );
      const refused = lines('refused');
      assert.ok(refused > 0 && refused <= 16, `${refused} lines`);
    }
    noTopics.retained.limit = 0;
    const publisher = await noTopics.connect('pub');
    for (let i = 0; i < 100; i++) publisher.send(publish(`a/${i}`, 'x', 0, 0, 1));
    await noTopics.settle();
    assert.equal(lines('not kept'), 1);
  });

  it('get all retained messages, though others are selected while many wait', async () => {
    const broker = new Harness({ limits: { receiveMaximum: 10 } });
    const publisher = await broker.connect('pub');
    for (let i = 0; i < 200; i++) publisher.send(publish(`a/${i}`, 'x', 1, 1 + i, 1));
    publisher.send(publish('b/1', 'x', 1, 201, 1));
    await broker.settle();
    const subscriber = await broker.connect('sub');
    subscriber.send(subscribe(1, ['a/#', 1]));
    await broker.settle();
    subscriber.send(subscribe(2, ['b/#', 1]));
    await broker.settle();
    let retained = 0;
    for (let round = 0; round < 30; round++) {
      for (const packet of subscriber.take()) {
        if (!packet.startsWith('33')) continue;
        retained++;
        const bytes = Buffer.from(packet, 'hex');
        subscriber.send(ack(0x40, bytes.readUInt16BE(bytes.length - 3)));
      }
      await broker.settle();
    }
    assert.equal(retained, 201);
  });

  it('get retained messages with their flag, the last of each topic, and none that was emptied', async () => {
    const broker = new Harness();
    const publisher = await broker.connect('pub');
    publisher.send(
      publish('r/1', 'old', 0, 0, 1),
      publish('r/1', 'new', 0, 0, 1),
      publish('r/2', 'kept', 1, 1, 1),
      publish('r/3', 'gone', 0, 0, 1),
      publish('r/3', '', 0, 0, 1),
      publish('$r/4', 'hidden', 0, 0, 1),
    );
    await broker.settle();
    const client = await broker.connect('sub');
    client.send(subscribe(1, ['#', 1]));
    await broker.settle();
    assert.deepEqual(client.take(), [
      suback(1, 1),
      ...hex(publish('r/1', 'new', 0, 0, 1), publish('r/2', 'kept', 1, 1, 1)),
    ]);
    client.send(ack(0x40, 1), subscribe(2, ['r/2', 0]));
    await broker.settle();
    assert.deepEqual(client.take(), [suback(2, 0), ...hex(publish('r/2', 'kept', 0, 0, 1))]);
    // An existing subscriber gets a retained publish without RETAIN [MQTT-3.3.1-9].
    publisher.send(publish('r/5', 'live', 0, 0, 1));
    await broker.settle();
    assert.deepEqual(client.take(), hex(publish('r/5', 'live')));
  });
});

describe('publishing', () => {
  it('at QoS 1 is acknowledged in order and not before the commit', async () => {
    const broker = new Harness();
    const session = await broker.session();
    await session.declareQueue({ name: 'q', durable: true, exclusive: false, autoDelete: false, args: [] });
    await session.bindQueue({ queue: 'q', exchange: 'amq.topic', routingKey: 'd.#', args: [] });
    const client = await broker.connect('pub');
    broker.store.hold();
    client.send(publish('d/1', 'x', 1, 5), publish('elsewhere', 'x', 1, 6), publish('d/2', 'x', 1, 7), PINGREQ);
    await broker.settle();
    assert.deepEqual(client.take(), ['d000']);
    broker.store.release();
    await broker.settle();
    assert.deepEqual(client.take(), ['40020005', '40020006', '40020007']);
  });

  it('that fails to commit closes the connection without an acknowledgement', async () => {
    const broker = new Harness();
    const session = await broker.session();
    await session.declareQueue({ name: 'q', durable: true, exclusive: false, autoDelete: false, args: [] });
    await session.bindQueue({ queue: 'q', exchange: 'amq.topic', routingKey: '#', args: [] });
    const client = await broker.connect('pub');
    broker.store.hold();
    client.send(publish('d', 'x', 1, 5));
    await broker.settle();
    broker.store.fail();
    await broker.settle();
    assert.deepEqual(client.take(), []);
    assert.ok(client.closed);
  });

  it('at QoS 2 routes once however often it is sent, and answers PUBREC and PUBCOMP', async () => {
    const broker = new Harness();
    const client = await broker.connect('sub');
    client.send(subscribe(1, ['a', 2]));
    await broker.settle();
    client.take();
    const publisher = await broker.connect('pub');
    publisher.send(publish('a', 'x', 2, 9), publish('a', 'x', 2, 9, 8));
    await broker.settle();
    publisher.send(publish('a', 'x', 2, 9, 8));
    await broker.settle();
    assert.deepEqual(publisher.take(), ['50020009', '50020009']);
    publisher.send(ack(0x62, 9), ack(0x62, 9), publish('a', 'y', 2, 9));
    await broker.settle();
    assert.deepEqual(publisher.take(), ['70020009', '70020009', '50020009']);
    assert.deepEqual(client.take(), hex(publish('a', 'x', 2, 1), publish('a', 'y', 2, 2)));
  });

  it('at QoS 2 is stored in a persistent session, and a pending PUBREC goes to the newer connection', async () => {
    const broker = new Harness();
    const session = await broker.session();
    await session.declareQueue({ name: 'q', durable: true, exclusive: false, autoDelete: false, args: [] });
    await session.bindQueue({ queue: 'q', exchange: 'amq.topic', routingKey: 'a', args: [] });
    const first = await broker.connect('pub', {}, false);
    broker.store.hold();
    first.send(publish('a', 'x', 2, 3));
    await broker.settle();
    first.drop();
    await broker.settle();
    const second = await broker.connect('pub', {}, false);
    assert.ok(second.present);
    second.send(publish('a', 'x', 2, 3, 8));
    await broker.settle();
    assert.deepEqual(second.take(), []);
    broker.store.release();
    await broker.settle();
    assert.deepEqual(second.take(), ['50020003']);
    assert.equal((await session.checkQueue('q')).messageCount, 1);
  });

  it('without permission closes the connection, or is dropped if so configured', async () => {
    const allows = (permission: string, resource: string): boolean =>
      permission !== 'write' || resource !== 'amq.topic';
    const strict = new Harness({ allows });
    const closed = await strict.connect('pub');
    closed.send(publish('a', 'x', 1, 1));
    await strict.settle();
    assert.ok(closed.closed);
    assert.deepEqual(closed.take(), []);
    const lenient = new Harness({ allows, options: { refusedPublish: 'drop' } });
    const dropped = await lenient.connect('pub');
    dropped.send(publish('a', 'x', 1, 1, 1), PINGREQ, subscribe(2, ['#', 0]));
    await lenient.settle();
    assert.deepEqual(dropped.take().sort(), ['40020001', 'd000', suback(2, 0)].sort());
  });

  it('that a full queue refuses closes the connection, or is dropped if so configured', async () => {
    const args = [
      { name: 'x-max-length', value: { type: 'l', value: 1n } },
      { name: 'x-overflow', value: { type: 'S', value: 'reject-publish' } },
    ] as const;
    for (const overflowedPublish of ['close', 'drop'] as const) {
      const broker = new Harness({ options: { overflowedPublish } });
      const session = await broker.session();
      await session.declareQueue({ name: 'q', durable: true, exclusive: false, autoDelete: false, args });
      await session.bindQueue({ queue: 'q', exchange: 'amq.topic', routingKey: '#', args: [] });
      const client = await broker.connect('pub', {}, false);
      client.send(publish('a', '1', 1, 1), publish('a', '2', 1, 2), publish('a', '3', 2, 3), publish('a', '3', 2, 3));
      await broker.settle();
      const drops = overflowedPublish === 'drop';
      assert.equal(client.closed, !drops);
      assert.deepEqual(client.take(), drops ? ['40020001', '40020002', '50020003'] : ['40020001']);
      assert.equal((await session.checkQueue('q')).messageCount, 1);
      if (!drops) continue;
      await session.purgeQueue('q');
      broker.store.hold();
      client.send(publish('a', '4', 1, 4));
      await broker.settle();
      broker.store.fail();
      await broker.settle();
      assert.deepEqual(client.take(), []);
      assert.ok(client.closed, 'a message that was not stored is not acknowledged');
    }
  });

  it('waits for a permission that comes late, in order', async () => {
    const broker = new Harness({ allows: async (_permission, resource) => resource !== 'never' });
    const client = await broker.connect('pub');
    client.send(subscribe(1, ['a', 0]), publish('a', '1', 2, 1), publish('a', '2', 1, 2), publish('a', '3'));
    await broker.settle();
    await broker.settle();
    const seen = client.take();
    assert.deepEqual(
      seen.filter((p) => p.startsWith('3')),
      hex(publish('a', '1'), publish('a', '2'), publish('a', '3')),
    );
    assert.deepEqual(
      seen.filter((p) => !p.startsWith('3')),
      [suback(1, 0), '50020001', '40020002'],
    );
  });

  it('is stopped by backpressure, which does not affect consumers', async () => {
    const broker = new Harness();
    const consumer = await broker.connect('sub');
    consumer.send(subscribe(1, ['a', 0]));
    const publisher = await broker.connect('pub');
    publisher.send(publish('a', '1'));
    await broker.settle();
    broker.connections.hold({ reason: 'test', alarm: true, disk: false });
    publisher.send(publish('a', '2'), PINGREQ);
    consumer.send(PINGREQ);
    broker.tick(500);
    await broker.settle();
    assert.deepEqual(consumer.take(), [suback(1, 0), ...hex(publish('a', '1')), 'd000']);
    assert.deepEqual(publisher.take(), []);
    broker.connections.hold(null);
    await broker.settle();
    assert.deepEqual(consumer.take(), hex(publish('a', '2')));
    assert.deepEqual(publisher.take(), ['d000']);
  });

  it("goes on for a turn's share of what waits, when all were released and are held again", async () => {
    const broker = new Harness();
    const again = { reason: 'test', alarm: false, disk: false };
    const share = Buffer.alloc(TURN_INPUT_BYTES / 2, 'x').toString();
    broker.connections.hold(again);
    for (let i = 0; i < 5; i++) (await broker.connect(`pub-${i}`)).send(publish('a', share));
    await broker.settle();
    assert.equal(broker.meters.published, 0);
    broker.turn.atEnd(() => broker.connections.hold(again));
    for (const published of [2, 4, 5]) {
      broker.connections.hold(null);
      await broker.settle();
      assert.equal(broker.meters.published, published);
    }
  });
});

describe('a will', () => {
  it('is published when the connection ends without DISCONNECT, and not otherwise', async () => {
    const broker = new Harness();
    const watcher = await broker.connect('watcher');
    watcher.send(subscribe(1, ['gone', 1]));
    await broker.settle();
    watcher.take();
    const fields = { will: { topic: 'gone', payload: 'w' }, user: 'guest', password: 'guest' };
    const polite = await broker.connect('a', fields);
    polite.send(DISCONNECT);
    await broker.settle();
    assert.ok(polite.closed);
    assert.deepEqual(watcher.take(), []);
    const rude = await broker.connect('a', fields);
    rude.drop();
    await broker.settle();
    assert.deepEqual(watcher.take(), hex(publish('gone', 'w')));
    const silent = await broker.connect('a', { ...fields, keepAlive: 2, flags: 0xc6 | 0x28 });
    broker.tick(7);
    assert.ok(silent.closed);
    await broker.settle();
    assert.deepEqual(watcher.take(), hex(publish('gone', 'w', 1, 1)));
    // It was retained as well.
    const late = await broker.connect('late');
    late.send(subscribe(1, ['gone', 0]));
    await broker.settle();
    assert.deepEqual(late.take(), [suback(1, 0), ...hex(publish('gone', 'w', 0, 0, 1))]);
  });
});

describe('keep-alive', () => {
  it('closes a silent client after one and a half times its interval, and no other', async () => {
    const broker = new Harness();
    const silent = await broker.connect('silent', { keepAlive: 10 });
    const pinging = await broker.connect('pinging', { keepAlive: 10 });
    const patient = await broker.connect('patient', { keepAlive: 0 });
    for (let tick = 0; tick < 40; tick++) {
      assert.equal(silent.closed, tick > 30, `tick ${tick}`);
      broker.tick(1);
      if (tick % 10 === 0) pinging.send(PINGREQ);
    }
    assert.ok(!pinging.closed);
    assert.ok(!patient.closed);
  });

  it('does not close a client whose socket is not being read', async () => {
    const broker = new Harness();
    const publisher = await broker.connect('pub', { keepAlive: 10 });
    publisher.send(publish('a', '1'));
    await broker.settle();
    broker.connections.hold({ reason: 'test', alarm: true, disk: false });
    publisher.send(PINGREQ);
    broker.tick(500);
    assert.ok(!publisher.closed);
    broker.connections.hold(null);
    await broker.settle();
    assert.deepEqual(publisher.take(), ['d000']);
    broker.tick(32);
    assert.ok(publisher.closed);
  });
});
