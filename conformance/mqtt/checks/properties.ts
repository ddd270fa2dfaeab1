// Checks of MQTT 5.0 message properties: forwarded unaltered, message expiry, topic aliases, request/response.

import assert from 'node:assert/strict';
import type { MqttCheck } from '../mqtt-check.ts';
import { MUST, SHOULD, v5 } from '../mqtt-check.ts';
import { type Property, type PropertyName, property, values } from '../wire/properties.ts';

/** Properties that a broker forwards unaltered. */
const UNALTERED: readonly (readonly [PropertyName, string, readonly Property[]])[] = [
  [
    'payloadFormatIndicator',
    '3.3.2-4',
    [
      ['payloadFormatIndicator', 0],
      ['payloadFormatIndicator', 1],
    ],
  ],
  [
    'contentType',
    '3.3.2-20',
    [
      ['contentType', 'text/plain; charset=utf-8'],
      ['contentType', 'größe 🚀'],
      ['contentType', ''],
    ],
  ],
  [
    'responseTopic',
    '3.3.2-15',
    [
      ['responseTopic', 'reply/to.me'],
      ['responseTopic', '/größe//'],
    ],
  ],
  [
    'correlationData',
    '3.3.2-16',
    [
      ['correlationData', Buffer.from([0, 1, 0xff, 0xc3, 0x28])],
      ['correlationData', Buffer.alloc(0)],
      ['correlationData', Buffer.alloc(2_000, 7)],
    ],
  ],
];

/** Name, statements, title, a property that PUBLISH may not have, and the reason codes that describe the violation. */
const BAD: readonly (readonly [string, string, string, Property | Uint8Array, readonly number[]])[] = [
  ['alias.zero', '3.3.2-8', 'topic alias 0', ['topicAlias', 0], [0x82, 0x94]],
  ['subscription-identifier', '3.3.4-6', 'a subscription identifier', ['subscriptionIdentifier', 1], [0x81, 0x82]],
  ['response-topic.plus', '3.3.2-14', 'a response topic with +', ['responseTopic', 'a/+'], [0x81, 0x82, 0x90]],
  ['response-topic.hash', '3.3.2-14', 'a response topic with #', ['responseTopic', '#'], [0x81, 0x82, 0x90]],
  ['response-topic.utf8', '3.3.2-13', 'a response topic that is no UTF-8', ['responseTopic', Buffer.of(0xff)], [0x81]],
  ['content-type.utf8', '3.3.2-19', 'a content type that is no UTF-8', ['contentType', Buffer.of(0xc3, 0x28)], [0x81]],
  ['content-type.null', '1.5.4-2', 'a content type with U+0000', ['contentType', 'a\0b'], [0x81]],
  ['user-property.name', '1.5.7-1', 'a name that is no UTF-8', ['userProperty', [Buffer.of(0xff), 'b']], [0x81]],
  ['user-property.value', '1.5.7-1', 'a value that is no UTF-8', ['userProperty', ['a', Buffer.of(0xff)]], [0x81]],
  ['user-property.null', '1.5.7-1 1.5.4-2', 'a value with U+0000', ['userProperty', ['a', '\0']], [0x81]],
];

export const PROPERTY_CHECKS: readonly (readonly MqttCheck[])[] = [
  ...UNALTERED.map(([name, statement, properties]) =>
    v5(`properties.${name}`, statement, MUST, `${name} goes to every subscriber as it came`, async (t) => {
      const topic = t.name();
      const clients = [await t.subscriber(topic), await t.subscriber(`${topic}/#`, 1)];
      const publisher = await t.connect();
      for (const one of properties) {
        await publisher.publish({ topic, payload: 'x', qos: 1, properties: [one] });
        for (const client of clients) {
          assert.deepEqual(property((await client.delivery('x')).properties, name), one[1]);
        }
      }
      await publisher.publish({ topic, payload: 'without', qos: 1 });
      for (const client of clients) {
        const got = property((await client.delivery('without')).properties, name);
        // An absent property and 0 mean the same.
        assert.ok(got === undefined || got === 0, `${name} out of nowhere`);
      }
    }),
  ),
  v5(
    'properties.user',
    '3.3.2-17 3.3.2-18',
    MUST,
    'user properties go out unaltered and in their order: twice the same, empty, not ASCII',
    async (t) => {
      const topic = t.name();
      const clients = [await t.subscriber(topic), await t.subscriber(topic, 1), await t.subscriber(topic, 2)];
      const pairs: readonly (readonly [string, string])[] = [
        ['z', 'last'],
        ['a', 'first'],
        ['z', 'last'],
        ['z', 'another'],
        ['', ''],
        ['größe', '日本 🚀'],
        ['10', 'ten'],
        ['2', 'two'],
        ['__proto__', 'x'],
        ['content-type', 'mine'],
      ];
      const publisher = await t.connect();
      await publisher.publish({
        topic,
        payload: 'x',
        qos: 2,
        properties: pairs.map((pair) => ['userProperty', pair] as const),
      });
      for (const client of clients) {
        assert.deepEqual(values((await client.delivery('x')).properties, 'userProperty'), pairs);
      }
    },
  ),
  v5(
    'properties.user.queued',
    '3.3.2-17 3.3.2-18 4.5.0-1',
    MUST,
    'a message that waits for its client keeps all of its properties',
    async (t) => {
      const topic = t.name();
      const clientId = await t.away(topic, 1);
      const properties: readonly Property[] = [
        ['contentType', 'text/plain'],
        ['responseTopic', 'r/s'],
        ['correlationData', Buffer.from([9, 0, 9])],
        ['payloadFormatIndicator', 1],
        ['userProperty', ['b', '1']],
        ['userProperty', ['a', '2']],
        ['userProperty', ['b', '1']],
      ];
      await (await t.connect()).publish({ topic, payload: 'x', qos: 1, properties });
      const got = (await (await t.resume(clientId)).delivery('x')).properties;
      for (const name of ['contentType', 'responseTopic', 'correlationData', 'payloadFormatIndicator'] as const) {
        assert.deepEqual(property(got, name), properties.find(([other]) => other === name)![1], name);
      }
      assert.deepEqual(values(got, 'userProperty'), values(properties, 'userProperty'));
    },
  ),
  ...BAD.map(([id, statements, what, bad, codes]) =>
    v5(
      `properties.${id}`,
      statements,
      MUST,
      `a message with ${what} ends the connection, and reaches no subscriber`,
      async (t) => {
        const topic = t.name();
        const watcher = await t.subscriber(topic);
        const client = await t.alive();
        client.sendPublish({ topic, payload: 'bad', properties: [bad] });
        // Malformed Packet and Protocol Error are correct for every violation.
        await client.expectClosed([0x81, 0x82, ...codes]);
        await (await t.connect()).publish({ topic, payload: 'good' });
        await watcher.message('good');
      },
    ),
  ),
  v5(
    'properties.format.range',
    '3.3.2.3.2:range',
    SHOULD,
    'a message with the undefined payload format 2 ends the connection',
    async (t) => {
      const client = await t.alive();
      client.sendPublish({ topic: t.name(), payload: 'x', properties: [['payloadFormatIndicator', 2]] });
      await client.expectClosed([0x81, 0x82, 0x99]);
    },
  ),
  v5(
    'properties.request-response',
    '4.10:response 3.3.2-15 3.3.2-16',
    MUST,
    'a request finds its responder, and the response its way back',
    async (t) => {
      const [request, reply] = [t.name(), t.name()];
      const responder = await t.subscriber(request, 1);
      const requester = await t.subscriber(reply, 1);
      const correlation = Buffer.from([1, 0, 255, 128]);
      await requester.publish({
        topic: request,
        payload: 'how much?',
        qos: 1,
        properties: [
          ['responseTopic', reply],
          ['correlationData', correlation],
        ],
      });
      const { properties } = await responder.delivery('how much?');
      const topic = property(properties, 'responseTopic')!;
      const data = property(properties, 'correlationData')!;
      assert.deepEqual(data, correlation);
      await responder.publish({ topic, payload: '42', qos: 1, properties: [['correlationData', data]] });
      const answer = await requester.delivery('42');
      assert.deepEqual(property(answer.properties, 'correlationData'), correlation);
    },
  ),
  v5(
    'expiry.left',
    '3.3.2-6',
    MUST,
    'a message that has waited goes out with the expiry that is left of it',
    async (t) => {
      const topic = t.name();
      const clientId = await t.away(topic, 1);
      const publisher = await t.connect();
      await publisher.publish({ topic, payload: 'x', qos: 1, properties: [['messageExpiryInterval', 100]] });
      await t.pause(1_300);
      const { properties } = await (await t.resume(clientId)).delivery('x');
      const left = property(properties, 'messageExpiryInterval');
      assert.ok(left !== undefined && left >= 50 && left <= 99, `${left} s are left of 100`);
    },
    { slow: true },
  ),
  v5(
    'expiry.sent',
    '3.3.2-6',
    MUST,
    'a message that has not waited goes out with its expiry, and one without has none',
    async (t) => {
      const topic = t.name();
      const client = await t.subscriber(topic);
      const publisher = await t.connect();
      await publisher.publish({ topic, payload: 'x', properties: [['messageExpiryInterval', 1_000]] });
      const left = property((await client.message('x')).properties, 'messageExpiryInterval');
      assert.ok(left !== undefined && left >= 900 && left <= 1_000, `${left} s of 1000`);
      await publisher.publish({ topic, payload: 'for ever' });
      assert.equal(property((await client.message('for ever')).properties, 'messageExpiryInterval'), undefined);
    },
  ),
  v5(
    'expiry.passed',
    '3.3.2-5',
    MUST,
    'an expired message is not delivered, and the messages after it are',
    async (t) => {
      const topic = t.name();
      const clientId = await t.away(topic, 1);
      const publisher = await t.connect();
      await publisher.publish({ topic, payload: 'short', qos: 1, properties: [['messageExpiryInterval', 1]] });
      await publisher.publish({ topic, payload: 'long', qos: 1, properties: [['messageExpiryInterval', 100]] });
      await t.pause(2_000);
      const after = await t.resume(clientId);
      await after.delivery('long');
      await after.expectSilence();
    },
    { slow: true },
  ),
  v5(
    'expiry.started',
    '4.3.3-7',
    MUST,
    'a message of QoS 2 that has been sent does not expire: it is sent again after a reconnect',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const before = await t.resume(clientId);
      await t.subscribe(before, topic, 2);
      const publisher = await t.connect();
      await publisher.publish({ topic, payload: 'started', qos: 2, properties: [['messageExpiryInterval', 1]] });
      const { packetId } = await before.message('started');
      before.cut();
      await t.pause(2_000);
      const after = await t.resume(clientId);
      const again = await after.message('started');
      assert.deepEqual([again.packetId, again.dup], [packetId, true]);
      await after.accept(again);
    },
    { slow: true },
  ),
  v5(
    'expiry.received',
    '4.3.3-13',
    MUST,
    'the QoS 2 handshake continues when the message has expired meanwhile',
    async (t) => {
      const client = await t.connect();
      const topic = t.name();
      client.sendPublish({ topic, payload: 'x', qos: 2, packetId: 3, properties: [['messageExpiryInterval', 1]] });
      await client.expectAck('PUBREC', 3);
      await t.pause(1_900);
      client.ack('PUBREL', 3);
      await client.expectAck('PUBCOMP', 3);
    },
    { slow: true },
  ),
  v5(
    'alias.in',
    '3.3.2-12',
    MUST,
    'a message with an alias alone has the topic that was last set for it; any alias up to the maximum works',
    async (t) => {
      const [a, b] = [t.name(), t.name()];
      const client = await t.connect();
      const maximum = property(client.connack!.properties, 'topicAliasMaximum') ?? 0;
      if (maximum === 0) t.skip('the broker takes no topic aliases');
      const watcher = await t.connect();
      await watcher.subscribe([
        { filter: a, qos: 1 },
        { filter: b, qos: 1 },
      ]);
      for (const alias of [1, maximum]) {
        const properties = [['topicAlias', alias] as const];
        for (const [topic, wanted] of [
          [a, a],
          ['', a],
          [b, b],
          ['', b],
        ] as const) {
          await client.publish({ topic, payload: 'x', qos: 1, properties });
          assert.equal((await watcher.delivery('x')).topic, wanted);
        }
      }
    },
  ),
  v5(
    'alias.unknown',
    '3.3.2.3.4:unknown',
    MUST,
    'a message with an alias that has no topic is a protocol error',
    async (t) => {
      const client = await t.alive();
      client.sendPublish({ topic: '', payload: 'x', properties: [['topicAlias', 1]] });
      await client.expectClosed([0x82, 0x94]);
    },
  ),
  v5(
    'alias.beyond',
    '3.3.2-9 3.2.2-17 3.2.2-18',
    MUST,
    'an alias beyond the maximum of the broker ends the connection',
    async (t) => {
      const client = await t.alive();
      const maximum = property(client.connack!.properties, 'topicAliasMaximum') ?? 0;
      if (maximum === 65_535) t.skip('the broker takes every alias');
      client.sendPublish({ topic: t.name(), payload: 'x', properties: [['topicAlias', maximum + 1]] });
      await client.expectClosed([0x82, 0x94]);
    },
  ),
  v5(
    'alias.connection',
    '3.3.2-7',
    MUST,
    'an alias ends with its connection, even if the session continues',
    async (t) => {
      const clientId = t.name();
      const before = await t.resume(clientId);
      const maximum = property(before.connack!.properties, 'topicAliasMaximum') ?? 0;
      if (maximum === 0) t.skip('the broker takes no topic aliases');
      await before.publish({ topic: t.name(), payload: 'x', qos: 1, properties: [['topicAlias', 1]] });
      await before.disconnect();
      const after = await t.resume(clientId);
      after.sendPublish({ topic: '', payload: 'x', properties: [['topicAlias', 1]] });
      await after.expectClosed([0x82, 0x94]);
    },
  ),
  v5(
    'alias.not-forwarded',
    '3.3.2.3.4:own 3.1.2-27',
    MUST,
    'an alias is between a client and the broker: a subscriber that takes none gets the topic',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const client = await t.connect();
      const maximum = property(client.connack!.properties, 'topicAliasMaximum') ?? 0;
      const properties = maximum === 0 ? [] : [['topicAlias', 1] as const];
      for (const name of [topic, maximum === 0 ? topic : '']) {
        await client.publish({ topic: name, payload: 'x', properties });
        const message = await watcher.message('x');
        assert.equal(message.topic, topic);
        assert.equal(property(message.properties, 'topicAlias'), undefined);
      }
    },
  ),
  v5(
    'alias.out',
    '3.1.2-26 3.3.2-11',
    MUST,
    "aliases that the broker sets are within the client's maximum, and stand for the right topics",
    async (t) => {
      const root = t.name();
      const watcher = await t.connect({ properties: [['topicAliasMaximum', 2]] });
      await t.subscribe(watcher, `${root}/#`, 1);
      const publisher = await t.connect();
      // The test connection rejects an alias above its maximum and resolves aliases to topics.
      for (const topic of ['a', 'b', 'c', 'a', 'b', 'c', 'c', 'a', 'd', 'd']) {
        await publisher.publish({ topic: `${root}/${topic}`, payload: topic, qos: 1 });
        assert.equal((await watcher.delivery(topic)).topic, `${root}/${topic}`);
      }
    },
  ),
  v5(
    'alias.out.reconnected',
    '3.3.2-7 3.1.2-27',
    MUST,
    'a client that reconnects without an alias maximum gets topics, even if it accepted aliases before',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const before = await t.resume(clientId, { properties: [['topicAliasMaximum', 10]] });
      await t.subscribe(before, topic, 1);
      const publisher = await t.connect();
      for (let i = 0; i < 3; i++) {
        await publisher.publish({ topic, payload: `${i}`, qos: 1 });
        await before.delivery(`${i}`);
      }
      await before.disconnect();
      await publisher.publish({ topic, payload: 'waits', qos: 1 });
      const after = await t.resume(clientId);
      assert.equal((await after.delivery('waits')).topic, topic);
    },
  ),
];
