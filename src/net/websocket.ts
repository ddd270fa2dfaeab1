// One HTTP or HTTPS port for WebSockets: paths lead to front-ends. Answers plain requests and bad handshakes with the
// HTTP error that says what is wrong, opens the others, and owns its sockets until they are closed.

import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https';
import type { Socket } from 'node:net';
import { bind, type ListenerEvents } from './listener.ts';
import { OpenSockets } from './open-sockets.ts';
import type { TransportContext } from './socket-transport.ts';
import { readTls, type TlsFiles } from './tls.ts';
import type { Accept } from './transport.ts';
import {
  acceptance,
  judgePlain,
  judgeUpgrade,
  type Origins,
  type Refusal,
  type SubprotocolRule,
} from './websocket-handshake.ts';
import { WebSocketTransport } from './websocket-transport.ts';

/** A client that has not finished its handshake by then is dropped. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_DELAY_MS = 60_000;
const TEXT = 'text/plain; charset=utf-8';

export interface WebSocketPath extends SubprotocolRule {
  /** Messages that go out need not hold whole frames of the protocol: MQTT and AMQP. */
  readonly byteStream: boolean;
  readonly accept: Accept;
}

export interface WebSocketOptions {
  /** How errors and logs call it. */
  readonly name: string;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly tls: TlsFiles | null;
  readonly maxConnections: number;
  /** Longest incoming message; 1009 beyond. */
  readonly maxMessageBytes: number;
  readonly origins: Origins;
  /** By path without query: `/stomp`. */
  readonly paths: ReadonlyMap<string, WebSocketPath>;
}

export class WebSocketListener {
  readonly options: WebSocketOptions;
  /** The port that it is listening on; 0 before. */
  port: number;
  /** WebSockets opened, and requests and connections refused, since the start. */
  acceptedCount: number;
  refusedCount: number;
  private readonly context: TransportContext;
  private readonly events: ListenerEvents;
  private readonly sockets: OpenSockets;
  private server: Server | SecureServer | null;
  private stopped: Promise<void> | null;

  constructor(options: WebSocketOptions, context: TransportContext, events: ListenerEvents) {
    this.options = options;
    this.port = 0;
    this.acceptedCount = 0;
    this.refusedCount = 0;
    this.context = context;
    this.events = events;
    this.sockets = new OpenSockets();
    this.server = null;
    this.stopped = null;
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
    };
    const server = tls === null ? createServer(shared) : createSecureServer({ ...shared, ...(await readTls(tls)) });
    server.on('request', (request, response) => this.advise(request, response));
    server.on('upgrade', (request, socket, head) => this.upgrade(request, socket as Socket, head));
    server.on('connection', (socket: Socket) => this.sockets.add(socket));
    server.on('drop', (data) => this.note(`more than ${maxConnections} connections`, data?.remoteAddress));
    server.on('tlsClientError', (error, socket) => this.note(error.message, socket.remoteAddress));
    server.maxConnections = maxConnections;
    this.port = await bind(server, name, host, port);
    server.on('error', (error) => this.note(error.message, ''));
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

  /** A plain request: there is nothing to see but how to come in. */
  private advise(request: IncomingMessage, response: ServerResponse): void {
    const answer = judgePlain(request, this.pathOf(request));
    this.note(answer.reason, request.socket.remoteAddress);
    response.writeHead(answer.status, { ...answer.headers, Connection: 'close', 'Content-Type': TEXT });
    response.end(`${answer.reason}\n`);
  }

  private upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const path = this.pathOf(request);
    const subprotocol = judgeUpgrade(request, path, this.options.origins);
    if (path === undefined || typeof subprotocol !== 'string') {
      this.refuse(request, socket, subprotocol as Refusal);
      return;
    }
    this.acceptedCount++;
    socket.setTimeout(0);
    socket.write(acceptance(request, subprotocol));
    const { byteStream, accept } = path;
    const { maxMessageBytes } = this.options;
    const transport = new WebSocketTransport(socket, this.context, subprotocol, byteStream, maxMessageBytes);
    try {
      transport.attach(accept(transport), head);
    } catch (error) {
      transport.destroy();
      this.context.onHandlerError(error, transport);
    }
  }

  private pathOf(request: IncomingMessage): WebSocketPath | undefined {
    return this.options.paths.get((request.url ?? '').split('?', 1)[0]!);
  }

  private refuse(request: IncomingMessage, socket: Socket, answer: Refusal): void {
    this.note(answer.reason, request.socket.remoteAddress);
    // Node took its own listener away with the upgrade.
    socket.on('error', () => {});
    socket.write(refusalText(answer));
    socket.destroySoon();
  }

  private note(reason: string, peer: string | undefined): void {
    this.refusedCount++;
    this.events.refused(this.options.name, reason, peer ?? '');
  }
}

function refusalText({ status, reason, headers }: Refusal): string {
  const body = `${reason}\n`;
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Connection: close',
    `Content-Type: ${TEXT}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}
