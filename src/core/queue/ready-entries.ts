// What a queue needs of its ready entries, however they are kept: in one window (queue-window.ts) or, where messages have
// priorities, in a window for each of them (priority-lanes.ts).

import type { QueueEntry } from './queue-entry.ts';
import type { QueueWindow } from './queue-window.ts';

export interface ReadyEntries {
  /** Ready entries, in memory or not. */
  readonly length: number;
  /** Bytes of their bodies. */
  readonly bodyBytes: number;
  /** Ready entries that are on disk only. */
  readonly pagedLength: number;
  /** The window of a lane; made where it was not used before. */
  of(lane: number): QueueWindow;
  /** The windows that are in use. */
  lanes(): readonly QueueWindow[];
  /** Takes up what the store recovered. Called before anything else. */
  recover(): void;
  append(entry: QueueEntry): void;
  /**
   * An entry has its number but is not to be ready yet. It is accounted for, and stored if need be, by its caller. What one
   * holder holds becomes ready at once.
   */
  hold(entry: QueueEntry, holder: object): void;
  /** It is held no longer: it is inserted, handed out or dropped. */
  endHold(entry: QueueEntry): void;
  /**
   * Entries that were held become ready, in the places of their numbers: behind what was there before them, whatever came
   * since. They are in order.
   */
  insert(entries: readonly QueueEntry[]): void;
  /** The next entry, or null: there is none, or it is being read back and `queue.wake` will be called. */
  peek(): QueueEntry | null;
  /** Takes the entry that `peek` returned. It stays accounted for until `release`. */
  take(): QueueEntry;
  /** Takes an entry that is first in its lane and expires by then; null where none does. */
  takeExpired(now: number): QueueEntry | null;
  /** When the first entry of a lane expires, as far as they are in memory. */
  nextExpiry(): number;
  /** Resolves when the load that is under way is in; null where none is. Rejects where the head cannot be read. */
  whenReadBack(): Promise<void> | null;
  /** The entry left memory for good: settled, dropped or withdrawn. */
  release(entry: QueueEntry): void;
  /**
   * The entry is out with somebody and safe on disk: while memory is short its bytes need not be in both places. They
   * are read back if it returns.
   */
  unload(entry: QueueEntry): void;
  /** Entries come back, in any order; they are delivered again in their original order. */
  putBack(entries: readonly QueueEntry[]): void;
  /** An entry was committed. */
  committed(entry: QueueEntry): void;
  /** A ready entry was refused by the store: it is skipped wherever it stands. */
  withdrawn(entry: QueueEntry): void;
  /** Forgets all ready entries, on disk or not. Returns how many there were. */
  clear(): number;
}
