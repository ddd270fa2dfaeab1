// The ready entries of a queue, as the queue sees them: kept in one window (queue-window.ts) or, with priorities, in a
// window for each priority (priority-lanes.ts).

import type { QueueEntry } from './queue-entry.ts';
import type { QueueWindow } from './queue-window.ts';

export interface ReadyEntries {
  /** Ready entries, in memory or not. */
  readonly length: number;
  /** Bytes of their bodies. */
  readonly bodyBytes: number;
  /** Ready entries that are on disk only. */
  readonly pagedLength: number;
  /** The window of a lane; created if it was not used before. */
  of(lane: number): QueueWindow;
  /** The windows in use. */
  lanes(): readonly QueueWindow[];
  /** Recovers what the store knows. Called before anything else. */
  recover(): void;
  append(entry: QueueEntry): void;
  /**
   * An entry has its number but must not be ready yet. Its caller accounts for it and stores it if needed. All entries
   * of one holder become ready at once.
   */
  hold(entry: QueueEntry, holder: object): void;
  /** The entry is no longer held: it is inserted, delivered or dropped. */
  endHold(entry: QueueEntry): void;
  /**
   * Held entries, in order, become ready in the places of their numbers: after older entries, before entries that
   * arrived while they were held.
   */
  insert(entries: readonly QueueEntry[]): void;
  /** The next entry, or null: there is none, or it is being read back and `queue.wake` will be called. */
  peek(): QueueEntry | null;
  /** Takes the entry that `peek` returned. Its memory is counted until `release`. */
  take(): QueueEntry;
  /** Takes an entry that is first in its lane and has expired by then; null if there is none. */
  takeExpired(now: number): QueueEntry | null;
  /** When the first entry of a lane expires; entries that are only on disk do not count. */
  nextExpiry(): number;
  /** Resolves when the load in progress has ended; null if there is none. Rejects if the head cannot be read. */
  whenReadBack(): Promise<void> | null;
  /** The entry left memory: it was settled, dropped or withdrawn. */
  release(entry: QueueEntry): void;
  /**
   * The entry is outstanding and on disk: while memory is short its bytes are dropped. They are read back if it
   * returns.
   */
  unload(entry: QueueEntry): void;
  /** Entries return, in any order; they are delivered again in their original order. */
  putBack(entries: readonly QueueEntry[]): void;
  /** An entry was committed. */
  committed(entry: QueueEntry): void;
  /** The store refused a ready entry: it is skipped when its turn comes. */
  withdrawn(entry: QueueEntry): void;
  /** Drops all ready entries, on disk or not. Returns their number. */
  clear(): number;
}
