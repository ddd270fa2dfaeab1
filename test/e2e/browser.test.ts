// A realistic page in Chromium with stompjs: text and binary in both directions, a durable subscription that loses no
// message when the broker is killed or the page is away, and as many connections as fifty tabs open.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import amqplib from 'amqplib';
import type { Page } from 'playwright-core';
import { BrokerProcess } from '../../support/broker-process.ts';
import { Browser, CHROMIUM, STRANGER } from './browser.ts';
import { Watch } from './watch.ts';

const skip = !existsSync(CHROMIUM) && `not installed: ${CHROMIUM}`;
const TABS = 50;

type Told =
  | { readonly kind: 'subscribed' | 'closed'; readonly name: string }
  | { readonly kind: 'error'; readonly name: string; readonly message: string }
  | {
      readonly kind: 'message';
      readonly name: string;
      readonly body: string;
      readonly octets?: number[];
      readonly headers?: Readonly<Record<string, string>>;
    };

type Message = Extract<Told, { kind: 'message' }>;

/** The page, and a ledger of what it reported. */
class Orders {
  readonly watch: Watch;
  readonly broker: BrokerProcess;
  readonly messages: Message[];
  /** The connections that are subscribed now. */
  readonly subscribed: Set<string>;
  page!: Page;

  private constructor(watch: Watch, broker: BrokerProcess) {
    this.watch = watch;
    this.broker = broker;
    this.messages = [];
    this.subscribed = new Set();
    watch.describe = () => `${this.subscribed.size} subscribed, ${this.messages.length} messages\n${broker.output}`;
  }

  static async open(t: TestContext, flags: readonly string[] = []): Promise<Orders> {
    const watch = new Watch();
    t.after(() => watch.end());
    const broker = await BrokerProcess.start({ flags });
    t.after(() => broker.end());
    const browser = await Browser.open('orders.html', watch);
    t.after(() => browser.close());
    const orders = new Orders(watch, broker);
    orders.page = await browser.tab<Told>(broker.endpoints.webStomp, (told) => orders.hear(told));
    await orders.watch.until(() => orders.subscribed.has('orders'));
    return orders;
  }

  /** Bodies that the durable subscription got, in order, without redeliveries. */
  get orders(): string[] {
    return [...new Set(this.messages.filter(({ name }) => name === 'orders').map(({ body }) => body))];
  }

  async untilOrders(count: number): Promise<void> {
    await this.watch.until(() => this.orders.length >= count);
  }

  /** Publishes a persistent message and resolves when it is confirmed. */
  async publish(routingKey: string, bodies: readonly string[]): Promise<void> {
    const connection = await amqplib.connect(`amqp://127.0.0.1:${this.broker.endpoints.amqp}`);
    const channel = await connection.createConfirmChannel();
    for (const body of bodies) channel.publish('amq.topic', routingKey, Buffer.from(body), { persistent: true });
    await channel.waitForConfirms();
    await connection.close();
  }

  private hear(told: Told): void {
    switch (told.kind) {
      case 'subscribed':
        this.subscribed.add(told.name);
        break;
      case 'closed':
        this.subscribed.delete(told.name);
        break;
      case 'message':
        this.messages.push(told);
        break;
      case 'error':
        this.watch.fail(new Error(`the broker sent ERROR to ${told.name}: ${told.message}`));
        return;
      default:
        told satisfies never;
    }
    this.watch.tick();
  }
}

const numbered = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `order ${from + i}`);

for (const compression of ['off', 'on']) {
  test(`a page sends and gets text and octets, compression ${compression}`, { skip }, async (t) => {
    const orders = await Orders.open(t, [`--ws-compression=${compression}`]);
    const octets = [0, 255, 254, 10, 0, 195, 40, 13];
    await orders.page.evaluate(
      // stompjs itself would misread a backslash before a c.
      `sendText('größer als 日本 🚀\\0', { 'x-größe': 'a:b\\n\\\\d', 'content-type': 'text/plain' })`,
    );
    await orders.page.evaluate(`sendOctets(${JSON.stringify(octets)})`);
    await orders.page.evaluate(`sendText('x'.repeat(300_000), {})`);
    await orders.untilOrders(3);
    const [text, binary, large] = orders.messages;
    assert.equal(text!.body, 'größer als 日本 🚀\0');
    assert.equal(text!.headers!['x-größe'], 'a:b\n\\d');
    assert.equal(text!.headers!['content-type'], 'text/plain');
    assert.deepEqual(binary!.octets, octets);
    assert.equal(large!.body.length, 300_000);
  });
}

test('a durable subscription of a page loses nothing while the broker is killed or the page is away', {
  skip,
}, async (t) => {
  const orders = await Orders.open(t);
  await orders.publish('orders', numbered(0, 50));
  await orders.broker.kill();
  await orders.watch.until(() => !orders.subscribed.has('orders'));
  await orders.broker.restart();
  await orders.watch.until(() => orders.subscribed.has('orders'));
  await orders.publish('orders', numbered(50, 100));
  await orders.untilOrders(100);

  await orders.page.evaluate('orders.deactivate()');
  await orders.watch.until(() => !orders.subscribed.has('orders'));
  await orders.publish('orders', numbered(100, 150));
  await orders.broker.kill();
  await orders.broker.restart();
  await orders.publish('orders', numbered(150, 200));
  await orders.page.evaluate('orders.activate()');
  await orders.untilOrders(200);
  assert.deepEqual(orders.orders, numbered(0, 200));
  const shown = await orders.page.evaluate<number>(`document.querySelectorAll('li').length`);
  assert.equal(shown, orders.messages.length);
});

test(`${TABS} connections of a browser all come back and hear everything`, { skip }, async (t) => {
  const orders = await Orders.open(t);
  const heard = (body: string) => orders.messages.filter((message) => message.body === body).length;
  await orders.page.evaluate(`open(${TABS})`);
  await orders.watch.until(() => orders.subscribed.size === TABS + 1);
  await orders.publish('all', ['before']);
  await orders.watch.until(() => heard('before') === TABS);
  await orders.broker.kill();
  await orders.watch.until(() => orders.subscribed.size === 0);
  await orders.broker.restart();
  await orders.watch.until(() => orders.subscribed.size === TABS + 1);
  await orders.publish('all', ['after']);
  await orders.watch.until(() => heard('after') === TABS);
  assert.equal(orders.messages.length, 2 * TABS);
});

test("a foreign page cannot connect to a broker on the visitor's machine, under any host name", { skip }, async (t) => {
  const watch = new Watch();
  t.after(() => watch.end());
  const broker = await BrokerProcess.start();
  t.after(() => broker.end());
  const browser = await Browser.open('orders.html', watch);
  t.after(() => browser.close());
  const told: [string, string][] = [];
  const open = async (name: string, page: string, host: string) => {
    const hear = ({ kind }: Told) => {
      told.push([name, kind]);
      watch.tick();
    };
    await browser.tab<Told>(broker.endpoints.webStomp, hear, { page, broker: host });
    await watch.until(() => told.some(([who]) => who === name));
  };
  await open('foreign', STRANGER, 'localhost');
  await open('rebound', STRANGER, STRANGER);
  await open('local', 'localhost', '127.0.0.1');
  assert.deepEqual(new Set(told.map(String)), new Set(['foreign,closed', 'rebound,closed', 'local,subscribed']));
  const refusals = broker.output.match(/origin http:\/\/stranger\.example:\d+ is not allowed/g) ?? [];
  assert.ok(refusals.length >= 2, broker.output);
});
