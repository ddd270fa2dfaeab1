// Checks of messages at QoS 0, 1 and 2: acknowledgements, packet identifiers, DUP, order, topics, payloads.

import assert from 'node:assert/strict';
import type { MqttCheck } from '../mqtt-check.ts';
import { both, MUST, v3, v5 } from '../mqtt-check.ts';
import type { MqttConnection } from '../wire/connection.ts';
import type { Qos } from '../wire/packets.ts';
import { property } from '../wire/properties.ts';

const QUALITIES: readonly Qos[] = [0, 1, 2];
/** Messages in a check of order, and how many of them are in flight at once. */
const MANY = 200;
const UNDER_WAY = 50;

/** Publishes `MANY` messages, many of them in flight at once. */
async function publishMany(client: MqttConnection, topic: string, qos: Qos): Promise<void> {
  const window = Math.min(property(client.connack!.properties, 'receiveMaximum') ?? MANY, UNDER_WAY);
  let [sent, done] = [0, 0];
  while (done < MANY) {
    while (sent < MANY && sent - done < window) {
      client.sendPublish({ topic, payload: `${sent++}`, qos });
      if (qos === 0) done++;
    }
    if (qos === 0) continue;
    const { type, packetId } = await client.receive();
    if (type === 'PUBREC') client.ack('PUBREL', packetId);
    else if (type === (qos === 1 ? 'PUBACK' : 'PUBCOMP')) done++;
    else throw new Error(`expected an acknowledgement, got ${type}`);
  }
}

export const PUBLISH_CHECKS: readonly (readonly MqttCheck[])[] = [
  both(
    'publish.qos0',
    ['3.3.4-1 4.3.1-1 3.3.1-2 2.3.1-5', '3.3.4-1 4.3.1-1 3.3.1-2 2.2.1-2'],
    MUST,
    'a message of QoS 0 arrives at QoS 0 without DUP and identifier, and nothing answers it',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const client = await t.connect();
      client.sendPublish({ topic, payload: 'zero' });
      const message = await watcher.message('zero');
      assert.deepEqual([message.topic, message.qos, message.dup, message.retain], [topic, 0, false, false]);
      await client.expectSilence();
    },
  ),
  both(
    'publish.qos1',
    ['3.3.4-1 4.3.2-1 4.3.2-2 2.3.1-6', '3.3.4-1 4.3.2-1 4.3.2-2 4.3.2-4 2.2.1-5 3.4.2-1'],
    MUST,
    'a message of QoS 1 is answered with PUBACK and its identifier, and arrives at QoS 1 without DUP',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic, 1);
      const client = await t.connect();
      client.sendPublish({ topic, payload: 'one', qos: 1, packetId: 4711 });
      assert.deepEqual((await client.expectAck('PUBACK', 4711)).reasons, [0]);
      const message = await watcher.delivery('one');
      assert.deepEqual([message.qos, message.dup, message.retain], [1, false, false]);
      await watcher.expectSilence();
    },
  ),
  both(
    'publish.qos2',
    ['3.3.4-1 4.3.3-2 2.3.1-6', '3.3.4-1 4.3.3-8 4.3.3-11 2.2.1-5 3.5.2-1 3.7.2-1'],
    MUST,
    'a message of QoS 2 is answered with PUBREC, its PUBREL with PUBCOMP, all with its identifier',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const client = await t.connect();
      client.sendPublish({ topic, payload: 'two', qos: 2, packetId: 65_535 });
      await client.expectAck('PUBREC', 65_535);
      client.ack('PUBREL', 65_535);
      assert.deepEqual((await client.expectAck('PUBCOMP', 65_535)).reasons, [0]);
      await client.expectSilence();
      await watcher.message('two');
      await watcher.expectSilence();
    },
  ),
  both(
    'publish.qos2.out',
    ['4.3.3-1 2.3.1-4 2.3.1-6', '4.3.3-1 4.3.3-2 4.3.3-4 2.2.1-5 3.6.2-1'],
    MUST,
    'a message goes out at QoS 2 without DUP, PUBREC is answered with PUBREL and the same identifier',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic, 2);
      await (await t.connect()).publish({ topic, payload: 'two', qos: 2 });
      const message = await watcher.message('two');
      assert.deepEqual([message.qos, message.dup], [2, false]);
      await watcher.expectSilence();
      watcher.ack('PUBREC', message.packetId);
      await watcher.expectAck('PUBREL', message.packetId);
      watcher.ack('PUBCOMP', message.packetId);
      await watcher.expectSilence();
    },
  ),
  both(
    'publish.identifiers',
    ['2.3.1-4 4.3.2-1 4.3.3-1', '2.2.1-4 4.3.2-1 4.3.3-1'],
    MUST,
    'messages that are not acknowledged yet have identifiers of their own',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic, 2);
      const client = await t.connect();
      for (let i = 0; i < 5; i++) {
        await client.publish({ topic, payload: `one ${i}`, qos: 1 });
        await client.publish({ topic, payload: `two ${i}`, qos: 2 });
      }
      const ids = new Set<number>();
      for (let i = 0; i < 10; i++) ids.add((await watcher.message()).packetId);
      assert.equal(ids.size, 10);
    },
  ),
  both(
    'publish.qos1.again',
    ['4.3.2-2', '4.3.2-5'],
    MUST,
    'after PUBACK the same identifier is another message, with DUP or without',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic, 1);
      const client = await t.connect();
      for (const dup of [false, true, false]) {
        client.sendPublish({ topic, payload: `dup ${dup}`, qos: 1, packetId: 7, dup });
        await client.expectAck('PUBACK', 7);
        await watcher.delivery(`dup ${dup}`);
      }
    },
  ),
  both(
    'publish.dup.independent',
    ['3.3.1-3', '3.3.1-3'],
    MUST,
    'DUP of a received message does not determine DUP of the delivery',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic, 1);
      const client = await t.connect();
      await client.publish({ topic, payload: 'dup', qos: 1, dup: true });
      assert.equal((await watcher.delivery('dup')).dup, false);
    },
  ),
  both(
    'publish.minimum-qos',
    ['3.8.4-6 3.3.1-2', '3.8.4-8 3.3.1-2'],
    MUST,
    "a message is delivered at the lower of the publisher's and the subscriber's QoS",
    async (t) => {
      const client = await t.connect();
      for (const subscribed of QUALITIES) {
        const topic = t.name();
        const watcher = await t.subscriber(topic, subscribed);
        for (const published of QUALITIES) {
          await client.publish({ topic, payload: `${published}`, qos: published });
          const { qos } = await watcher.delivery(`${published}`);
          assert.equal(qos, Math.min(published, subscribed), `published at ${published}, subscribed at ${subscribed}`);
        }
      }
    },
  ),
  ...QUALITIES.map((qos) =>
    both(
      `publish.order.qos${qos}`,
      ['4.6.0-5 4.6.0-6', '4.6.0-5 4.6.0-6'],
      MUST,
      `messages of QoS ${qos} arrive in the order in which they were published`,
      async (t) => {
        const topic = t.name();
        const watcher = await t.subscriber(topic, qos);
        const client = await t.connect();
        const receive = async (): Promise<void> => {
          for (let i = 0; i < MANY; i++) await watcher.delivery(`${i}`);
        };
        await Promise.all([publishMany(client, topic, qos), receive()]);
      },
    ),
  ),
  both(
    'publish.topic.matches',
    ['3.3.2-3', '3.3.2-3'],
    MUST,
    'a message is delivered with its topic, and only if the filter matches',
    async (t) => {
      const root = t.name();
      const watcher = await t.subscriber(`${root}/+/temperature`);
      const client = await t.connect();
      for (const topic of ['a/humidity', 'b/temperature', 'temperature', 'c/d/temperature', 'e/temperature']) {
        await client.publish({ topic: `${root}/${topic}`, payload: topic });
      }
      for (const topic of ['b/temperature', 'e/temperature']) {
        assert.equal((await watcher.message(topic)).topic, `${root}/${topic}`);
      }
      await watcher.expectSilence();
    },
  ),
  both(
    'publish.payload',
    ['3.3.3:any', '3.3.3:any'],
    MUST,
    'a payload may be empty or any bytes, also 256 KiB of them, and arrives as it is',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic, 1);
      const client = await t.connect();
      const large = Buffer.from(Array.from({ length: 262_144 }, (_, i) => (i * 7919) & 0xff));
      for (const payload of [Buffer.alloc(0), Buffer.from([0, 0xff, 0xc3, 0x28, 0]), large]) {
        await client.publish({ topic, payload, qos: 1 });
        assert.ok((await watcher.delivery()).payload.equals(payload), `a payload of ${payload.length} bytes`);
      }
    },
  ),
  both(
    'publish.topic.bom',
    ['1.5.3-3', '1.5.4-3'],
    MUST,
    'U+FEFF in a topic is a character like any other',
    async (t) => {
      const topic = `\ufeff${t.name()}/\ufeff`;
      const watcher = await t.subscriber(topic);
      const client = await t.connect();
      await client.publish({ topic: topic.replaceAll('\ufeff', ''), payload: 'without' });
      await client.publish({ topic, payload: 'with' });
      assert.equal((await watcher.message('with')).topic, topic);
    },
  ),
  both(
    'publish.topic.unchanged',
    ['4.7.3-4', '4.7.3-4'],
    MUST,
    'topics are compared and delivered character by character: case, spaces, empty levels and composed letters differ',
    async (t) => {
      const root = t.name();
      const topics = ['a', 'A', 'a ', '/a', 'a/', 'a//b', 'a/b', 'a.b', 'a*b', 'é', 'e\u0301', 'ｆ', '\ue000', '🚀'];
      const client = await t.connect();
      for (const [at, topic] of topics.entries()) {
        const watcher = await t.subscriber(`${root}/${topic}`);
        for (const other of topics) await client.publish({ topic: `${root}/${other}`, payload: other });
        assert.equal((await watcher.message(topics[at]!)).topic, `${root}/${topic}`);
        await watcher.expectSilence();
        watcher.cut();
      }
    },
  ),
  both('publish.topic.long', ['4.7.3-3', '4.7.3-3'], MUST, 'a topic of 2,000 bytes arrives whole', async (t) => {
    const root = t.name();
    const topic = `${root}/${'größe'.repeat(300)}`;
    const watcher = await t.subscriber(`${root}/#`);
    await (await t.connect()).publish({ topic, payload: 'long' });
    assert.equal((await watcher.message('long')).topic, topic);
  }),
  v3(
    'publish.not-authorised',
    '3.3.5-2',
    MUST,
    'a message without permission is acknowledged as usual or ends the connection, and reaches no subscriber',
    async (t) => {
      const [topic, user] = [t.name(), t.name()];
      await t.context.controls.createUser!(user, 'secret', ['.*', '', '.*']);
      const watcher = await t.subscriber(topic);
      const client = await t.connect({ user, password: 'secret' });
      client.sendPublish({ topic, payload: 'forbidden', qos: 1, packetId: 3 });
      await client.until(() => client.ends || client.hasAnswer, 'PUBACK or the end');
      if (client.hasAnswer) await client.expectAck('PUBACK', 3);
      await (await t.connect()).publish({ topic, payload: 'allowed' });
      await watcher.message('allowed');
    },
    { needs: 'createUser' },
  ),
  v5(
    'publish.not-authorised',
    '3.4.2-1 3.5.2-1 4.3.3-9',
    MUST,
    'a message that the user may not publish is answered with 0x87, or ends the connection, and is no message',
    async (t) => {
      const [topic, user] = [t.name(), t.name()];
      await t.context.controls.createUser!(user, 'secret', ['.*', '', '.*']);
      const watcher = await t.subscriber(topic);
      for (const qos of [1, 2] as const) {
        const client = await t.connect({ user, password: 'secret' });
        // The second PUBLISH is a new message, because the first was refused.
        for (let i = 0; i < 2; i++) {
          client.sendPublish({ topic, payload: 'forbidden', qos, packetId: 3 });
          const { type, reasons } = await client.receive();
          assert.equal(reasons[0], 0x87, `the reason of ${type}`);
          if (type === 'DISCONNECT') break;
          assert.equal(type, qos === 1 ? 'PUBACK' : 'PUBREC');
        }
      }
      await (await t.connect()).publish({ topic, payload: 'allowed' });
      await watcher.message('allowed');
    },
    { needs: 'createUser' },
  ),
  v5(
    'publish.no-subscriber',
    '3.4.2-1 3.5.2-1',
    MUST,
    'a message without a subscriber is answered with success, or with 0x10 (no matching subscribers)',
    async (t) => {
      const client = await t.connect();
      for (const qos of [1, 2] as const) {
        const answer = await client.publish({ topic: t.name(), payload: 'nobody', qos });
        assert.ok([0x00, 0x10].includes(answer!.reasons[0]!), `${answer!.type} says ${answer!.reasons[0]}`);
      }
    },
  ),
  v5(
    'publish.acks.long',
    '3.4.2.1:long-form 3.5.2.1:long-form 3.6.2.1:long-form 3.7.2.1:long-form',
    MUST,
    'PUBACK, PUBREC, PUBREL and PUBCOMP may say their reason and properties, or leave them out',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic, 2);
      const client = await t.connect();
      for (const tail of [
        [],
        [0x00],
        [0x00, []],
        [
          0x00,
          [
            ['reasonString', 'fine'],
            ['userProperty', ['a', 'b']],
          ],
        ],
      ] as const) {
        const [reason, properties] = tail;
        client.sendPublish({ topic, payload: 'two', qos: 2, packetId: 1 });
        await client.expectAck('PUBREC', 1);
        client.ack('PUBREL', 1, reason, properties);
        await client.expectAck('PUBCOMP', 1);
        const { packetId } = await watcher.message('two');
        watcher.ack('PUBREC', packetId, reason, properties);
        await watcher.expectAck('PUBREL', packetId);
        watcher.ack('PUBCOMP', packetId, reason, properties);
        await client.publish({ topic, payload: 'one', qos: 1, packetId: 1 });
        watcher.ack('PUBACK', (await watcher.message('one')).packetId, reason, properties);
      }
      await watcher.expectSilence();
    },
  ),
];
