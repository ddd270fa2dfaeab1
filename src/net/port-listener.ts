// What every listener is: one port with a bound of connections, the sockets that came over it, and a way to stop. Owns
// its sockets until they are closed, so that `close` leaves nothing behind. A listener extends it, makes its server in
// `listen`, and hands it to `open`.

import type { AddressInfo, Server, Socket } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import { OpenSockets } from './open-sockets.ts';
import { type ListenerEvents, Refusals } from './refusals.ts';
import { SocketTransport, type TransportContext } from './socket-transport.ts';
import { readTls, type TlsFiles, type TlsSettings } from './tls.ts';
import type { Accept } from './transport.ts';

/** Connections that the kernel holds for us while we are busy. The kernel's own bound (somaxconn) is 4096 too. */
const BACKLOG = 4096;

/** Of all servers. Nagle's delay would sit between a frame and its write; the kernel asks silent peers each minute. */
export const SOCKET_OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 };

export interface PortOptions {
  /** How errors and logs call it: `mqtt`, `amqps`, … */
  readonly name: string;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly tls: TlsFiles | null;
  /** Connections at one time; those beyond are closed at once and counted. */
  readonly maxConnections: number;
}

export abstract class PortListener<Options extends PortOptions = PortOptions> {
  readonly options: Options;
  /** The port that it is listening on; 0 before. */
  port: number;
  protected readonly context: TransportContext;
  protected readonly refusals: Refusals;
  protected readonly sockets: OpenSockets;
  private server: Server | null;
  /** What does the TLS handshakes; null without TLS. */
  private secure: TlsServer | null;
  private stopped: Promise<void> | null;

  constructor(options: Options, context: TransportContext, events: ListenerEvents) {
    this.options = options;
    this.port = 0;
    this.context = context;
    this.refusals = new Refusals(options.name, events);
    this.sockets = new OpenSockets(context.addresses);
    this.server = null;
    this.secure = null;
    this.stopped = null;
  }

  /** Resolves with the port. Rejects with an error that names listener and address. */
  abstract listen(): Promise<number>;

  get connectionCount(): number {
    return this.sockets.size;
  }

  /** New handshakes use these certificates; without TLS nothing happens. Throws where they cannot be used. */
  renewTls(settings: TlsSettings): void {
    this.secure?.setSecureContext(settings);
  }

  /** No new connections; those that are open go on. Resolves when the last of them is gone. */
  stopAccepting(): Promise<void> {
    const { server } = this;
    if (server === null) return Promise.resolve();
    this.stopped ??= new Promise((resolve) => {
      server.close(() => resolve());
      this.dropIdle();
    });
    return this.stopped;
  }

  /** Stops accepting and destroys what is open. */
  async close(): Promise<void> {
    const stopped = this.stopAccepting();
    await this.sockets.destroyAll();
    await stopped;
  }

  /** It stops accepting: closes connections on which nothing goes on. */
  protected dropIdle(): void {}

  /** Starts listening. The error of a port that is taken says whose and which. */
  protected async open(server: Server, secure: TlsServer | null): Promise<number> {
    this.refusals.bound(server, this.options.maxConnections);
    this.port = await bind(server, this.options);
    this.refusals.watch(server);
    this.server = server;
    this.secure = secure;
    return this.port;
  }

  protected async readTls(files: TlsFiles): Promise<TlsSettings> {
    try {
      return await readTls(files);
    } catch (cause) {
      throw new Error(`listener ${this.options.name}: ${(cause as Error).message}`, { cause });
    }
  }

  /** Counts handshakes that fail. One that timed out leaves its socket to us. */
  protected watchHandshakes(secure: TlsServer): void {
    secure.on('tlsClientError', (error, socket) => {
      this.refusals.note(error.message, socket.remoteAddress);
      socket.destroy();
    });
  }

  /** A connection came. It is closed at once if its address has too many. */
  protected admit(socket: Socket): void {
    if (this.sockets.add(socket)) return;
    this.refusals.addressFull(socket.remoteAddress);
    socket.destroy();
  }

  /** Gives a connection to a front-end. */
  protected take(socket: Socket, accept: Accept): void {
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
}

function bind(server: Server, { name, host, port }: PortOptions): Promise<number> {
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
