// AMQP in a browser: a page in Chromium with @cloudamqp/amqp-client over a WebSocket calls an AMQP service by direct
// reply, publishes with confirms, and consumes from a durable queue, including bodies of many frames.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import amqplib from 'amqplib';
import { BrokerProcess } from '../../support/broker-process.ts';
import { Browser, CHROMIUM } from './browser.ts';
import { Watch } from './watch.ts';

const skip = !existsSync(CHROMIUM) && `not installed: ${CHROMIUM}`;
/** Larger than one frame of the maximum size. */
const LARGE_BYTES = 300_000;

type Told =
  | { readonly kind: 'ready' }
  | { readonly kind: 'reply'; readonly body: string; readonly id: string }
  | { readonly kind: 'task'; readonly body: string; readonly length: number };

test('a page speaks AMQP: request and direct reply, confirms, acknowledgements, bodies of many frames', {
  skip,
}, async (t) => {
  const watch = new Watch();
  t.after(() => watch.end());
  const broker = await BrokerProcess.start();
  const connection = await amqplib.connect(`amqp://127.0.0.1:${broker.endpoints.amqp}`);
  t.after(async () => {
    await connection.close();
    await broker.end();
  });
  const service = await connection.createChannel();
  await service.assertQueue('service', { durable: false });
  await service.consume('service', (request) => {
    const { replyTo, correlationId } = request!.properties;
    service.sendToQueue(replyTo, Buffer.from(`${request!.content} to you`), { correlationId });
    service.ack(request!);
  });
  const browser = await Browser.open('rpc.html', watch);
  t.after(() => browser.close());
  const told: Told[] = [];
  watch.describe = () => `${JSON.stringify(told)}\n${broker.output}`;
  const page = await browser.tab<Told>(broker.endpoints.webStomp, (each) => {
    told.push(each);
    watch.tick();
  });

  await watch.until(() => told.some(({ kind }) => kind === 'ready'));
  await page.evaluate(`ask('42', 'größe 日本')`);
  await watch.until(() => told.some(({ kind }) => kind === 'reply'));
  assert.deepEqual(
    told.find(({ kind }) => kind === 'reply'),
    { kind: 'reply', body: 'größe 日本 to you', id: '42' },
  );

  await page.evaluate(`add(${LARGE_BYTES})`);
  await watch.until(() => told.some(({ kind }) => kind === 'task'));
  const task = told.find((each) => each.kind === 'task')!;
  assert.equal(task.length, LARGE_BYTES);
  assert.equal(task.body, 'x'.repeat(LARGE_BYTES));
});
