// What one subscription selected of the retained messages (MQTT 3.1.1 §3.8.4), as far as its session has taken it: a
// search and its place. That of a persistent session is a definition of kind `retained-selection`, named by virtual host,
// client id and filter, from the commit of its subscription until the last message is in the session's queue; so it goes
// on where it was left, whatever ends meanwhile, the connection or the broker.

import type { DefinitionValue } from '../../../src/core/ports/definitions.ts';
import type { RetainedCursor, RetainedMoment } from '../../../src/core/ports/retained-store.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import { retainedSubscriptionOptions, type SubscriptionOptions } from '../../../src/core/queue/subscription-options.ts';
import { Target } from '../../../src/core/queue/target.ts';

export class RetainedSelection {
  readonly filter: string;
  /** How its messages are sent. */
  readonly subscriptionOptions: SubscriptionOptions;
  /** Whether it outlives its connection. */
  readonly durable: boolean;
  /** When its search began. */
  readonly since: RetainedMoment;
  /** Whether its subscription may still be refused: that is not committed yet. */
  awaited: boolean;
  /** The routing key of the last message that the session took; null: none. */
  after: string | null;
  /** Null while the client is away, or where it was read to its end. */
  cursor: RetainedCursor | null;
  /** Whether nothing more is to be read, and how many messages that were read wait. */
  exhausted: boolean;
  waiting: number;
  /** Nobody wants it any more: it was unsubscribed, or another took its place. */
  dropped: boolean;
  private target: Target | null;

  constructor(
    filter: string,
    subscriptionOptions: SubscriptionOptions,
    durable: boolean,
    since: RetainedMoment,
    after: string | null,
  ) {
    this.filter = filter;
    this.subscriptionOptions = subscriptionOptions;
    this.durable = durable;
    this.since = since;
    this.awaited = false;
    this.after = after;
    this.cursor = null;
    this.exhausted = false;
    this.waiting = 0;
    this.dropped = false;
    this.target = null;
  }

  /** What the messages come into the session's queue under. */
  targetOf(queue: Queue): Target {
    if (this.target?.queue !== queue) this.target = new Target(queue, this.subscriptionOptions);
    return this.target;
  }

  toJson(after: string | null): DefinitionValue {
    const { subscriptionOptions, since } = this;
    const { qos, subscriptionIds } = subscriptionOptions;
    return { qos, identifier: subscriptionIds[0] ?? 0, epoch: since.epoch, revision: since.revision, after };
  }

  static fromJson(filter: string, value: DefinitionValue): RetainedSelection {
    const subscriptionOptions = retainedSubscriptionOptions(value.qos as number, value.identifier as number);
    const since = { epoch: value.epoch as number, revision: value.revision as number };
    return new RetainedSelection(filter, subscriptionOptions, true, since, value.after as string | null);
  }
}
