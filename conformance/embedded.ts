// A fresh broker of our own to run the checks against, with the controls that checks may ask for. This is the only file
// of the kit that knows the broker's code, and only its embedding API.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, createBroker } from '../src/broker.ts';
import { freePorts } from '../test/support/free-port.ts';
import type { Controls, Endpoint, WebSocketAddress } from './check.ts';
import type { Target } from './runner.ts';

export interface EmbeddedTarget extends Target {
  stop(): Promise<void>;
}

/** Durable, in a directory of its own that goes away with it, so that checks may see what survives a restart. */
export async function embeddedTarget(): Promise<EmbeddedTarget> {
  const dataDir = await mkdtemp(join(tmpdir(), 'trivium-conformance-'));
  const [amqp, mqtt, stomp, ws] = (await freePorts(4)) as [number, number, number, number];
  // Chosen here: where the system chose, a restart would find some outgoing connection on the port that it left.
  const ports = { amqp: { port: amqp }, mqtt: { port: mqtt }, stomp: { port: stomp }, ws: { port: ws } };
  const start = (): Promise<Broker> => createBroker({ dataDir, limits: { passwordCost: 10 }, ...ports });
  let broker = await start();
  const endpoint = (port: number): Endpoint => ({ host: '127.0.0.1', port, user: 'guest', password: 'guest' });
  const webSocket = (path: string): WebSocketAddress => ({ host: '127.0.0.1', port: ws, path });
  return {
    endpoints: {
      amqp: { ...endpoint(amqp), webSocket: webSocket('/amqp') },
      mqtt: endpoint(mqtt),
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
    },
  };
}

function controlsOf(broker: () => Broker, restart: () => Promise<void>): Controls {
  return {
    restart,
    async block(blocked) {
      // Each connection by itself: a hold on all of them would end with the turn, since no bound is exceeded.
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
