// One TCP or TLS port: accepts connections up to a bound, makes a transport of each and asks the front-end for its
// handler. Owns its sockets until they are closed, so that `close` leaves nothing behind.

import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { OpenSockets } from './open-sockets.ts';
import { type ListenerEvents, Refusals } from './refusals.ts';
import { SocketTransport, type TransportContext } from './socket-transport.ts';
import { readTls, type TlsFiles } from './tls.ts';
import type { Accept } from './transport.ts';

/** Connections that the kernel holds for us while we are busy. The kernel's own bound (somaxconn) is 4096 too. */
const BACKLOG = 4096;
/** When the kernel starts to ask a silent peer whether it is still there. */
const KEEP_ALIVE_DELAY_MS = 60_000;

export interface ListenerOptions {
  /** How errors and logs call it: `mqtt`, `amqps`, … */
  readonly name: string;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly tls: TlsFiles | null;
  /** Connections at one time; those beyond are closed at once and counted. */
  readonly maxConnections: number;
}

export class Listener {
  readonly options: ListenerOptions;
  /** The port that it is listening on; 0 before. */
  port: number;
  /** Connections accepted since the start. */
  acceptedCount: number;
  private readonly accept: Accept;
  private readonly context: TransportContext;
  private readonly refusals: Refusals;
  private readonly sockets: OpenSockets;
  private server: Server | TlsServer | null;
  private stopped: Promise<void> | null;

  constructor(options: ListenerOptions, accept: Accept, context: TransportContext, events: ListenerEvents) {
    this.options = options;
    this.port = 0;
    this.refusals = new Refusals(options.name, events);
    this.acceptedCount = 0;
    this.accept = accept;
    this.context = context;
    this.sockets = new OpenSockets();
    this.server = null;
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
    const { host, port, tls, maxConnections } = this.options;
    // Nagle's delay would sit between a frame and its write.
    const shared = {
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
    };
    let server: Server | TlsServer;
    if (tls === null) {
      server = createServer({ ...shared, allowHalfOpen: true }, (socket) => this.take(socket));
    } else {
      // Not half open before the handshake is done: who goes away in its middle would stay until its timeout.
      const secure = createTlsServer({ ...shared, ...(await this.readTls(tls)) }, (socket) => this.take(socket));
      secure.on('tlsClientError', (error, socket) => {
        this.refusals.note(error.message, socket.remoteAddress);
        // A handshake that timed out leaves the socket to us.
        socket.destroy();
      });
      server = secure;
    }
    server.on('connection', (socket: Socket) => this.sockets.add(socket));
    this.refusals.bound(server, maxConnections);
    this.port = await bind(server, this.options.name, host, port);
    this.refusals.watch(server);
    this.server = server;
    return this.port;
  }

  /** Reads the TLS files again. Connections that are open stay as they are. A bad file changes nothing and rejects. */
  async reloadTls(): Promise<void> {
    const { server, options } = this;
    if (options.tls === null || server === null) return;
    (server as TlsServer).setSecureContext(await this.readTls(options.tls));
  }

  /** No new connections; those that are open go on. Resolves when the last of them is gone. */
  stopAccepting(): Promise<void> {
    const { server } = this;
    if (server === null) return Promise.resolve();
    this.stopped ??= new Promise((resolve) => server.close(() => resolve()));
    return this.stopped;
  }

  /** Stops accepting and destroys what is open. */
  async close(): Promise<void> {
    const stopped = this.stopAccepting();
    await this.sockets.destroyAll();
    await stopped;
  }

  private async readTls(files: TlsFiles) {
    try {
      return await readTls(files);
    } catch (cause) {
      throw new Error(`listener ${this.options.name}: ${(cause as Error).message}`, { cause });
    }
  }

  private take(socket: Socket): void {
    this.acceptedCount++;
    // We end our side ourselves, after a flush.
    socket.allowHalfOpen = true;
    const transport = new SocketTransport(socket, this.context, null);
    try {
      transport.attach(this.accept(transport));
    } catch (error) {
      transport.destroy();
      this.context.onHandlerError(error, transport);
    }
  }
}

/** Starts listening; the error of a port that is taken says whose and which. */
export function bind(server: Server, name: string, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const failed = (cause: NodeJS.ErrnoException): void => {
      const why = cause.code === 'EADDRINUSE' ? 'the port is in use' : cause.message;
      reject(new Error(`listener ${name} cannot listen on ${host}:${port}: ${why}`, { cause }));
    };
    server.once('error', failed);
    server.listen({ host, port, backlog: BACKLOG }, () => {
      server.off('error', failed);
      resolve((server.address() as AddressInfo).port);
    });
  });
}
