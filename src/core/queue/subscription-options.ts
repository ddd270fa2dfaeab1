// The options of an MQTT subscription, as a binding carries them (binding arguments `x-mqtt-…`). They are immutable and
// shared. A message that several bindings of a queue match reaches it once, with their merged options (MQTT 5 §3.3.4).

import { type FieldTable, findField, integerOf } from '../message/field-table.ts';

/** The QoS of a binding without the argument: no restriction. */
export const ANY_QOS = 2;

/** The binding arguments. */
export const SUBSCRIPTION_ARGUMENT = {
  qos: 'x-mqtt-qos',
  noLocal: 'x-mqtt-no-local',
  retainAsPublished: 'x-mqtt-retain-as-published',
  subscriptionId: 'x-mqtt-subscription-id',
} as const;

const NO_IDS: readonly number[] = Object.freeze([]);

export class SubscriptionOptions {
  /** The highest QoS at which messages are delivered. */
  readonly qos: number;
  /** The subscription does not get messages that its own client publishes. */
  readonly noLocal: boolean;
  /** The retain flag stays as it was published. */
  readonly retainAsPublished: boolean;
  /** Subscription identifiers, in no order. */
  readonly subscriptionIds: readonly number[];
  /**
   * The message was retained when the subscription was made; no binding matched it. Such options belong to one entry,
   * and are stored with it.
   */
  readonly retained: boolean;

  constructor(
    qos: number,
    noLocal: boolean,
    retainAsPublished: boolean,
    subscriptionIds: readonly number[],
    retained = false,
  ) {
    this.qos = qos;
    this.noLocal = noLocal;
    this.retainAsPublished = retainAsPublished;
    this.subscriptionIds = subscriptionIds.length === 0 ? NO_IDS : subscriptionIds;
    this.retained = retained;
  }
}

/** Options with nothing but a QoS. */
const PLAIN: readonly SubscriptionOptions[] = [0, 1, 2].map(
  (qos) => new SubscriptionOptions(qos, false, false, NO_IDS),
);

/** The options of a retained message that a new subscription of that QoS selected; `subscriptionId` 0: it has none. */
export function retainedSubscriptionOptions(qos: number, subscriptionId: number): SubscriptionOptions {
  return new SubscriptionOptions(qos, false, false, subscriptionId === 0 ? NO_IDS : [subscriptionId], true);
}

/** The options of bindings that are no MQTT subscriptions. */
export const DEFAULT_SUBSCRIPTION_OPTIONS: SubscriptionOptions = PLAIN[ANY_QOS]!;

export function readSubscriptionOptions(args: FieldTable): SubscriptionOptions {
  if (args.length === 0) return DEFAULT_SUBSCRIPTION_OPTIONS;
  const qos = Math.min(Math.max(integerOf(findField(args, SUBSCRIPTION_ARGUMENT.qos)) ?? ANY_QOS, 0), ANY_QOS);
  const noLocal = findField(args, SUBSCRIPTION_ARGUMENT.noLocal)?.value === true;
  const retainAsPublished = findField(args, SUBSCRIPTION_ARGUMENT.retainAsPublished)?.value === true;
  const id = integerOf(findField(args, SUBSCRIPTION_ARGUMENT.subscriptionId));
  if (!noLocal && !retainAsPublished && id === null) return PLAIN[qos]!;
  return new SubscriptionOptions(qos, noLocal, retainAsPublished, id === null ? NO_IDS : [id]);
}

/** The options of a message that both matched: the highest QoS, the wider of each option, all identifiers. */
export function mergeSubscriptionOptions(a: SubscriptionOptions, b: SubscriptionOptions): SubscriptionOptions {
  const qos = Math.max(a.qos, b.qos);
  const noLocal = a.noLocal && b.noLocal;
  const retainAsPublished = a.retainAsPublished || b.retainAsPublished;
  const ids =
    b.subscriptionIds.length === 0
      ? a.subscriptionIds
      : a.subscriptionIds.length === 0
        ? b.subscriptionIds
        : [...a.subscriptionIds, ...b.subscriptionIds];
  if (!noLocal && !retainAsPublished && ids.length === 0) return PLAIN[qos]!;
  return new SubscriptionOptions(qos, noLocal, retainAsPublished, ids);
}
