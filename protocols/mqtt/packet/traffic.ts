// What goes through all MQTT connections, for `$SYS`: packets of every kind, bytes, sockets, sessions that ran out. Plain
// counters; bytes are the transports' own, read when somebody asks, and added up when a connection has gone.

import type { Transport } from '../../../src/net/transport.ts';

export class Traffic {
  packetsReceived: number;
  packetsSent: number;
  /** Connections that were accepted, whatever they said. */
  sockets: number;
  /** Sessions whose time was over before their clients came back. */
  sessionsExpired: number;
  private readonly open: Set<Transport>;
  /** Bytes of connections that have gone. */
  private goneReceived: number;
  private goneSent: number;

  constructor() {
    this.packetsReceived = 0;
    this.packetsSent = 0;
    this.sockets = 0;
    this.sessionsExpired = 0;
    this.open = new Set();
    this.goneReceived = 0;
    this.goneSent = 0;
  }

  opened(transport: Transport): void {
    this.sockets++;
    this.open.add(transport);
  }

  closed(transport: Transport): void {
    if (!this.open.delete(transport)) return;
    this.goneReceived += transport.bytesRead;
    this.goneSent += transport.bytesWritten;
  }

  get bytesReceived(): number {
    let sum = this.goneReceived;
    for (const transport of this.open) sum += transport.bytesRead;
    return sum;
  }

  get bytesSent(): number {
    let sum = this.goneSent;
    for (const transport of this.open) sum += transport.bytesWritten;
    return sum;
  }
}
