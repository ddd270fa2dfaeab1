// QoS 2 from end to end while the broker is killed (SIGKILL) and connections break, at moments chosen by a seed. Every
// message reaches each subscriber exactly once, in the order of its topic. SEED repeats a choice; CI_LONG runs longer.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { BrokerProcess } from '../../support/broker-process.ts';
import { Random } from '../sim/random.ts';
import { ExactClient } from './exact-client.ts';

const LONG = process.env.CI_LONG !== undefined;
const SEED = Number(process.env.SEED ?? 1);
const ROUNDS = LONG ? 40 : 5;
const MESSAGES_A_ROUND = 400;
const TOPICS = ['exact/one', 'exact/two'];
/** Fails the test if an expected message never comes. */
const PATIENCE_MS = 60_000;

async function until(what: string, reached: () => boolean): Promise<void> {
  for (let waited = 0; !reached(); waited += 5) {
    assert.ok(waited < PATIENCE_MS, `waited in vain: ${what}`);
    await delay(5);
  }
}

test(`${ROUNDS} kills lose nothing and repeat nothing at QoS 2 (SEED=${SEED})`, async (t) => {
  const random = new Random(SEED);
  const broker = await BrokerProcess.start();
  t.after(() => broker.end());
  const port = broker.endpoints.mqtt;
  const make = (clientId: string, filter: string | null): ExactClient => {
    const client = new ExactClient({ port, clientId, filter, window: 50 });
    t.after(() => client.end());
    return client;
  };
  const subscribers = [make('first', 'exact/#'), make('second', 'exact/+')];
  await until('subscriptions', () => subscribers.every(({ ready }) => ready));
  const publisher = make('publisher', null);
  const sent = new Map<string, string[]>(TOPICS.map((topic) => [topic, []]));
  let count = 0;

  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < MESSAGES_A_ROUND; i++) {
      const topic = random.pick(TOPICS)!;
      const body = `${++count}`;
      sent.get(topic)!.push(body);
      publisher.publish(topic, body);
    }
    const enough = count - random.below(MESSAGES_A_ROUND);
    await until('deliveries', () => subscribers.some(({ takenCount }) => takenCount >= enough));
    if (random.chance(0.5)) await random.pick([publisher, ...subscribers])!.drop();
    await broker.kill();
    await broker.restart();
  }

  await until('acknowledgements', () => publisher.open === 0);
  await until('the last deliveries', () => subscribers.every(({ takenCount }) => takenCount >= count));
  // A duplicate would have come by now.
  for (const subscriber of subscribers) await subscriber.drop();
  await until('everybody again', () => subscribers.every(({ connections }) => connections > ROUNDS));
  for (const [index, { taken }] of subscribers.entries()) {
    for (const topic of TOPICS) assert.deepEqual(taken.get(topic), sent.get(topic), `subscriber ${index}, ${topic}`);
  }
  t.diagnostic(
    `${count} messages; connections: ${[publisher, ...subscribers].map((each) => each.connections).join(', ')}; ` +
      `sent again to subscribers: ${subscribers.map((each) => each.repeated).join(', ')}`,
  );
});
