// The port through which definitions (virtual hosts, users, exchanges, queues, bindings and so on) become durable. The
// store implements it; tests have an implementation in memory.

/** The kinds of named records. */
export const DEFINITION_KINDS = [
  'vhost',
  'user',
  'permission',
  'topic-permission',
  'exchange',
  'queue',
  'binding',
  'session',
  'retained-selection',
  'return',
] as const;

export type DefinitionKind = (typeof DEFINITION_KINDS)[number];

/** The value of a record: plain JSON, which only the owner of its kind interprets. */
export type DefinitionValue = Readonly<Record<string, unknown>>;

/**
 * Definitions share batches and transactions with queue entries: a binding and the queue that it needs are committed
 * together or not at all.
 */
export interface DefinitionStore {
  /** Every record of a kind, in key order. `name` is the array that was given to `put`. */
  all(kind: DefinitionKind): Iterable<{ readonly name: readonly string[]; readonly value: DefinitionValue }>;
  put(kind: DefinitionKind, name: readonly string[], value: DefinitionValue): void;
  remove(kind: DefinitionKind, name: readonly string[]): void;
}
