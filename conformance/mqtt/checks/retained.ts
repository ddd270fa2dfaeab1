// Checks of retained messages: which message a topic keeps, which ones a new subscription gets, and their flags.

import assert from 'node:assert/strict';
import type { MqttCheck } from '../mqtt-check.ts';
import { both, EXTENSION, MUST, SHOULD, v3, v5 } from '../mqtt-check.ts';
import type { ConnectOptions } from '../wire/packets.ts';
import { property, values } from '../wire/properties.ts';

export const RETAINED_CHECKS: readonly (readonly MqttCheck[])[] = [
  both(
    'retained.sent',
    ['3.3.1-5 3.3.1-6 3.3.1-8', '3.3.1-5 3.3.1-9'],
    MUST,
    'a new subscription gets the retained message of its topic, with RETAIN set and the QoS that it was published at',
    async (t) => {
      for (const qos of [0, 1, 2] as const) {
        const topic = t.name();
        await t.retain(topic, `kept at ${qos}`, qos);
        const client = await t.subscriber(topic, 2);
        const message = await client.delivery(`kept at ${qos}`);
        assert.deepEqual([message.topic, message.retain, message.qos, message.dup], [topic, true, qos, false]);
        await client.expectSilence();
      }
    },
  ),
  both(
    'retained.qos',
    ['3.8.4-6', '3.8.4-8'],
    MUST,
    'a retained message comes at the lower of its QoS and that of the subscription',
    async (t) => {
      const topic = t.name();
      await t.retain(topic, 'kept', 2);
      for (const qos of [0, 1, 2] as const) {
        assert.equal((await (await t.subscriber(topic, qos)).delivery('kept')).qos, qos);
      }
    },
  ),
  both(
    'retained.replaced',
    ['3.3.1-5 3.3.1-6', '3.3.1-5'],
    MUST,
    'a retained message replaces the one before',
    async (t) => {
      const topic = t.name();
      for (const payload of ['first', 'second', 'third']) await t.retain(topic, payload);
      const client = await t.subscriber(topic);
      await client.message('third');
      await client.expectSilence();
    },
  ),
  both(
    'retained.replaced.qos0',
    ['3.3.1-7', '3.3.1-5'],
    MUST,
    'a retained message of QoS 0 replaces one of QoS 1',
    async (t) => {
      const topic = t.name();
      await t.retain(topic, 'one', 1);
      await t.retain(topic, 'zero', 0);
      const client = await t.subscriber(topic, 1);
      const { payload } = await client.delivery();
      // A server may discard a message retained at QoS 0 at any time, but may not restore the one before it.
      assert.equal(payload.toString(), 'zero');
      await client.expectSilence();
    },
  ),
  both(
    'retained.live',
    ['3.3.1-9', '3.3.1-12'],
    MUST,
    'a subscription that is there already gets the message without RETAIN',
    async (t) => {
      const topic = t.name();
      const client = await t.subscriber(topic);
      await t.retain(topic, 'live');
      assert.equal((await client.message('live')).retain, false);
    },
  ),
  both(
    'retained.wildcards',
    ['3.3.1-6', '3.3.1-9'],
    MUST,
    'a new subscription with wildcards gets the retained messages of all topics that it matches, and of no other',
    async (t) => {
      const root = t.name();
      for (const topic of ['a', 'a/b', 'a/b/c', 'd/b', 'd/e']) await t.retain(`${root}/${topic}`, topic);
      for (const [filter, wanted] of [
        ['#', ['a', 'a/b', 'a/b/c', 'd/b', 'd/e']],
        ['+/b', ['a/b', 'd/b']],
        ['a/#', ['a', 'a/b', 'a/b/c']],
        ['+', ['a']],
        ['d/+', ['d/b', 'd/e']],
      ] as const) {
        const client = await t.subscriber(`${root}/${filter}`);
        const got: string[] = [];
        while (got.length < wanted.length) got.push((await client.message()).payload.toString());
        assert.deepEqual(got.sort(), wanted, filter);
        await client.expectSilence();
      }
    },
  ),
  both(
    'retained.deleted',
    ['3.3.1-10 3.3.1-11', '3.3.1-6 3.3.1-7'],
    MUST,
    'an empty retained message deletes the one before, is not stored itself, and goes to current subscribers',
    async (t) => {
      const topic = t.name();
      await t.retain(topic, 'kept');
      const before = await t.subscriber(topic);
      await before.message('kept');
      await t.retain(topic, '');
      assert.equal((await before.message('')).retain, false);
      const after = await t.subscriber(topic);
      await after.expectSilence();
    },
  ),
  both(
    'retained.flag-needed',
    ['3.3.1-12', '3.3.1-8'],
    MUST,
    'a message without RETAIN is not retained, and neither replaces nor deletes the retained one',
    async (t) => {
      const [kept, other] = [t.name(), t.name()];
      await t.retain(kept, 'kept');
      const publisher = await t.connect();
      for (const topic of [kept, other]) {
        await publisher.publish({ topic, payload: 'passing', qos: 1 });
        await publisher.publish({ topic, payload: '', qos: 1 });
      }
      await (await t.subscriber(kept)).message('kept');
      await (await t.subscriber(other)).expectSilence();
    },
  ),
  v3(
    'retained.outlives-session',
    '3.1.2-7',
    MUST,
    "a retained message stays when its publisher's session has ended",
    async (t) => {
      const topic = t.retainedTopic();
      const publisher = await t.connect({ clientId: t.name() });
      await publisher.publish({ topic, payload: 'kept', qos: 1, retain: true });
      await publisher.disconnect();
      await (await t.subscriber(topic)).message('kept');
    },
  ),
  both(
    'retained.subscribed-again',
    ['3.8.4-3', '3.8.4-4'],
    MUST,
    'a subscription that is made again gets the retained messages again',
    async (t) => {
      const topic = t.name();
      await t.retain(topic, 'kept');
      const client = await t.connect();
      for (let i = 0; i < 2; i++) {
        await t.subscribe(client, topic);
        assert.equal((await client.message('kept')).retain, true);
      }
      await client.expectSilence();
    },
  ),
  both(
    'retained.dollar',
    ['4.7.2-1', '4.7.2-1'],
    MUST,
    'a filter that begins with a wildcard gets no retained message of a topic that begins with $',
    async (t) => {
      const root = `$${t.name()}`;
      await t.retain(`${root}/a`, 'kept');
      const witness = await t.connect();
      await t.subscribe(witness, `${root}/a`);
      await witness.ping();
      if (witness.waitingMessages === 0) t.skip('the broker takes no messages to topics with $');
      const plain = t.name();
      await t.retain(`${plain}/a`, 'plain');
      const client = await t.subscriber('+/a');
      // Other clients may publish on this broker.
      for (let topic = ''; topic !== `${plain}/a`; ) {
        ({ topic } = await client.message());
        assert.notEqual(topic, `${root}/a`);
      }
      await client.ping();
      while (client.waitingMessages > 0) assert.notEqual((await client.message()).topic, `${root}/a`);
    },
  ),
  v5(
    'retained.handling.new-only',
    '3.3.1-10',
    MUST,
    'retain handling 1 sends retained messages to a new subscription, and none to an existing one',
    async (t) => {
      const topic = t.name();
      await t.retain(topic, 'kept');
      const client = await t.subscriber(topic, 0, { retainHandling: 1 });
      await client.message('kept');
      await t.subscribe(client, topic, 0, { retainHandling: 1 });
      await client.expectSilence();
      await client.unsubscribe([topic]);
      await t.subscribe(client, topic, 0, { retainHandling: 1 });
      await client.message('kept');
    },
  ),
  v5(
    'retained.handling.session',
    '3.3.1-10',
    MUST,
    'retain handling 1 sends nothing to a subscription of a resumed session',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const before = await t.resume(clientId);
      await t.subscribe(before, topic);
      await before.disconnect();
      await t.retain(topic, 'kept', 0);
      await (await t.subscriber(topic, 0, { retainHandling: 1 })).message('kept');
      const after = await t.resume(clientId);
      await t.subscribe(after, topic, 0, { retainHandling: 1 });
      await after.ping();
      // The session may have queued the QoS 0 message published meanwhile. Such a message comes without RETAIN.
      while (after.waitingMessages > 0) assert.equal((await after.message()).retain, false);
    },
  ),
  v5('retained.handling.never', '3.3.1-11', MUST, 'retain handling 2 sends no retained messages', async (t) => {
    const topic = t.name();
    await t.retain(topic, 'kept');
    const client = await t.subscriber(topic, 0, { retainHandling: 2 });
    await client.expectSilence();
    await t.retain(topic, 'live');
    await client.message('live');
  }),
  v5(
    'retained.handling.always',
    '3.3.1-9 3.8.4-4',
    MUST,
    'retain handling 0 sends retained messages each time',
    async (t) => {
      const topic = t.name();
      await t.retain(topic, 'kept');
      const client = await t.connect();
      for (let i = 0; i < 3; i++) {
        await t.subscribe(client, topic, 0, { retainHandling: 0 });
        await client.message('kept');
      }
    },
  ),
  v5(
    'retained.as-published',
    '3.3.1-13 3.3.1-12',
    MUST,
    'with retain as published RETAIN goes out as it came in, without it is 0',
    async (t) => {
      const topic = t.name();
      const as = await t.subscriber(topic, 0, { retainAsPublished: true });
      const without = await t.subscriber(topic, 0, { retainAsPublished: false });
      const publisher = await t.connect();
      for (const retain of [true, false, true]) {
        t.retainedTopic(topic);
        await publisher.publish({ topic, payload: `${retain}`, retain });
        assert.equal((await as.message(`${retain}`)).retain, retain);
        assert.equal((await without.message(`${retain}`)).retain, false);
      }
    },
  ),
  v5(
    'retained.as-published.new',
    '3.3.1.3:new-subscription',
    MUST,
    'retained messages sent for a new subscription have RETAIN set, whatever the option retain as published',
    async (t) => {
      const topic = t.name();
      await t.retain(topic, 'kept');
      for (const retainAsPublished of [true, false]) {
        const client = await t.subscriber(topic, 0, { retainAsPublished });
        assert.equal((await client.message('kept')).retain, true);
      }
    },
  ),
  v5(
    'retained.properties',
    '3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20',
    MUST,
    'a retained message keeps its properties',
    async (t) => {
      const topic = t.name();
      await t.retain(topic, 'kept', 1, [
        ['payloadFormatIndicator', 1],
        ['contentType', 'text/plain'],
        ['responseTopic', 'reply/here'],
        ['correlationData', Buffer.from([0, 1, 255])],
        ['userProperty', ['b', '1']],
        ['userProperty', ['a', '2']],
        ['userProperty', ['b', '1']],
      ]);
      const { properties } = await (await t.subscriber(topic)).message('kept');
      assert.equal(property(properties, 'payloadFormatIndicator'), 1);
      assert.equal(property(properties, 'contentType'), 'text/plain');
      assert.equal(property(properties, 'responseTopic'), 'reply/here');
      assert.deepEqual(property(properties, 'correlationData'), Buffer.from([0, 1, 255]));
      assert.deepEqual(values(properties, 'userProperty'), [
        ['b', '1'],
        ['a', '2'],
        ['b', '1'],
      ]);
    },
  ),
  v5(
    'retained.expiry',
    '3.3.1.3:expiry 3.3.2-5',
    MUST,
    'an expired retained message is not sent',
    async (t) => {
      const topic = t.name();
      await t.retain(topic, 'short', 1, [['messageExpiryInterval', 1]]);
      await (await t.subscriber(topic)).message('short');
      await t.pause(2_000);
      await (await t.subscriber(topic)).expectSilence();
    },
    { slow: true },
  ),
  v5(
    'retained.expiry.left',
    '3.3.2-6',
    MUST,
    'a retained message goes out with the expiry that is left of it',
    async (t) => {
      const topic = t.name();
      await t.retain(topic, 'long', 1, [['messageExpiryInterval', 100]]);
      await t.pause(1_200);
      const { properties } = await (await t.subscriber(topic)).message('long');
      const left = property(properties, 'messageExpiryInterval');
      assert.ok(left !== undefined && left >= 50 && left <= 99, `${left} s are left of 100`);
    },
    { slow: true },
  ),
  v5(
    'retained.shared',
    '4.8.2:retained',
    SHOULD,
    'a shared subscription gets no retained messages when it is made, and the live ones',
    async (t) => {
      const topic = t.name();
      await t.retain(topic, 'kept');
      const client = await t.connect();
      t.requires(client, 'sharedSubscriptionAvailable');
      await t.subscribe(client, `$share/group/${topic}`);
      await client.expectSilence();
      await (await t.connect()).publish({ topic, payload: 'live' });
      await client.message('live');
    },
  ),
  both(
    'retained.resent.qos1',
    ['4.4.0-1 3.3.1-1 3.3.1-8', '4.4.0-1 3.3.1-1'],
    MUST,
    'a retained message of QoS 1 without PUBACK is sent again after a reconnect, with DUP and its identifier',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      await t.retain(topic, 'kept', 1);
      const before = await t.resume(clientId);
      await t.subscribe(before, topic, 1);
      const { packetId, dup } = await before.message('kept');
      assert.equal(dup, false);
      before.cut();
      const after = await t.resume(clientId);
      const again = await after.message('kept');
      assert.deepEqual([again.packetId, again.dup, again.qos, again.retain], [packetId, true, 1, true]);
      await after.accept(again);
      await after.expectSilence();
    },
  ),
  both(
    'retained.resent.qos2',
    ['4.4.0-1 3.3.1-1 4.3.3-1', '4.4.0-1 3.3.1-1 4.3.3-3'],
    MUST,
    'a retained message of QoS 2 without PUBREC is sent again after a reconnect, as it was, though it was replaced',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      await t.retain(topic, 'kept', 2);
      const before = await t.resume(clientId);
      await t.subscribe(before, topic, 2);
      const { packetId } = await before.message('kept');
      before.cut();
      await t.retain(topic, 'replaced', 2);
      const after = await t.resume(clientId);
      const again = await after.message('kept');
      assert.deepEqual([again.packetId, again.dup, again.qos, again.retain], [packetId, true, 2, true]);
      await after.accept(again);
      assert.equal((await after.delivery('replaced')).retain, false);
      await after.expectSilence();
    },
  ),
  both(
    'retained.resent.pubrel',
    ['4.4.0-1 4.3.3-1', '4.4.0-1 4.3.3-5 4.3.3-6'],
    MUST,
    'after PUBREC of a retained message and a reconnect PUBREL is sent again, and the message is not',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      await t.retain(topic, 'kept', 2);
      const before = await t.resume(clientId);
      await t.subscribe(before, topic, 2);
      const { packetId } = await before.message('kept');
      await t.releasedAgain(before, clientId, packetId);
    },
  ),
  v5(
    'retained.pending',
    '3.3.1-9 3.1.2-5',
    MUST,
    'retained messages that were not sent when the connection broke come when the session is resumed',
    async (t) => {
      const [root, clientId] = [t.name(), t.name()];
      const payloads = ['0', '1', '2', '3', '4'];
      for (const payload of payloads) await t.retain(`${root}/${payload}`, payload, 1);
      const one: ConnectOptions = { properties: [['receiveMaximum', 1]] };
      const before = await t.resume(clientId, one);
      await t.subscribe(before, `${root}/#`, 1);
      await before.message();
      before.cut();
      const after = await t.resume(clientId, one);
      const came = new Set<string>();
      for (let i = 0; i < payloads.length; i++) {
        const { payload } = await after.delivery();
        came.add(payload.toString());
      }
      assert.deepEqual([...came].sort(), payloads);
      await after.expectSilence();
    },
  ),
  both(
    'retained.restart',
    ['4.1.0:restart', '4.1.0:restart'],
    EXTENSION,
    'a retained message is there after a restart',
    async (t) => {
      const topic = t.name();
      await t.retain(topic, 'kept');
      await t.context.controls.restart!();
      await (await t.subscriber(topic)).message('kept');
    },
    { needs: 'restart' },
  ),
];
