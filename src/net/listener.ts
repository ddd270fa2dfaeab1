// One TCP or TLS port of one protocol: makes a transport of each connection and asks the front-end for its handler.

import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { PortListener, type PortOptions, SOCKET_OPTIONS } from './port-listener.ts';
import type { ListenerEvents } from './refusals.ts';
import type { TransportContext } from './socket-transport.ts';
import type { Accept } from './transport.ts';

export class Listener extends PortListener {
  private readonly accept: Accept;

  constructor(options: PortOptions, accept: Accept, context: TransportContext, events: ListenerEvents) {
    super(options, context, events);
    this.accept = accept;
  }

  async listen(): Promise<number> {
    const { tls } = this.options;
    const take = (socket: Socket): void => this.take(socket, this.accept);
    let server: Server;
    let secure: TlsServer | null = null;
    if (tls === null) {
      server = createServer({ ...SOCKET_OPTIONS, allowHalfOpen: true }, take);
    } else {
      // Not half open before the handshake is done: who goes away in its middle would stay until its timeout.
      secure = createTlsServer({ ...SOCKET_OPTIONS, ...(await this.readTls(tls)) }, take);
      this.watchHandshakes(secure);
      server = secure;
    }
    server.on('connection', (socket: Socket) => this.admit(socket));
    return this.open(server, secure);
  }
}
