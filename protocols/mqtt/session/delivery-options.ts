// The subscription options of an entry that was read back from disk. The store keeps no options with an entry, because
// subscriptions may change while it waits: the subscriptions that select the message now decide, merged as at a publish
// (MQTT 5 §3.3.4). Called by delivery.ts.
//
// A session with few subscriptions matches each of them: 0.1 µs each. One with many uses the exchange's route, which is
// cached by routing key, because matching 2,000 subscriptions takes 0.6 ms. Few sessions have many subscriptions, which
// matters after a fan-out to 100,000 of them: a route of that size does not stay in the cache, and 100,000 deliveries
// that each walk or search it would take 10¹⁰ steps.

import type { Binding, Exchange } from '../../../src/core/exchange/exchange.ts';
import type { Message } from '../../../src/core/message/message.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import {
  DEFAULT_SUBSCRIPTION_OPTIONS,
  mergeSubscriptionOptions,
  type SubscriptionOptions,
} from '../../../src/core/queue/subscription-options.ts';
import { filterMatches, swapSeparators } from '../topic/topics.ts';

/** A session with more subscriptions than this uses the exchange's route. */
export const FEW_SUBSCRIPTIONS = 16;

/**
 * The merged options of the bindings of `queue` that select `message` at `exchange` now. A message that none of them
 * selects any more is sent as it was published.
 */
export function currentOptions(
  exchange: Exchange,
  queue: Queue,
  bindings: ReadonlySet<Binding>,
  message: Message,
): SubscriptionOptions {
  const options = areFewSubscriptions(bindings, exchange)
    ? mergedOptions(bindings, message)
    : exchange.route(message).find((target) => target.queue === queue)?.subscriptionOptions;
  return options ?? DEFAULT_SUBSCRIPTION_OPTIONS;
}

/** Only the exchange knows what reaches the queue by an AMQP binding or through another exchange. */
function areFewSubscriptions(bindings: ReadonlySet<Binding>, exchange: Exchange): boolean {
  if (bindings.size > FEW_SUBSCRIPTIONS) return false;
  for (const { source, dialect } of bindings) if (source !== exchange || dialect !== 'mqtt') return false;
  return true;
}

function mergedOptions(bindings: ReadonlySet<Binding>, message: Message): SubscriptionOptions | undefined {
  const topic = swapSeparators(message.routingKey);
  let merged: SubscriptionOptions | undefined;
  for (const { routingKey, subscriptionOptions } of bindings) {
    if (!filterMatches(swapSeparators(routingKey), topic)) continue;
    merged = merged === undefined ? subscriptionOptions : mergeSubscriptionOptions(merged, subscriptionOptions);
  }
  return merged;
}
