// A fresh Trivium broker for the checks, with the controls that they may need. This is the only file of the kit that
// imports the broker, and only through its embedding API.

import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, createBroker } from '../src/broker.ts';
import { hasOpenssl, TestAuthority } from '../support/certificates.ts';
import { freePorts } from '../support/free-port.ts';
import type { Controls, Endpoint, TlsAddress, WebSocketAddress } from './check.ts';
import type { Target } from './runner.ts';

/** The user in the client certificate. */
const DEVICE = 'conformance-device';

export interface EmbeddedTarget extends Target {
  stop(): Promise<void>;
}

/**
 * Durable, in its own temporary directory, so that checks can restart it. It has TLS if openssl is available to make
 * certificates.
 */
export async function embeddedTarget(): Promise<EmbeddedTarget> {
  const dataDir = await mkdtemp(join(tmpdir(), 'trivium-conformance-'));
  const certificates = hasOpenssl() ? newCertificates() : null;
  const [amqp, amqps, mqtt, stomp, ws] = (await freePorts(5)) as [number, number, number, number, number];
  // Fixed ports: a restart might find a port assigned by the system in use by an outgoing connection.
  const ports = { amqp: { port: amqp }, mqtt: { port: mqtt }, stomp: { port: stomp }, ws: { port: ws } };
  const secure = certificates === null ? {} : { tls: certificates.server, amqp: { port: amqp, tlsPort: amqps } };
  const start = (): Promise<Broker> => createBroker({ dataDir, limits: { passwordCost: 10 }, ...ports, ...secure });
  let broker = await start();
  await broker.users.put(DEVICE, 'never used', []);
  broker.permissions.put('/', DEVICE, { configure: '.*', write: '.*', read: '.*' });
  const endpoint = (port: number): Endpoint => ({ host: '127.0.0.1', port, user: 'guest', password: 'guest' });
  const webSocket = (path: string): WebSocketAddress => ({ host: '127.0.0.1', port: ws, path });
  return {
    endpoints: {
      amqp: {
        ...endpoint(amqp),
        webSocket: webSocket('/amqp'),
        ...(certificates === null ? {} : { tls: { host: '127.0.0.1', port: amqps, ...certificates.shown } }),
      },
      mqtt: { ...endpoint(mqtt), webSocket: webSocket('/mqtt') },
      stomp: { ...endpoint(stomp), webSocket: webSocket('/stomp') },
    },
    controls: controlsOf(
      () => broker,
      async () => {
        await broker.stop();
        broker = await start();
      },
    ),
    async stop() {
      await broker.stop();
      await rm(dataDir, { recursive: true, force: true });
      certificates?.authority.remove();
    },
  };
}

/** Makes the broker's certificate and a client's. */
function newCertificates() {
  const authority = new TestAuthority('Conformance');
  const device = authority.issue(`/CN=${DEVICE}`, 'device');
  const shown: Pick<TlsAddress, 'ca' | 'client'> = {
    ca: readFileSync(authority.caFile),
    client: { certificate: readFileSync(device.certificateFile), key: readFileSync(device.keyFile), user: DEVICE },
  };
  return { authority, shown, server: { ...authority.issue('/CN=localhost', 'server'), caFile: authority.caFile } };
}

function controlsOf(broker: () => Broker, restart: () => Promise<void>): Controls {
  return {
    restart,
    async block(blocked) {
      // Blocks each connection separately: a block of all would end with the turn, because no bound is exceeded.
      for (const connection of broker().connections) {
        if (blocked) connection.block('low on memory', true);
        else connection.unblock();
      }
    },
    async createVirtualHost(name) {
      broker().hosts.create(name);
      broker().permissions.put(name, 'guest', { configure: '.*', write: '.*', read: '.*' });
    },
    async createUser(name, password, permissions) {
      await broker().users.put(name, password, []);
      if (permissions === null) return;
      const [configure, write, read] = permissions;
      broker().permissions.put('/', name, { configure, write, read });
    },
  };
}
