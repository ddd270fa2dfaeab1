// A fleet of misbehaving devices against a broker that is killed and stopped: sessions of both versions, clean and
// persistent, that take themselves over, drop, stall, answer late, out of order and with unassigned ids; groups with a
// shared subscription; and a durable AMQP queue bound to the same topics. Every acknowledged message reaches every
// persistent session, at QoS 2 exactly once, in the order of each topic. fleet-device.ts checks packet ids, DUP,
// receive maximum and session present in each packet. SEED repeats a choice; CI_LONG runs longer.
// present are checked packet by packet (fleet-device.ts). SEED repeats a choice; CI_LONG makes it long.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import amqp from 'amqplib';
import { BrokerProcess } from '../../support/broker-process.ts';
import { Random } from '../sim/random.ts';
import { FleetBook } from './fleet-book.ts';
import { FleetDevice, type QoS, type Taken } from './fleet-device.ts';

const LONG = process.env.CI_LONG !== undefined;
const FIRST_SEED = Number(process.env.SEED ?? 1);
const SEEDS = LONG ? 40 : process.env.SEED === undefined ? 2 : 1;
const STEPS = LONG ? 600 : 200;
const QUEUE = 'listens-in';
/** Receive maximums of the devices. */
const WINDOWS = [1, 2, 10, 65_535];
const TOPICS = ['t/a', 't/b', 't/c/d'];
const POLL_MS = 5;
/** Looks, one for each POLL_MS at least, after which what is awaited will never come. */
const MOST_LOOKS = 60_000 / POLL_MS;

class Fleet {
  readonly devices: FleetDevice[];
  readonly groups: Map<string, FleetDevice[]>;
  readonly book: FleetBook;
  /** The first violation by the broker. */
  failure: unknown;
  private readonly broker: BrokerProcess;
  private readonly random: Random;
  private serial: number;

  constructor(broker: BrokerProcess, random: Random) {
    this.devices = [];
    this.groups = new Map();
    this.book = new FleetBook();
    this.failure = null;
    this.broker = broker;
    this.random = random;
    this.serial = 0;
    this.add('exact5', true, true, ['t/#', 2]);
    this.add('exact3', false, true, ['t/#', 2]);
    this.add('overlap5', true, true, ['t/+', 1], ['t/c/#', 2], ['t/a', 2], ['t/b', 2]);
    this.add('least5', true, true, ['t/#', 1]);
    this.add('least3', false, true, ['t/#', 1]);
    this.add('clean5', true, false, ['t/#', 2]);
    this.add('clean3', false, false, ['t/#', 2]);
    this.add('quiet5', true, true);
    const group = ['one', 'two', 'three'].map((name, i) => this.add(`g-${name}`, i !== 1, true, ['$share/g/t/#', 2]));
    this.groups.set('g', group);
  }

  async begin(): Promise<void> {
    const connection = await amqp.connect(`amqp://guest:guest@127.0.0.1:${this.broker.endpoints.amqp}`);
    const channel = await connection.createChannel();
    await channel.assertQueue(QUEUE, { durable: true });
    await channel.bindQueue(QUEUE, 'amq.topic', 't.#');
    await connection.close();
    await this.allIn(() => 100);
    await this.quiet();
  }

  async step(): Promise<void> {
    const { random, devices } = this;
    const device = random.pick(devices)!;
    // Absent devices return soon.
    if (!device.connected && random.chance(0.5)) device.connect(random.pick(WINDOWS)!);
    const what = random.next();
    if (what < 0.4) {
      const qos = random.below(3) as QoS;
      for (let i = 1 + random.below(20); i > 0; i--) this.publish(device, qos);
    } else if (what < 0.47) device.drop(random.chance(0.4));
    else if (what < 0.62) device.connect(random.pick(WINDOWS)!);
    else if (what < 0.66) {
      // A half-open connection, and another one that takes its client id over.
      device.stall();
      if (random.chance(0.7)) device.connect(100);
    } else if (what < 0.74) device.lazy = random.chance(0.6);
    else if (what < 0.86) device.answer(1 + random.below(8), (count) => random.below(count));
    else if (what < 0.92) device.babble(random.below(6));
    else if (what < 0.94) await this.restart(random.chance(0.6));
    else await delay(random.below(15));
    // Devices and broker exchange packets between the steps.
    if (random.chance(0.3)) await delay(1);
  }

  /** All devices reconnect and behave, until everything is delivered and no more messages come. */
  async end(): Promise<void> {
    for (const device of this.devices) device.lazy = false;
    for (let round = 0; round < 2; round++) {
      await this.allIn(() => 50);
      await this.until('acknowledgements', () => this.devices.every(({ open }) => open === 0));
      await this.quiet();
    }
  }

  async check(): Promise<void> {
    const { book } = this;
    for (const { options, taken } of this.devices) {
      const who = options.clientId;
      const group = this.groups.get('g')!.some((member) => member.options.clientId === who);
      const of = (qos: QoS): Taken[] => taken.filter((each) => each.qos === qos);
      const bodies = (qos: QoS): string[] => of(qos).map(({ body }) => body);
      if (options.persistent) book.requireOnce(who, bodies(2));
      // A clean session may get messages before they are durable. If the broker restarts, the publisher resends them,
      // and they are new to the next session.
      else
        book.requireOnce(
          who,
          of(2).map(({ body, life }) => `${body} in life ${life}`),
        );
      if (group) continue;
      book.requireOnce(who, bodies(0));
      // A resent message is new to a new session, and may come after later messages.
      book.requireOrder(who, options.persistent ? taken : taken.filter(({ body }) => !book.of(body).sentAgain));
      if (!options.persistent || options.filters.length === 0) continue;
      const all = new Set(taken.map(({ body }) => body));
      for (const qos of [1, 2] as const) book.requireAll(who, qos, all);
      for (const { body, qos } of taken) {
        const most = who.startsWith('least') ? 1 : 2;
        assert.equal(qos, Math.min(book.of(body).qos, most), `${who} got ${body} at QoS ${qos}`);
      }
    }
    for (const [name, members] of this.groups) {
      const taken = members.flatMap((member) => member.taken);
      book.requireOnce(
        `group ${name}`,
        taken.filter(({ qos }) => qos !== 1).map(({ body }) => body),
      );
      const all = new Set(taken.map(({ body }) => body));
      for (const qos of [1, 2] as const) book.requireAll(`group ${name}`, qos, all);
    }
    const queued = await this.drainQueue();
    const of = (qos: QoS): string[] => queued.filter((body) => book.of(body).qos === qos);
    book.requireOnce('the AMQP queue', [...of(0), ...of(2)]);
    for (const qos of [1, 2] as const) book.requireAll('the AMQP queue', qos, new Set(queued));
    book.requireOrder(
      'the AMQP queue',
      queued.map((body) => ({ body, connection: 1 })),
    );
  }

  async close(): Promise<void> {
    for (const device of this.devices) await device.end();
  }

  private add(clientId: string, v5: boolean, persistent: boolean, ...filters: [string, QoS][]): FleetDevice {
    const failed = (error: unknown): void => {
      this.failure ??= error;
    };
    const { mqtt: port } = this.broker.endpoints;
    const device = new FleetDevice({ port, clientId, v5, persistent, filters, failed }, this.book);
    this.devices.push(device);
    return device;
  }

  private publish(device: FleetDevice, qos: QoS): void {
    device.publish(this.random.pick(TOPICS)!, qos, `${device.options.clientId}-${qos}-${++this.serial}`);
  }

  private async restart(kill: boolean): Promise<void> {
    if (kill) await this.broker.kill();
    else await this.broker.stop();
    for (const device of this.devices) device.brokerRestarted();
    await this.broker.restart();
    for (const device of this.devices) if (this.random.chance(0.7)) device.connect(100);
  }

  private async allIn(receiveMaximum: () => number): Promise<void> {
    for (const device of this.devices) {
      await device.opened();
      device.connect(receiveMaximum());
      await device.opened();
      await this.until(`${device.options.clientId} is connected`, () => {
        device.connectUnless(receiveMaximum());
        return device.connected;
      });
    }
  }

  /** Until nothing will come any more: the broker has all publishes, no session has a message, all is delivered. */
  private async quiet(): Promise<void> {
    await this.roundTrip();
    await this.until('empty sessions', async () => (await this.waiting()) === 0);
    await this.roundTrip();
    await this.until('the ends of handshakes', () => this.devices.every(({ unfinished }) => unfinished === 0));
  }

  /** Everything that devices and broker have sent each other has arrived. */
  private async roundTrip(): Promise<void> {
    for (const device of this.devices) device.ping();
    await this.until('PINGRESP', () => this.devices.every(({ pings }) => pings === 0));
  }

  /** Messages that the broker holds for the sessions. */
  private async waiting(): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.broker.endpoints.http}/api/queues`, {
      headers: { authorization: `Basic ${Buffer.from('guest:guest').toString('base64')}` },
    });
    assert.equal(response.status, 200);
    const queues = (await response.json()) as { readonly name: string; readonly messages: number }[];
    return queues.reduce((sum, { name, messages }) => (name === QUEUE ? sum : sum + messages), 0);
  }

  private async until(what: string, reached: () => boolean | Promise<boolean>): Promise<void> {
    for (let looks = 0; !(await reached()); looks++) {
      if (this.failure !== null) throw this.failure;
      assert.ok(looks < MOST_LOOKS, `waited in vain: ${what}\n${this.broker.output}`);
      await delay(POLL_MS);
    }
    if (this.failure !== null) throw this.failure;
  }

  private async drainQueue(): Promise<string[]> {
    const connection = await amqp.connect(`amqp://guest:guest@127.0.0.1:${this.broker.endpoints.amqp}`);
    const channel = await connection.createChannel();
    const bodies: string[] = [];
    const { messageCount } = await channel.checkQueue(QUEUE);
    while (bodies.length < messageCount) {
      const got = await channel.get(QUEUE, { noAck: true });
      assert.ok(got !== false, 'the queue has fewer messages than it says');
      bodies.push(got.content.toString());
    }
    await connection.close();
    return bodies;
  }
}

for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
  test(`a misbehaving fleet loses no message and gets none twice (SEED=${seed})`, async (t) => {
    const broker = await BrokerProcess.start();
    t.after(() => broker.end());
    const fleet = new Fleet(broker, new Random(seed));
    t.after(() => fleet.close());
    await fleet.begin();
    for (let i = 0; i < STEPS && fleet.failure === null; i++) await fleet.step();
    if (fleet.failure !== null) throw fleet.failure;
    await fleet.end();
    await fleet.check();
    const connections = fleet.devices.reduce((sum, device) => sum + device.connections, 0);
    const taken = fleet.devices.reduce((sum, device) => sum + device.taken.length, 0);
    t.diagnostic(`${fleet.book.size} published, ${taken} taken in over ${connections} connections`);
  });
}
