// Protects the shared port: client libraries of all protocols connect to it, plain and over TLS, wherever their first
// bytes are split. A connection that sends nothing or an unknown protocol is closed within its time limit.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { Client as StompClient } from '@stomp/stompjs';
import amqplib from 'amqplib';
import mqtt from 'mqtt';
import WebSocket from 'ws';
import { type Broker, createBroker } from '../../src/broker.ts';
import type { PartialConfig } from '../../src/config/schema.ts';
import { Ticker, ticksFor } from '../../src/net/ticker.ts';
import { hasOpenssl, TestAuthority } from '../../support/certificates.ts';
import { openAmqp } from '../../support/raw-amqp.ts';
import { tcp } from '../../support/raw-client.ts';
import { openMqtt } from '../../support/raw-mqtt.ts';
import { expectStomp, openStomp } from '../../support/raw-stomp.ts';
import * as amqp from '../../support/wire/amqp.ts';
import * as wire from '../../support/wire/mqtt.ts';
import * as stomp from '../../support/wire/stomp.ts';
import { upgradeRequest } from '../../support/wire/websocket.ts';
import { connected, readAll } from '../net/fixtures.ts';

const UNAUTHENTICATED_MS = 2_000;
const OFF = { port: false, tlsPort: false } as const;
/** A configuration with the shared port only. */
const ALONE: PartialConfig = {
  port: 0,
  amqp: OFF,
  mqtt: OFF,
  stomp: OFF,
  ws: OFF,
  http: OFF,
  limits: { unauthenticatedMs: UNAUTHENTICATED_MS },
};

let broker: Broker;
let ticker: Ticker;
/** The members of the ticker without connections. */
let idle: number;
let port: number;

async function start(config: PartialConfig = {}): Promise<void> {
  ticker = new Ticker((error) => assert.fail(error as Error));
  broker = await createBroker({ ...ALONE, ...config }, { ticker });
  idle = ticker.size;
  port = broker.ports.auto!;
}

afterEach(() => broker.stop());

/** Sends each byte separately, so that no two arrive together. */
async function drip(socket: Socket, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; at++) {
    await new Promise<void>((resolve) => socket.write(bytes.subarray(at, at + 1), () => resolve()));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

async function get(path: string, ca: Buffer | null = null): Promise<HttpAnswer> {
  const options = { port, host: '127.0.0.1', path, auth: 'guest:guest', agent: false };
  const request = ca === null ? httpRequest(options) : httpsRequest({ ...options, ca });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let body = '';
  for await (const chunk of response) body += chunk;
  return { status: response.statusCode!, body };
}

/** Sends one message with each client library into one AMQP queue, then one HTTP request. */
async function meet(ca: Buffer | null): Promise<void> {
  const secure = ca === null ? {} : { ca };
  const s = ca === null ? '' : 's';
  const backend = await amqplib.connect(`amqp${s}://127.0.0.1:${port}`, secure);
  const channel = await backend.createChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  await channel.bindQueue(queue, 'amq.topic', 'one.#');
  const bodies: string[] = [];
  const all = new Promise<void>((resolve) => {
    const take = (message: amqplib.ConsumeMessage | null) => {
      if (bodies.push(message!.content.toString()) === 4) resolve();
    };
    void channel.consume(queue, take, { noAck: true });
  });

  const device = await mqtt.connectAsync(`mqtt${s}://127.0.0.1:${port}`, { ...secure, protocolVersion: 4 });
  await device.publishAsync('one/mqtt', 'mqtt', { qos: 1 });
  const socket = ca === null ? await tcp(port) : connectTls({ port, host: '127.0.0.1', ca });
  if (ca !== null) await once(socket, 'secureConnect');
  const plain = await openStomp(socket);
  plain.send(stomp.send('/topic/one.stomp', Buffer.from('stomp'), { receipt: 'r' }));
  await expectStomp(plain, 'RECEIPT');
  const page = new StompClient({
    webSocketFactory: () => new WebSocket(`ws${s}://127.0.0.1:${port}/stomp`, ['v12.stomp'], secure),
    connectHeaders: { login: 'guest', passcode: 'guest' },
    reconnectDelay: 0,
  });
  await new Promise<void>((resolve, reject) => {
    page.onConnect = () => resolve();
    page.onWebSocketError = reject;
    page.activate();
  });
  page.publish({ destination: '/topic/one.ws', body: 'ws' });
  const web = await mqtt.connectAsync(`ws${s}://127.0.0.1:${port}/mqtt`, { protocolVersion: 4, wsOptions: secure });
  await web.publishAsync('one/web-mqtt', 'web-mqtt', { qos: 1 });
  await all;
  assert.deepEqual(bodies.sort(), ['mqtt', 'stomp', 'web-mqtt', 'ws']);
  const infos = [...broker.connections].map((connection) => connection.info());
  assert.deepEqual([infos.length, infos.every((info) => info.secure === (ca !== null))], [5, true]);

  assert.deepEqual(await get('/health/ready', ca), { status: 200, body: '{"status":"ok"}' });
  const overview = JSON.parse((await get('/api/overview', ca)).body) as { listeners: unknown };
  assert.deepEqual(overview.listeners, [{ protocol: 'auto', ip_address: '127.0.0.1', port, tls: false }]);
  await Promise.all([backend.close(), device.endAsync(), page.deactivate(), plain.close(), web.endAsync()]);
}

describe('the one port', () => {
  it('is off by default, and does not replace the others', async () => {
    broker = await createBroker();
    assert.equal(broker.ports.auto, null);
    await broker.stop();
    broker = await createBroker({ port: 0 });
    const { auto, amqp: own } = broker.ports;
    assert.ok(auto !== null && own !== null && auto !== own);
  });

  it('serves the clients of every protocol', async () => {
    await start();
    await meet(null);
  });

  it('serves them inside TLS, and plain beside it', { skip: !hasOpenssl() && 'openssl is not installed' }, async () => {
    const authority = new TestAuthority('Test CA');
    try {
      const { certificateFile, keyFile } = authority.issue('/CN=localhost', 'server');
      await start({ tls: { certificateFile, keyFile } });
      await meet(readFileSync(authority.caFile));
      await meet(null);
      // TLS inside TLS is refused.
      const outer = connectTls({ port, host: '127.0.0.1', ca: readFileSync(authority.caFile) });
      await once(outer, 'secureConnect');
      outer.write('\x16\x03\x01\x02\0');
      assert.equal((await readAll(outer)).length, 0);
    } finally {
      authority.remove();
    }
  });

  it('waits for as many first bytes as it needs, and loses none of them', async () => {
    await start();
    const first: [Buffer, number][] = [
      [amqp.PROTOCOL_HEADER, 0x01],
      [wire.connect('one', { user: 'guest', password: 'guest' }), 0x20],
      [stomp.connect('guest', 'guest'), 0x43],
      [upgradeRequest('/stomp', 'v12.stomp'), 0x48],
      [Buffer.from('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n'), 0x48],
    ];
    for (const [bytes, answer] of first) {
      const socket = await tcp(port);
      const said = once(socket, 'data');
      await drip(socket, bytes);
      assert.equal(((await said) as [Buffer])[0][0], answer);
      socket.destroy();
    }
  });

  it('accepts bytes that arrive together with the first ones', async () => {
    await start();
    const socket = await tcp(port);
    socket.end(Buffer.concat([stomp.connect('guest', 'guest'), Buffer.from('DISCONNECT\nreceipt:bye\n\n\0')]));
    assert.match(String(await readAll(socket)), /^CONNECTED\n(.|\n)*RECEIPT\nreceipt-id:bye\n/);
  });

  it('closes a connection that sends nothing or too few bytes in time', async () => {
    await start();
    const silent = await connected(port);
    const halting = await connected(port);
    halting.write('SUBSC');
    while (ticker.size < idle + 2) await new Promise((resolve) => setImmediate(resolve));
    for (let i = 0; i < ticksFor(UNAUTHENTICATED_MS); i++) ticker.advance();
    assert.equal((await readAll(silent)).length, 0);
    assert.equal((await readAll(halting)).length, 0);
    assert.equal(ticker.size, idle);
  });

  it('closes a connection that does not complete a request in time', async () => {
    await start({ limits: { unauthenticatedMs: 200 } });
    const socket = await connected(port);
    socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\n');
    assert.match(String(await readAll(socket)), /^HTTP\/1\.1 408 /);
  });

  it('keeps nothing of a connection that ends before its first byte', async () => {
    await start();
    const socket = await tcp(port);
    while (ticker.size < idle + 1) await new Promise((resolve) => setImmediate(resolve));
    socket.destroy();
    while (ticker.size > idle) await new Promise((resolve) => setImmediate(resolve));
  });

  it('closes connections of unknown protocols, and of TLS without a certificate', async () => {
    await start();
    for (const bytes of ['\0\0\0\0', 'hello', 'X'.repeat(10_000), '\x16\x03\x01\x02\0\x01\0']) {
      const socket = await connected(port);
      socket.write(bytes, 'latin1');
      assert.equal((await readAll(socket)).length, 0, JSON.stringify(bytes.slice(0, 8)));
    }
  });

  it('answers HTTP as the other ports do: the API, advice for WebSocket paths, errors for upgrades', async () => {
    await start();
    assert.equal((await get('/stomp')).status, 426);
    assert.equal((await get('/nothing')).status, 404);
    const socket = await tcp(port);
    socket.write(upgradeRequest('/api/overview', 'v12.stomp'));
    assert.match(String(await readAll(socket)), /^HTTP\/1\.1 404 Not Found\r\n/);
  });

  it('leaves nothing open when the broker stops', async () => {
    await start();
    const silent = await connected(port);
    const peers = [
      await openAmqp(await tcp(port)),
      await openMqtt(await tcp(port), 'm'),
      await openStomp(await tcp(port)),
    ];
    const ends = [readAll(silent), ...peers.map((peer) => peer.rest())];
    await broker.stop();
    await Promise.all(ends);
    assert.equal(broker.connections.size, 0);
  });
});
