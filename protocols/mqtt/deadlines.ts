// Points in time of the sessions that are away: when one ends, when a will is due. A set for each tick that has any, so
// that a tick costs what is due and nothing else; nobody is on the ticker while there is none.

import { type Ticked, type Ticker, ticksFor } from '../../src/net/ticker.ts';

/** Something that happens when its time has come. It belongs to one deadline at most. */
export interface Due {
  /** The tick that it is set for, or 0. Only `Deadlines` writes it. */
  dueTick: number;
  due(): void;
}

export class Deadlines implements Ticked {
  private readonly ticker: Ticker;
  private readonly byTick: Map<number, Set<Due>>;

  constructor(ticker: Ticker) {
    this.ticker = ticker;
    this.byTick = new Map();
  }

  get size(): number {
    let size = 0;
    for (const due of this.byTick.values()) size += due.size;
    return size;
  }

  /** Sets a deadline in `ms`, in place of the one that it had. */
  set(due: Due, ms: number): void {
    this.clear(due);
    if (this.byTick.size === 0) this.ticker.add(this);
    due.dueTick = this.ticker.now + ticksFor(Math.max(ms, 0));
    const others = this.byTick.get(due.dueTick);
    if (others === undefined) this.byTick.set(due.dueTick, new Set([due]));
    else others.add(due);
  }

  clear(due: Due): void {
    if (due.dueTick === 0) return;
    const others = this.byTick.get(due.dueTick)!;
    others.delete(due);
    if (others.size === 0) this.byTick.delete(due.dueTick);
    due.dueTick = 0;
    if (this.byTick.size === 0) this.ticker.remove(this);
  }

  tick(nowTick: number): void {
    const now = this.byTick.get(nowTick);
    if (now === undefined) return;
    for (const due of now) {
      this.clear(due);
      due.due();
    }
  }
}
