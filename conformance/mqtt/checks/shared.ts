// Checks of MQTT 5.0 shared subscriptions (§4.8.2): each message goes to one member of the group. Brokers may offer
// them to 3.1.1 clients as an extension; a broker that does not is skipped there.

import assert from 'node:assert/strict';
import type { Level } from '../../check.ts';
import type { MqttCheck, MqttTest, Run } from '../mqtt-check.ts';
import { EXTENSION, MUST, SHOULD, v3, v5 } from '../mqtt-check.ts';
import type { MqttConnection } from '../wire/connection.ts';
import { values } from '../wire/properties.ts';

const MESSAGES = 30;

/** Filters that start with $share but are not valid shared subscriptions. */
const BAD: readonly (readonly [string, string, string])[] = [
  ['no-name', '$share//a', '4.8.2-1'],
  ['no-filter', '$share/group', '4.8.2-2'],
  ['empty-filter', '$share/group/', '4.8.2-2 4.7.3-1'],
  ['plus-in-name', '$share/gr+oup/a', '4.8.2-2'],
  ['hash-in-name', '$share/#/a', '4.8.2-2'],
];

/** Connects the first member; skips if the broker does not offer shared subscriptions. */
async function first(t: MqttTest): Promise<MqttConnection> {
  const client = await t.connect();
  if (t.v5) t.requires(client, 'sharedSubscriptionAvailable');
  else await shares311(t);
  return client;
}

/**
 * Skips if the broker treats $share/… as an ordinary filter, as 3.1.1 defines it: no client publishes to such topics.
 */
async function shares311(t: MqttTest): Promise<void> {
  const topic = t.name();
  const probe = await t.connect();
  await t.subscribe(probe, `$share/probe/${topic}`, 1);
  const plain = await t.subscriber(topic, 1);
  await (await t.connect()).publish({ topic, payload: 'probe', qos: 1 });
  await plain.delivery('probe');
  await probe.ping();
  if (probe.waitingMessages === 0) t.skip('the broker does not share subscriptions in 3.1.1');
}

/** Waits for `total` messages and returns the payloads that each client got. */
async function shares(clients: readonly MqttConnection[], total: number): Promise<string[][]> {
  const got: string[][] = clients.map(() => []);
  const take = async (client: MqttConnection, into: string[]): Promise<void> => {
    while (client.waitingMessages > 0) into.push((await client.delivery()).payload.toString());
  };
  // PINGRESP follows the messages that were sent before it. What is missing follows a later PINGRESP.
  while (got.flat().length < total) {
    for (const [at, client] of clients.entries()) {
      await client.ping();
      await take(client, got[at]!);
    }
  }
  for (const client of clients) await client.expectSilence();
  return got;
}

/** A check of 5.0, and of 3.1.1 if the broker offers shared subscriptions there. */
function shared(id: string, statements: string, binds: Level, title: string, run: Run): readonly MqttCheck[] {
  return [...v3(id, '3.8.4:shared', EXTENSION, title, run), ...v5(id, statements, binds, title, run)];
}

/** Publishes messages to a group of these clients and returns the payloads that each client got. */
async function spread(t: MqttTest, clients: readonly MqttConnection[]): Promise<string[][]> {
  const topic = t.name();
  for (const client of clients) await t.subscribe(client, `$share/group/${topic}`, 1);
  const publisher = await t.connect();
  for (let i = 0; i < MESSAGES; i++) await publisher.publish({ topic, payload: `${i}`, qos: 1 });
  return shares(clients, MESSAGES);
}

export const SHARED_CHECKS: readonly (readonly MqttCheck[])[] = [
  shared('shared.once', '4.8.2:one-of-group', MUST, 'each message goes to one member of the group', async (t) => {
    const got = await spread(t, [await first(t), await t.connect(), await t.connect()]);
    assert.equal(got.flat().length, MESSAGES, 'each message once');
    assert.equal(new Set(got.flat()).size, MESSAGES, 'every message');
  }),
  shared('shared.spread', '4.8.2:spread', EXTENSION, 'every member of the group gets some messages', async (t) => {
    const got = await spread(t, [await first(t), await t.connect(), await t.connect()]);
    assert.ok(
      got.every((some) => some.length > 0),
      `shares of ${got.map(({ length }) => length)}`,
    );
  }),
  shared(
    'shared.groups',
    '4.8.2:each-group',
    MUST,
    'each group and each subscription that is not shared gets every message',
    async (t) => {
      const topic = t.name();
      const [a, b, plain] = [await first(t), await t.connect(), await t.connect()];
      await t.subscribe(a, `$share/one/${topic}`, 1);
      await t.subscribe(b, `$share/two/${topic}`, 1);
      await t.subscribe(plain, topic, 1);
      const publisher = await t.connect();
      for (let i = 0; i < 5; i++) await publisher.publish({ topic, payload: `${i}`, qos: 1 });
      for (const client of [a, b, plain]) for (let i = 0; i < 5; i++) await client.delivery(`${i}`);
    },
  ),
  shared(
    'shared.wildcards',
    '4.8.2-1 4.8.2-2',
    MUST,
    'the filter of a shared subscription may have wildcards, and the topic comes as it is',
    async (t) => {
      const root = t.name();
      const client = await first(t);
      await t.subscribe(client, `$share/group/${root}/+/c`, 0);
      const publisher = await t.connect();
      await publisher.publish({ topic: `${root}/b`, payload: 'no' });
      await publisher.publish({ topic: `${root}/b/c`, payload: 'yes' });
      assert.equal((await client.message('yes')).topic, `${root}/b/c`);
    },
  ),
  shared(
    'shared.leaves',
    '4.8.2:leaves 3.10.4-1',
    MUST,
    'after UNSUBSCRIBE a member gets no further messages, and the others get all',
    async (t) => {
      const topic = t.name();
      const filter = `$share/group/${topic}`;
      const [leaving, staying] = [await first(t), await t.connect()];
      await t.subscribe(leaving, filter, 1);
      await t.subscribe(staying, filter, 1);
      const none = await leaving.unsubscribe([topic]);
      if (t.v5) assert.deepEqual(none.reasons, [0x11]);
      const left = await leaving.unsubscribe([filter]);
      if (t.v5) assert.deepEqual(left.reasons, [0]);
      const publisher = await t.connect();
      for (let i = 0; i < 6; i++) await publisher.publish({ topic, payload: `${i}`, qos: 1 });
      for (let i = 0; i < 6; i++) await staying.delivery(`${i}`);
      await leaving.expectSilence();
    },
  ),
  shared('shared.qos', '4.8.2-3', MUST, 'each member gets messages at the QoS of its own subscription', async (t) => {
    const topic = t.name();
    const clients = [await first(t), await t.connect()];
    await t.subscribe(clients[0]!, `$share/group/${topic}`, 0);
    await t.subscribe(clients[1]!, `$share/group/${topic}`, 1);
    const publisher = await t.connect();
    for (let i = 0; i < 10; i++) await publisher.publish({ topic, payload: `${i}`, qos: 2 });
    let got = 0;
    while (got < 10) {
      for (const [qos, client] of clients.entries()) {
        await client.ping();
        for (; client.waitingMessages > 0; got++) assert.equal((await client.delivery()).qos, qos);
      }
    }
  }),
  v5(
    'shared.identifier',
    '3.3.4-3 4.8.2:each-group',
    MUST,
    'a shared subscription has its identifier, also beside another that overlaps with it',
    async (t) => {
      const topic = t.name();
      const client = await first(t);
      t.requires(client, 'subscriptionIdentifierAvailable');
      await t.subscribe(client, `$share/group/${topic}`, 1, {}, [['subscriptionIdentifier', 10]]);
      const publisher = await t.connect();
      await publisher.publish({ topic, payload: 'alone', qos: 1 });
      assert.deepEqual(values((await client.delivery('alone')).properties, 'subscriptionIdentifier'), [10]);
      await t.subscribe(client, topic, 1, {}, [['subscriptionIdentifier', 20]]);
      await publisher.publish({ topic, payload: 'both', qos: 1 });
      const ids = values((await client.delivery('both')).properties, 'subscriptionIdentifier');
      // The broker may send one copy with both identifiers, or one copy for each subscription.
      if (ids.length < 2) ids.push(...values((await client.delivery('both')).properties, 'subscriptionIdentifier'));
      assert.deepEqual([...ids].sort(), [10, 20]);
      await client.expectSilence();
    },
  ),
  v5(
    'shared.too-large',
    '4.8.2:too-large 3.1.2-24 3.1.2-25',
    MUST,
    'a message too large for one member is discarded or goes to another, and does not block the others',
    async (t) => {
      const topic = t.name();
      const small = await t.connect({
        properties: [
          ['maximumPacketSize', 200],
          ['receiveMaximum', 1],
        ],
      });
      t.requires(small, 'sharedSubscriptionAvailable');
      const large = await t.connect();
      for (const client of [small, large]) await t.subscribe(client, `$share/group/${topic}`, 1);
      const publisher = await t.connect();
      const payloads = Array.from({ length: 6 }, (_, i) => `small ${i}`);
      for (const payload of payloads) {
        await publisher.publish({ topic, payload: 'large'.padEnd(300, '.'), qos: 1 });
        await publisher.publish({ topic, payload, qos: 1 });
      }
      const got: string[] = [];
      while (!payloads.every((payload) => got.includes(payload))) {
        for (const client of [small, large]) {
          await client.ping();
          while (client.waitingMessages > 0) got.push((await client.delivery()).payload.toString());
        }
      }
      assert.equal(got.filter((payload) => payload.startsWith('small')).length, payloads.length);
    },
  ),
  v5(
    'shared.qos1.session-ends',
    '4.8.2:goes-on',
    SHOULD,
    'a message of QoS 1 that was not acknowledged goes to another when the session ends that it was sent to',
    async (t) => {
      const topic = t.name();
      const client = await first(t);
      await t.subscribe(client, `$share/group/${topic}`, 1);
      await (await t.connect()).publish({ topic, payload: 'open', qos: 1 });
      await client.message('open');
      const other = await t.connect();
      await t.subscribe(other, `$share/group/${topic}`, 1);
      client.cut();
      await other.delivery('open');
    },
  ),
  v5(
    'shared.qos2.reconnected',
    '4.8.2-4',
    MUST,
    'an interrupted QoS 2 delivery is completed when its client reconnects, and goes to no other member',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      await first(t);
      const before = await t.resume(clientId);
      await t.subscribe(before, `$share/group/${topic}`, 2);
      const publisher = await t.connect();
      await publisher.publish({ topic, payload: 'started', qos: 2 });
      const { packetId } = await before.message('started');
      before.ack('PUBREC', packetId);
      await before.expectAck('PUBREL', packetId);
      before.cut();
      const other = await t.connect();
      await t.subscribe(other, `$share/group/${topic}`, 2);
      const after = await t.resume(clientId);
      await after.expectAck('PUBREL', packetId);
      after.ack('PUBCOMP', packetId);
      await after.expectSilence();
      await other.expectSilence();
    },
  ),
  v5(
    'shared.qos2.session-ends',
    '4.8.2-5',
    MUST,
    'a QoS 2 message whose delivery has begun goes to no other member when the session ends',
    async (t) => {
      const topic = t.name();
      const client = await first(t);
      await t.subscribe(client, `$share/group/${topic}`, 2);
      const publisher = await t.connect();
      await publisher.publish({ topic, payload: 'started', qos: 2 });
      client.ack('PUBREC', (await client.message('started')).packetId);
      await client.receive();
      const other = await t.connect();
      await t.subscribe(other, `$share/group/${topic}`, 2);
      await client.disconnect();
      await publisher.publish({ topic, payload: 'next', qos: 2 });
      await other.delivery('next');
      await other.expectSilence();
    },
  ),
  v5('shared.refused', '4.8.2-6', MUST, 'a message that one of them refuses goes to no other', async (t) => {
    const topic = t.name();
    for (const [type, qos] of [
      ['PUBACK', 1],
      ['PUBREC', 2],
    ] as const) {
      const client = await first(t);
      const filter = `$share/${type}/${topic}`;
      await t.subscribe(client, filter, qos);
      const publisher = await t.connect();
      await publisher.publish({ topic, payload: 'refused', qos });
      const { packetId } = await client.message('refused');
      const other = await t.connect();
      await t.subscribe(other, filter, qos);
      client.ack(type, packetId, 0x80);
      await client.unsubscribe([filter]);
      await publisher.publish({ topic, payload: 'next', qos });
      await other.delivery('next');
      await other.expectSilence();
      other.cut();
    }
  }),
  v5('shared.no-local', '3.8.3-4', MUST, 'no local on a shared subscription is a protocol error', async (t) => {
    const client = await first(t);
    await client.ping();
    client.sendSubscribe([{ filter: `$share/group/${t.name()}`, noLocal: true }]);
    await client.expectClosed([0x82]);
  }),
  ...BAD.map(([id, filter, statements]) =>
    v5(`shared.bad.${id}`, statements, MUST, `'${filter}' is no shared subscription: it is refused`, async (t) => {
      const client = await first(t);
      await client.ping();
      client.sendSubscribe([{ filter }]);
      await client.until(() => client.ends || client.hasAnswer, 'SUBACK or the end');
      if (!client.hasAnswer) return;
      const { type, reasons } = await client.receive();
      const codes = type === 'SUBACK' ? [0x80, 0x8f, 0x9e] : [0x81, 0x82, 0x8f];
      assert.ok(codes.includes(reasons[0]!), `${type} says ${reasons[0]}`);
    }),
  ),
];
