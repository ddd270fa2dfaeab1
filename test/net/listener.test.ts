// Listeners: connection limits, errors that name the port, TLS with and without client certificates, reload, and a stop
// that leaves no open handles.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, readFileSync } from 'node:fs';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { AddressLimit } from '../../src/net/address-limit.ts';
import { Listener } from '../../src/net/listener.ts';
import type { PortOptions } from '../../src/net/port-listener.ts';
import { readTls } from '../../src/net/tls.ts';
import { hasOpenssl, type Pair, TestAuthority } from '../../support/certificates.ts';
import { Arrivals, connected, newContext, readAll, readBytes, type TestContext } from './fixtures.ts';

const PLAIN: PortOptions = { name: 'mqtt', host: '127.0.0.1', port: 0, tls: null, maxConnections: 100 };

let context: TestContext;
let arrivals: Arrivals;
let refused: [string, string, string][];
let fullCount: number;
let open: Listener[];

beforeEach(() => {
  context = newContext();
  arrivals = new Arrivals();
  refused = [];
  fullCount = 0;
  open = [];
});

afterEach(async () => {
  for (const listener of open) {
    await listener.close();
    assert.equal(listener.connectionCount, 0);
  }
});

function newListener(options: Partial<PortOptions> = {}): Listener {
  const listener = new Listener({ ...PLAIN, ...options }, arrivals.accept, context, {
    refused: (...what) => refused.push(what),
    full: () => fullCount++,
    addressFull: () => fullCount++,
  });
  open.push(listener);
  return listener;
}

describe('a listener', () => {
  it('reports its port', async () => {
    const listener = newListener();
    assert.equal(listener.port, 0);
    const port = await listener.listen();
    assert.ok(port > 0);
    assert.equal(listener.port, port);
    const arrival = arrivals.next();
    const socket = await connected(port);
    await arrival;
    assert.equal(listener.connectionCount, 1);
    socket.destroy();
  });

  it('names itself and the address if the port is in use', async () => {
    const port = await newListener().listen();
    await assert.rejects(newListener({ name: 'stomp', port }).listen(), {
      message: `listener stomp cannot listen on 127.0.0.1:${port}: the port is in use`,
    });
  });

  it('names itself if the address is not local', async () => {
    await assert.rejects(newListener({ host: '192.0.2.1' }).listen(), /listener mqtt cannot listen on 192\.0\.2\.1:0/);
  });

  it('closes connections above its bound and counts them', async () => {
    const listener = newListener({ maxConnections: 2 });
    const port = await listener.listen();
    const first = [await connected(port), await connected(port)];
    const third = await connected(port);
    assert.equal((await readAll(third)).length, 0);
    assert.equal(refused.length, 1);
    assert.equal(refused[0]?.[1], 'more than 2 connections');
    assert.equal(fullCount, 1);
    for (const socket of first) socket.destroy();
  });

  it('closes connections above the bound of their address, of all listeners together, and counts them', async () => {
    context = newContext({ addresses: new AddressLimit(2) });
    const ports = [await newListener().listen(), await newListener().listen()];
    const first = [await connected(ports[0]!), await connected(ports[1]!)];
    const third = await connected(ports[0]!);
    await readAll(third).catch(() => {});
    assert.deepEqual([refused.length, refused[0]?.[1]], [1, 'too many connections from this address']);
    assert.equal(fullCount, 1);
    first[0]!.destroy();
    while (open[0]!.connectionCount > 0) await nextTurn();
    const again = await connected(ports[0]!);
    while (open[0]!.connectionCount === 0) await nextTurn();
    again.write('x');
    assert.equal(refused.length, 1);
    for (const socket of [first[1]!, again]) socket.destroy();
  });

  it('stops accepting and keeps open connections', async () => {
    const listener = newListener();
    const port = await listener.listen();
    const arrival = arrivals.next();
    const socket = await connected(port);
    const handler = await arrival;
    const stopped = listener.stopAccepting();
    const late = await connected(port).catch((error) => error.code);
    assert.equal(late, 'ECONNREFUSED');
    socket.write('still here');
    await handler.bytes(10);
    handler.transport.end();
    await readAll(socket);
    await stopped;
  });

  it('leaves no connection open when it is closed', async () => {
    const listener = newListener();
    const port = await listener.listen();
    const arrival = arrivals.next();
    const socket = await connected(port);
    const handler = await arrival;
    await listener.close();
    assert.equal(await handler.isClosed, null);
    await readAll(socket);
    await listener.close();
  });

  it('can be closed before it listened', async () => {
    await newListener().close();
  });
});

describe('a TLS listener', { skip: !hasOpenssl() && 'openssl is not installed' }, () => {
  let authority: TestAuthority;
  let stranger: TestAuthority;
  let server: Pair;
  let device: Pair;

  before(() => {
    authority = new TestAuthority('Test CA');
    stranger = new TestAuthority('Another CA');
    server = authority.issue('/CN=localhost', 'server');
    device = authority.issue('/O=Plant/CN=device-7', 'device');
  });

  after(() => {
    authority.remove();
    stranger.remove();
  });

  function secure(options: { caFile?: string; require?: boolean } = {}): Listener {
    const tls = { ...server, caFile: options.caFile ?? null, requireClientCertificate: options.require ?? false };
    return newListener({ name: 'mqtts', tls });
  }

  async function handshake(port: number, client: Pair | null = null, trusted = authority): Promise<TLSSocket> {
    const pair = client && { cert: readFileSync(client.certificateFile), key: readFileSync(client.keyFile) };
    const socket = connectTls({ port, host: '127.0.0.1', ca: readFileSync(trusted.caFile), ...pair });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    return socket;
  }

  it('carries bytes both ways', async () => {
    const port = await secure().listen();
    const arrival = arrivals.next();
    const socket = await handshake(port);
    const handler = await arrival;
    assert.equal(handler.transport.secure, true);
    assert.equal(handler.transport.clientCertificate, null);
    assert.equal(handler.transport.loopback, true);
    handler.onData = (chunk) => handler.transport.outbox.append(chunk, 0, chunk.length);
    const body = Buffer.alloc(300_000, 'secret');
    socket.write(body);
    assert.deepEqual(await readBytes(socket, body.length), body);
    handler.transport.end();
    await readAll(socket);
    assert.equal(await handler.isClosed, null);
    assert.equal(context.pool.lentBytes, 0);
  });

  it('identifies a client by its certificate', async () => {
    const port = await secure({ caFile: authority.caFile, require: true }).listen();
    const arrival = arrivals.next();
    const socket = await handshake(port, device);
    const { clientCertificate } = (await arrival).transport;
    assert.equal(clientCertificate?.commonName, 'device-7');
    assert.equal(clientCertificate?.subject, 'CN=device-7,O=Plant');
    assert.match(clientCertificate?.alternativeNames ?? '', /DNS:localhost/);
    assert.match(clientCertificate?.fingerprint256 ?? '', /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
    socket.destroy();
  });

  it('refuses a client without a certificate, or with one of an unknown authority, if it requires one', async () => {
    const listener = secure({ caFile: authority.caFile, require: true });
    const port = await listener.listen();
    for (const client of [null, stranger.issue('/CN=device-7', 'forged')]) {
      // With TLS 1.3 a client's handshake completes before the server's refusal arrives.
      const socket = await handshake(port, client).catch(() => null);
      if (socket !== null) assert.equal((await readAll(socket)).length, 0);
    }
    assert.equal(arrivals.handlers.length, 0);
    assert.equal(refused.length, 2);
  });

  it('accepts a client without a certificate if one is optional, without an identity', async () => {
    const port = await secure({ caFile: authority.caFile }).listen();
    for (const client of [null, stranger.issue('/CN=device-7', 'forged-too')]) {
      const arrival = arrivals.next();
      const socket = await handshake(port, client);
      assert.equal((await arrival).transport.clientCertificate, null);
      socket.destroy();
    }
  });

  it('counts connections that are not TLS, and continues', async () => {
    const listener = secure();
    const port = await listener.listen();
    const plain = await connected(port);
    plain.write('MQTT without TLS, sorry\r\n\r\n');
    await readAll(plain);
    assert.equal(refused.length, 1);
    const arrival = arrivals.next();
    const socket = await handshake(port);
    await arrival;
    socket.destroy();
  });

  it('serves a renewed certificate; open connections stay', async () => {
    const renewed = authority.issue('/CN=renewed', 'live');
    const next = stranger.issue('/CN=localhost', 'next');
    const tls = { ...renewed, caFile: null, requireClientCertificate: false };
    const listener = newListener({ tls });
    const port = await listener.listen();
    const arrival = arrivals.next();
    const early = await handshake(port);
    const earlyHandler = await arrival;
    copyFileSync(next.certificateFile, renewed.certificateFile);
    copyFileSync(next.keyFile, renewed.keyFile);
    listener.renewTls(await readTls(tls));
    const late = await handshake(port, null, stranger);
    assert.equal(late.getPeerCertificate().issuer.CN, 'Another CA');
    early.write('still open');
    await earlyHandler.bytes(10);
    late.destroy();
    early.destroy();
  });

  it('names listener and file if a file cannot be read', async () => {
    const tls = { ...server, keyFile: '/nowhere/server.key', caFile: null, requireClientCertificate: false };
    await assert.rejects(
      newListener({ name: 'amqps', tls }).listen(),
      /listener amqps: cannot read the TLS key file \/nowhere/,
    );
  });

  it('releases a client that disconnects during the handshake', async () => {
    const listener = secure();
    const port = await listener.listen();
    const silent = await connected(port);
    silent.end();
    await readAll(silent);
    while (listener.connectionCount > 0) await new Promise(setImmediate);
    assert.equal(refused.length, 1);
    assert.equal(arrivals.handlers.length, 0);
  });

  it('releases a client that does not trust it', async () => {
    const listener = secure();
    const port = await listener.listen();
    await assert.rejects(handshake(port, null, stranger));
    while (listener.connectionCount > 0) await new Promise(setImmediate);
  });

  it('still sends pending bytes to a client that has ended its side', async () => {
    const port = await secure().listen();
    const arrival = arrivals.next();
    const socket = await handshake(port);
    const handler = await arrival;
    handler.onData = (chunk) => handler.transport.outbox.append(chunk, 0, chunk.length);
    const body = Buffer.alloc(300_000, 'secret');
    socket.end(body);
    assert.deepEqual(await readAll(socket), body);
    assert.equal(await handler.isClosed, null);
  });

  it('closes handshakes that are under way', async () => {
    const listener = secure();
    const port = await listener.listen();
    const silent = await connected(port);
    while (listener.connectionCount === 0) await new Promise(setImmediate);
    await listener.close();
    await readAll(silent);
  });
});
