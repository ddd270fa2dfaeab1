// How often each limit was reached that drops, refuses or closes something, by its configuration key: plain numbers
// that metrics read when scraped. The core names its own limits. Each protocol names its own in its limits.ts and
// registers them when its front-end is created, so that metrics show 0 for limits that were never reached. Limits that
// only delay (credit, watermarks) are reached all the time and not counted. Limits of queues are counted as messages.

export const CORE_COUNTED_LIMITS = [
  'limits.connections',
  'limits.connectionsPerAddress',
  'limits.unauthenticatedMs',
  'limits.slowReaderTimeoutMs',
  'limits.lingerMs',
  'limits.messageBytes',
  'limits.connectionBytes',
  'limits.userBytes',
  'limits.unauthenticatedBytes',
  'limits.clientBytes',
  'limits.unauthenticatedPerAddress',
  'limits.definitionBytesPerVhost',
  'limits.queuesPerVhost',
  'limits.exchangesPerVhost',
  'limits.bindingsPerVhost',
  'limits.deadLetterCopies',
  'limits.deadLetterDepth',
  'limits.passwordQueue',
  'limits.passwordQueuePerAddress',
  'http.connections',
] as const;
export type CoreCountedLimit = (typeof CORE_COUNTED_LIMITS)[number];

/** Counts by name. One object for the process, of which each owner of limits sees its own names and the core's. */
export type LimitHits<Name extends string = never> = Record<CoreCountedLimit | Name, number>;

/** An error that a limit caused names it. */
export interface Limited<Name extends string> {
  /** Null: it has another cause. */
  readonly limit: CoreCountedLimit | Name | null;
}

export function newLimitHits(): LimitHits {
  return Object.fromEntries(CORE_COUNTED_LIMITS.map((limit) => [limit, 0])) as LimitHits;
}

/** Registers further limits in `hits`, and returns it typed for their owner. Existing counts stay. */
export function registerLimits<Name extends string>(hits: LimitHits, names: readonly Name[]): LimitHits<Name> {
  const wider = hits as LimitHits<Name>;
  for (const name of names) wider[name] ??= 0 as LimitHits<Name>[Name];
  return wider;
}

/** Counts the limit that caused an error, if one did. */
export function countLimit(hits: LimitHits, error: unknown): void {
  const limit = error instanceof Error ? (error as Error & Partial<Limited<string>>).limit : null;
  if (limit !== null && limit !== undefined) (hits as LimitHits<string>)[limit]!++;
}
