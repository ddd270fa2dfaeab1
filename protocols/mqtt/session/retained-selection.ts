// The retained messages that one subscription selected (MQTT 3.1.1 §3.8.4): a search and its position. That of a persistent
// session is stored as a definition of kind `retained-selection`, named by virtual host, client id and filter, from the
// commit of its subscription until the last message is in the session's queue. So it resumes after a reconnect and after a
// restart. Used by retained-feed.ts.

import type { DefinitionValue } from '../../../src/core/ports/definitions.ts';
import type { RetainedCursor, RetainedMoment } from '../../../src/core/ports/retained-store.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import { retainedSubscriptionOptions, type SubscriptionOptions } from '../../../src/core/queue/subscription-options.ts';
import { Target } from '../../../src/core/queue/target.ts';

export class RetainedSelection {
  readonly filter: string;
  /** The options under which its messages are sent. */
  readonly options: SubscriptionOptions;
  /** Whether it is stored and outlives its connection. */
  readonly durable: boolean;
  /** When the search began. */
  readonly since: RetainedMoment;
  /** Its subscription is not committed yet and may still be refused. */
  ungranted: boolean;
  /** The routing key of the last message that was sent or enqueued; null: none. */
  after: string | null;
  /** Null while the client is disconnected or after the last message was read. */
  cursor: RetainedCursor | null;
  /** Nothing more is to be read. */
  exhausted: boolean;
  /** Messages that were read and not sent or enqueued. */
  waiting: number;
  /** The subscription was removed or replaced: nothing more is sent. */
  dropped: boolean;
  private target: Target | null;

  constructor(
    filter: string,
    options: SubscriptionOptions,
    durable: boolean,
    since: RetainedMoment,
    after: string | null,
  ) {
    this.filter = filter;
    this.options = options;
    this.durable = durable;
    this.since = since;
    this.ungranted = false;
    this.after = after;
    this.cursor = null;
    this.exhausted = false;
    this.waiting = 0;
    this.dropped = false;
    this.target = null;
  }

  /** The target under which messages are enqueued. */
  targetOf(queue: Queue): Target {
    if (this.target?.queue !== queue) this.target = new Target(queue, this.options);
    return this.target;
  }

  toJson(after: string | null): DefinitionValue {
    const { options, since } = this;
    const { qos, subscriptionIds } = options;
    return { qos, identifier: subscriptionIds[0] ?? 0, epoch: since.epoch, revision: since.revision, after };
  }

  static fromJson(filter: string, value: DefinitionValue): RetainedSelection {
    const options = retainedSubscriptionOptions(value.qos as number, value.identifier as number);
    const since = { epoch: value.epoch as number, revision: value.revision as number };
    return new RetainedSelection(filter, options, true, since, value.after as string | null);
  }
}
