// Connections that a listener refuses: those above its limit, and those that the server could not accept. It
// reports them.

import type { Server } from 'node:net';

/** Rare events that the owner logs. */
export interface ListenerEvents {
  /** A TLS handshake failed, or a connection could not be accepted. */
  refused(listener: string, reason: string, peer: string): void;
  /** A connection was refused because the limit of connections is reached. Called in addition to `refused`. */
  full(): void;
  /** The same, because the limit of connections from one address is reached. */
  addressFull(): void;
}

export class Refusals {
  private readonly listener: string;
  private readonly events: ListenerEvents;

  constructor(listener: string, events: ListenerEvents) {
    this.listener = listener;
    this.events = events;
  }

  note(reason: string, peer: string | undefined): void {
    this.events.refused(this.listener, reason, peer ?? '');
  }

  /** Limits a server to that many connections at a time; further ones are closed at once. */
  bound(server: Server, maxConnections: number): void {
    server.maxConnections = maxConnections;
    server.on('drop', (data) => {
      this.note(`more than ${maxConnections} connections`, data?.remoteAddress);
      this.events.full();
    });
  }

  addressFull(peer: string | undefined): void {
    this.note('too many connections from this address', peer);
    this.events.addressFull();
  }

  /** The server is listening: from now on its errors concern single connections. */
  watch(server: Server): void {
    server.on('error', (error) => this.note(error.message, ''));
  }
}
