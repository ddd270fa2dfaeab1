// The sockets that a listener has open, so that closing it closes them all. One shared function removes a socket; a
// closure for each would cost memory for each idle connection.

import type { Socket } from 'node:net';
import type { AddressLimit } from './address-limit.ts';
import { addressGroup } from './peer-address.ts';

const HOME = Symbol('open sockets');
/** The peer's address: a closed socket does not know it any more. */
const ADDRESS = Symbol('address');
type HousedSocket = Socket & { [HOME]: OpenSockets; [ADDRESS]: string };

export class OpenSockets {
  private readonly sockets: Set<Socket>;
  private waiters: (() => void)[];
  private readonly addresses: AddressLimit;

  /** `addresses` counts the sockets of each address, of all listeners. */
  constructor(addresses: AddressLimit) {
    this.sockets = new Set();
    this.addresses = addresses;
    this.waiters = [];
  }

  get size(): number {
    return this.sockets.size;
  }

  /** False if its address has too many; the caller destroys it. */
  add(socket: Socket): boolean {
    const address = addressGroup(socket.remoteAddress ?? '');
    this.sockets.add(socket);
    (socket as HousedSocket)[HOME] = this;
    (socket as HousedSocket)[ADDRESS] = address;
    socket.on('close', leave);
    return this.addresses.add(address);
  }

  remove(socket: Socket): void {
    if (!this.sockets.delete(socket)) return;
    this.addresses.remove((socket as HousedSocket)[ADDRESS]);
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
