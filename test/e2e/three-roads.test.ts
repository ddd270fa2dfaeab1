// The main scenario with recorded input: devices (mosquitto_pub) publish readings over MQTT, a backend (amqplib)
// consumes them from a durable queue over AMQP, a page in Chromium (stompjs) shows the temperatures, and the broker is
// killed three times meanwhile. The PUBACKs that the publishers report determine which readings must arrive.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { BrokerProcess } from '../../support/broker-process.ts';
import { assertAccounted, assertFirstInOrder, type Delivery } from './account.ts';
import { CHROMIUM } from './browser.ts';
import { Dashboard } from './dashboard.ts';
import { IN_FLIGHT, type Line, MOSQUITTO_PUB, Publisher, STDBUF } from './publisher.ts';
import { type Reading, readings } from './readings.ts';
import { Watch } from './watch.ts';
import { PROGRESS, Worker } from './worker.ts';

const QUEUE = 'readings';
const PREFETCH = 40;

const missing = [MOSQUITTO_PUB, STDBUF, CHROMIUM].filter((file) => !existsSync(file));
const skip = missing.length > 0 && `not installed: ${missing.join(', ')}`;

/** All programs of the scenario, and the restarts of the broker. */
class World {
  readonly watch: Watch;
  readonly all: readonly Reading[];
  readonly broker: BrokerProcess;
  readonly publishers: readonly Publisher[];
  readonly worker: Worker;
  readonly dashboard: Dashboard;
  /** When the broker was running again after each kill. */
  readonly restarts: number[];

  private constructor(watch: Watch, broker: BrokerProcess, worker: Worker, dashboard: Dashboard) {
    this.watch = watch;
    this.all = readings();
    this.broker = broker;
    this.worker = worker;
    this.dashboard = dashboard;
    this.publishers = [...Map.groupBy(this.all, ({ topic }) => topic)].map(([topic, own]) => {
      const bodies = own.map(({ body }) => body);
      return new Publisher(topic, bodies, broker.endpoints.mqtt, watch);
    });
    this.restarts = [];
  }

  static async open(t: TestContext): Promise<World> {
    const watch = new Watch();
    t.after(() => watch.end());
    const broker = await BrokerProcess.start();
    t.after(() => broker.end());
    const { amqp, webStomp } = broker.endpoints;
    const worker = new Worker(
      {
        port: amqp,
        queue: QUEUE,
        prefetch: PREFETCH,
        declare: async (channel) => {
          await channel.assertQueue(QUEUE, { durable: true });
          await channel.bindQueue(QUEUE, 'amq.topic', 'sensors.#');
        },
      },
      watch,
    );
    t.after(() => worker.end());
    const dashboard = await Dashboard.open(webStomp, watch);
    t.after(() => dashboard.close());
    await watch.until(() => worker.consuming && dashboard.subscribed);
    const world = new World(watch, broker, worker, dashboard);
    watch.describe = () => world.describe();
    t.after(() => Promise.all(world.publishers.map((publisher) => publisher.end())));
    return world;
  }

  get confirmed(): number {
    return this.publishers.reduce((sum, { confirmed }) => sum + confirmed, 0);
  }

  get publishedReleased(): boolean {
    return this.publishers.every((each) => each.releasedConfirmed);
  }

  /** Lets every publisher publish up to this share of its readings. */
  release(share: number): void {
    for (const publisher of this.publishers) publisher.release(Math.round(publisher.lines.length * share));
  }

  /** Waits until this share of all readings has a PUBACK. */
  async untilConfirmed(share: number): Promise<void> {
    await this.watch.until(() => this.confirmed >= this.all.length * share);
  }

  async kill(): Promise<void> {
    await this.broker.kill();
    for (const publisher of this.publishers) publisher.suspend();
    this.dashboard.interrupt();
  }

  /** Restarts on the same data, and waits until all programs have reconnected. */
  async restart(): Promise<void> {
    await this.broker.restart();
    this.restarts.push(this.watch.tick());
    await this.watch.until(() => this.worker.consuming && this.dashboard.subscribed && this.publishedReleased);
  }

  /** The state of all programs, for the message of a failure. */
  private describe(): string {
    const { broker, worker, dashboard, publishers } = this;
    return [
      `broker: ${broker.alive ? 'alive' : 'dead'}, restarted ${this.restarts.length} times ${broker.output}`,
      `worker: ${worker.deliveries.length} deliveries over ${worker.connections} connections, ` +
        `${worker.consuming ? '' : 'not '}consuming, holds ${worker.heldCount}`,
      `page: ${dashboard.shown.length} shown, subscriptions ${JSON.stringify(dashboard.subscriptions)}`,
      ...publishers.map((each) => each.describe()),
    ].join('\n');
  }

  line(routingKey: string, body: string): Line {
    const topic = routingKey.replaceAll('.', '/');
    const line = this.publishers.find((each) => each.topic === topic)?.lines.find((each) => each.body === body);
    assert.ok(line !== undefined, `nobody published ${body} to ${topic}`);
    return line;
  }
}

test('readings over MQTT reach a backend and a browser; a broker that is killed in between loses none', {
  skip,
}, async (t) => {
  const world = await World.open(t);
  const { watch, worker, broker, publishers, dashboard } = world;

  // Without a kill every published reading arrives once.
  world.release(1 / 8);
  await watch.until(() => world.publishedReleased);
  await watch.until(() => worker.deliveries.length >= world.confirmed);
  assert.equal(worker.deliveries.length, world.confirmed);

  // Killed while all programs are active.
  world.release(3 / 8);
  await world.untilConfirmed(1 / 4);
  await world.kill();
  await world.restart();

  // Killed with unacknowledged deliveries and uncommitted publishes. The broker is stopped (SIGSTOP) first to guarantee
  // that: the publishers continue until their inflight limit is reached.
  worker.hold();
  world.release(5 / 8);
  await world.untilConfirmed(1 / 2);
  await watch.until(() => worker.heldCount === PREFETCH);
  process.kill(broker.pid, 'SIGSTOP');
  world.release(3 / 4);
  await watch.until(() => publishers.every((each) => each.unconfirmed.length === IN_FLIGHT));
  const unacked = worker.deliveries.filter(({ state }) => state === 'out');
  const inFlight = publishers.flatMap((each) => each.unconfirmed);
  await world.kill();
  assert.equal(unacked.length, PREFETCH);
  await world.restart();
  worker.resume();

  // Killed together with one of the publishers.
  world.release(7 / 8);
  await world.untilConfirmed(3 / 4);
  publishers[0]!.kill();
  await world.kill();
  await world.restart();

  // Without a kill, to the end of the readings.
  world.release(1);
  await world.untilConfirmed(1);
  await Promise.all(publishers.map((each) => each.finish()));
  const owed = publishers.flatMap(({ topic, lines }) =>
    lines
      .filter(({ fedAt, confirmedAt }) => topic.endsWith('/temperature') && dashboard.owes(fedAt, confirmedAt))
      .map(({ body }) => `${topic.replaceAll('/', '.')} ${body}`),
  );
  const shown = () => new Set(dashboard.shown.map(({ routingKey, body }) => `${routingKey} ${body}`));
  await worker.drained();
  await watch.until(() => {
    const seen = shown();
    return owed.every((each) => seen.has(each));
  });

  // The queue is empty, and every confirmed reading was consumed.
  const copies = Map.groupBy(worker.deliveries, ({ routingKey, body }) => world.line(routingKey, body));
  for (const { topic, lines } of publishers) {
    for (const line of lines) assert.ok(copies.has(line), `${topic} ${line.body} was confirmed and not consumed`);
  }
  // A PUBACK may have been lost in the kill; a reading without one was sent again.
  const unconfirmed = inFlight.filter(({ sendings }) => sendings > 1);
  assert.ok(unconfirmed.length > 0, 'nothing was unconfirmed at the kill');
  for (const delivery of unacked) assertDeliveredAgain(copies.get(world.line(delivery.routingKey, delivery.body))!);
  for (const [line, deliveries] of copies) assertAccounted(line, deliveries, worker.connections);
  assertTopicsInOrder(world, worker.deliveries);

  // A reading sent once, after the last restart, is not marked redelivered.
  const fresh = [...copies].filter(([line]) => line.fedAt > world.restarts.at(-1)! && line.sendings === 1);
  assert.ok(fresh.length > 0);
  for (const [line, deliveries] of fresh) {
    assert.deepEqual(
      deliveries.map(({ redelivered }) => redelivered),
      [false],
      line.body,
    );
  }
  assert.ok((await worker.ready(PROGRESS)) >= worker.confirmedProgress, 'progress that was confirmed is lost');

  // The page: one subscription for each run of the broker, no unexpected reading, and its rows.
  assert.equal(dashboard.subscriptions.length, world.restarts.length + 1);
  for (const { routingKey, body } of dashboard.shown) {
    assert.match(routingKey, /^sensors\.\w+\.temperature$/);
    world.line(routingKey, body);
  }
  assertTopicsInOrder(world, dashboard.shown);
  const temperatures = world.all.filter(({ metric }) => metric === 'temperature');
  assert.ok(owed.length > temperatures.length / 2, `the page was owed only ${owed.length}`);
  const rows = await dashboard.rows();
  const expected = [...Map.groupBy(temperatures, ({ device }) => device)].map(([device, own]) => ({
    device,
    count: dashboard.shown.filter(({ routingKey }) => routingKey === `sensors.${device}.temperature`).length,
    last: own.at(-1)!.value,
  }));
  const byDevice = (a: { device: string }, b: { device: string }) => a.device.localeCompare(b.device);
  assert.deepEqual(rows.sort(byDevice), expected.sort(byDevice));

  assert.ok(publishers[0]!.processes > 1, 'the killed publisher was replaced');
  t.diagnostic(
    `${world.all.length} readings, ${worker.deliveries.length} deliveries over ${worker.connections} connections, ` +
      `${publishers.reduce((sum, { lines }) => sum + lines.reduce((n, { sendings }) => n + sendings, 0), 0)} publishes; ` +
      `at the second kill ${unacked.length} unacked, ${unconfirmed.length} unconfirmed; ` +
      `the page was owed ${owed.length} of ${temperatures.length} temperatures and shows ${shown().size}`,
  );
});

/** A message unacknowledged at a kill is delivered again, marked redelivered. */
function assertDeliveredAgain(deliveries: readonly Delivery[]): void {
  const out = deliveries.findIndex(({ state }) => state === 'out');
  assert.ok(
    deliveries.slice(out + 1).some(({ redelivered }) => redelivered),
    `${deliveries[0]!.body} was unacked at the kill and did not come again with the mark`,
  );
}

/** First occurrences of each topic's readings are in publishing order. */
function assertTopicsInOrder(world: World, seen: readonly { routingKey: string; body: string }[]): void {
  for (const { topic, lines } of world.publishers) {
    const own = seen.filter(({ routingKey }) => routingKey.replaceAll('.', '/') === topic);
    const bodies = (of: readonly { body: string }[]) => of.map(({ body }) => body);
    assertFirstInOrder(bodies(lines), bodies(own), topic);
  }
}
