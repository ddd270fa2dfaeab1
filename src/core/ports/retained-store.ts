// The port through which retained messages are kept and found. The store implements it.

import type { Message } from '../message/message.ts';
import type { ConfirmRing } from '../turn/confirms.ts';

/** A moment in the life of the retained messages. */
export interface RetainedMoment {
  /** Which start of the broker. */
  readonly epoch: number;
  /** Changes since then. */
  readonly revision: number;
}

/** Where a search was left. */
export interface RetainedPlace {
  /** When it began. */
  readonly since: RetainedMoment;
  /** The routing key of the last message that was taken; null: none was. */
  readonly after: string | null;
}

/** Messages that are found one after the other, as they are read from disk. */
export interface RetainedCursor {
  /** When the search began, at first. */
  readonly since: RetainedMoment;
  /** Whether it is known that there is nothing to find. */
  readonly empty: boolean;
  /**
   * The next messages, some at least; none: that was all. The same order each time. One call at a time. Long searches
   * are cut into slices between which others have their turn. Rejects where a record is damaged.
   */
  read(): Promise<readonly Message[]>;
  /** Whether a message that was read is still what is kept under its key. */
  isCurrent(message: Message): boolean;
}

export interface RetainedCount {
  readonly messages: number;
  /** Of routing keys, properties and bodies. */
  readonly bytes: number;
}

/**
 * Retained messages: the last one of each routing key of a virtual host, in the same batches and transactions as queue
 * entries. Reading sees what was set, committed or not; a message whose expiration is over is not seen.
 */
export interface RetainedStore {
  /**
   * Keeps a message in the place of the one before; one without a body only removes it. Its bytes are copied. With a
   * ring the slot gets a hold, which settles with the commit; where the disk is full it is refused and what was kept
   * before stays. False where a bound forbids it: then nothing is kept under the key.
   */
  set(vhost: string, message: Message, ring: ConfirmRing | null, slot: number): boolean;
  /**
   * The messages whose routing keys a filter of the MQTT dialect selects, as they are now: what is set while the cursor
   * is read is not among them. With a place a search is taken up that was left there, perhaps before a restart: what it
   * would have found behind it, and of what was set since it began only what is not persistent, for the queue of whoever
   * searches may have missed it.
   */
  find(vhost: string, filter: string, place?: RetainedPlace): RetainedCursor;
  count(vhost: string): RetainedCount;
  /** Removes some of what has expired, found through an index. True where more is left. */
  expire(): boolean;
}
