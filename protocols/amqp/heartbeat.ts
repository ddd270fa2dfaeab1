// Heartbeats of one connection (§4.2.7), counted in ticks, without a timer. Any traffic counts as a heartbeat.

import { ticksFor } from '../../src/net/ticker.ts';

export class Heartbeat {
  /** Ticks without output after which a heartbeat is sent; 0: heartbeats are off. */
  private readonly sendTicks: number;
  /** Ticks without input after which the peer counts as dead: two intervals, as the specification says. */
  private readonly deadTicks: number;
  private lastRead: number;
  private lastWritten: number;
  private silentInTicks: number;
  private silentOutTicks: number;

  constructor(seconds: number) {
    this.sendTicks = seconds === 0 ? 0 : ticksFor(seconds * 500) - 1;
    this.deadTicks = seconds === 0 ? 0 : ticksFor(seconds * 2000);
    this.lastRead = 0;
    this.lastWritten = 0;
    this.silentInTicks = 0;
    this.silentOutTicks = 0;
  }

  /** Whether a heartbeat is due. Called once a tick with the bytes that the transport has written so far. */
  isDue(bytesWritten: number): boolean {
    if (this.sendTicks === 0) return false;
    if (bytesWritten !== this.lastWritten) {
      this.lastWritten = bytesWritten;
      this.silentOutTicks = 0;
    }
    return ++this.silentOutTicks % this.sendTicks === 0;
  }

  /** Whether the peer has been silent for too long. `listening`: the socket is being read, so the peer is silent. */
  isDead(bytesRead: number, listening: boolean): boolean {
    if (this.deadTicks === 0) return false;
    if (!listening || bytesRead !== this.lastRead) {
      this.lastRead = bytesRead;
      this.silentInTicks = 0;
      return false;
    }
    return ++this.silentInTicks >= this.deadTicks;
  }
}
