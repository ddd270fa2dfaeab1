// A broker that is killed (SIGKILL) repeatedly, at moments chosen by a seed, while AMQP and MQTT publishers and
// consumers are active. Confirmed messages are in their queues or were consumed, messages acknowledged durably do not
// come back, redelivered ones have the mark, and every queue keeps its order. SEED repeats a choice; CI_LONG runs more
// rounds.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ConfirmChannel } from 'amqplib';
import { BrokerProcess } from '../../support/broker-process.ts';
import { Random } from '../sim/random.ts';
import { assertAccounted, assertFirstInOrder, assertOrderKept, type Delivery, type Sent } from './account.ts';
import { AmqpPublisher } from './amqp-publisher.ts';
import { MqttPublisher } from './mqtt-publisher.ts';
import { Outgoing } from './outgoing.ts';
import { Subscriber } from './subscriber.ts';
import { Watch } from './watch.ts';
import { Worker } from './worker.ts';

const LONG = process.env.CI_LONG !== undefined;
const SEED = Number(process.env.SEED ?? 1);
const RUNS = LONG ? 10 : 1;
const ROUNDS = LONG ? 12 : 5;
/** Maximum number of ledger entries between a start and a kill. */
const ROUND_TICKS = 4_000;
/** In some rounds the kill comes while clients are still reconnecting. */
const EARLY_SHARE = 0.3;
const EARLY_TICKS = 20;

const EXCHANGE = 'crash';
/** Consumed throughout, and acknowledged late and in any order. */
const WORKED = 'crash.worked';
/** Consumed only after the last kill. */
const KEPT = 'crash.kept';
const SESSIONS = ['first', 'second'];

/** A fanout exchange bound to two durable queues and, through `amq.topic`, to the sessions. */
async function declare(channel: ConfirmChannel): Promise<void> {
  await channel.assertExchange(EXCHANGE, 'fanout', { durable: true });
  for (const queue of [WORKED, KEPT]) {
    await channel.assertQueue(queue, { durable: true });
    await channel.bindQueue(queue, EXCHANGE, '');
  }
  await channel.bindExchange('amq.topic', EXCHANGE, '');
}

for (let run = 0; run < RUNS; run++) {
  const seed = SEED + run;
  test(`${ROUNDS} kills lose nothing that was confirmed (SEED=${seed})`, async (t) => {
    await crash(t, new Random(seed));
  });
}

async function crash(t: TestContext, random: Random): Promise<void> {
  const watch = new Watch();
  t.after(() => watch.end());
  const broker = await BrokerProcess.start();
  t.after(() => broker.end());
  const { amqp, mqtt } = broker.endpoints;
  const work = (queue: string, late: boolean): Worker => {
    const options = { port: amqp, queue, prefetch: 10 + random.below(90), declare };
    const own = late ? { random: new Random(random.below(2 ** 32)) } : {};
    const worker = new Worker({ ...options, ...own }, watch);
    t.after(() => worker.end());
    return worker;
  };
  const send = (name: string): Outgoing => new Outgoing(name, new Random(random.below(2 ** 32)), watch);

  const worker = work(WORKED, true);
  await watch.until(() => worker.consuming);
  const subscribers = await Promise.all(SESSIONS.map((id) => Subscriber.open(mqtt, id, 'crash/#', watch)));
  t.after(() => Promise.all(subscribers.map((each) => each.end())));
  const fromService = send('service');
  const fromDevice = send('device');
  const service = new AmqpPublisher(
    { port: amqp, exchange: EXCHANGE, routingKey: 'crash.service', outgoing: fromService },
    watch,
  );
  t.after(() => service.end());
  const device = new MqttPublisher({ port: mqtt, topic: 'crash/device', outgoing: fromDevice });
  t.after(() => device.end());
  watch.describe = () =>
    [
      `broker: ${broker.alive ? 'alive' : 'dead'} ${broker.output}`,
      `service: ${fromService.all.length} sent, ${fromService.open.size} open`,
      `device: ${fromDevice.all.length} sent, ${fromDevice.open.size} open`,
      `worker: ${worker.deliveries.length} deliveries, holds ${worker.heldCount}`,
      ...subscribers.map((each) => `${each.clientId}: ${each.deliveries.length} deliveries`),
    ].join('\n');

  for (let round = 0; round < ROUNDS; round++) {
    const moment = watch.now + random.below(random.chance(EARLY_SHARE) ? EARLY_TICKS : ROUND_TICKS);
    await watch.until(() => watch.now >= moment);
    await broker.kill();
    await broker.restart();
  }

  fromService.stop();
  fromDevice.stop();
  await watch.until(() => fromService.open.size === 0 && fromDevice.open.size === 0);
  worker.resume();
  await worker.drained();
  const late = work(KEPT, false);
  await late.drained();
  const everything = [...fromService.all, ...fromDevice.all].map(({ body }) => body);
  await watch.until(() => subscribers.every((each) => each.settled && holdsAll(each.deliveries, everything)));

  assertLedger('the worker', fromService.all, worker.deliveries, worker.connections);
  assertLedger('the late worker', fromService.all, late.deliveries, late.connections);
  for (const { clientId, deliveries, connections } of subscribers) {
    for (const [origin, { all }] of Object.entries({ service: fromService, device: fromDevice })) {
      const own = deliveries.filter(({ routingKey }) => routingKey === `crash/${origin}`);
      assertLedger(`${clientId}, from the ${origin}`, all, own, connections);
    }
    assert.ok(deliveries.every(({ routingKey }) => /^crash\/(service|device)$/.test(routingKey)));
  }
  // This queue had no consumer before the last kill, so no message of it may be marked redelivered.
  assert.ok(late.deliveries.every(({ redelivered }) => !redelivered));
  // Every acknowledgement is durable.
  await broker.kill();
  await broker.restart();
  const witness = new Worker(
    { port: amqp, queue: 'witness', prefetch: 1, declare: (c) => c.assertQueue('witness') },
    watch,
  );
  t.after(() => witness.end());
  await watch.until(() => witness.consuming);
  for (const queue of [WORKED, KEPT]) assert.equal(await witness.ready(queue), 0, `${queue} is not empty`);

  const again = (all: readonly Sent[]) => all.filter(({ sendings }) => sendings > 1).length;
  const marked = (all: readonly Delivery[]) => all.filter(({ redelivered }) => redelivered).length;
  t.diagnostic(
    `service: ${fromService.all.length} messages, ${again(fromService.all)} sent again; ` +
      `device: ${fromDevice.all.length}, ${again(fromDevice.all)}; ` +
      `deliveries (redelivered): worker ${worker.deliveries.length} (${marked(worker.deliveries)}), ` +
      `late ${late.deliveries.length}, ` +
      subscribers.map((each) => `${each.clientId} ${each.deliveries.length} (${marked(each.deliveries)})`).join(', '),
  );
}

function holdsAll(deliveries: readonly Delivery[], bodies: readonly string[]): boolean {
  if (deliveries.length < bodies.length) return false;
  const seen = new Set(deliveries.map(({ body }) => body));
  return bodies.every((body) => seen.has(body));
}

/** Compares a consumer's deliveries with what one publisher sent. */
function assertLedger(
  where: string,
  published: readonly Sent[],
  deliveries: readonly Delivery[],
  connections: number,
): void {
  const byBody = Map.groupBy(deliveries, ({ body }) => body);
  for (const sent of published) {
    assertAccounted(sent, byBody.get(sent.body) ?? [], connections);
    byBody.delete(sent.body);
  }
  for (const body of byBody.keys()) assert.fail(`${where}: nobody sent ${body.slice(0, 80)}`);
  const bodies = (of: readonly { body: string }[]) => of.map(({ body }) => body);
  assertFirstInOrder(bodies(published), bodies(deliveries), where);
  assertOrderKept(published, deliveries, where);
}
