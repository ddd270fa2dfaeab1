// Checks of MQTT 5.0 subscription options: no local, retain handling, subscription identifiers, user properties.

import assert from 'node:assert/strict';
import type { MqttCheck } from '../mqtt-check.ts';
import { MUST, v5 } from '../mqtt-check.ts';
import { VARIABLE_MAX } from '../wire/bytes.ts';
import { values } from '../wire/properties.ts';

export const OPTION_CHECKS: readonly (readonly MqttCheck[])[] = [
  v5(
    'subscribe.no-local',
    '3.8.3-3',
    MUST,
    'with no local a client does not get its own messages, and gets those of others',
    async (t) => {
      const topic = t.name();
      const client = await t.subscriber(topic, 1, { noLocal: true });
      const other = await t.subscriber(topic, 1);
      await client.publish({ topic, payload: 'own', qos: 1 });
      await other.delivery('own');
      await other.publish({ topic, payload: 'other', qos: 1 });
      await client.delivery('other');
      await client.expectSilence();
    },
  ),
  v5(
    'subscribe.no-local.client-id',
    '3.8.3-3',
    MUST,
    "no local compares client identifiers: it covers messages of the client's earlier connections",
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const before = await t.resume(clientId);
      await t.subscribe(before, topic, 1, { noLocal: true });
      const after = await t.resume(clientId);
      await after.publish({ topic, payload: 'own', qos: 1 });
      await (await t.connect()).publish({ topic, payload: 'other', qos: 1 });
      await after.delivery('other');
      await after.expectSilence();
    },
  ),
  v5(
    'subscribe.retain-handling-3',
    '3.8.3.1:retain-handling',
    MUST,
    'retain handling 3 is a protocol error',
    async (t) => {
      const client = await t.alive();
      client.sendSubscribe([{ filter: t.name(), options: 0x30 }]);
      await client.expectClosed([0x81, 0x82]);
    },
  ),
  v5(
    'subscribe.identifier',
    '3.3.4-3 3.3.4-4',
    MUST,
    'a message has the identifier of its subscription, and none if the subscription has none',
    async (t) => {
      const root = t.name();
      const client = await t.connect();
      t.requires(client, 'subscriptionIdentifierAvailable');
      for (const id of [1, 127, 128, 16_384, VARIABLE_MAX]) {
        await t.subscribe(client, `${root}/${id}`, 0, {}, [['subscriptionIdentifier', id]]);
      }
      await t.subscribe(client, `${root}/none`);
      const publisher = await t.connect();
      for (const id of [1, 127, 128, 16_384, VARIABLE_MAX]) {
        await publisher.publish({ topic: `${root}/${id}`, payload: 'x' });
        assert.deepEqual(values((await client.message()).properties, 'subscriptionIdentifier'), [id]);
      }
      await publisher.publish({ topic: `${root}/none`, payload: 'x' });
      assert.deepEqual(values((await client.message()).properties, 'subscriptionIdentifier'), []);
    },
  ),
  v5(
    'subscribe.identifier.overlapping',
    '3.3.4-3 3.3.4-4 3.3.4-5',
    MUST,
    'with overlapping subscriptions one copy has all their identifiers, or each copy its own',
    async (t) => {
      const root = t.name();
      const client = await t.connect();
      t.requires(client, 'subscriptionIdentifierAvailable');
      await t.subscribe(client, `${root}/a`, 1, {}, [['subscriptionIdentifier', 10]]);
      await t.subscribe(client, `${root}/+`, 1, {}, [['subscriptionIdentifier', 20]]);
      await t.subscribe(client, `${root}/#`, 1);
      await (await t.connect()).publish({ topic: `${root}/a`, payload: 'x', qos: 1 });
      const copies = [await client.delivery('x')];
      await client.ping();
      while (client.waitingMessages > 0) copies.push(await client.delivery('x'));
      const ids = copies.map(({ properties }) => values(properties, 'subscriptionIdentifier'));
      if (copies.length === 1) assert.deepEqual([...ids[0]!].sort(), [10, 20]);
      else assert.deepEqual(ids.map(String).sort(), ['', '10', '20']);
    },
  ),
  v5(
    'subscribe.identifier.replaced',
    '3.8.4-3',
    MUST,
    'a subscription that is made again has the new identifier, or none',
    async (t) => {
      const topic = t.name();
      const client = await t.connect();
      t.requires(client, 'subscriptionIdentifierAvailable');
      const publisher = await t.connect();
      for (const wanted of [[1], [2], []]) {
        await t.subscribe(
          client,
          topic,
          0,
          {},
          wanted.map((id) => ['subscriptionIdentifier', id] as const),
        );
        await publisher.publish({ topic, payload: 'x' });
        assert.deepEqual(values((await client.message('x')).properties, 'subscriptionIdentifier'), wanted);
      }
    },
  ),
  v5(
    'subscribe.identifier.session',
    '3.3.4-3 3.1.2-5',
    MUST,
    'a subscription identifier is part of the session',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const before = await t.resume(clientId);
      t.requires(before, 'subscriptionIdentifierAvailable');
      await t.subscribe(before, topic, 1, {}, [['subscriptionIdentifier', 5]]);
      await before.disconnect();
      await (await t.connect()).publish({ topic, payload: 'x', qos: 1 });
      const after = await t.resume(clientId);
      assert.deepEqual(values((await after.delivery('x')).properties, 'subscriptionIdentifier'), [5]);
    },
  ),
  v5(
    'subscribe.identifier.value-zero',
    '3.8.2.1.2:zero',
    MUST,
    'subscription identifier 0 is a protocol error',
    async (t) => {
      const client = await t.alive();
      client.sendSubscribe([{ filter: t.name() }], [['subscriptionIdentifier', 0]]);
      await client.expectClosed([0x81, 0x82]);
    },
  ),
  v5(
    'subscribe.user-properties',
    '3.8.2.1.3:any 3.10.2.1.2:any',
    MUST,
    'SUBSCRIBE and UNSUBSCRIBE may have user properties, also twice the same',
    async (t) => {
      const client = await t.connect();
      const properties = [['userProperty', ['a', 'b']] as const, ['userProperty', ['a', 'b']] as const];
      const topic = t.name();
      assert.deepEqual((await client.subscribe([{ filter: topic }], properties)).reasons, [0]);
      assert.deepEqual((await client.unsubscribe([topic], properties)).reasons, [0]);
    },
  ),
];
