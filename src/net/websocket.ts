// One HTTP or HTTPS port for WebSockets: paths lead to front-ends. Answers plain requests and bad handshakes with the
// HTTP error that says what is wrong, and opens the others.

import { createServer, type Server } from 'node:http';
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https';
import type { Socket } from 'node:net';
import { PortListener, type PortOptions, SOCKET_OPTIONS } from './port-listener.ts';
import type { ListenerEvents } from './refusals.ts';
import type { TransportContext } from './socket-transport.ts';
import { type WebSocketRules, WebSocketUpgrades } from './websocket-upgrades.ts';

/** A client that has not finished its handshake by then is dropped. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** How often Node looks for such; its default is half a minute. */
const HANDSHAKE_CHECK_MS = 1_000;

export interface WebSocketOptions extends WebSocketRules, PortOptions {}

export class WebSocketListener extends PortListener<WebSocketOptions> {
  private readonly upgrades: WebSocketUpgrades;
  private http: Server | null;

  constructor(options: WebSocketOptions, context: TransportContext, events: ListenerEvents) {
    super(options, context, events);
    this.upgrades = new WebSocketUpgrades(options, context, (reason, peer) => this.refusals.note(reason, peer));
    this.http = null;
  }

  async listen(): Promise<number> {
    const { tls } = this.options;
    const shared = {
      ...SOCKET_OPTIONS,
      headersTimeout: HANDSHAKE_TIMEOUT_MS,
      requestTimeout: HANDSHAKE_TIMEOUT_MS,
      connectionsCheckingInterval: HANDSHAKE_CHECK_MS,
    };
    let server: Server;
    let secure: SecureServer | null = null;
    if (tls === null) server = createServer(shared);
    else {
      secure = createSecureServer({ ...shared, ...(await this.readTls(tls)) });
      this.watchHandshakes(secure);
      server = secure;
    }
    server.on('request', (request, response) => this.upgrades.advise(request, response));
    server.on('upgrade', (request, socket, head) => this.upgrades.upgrade(request, socket as Socket, head));
    server.on('connection', (socket: Socket) => this.admit(socket));
    this.http = server;
    return this.open(server, secure);
  }

  protected override dropIdle(): void {
    this.http!.closeIdleConnections();
  }
}
