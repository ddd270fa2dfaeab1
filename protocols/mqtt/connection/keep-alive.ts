// How long a client may be silent. Chunks of input only set a flag; the ticker looks at it (MQTT 3.1.1 §3.1.2.10).

import { ticksFor } from '../../../src/net/ticker.ts';

export class KeepAlive {
  /** Something was heard since the last tick. */
  heard: boolean;
  /** The last tick at which the client was alive. */
  private aliveTick: number;
  private patienceTicks: number;

  constructor(nowTick: number, patienceMs: number) {
    this.heard = false;
    this.aliveTick = nowTick;
    this.patienceTicks = ticksFor(patienceMs);
  }

  restart(nowTick: number, patienceMs: number): void {
    this.heard = false;
    this.aliveTick = nowTick;
    this.patienceTicks = ticksFor(patienceMs);
  }

  /** Whether the client was silent for too long. `reading`: it could have been heard. */
  isOver(nowTick: number, reading: boolean): boolean {
    if (this.heard || !reading) {
      this.heard = false;
      this.aliveTick = nowTick;
    }
    return nowTick - this.aliveTick >= this.patienceTicks;
  }
}
