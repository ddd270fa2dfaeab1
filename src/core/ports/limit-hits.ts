// How often each named bound was reached at which something is dropped, refused or closed, by its key in the
// configuration: plain numbers that metrics read when scraped. The core names its own bounds; each protocol names its
// own in its limits.ts and registers them when its front-end is made, so that metrics show 0 for what was never reached.
// Bounds that only make somebody wait (credit, watermarks) are not here: they are reached all the time. Nor are those of
// queues, whose messages are counted where they go.

export const CORE_COUNTED_LIMITS = [
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
export type CoreCountedLimit = (typeof CORE_COUNTED_LIMITS)[number];

/** Counts by name. One object for the process, of which each owner of limits sees its own names and the core's. */
export type LimitHits<Name extends string = never> = Record<CoreCountedLimit | Name, number>;

/** An error that a bound caused says which. */
export interface Limited<Name extends string> {
  /** Null: it has another cause. */
  readonly limit: CoreCountedLimit | Name | null;
}

export function newLimitHits(): LimitHits {
  return Object.fromEntries(CORE_COUNTED_LIMITS.map((limit) => [limit, 0])) as LimitHits;
}

/** Has further limits counted in `hits`, too, and returns it as their owner sees it. What was counted stays. */
export function registerLimits<Name extends string>(hits: LimitHits, names: readonly Name[]): LimitHits<Name> {
  const wider = hits as LimitHits<Name>;
  for (const name of names) wider[name] ??= 0 as LimitHits<Name>[Name];
  return wider;
}

/** Counts the bound that caused an error, where one did. */
export function countLimit(hits: LimitHits, error: unknown): void {
  const limit = error instanceof Error ? (error as Error & Partial<Limited<string>>).limit : null;
  if (limit !== null && limit !== undefined) (hits as LimitHits<string>)[limit]!++;
}
