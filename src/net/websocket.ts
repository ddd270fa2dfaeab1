// One HTTP or HTTPS port for WebSockets: paths lead to front-ends. Answers plain requests and bad handshakes with the
// HTTP error that says what is wrong, opens the others, and owns its sockets until they are closed.

import { createServer, type Server } from 'node:http';
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https';
import type { Socket } from 'node:net';
import { bind } from './listener.ts';
import { OpenSockets } from './open-sockets.ts';
import { type ListenerEvents, Refusals } from './refusals.ts';
import type { TransportContext } from './socket-transport.ts';
import { readTls, type TlsFiles } from './tls.ts';
import { type WebSocketRules, WebSocketUpgrades } from './websocket-upgrades.ts';

/** A client that has not finished its handshake by then is dropped. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** How often Node looks for such; its default is half a minute. */
const HANDSHAKE_CHECK_MS = 1_000;
const KEEP_ALIVE_DELAY_MS = 60_000;

export interface WebSocketOptions extends WebSocketRules {
  /** How errors and logs call it. */
  readonly name: string;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly tls: TlsFiles | null;
  readonly maxConnections: number;
}

export class WebSocketListener {
  readonly options: WebSocketOptions;
  /** The port that it is listening on; 0 before. */
  port: number;
  private readonly upgrades: WebSocketUpgrades;
  private readonly refusals: Refusals;
  private readonly sockets: OpenSockets;
  private server: Server | SecureServer | null;
  private stopped: Promise<void> | null;

  constructor(options: WebSocketOptions, context: TransportContext, events: ListenerEvents) {
    this.options = options;
    this.port = 0;
    this.refusals = new Refusals(options.name, events);
    this.upgrades = new WebSocketUpgrades(options, context, (reason, peer) => this.refusals.note(reason, peer));
    this.sockets = new OpenSockets();
    this.server = null;
    this.stopped = null;
  }

  /** WebSockets opened since the start. */
  get acceptedCount(): number {
    return this.upgrades.acceptedCount;
  }

  /** Requests and connections refused since the start. */
  get refusedCount(): number {
    return this.refusals.count;
  }

  get connectionCount(): number {
    return this.sockets.size;
  }

  /** Resolves with the port. Rejects with an error that names listener and address. */
  async listen(): Promise<number> {
    const { name, host, port, tls, maxConnections } = this.options;
    const shared = {
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
      headersTimeout: HANDSHAKE_TIMEOUT_MS,
      requestTimeout: HANDSHAKE_TIMEOUT_MS,
      connectionsCheckingInterval: HANDSHAKE_CHECK_MS,
    };
    const server = tls === null ? createServer(shared) : createSecureServer({ ...shared, ...(await readTls(tls)) });
    server.on('request', (request, response) => this.upgrades.advise(request, response));
    server.on('upgrade', (request, socket, head) => this.upgrades.upgrade(request, socket as Socket, head));
    server.on('connection', (socket: Socket) => this.sockets.add(socket));
    server.on('tlsClientError', (error, socket) => this.refusals.note(error.message, socket.remoteAddress));
    this.refusals.bound(server, maxConnections);
    this.port = await bind(server, name, host, port);
    this.refusals.watch(server);
    this.server = server;
    return this.port;
  }

  /** Reads the TLS files again. Connections that are open stay as they are. A bad file changes nothing and rejects. */
  async reloadTls(): Promise<void> {
    const { server, options } = this;
    if (options.tls === null || server === null) return;
    (server as SecureServer).setSecureContext(await readTls(options.tls));
  }

  /** No new connections; WebSockets that are open go on. Resolves when the last of them is gone. */
  stopAccepting(): Promise<void> {
    const { server } = this;
    if (server === null) return Promise.resolve();
    this.stopped ??= new Promise((resolve) => {
      server.close(() => resolve());
      server.closeIdleConnections();
    });
    return this.stopped;
  }

  /** Stops accepting and destroys what is open. */
  async close(): Promise<void> {
    const stopped = this.stopAccepting();
    await this.sockets.destroyAll();
    await stopped;
  }
}
