// The end of a route: a queue, with the merged options of the bindings that matched. A publish reaches a queue once,
// however many of its bindings match.

import type { Queue } from './queue.ts';
import { mergeSubscriptionOptions, type SubscriptionOptions } from './subscription-options.ts';

export class Target {
  readonly queue: Queue;
  /** The highest QoS of the bindings that matched. */
  qos: number;
  /** The merged options of these bindings. */
  subscriptionOptions: SubscriptionOptions;
  /** The same without the no-local bindings: for messages that the queue's own client publishes. Null: it gets none. */
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
