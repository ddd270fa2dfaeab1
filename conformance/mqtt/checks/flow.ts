// Checks of MQTT 5.0 flow control in both directions: receive maximum and maximum packet size.

import assert from 'node:assert/strict';
import type { MqttCheck } from '../mqtt-check.ts';
import { MUST, SHOULD, v5 } from '../mqtt-check.ts';
import { property } from '../wire/properties.ts';

/** A check is skipped if the broker's limit is larger than these. */
const SANE_RECEIVE_MAXIMUM = 2_000;
const SANE_PACKET_BYTES = 33_554_432;

export const FLOW_CHECKS: readonly (readonly MqttCheck[])[] = [
  v5(
    'receive-maximum.out',
    '3.3.4-9 4.9.0-1 4.9.0-2',
    MUST,
    "messages of QoS 1 and 2 in flight do not exceed the client's receive maximum; each acknowledgement allows one more",
    async (t) => {
      const topic = t.name();
      const client = await t.connect({ properties: [['receiveMaximum', 3]] });
      await t.subscribe(client, topic, 2);
      const publisher = await t.connect();
      for (let i = 0; i < 8; i++) await publisher.publish({ topic, payload: `${i}`, qos: i % 2 === 0 ? 1 : 2 });
      const open = [await client.message('0'), await client.message('1'), await client.message('2')];
      await client.expectSilence();
      for (let i = 3; i < 8; i++) {
        await client.accept(open.shift()!);
        open.push(await client.message(`${i}`));
        await client.expectSilence();
      }
    },
  ),
  v5(
    'receive-maximum.one',
    '3.3.4-9 4.9.0-1 4.6.0-5',
    MUST,
    'with receive maximum 1 messages come one by one, in order, also those that have waited',
    async (t) => {
      const topic = t.name();
      const clientId = await t.away(topic, 1);
      const publisher = await t.connect();
      for (let i = 0; i < 5; i++) await publisher.publish({ topic, payload: `${i}`, qos: 1 });
      const after = await t.resume(clientId, { properties: [['receiveMaximum', 1]] });
      for (let i = 0; i < 5; i++) {
        const message = await after.message(`${i}`);
        await after.expectSilence();
        await after.accept(message);
      }
    },
  ),
  v5(
    'receive-maximum.pubrec',
    '3.3.4-9 4.9.0-2',
    MUST,
    'PUBREC lets no other message come, PUBCOMP does, and so does a PUBREC that refuses',
    async (t) => {
      const topic = t.name();
      const client = await t.connect({ properties: [['receiveMaximum', 1]] });
      await t.subscribe(client, topic, 2);
      const publisher = await t.connect();
      for (let i = 0; i < 3; i++) await publisher.publish({ topic, payload: `${i}`, qos: 2 });
      const { packetId } = await client.message('0');
      client.ack('PUBREC', packetId);
      await client.expectAck('PUBREL', packetId);
      await client.expectSilence();
      client.ack('PUBCOMP', packetId);
      client.ack('PUBREC', (await client.message('1')).packetId, 0x80);
      await client.message('2');
    },
  ),
  v5(
    'receive-maximum.qos0',
    '3.3.4-10 4.9.0-3',
    MUST,
    'at the receive maximum the broker still sends QoS 0 messages and answers, and accepts the client’s messages',
    async (t) => {
      const [one, zero] = [t.name(), t.name()];
      const client = await t.connect({ properties: [['receiveMaximum', 1]] });
      await t.subscribe(client, one, 1);
      await t.subscribe(client, zero, 0);
      const publisher = await t.connect();
      await publisher.publish({ topic: one, payload: 'open', qos: 1 });
      await publisher.publish({ topic: one, payload: 'waits', qos: 1 });
      const open = await client.message('open');
      await publisher.publish({ topic: zero, payload: 'zero' });
      await client.message('zero');
      await client.publish({ topic: t.name(), payload: 'own', qos: 1 });
      await client.publish({ topic: t.name(), payload: 'own', qos: 2 });
      await client.subscribe([{ filter: t.name() }]);
      await client.unsubscribe([zero]);
      await client.expectSilence();
      await client.accept(open);
      await client.delivery('waits');
    },
  ),
  v5(
    'receive-maximum.resent',
    '3.3.4-9 4.4.0-1',
    MUST,
    'messages resent after a reconnect count against the receive maximum',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const before = await t.resume(clientId);
      await t.subscribe(before, topic, 1);
      const publisher = await t.connect();
      for (let i = 0; i < 4; i++) await publisher.publish({ topic, payload: `${i}`, qos: 1 });
      for (let i = 0; i < 4; i++) await before.message(`${i}`);
      before.cut();
      const after = await t.resume(clientId, { properties: [['receiveMaximum', 2]] });
      for (let i = 0; i < 4; i++) await after.delivery(`${i}`);
    },
  ),
  v5('receive-maximum.zero', '3.1.2.11.3:zero', MUST, 'receive maximum 0 is a protocol error', async (t) => {
    const connection = await t.begin({ properties: [['receiveMaximum', 0]] });
    await connection.expectClosed([0x81, 0x82]);
  }),
  v5(
    'receive-maximum.in',
    '3.3.4-7 4.9.0-1',
    MUST,
    "a client may have as many messages in flight as the broker's receive maximum, and again when those are complete",
    async (t) => {
      const client = await t.connect();
      const maximum = property(client.connack!.properties, 'receiveMaximum') ?? 65_535;
      const count = Math.min(maximum, 100);
      for (let round = 0; round < 2; round++) {
        for (let i = 1; i <= count; i++) client.sendPublish({ topic: 'a', payload: 'x', qos: 2, packetId: i });
        for (let i = 1; i <= count; i++) await client.expectAck('PUBREC', i);
        for (let i = 1; i <= count; i++) client.ack('PUBREL', i);
        for (let i = 1; i <= count; i++) await client.expectAck('PUBCOMP', i);
        for (let i = 1; i <= count; i++) client.sendPublish({ topic: 'a', payload: 'x', qos: 1, packetId: i });
        for (let i = 1; i <= count; i++) await client.expectAck('PUBACK', i);
      }
    },
  ),
  v5(
    'receive-maximum.in.beyond',
    '3.3.4:beyond-receive-maximum',
    SHOULD,
    'a client with more messages under way than the broker takes is disconnected with 0x93',
    async (t) => {
      const client = await t.connect();
      const maximum = property(client.connack!.properties, 'receiveMaximum') ?? 65_535;
      if (maximum > SANE_RECEIVE_MAXIMUM) t.skip(`the broker takes ${maximum} messages`);
      for (let i = 1; i <= maximum + 1; i++) client.sendPublish({ topic: 'a', payload: 'x', qos: 2, packetId: i });
      let answer = await client.receive();
      for (let i = 1; i <= maximum && answer.type === 'PUBREC'; i++) answer = await client.receive();
      assert.deepEqual([answer.type, ...answer.reasons], ['DISCONNECT', 0x93]);
      await client.expectEnd();
    },
  ),
  v5(
    'maximum-packet-size.out',
    '3.1.2-24 3.1.2-25',
    MUST,
    "a message above the client's maximum packet size is not sent, and the messages after it are",
    async (t) => {
      const topic = t.name();
      const client = await t.connect({
        properties: [
          ['maximumPacketSize', 200],
          ['receiveMaximum', 2],
        ],
      });
      await t.subscribe(client, topic, 2);
      const other = await t.subscriber(topic, 2);
      const publisher = await t.connect();
      for (const qos of [0, 1, 2] as const) {
        // The broker drops a message that is too large as if it had sent it: it does not count against the receive
        // maximum.
        for (let i = 0; i < 3; i++) await publisher.publish({ topic, payload: 'large'.padEnd(300, '.'), qos });
        await publisher.publish({ topic, payload: `small ${qos}`, qos });
        await client.delivery(`small ${qos}`);
        for (let i = 0; i < 3; i++) await other.delivery();
        await other.delivery(`small ${qos}`);
      }
      await client.expectSilence();
    },
  ),
  v5(
    'maximum-packet-size.exact',
    '3.1.2-24',
    MUST,
    "a message of exactly the client's maximum packet size is sent",
    async (t) => {
      const topic = t.name();
      // Fixed header 3, topic, no properties 1, payload.
      const overhead = 3 + 2 + topic.length + 1;
      const client = await t.connect({ properties: [['maximumPacketSize', 300]] });
      await t.subscribe(client, topic);
      const publisher = await t.connect();
      await publisher.publish({ topic, payload: 'y'.repeat(300 - overhead + 1) });
      await publisher.publish({ topic, payload: 'x'.repeat(300 - overhead) });
      assert.equal((await client.message()).size, 300);
    },
  ),
  v5(
    'maximum-packet-size.queued',
    '3.1.2-25',
    MUST,
    'a queued message above the maximum packet size of the new connection is not sent',
    async (t) => {
      const topic = t.name();
      const clientId = await t.away(topic, 1);
      const publisher = await t.connect();
      await publisher.publish({ topic, payload: 'large'.padEnd(300, '.'), qos: 1 });
      await publisher.publish({ topic, payload: 'small', qos: 1 });
      const after = await t.resume(clientId, { properties: [['maximumPacketSize', 200]] });
      await after.delivery('small');
      await after.expectSilence();
    },
  ),
  v5('maximum-packet-size.zero', '3.1.2.11.4:zero', MUST, 'maximum packet size 0 is a protocol error', async (t) => {
    const connection = await t.begin({ properties: [['maximumPacketSize', 0]] });
    await connection.expectClosed([0x81, 0x82]);
  }),
  v5(
    'maximum-packet-size.acks',
    '3.4.2-2 3.4.2-3 3.5.2-2 3.5.2-3 3.6.2-2 3.6.2-3 3.7.2-2 3.7.2-3 3.9.2-1 3.9.2-2 3.11.2-1 3.11.2-2',
    MUST,
    "answers fit the client's maximum packet size: reason string and user properties are omitted",
    async (t) => {
      // 64 bytes fit the longest acknowledgement without a reason string. CONNACK must fit too: its properties are
      // mandatory.
      const client = await t.connect({ properties: [['maximumPacketSize', 64]] });
      await client.publish({ topic: t.name(), payload: 'nobody', qos: 1 });
      await client.publish({ topic: t.name(), payload: 'nobody', qos: 2 });
      const topic = t.name();
      await t.subscribe(client, topic, 2);
      await client.publish({ topic, payload: 'own', qos: 2 });
      await client.delivery('own');
      client.ack('PUBREL', 77);
      await client.expectAck('PUBCOMP', 77);
      await client.unsubscribe([topic, 'never/subscribed']);
    },
  ),
  v5(
    'maximum-packet-size.disconnect',
    '3.14.2-3 3.14.2-4',
    MUST,
    'DISCONNECT fits what the client takes: what explains it is left out',
    async (t) => {
      const client = await t.alive({ properties: [['maximumPacketSize', 64]] });
      client.sendPublish({ topic: 'a/#', payload: 'x' });
      await client.expectClosed([0x81, 0x82, 0x90]);
    },
  ),
  v5(
    'maximum-packet-size.in',
    '3.2.2-15',
    MUST,
    'a packet that is larger than the broker takes ends the connection',
    async (t) => {
      const client = await t.connect();
      const maximum = property(client.connack!.properties, 'maximumPacketSize');
      if (maximum === undefined || maximum > SANE_PACKET_BYTES) {
        return t.skip(`the broker takes ${maximum ?? 'any number of'} bytes`);
      }
      client.sendPublish({ topic: 'a', payload: Buffer.alloc(maximum + 1) });
      await client.expectClosed([0x95]);
    },
  ),
];
