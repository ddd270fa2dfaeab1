// The core's limits. Each has a name, a default and a place in the configuration reference.

export interface CoreLimits {
  /** Entries and bytes that one queue keeps in memory at its head; the rest of a backlog lives on disk. */
  readonly queueWindowEntries: number;
  readonly queueWindowBytes: number;
  /** Bytes of messages in memory, over all queues, at which publishers are held back, and at which they continue. */
  readonly memoryHighBytes: number;
  readonly memoryLowBytes: number;
  /** Bytes that wait for a commit at which publishers are held back, and at which they continue. */
  readonly uncommittedHighBytes: number;
  readonly uncommittedLowBytes: number;
  readonly queuesPerVhost: number;
  readonly exchangesPerVhost: number;
  readonly bindingsPerVhost: number;
  /** Memory of these. */
  readonly definitionBytesPerVhost: number;
  /** Copies of one message that later deaths than its first may make, and different deaths that a message may die. */
  readonly deadLetterCopies: number;
  readonly deadLetterDepth: number;
}

const MIB = 1024 * 1024;

export const DEFAULT_LIMITS: CoreLimits = Object.freeze({
  queueWindowEntries: 32_768,
  queueWindowBytes: 4 * MIB,
  memoryHighBytes: 256 * MIB,
  memoryLowBytes: 192 * MIB,
  uncommittedHighBytes: 2 * MIB,
  uncommittedLowBytes: 1 * MIB,
  queuesPerVhost: 200_000,
  exchangesPerVhost: 100_000,
  bindingsPerVhost: 2_000_000,
  definitionBytesPerVhost: 1024 * MIB,
  deadLetterCopies: 256,
  deadLetterDepth: 32,
});
