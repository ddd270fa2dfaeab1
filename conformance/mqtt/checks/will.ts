// Checks of wills: published when a connection breaks, discarded by DISCONNECT; delay, retain, QoS and properties.

import assert from 'node:assert/strict';
import type { MqttCheck } from '../mqtt-check.ts';
import { both, MUST, v3, v5 } from '../mqtt-check.ts';
import { frame } from '../wire/packets.ts';
import { property, values } from '../wire/properties.ts';

export const WILL_CHECKS: readonly (readonly MqttCheck[])[] = [
  both(
    'will.published',
    ['3.1.2-8 3.1.2-9', '3.1.2-8 3.1.2-7 3.1.2-9'],
    MUST,
    'the will is published when the connection breaks, with its topic and payload',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const client = await t.connect({ will: { topic, payload: Buffer.from([0, 1, 0xff]) } });
      await client.ping();
      watcher.expectNothing();
      client.cut();
      const message = await watcher.message();
      assert.deepEqual([...message.payload], [0, 1, 0xff]);
      assert.equal(message.topic, topic);
    },
  ),
  both('will.qos', ['3.1.2-14', '3.1.2-12'], MUST, 'the will is published at its QoS', async (t) => {
    for (const qos of [0, 1, 2] as const) {
      const topic = t.name();
      const watcher = await t.subscriber(topic, 2);
      (await t.connect({ will: { topic, payload: 'will', qos } })).cut();
      assert.equal((await watcher.delivery('will')).qos, qos);
    }
  }),
  both(
    'will.violation',
    ['3.1.2-8', '3.1.2-8'],
    MUST,
    'the will is published when the broker closes the connection for a violation',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const client = await t.connect({ will: { topic, payload: 'will' } });
      client.raw(frame('CONNACK', Buffer.of(0, 0)));
      await client.expectClosed();
      await watcher.message('will');
    },
  ),
  both(
    'will.takeover',
    ['3.1.2-8', '3.1.2-8'],
    MUST,
    'the will is published when the connection is taken over by a new session of its client',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const watcher = await t.subscriber(topic);
      const first = await t.connect({ clientId, will: { topic, payload: 'will' } });
      await t.connect({ clientId });
      await first.expectEnd();
      await watcher.message('will');
    },
  ),
  both(
    'will.keep-alive',
    ['3.1.2-8 3.1.2-24', '3.1.2-8 3.1.2-22'],
    MUST,
    'the will is published when the client is silent for too long',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const client = await t.connect({ keepAlive: 1, will: { topic, payload: 'will' } });
      const server = property(client.connack!.properties, 'serverKeepAlive') ?? 1;
      if (server > 1) t.skip(`the broker asks for a keep alive of ${server} s`);
      await watcher.message('will');
    },
    { slow: true },
  ),
  both(
    'will.goodbye',
    ['3.14.4-3 3.1.2-10', '3.14.4-3 3.1.2-10'],
    MUST,
    'the will is discarded when the client sends DISCONNECT',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const client = await t.connect({ will: { topic, payload: 'will' } });
      await client.disconnect();
      // A wrongly published first will would arrive before this client's will.
      (await t.connect({ will: { topic, payload: 'other will' } })).cut();
      await watcher.message('other will');
    },
  ),
  v3('will.none', '3.1.2-12', MUST, 'a connection without a will breaks without a message', async (t) => {
    const [topic, clientId] = [t.name(), t.name()];
    const watcher = await t.subscriber(topic);
    // The will of an earlier connection of the same client must not be published either.
    await (await t.connect({ clientId, will: { topic, payload: 'old will' } })).disconnect();
    (await t.connect({ clientId })).cut();
    (await t.connect({ will: { topic, payload: 'other will' } })).cut();
    await watcher.message('other will');
  }),
  both(
    'will.once',
    ['3.1.2-10', '3.1.2-10'],
    MUST,
    'a will that has been published is gone from the session',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const watcher = await t.subscriber(topic);
      (await t.resume(clientId, { will: { topic, payload: 'will' } })).cut();
      await watcher.message('will');
      (await t.resume(clientId)).cut();
      (await t.connect({ will: { topic, payload: 'other will' } })).cut();
      await watcher.message('other will');
    },
  ),
  both('will.retain.no', ['3.1.2-16', '3.1.2-14'], MUST, 'a will without will retain is not kept', async (t) => {
    const topic = t.name();
    const watcher = await t.subscriber(topic);
    (await t.connect({ will: { topic, payload: 'will' } })).cut();
    await watcher.message('will');
    await (await t.subscriber(topic)).expectSilence();
  }),
  both('will.retain.yes', ['3.1.2-17', '3.1.2-15'], MUST, 'a will with will retain is kept', async (t) => {
    const topic = t.retainedTopic();
    const watcher = await t.subscriber(topic);
    (await t.connect({ will: { topic, payload: 'will', retain: true } })).cut();
    assert.equal((await watcher.message('will')).retain, false);
    assert.equal((await (await t.subscriber(topic)).message('will')).retain, true);
  }),
  both('will.empty', ['3.1.3.3:empty', '3.1.3.4:empty'], MUST, 'a will may be empty', async (t) => {
    const topic = t.name();
    const watcher = await t.subscriber(topic);
    (await t.connect({ will: { topic, payload: '' } })).cut();
    await watcher.message('');
  }),
  v5(
    'will.disconnect-with-will',
    '3.1.2-8 3.14.2.1:with-will',
    MUST,
    'DISCONNECT 0x04 asks for the will, and gets it',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const client = await t.connect({ will: { topic, payload: 'will' } });
      await client.disconnect(0x04);
      await watcher.message('will');
    },
  ),
  v5(
    'will.disconnect-with-error',
    '3.1.2-8 3.14.4-3',
    MUST,
    'DISCONNECT with an error does not discard the will',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const client = await t.connect({ will: { topic, payload: 'will' } });
      await client.disconnect(0x80);
      await watcher.message('will');
    },
  ),
  v5(
    'will.properties',
    '3.1.3-10 3.1.3.2:forwarded',
    MUST,
    'the will is published with its properties, and its user properties in their order',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const pairs = [
        ['z', '1'],
        ['a', '2'],
        ['z', '1'],
        ['', ''],
      ] as const;
      const client = await t.connect({
        will: {
          topic,
          payload: 'will',
          properties: [
            ['payloadFormatIndicator', 1],
            ['contentType', 'text/plain'],
            ['responseTopic', 'reply/here'],
            ['correlationData', Buffer.from([7, 0])],
            ...pairs.map((pair) => ['userProperty', pair] as const),
          ],
        },
      });
      client.cut();
      const { properties } = await watcher.message('will');
      assert.equal(property(properties, 'payloadFormatIndicator'), 1);
      assert.equal(property(properties, 'contentType'), 'text/plain');
      assert.equal(property(properties, 'responseTopic'), 'reply/here');
      assert.deepEqual(property(properties, 'correlationData'), Buffer.from([7, 0]));
      assert.deepEqual(values(properties, 'userProperty'), pairs);
    },
  ),
  v5(
    'will.delay',
    '3.1.2-8 3.1.2-7',
    MUST,
    'a will with a delay is published when the delay has passed, and not before',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const will = { topic, payload: 'will', properties: [['willDelayInterval', 1] as const] };
      const client = await t.resume(t.name(), { will });
      const began = performance.now();
      client.cut();
      await watcher.message('will');
      // The specification gives no upper bound for the delay. Brokers count whole seconds, so the will may come half a
      // second early.
      const seconds = (performance.now() - began) / 1000;
      assert.ok(seconds > 0.5, `published after ${seconds.toFixed(2)} s`);
    },
    { slow: true },
  ),
  v5(
    'will.delay.reconnected',
    '3.1.3-9',
    MUST,
    'a client that comes back before the delay has passed has no will published',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const watcher = await t.subscriber(topic);
      const will = { topic, payload: 'will', properties: [['willDelayInterval', 1] as const] };
      (await t.resume(clientId, { will })).cut();
      await t.resume(clientId);
      await t.pause(2_000);
      await watcher.expectSilence();
    },
    { slow: true },
  ),
  v5(
    'will.delay.session-ends',
    '3.1.2-8',
    MUST,
    'the will is published when the session ends, though its delay has not passed',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const will = { topic, payload: 'will', properties: [['willDelayInterval', 60] as const] };
      (await t.connect({ will })).cut();
      await watcher.message('will');
    },
  ),
  v5(
    'will.delay.session-expires',
    '3.1.2-8',
    MUST,
    'the will is published when the expiry of its session has passed, though its delay has not',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const will = { topic, payload: 'will', properties: [['willDelayInterval', 60] as const] };
      (await t.connect({ will, properties: [['sessionExpiryInterval', 1]] })).cut();
      await watcher.message('will');
    },
    { slow: true },
  ),
  v5(
    'will.delay.new-session',
    '3.1.2-8',
    MUST,
    'the will is published when a clean start ends its session, though its delay has not passed',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const watcher = await t.subscriber(topic);
      const will = { topic, payload: 'will', properties: [['willDelayInterval', 60] as const] };
      (await t.resume(clientId, { will })).cut();
      await t.connect({ clientId, clean: true });
      await watcher.message('will');
    },
  ),
  v5(
    'will.expiry',
    '3.1.3.2.4:expiry',
    MUST,
    'the message expiry of a will counts from when it is published',
    async (t) => {
      const topic = t.retainedTopic();
      const watcher = await t.subscriber(topic);
      const will = { topic, payload: 'will', properties: [['messageExpiryInterval', 100] as const] };
      const client = await t.connect({ will });
      await t.pause(1_200);
      client.cut();
      const { properties } = await watcher.message('will');
      assert.equal(property(properties, 'messageExpiryInterval'), 100);
    },
    { slow: true },
  ),
];
