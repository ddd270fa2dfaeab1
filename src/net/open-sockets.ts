// The sockets that a listener has open, so that closing it closes them all. One shared function removes a socket; a
// closure for each would cost memory for each idle connection.

import type { Socket } from 'node:net';

const HOME = Symbol('open sockets');
type HousedSocket = Socket & { [HOME]: OpenSockets };

export class OpenSockets {
  private readonly sockets: Set<Socket>;
  private waiters: (() => void)[];

  constructor() {
    this.sockets = new Set();
    this.waiters = [];
  }

  get size(): number {
    return this.sockets.size;
  }

  add(socket: Socket): void {
    this.sockets.add(socket);
    (socket as HousedSocket)[HOME] = this;
    socket.on('close', leave);
  }

  remove(socket: Socket): void {
    this.sockets.delete(socket);
    if (this.sockets.size === 0) for (const resolve of this.waiters.splice(0)) resolve();
  }

  /** Destroys all sockets. Resolves when the last one has closed and its own listeners have run. */
  destroyAll(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    if (this.sockets.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.waiters.push(resolve));
  }
}

function leave(this: Socket): void {
  (this as HousedSocket)[HOME].remove(this);
}
