// The port through which queues become durable: entries by queue, gathered in batches. The store (src/store/queues)
// implements it; tests have implementations in memory.

import type { Message } from '../message/message.ts';
import type { QueueEntry } from './queue-entry.ts';
import type { SubscriptionOptions } from './subscription-options.ts';

/** What the store recovers of a queue at a restart, without scanning its entries. */
export interface QueueMeta {
  /** Committed persistent entries and their body bytes. */
  readonly count: number;
  readonly bytes: number;
  /** The first sequence number that was never used. */
  readonly nextSeq: number;
  /** Every entry below it is gone, even if it is still on disk. */
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
  /** The options of a retained message that a subscription selected, else null. */
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
   * Reads committed entries with `fromSeq <= seq < toSeq` in order, up to both limits (at least one entry if there is
   * one). Returns at once if the pages are warm, else later. Rejects only if the data is damaged.
   */
  load(
    queueId: number,
    fromSeq: number,
    toSeq: number,
    maxEntries: number,
    maxBytes: number,
  ): LoadedRange | Promise<LoadedRange>;
  /**
   * Drops every entry of the queue but `keep` (outstanding ones). One record on disk, whatever their number; the space
   * is reclaimed in the background. Confirms of pending entries are settled.
   */
  purge(queueId: number, keep: readonly QueueEntry[]): void;
  /** Drops a queue with its entries. One record on disk; the space is reclaimed in the background. */
  deleteQueue(queueId: number): void;
  /** From now on entries of this queue may be delivered: recovered after a crash they carry the redelivered mark. */
  markDelivering(queueId: number): void;
  /** At an orderly stop: exactly the entries below `seq` may have been delivered. */
  settleDelivered(queueId: number, seq: number): void;
  /**
   * The appends and removes of `run` belong together (a message that moves from one queue to another): on a full disk
   * they wait as a whole, so that the removes are not done while the appends are refused. A caller that removes an
   * entry in order to append its message elsewhere first moves `ring` and `slot` to the new entry, because removing
   * settles them. A move that is too long for one transaction is several groups, all but the last `unfinished`: their
   * appends wait though nothing is removed yet.
   */
  group(run: () => void, unfinished?: boolean): void;
  /** Runs `done` once everything handed over so far is committed (null) or has failed (the error). */
  whenCommitted(done: (error: Error | null) => void): void;
  /** Submits the pending batch if no commit is in flight. Called by the turn, once. */
  seal(): void;
  /** Bytes handed over and not yet committed. Publishers are held back by this number. */
  readonly uncommittedBytes: number;
}

/** Events of the store; the broker implements them. */
export interface StoreEvents {
  /** A commit ended (successfully or not): rings are settled, callbacks were called. Starts a turn that flushes. */
  commitEnded(): void;
  /** The disk is full (true) or accepts writes again (false): publishing is blocked meanwhile. */
  outOfSpace(full: boolean): void;
  /** A commit failed for another reason than space: confirm nothing, log, and exit with an error. */
  fatal(error: Error): void;
}
