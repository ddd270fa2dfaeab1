// Checks of redelivery: a QoS 2 message that the client sends again, messages unacknowledged when a connection breaks,
// messages that the client refused.

import assert from 'node:assert/strict';
import type { MqttCheck } from '../mqtt-check.ts';
import { both, MUST, v3, v5 } from '../mqtt-check.ts';

export const REDELIVERY_CHECKS: readonly (readonly MqttCheck[])[] = [
  // 5.0 allows a client to resend only after a reconnect [MQTT-4.4.0-1].
  v3(
    'publish.qos2.once',
    '4.3.3-2',
    MUST,
    'until PUBREL a message of QoS 2 that comes again is answered with PUBREC and delivered once',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic, 2);
      const client = await t.connect();
      for (const dup of [false, true, true]) {
        client.sendPublish({ topic, payload: 'once', qos: 2, packetId: 9, dup });
        await client.expectAck('PUBREC', 9);
      }
      client.ack('PUBREL', 9);
      await client.expectAck('PUBCOMP', 9);
      await client.publish({ topic, payload: 'next', qos: 2 });
      await watcher.delivery('once');
      await watcher.delivery('next');
    },
  ),
  both(
    'publish.qos2.once.reconnected',
    ['4.3.3-2 4.4.0-1 3.1.2-4', '4.3.3-10 4.4.0-1 3.1.2-5'],
    MUST,
    'a message of QoS 2 that is sent again after a reconnect is delivered once',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const watcher = await t.subscriber(topic, 2);
      const before = await t.resume(clientId);
      before.sendPublish({ topic, payload: 'once', qos: 2, packetId: 9 });
      await before.expectAck('PUBREC', 9);
      before.cut();
      const after = await t.resume(clientId);
      after.sendPublish({ topic, payload: 'once', qos: 2, packetId: 9, dup: true });
      await after.expectAck('PUBREC', 9);
      after.ack('PUBREL', 9);
      await after.expectAck('PUBCOMP', 9);
      await after.publish({ topic, payload: 'next', qos: 2, packetId: 10 });
      await watcher.delivery('once');
      await watcher.delivery('next');
    },
  ),
  both(
    'publish.qos2.released',
    ['4.3.3-2', '4.3.3-12'],
    MUST,
    'after PUBCOMP the same identifier is another message',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic, 2);
      const client = await t.connect();
      await client.publish({ topic, payload: 'first', qos: 2, packetId: 9 });
      await client.publish({ topic, payload: 'second', qos: 2, packetId: 9 });
      await watcher.delivery('first');
      await watcher.delivery('second');
    },
  ),
  both(
    'publish.pubrel.unknown',
    ['4.3.3-2', '4.3.3-11 3.7.2-1'],
    MUST,
    'PUBREL with an identifier that is not in use is answered with PUBCOMP',
    async (t) => {
      const client = await t.connect();
      client.ack('PUBREL', 77);
      await client.expectAck('PUBCOMP', 77);
    },
  ),
  both(
    'publish.pubrel.reconnected',
    ['4.4.0-1 4.3.3-2', '4.4.0-1 4.3.3-11'],
    MUST,
    'PUBREL that is sent again after a reconnect is answered with PUBCOMP',
    async (t) => {
      const clientId = t.name();
      const before = await t.resume(clientId);
      before.sendPublish({ topic: t.name(), payload: 'two', qos: 2, packetId: 5 });
      await before.expectAck('PUBREC', 5);
      before.ack('PUBREL', 5);
      await before.expectAck('PUBCOMP', 5);
      before.cut();
      const after = await t.resume(clientId);
      after.ack('PUBREL', 5);
      await after.expectAck('PUBCOMP', 5);
    },
  ),
  both(
    'publish.resent.qos1',
    ['4.4.0-1 3.3.1-1 2.3.1-4 4.3.2-1', '4.4.0-1 3.3.1-1 4.3.2-3'],
    MUST,
    'a message of QoS 1 without PUBACK is sent again after a reconnect, with DUP and its identifier; one with PUBACK is not',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const before = await t.resume(clientId);
      await t.subscribe(before, topic, 1);
      const client = await t.connect();
      await client.publish({ topic, payload: 'acknowledged', qos: 1 });
      await client.publish({ topic, payload: 'open', qos: 1 });
      await before.delivery('acknowledged');
      const { packetId, dup } = await before.message('open');
      assert.equal(dup, false);
      await before.ping();
      before.cut();
      const after = await t.resume(clientId);
      const again = await after.message('open');
      assert.deepEqual([again.packetId, again.dup, again.qos], [packetId, true, 1]);
      await after.accept(again);
      await after.expectSilence();
    },
  ),
  both(
    'publish.resent.qos2',
    ['4.4.0-1 3.3.1-1 4.3.3-1', '4.4.0-1 3.3.1-1 4.3.3-3'],
    MUST,
    'a message of QoS 2 without PUBREC is sent again after a reconnect, with DUP and its identifier',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const before = await t.resume(clientId);
      await t.subscribe(before, topic, 2);
      await (await t.connect()).publish({ topic, payload: 'open', qos: 2 });
      const { packetId } = await before.message('open');
      before.cut();
      const after = await t.resume(clientId);
      const again = await after.message('open');
      assert.deepEqual([again.packetId, again.dup, again.qos], [packetId, true, 2]);
      await after.accept(again);
      await after.expectSilence();
    },
  ),
  both(
    'publish.resent.pubrel',
    ['4.4.0-1 4.3.3-1', '4.4.0-1 4.3.3-5 4.3.3-6'],
    MUST,
    'after PUBREC and a reconnect PUBREL is sent again, and the message is not',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const before = await t.resume(clientId);
      await t.subscribe(before, topic, 2);
      await (await t.connect()).publish({ topic, payload: 'received', qos: 2 });
      const { packetId } = await before.message('received');
      await t.releasedAgain(before, clientId, packetId);
    },
  ),
  both(
    'publish.takeover',
    ['4.4.0-1 3.1.4-2 4.3.3-1 4.3.3-2', '4.4.0-1 3.1.4-3 4.3.3-5 4.3.3-10 4.3.3-11'],
    MUST,
    'after a takeover the QoS 2 handshakes continue in both directions where they were',
    async (t) => {
      const [topic, own, clientId] = [t.name(), t.name(), t.name()];
      const watcher = await t.subscriber(own, 2);
      const before = await t.resume(clientId);
      await t.subscribe(before, topic, 2);
      const client = await t.connect();
      for (const payload of ['released', 'open']) await client.publish({ topic, payload, qos: 2 });
      const released = await before.message('released');
      before.ack('PUBREC', released.packetId);
      await before.expectAck('PUBREL', released.packetId);
      const open = await before.message('open');
      before.sendPublish({ topic: own, payload: 'own', qos: 2, packetId: 900 });
      await before.expectAck('PUBREC', 900);
      const after = await t.resume(clientId);
      await before.expectClosed([0x8e]);
      await after.expectAck('PUBREL', released.packetId);
      after.ack('PUBCOMP', released.packetId);
      const again = await after.message('open');
      assert.deepEqual([again.packetId, again.dup, again.qos], [open.packetId, true, 2]);
      await after.accept(again);
      after.sendPublish({ topic: own, payload: 'own', qos: 2, packetId: 900, dup: true });
      await after.expectAck('PUBREC', 900);
      after.ack('PUBREL', 900);
      await after.expectAck('PUBCOMP', 900);
      await after.expectSilence();
      await after.publish({ topic: own, payload: 'next', qos: 2, packetId: 901 });
      await watcher.delivery('own');
      await watcher.delivery('next');
    },
  ),
  both(
    'publish.resent.order',
    ['4.6.0-6', '4.6.0-5 4.6.0-6'],
    MUST,
    'messages resent after a reconnect come in order, before new ones',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const before = await t.resume(clientId);
      await t.subscribe(before, topic, 1);
      const client = await t.connect();
      for (let i = 0; i < 5; i++) await client.publish({ topic, payload: `${i}`, qos: 1 });
      for (let i = 0; i < 5; i++) await before.message(`${i}`);
      before.cut();
      await client.publish({ topic, payload: '5', qos: 1 });
      const after = await t.resume(clientId);
      for (let i = 0; i < 6; i++) await after.delivery(`${i}`);
    },
  ),
  v5(
    'publish.not-resent',
    '4.4.0-1',
    MUST,
    'a message that is not acknowledged is not sent again while the connection lives',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic, 2);
      const client = await t.connect();
      await client.publish({ topic, payload: 'one', qos: 1 });
      await client.publish({ topic, payload: 'two', qos: 2 });
      await watcher.message('one');
      await watcher.message('two');
      await t.pause(1_900);
      await watcher.expectSilence();
    },
    { slow: true },
  ),
  v5(
    'publish.refused.qos1',
    '4.4.0-2',
    MUST,
    'a message that the client refuses in PUBACK is acknowledged: it is not sent again',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const before = await t.resume(clientId);
      await t.subscribe(before, topic, 1);
      const client = await t.connect();
      await client.publish({ topic, payload: 'refused', qos: 1 });
      before.ack('PUBACK', (await before.message('refused')).packetId, 0x83);
      await before.expectSilence();
      before.cut();
      const after = await t.resume(clientId);
      await client.publish({ topic, payload: 'next', qos: 1 });
      await after.delivery('next');
    },
  ),
  v5(
    'publish.refused.qos2',
    '4.4.0-2 4.3.3-4',
    MUST,
    'a message that the client refuses in PUBREC is acknowledged: no PUBREL follows, and it is not sent again',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const before = await t.resume(clientId);
      await t.subscribe(before, topic, 2);
      const client = await t.connect();
      await client.publish({ topic, payload: 'refused', qos: 2 });
      before.ack('PUBREC', (await before.message('refused')).packetId, 0x83);
      await before.expectSilence();
      before.cut();
      const after = await t.resume(clientId);
      await client.publish({ topic, payload: 'next', qos: 2 });
      await after.delivery('next');
    },
  ),
];
