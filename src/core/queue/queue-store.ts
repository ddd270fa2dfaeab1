// The port through which queues become durable: entries by queue, gathered in batches. The store (src/store/queues)
// implements it; tests have implementations in memory.

import type { Message } from '../message/message.ts';
import type { QueueEntry } from './queue-entry.ts';
import type { SubscriptionOptions } from './subscription-options.ts';

/** A queue as the store recovered it, in place of a scan: what a restart needs to know. */
export interface QueueMeta {
  /** Committed persistent entries and their body bytes. */
  readonly count: number;
  readonly bytes: number;
  /** The first sequence number that was never used. */
  readonly nextSeq: number;
  /** Every entry below it is gone, whatever is still on disk. */
  readonly floor: number;
  /** Entries below it may have been delivered before: they carry the redelivered mark. */
  readonly deliveredTo: number;
}

/** One entry read back from disk. */
export interface StoredEntry {
  readonly seq: number;
  readonly message: Message;
  readonly expiresAt: number;
  readonly redelivered: boolean;
  /** Those of a message that was retained when it came into the queue, else null. */
  readonly subscriptionOptions: SubscriptionOptions | null;
}

export interface LoadedRange {
  readonly entries: readonly StoredEntry[];
  /** Where the next load of this range starts: everything below it was returned or is gone. */
  readonly nextSeq: number;
}

/**
 * Durable entries by queue. Calls of one turn gather in a pending batch; `seal` submits it when no commit is in
 * flight. All calls of one turn between two seals commit in one transaction, never split.
 */
export interface QueueStore {
  /** Meta of a durable queue that existed before, or null. */
  recover(queueId: number): QueueMeta | null;
  /** The first of `count` consecutive queue ids that were never used. Durable with the first write that uses one. */
  nextQueueId(count?: number): number;
  /**
   * Adds an entry to the pending batch. Its `storeState` becomes pending now, committing at the seal, committed with
   * the transaction; then `entry.ring` is settled and `queue.committed(entry)` is called. A failed commit refuses the
   * ring and calls `queue.withdrawn(entry)`. Transient entries (paged out to save memory) are skipped at the next
   * start.
   */
  append(entry: QueueEntry): void;
  /** The entry is settled for good. A pending one is withdrawn unwritten (its ring is settled). */
  remove(entry: QueueEntry): void;
  /**
   * Reads committed entries with `fromSeq <= seq < toSeq` in order, up to both limits (at least one entry where there
   * is one). Answers at once where the pages are warm, else later. Rejects only where the data is damaged.
   */
  load(
    queueId: number,
    fromSeq: number,
    toSeq: number,
    maxEntries: number,
    maxBytes: number,
  ): LoadedRange | Promise<LoadedRange>;
  /**
   * Drops every entry of the queue but `keep` (those that are out with consumers), O(1) on disk however many they are;
   * slices are reclaimed in the background. Confirms of pending entries are settled.
   */
  purge(queueId: number, keep: readonly QueueEntry[]): void;
  /** Drops a queue with all that it holds (O(1) on disk; slices are reclaimed in the background). */
  deleteQueue(queueId: number): void;
  /** From now on entries of this queue may be delivered: recovered after a crash they carry the redelivered mark. */
  markDelivering(queueId: number): void;
  /** At a clean stop: exactly the entries below `seq` may have been delivered. */
  settleDelivered(queueId: number, seq: number): void;
  /**
   * Appends and removes that `run` makes belong together (a message that moves from one queue to another): where the
   * disk is full they wait whole, rather than that the removes are done and the appends refused. Whoever removes an entry
   * in order to append its message elsewhere moves `ring` and `slot` over first: removing settles. A move that is too long
   * for one transaction is several groups, all but the last `unfinished`: their appends wait though nothing is removed yet.
   */
  group(run: () => void, unfinished?: boolean): void;
  /** Runs `done` once everything handed over so far is committed (null) or has failed (the error). */
  whenCommitted(done: (error: Error | null) => void): void;
  /** Submits the pending batch if no commit is in flight. Called by the turn, once. */
  seal(): void;
  /** Bytes handed over and not yet committed: what publishers are held back by. */
  readonly uncommittedBytes: number;
}

/** What the store tells its owner; the turn and the broker implement it. */
export interface StoreEvents {
  /** A commit ended (well or not): rings settled, callbacks ran. Starts a turn of its own to flush them. */
  commitEnded(): void;
  /** The disk is full (true) or takes writes again (false): publishing is blocked meanwhile. */
  outOfSpace(full: boolean): void;
  /** A commit failed for another reason than space. Answer nobody, log, exit non-zero. */
  fatal(error: Error): void;
}
