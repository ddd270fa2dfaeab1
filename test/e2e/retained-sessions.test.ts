// Retained messages that a persistent session has not received or not acknowledged survive a broker that is killed
// (SIGKILL): before the first one is sent, between PUBLISH, PUBREC, PUBREL and PUBCOMP, and at moments chosen by a seed
// while thousands are in flight. SEED repeats a choice; CI_LONG runs longer.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { BrokerProcess } from '../../support/broker-process.ts';
import { type RawClient, tcp } from '../../support/raw-client.ts';
import { openMqtt, readMqttPublish } from '../../support/raw-mqtt.ts';
import { PACKET, packet, publish, subscribe } from '../../support/wire/mqtt.ts';
import { u16 } from '../../support/wire/mqtt5.ts';
import { Random } from '../sim/random.ts';
import { ExactClient } from './exact-client.ts';

const LONG = process.env.CI_LONG !== undefined;
const SEED = Number(process.env.SEED ?? 1);
const KILLS = LONG ? 40 : 5;
const MESSAGES = 2_000;
/** Fails the test if an expected packet never comes. */
const PATIENCE_MS = 60_000;

/** Retains `kept/0` to `kept/<count - 1>` at QoS 2, with their numbers as bodies; resolves when they are on disk. */
async function retain(broker: BrokerProcess, count: number): Promise<void> {
  const publisher = await openMqtt(await tcp(broker.endpoints.mqtt), 'retainer');
  let next = 0;
  const send = (): void => {
    if (next < count) publisher.send(publish(`kept/${next}`, Buffer.from(`${next}`), 2, ++next, true));
  };
  for (let i = 0; i < 100; i++) send();
  for (let done = 0; done < count; ) {
    const answer = await publisher.take();
    const id = answer.readUInt16BE(2);
    if (answer[0]! >> 4 === PACKET.pubrec) publisher.send(packet(PACKET.pubrel, 2, u16(id)));
    else {
      done++;
      send();
    }
  }
  await publisher.close();
}

async function connect(broker: BrokerProcess): Promise<RawClient> {
  return openMqtt(await tcp(broker.endpoints.mqtt), 'stages', { clean: false });
}

/** The next packets as type and id, with flags and body of PUBLISH. */
async function take(peer: RawClient, count: number): Promise<string[]> {
  const packets: string[] = [];
  for (let i = 0; i < count; i++) {
    const bytes = await peer.take();
    const type = bytes[0]! >> 4;
    if (type === PACKET.publish) {
      const { id, body, qos, dup, retain } = readMqttPublish(bytes);
      packets.push(`publish ${id} ${body} qos ${qos}${dup ? ' dup' : ''}${retain ? ' retain' : ''}`);
    } else
      packets.push(
        `${Object.keys(PACKET).find((name) => PACKET[name as 'publish'] === type)} ${bytes.readUInt16BE(2)}`,
      );
  }
  return packets;
}

test('a killed broker continues QoS 2 deliveries where they were, and sends the remaining messages', async (t) => {
  const broker = await BrokerProcess.start({ flags: ['--mqtt-receive-maximum=3'] });
  t.after(() => broker.end());
  await retain(broker, 9);
  const again = async (): Promise<RawClient> => {
    await broker.kill();
    await broker.restart();
    return connect(broker);
  };
  const answer = (peer: RawClient, type: number, ...ids: number[]): void => {
    for (const id of ids) peer.send(packet(type, type === PACKET.pubrel ? 2 : 0, u16(id)));
  };

  let peer = await connect(broker);
  peer.send(subscribe(1, 'kept/#', 2));
  assert.deepEqual(await take(peer, 1), ['suback 1']);
  // The kill comes before the first one is sent or right after it; both are valid.
  peer = await again();
  const first = await take(peer, 3);
  assert.deepEqual(
    first.map((line) => line.replace(' dup', '')),
    ['publish 1 0 qos 2 retain', 'publish 2 1 qos 2 retain', 'publish 3 2 qos 2 retain'],
  );
  // Between PUBLISH and PUBREC.
  peer = await again();
  assert.deepEqual(await take(peer, 3), [
    'publish 1 0 qos 2 dup retain',
    'publish 2 1 qos 2 dup retain',
    'publish 3 2 qos 2 dup retain',
  ]);
  answer(peer, PACKET.pubrec, 1, 2);
  assert.deepEqual(await take(peer, 2), ['pubrel 1', 'pubrel 2']);
  // Between PUBREL and PUBCOMP.
  peer = await again();
  assert.deepEqual(await take(peer, 3), ['pubrel 1', 'pubrel 2', 'publish 3 2 qos 2 dup retain']);
  answer(peer, PACKET.pubcomp, 1, 2);
  answer(peer, PACKET.pubrec, 3);
  const rest: string[] = await take(peer, 3);
  assert.ok(rest.includes('pubrel 3'));
  answer(peer, PACKET.pubcomp, 3);
  // Completes the handshake.
  const bodies = new Set(rest.filter((line) => line.startsWith('publish')).map((line) => line.split(' ')[2]));
  for (const line of rest) if (line.startsWith('publish')) answer(peer, PACKET.pubrec, Number(line.split(' ')[1]));
  while (bodies.size < 6) {
    const [line] = await take(peer, 1);
    const [type, id, body] = line!.split(' ');
    if (type === 'pubrel') answer(peer, PACKET.pubcomp, Number(id));
    else {
      assert.ok(!bodies.has(body), `${line} came twice`);
      bodies.add(body);
      answer(peer, PACKET.pubrec, Number(id));
    }
  }
  assert.deepEqual([...bodies].toSorted(), ['3', '4', '5', '6', '7', '8']);
  await peer.close();
});

test('retained messages at QoS 1 are sent again after a kill, followed by those not sent before', async (t) => {
  const broker = await BrokerProcess.start({ flags: ['--mqtt-receive-maximum=3'] });
  t.after(() => broker.end());
  await retain(broker, 200);
  const first = await connect(broker);
  first.send(subscribe(1, 'kept/+', 1));
  assert.deepEqual(await take(first, 1), ['suback 1']);
  await take(first, 3);
  await broker.kill();
  await broker.restart();
  const second = await connect(broker);
  const taken: string[] = [];
  while (taken.length < 200) {
    const { id, body, qos, retain: retained } = readMqttPublish(await second.take());
    assert.deepEqual([qos, retained], [1, true]);
    taken.push(`${body}`);
    second.send(packet(PACKET.puback, 0, u16(id)));
  }
  assert.equal(new Set(taken).size, 200);
  await second.close();
});

test(`${KILLS} kills lose none of ${MESSAGES} retained messages and repeat none at QoS 2 (SEED=${SEED})`, async (t) => {
  const random = new Random(SEED);
  const broker = await BrokerProcess.start();
  t.after(() => broker.end());
  await retain(broker, MESSAGES);
  const options = { port: broker.endpoints.mqtt, filter: 'kept/#', window: 0 };
  const clients = [20, 50].map((receiveMaximum) => {
    const client = new ExactClient({ ...options, clientId: `takes ${receiveMaximum}`, receiveMaximum });
    t.after(() => client.end());
    return client;
  });
  const until = async (what: string, reached: () => boolean): Promise<void> => {
    for (let waited = 0; !reached(); waited += 5) {
      assert.ok(waited < PATIENCE_MS, `waited in vain: ${what}`);
      await delay(5);
    }
  };
  await until('subscriptions', () => clients.every(({ ready }) => ready));
  for (let kill = 0; kill < KILLS; kill++) {
    const watched = random.pick(clients)!;
    const enough = Math.min(watched.takenCount + random.below(MESSAGES / KILLS), MESSAGES);
    await until('deliveries', () => watched.takenCount >= enough);
    if (random.chance(0.5)) await random.pick(clients)!.drop();
    await broker.kill();
    await broker.restart();
  }
  await until('the last deliveries', () => clients.every(({ takenCount }) => takenCount >= MESSAGES));
  // A duplicate would have come by now.
  const before = clients.map(({ connections }) => connections);
  for (const client of clients) await client.drop();
  await until('everybody again', () => clients.every(({ connections }, i) => connections > before[i]!));
  const expected = Array.from({ length: MESSAGES }, (_, i) => [`kept/${i}`, [`${i}`]]);
  for (const { taken } of clients) {
    assert.deepEqual(
      [...taken].toSorted(([a], [b]) => Number(a.slice(5)) - Number(b.slice(5))),
      expected,
    );
  }
  t.diagnostic(`sent again: ${clients.map(({ repeated }) => repeated).join(', ')}`);
});
