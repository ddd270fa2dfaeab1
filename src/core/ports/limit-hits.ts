// How often each named bound was reached at which something is dropped, refused or closed, by its key in the
// configuration: plain numbers that metrics read when scraped. Bounds that only make somebody wait (credit, watermarks)
// are not here: they are reached all the time. Nor are those of queues, whose messages are counted where they go.

export const COUNTED_LIMITS = [
  'amqp.frameMaxBytes',
  'amqp.channelMax',
  'amqp.consumersPerChannel',
  'amqp.transactionOperations',
  'amqp.transactionBytes',
  'mqtt.packetBytes',
  'mqtt.connectBytes',
  'mqtt.propertyBytes',
  'mqtt.clientIdBytes',
  'mqtt.topicBytes',
  'mqtt.topicLevels',
  'mqtt.subscriptionsPerSession',
  'mqtt.publishMaximum',
  'mqtt.topicAliases',
  'mqtt.unreleased',
  'mqtt.retainedMessages',
  'mqtt.retainedBytes',
  'stomp.maxHeaders',
  'stomp.maxHeaderBytes',
  'stomp.maxSubscriptions',
  'stomp.maxTransactions',
  'stomp.maxTransactionOperations',
  'stomp.maxTransactionBytes',
  'limits.connections',
  'limits.unauthenticatedMs',
  'limits.slowReaderTimeoutMs',
  'limits.lingerMs',
  'limits.messageBytes',
  'limits.queuesPerVhost',
  'limits.exchangesPerVhost',
  'limits.bindingsPerVhost',
  'limits.passwordQueue',
] as const;
export type CountedLimit = (typeof COUNTED_LIMITS)[number];

export type LimitHits = Record<CountedLimit, number>;

/** An error that a bound caused says which. */
export interface Limited {
  /** Null: it has another cause. */
  readonly limit: CountedLimit | null;
}

export function newLimitHits(): LimitHits {
  return Object.fromEntries(COUNTED_LIMITS.map((limit) => [limit, 0])) as LimitHits;
}

/** Counts the bound that caused an error, where one did. */
export function countLimit(hits: LimitHits, error: unknown): void {
  const limit = error instanceof Error ? (error as Error & Partial<Limited>).limit : null;
  if (limit !== null && limit !== undefined) hits[limit]++;
}
