// Protects TLS on every listener: client libraries exchange messages over it, and a listener that requires client
// certificates refuses every client without one of its authority.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Client as StompClient } from '@stomp/stompjs';
import amqplib from 'amqplib';
import mqtt from 'mqtt';
import WebSocket from 'ws';
import { type Broker, createBroker } from '../../src/broker.ts';
import { hasOpenssl, type Pair, TestAuthority } from '../../support/certificates.ts';
import { tcp } from '../../support/raw-client.ts';
import { expectStomp, openStomp } from '../../support/raw-stomp.ts';
import * as amqp from '../../support/wire/amqp.ts';
import * as wire from '../../support/wire/mqtt.ts';
import * as stomp from '../../support/wire/stomp.ts';
import { upgradeRequest } from '../../support/wire/websocket.ts';

const PATIENCE = { timeout: 30_000 };

/** Certificates in the form that client libraries expect. */
interface Identity {
  readonly ca: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

async function startBroker(server: Pair, caFile: string | null): Promise<Broker> {
  const { certificateFile, keyFile } = server;
  return createBroker({
    tls: { certificateFile, keyFile, ...(caFile === null ? {} : { caFile, requireClientCertificate: true }) },
  });
}

async function secure(port: number, identity: Identity): Promise<TLSSocket> {
  const socket = connectTls({ port, host: '127.0.0.1', ...identity });
  await once(socket, 'secureConnect');
  return socket;
}

/** One message in each direction with each library; all four connections must be reported as secure. */
async function exchangeAll(broker: Broker, identity: Identity): Promise<void> {
  const { amqps, mqtts, stomps, wss } = broker.ports;

  const backend = await amqplib.connect(`amqps://127.0.0.1:${amqps}`, identity);
  const channel = await backend.createChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  await channel.bindQueue(queue, 'amq.topic', 'secure.#');
  const delivered: string[] = [];
  let wake = (): void => {};
  await channel.consume(
    queue,
    (message) => {
      delivered.push(message!.content.toString());
      wake();
    },
    { noAck: true },
  );

  const device = await mqtt.connectAsync(`mqtts://127.0.0.1:${mqtts}`, { ...identity, protocolVersion: 4 });
  await device.publishAsync('secure/mqtt', 'mqtt', { qos: 1 });

  const plain = await openStomp(await secure(stomps!, identity));
  plain.send(stomp.send('/topic/secure.stomp', Buffer.from('stomp'), { receipt: 'r' }));
  await expectStomp(plain, 'RECEIPT');

  const browser = new StompClient({
    webSocketFactory: () => new WebSocket(`wss://127.0.0.1:${wss}/stomp`, ['v12.stomp'], { ...identity }),
    connectHeaders: { login: 'guest', passcode: 'guest' },
    reconnectDelay: 0,
  });
  await new Promise<void>((resolve, reject) => {
    browser.onConnect = () => resolve();
    browser.onWebSocketError = reject;
    browser.activate();
  });
  browser.publish({ destination: '/topic/secure.wss', body: 'wss' });

  while (delivered.length < 3) {
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  assert.deepEqual(delivered.sort(), ['mqtt', 'stomp', 'wss']);
  const infos = [...broker.connections].map((connection) => connection.info());
  assert.equal(infos.length, 4);
  assert.ok(infos.every((info) => info.secure));

  await backend.close();
  await device.endAsync();
  await plain.close();
  await browser.deactivate();
}

/** The first bytes of each protocol, by port. */
const GREETINGS = {
  amqps: amqp.PROTOCOL_HEADER,
  mqtts: wire.connect('stranger'),
  stomps: stomp.connect('guest', 'guest'),
  wss: upgradeRequest('/stomp', 'v12.stomp'),
} as const;
const SECURE_PORTS = Object.keys(GREETINGS) as (keyof typeof GREETINGS)[];

/** The record type of a TLS alert (RFC 8446 §5.1). */
const TLS_ALERT = 21;

/** The bytes that the broker sends before it ends the connection. */
async function said(socket: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => {});
  await new Promise((resolve) => {
    socket.on('close', resolve);
  });
  return text;
}

describe('TLS', { skip: hasOpenssl() ? false : 'openssl is not installed' }, () => {
  let authority: TestAuthority;
  let ca: Buffer;
  let server: Pair;

  before(() => {
    authority = new TestAuthority('Trivium test authority');
    ca = readFileSync(authority.caFile);
    server = authority.issue('/CN=localhost', 'server');
  });

  after(() => authority.remove());

  test('every protocol exchanges messages over it', PATIENCE, async () => {
    const broker = await startBroker(server, null);
    await exchangeAll(broker, { ca });
    await broker.stop();
  });

  test('a client that does not trust the authority does not connect', PATIENCE, async () => {
    const broker = await startBroker(server, null);
    await assert.rejects(amqplib.connect(`amqps://127.0.0.1:${broker.ports.amqps}`), /self-signed|unable to/);
    await broker.stop();
  });

  for (const name of SECURE_PORTS) {
    test(`a connection without TLS to ${name} is closed, and others continue`, PATIENCE, async () => {
      const broker = await startBroker(server, null);
      const socket = await tcp(broker.ports[name]!);
      const answer = said(socket);
      socket.write(GREETINGS[name]);
      const first = (await answer).charCodeAt(0);
      assert.ok(Number.isNaN(first) || first === TLS_ALERT, `it answered ${first}`);
      await exchangeAll(broker, { ca });
      await broker.stop();
    });
  }

  describe('with required client certificates', () => {
    let broker: Broker;

    before(async () => {
      broker = await startBroker(server, authority.caFile);
    });

    after(() => broker.stop());

    test('those of its authority are accepted', PATIENCE, async () => {
      const { certificateFile, keyFile } = authority.issue('/O=Plant/CN=device-7', 'device-7');
      await exchangeAll(broker, { ca, cert: readFileSync(certificateFile), key: readFileSync(keyFile) });
    });

    for (const name of SECURE_PORTS) {
      test(`${name} sends nothing to a client without one`, PATIENCE, async () => {
        // With TLS 1.3 the client considers itself connected until it reads the alert.
        const socket = connectTls({ port: broker.ports[name]!, host: '127.0.0.1', ca });
        socket.write(GREETINGS[name]);
        assert.equal(await said(socket), '');
        assert.equal(broker.connections.size, 0);
      });
    }

    test('one of another authority is refused', PATIENCE, async () => {
      const other = new TestAuthority('Another authority');
      const { certificateFile, keyFile } = other.issue('/CN=device-7', 'device-7');
      const identity = { ca, cert: readFileSync(certificateFile), key: readFileSync(keyFile) };
      for (const name of SECURE_PORTS) {
        const socket = connectTls({ port: broker.ports[name]!, host: '127.0.0.1', ...identity });
        socket.write(GREETINGS[name]);
        assert.equal(await said(socket), '');
      }
      await assert.rejects(amqplib.connect(`amqps://127.0.0.1:${broker.ports.amqps}`, identity));
      other.remove();
    });
  });
});
