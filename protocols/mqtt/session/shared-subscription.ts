// A shared subscription as it stands in a session's record, and the delivery options that follow from it.

import { DEFAULT_SUBSCRIPTION_OPTIONS, SubscriptionOptions } from '../../../src/core/queue/subscription-options.ts';

export interface SharedSubscription {
  readonly filter: string;
  readonly qos: number;
  readonly retainAsPublished: boolean;
  readonly identifier: number;
}

export function subscriptionOptionsOf({ qos, retainAsPublished, identifier }: SharedSubscription): SubscriptionOptions {
  if (qos === DEFAULT_SUBSCRIPTION_OPTIONS.qos && !retainAsPublished && identifier === 0)
    return DEFAULT_SUBSCRIPTION_OPTIONS;
  return new SubscriptionOptions(qos, false, retainAsPublished, identifier === 0 ? [] : [identifier]);
}
