// The retained messages of all virtual hosts as MQTT sees them: what a subscription that is new selects (MQTT 3.1.1
// §3.3.1.3), and the removal of those whose time is over. They are kept by the core and its store.

import type { Logger } from '../../../src/core/logger.ts';
import type { RetainedCursor, RetainedPlace, RetainedStore } from '../../../src/core/ports/retained-store.ts';
import type { Task, Turn } from '../../../src/core/turn/turn.ts';
import { type Ticked, type Ticker, ticksFor } from '../../../src/net/ticker.ts';
import { selectsBrokerTopics, swapSeparators } from '../topic/topics.ts';

/** How often what has expired is looked for. Nobody is sent it meanwhile. */
const EXPIRE_MS = 5_000;

/** The topics below `$SYS`, whose values are computed when a filter selects them. */
export interface BrokerTopics {
  find(filter: string): RetainedCursor;
}

export class RetainedMessages implements Ticked, Task {
  /** Null where the broker publishes nothing below `$SYS`. */
  brokerTopics: BrokerTopics | null;
  private readonly store: RetainedStore;
  private readonly turn: Turn;
  private readonly ticker: Ticker;
  private readonly log: Logger;
  private readonly ticks: number;

  constructor(store: RetainedStore, turn: Turn, ticker: Ticker, log: Logger) {
    this.brokerTopics = null;
    this.store = store;
    this.turn = turn;
    this.ticker = ticker;
    this.log = log;
    this.ticks = ticksFor(EXPIRE_MS);
    ticker.add(this);
  }

  /** The messages whose topics the filter selects, as they are now, or where a search for them was left. */
  find(vhost: string, filter: string, place?: RetainedPlace): RetainedCursor {
    if (this.brokerTopics !== null && selectsBrokerTopics(filter)) return this.brokerTopics.find(filter);
    return this.store.find(vhost, swapSeparators(filter), place);
  }

  tick(nowTick: number): void {
    if (nowTick % this.ticks === 0) this.turn.work(this);
  }

  run(): boolean {
    try {
      return this.store.expire();
    } catch (error) {
      this.log.error({ error }, 'expired retained messages cannot be removed');
      this.ticker.remove(this);
      return false;
    }
  }
}
