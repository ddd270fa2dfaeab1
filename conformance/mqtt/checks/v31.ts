// Checks of MQTT 3.1 (protocol name MQIsdp, level 3): its differences from 3.1.1, and that ordinary use works.

import assert from 'node:assert/strict';
import type { MqttCheck } from '../mqtt-check.ts';
import { EXTENSION, MUST, v31 } from '../mqtt-check.ts';
import { encodeConnect, UNKNOWN_LEVEL } from '../wire/packets.ts';

export const V31_CHECKS: readonly (readonly MqttCheck[])[] = [
  v31('connect.accepted', '3.1:name 3.2:codes', MUST, 'MQIsdp of level 3 is accepted', async (t) => {
    await t.connect();
  }),
  v31('connect.name', '3.1:name', MUST, 'level 3 under the name of 3.1.1 is not accepted', async (t) => {
    const connection = await t.dial();
    connection.raw(encodeConnect(t.version, t.connectOptions({ name: 'MQTT' })));
    await connection.until(() => connection.ends || connection.connack !== null, 'CONNACK or the end');
    if (connection.connack !== null) await connection.expectRefused(1);
  }),
  v31(
    'connect.level',
    '3.2:version',
    MUST,
    'a level that does not exist is answered with CONNACK 1 (or 0x84 of 5.0), and the end',
    async (t) => {
      const connection = await t.dial();
      connection.raw(encodeConnect(t.version, t.connectOptions({ level: UNKNOWN_LEVEL })));
      await connection.until(() => connection.ends || connection.connack !== null, 'CONNACK or the end');
      if (connection.connack !== null) await connection.expectRefused(1, 0x84);
    },
  ),
  v31(
    'connect.client-id.long',
    '3.1:client-id-long',
    MUST,
    'a client identifier of more than 23 characters is answered with CONNACK 2, and the end',
    async (t) => {
      const connection = await t.begin({ clientId: t.name().padEnd(24, 'x') });
      await connection.expectRefused(2);
    },
  ),
  v31('connect.client-id.23', '3.1:client-id', MUST, 'a client identifier of 23 characters is accepted', async (t) => {
    await t.connect({ clientId: t.name().padEnd(23, 'x') });
  }),
  v31(
    'connect.client-id.empty',
    '3.1:client-id',
    MUST,
    'an empty client identifier is answered with CONNACK 2, and the end',
    async (t) => {
      const connection = await t.begin({ clientId: '' });
      await connection.expectRefused(2);
    },
  ),
  v31(
    'connack.reserved',
    '3.2:reserved',
    MUST,
    'CONNACK has no session present flag: its first byte is 0',
    async (t) => {
      const clientId = t.name();
      await (await t.resume(clientId)).disconnect();
      assert.equal((await t.resume(clientId)).connack!.sessionPresent, false);
    },
  ),
  v31(
    'session',
    '3.1:clean-session',
    MUST,
    'a client that reconnects without clean session gets its queued messages',
    async (t) => {
      const topic = t.name();
      const clientId = await t.away(topic, 1);
      const publisher = await t.connect();
      await publisher.publish({ topic, payload: 'waited', qos: 1 });
      await (await t.resume(clientId)).delivery('waited');
    },
  ),
  v31('publish', '4.1:qos', MUST, 'messages of QoS 0, 1 and 2 go in and out', async (t) => {
    const topic = t.name();
    const watcher = await t.subscriber(topic, 2);
    const publisher = await t.connect();
    for (const qos of [0, 1, 2] as const) {
      await publisher.publish({ topic, payload: `${qos}`, qos });
      assert.equal((await watcher.delivery(`${qos}`)).qos, qos);
    }
  }),
  v31(
    'subscribe.codes',
    '3.9:granted',
    MUST,
    'SUBACK has the granted QoS of each filter, in their order',
    async (t) => {
      const client = await t.connect();
      const root = t.name();
      const { reasons } = await client.subscribe([0, 1, 1].map((qos, at) => ({ filter: `${root}/${at}`, qos })));
      assert.deepEqual(reasons, [0, 1, 1]);
    },
  ),
  v31('retained', '3.3:retain', MUST, 'a retained message goes to a new subscription with RETAIN set', async (t) => {
    const topic = t.name();
    await t.retain(topic, 'kept');
    const client = await t.subscriber(topic, 1);
    assert.equal((await client.delivery('kept')).retain, true);
  }),
  v31(
    'will',
    '3.1:will',
    MUST,
    'a will is published when its connection breaks, and not after DISCONNECT',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      await (await t.connect({ will: { topic, payload: 'no' } })).disconnect();
      (await t.connect({ will: { topic, payload: 'yes' } })).cut();
      await watcher.message('yes');
    },
  ),
  v31(
    'redelivered',
    '4.2:retry',
    MUST,
    'a message of QoS 1 without PUBACK is sent again after a reconnect, with DUP and its identifier',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const before = await t.resume(clientId);
      await t.subscribe(before, topic, 1);
      await (await t.connect()).publish({ topic, payload: 'open', qos: 1 });
      const { packetId } = await before.message('open');
      before.cut();
      const again = await (await t.resume(clientId)).message('open');
      assert.deepEqual([again.packetId, again.dup], [packetId, true]);
    },
  ),
  v31(
    'neighbours',
    '3.1:neighbours',
    EXTENSION,
    'a client of 3.1 and one of 3.1.1 hear each other, and take each other over',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const connection = await t.dial();
      const clientId = t.name();
      connection.raw(encodeConnect(4, t.connectOptions({ clientId })));
      await connection.expectAccepted();
      await connection.publish({ topic, payload: 'from 3.1.1' });
      await watcher.message('from 3.1.1');
      await t.connect({ clientId });
      await connection.expectClosed();
    },
  ),
];
