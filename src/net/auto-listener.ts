// One port for everything: listens to the first bytes of each connection (sniffer.ts) and gives it to AMQP, MQTT or
// STOMP, to HTTP (WebSocket upgrades, and plain requests for whoever answers them), or to TLS, inside of which the same
// begins again. Owns its sockets until they are closed.
//
// The server that listens is Node's HTTP server, because only one that listens watches over the times of its requests;
// it is told of a connection once that has turned out to be HTTP. The TLS server never listens.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { bind } from './listener.ts';
import { OpenSockets } from './open-sockets.ts';
import { type ListenerEvents, Refusals } from './refusals.ts';
import { SNIFFED } from './sniff.ts';
import { Sniffer, type SnifferOwner, type Unheard, type Verdict } from './sniffer.ts';
import { SocketTransport, type TransportContext } from './socket-transport.ts';
import { readTls, type TlsFiles } from './tls.ts';
import type { Accept } from './transport.ts';
import { type WebSocketRules, WebSocketUpgrades } from './websocket-upgrades.ts';

/** How often Node looks for requests that take too long; its default is half a minute. */
const REQUEST_CHECK_MS = 1_000;
const KEEP_ALIVE_DELAY_MS = 60_000;

export type AnswerHttp = (request: IncomingMessage, response: ServerResponse) => void;

export interface AutoOptions extends WebSocketRules {
  /** How errors and logs call it. */
  readonly name: string;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Null: TLS is refused. */
  readonly tls: TlsFiles | null;
  readonly maxConnections: number;
  /** How long a connection may take for its first bytes, inside TLS for its first there, and for an HTTP request. */
  readonly firstBytesMs: number;
  readonly accepts: { readonly amqp: Accept; readonly mqtt: Accept; readonly stomp: Accept };
  /** Answers plain requests; null while nobody does. */
  readonly answer: () => AnswerHttp | null;
}

export class AutoListener implements SnifferOwner {
  readonly options: AutoOptions;
  /** The port that it is listening on; 0 before. */
  port: number;
  private readonly context: TransportContext;
  private readonly refusals: Refusals;
  private readonly upgrades: WebSocketUpgrades;
  private readonly sockets: OpenSockets;
  /** Those whose protocol is not known yet. */
  private readonly sniffers: Set<Sniffer>;
  private server: Server | null;
  /** What Node's HTTP server does with a connection. */
  private takeHttp: (this: Server, socket: Socket) => void;
  private secure: TlsServer | null;
  private stopped: Promise<void> | null;

  constructor(options: AutoOptions, context: TransportContext, events: ListenerEvents) {
    this.options = options;
    this.port = 0;
    this.refusals = new Refusals(options.name, events);
    this.context = context;
    this.upgrades = new WebSocketUpgrades(options, context, (reason, peer) => this.refusals.note(reason, peer));
    this.sockets = new OpenSockets();
    this.sniffers = new Set();
    this.server = null;
    this.takeHttp = () => {};
    this.secure = null;
    this.stopped = null;
  }

  /** Connections refused since the start. */
  get refusedCount(): number {
    return this.refusals.count;
  }

  get connectionCount(): number {
    return this.sockets.size;
  }

  /** Resolves with the port. Rejects with an error that names listener and address. */
  async listen(): Promise<number> {
    const { name, host, port, tls, maxConnections, firstBytesMs } = this.options;
    const server = createServer({
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
      headersTimeout: firstBytesMs,
      requestTimeout: firstBytesMs,
      connectionsCheckingInterval: REQUEST_CHECK_MS,
    });
    const [takeHttp] = server.listeners('connection');
    this.takeHttp = takeHttp as (socket: Socket) => void;
    server.removeAllListeners('connection');
    server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      this.listenTo(socket);
    });
    server.on('request', (request, response) => this.request(request, response));
    server.on('upgrade', (request, socket, head) => this.upgrades.upgrade(request, socket as Socket, head));
    this.refusals.bound(server, maxConnections);
    if (tls !== null) this.secure = await this.openTls(tls);
    this.port = await bind(server, name, host, port);
    this.refusals.watch(server);
    this.server = server;
    return this.port;
  }

  /** Reads the TLS files again. Connections that are open stay as they are. A bad file changes nothing and rejects. */
  async reloadTls(): Promise<void> {
    const { secure, options } = this;
    if (options.tls === null || secure === null) return;
    secure.setSecureContext(await this.readTls(options.tls));
  }

  /** No new connections; those whose protocol is known go on. Resolves when the last of them is gone. */
  stopAccepting(): Promise<void> {
    const { server } = this;
    if (server === null) return Promise.resolve();
    this.stopped ??= new Promise((resolve) => {
      server.close(() => resolve());
      server.closeIdleConnections();
      for (const sniffer of this.sniffers) sniffer.stop();
    });
    return this.stopped;
  }

  /** Stops accepting and destroys what is open. */
  async close(): Promise<void> {
    const stopped = this.stopAccepting();
    await this.sockets.destroyAll();
    await stopped;
  }

  // What a sniffer calls.

  sniffed(socket: Socket, verdict: Verdict, sniffer: Sniffer): void {
    this.sniffers.delete(sniffer);
    switch (verdict) {
      case SNIFFED.amqp:
      case SNIFFED.mqtt:
      case SNIFFED.stomp:
        this.take(socket, this.options.accepts[verdict]);
        return;
      case SNIFFED.http:
        this.takeHttp.call(this.server!, socket);
        return;
      case SNIFFED.tls:
        this.takeTls(socket);
        return;
      case SNIFFED.unknown:
        this.refuse(socket, 'its first bytes are those of no protocol that is spoken here');
        return;
      default:
        verdict satisfies never;
    }
  }

  unheard(socket: Socket, why: Unheard, sniffer: Sniffer): void {
    this.sniffers.delete(sniffer);
    if (why === 'time') this.refusals.note('it did not say in time which protocol it speaks', socket.remoteAddress);
  }

  private listenTo(socket: Socket): void {
    this.sniffers.add(new Sniffer(socket, this.context.ticker, this.options.firstBytesMs, this));
  }

  private take(socket: Socket, accept: Accept): void {
    // We end our side ourselves, after a flush.
    socket.allowHalfOpen = true;
    const transport = new SocketTransport(socket, this.context, null);
    try {
      transport.attach(accept(transport));
    } catch (error) {
      transport.destroy();
      this.context.onHandlerError(error, transport);
    }
  }

  private takeTls(socket: Socket): void {
    const { secure } = this;
    if (secure === null) {
      this.refuse(socket, 'it speaks TLS, and no certificate is configured');
      return;
    }
    if ('encrypted' in socket) {
      this.refuse(socket, 'it speaks TLS within TLS');
      return;
    }
    // As in listener.ts: who goes away in the middle of the handshake would stay until its timeout.
    socket.allowHalfOpen = false;
    secure.emit('connection', socket);
  }

  private async openTls(files: TlsFiles): Promise<TlsServer> {
    const server = createTlsServer(await this.readTls(files), (socket) => this.listenTo(socket));
    server.on('tlsClientError', (error, socket) => {
      this.refusals.note(error.message, socket.remoteAddress);
      socket.destroy();
    });
    return server;
  }

  private async readTls(files: TlsFiles) {
    try {
      return await readTls(files);
    } catch (cause) {
      throw new Error(`listener ${this.options.name}: ${(cause as Error).message}`, { cause });
    }
  }

  /** A plain request. A WebSocket path says what it is for; all else belongs to whoever answers. */
  private request(request: IncomingMessage, response: ServerResponse): void {
    const answer = this.upgrades.pathOf(request) === undefined ? this.options.answer() : null;
    if (answer === null) this.upgrades.advise(request, response);
    else answer(request, response);
  }

  private refuse(socket: Socket, reason: string): void {
    this.refusals.note(reason, socket.remoteAddress);
    socket.on('error', () => {});
    socket.destroy();
  }
}
