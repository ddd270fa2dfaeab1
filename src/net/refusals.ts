// What a listener turns away: counted, and told to whoever logs. All listeners refuse what is over their bound of
// connections, and tell of what the server itself could not accept.

import type { Server } from 'node:net';

/** Rare events that a log wants to know. */
export interface ListenerEvents {
  /** A TLS handshake failed, or a connection could not be accepted. */
  refused(listener: string, reason: string, peer: string): void;
  /** Of these, one because there are as many connections as may be. */
  full(): void;
}

export class Refusals {
  /** Since the start. */
  count: number;
  private readonly listener: string;
  private readonly events: ListenerEvents;

  constructor(listener: string, events: ListenerEvents) {
    this.count = 0;
    this.listener = listener;
    this.events = events;
  }

  note(reason: string, peer: string | undefined): void {
    this.count++;
    this.events.refused(this.listener, reason, peer ?? '');
  }

  /** Lets a server take so many connections at one time; those beyond are closed at once. */
  bound(server: Server, maxConnections: number): void {
    server.maxConnections = maxConnections;
    server.on('drop', (data) => {
      this.note(`more than ${maxConnections} connections`, data?.remoteAddress);
      this.events.full();
    });
  }

  /** The server is listening: an error from now on is that of a connection. */
  watch(server: Server): void {
    server.on('error', (error) => this.note(error.message, ''));
  }
}
