// The sockets that a listener has open, so that closing it leaves none behind. One shared function takes a socket out
// again: a closure for each would be memory of every idle connection.

import type { Socket } from 'node:net';

const HOME = Symbol('open sockets');
type HousedSocket = Socket & { [HOME]: Set<Socket> };

export class OpenSockets {
  private readonly sockets: Set<Socket>;

  constructor() {
    this.sockets = new Set();
  }

  get size(): number {
    return this.sockets.size;
  }

  add(socket: Socket): void {
    this.sockets.add(socket);
    (socket as HousedSocket)[HOME] = this.sockets;
    socket.on('close', leave);
  }

  destroyAll(): void {
    for (const socket of this.sockets) socket.destroy();
  }
}

function leave(this: Socket): void {
  (this as HousedSocket)[HOME].delete(this);
}
