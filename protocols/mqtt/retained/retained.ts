// Finds the retained messages that a new subscription selects (MQTT 3.1.1 §3.3.1.3), in all virtual hosts and below `$SYS`,
// and removes those that have expired. The core and its store keep them. Made by front-end.ts; called by the sessions.

import type { Logger } from '../../../src/core/logger.ts';
import type { RetainedCursor, RetainedPlace, RetainedStore } from '../../../src/core/ports/retained-store.ts';
import type { Task, Turn } from '../../../src/core/turn/turn.ts';
import type { WorkDescription } from '../../../src/core/turn/turn-watch.ts';
import { type Ticked, type Ticker, ticksFor } from '../../../src/net/ticker.ts';
import { selectsBrokerTopics, swapSeparators } from '../topic/topics.ts';

/** How often expired messages are removed. They are not sent in the meantime. */
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

  /** A search for the messages that a filter selects now; with `place` it resumes an earlier one. */
  find(vhost: string, filter: string, place?: RetainedPlace): RetainedCursor {
    if (this.brokerTopics !== null && selectsBrokerTopics(filter)) return this.brokerTopics.find(filter);
    return this.store.find(vhost, swapSeparators(filter), place);
  }

  tick(nowTick: number): void {
    if (nowTick % this.ticks === 0) this.turn.work(this);
  }

  describeWork(): WorkDescription {
    return { work: 'expiry of retained messages' };
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
