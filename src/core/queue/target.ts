// Where a route ends: a queue, with what the bindings that matched say, merged. A publish reaches a queue once, however
// many of its bindings match.

import type { Queue } from './queue.ts';
import { mergeSubscriptionOptions, type SubscriptionOptions } from './subscription-options.ts';

export class Target {
  readonly queue: Queue;
  /** The highest QoS of the bindings that matched. */
  qos: number;
  /** All that these bindings say. */
  subscriptionOptions: SubscriptionOptions;
  /** The same for what the queue's own client publishes: without the no-local ones; null: it is not for the queue. */
  ownPublishOptions: SubscriptionOptions | null;

  constructor(queue: Queue, subscriptionOptions: SubscriptionOptions) {
    this.queue = queue;
    this.qos = subscriptionOptions.qos;
    this.subscriptionOptions = subscriptionOptions;
    this.ownPublishOptions = subscriptionOptions.noLocal ? null : subscriptionOptions;
  }

  /** One more binding to the queue matched. */
  widen(subscriptionOptions: SubscriptionOptions): void {
    if (subscriptionOptions !== this.subscriptionOptions)
      this.subscriptionOptions = mergeSubscriptionOptions(this.subscriptionOptions, subscriptionOptions);
    if (!subscriptionOptions.noLocal)
      this.ownPublishOptions =
        this.ownPublishOptions === null
          ? subscriptionOptions
          : mergeSubscriptionOptions(this.ownPublishOptions, subscriptionOptions);
    this.qos = this.subscriptionOptions.qos;
  }
}

export const NO_TARGETS: readonly Target[] = Object.freeze([]);
