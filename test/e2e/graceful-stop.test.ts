// Protects the orderly stop: the broker first confirms what clients have published, then tells each the reason in its
// protocol; the process exits soon with code 0, and a program that embeds a broker has no open handles left.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';
import { createBroker } from '../../src/broker.ts';
import { argumentsOf, expectMethod, methodOf, openAmqp } from '../../support/raw-amqp.ts';
import { type RawClient, tcp } from '../../support/raw-client.ts';
import { openMqtt } from '../../support/raw-mqtt.ts';
import { expectStomp, headerOf, openStomp } from '../../support/raw-stomp.ts';
import * as amqp from '../../support/wire/amqp.ts';
import * as mqtt from '../../support/wire/mqtt.ts';
import * as stomp from '../../support/wire/stomp.ts';
import { Command, record } from '../support/command.ts';
import { EchoClients } from './echo.ts';
import { HeldKv } from './held-kv.ts';

const { METHOD } = amqp;
const PATIENCE = { timeout: 60_000 };
const FREE_PORTS = ['amqp', 'mqtt', 'stomp', 'ws', 'http'].flatMap((name) => [`--${name}-port`, '0']);

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'trivium-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** The command ends with code 1 where stopping takes it longer than the five seconds that it allows itself. */
async function expectOrderly(command: Command): Promise<void> {
  assert.equal((await command.finished()).code, 0);
}

interface ChildPorts {
  readonly amqp: number;
  readonly mqtt: number;
  readonly stomp: number;
  readonly ws: number;
}

async function startChild(t: TestContext, data: string): Promise<{ command: Command; ports: ChildPorts }> {
  const args = ['start', '--host', '127.0.0.1', '--data-dir', data, ...FREE_PORTS];
  const command = new Command(t, process.execPath, [source('../../src/entry.js'), ...args]);
  const { ports } = await command.line(record('ready'));
  return { command, ports: ports as ChildPorts };
}

/** Expects connection.close 320, answers it, and waits until the broker closes. */
async function expectForced(peer: RawClient): Promise<void> {
  const close = await expectMethod(peer, METHOD.connectionClose);
  assert.equal(close.readUInt16BE(0), 320);
  assert.match(close.toString('utf8', 3, 3 + close[2]!), /^CONNECTION_FORCED - .*stopping/);
  peer.send(amqp.method(0, METHOD.connectionCloseOk));
  assert.deepEqual(await peer.rest(), []);
}

/** Returns the last confirmed tag before connection.close, which it answers. */
async function lastConfirm(peer: RawClient): Promise<number> {
  let confirmed = 0;
  for (let unit = await peer.next(); unit !== null; unit = await peer.next()) {
    if (methodOf(unit) === METHOD.basicAck) confirmed = Number(argumentsOf(unit).readBigUInt64BE(0));
    if (methodOf(unit) === METHOD.connectionClose) peer.send(amqp.method(0, METHOD.connectionCloseOk));
  }
  return confirmed;
}

async function expectFarewell(peer: RawClient): Promise<void> {
  const error = await expectStomp(peer, 'ERROR');
  assert.match(headerOf(error, 'message')!, /closed by the broker/);
  assert.match(error.body.toString(), /stopping/);
  assert.deepEqual(await peer.rest(), []);
}

test('on SIGTERM clients are told, and the process ends soon with code 0', PATIENCE, async (t) => {
  const { command, ports } = await startChild(t, directory(t));
  const backend = await openAmqp(await tcp(ports.amqp));
  const device = await openMqtt(await tcp(ports.mqtt), 'device');
  const browser = await openStomp(await tcp(ports.stomp));
  const page = new WebSocket(`ws://127.0.0.1:${ports.ws}/mqtt`, 'mqtt');
  await once(page, 'open');
  page.send(mqtt.connect('page'));
  await once(page, 'message');
  const left = once(page, 'close');
  // The stop does not wait for clients that have not logged in.
  const strangers = await Promise.all([tcp(ports.amqp), tcp(ports.mqtt), tcp(ports.stomp)]);
  for (const stranger of strangers) stranger.resume();
  command.child.kill('SIGTERM');
  await Promise.all([expectForced(backend), expectFarewell(browser)]);
  assert.deepEqual(await device.rest(), []);
  assert.equal((await left)[0], 1001);
  await expectOrderly(command);
  for (const stranger of strangers) stranger.destroy();
});

test('clients that do not answer the close do not delay the stop', PATIENCE, async (t) => {
  const { command, ports } = await startChild(t, directory(t));
  const mute = await openAmqp(await tcp(ports.amqp));
  mute.socket.pause();
  command.child.kill('SIGTERM');
  await expectOrderly(command);
  await mute.close();
});

test('messages confirmed before the stop exist after it', PATIENCE, async (t) => {
  const data = directory(t);
  const { command, ports } = await startChild(t, data);
  const peer = await openAmqp(await tcp(ports.amqp));
  peer.send(amqp.confirmSelect(1), amqp.declareQueue(1, 'q', { durable: true }));
  await expectMethod(peer, METHOD.confirmSelectOk);
  await expectMethod(peer, METHOD.queueDeclareOk);
  const messages = Array.from({ length: 2_000 }, (_, i) => amqp.publish(1, '', 'q', Buffer.from(String(i)), 2));
  peer.send(...messages);
  // The signal arrives while confirms are pending.
  const first = Number((await expectMethod(peer, METHOD.basicAck)).readBigUInt64BE(0));
  command.child.kill('SIGTERM');
  const confirmed = Math.max(first, await lastConfirm(peer));
  await expectOrderly(command);
  const again = await startChild(t, data);
  const checking = await openAmqp(await tcp(again.ports.amqp));
  checking.send(amqp.checkQueue(1, 'q'));
  const found = (await expectMethod(checking, METHOD.queueDeclareOk)).readUInt32BE(2);
  assert.ok(found >= confirmed, `${found} of ${confirmed}`);
  again.command.child.kill('SIGTERM');
  await expectForced(checking);
  assert.equal((await again.command.finished()).code, 0);
});

test('confirms that wait for the disk are sent before connections are closed', PATIENCE, async () => {
  const kv = new HeldKv();
  const broker = await createBroker({}, { kv });
  const clients = await EchoClients.open(broker.ports);
  const [backend, device, browser] = [
    await clients.connect('amqp'),
    await clients.connect('mqtt'),
    await clients.connect('stomp'),
  ];
  backend.send(amqp.declareQueue(1, 'q', { durable: true }), amqp.bindQueue(1, 'q', 'amq.topic', 'q'));
  await expectMethod(backend.peer, METHOD.queueDeclareOk);
  await expectMethod(backend.peer, METHOD.queueBindOk);
  backend.send(amqp.confirmSelect(1));
  await expectMethod(backend.peer, METHOD.confirmSelectOk);

  const body = Buffer.from('last');
  kv.hold = true;
  backend.send(amqp.publish(1, '', 'q', body, 2));
  await kv.whenWaiting();
  device.send(mqtt.publish('q', body, 1, 7));
  browser.send(stomp.send('/amq/queue/q', body, { persistent: 'true', receipt: 'sent' }));
  for (const client of [backend, device, browser]) await client.saysNothing();
  const stopped = broker.stop();
  for (const client of [backend, device, browser]) await client.saysNothing();
  kv.releaseHeld();

  await expectMethod(backend.peer, METHOD.basicAck);
  await expectForced(backend.peer);
  const [puback, ...nothing] = await device.peer.rest();
  assert.deepEqual([puback?.toString('hex'), nothing], ['40020007', []]);
  assert.equal(headerOf(await expectStomp(browser.peer, 'RECEIPT'), 'receipt-id'), 'sent');
  await expectFarewell(browser.peer);
  await clients.close();
  await stopped;

  const reopened = await createBroker({}, { kv: kv.crash(false) });
  assert.equal(reopened.hosts.get('/')!.queues.get('q')!.readyCount, 3);
  await reopened.stop();
});

test('a broker stopped twice, or without clients, stops once', PATIENCE, async () => {
  const broker = await createBroker();
  await Promise.all([broker.stop(), broker.stop()]);
  await broker.stop();
});

for (const [store, args] of [
  ['in memory', () => []],
  ['on disk', (t: TestContext) => [directory(t)]],
] as const) {
  test(`a program that embeds a broker ${store} has nothing left open and ends by itself`, PATIENCE, async (t) => {
    const command = new Command(t, process.execPath, [source('./embedding-program.ts'), ...args(t)]);
    const { code, stdout, stderr } = await command.finished();
    assert.equal(code, 0, stderr);
    const { received, left } = JSON.parse(stdout) as { received: number; left: string[] };
    assert.equal(received, 2);
    // Standard output is a pipe in this test.
    assert.deepEqual(
      left.filter((resource) => resource !== 'PipeWrap'),
      [],
    );
  });
}
