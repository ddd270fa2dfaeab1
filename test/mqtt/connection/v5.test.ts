// MQTT 5 on the wire: the properties of CONNECT and CONNACK, forwarded properties, subscription options and
// identifiers, aliases, limits, and the reason code of every refusal.

import assert from 'node:assert/strict';
import { isUtf8 } from 'node:buffer';
import { describe, it } from 'node:test';
import {
  block,
  connect5,
  disconnect5,
  p,
  publish5,
  reason5,
  suback5,
  subscribe5,
  unsuback5,
  unsubscribe5,
  variable,
} from '../../../support/wire/mqtt5.ts';
import { ack, PINGREQ, packet, publish, subscribe, text, u16 } from '../bytes.ts';
import { type Client, Harness, reasonOf } from '../harness.ts';

function hex(...packets: Buffer[]): string[] {
  return packets.map((bytes) => bytes.toString('hex'));
}

/** A connected client with these subscriptions. */
async function subscribed(
  broker: Harness,
  clientId: string,
  filters: [string, number][],
  fields: Parameters<Harness['connect5']>[1] = {},
  properties: Buffer[] = [],
): Promise<Client> {
  const client = await broker.connect5(clientId, fields);
  client.send(subscribe5(1, properties, ...filters));
  await broker.settle();
  assert.deepEqual(client.take(), hex(suback5(1, ...filters.map(([, options]) => options & 3))));
  return client;
}

describe('CONNECT of MQTT 5', () => {
  it('is answered with the limits of the broker', async () => {
    const broker = new Harness({ limits: { publishMaximum: 20, topicAliases: 5, packetBytes: 1000 } });
    const client = await broker.connect5('c');
    const connack = Buffer.from(client.connack, 'hex');
    const properties = connack.subarray(5).toString('hex');
    for (const property of [p.receiveMaximum(20), p.topicAliasMaximum(5), p.maximumPacket(1000)]) {
      assert.ok(properties.includes(property.toString('hex')), property.toString('hex'));
    }
    // A value granted as requested is not repeated.
    assert.ok(!properties.includes(p.sessionExpiry(0).toString('hex')));
  });

  it('without a client id is told the assigned one', async () => {
    const broker = new Harness();
    const client = await broker.connect5('');
    assert.match(client.connack, /1200..617574/, 'property 18, a text that begins with "aut"');
  });

  it('is told a shorter session expiry and keep-alive, and the response topic prefix', async () => {
    const broker = new Harness({ limits: { sessionExpirySeconds: 60, keepAliveSeconds: 30 } });
    const fields = { keepAlive: 100, properties: [p.sessionExpiry(0xffffffff), p.requestResponse(1)] };
    const client = await broker.connect5('a/b', fields);
    assert.ok(client.connack.includes(p.sessionExpiry(60).toString('hex')));
    assert.ok(client.connack.includes(Buffer.concat([Buffer.from([19]), u16(30)]).toString('hex')));
    assert.ok(client.connack.includes(Buffer.concat([Buffer.from([26]), text('responses/a%2Fb')]).toString('hex')));
  });

  it('is refused with a reason code', async () => {
    const broker = new Harness({ options: { anonymous: null } });
    const rows: [Buffer, string][] = [
      [connect5({ password: 'wrong' }), '86'],
      [connect5({ user: null, password: null }), '87'],
      [connect5({ clientId: 'x'.repeat(1025) }), '85'],
      [connect5({ properties: [p.authenticationMethod('GS2')] }), '8c'],
      [connect5({ properties: [p.authenticationData('x')] }), '82'],
      [connect5({ properties: [p.receiveMaximum(0)] }), '82'],
      [connect5({ properties: [p.maximumPacket(0)] }), '82'],
      [connect5({ properties: [p.sessionExpiry(1), p.sessionExpiry(1)] }), '82'],
      [connect5({ properties: [p.requestProblems(2)] }), '82'],
      [connect5({ properties: [p.topicAlias(1)] }), '81'],
      [connect5({ properties: [p.raw(200)] }), '81'],
      [connect5({ properties: [p.raw(17, 1, 2)] }), '81'],
      [connect5({ properties: [p.user('a', Buffer.from([0xff]))] }), '81'],
      [connect5({ properties: [p.user('a\0', 'b')] }), '81'],
      [connect5({ flags: 3 }), '81'],
      [connect5({ flags: 0x1e }), '81'],
      [connect5({ will: { topic: 'a/+', payload: '' } }), '81'],
      [connect5({ will: { topic: 'a', payload: '', properties: [p.topicAlias(1)] } }), '81'],
      [connect5({ will: { topic: 'a', payload: '', properties: [p.responseTopic('#')] } }), '82'],
    ];
    for (const [bytes, reason] of rows) {
      const client = broker.open();
      client.send(bytes);
      await broker.settle();
      assert.equal(reasonOf(client.take()[0]), `connack 0 ${reason}`, bytes.toString('hex'));
      assert.ok(client.closed);
    }
    assert.equal(broker.connections.size, 0);
  });

  it('is refused with a short packet, however long it is itself', async () => {
    const broker = new Harness();
    const client = broker.open();
    client.send(connect5({ properties: [p.authenticationMethod('🚀'.repeat(16_383))] }));
    await broker.settle();
    const [answer, ...rest] = client.take();
    assert.deepEqual(rest, []);
    const bytes = Buffer.from(answer!, 'hex');
    assert.deepEqual([bytes[0], bytes[3], bytes[4]], [0x20, 0, 0x8c]);
    assert.ok(bytes.length < 2048 && isUtf8(bytes.subarray(bytes.indexOf('authentication'))));
    assert.ok(client.closed);
  });

  it('has its response topic as long as topics may be, or none', async () => {
    const broker = new Harness({ limits: { topicBytes: 64 } });
    for (const [clientId, told] of [
      ['c'.repeat(54), true],
      ['c'.repeat(55), false],
    ] as const) {
      const client = await broker.connect5(clientId, { properties: [p.requestResponse(1)] });
      assert.equal(Buffer.from(client.connack, 'hex').includes('responses/'), told);
    }
  });

  it('truncated anywhere is malformed, and affects no other client', async () => {
    const broker = new Harness();
    const other = await broker.connect5('other');
    const will = { topic: 'w', payload: 'p', properties: [p.willDelay(1), p.user('a', 'b')] };
    const whole = connect5({ properties: [p.sessionExpiry(1), p.user('k', 'v')], will });
    for (let length = 9; length < whole.length - 2; length++) {
      const client = broker.open();
      client.send(packet(0x10, whole.subarray(2, 2 + length)));
      await broker.settle();
      assert.equal(reasonOf(client.take()[0]), 'connack 0 81', `${length}`);
    }
    other.send(PINGREQ);
    await broker.settle();
    assert.deepEqual(other.take(), ['d000']);
  });

  it('resumes a session that 3.1.1 began', async () => {
    const broker = new Harness();
    const first = await broker.connect('c', {}, false);
    first.send(subscribe(1, ['a', 1]), Buffer.from([0xe0, 0]));
    await broker.settle();
    const publisher = await broker.connect('pub');
    publisher.send(publish('a', 'x', 1, 1));
    await broker.settle();
    const second = await broker.connect5('c', { clean: false, properties: [p.sessionExpiry(10)] });
    assert.ok(second.present);
    await broker.settle();
    assert.deepEqual(second.take(), hex(publish5('a', 'x', { qos: 1, id: 1 })));
  });

  it('takes a session over, and the older connection is told', async () => {
    const broker = new Harness();
    const first = await broker.connect5('same');
    await broker.connect5('same');
    assert.equal(reasonOf(first.take()[0]), 'disconnect 8e');
    assert.ok(first.closed);
  });
});

describe('properties of a PUBLISH', () => {
  const PROPERTIES = [
    p.payloadFormat(1),
    p.user('b', '2'),
    p.user('a', '1'),
    p.contentType('text/plain'),
    p.user('a', '1'),
    p.responseTopic('answers/1'),
    p.correlationData(Buffer.from([0, 255, 7])),
  ];

  for (const qos of [0, 1, 2]) {
    it(`reach MQTT 5 subscribers as they are, at QoS ${qos}`, async () => {
      const broker = new Harness();
      const one = await subscribed(broker, 'one', [['a/#', 2]]);
      const two = await subscribed(broker, 'two', [['a/+', 2]]);
      const old = await broker.connect('old');
      old.send(subscribe(1, ['a/b', 2]));
      await broker.settle();
      old.take();
      const publisher = await broker.connect5('pub');
      publisher.send(publish5('a/b', 'x', { qos, id: 7, properties: PROPERTIES }));
      await broker.settle();
      const id = qos === 0 ? 0 : 1;
      for (const client of [one, two]) {
        assert.deepEqual(client.take(), hex(publish5('a/b', 'x', { qos, id, properties: PROPERTIES })));
      }
      assert.deepEqual(old.take(), hex(publish('a/b', 'x', qos, id)));
    });
  }

  it('are absent if the publisher speaks 3.1.1', async () => {
    const broker = new Harness();
    const one = await subscribed(broker, 'one', [['#', 1]]);
    const publisher = await broker.connect('pub');
    publisher.send(publish('a', '0'), publish('a', '1', 1, 1), publish('a', '2', 2, 2));
    await broker.settle();
    assert.deepEqual(
      one.take(),
      hex(publish5('a', '0'), publish5('a', '1', { qos: 1, id: 1 }), publish5('a', '2', { qos: 1, id: 2 })),
    );
  });

  it('of 20 KiB and payloads of every size around the copy limit arrive whole', async () => {
    const broker = new Harness();
    const one = await subscribed(broker, 'one', [['#', 0]]);
    const old = await broker.connect('old');
    old.send(subscribe(1, ['#', 0]));
    await broker.settle();
    old.take();
    const publisher = await broker.connect5('pub');
    const large = [p.user('k', 'v'.repeat(20_000))];
    for (let size = 8175; size < 8200; size++) {
      publisher.send(publish5('t', Buffer.alloc(size, size)), publish5('t', Buffer.alloc(size, size + 1)));
      await broker.settle();
      const expected = [Buffer.alloc(size, size), Buffer.alloc(size, size + 1)];
      assert.deepEqual(one.take(), hex(...expected.map((body) => publish5('t', body))));
      assert.deepEqual(old.take(), hex(...expected.map((body) => publish('t', body))));
    }
    publisher.send(publish5('t', 'x', { properties: large }));
    await broker.settle();
    assert.deepEqual(one.take(), hex(publish5('t', 'x', { properties: large })));
  });

  it('have the remaining message expiry, until the message expires', async () => {
    const broker = new Harness();
    const away = await subscribed(broker, 'away', [['a', 1]], { properties: [p.sessionExpiry(1000)] });
    away.drop();
    await broker.settle();
    const publisher = await broker.connect5('pub');
    publisher.send(
      publish5('a', 'soon', { qos: 1, id: 1, properties: [p.user('k', 'v'), p.messageExpiry(5)] }),
      publish5('a', 'late', { qos: 1, id: 2, properties: [p.messageExpiry(100), p.user('k', 'v')] }),
    );
    await broker.settle();
    broker.clock += 10_500;
    const back = await broker.connect5('away', { clean: false, properties: [p.sessionExpiry(1000)] });
    await broker.settle();
    assert.deepEqual(
      back.take(),
      hex(publish5('a', 'late', { qos: 1, id: 1, properties: [p.messageExpiry(90), p.user('k', 'v')] })),
    );
  });

  it('an expiry of 0 reaches only connected subscribers, as in AMQP', async () => {
    const broker = new Harness();
    const lasting = { properties: [p.sessionExpiry(1000)] };
    const away = await subscribed(broker, 'away', [['a', 2]], lasting);
    away.drop();
    const there = await subscribed(broker, 'there', [['a', 2]]);
    const publisher = await broker.connect5('pub');
    const now = { properties: [p.messageExpiry(0)] };
    for (const qos of [0, 1, 2]) publisher.send(publish5('a', 'now', { qos, id: qos, ...now }));
    await broker.settle();
    assert.deepEqual(
      there.take(),
      hex(
        publish5('a', 'now', now),
        publish5('a', 'now', { qos: 1, id: 1, ...now }),
        publish5('a', 'now', { qos: 2, id: 2, ...now }),
      ),
    );
    broker.clock += 1;
    const back = await broker.connect5('away', { clean: false, ...lasting });
    await broker.settle();
    assert.deepEqual(back.take(), []);
  });

  it('that are wrong end the connection with a reason', async () => {
    const broker = new Harness();
    const rows: [Buffer, string][] = [
      [publish5('a', '', { properties: [p.subscriptionId(1)] }), '81'],
      [publish5('a', '', { properties: [p.sessionExpiry(1)] }), '81'],
      [publish5('a', '', { properties: [p.payloadFormat(2)] }), '82'],
      [publish5('a', '', { properties: [p.contentType('a'), p.contentType('a')] }), '82'],
      [publish5('a', '', { properties: [p.contentType(Buffer.from([0xc0, 0x80]))] }), '81'],
      [publish5('a', '', { properties: [p.responseTopic('a/#')] }), '82'],
      [publish5('a', '', { properties: [p.topicAlias(0)] }), '94'],
      [publish5('a', '', { properties: [p.topicAlias(65)] }), '94'],
      [publish5('', '', { properties: [p.topicAlias(1)] }), '82'],
      [publish5('', '', { properties: [p.topicAlias(65)] }), '94'],
      [publish5('', ''), '82'],
      [publish5('a/+', ''), '90'],
      [publish5('a', '', { qos: 3, id: 1 }), '81'],
      [publish5('a', '', { qos: 1, id: 0 }), '81'],
      [publish5('a', '', { properties: Array.from({ length: 20_000 }, () => p.user('a', 'b')) }), '97'],
      [packet(0x30, text('a')), '81'],
      [packet(0x30, text('a'), Buffer.from([0x80, 0]), Buffer.from('x')), '81'],
      [packet(0x30, text('a'), Buffer.from([5]), Buffer.from([1, 1])), '81'],
      [packet(0x30, text('a'), Buffer.from([0xff, 0xff, 0xff, 0xff])), '81'],
    ];
    for (const [bytes, reason] of rows) {
      const client = await broker.connect5('c');
      client.send(bytes);
      await broker.settle();
      assert.equal(reasonOf(client.take()[0]), `disconnect ${reason}`, bytes.toString('hex'));
      assert.ok(client.closed);
    }
  });
});

describe('subscription options of MQTT 5', () => {
  it('no-local excludes the own messages of a client, unless another filter selects them', async () => {
    const broker = new Harness();
    const client = await subscribed(broker, 'c', [['a/#', 4 + 1]]);
    const other = await subscribed(broker, 'o', [['a/#', 1]]);
    client.send(publish5('a/x', '1', { qos: 1, id: 1 }), publish5('a/x', '0'));
    await broker.settle();
    assert.deepEqual(client.take(), ['40020001']);
    assert.equal(other.take().length, 2);
    other.send(publish5('a/x', 'from another'));
    await broker.settle();
    assert.deepEqual(client.take(), hex(publish5('a/x', 'from another')));
    // A second filter without no-local selects the client's own messages.
    client.send(subscribe5(2, [p.subscriptionId(9)], ['a/+', 0]), publish5('a/x', '2', { qos: 1, id: 2 }));
    await broker.settle();
    const [, ...rest] = client.take();
    assert.deepEqual(
      rest.sort(),
      hex(ack(0x40, 2), publish5('a/x', '2', { properties: [p.subscriptionId(9)] })).sort(),
    );
  });

  it('one publish comes once, with all identifiers and the highest QoS of the filters that select it', async () => {
    const broker = new Harness();
    const client = await subscribed(broker, 'c', [['a/#', 0]], {}, [p.subscriptionId(1)]);
    client.send(
      subscribe5(2, [p.subscriptionId(268_435_455)], ['a/+', 2]),
      subscribe5(3, [], ['+/b', 1]),
      subscribe5(4, [p.subscriptionId(7)], ['other', 1]),
    );
    await broker.settle();
    client.take();
    const publisher = await broker.connect5('pub');
    publisher.send(publish5('a/b', 'x', { qos: 2, id: 1, properties: [p.user('k', 'v')] }));
    await broker.settle();
    const [only, ...more] = client.take();
    assert.deepEqual(more, []);
    const orders = [
      [p.subscriptionId(1), p.subscriptionId(268_435_455)],
      [p.subscriptionId(268_435_455), p.subscriptionId(1)],
    ];
    const expected = orders.map((ids) =>
      publish5('a/b', 'x', { qos: 2, id: 1, properties: [...ids, p.user('k', 'v')] }).toString('hex'),
    );
    assert.ok(expected.includes(only!), only);
  });

  it('retain as published, and retain handling', async () => {
    const broker = new Harness();
    const client = await subscribed(broker, 'c', [['a', 8 + 1]]);
    const plain = await subscribed(broker, 'p', [['a', 1]]);
    const publisher = await broker.connect5('pub');
    publisher.send(publish5('a', 'kept', { qos: 1, id: 1, retain: true }), publish5('a', 'live'));
    await broker.settle();
    assert.deepEqual(client.take(), hex(publish5('a', 'kept', { qos: 1, id: 1, retain: true }), publish5('a', 'live')));
    assert.deepEqual(plain.take(), hex(publish5('a', 'kept', { qos: 1, id: 1 }), publish5('a', 'live')));
    const kept = publish5('a', 'kept', { qos: 1, id: 1, retain: true, properties: [p.subscriptionId(3)] });
    const late = await broker.connect5('late');
    late.send(subscribe5(1, [], ['a', 0x20 + 1]));
    await broker.settle();
    assert.deepEqual(late.take(), hex(suback5(1, 1)), 'handling 2: none');
    late.send(unsubscribe5(2, 'a', 'never'), subscribe5(3, [p.subscriptionId(3)], ['a', 0x10 + 1]));
    await broker.settle();
    assert.deepEqual(late.take(), hex(unsuback5(2, 0, 0x11), suback5(3, 1), kept), 'handling 1: it is new');
    late.send(subscribe5(4, [], ['a', 0x10 + 1]));
    await broker.settle();
    assert.deepEqual(late.take(), hex(suback5(4, 1)), 'handling 1: it was there');
  });

  it('are refused one by one, or end the connection if they violate the protocol', async () => {
    const broker = new Harness({ limits: { subscriptionsPerSession: 2 } });
    const client = await broker.connect5('c');
    client.send(subscribe5(1, [], ['a', 0], ['b', 1], ['c', 2]));
    await broker.settle();
    assert.deepEqual(client.take(), hex(suback5(1, 0, 1, 0x97)));
    const rows: [Buffer, string][] = [
      [subscribe5(1, [p.subscriptionId(0)], ['a', 0]), '82'],
      [subscribe5(1, [p.subscriptionId(1), p.subscriptionId(2)], ['a', 0]), '82'],
      [subscribe5(1, [p.contentType('x')], ['a', 0]), '81'],
      [subscribe5(1, [], ['a', 0x30]), '82'],
      [subscribe5(1, [], ['a', 0x40]), '81'],
      [subscribe5(1, [], ['a', 3]), '81'],
      [subscribe5(1, [], ['a#', 0]), '8f'],
      [subscribe5(1, [], ['$share/g', 0]), '8f'],
      [subscribe5(1, [], ['$share//a', 0]), '8f'],
      [subscribe5(1, [], ['$share/g+/a', 0]), '8f'],
      [subscribe5(1, [], ['$share/g/a', 4]), '82'],
      [subscribe5(1, []), '82'],
      [packet(0xa2, u16(1), block([])), '82'],
      [subscribe5(1, [], ...Array.from({ length: 1025 }, (): [string, number] => ['a', 0])), '97'],
      [unsubscribe5(1, ...Array.from({ length: 1025 }, () => 'a')), '97'],
    ];
    for (const [bytes, reason] of rows) {
      const wrong = await broker.connect5('wrong');
      wrong.send(bytes);
      await broker.settle();
      assert.equal(reasonOf(wrong.take()[0]), `disconnect ${reason}`, bytes.toString('hex'));
    }
  });
});

describe('UNSUBSCRIBE of MQTT 5', () => {
  it('is answered filter by filter, as many as a packet may name', async () => {
    let revoked = false;
    const broker = new Harness({ allows: (permission) => !revoked || permission !== 'read' });
    const filters = Array.from({ length: 1022 }, (_, i) => `a/${i}`);
    const client = await subscribed(
      broker,
      'c',
      [...filters, '$share/g/a'].map((filter) => [filter, 1]),
    );
    client.send(unsubscribe5(2, ...filters, 'a/0', 'nothing'));
    await broker.settle();
    assert.deepEqual(client.take(), hex(unsuback5(2, ...filters.map(() => 0), 0x11, 0x11)));
    client.send(subscribe5(3, [], ['b', 0]));
    await broker.settle();
    revoked = true;
    broker.generation++;
    client.take();
    client.send(unsubscribe5(4, 'b', 'nothing', '$share/g/a'), PINGREQ);
    await broker.settle();
    assert.deepEqual(client.take(), [...hex(unsuback5(4, 0x87, 0x11, 0)), 'd000']);
  });
});

describe('limits of an MQTT 5 connection', () => {
  it('topic aliases of the client stand for topics', async () => {
    const broker = new Harness();
    const client = await subscribed(broker, 'c', [['#', 0]]);
    const publisher = await broker.connect5('pub');
    publisher.send(
      publish5('a/b', '1', { properties: [p.topicAlias(1), p.user('k', 'v')] }),
      publish5('', '2', { properties: [p.user('k', 'w'), p.topicAlias(1)] }),
      publish5('c', '3', { properties: [p.topicAlias(1)] }),
      publish5('', '4', { properties: [p.topicAlias(1)] }),
    );
    await broker.settle();
    assert.deepEqual(
      client.take(),
      hex(
        publish5('a/b', '1', { properties: [p.user('k', 'v')] }),
        publish5('a/b', '2', { properties: [p.user('k', 'w')] }),
        publish5('c', '3'),
        publish5('c', '4'),
      ),
    );
  });

  it('topic aliases towards the client, up to its maximum', async () => {
    const broker = new Harness();
    const client = await subscribed(broker, 'c', [['#', 0]], { properties: [p.topicAliasMaximum(1)] });
    const publisher = await broker.connect('pub');
    publisher.send(publish('a', '1'), publish('a', '2'), publish('b', '3'), publish('a', '4'));
    await broker.settle();
    const aliased = { properties: [p.topicAlias(1)] };
    assert.deepEqual(
      client.take(),
      hex(publish5('a', '1', aliased), publish5('', '2', aliased), publish5('b', '3'), publish5('', '4', aliased)),
    );
  });

  it('a message that is too large for a client is dropped for it alone, and counted', async () => {
    const broker = new Harness();
    const small = await subscribed(broker, 'small', [['#', 2]], { properties: [p.maximumPacket(20)] });
    const large = await subscribed(broker, 'large', [['#', 2]]);
    const publisher = await broker.connect5('pub');
    for (const qos of [0, 1, 2]) publisher.send(publish5('a', 'x'.repeat(30), { qos, id: qos }));
    publisher.send(publish5('a', 'fits', { qos: 1, id: 9 }));
    await broker.settle();
    assert.deepEqual(small.take(), hex(publish5('a', 'fits', { qos: 1, id: 3 })));
    assert.equal(large.take().length, 4);
    assert.equal(broker.meters.undeliverable, 3);
  });

  it('no answer exceeds the maximum packet size of the client: it is shortened, or the connection ends with 0x95', async () => {
    const broker = new Harness();
    const asking = [p.requestResponse(1)];
    const told = await broker.connect5('c', { properties: asking });
    const untold = await broker.connect5('c', { properties: [...asking, p.maximumPacket(20)] });
    assert.ok(told.connack.includes(Buffer.from('responses/c').toString('hex')));
    assert.equal(untold.connack.length / 2, 16);
    untold.send(subscribe5(1, [], ...Array.from({ length: 15 }, (_, i): [string, number] => [`a/${i}`, 0])));
    await broker.settle();
    assert.deepEqual(untold.take(), hex(suback5(1, ...Array.from({ length: 15 }, () => 0))));
    untold.send(unsubscribe5(2, ...Array.from({ length: 16 }, (_, i) => `a/${i}`)));
    await broker.settle();
    assert.deepEqual(untold.take(), ['e0029500']);
    assert.ok(untold.closed);
    for (const [maximum, answer] of [
      [15, ['2003009500']],
      [4, []],
    ] as const) {
      const refused = broker.open();
      refused.send(connect5({ properties: [p.maximumPacket(maximum)] }));
      await broker.settle();
      assert.deepEqual(refused.take(), answer);
      assert.ok(refused.closed);
    }
    const speechless = broker.open();
    speechless.send(connect5({ properties: [p.maximumPacket(3), p.authenticationMethod('none')] }));
    await broker.settle();
    assert.deepEqual(speechless.take(), []);
    assert.ok(speechless.closed);
    assert.equal(broker.connections.size, 0);
  });

  it('a packet over the maximum ends the connection with 0x95', async () => {
    const broker = new Harness({ limits: { packetBytes: 100 } });
    const client = await broker.connect5('c');
    client.send(publish5('a', 'x'.repeat(100)));
    await broker.settle();
    assert.equal(reasonOf(client.take()[0]), 'disconnect 95');
  });

  it('the receive maximum of the client bounds unacknowledged messages, at QoS 2 until PUBCOMP', async () => {
    const broker = new Harness();
    const client = await subscribed(broker, 'c', [['#', 2]], { properties: [p.receiveMaximum(2)] });
    const publisher = await broker.connect5('pub');
    for (let i = 1; i <= 5; i++) publisher.send(publish5('a', `${i}`, { qos: 1 + (i % 2), id: i }));
    await broker.settle();
    assert.deepEqual(client.take(), hex(publish5('a', '1', { qos: 2, id: 1 }), publish5('a', '2', { qos: 1, id: 2 })));
    client.send(ack(0x50, 1));
    await broker.settle();
    assert.deepEqual(client.take(), ['62020001']);
    client.send(ack(0x70, 1));
    await broker.settle();
    assert.deepEqual(client.take(), hex(publish5('a', '3', { qos: 2, id: 3 })));
    client.send(ack(0x40, 2));
    await broker.settle();
    assert.deepEqual(client.take(), hex(publish5('a', '4', { qos: 1, id: 4 })));
    client.send(ack(0x40, 4), reason5(0x50, 3, 0x80));
    await broker.settle();
    assert.deepEqual(client.take(), hex(publish5('a', '5', { qos: 2, id: 5 })), 'a refused one is over');
  });

  it('more publishes than the receive maximum of the broker end the connection with 0x93', async () => {
    const broker = new Harness({ limits: { publishMaximum: 2 } });
    const client = await broker.connect5('c');
    client.send(publish5('a', '', { qos: 2, id: 1 }), publish5('a', '', { qos: 2, id: 2 }));
    await broker.settle();
    assert.deepEqual(client.take(), hex(reason5(0x50, 1, 0x10), reason5(0x50, 2, 0x10)));
    client.send(ack(0x62, 1), publish5('a', '', { qos: 1, id: 3 }));
    await broker.settle();
    assert.deepEqual(client.take(), hex(ack(0x70, 1), reason5(0x40, 3, 0x10)));
    client.send(publish5('a', '', { qos: 2, id: 4 }), publish5('a', '', { qos: 2, id: 5 }));
    await broker.settle();
    assert.deepEqual(client.take().map(reasonOf).at(-1), 'disconnect 93');
  });
});

describe('answers of MQTT 5', () => {
  it('for no subscriber, no permission and a full queue', async () => {
    const allows = (permission: string, resource: string): boolean =>
      permission !== 'write' || resource !== 'amq.topic';
    const strict = new Harness({ allows });
    const refused = await strict.connect5('c');
    refused.send(
      publish5('a', ''),
      publish5('a', '', { qos: 1, id: 1 }),
      publish5('a', '', { qos: 2, id: 2 }),
      PINGREQ,
    );
    await strict.settle();
    assert.deepEqual(refused.take().sort(), [...hex(reason5(0x40, 1, 0x87), reason5(0x50, 2, 0x87)), 'd000'].sort());
    const broker = new Harness({ limits: { sessionMessages: 1, sessionOverflow: 'refuse' } });
    const full = await subscribed(broker, 'full', [['a', 1]], { properties: [p.sessionExpiry(100)] });
    full.drop();
    const publisher = await broker.connect5('pub');
    publisher.send(
      publish5('none', '', { qos: 1, id: 1 }),
      publish5('none', '', { qos: 2, id: 2 }),
      publish5('a', '', { qos: 1, id: 3 }),
      publish5('a', '', { qos: 1, id: 4 }),
      publish5('a', '', { qos: 2, id: 5 }),
    );
    await broker.settle();
    assert.deepEqual(
      publisher.take(),
      hex(reason5(0x40, 1, 0x10), reason5(0x50, 2, 0x10), ack(0x40, 3), reason5(0x40, 4, 0x97), reason5(0x50, 5, 0x97)),
    );
    assert.equal(broker.meters.overflowed, 2);
  });

  it('PUBREL and PUBREC of an unknown id are answered with 0x92', async () => {
    const broker = new Harness();
    const client = await broker.connect5('c');
    client.send(ack(0x62, 7), ack(0x50, 8));
    await broker.settle();
    assert.deepEqual(client.take(), hex(reason5(0x70, 7, 0x92), reason5(0x62, 8, 0x92)));
  });

  it('acknowledgements with reason strings and properties are read, wrong ones end the connection', async () => {
    const broker = new Harness();
    const client = await subscribed(broker, 'c', [['a', 1]]);
    client.send(publish5('a', 'x', { qos: 1, id: 1 }));
    await broker.settle();
    client.take();
    client.send(packet(0x40, u16(1), Buffer.from([0]), block([p.reasonString('fine'), p.user('a', 'b')])), PINGREQ);
    await broker.settle();
    assert.deepEqual(client.take(), ['d000']);
    for (const bytes of [
      reason5(0x40, 1, 0x92),
      reason5(0x62, 1, 0x10),
      packet(0x40, u16(1), Buffer.from([0]), block([p.contentType('a')])),
      packet(0x40, u16(1), Buffer.from([0]), block([]), Buffer.from([1])),
      packet(0x40, u16(1), Buffer.from([0]), variable(3)),
      packet(0x40, Buffer.from([1])),
    ]) {
      const wrong = await broker.connect5('wrong');
      wrong.send(bytes);
      await broker.settle();
      assert.equal(reasonOf(wrong.take()[0]), 'disconnect 81', bytes.toString('hex'));
    }
  });
});

describe('DISCONNECT of MQTT 5', () => {
  it('tells why the broker ends a connection', async () => {
    const broker = new Harness();
    const silent = await broker.connect5('silent', { keepAlive: 1 });
    broker.tick(5);
    await broker.settle();
    assert.equal(reasonOf(silent.take()[0]), 'disconnect 8d');
    const stopped = await broker.connect5('stopped');
    for (const connection of [...broker.connections]) connection.shutdown('stopping');
    await broker.settle();
    assert.equal(reasonOf(stopped.take()[0]), 'disconnect 8b');
    const twice = await broker.connect5('twice');
    twice.send(connect5());
    await broker.settle();
    assert.equal(reasonOf(twice.take()[0]), 'disconnect 82');
  });

  it('names another server if one is configured', async () => {
    const broker = new Harness({ options: { serverReference: 'other.example:1883' } });
    const client = await broker.connect5('c');
    for (const connection of [...broker.connections]) connection.shutdown('stopping');
    await broker.settle();
    const [said] = client.take();
    assert.equal(reasonOf(said), 'disconnect 9c');
    assert.ok(said!.includes(text('other.example:1883').toString('hex')));
  });

  it('of a client may change the session expiry, but not from nothing', async () => {
    const broker = new Harness();
    const client = await broker.connect5('c', { properties: [p.sessionExpiry(100)] });
    client.send(disconnect5(0, [p.sessionExpiry(0)]));
    await broker.settle();
    assert.ok(!(await broker.connect5('c', { clean: false })).present);
    const second = await broker.connect5('d');
    second.send(disconnect5(0, [p.sessionExpiry(10)]));
    await broker.settle();
    assert.equal(reasonOf(second.take()[0]), 'disconnect 82');
    for (const wrong of [disconnect5(0x8e), disconnect5(0, [p.contentType('x')]), disconnect5(1)]) {
      const third = await broker.connect5('e');
      third.send(wrong);
      await broker.settle();
      assert.ok(['disconnect 82', 'disconnect 81'].includes(reasonOf(third.take()[0])));
    }
  });
});
