// Shared subscriptions of MQTT 5.0 (§4.8.2): a message goes to one of those who share a filter.

import assert from 'node:assert/strict';
import type { MqttCheck, MqttTest } from '../mqtt-check.ts';
import { MUST, v5 } from '../mqtt-check.ts';
import type { MqttConnection } from '../wire/connection.ts';

const MESSAGES = 30;

/** Filters that begin like a shared subscription and are none. */
const BAD: readonly (readonly [string, string, string])[] = [
  ['no-name', '$share//a', '4.8.2-1'],
  ['no-filter', '$share/group', '4.8.2-2'],
  ['empty-filter', '$share/group/', '4.8.2-2 4.7.3-1'],
  ['plus-in-name', '$share/gr+oup/a', '4.8.2-2'],
  ['hash-in-name', '$share/#/a', '4.8.2-2'],
];

async function first(t: MqttTest): Promise<MqttConnection> {
  const client = await t.connect();
  t.requires(client, 'sharedSubscriptionAvailable');
  return client;
}

/** What each of them has got when all of it has come. */
async function shares(clients: readonly MqttConnection[], total: number): Promise<string[][]> {
  const got: string[][] = clients.map(() => []);
  const take = async (client: MqttConnection, into: string[]): Promise<void> => {
    while (client.waitingMessages > 0) into.push((await client.delivery()).payload.toString());
  };
  // A PINGRESP comes behind what has been sent, or the rest comes with the next one.
  while (got.flat().length < total) {
    for (const [at, client] of clients.entries()) {
      await client.ping();
      await take(client, got[at]!);
    }
  }
  for (const client of clients) await client.expectSilence();
  return got;
}

export const SHARED_CHECKS: readonly (readonly MqttCheck[])[] = [
  v5(
    'shared.once',
    '4.8.2:one-of-group',
    MUST,
    'each message goes to one of those who share the subscription, and all of them get some',
    async (t) => {
      const topic = t.name();
      const clients = [await first(t), await t.connect(), await t.connect()];
      for (const client of clients) await t.subscribe(client, `$share/group/${topic}`, 1);
      const publisher = await t.connect();
      for (let i = 0; i < MESSAGES; i++) await publisher.publish({ topic, payload: `${i}`, qos: 1 });
      const got = await shares(clients, MESSAGES);
      assert.equal(got.flat().length, MESSAGES, 'each message once');
      assert.equal(new Set(got.flat()).size, MESSAGES, 'every message');
      assert.ok(
        got.every((some) => some.length > 0),
        `shares of ${got.map(({ length }) => length)}`,
      );
    },
  ),
  v5(
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
  v5(
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
  v5(
    'shared.leaves',
    '4.8.2:leaves 3.10.4-1',
    MUST,
    'who unsubscribes gets no more of them, and the others get all',
    async (t) => {
      const topic = t.name();
      const filter = `$share/group/${topic}`;
      const [leaving, staying] = [await first(t), await t.connect()];
      await t.subscribe(leaving, filter, 1);
      await t.subscribe(staying, filter, 1);
      assert.deepEqual((await leaving.unsubscribe([topic])).reasons, [0x11]);
      assert.deepEqual((await leaving.unsubscribe([filter])).reasons, [0]);
      const publisher = await t.connect();
      for (let i = 0; i < 6; i++) await publisher.publish({ topic, payload: `${i}`, qos: 1 });
      for (let i = 0; i < 6; i++) await staying.delivery(`${i}`);
      await leaving.expectSilence();
    },
  ),
  v5('shared.qos', '4.8.2-3', MUST, 'each of those who share gets messages at its own QoS', async (t) => {
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
    'shared.qos2.reconnected',
    '4.8.2-4',
    MUST,
    'a message of QoS 2 whose delivery was broken off is completed when that client comes back, and goes to no other',
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
    'a message of QoS 2 whose delivery has begun goes to no other when that session ends',
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
    client.sendSubscribe([{ filter: `$share/group/${t.name()}`, noLocal: true }]);
    await client.expectClosed([0x82]);
  }),
  ...BAD.map(([id, filter, statements]) =>
    v5(`shared.bad.${id}`, statements, MUST, `'${filter}' is no shared subscription: it is refused`, async (t) => {
      const client = await first(t);
      client.sendSubscribe([{ filter }]);
      await client.until(() => client.ends || client.hasAnswer, 'SUBACK or the end');
      if (!client.hasAnswer) return;
      const { type, reasons } = await client.receive();
      const codes = type === 'SUBACK' ? [0x80, 0x8f, 0x9e] : [0x81, 0x82, 0x8f];
      assert.ok(codes.includes(reasons[0]!), `${type} says ${reasons[0]}`);
    }),
  ),
];
