// The keep-alive timeout of one connection (MQTT 3.1.1 §3.1.2.10). Input only sets a flag, which each tick reads. Used by
// connection.ts, also for the time that a client has to log in.

import { ticksFor } from '../../../src/net/ticker.ts';

export class KeepAlive {
  /** Input came since the last tick. */
  received: boolean;
  /** The last tick with input. */
  private lastTick: number;
  private timeoutTicks: number;

  constructor(nowTick: number, timeoutMs: number) {
    this.received = false;
    this.lastTick = nowTick;
    this.timeoutTicks = ticksFor(timeoutMs);
  }

  restart(nowTick: number, timeoutMs: number): void {
    this.received = false;
    this.lastTick = nowTick;
    this.timeoutTicks = ticksFor(timeoutMs);
  }

  /** Whether the timeout has passed without input. `reading` false: the socket was not read, so the client may have sent. */
  isOver(nowTick: number, reading: boolean): boolean {
    if (this.received || !reading) {
      this.received = false;
      this.lastTick = nowTick;
    }
    return nowTick - this.lastTick >= this.timeoutTicks;
  }
}
