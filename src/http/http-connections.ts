// The connections of one HTTP server, bounded in number. A connection without a request in progress (it has sent nothing,
// or half a request, or is kept alive) is closed in favour of a new one when the bound is reached, the one first that was
// quiet the longest: silent clients cannot keep health checks out.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server, Socket } from 'node:net';

export class HttpConnections {
  private readonly most: number;
  private readonly refused: () => void;
  /** Connections without a request in progress, the one that was quiet the longest first. */
  private readonly idle: Map<string, Socket>;
  private readonly busy: Set<string>;

  /** `refused` is called for each connection that is closed because there are `most`. */
  constructor(most: number, refused: () => void) {
    this.most = most;
    this.refused = refused;
    this.idle = new Map();
    this.busy = new Set();
  }

  get size(): number {
    return this.idle.size + this.busy.size;
  }

  /** Watches a server for HTTP, or for HTTP over TLS (whose requests come over another socket object). */
  watch(server: Server): void {
    server.on('connection', (socket: Socket) => this.opened(socket));
    server.on('request', (request: IncomingMessage, response: ServerResponse) => this.requested(request, response));
  }

  private opened(socket: Socket): void {
    const name = nameOf(socket);
    if (this.size >= this.most) {
      this.refused();
      const [quiet] = this.idle;
      if (quiet === undefined) {
        socket.destroy();
        return;
      }
      this.idle.delete(quiet[0]);
      quiet[1].destroy();
    }
    this.idle.set(name, socket);
    socket.once('close', () => {
      if (this.idle.get(name) === socket) this.idle.delete(name);
      this.busy.delete(name);
    });
  }

  private requested(request: IncomingMessage, response: ServerResponse): void {
    const name = nameOf(request.socket);
    const socket = this.idle.get(name);
    if (socket === undefined) return;
    this.idle.delete(name);
    this.busy.add(name);
    response.once('close', () => {
      if (this.busy.delete(name) && !socket.destroyed) this.idle.set(name, socket);
    });
  }
}

/** A TLS socket and the socket below it have the same peer. */
function nameOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}
