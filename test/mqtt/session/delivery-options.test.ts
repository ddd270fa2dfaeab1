// A message read back from disk is delivered with the options of the subscriptions that select it now. Finding them
// does not walk the session's subscriptions, or the targets of a route, for each message.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FEW_SUBSCRIPTIONS } from '../../../protocols/mqtt/session/delivery-options.ts';
import { queueNameOf } from '../../../protocols/mqtt/session/session-queue.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import { p, publish5, subscribe5, unsubscribe5 } from '../../../support/wire/mqtt5.ts';
import { ack, publish } from '../bytes.ts';
import { type Client, Harness } from '../harness.ts';

/** Entries at the head of a queue that stay in memory; the rest of a backlog is read back from the store. */
const WINDOW = 4;

function start(): Harness {
  return new Harness({ coreLimits: { queueWindowEntries: WINDOW } });
}

/** A client with a persistent session and a receive maximum of 1. */
function connect(broker: Harness, clientId: string): Promise<Client> {
  return broker.connect5(clientId, {
    clean: false,
    properties: [p.sessionExpiry(0xffff_ffff), p.receiveMaximum(1)],
  });
}

/** Subscribes with `options` (QoS, 4: no-local, 8: retain as published) under a subscription identifier. */
async function subscribe(broker: Harness, client: Client, id: number, options: number, ...filters: string[]) {
  const requests = filters.map((filter): [string, number] => [filter, options]);
  client.send(subscribe5(1, [p.subscriptionId(id)], ...requests));
  await broker.settle();
  client.take();
}

/** 2,000 subscriptions that select no topic below `x`. */
async function subscribeToMany(broker: Harness, client: Client): Promise<void> {
  const filters = Array.from({ length: 2000 }, (_, i) => `many/${i}/+`);
  for (let at = 0; at < filters.length; at += 500) {
    await subscribe(broker, client, 1, 2, ...filters.slice(at, at + 500));
  }
}

function queueOf(broker: Harness, clientId: string): Queue {
  return broker.hosts.get('/')!.queues.get(queueNameOf(clientId))!;
}

/** Publishes `count` messages at QoS 2 to `x/1`, each with its number. */
async function publishMany(broker: Harness, count: number, retain = 0): Promise<void> {
  const publisher = await broker.connect('publisher');
  for (let i = 1; i <= count; i++) publisher.send(publish('x/1', `${i}`, 2, i, retain));
  await broker.settle();
}

interface Delivered {
  readonly body: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly ids: readonly number[];
}

/** Acknowledges and returns the received PUBLISH packets; lengths are one byte and identifiers below 128. */
async function takeOne(broker: Harness, client: Client): Promise<Delivered> {
  const packets = client.take();
  assert.equal(packets.length, 1, `one PUBLISH: ${packets.join(' ')}`);
  const bytes = Buffer.from(packets[0]!, 'hex');
  const qos = (bytes[0]! >> 1) & 3;
  const idAt = 4 + bytes.readUInt16BE(2);
  const propertiesAt = qos === 0 ? idAt : idAt + 2;
  const bodyAt = propertiesAt + 1 + bytes[propertiesAt]!;
  const ids: number[] = [];
  for (let at = propertiesAt + 1; at < bodyAt; at += 2) {
    assert.equal(bytes[at], 11, 'a subscription identifier');
    ids.push(bytes[at + 1]!);
  }
  const id = qos === 0 ? 0 : bytes.readUInt16BE(idAt);
  if (qos === 1) client.send(ack(0x40, id));
  if (qos === 2) {
    client.send(ack(0x50, id));
    await broker.settle();
    client.take();
    client.send(ack(0x70, id));
  }
  await broker.settle();
  return { body: bytes.toString('utf8', bodyAt), qos, retain: (bytes[0]! & 1) === 1, ids: ids.sort((a, b) => a - b) };
}

/** Counts walks through the exchange's bindings and route lookups from now on. */
function countRouting(broker: Harness): { walks: number; lookUps: number } {
  const exchange = broker.hosts.get('/')!.exchanges.get('amq.topic')!;
  const counts = { walks: 0, lookUps: 0 };
  const { match, route } = exchange;
  exchange.match = (given) => {
    counts.walks++;
    return match.call(exchange, given);
  };
  exchange.route = (message) => {
    counts.lookUps++;
    return route.call(exchange, message);
  };
  return counts;
}

for (const [many, name] of [
  [true, '2,000 other subscriptions'],
  [false, 'no other subscription'],
] as const) {
  describe(`a paged-out delivery to a session with ${name}`, () => {
    const COUNT = 12;

    /** A session without a connection, whose backlog is on disk except for the first few messages. */
    async function backlog(broker: Harness, retain = 0): Promise<void> {
      const client = await connect(broker, 'c');
      if (many) await subscribeToMany(broker, client);
      await subscribe(broker, client, 7, 0, 'x/+');
      await subscribe(broker, client, 9, 1, 'x/#');
      client.drop();
      await broker.settle();
      await publishMany(broker, COUNT, retain);
      assert.ok(broker.meters.pagedOut >= COUNT - WINDOW, `paged out: ${broker.meters.pagedOut}`);
    }

    it('has the merged options of the subscriptions that select it', async () => {
      const broker = start();
      await backlog(broker);
      const client = await connect(broker, 'c');
      for (let i = 1; i <= COUNT; i++) {
        assert.deepEqual(await takeOne(broker, client), { body: `${i}`, qos: 1, retain: false, ids: [7, 9] });
      }
      assert.ok(broker.meters.pagedIn >= COUNT - WINDOW, `paged in: ${broker.meters.pagedIn}`);
    });

    it('follows subscriptions and unsubscriptions made meanwhile', async () => {
      const broker = start();
      await backlog(broker, 1);
      const client = await connect(broker, 'c');
      assert.deepEqual((await takeOne(broker, client)).ids, [7, 9]);
      // The next message was sent before the change, with its options of then.
      client.send(unsubscribe5(2, 'x/+'), subscribe5(3, [p.subscriptionId(12)], ['x/1', 2 | 8 | 0x20]));
      await broker.settle();
      const [inFlight, ...answers] = client.take();
      assert.equal(answers.length, 2);
      client.early = [inFlight!];
      assert.deepEqual((await takeOne(broker, client)).ids, [7, 9]);
      let last: Delivered | null = null;
      for (let i = 3; i <= COUNT; i++) last = await takeOne(broker, client);
      assert.deepEqual(last, { body: `${COUNT}`, qos: 2, retain: true, ids: [9, 12] });
    });

    it('is sent as it was published if no subscription selects it any more', async () => {
      const broker = start();
      await backlog(broker);
      const client = await connect(broker, 'c');
      client.send(unsubscribe5(2, 'x/+', 'x/#'));
      await broker.settle();
      client.early = [client.take()[0]!];
      let last: Delivered | null = null;
      for (let i = 1; i <= COUNT; i++) last = await takeOne(broker, client);
      assert.deepEqual(last, { body: `${COUNT}`, qos: 2, retain: false, ids: [] });
    });

    it('has the options of an AMQP binding, too', async () => {
      const broker = start();
      await backlog(broker);
      const core = await broker.session();
      const binding = { queue: queueNameOf('c'), exchange: 'amq.topic', routingKey: 'x.*', args: [] };
      await core.bindQueue({ ...binding, dialect: 'amqp' });
      const client = await connect(broker, 'c');
      let last: Delivered | null = null;
      for (let i = 1; i <= COUNT; i++) last = await takeOne(broker, client);
      assert.deepEqual(last, { body: `${COUNT}`, qos: 2, retain: false, ids: [7, 9] });
    });

    it('walks the bindings of the exchange once for each topic at most', async () => {
      const broker = start();
      await backlog(broker);
      const client = await connect(broker, 'c');
      const counts = countRouting(broker);
      for (let i = 1; i <= COUNT; i++) await takeOne(broker, client);
      assert.ok(broker.meters.pagedIn >= COUNT - WINDOW);
      assert.ok(counts.walks <= 1, `${counts.walks} walks`);
      assert.equal(counts.lookUps > 0, many);
    });
  });
}

it('no-local: the own messages of a client are not in its backlog, unless a subscription without it selects them', async () => {
  const broker = start();
  const client = await connect(broker, 'c');
  await subscribe(broker, client, 7, 1 | 4, 'x/+');
  await subscribe(broker, client, 9, 1, 'y/+');
  // Its own messages at `x` are not for it; those at `y` are, and wait because the receive maximum is 1.
  for (let i = 1; i <= 10; i++) client.send(publish5('x/1', `own ${i}`, { qos: 1, id: i }));
  for (let i = 11; i <= 20; i++) client.send(publish5('y/1', `own ${i}`, { qos: 1, id: i }));
  await broker.settle();
  await publishMany(broker, 10);
  assert.ok(broker.meters.pagedOut >= 10);
  client.early = client.take().filter((packet) => packet.startsWith('32'));
  const all: Delivered[] = [];
  for (let i = 0; i < 20; i++) all.push(await takeOne(broker, client));
  assert.deepEqual(
    all.map(({ body, ids }) => `${body}: ${ids}`),
    [
      ...Array.from({ length: 10 }, (_, i) => `own ${i + 11}: 9`),
      ...Array.from({ length: 10 }, (_, i) => `${i + 1}: 7`),
    ],
  );
});

it("a shared subscription's messages have the options of the member that gets them, and no route is looked up", async () => {
  const broker = start();
  const client = await connect(broker, 'c');
  await subscribe(broker, client, 7, 1, '$share/g/x/+');
  client.drop();
  await broker.settle();
  await publishMany(broker, 12);
  assert.ok(broker.meters.pagedOut >= 12 - WINDOW);
  const again = await connect(broker, 'c');
  const counts = countRouting(broker);
  for (let i = 1; i <= 12; i++) {
    assert.deepEqual(await takeOne(broker, again), { body: `${i}`, qos: 1, retain: false, ids: [7] });
  }
  assert.deepEqual(counts, { walks: 0, lookUps: 0 });
});

it('after a fan-out to many sessions, no session with few subscriptions searches the route', async () => {
  const broker = start();
  const names = Array.from({ length: 50 }, (_, i) => `c${i}`);
  for (const name of names) {
    const client = await connect(broker, name);
    const others = Array.from({ length: FEW_SUBSCRIPTIONS - 1 }, (_, i) => `${name}/${i}`);
    await subscribe(broker, client, 1, 2, ...others);
    await subscribe(broker, client, 7, 1, 'x/#');
    client.drop();
  }
  await broker.settle();
  await publishMany(broker, 8);
  assert.ok(broker.meters.pagedOut >= names.length * (8 - WINDOW));
  const counts = countRouting(broker);
  for (const name of names) {
    const client = await connect(broker, name);
    for (let i = 1; i <= 8; i++) assert.deepEqual((await takeOne(broker, client)).ids, [7]);
    assert.equal(queueOf(broker, name).readyCount, 0);
  }
  assert.deepEqual(counts, { walks: 0, lookUps: 0 });
});
