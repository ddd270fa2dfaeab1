// Counts for `$SYS` over all MQTT connections: packets, bytes, sockets, expired sessions. Plain counters; bytes are read from
// the transports on demand and added up when a connection closes. Read by sys-topics.ts.

import type { Transport } from '../../../src/net/transport.ts';

export class Traffic {
  packetsReceived: number;
  packetsSent: number;
  /** Connections that were accepted, logged in or not. */
  sockets: number;
  /** Sessions that expired. */
  sessionsExpired: number;
  private readonly open: Set<Transport>;
  /** Bytes of closed connections. */
  private closedReceived: number;
  private closedSent: number;

  constructor() {
    this.packetsReceived = 0;
    this.packetsSent = 0;
    this.sockets = 0;
    this.sessionsExpired = 0;
    this.open = new Set();
    this.closedReceived = 0;
    this.closedSent = 0;
  }

  opened(transport: Transport): void {
    this.sockets++;
    this.open.add(transport);
  }

  closed(transport: Transport): void {
    if (!this.open.delete(transport)) return;
    this.closedReceived += transport.bytesRead;
    this.closedSent += transport.bytesWritten;
  }

  get bytesReceived(): number {
    let sum = this.closedReceived;
    for (const transport of this.open) sum += transport.bytesRead;
    return sum;
  }

  get bytesSent(): number {
    let sum = this.closedSent;
    for (const transport of this.open) sum += transport.bytesWritten;
    return sum;
  }
}
