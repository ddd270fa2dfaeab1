// One port for everything: listens to the first bytes of each connection (sniffer.ts) and gives it to AMQP, MQTT or
// STOMP, to HTTP (WebSocket upgrades, and plain requests for whoever answers them), or to TLS, inside of which the same
// begins again.
//
// The server that listens is Node's HTTP server, because only one that listens watches over the times of its requests;
// it is told of a connection once that has turned out to be HTTP. The TLS server never listens.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { PortListener, type PortOptions, SOCKET_OPTIONS } from './port-listener.ts';
import type { ListenerEvents } from './refusals.ts';
import { SNIFFED } from './sniff.ts';
import { Sniffer, type SnifferOwner, type SniffFailure, type Verdict } from './sniffer.ts';
import type { TransportContext } from './socket-transport.ts';
import type { Accept } from './transport.ts';
import { type WebSocketRules, WebSocketUpgrades } from './websocket-upgrades.ts';

/** How often Node looks for requests that take too long; its default is half a minute. */
const REQUEST_CHECK_MS = 1_000;

export type AnswerHttp = (request: IncomingMessage, response: ServerResponse) => void;

/** Without `tls` files TLS is refused. */
export interface AutoOptions extends WebSocketRules, PortOptions {
  /** How long a connection may take for its first bytes, inside TLS for its first there, and for an HTTP request. */
  readonly firstBytesMs: number;
  readonly accepts: { readonly amqp: Accept; readonly mqtt: Accept; readonly stomp: Accept };
  /** Answers plain requests; null while nobody does. */
  readonly answer: () => AnswerHttp | null;
}

export class AutoListener extends PortListener<AutoOptions> implements SnifferOwner {
  private readonly upgrades: WebSocketUpgrades;
  /** Those whose protocol is not known yet. */
  private readonly sniffers: Set<Sniffer>;
  private http: Server | null;
  /** What Node's HTTP server does with a connection. */
  private takeHttp: (this: Server, socket: Socket) => void;
  private handshakes: TlsServer | null;

  constructor(options: AutoOptions, context: TransportContext, events: ListenerEvents) {
    super(options, context, events);
    this.upgrades = new WebSocketUpgrades(options, context, (reason, peer) => this.refusals.note(reason, peer));
    this.sniffers = new Set();
    this.http = null;
    this.takeHttp = () => {};
    this.handshakes = null;
  }

  async listen(): Promise<number> {
    const { tls, firstBytesMs } = this.options;
    const server = createServer({
      ...SOCKET_OPTIONS,
      headersTimeout: firstBytesMs,
      requestTimeout: firstBytesMs,
      connectionsCheckingInterval: REQUEST_CHECK_MS,
    });
    const [takeHttp] = server.listeners('connection');
    this.takeHttp = takeHttp as (socket: Socket) => void;
    server.removeAllListeners('connection');
    server.on('connection', (socket: Socket) => {
      this.admit(socket);
      if (!socket.destroyed) this.listenTo(socket);
    });
    server.on('request', (request, response) => this.request(request, response));
    server.on('upgrade', (request, socket, head) => this.upgrades.upgrade(request, socket as Socket, head));
    if (tls !== null) {
      this.handshakes = createTlsServer(await this.readTls(tls), (socket) => this.listenTo(socket));
      this.watchHandshakes(this.handshakes);
    }
    this.http = server;
    return this.open(server, this.handshakes);
  }

  /** Of those that are open: requests that have ended, and who has not said which protocol it speaks. */
  protected override dropIdle(): void {
    this.http!.closeIdleConnections();
    for (const sniffer of this.sniffers) sniffer.stop();
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
        this.takeHttp.call(this.http!, socket);
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

  sniffFailed(socket: Socket, why: SniffFailure, sniffer: Sniffer): void {
    this.sniffers.delete(sniffer);
    if (why === 'time') this.refusals.note('it did not say in time which protocol it speaks', socket.remoteAddress);
  }

  private listenTo(socket: Socket): void {
    this.sniffers.add(new Sniffer(socket, this.context.ticker, this.options.firstBytesMs, this));
  }

  private takeTls(socket: Socket): void {
    const { handshakes } = this;
    if (handshakes === null) {
      this.refuse(socket, 'it speaks TLS, and no certificate is configured');
      return;
    }
    if ('encrypted' in socket) {
      this.refuse(socket, 'it speaks TLS within TLS');
      return;
    }
    // As in listener.ts: who goes away in the middle of the handshake would stay until its timeout.
    socket.allowHalfOpen = false;
    handshakes.emit('connection', socket);
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
