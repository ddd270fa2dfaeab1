// Checks of sessions: what a session keeps after its connection ends, for how long, and what a new connection resumes.

import assert from 'node:assert/strict';
import type { MqttCheck } from '../mqtt-check.ts';
import { both, EXTENSION, MUST, v3, v5 } from '../mqtt-check.ts';
import { encodeReason } from '../wire/packets.ts';
import { property } from '../wire/properties.ts';

export const SESSION_CHECKS: readonly (readonly MqttCheck[])[] = [
  both(
    'session.new',
    ['3.1.2-4 3.2.2-3', '3.1.2-6 3.2.2-3'],
    MUST,
    'a client that asks for its session and has none gets a new one, and session present 0',
    async (t) => {
      const client = await t.resume(t.name());
      assert.equal(client.connack!.sessionPresent, false);
      const topic = t.name();
      await t.subscribe(client, topic);
      await client.publish({ topic, payload: 'works' });
      await client.message('works');
    },
  ),
  both(
    'session.resumed',
    ['3.1.2-4 3.2.2-2 4.1.0-1', '3.1.2-5 3.2.2-3 3.1.2-23'],
    MUST,
    'a client that comes back finds its session with its subscriptions, and session present 1',
    async (t) => {
      const topic = t.name();
      const clientId = await t.away(topic, 1);
      const after = await t.resume(clientId);
      assert.equal(after.connack!.sessionPresent, true);
      await (await t.connect()).publish({ topic, payload: 'found', qos: 1 });
      await after.delivery('found');
    },
  ),
  both(
    'session.resumed.broken',
    ['3.1.2-4 3.2.2-2 4.1.0-1', '3.1.2-5 3.1.2-23'],
    MUST,
    'the session is there as well when the connection broke',
    async (t) => {
      const clientId = t.name();
      (await t.resume(clientId)).cut();
      assert.equal((await t.resume(clientId)).connack!.sessionPresent, true);
    },
  ),
  both(
    'session.queued',
    ['3.1.2-5 4.5.0-1', '4.5.0-1 3.1.2-23'],
    MUST,
    'messages of QoS 1 and 2 that come while the client is away wait for it, in order',
    async (t) => {
      const topic = t.name();
      const clientId = await t.away(topic, 2);
      const client = await t.connect();
      for (let i = 0; i < 20; i++) await client.publish({ topic, payload: `one ${i}`, qos: 1 });
      for (let i = 0; i < 20; i++) await client.publish({ topic, payload: `two ${i}`, qos: 2 });
      const after = await t.resume(clientId);
      for (let i = 0; i < 20; i++) {
        const { qos, dup } = await after.delivery(`one ${i}`);
        assert.deepEqual([qos, dup], [1, false]);
      }
      for (let i = 0; i < 20; i++) assert.equal((await after.delivery(`two ${i}`)).qos, 2);
    },
  ),
  both(
    'session.clean',
    ['3.1.2-6 3.2.2-1 3.1.4-3', '3.1.2-4 3.2.2-2 3.1.4-4'],
    MUST,
    'a clean connection discards the existing session, with session present 0',
    async (t) => {
      const topic = t.name();
      const clientId = await t.away(topic, 1);
      const client = await t.connect();
      await client.publish({ topic, payload: 'lost', qos: 1 });
      const clean = await t.connect({ clientId, clean: true });
      assert.equal(clean.connack!.sessionPresent, false);
      await client.publish({ topic, payload: 'unheard', qos: 1 });
      await t.subscribe(clean, topic, 1);
      await client.publish({ topic, payload: 'heard', qos: 1 });
      await clean.delivery('heard');
      await clean.expectSilence();
    },
  ),
  both(
    'session.clean.not-kept',
    ['3.1.2-6 3.2.2-3', '4.1.0-2 3.2.2-3'],
    MUST,
    'a session that was to end with its connection is not there afterwards',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const before = await t.connect({ clientId });
      await t.subscribe(before, topic, 1);
      await before.disconnect();
      const after = await t.resume(clientId);
      assert.equal(after.connack!.sessionPresent, false);
      const client = await t.connect();
      await client.publish({ topic, payload: 'unheard', qos: 1 });
      await t.subscribe(after, topic, 1);
      await client.publish({ topic, payload: 'heard', qos: 1 });
      await after.delivery('heard');
      await after.expectSilence();
    },
  ),
  both(
    'session.client-id',
    ['3.1.3-2', '3.1.3-2'],
    MUST,
    'sessions belong to client identifiers, which differ in every character and case',
    async (t) => {
      const topic = t.name();
      const clientId = await t.away(topic, 1);
      for (const other of [`${clientId}a`, clientId.slice(0, -1), clientId.toUpperCase()]) {
        assert.equal((await t.resume(other)).connack!.sessionPresent, false, other);
      }
      assert.equal((await t.resume(clientId)).connack!.sessionPresent, true);
    },
  ),
  v3(
    'session.while-connected',
    '4.1.0-2',
    MUST,
    'a session of a clean connection lasts as long as the connection',
    async (t) => {
      const topic = t.name();
      const client = await t.subscriber(topic, 1);
      const publisher = await t.connect();
      for (let i = 0; i < 3; i++) {
        await publisher.publish({ topic, payload: `${i}`, qos: 1 });
        await client.delivery(`${i}`);
      }
    },
  ),
  v5(
    'session.expiry.while-connected',
    '4.1.0-1',
    MUST,
    'the session expiry interval does not run while the client is connected',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const client = await t.connect({ clientId, properties: [['sessionExpiryInterval', 1]] });
      await t.subscribe(client, topic, 1);
      await t.pause(2_000);
      await (await t.connect()).publish({ topic, payload: 'there', qos: 1 });
      await client.delivery('there');
    },
    { slow: true },
  ),
  v5(
    'session.expiry.passed',
    '4.1.0-2',
    MUST,
    'a session is gone when its expiry has passed after its connection',
    async (t) => {
      const clientId = t.name();
      const properties = [['sessionExpiryInterval', 1] as const];
      await (await t.connect({ clientId, properties })).disconnect();
      assert.equal((await t.connect({ clientId, clean: false, properties })).connack!.sessionPresent, true);
      await t.connect({ clientId, clean: false, properties }).then((client) => client.disconnect());
      await t.pause(2_500);
      assert.equal((await t.connect({ clientId, clean: false })).connack!.sessionPresent, false);
    },
    { slow: true },
  ),
  v5('session.expiry.never', '3.1.2.11.2:never', MUST, 'with expiry 0xFFFFFFFF a session stays', async (t) => {
    const clientId = t.name();
    const client = await t.connect({ clientId, properties: [['sessionExpiryInterval', 0xffff_ffff]] });
    const said = property(client.connack!.properties, 'sessionExpiryInterval');
    if (said === 0) t.skip('the broker keeps no sessions');
    await client.disconnect();
    assert.equal((await t.resume(clientId)).connack!.sessionPresent, true);
  }),
  v5(
    'session.expiry.renewed',
    '3.1.2.11.2:each',
    MUST,
    'the expiry of a session is that of its last connection',
    async (t) => {
      const clientId = t.name();
      await (await t.resume(clientId)).disconnect();
      // No expiry interval: the session ends with this connection.
      const last = await t.connect({ clientId, clean: false });
      assert.equal(last.connack!.sessionPresent, true);
      await last.disconnect();
      assert.equal((await t.resume(clientId)).connack!.sessionPresent, false);
    },
  ),
  v5(
    'session.expiry.at-goodbye',
    '3.14.2.2.2:changed',
    MUST,
    'DISCONNECT may end a session that was to be kept, or give it another expiry',
    async (t) => {
      const clientId = t.name();
      await (await t.resume(clientId)).disconnect(0, [['sessionExpiryInterval', 100]]);
      assert.equal((await t.resume(clientId)).connack!.sessionPresent, true);
      const client = await t.resume(clientId);
      await client.disconnect(0, [['sessionExpiryInterval', 0]]);
      assert.equal((await t.resume(clientId)).connack!.sessionPresent, false);
    },
  ),
  v5(
    'session.expiry.raised',
    '3.14.2.2.2:from-zero',
    MUST,
    'DISCONNECT with an expiry interval is a protocol error if CONNECT had none, and the session ends',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const watcher = await t.subscriber(topic);
      const client = await t.connect({ clientId, will: { topic, payload: 'no goodbye' } });
      client.raw(encodeReason('DISCONNECT', 0, [['sessionExpiryInterval', 60]]));
      await client.expectClosed([0x82], false);
      // A DISCONNECT with a protocol error does not discard the will.
      await watcher.message('no goodbye');
      assert.equal((await t.connect({ clientId, clean: false })).connack!.sessionPresent, false);
    },
  ),
  both(
    'session.restart',
    ['4.1.0:restart', '4.1.0:restart'],
    EXTENSION,
    'a session, its subscriptions and the messages of QoS 1 and 2 that wait in it are there after a restart',
    async (t) => {
      const topic = t.name();
      const clientId = await t.away(topic, 2);
      const publisher = await t.connect();
      await publisher.publish({ topic, payload: 'one', qos: 1 });
      await publisher.publish({ topic, payload: 'two', qos: 2 });
      await t.context.controls.restart!();
      const after = await t.resume(clientId);
      assert.equal(after.connack!.sessionPresent, true);
      await after.delivery('one');
      await after.delivery('two');
      await (await t.connect()).publish({ topic, payload: 'new', qos: 1 });
      await after.delivery('new');
    },
    { needs: 'restart' },
  ),
  both(
    'session.restart.dup',
    ['3.3.1-3', '3.3.1-3'],
    MUST,
    'a message that was never sent before has no DUP after an orderly restart',
    async (t) => {
      const topic = t.name();
      const clientId = await t.away(topic, 1);
      await (await t.connect()).publish({ topic, payload: 'waited', qos: 1 });
      await t.context.controls.restart!();
      assert.equal((await (await t.resume(clientId)).delivery('waited')).dup, false);
    },
    { needs: 'restart' },
  ),
];
