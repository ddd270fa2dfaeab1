// The port through which retained messages are stored and found. The store implements it.

import type { Message } from '../message/message.ts';
import type { ConfirmRing } from '../turn/confirms.ts';

/** A point in the history of the retained messages. */
export interface RetainedMoment {
  /** The start of the broker. */
  readonly epoch: number;
  /** Number of changes since that start. */
  readonly revision: number;
}

/** Where a search was interrupted. */
export interface RetainedPlace {
  /** When it began. */
  readonly since: RetainedMoment;
  /** The routing key of the last message that was taken; null: none was. */
  readonly after: string | null;
}

/** The result of a search, read from disk in slices. */
export interface RetainedCursor {
  /** When the search first began. */
  readonly since: RetainedMoment;
  /** Whether it is known that nothing is found. */
  readonly empty: boolean;
  /**
   * The next messages, at least one; an empty array at the end. Always in the same order. One call at a time. Long
   * searches are read in slices, between which other work runs. Rejects if a record is damaged.
   */
  read(): Promise<readonly Message[]>;
  /** Whether a message that was read is still the retained message of its key. */
  isCurrent(message: Message): boolean;
}

export interface RetainedCount {
  readonly messages: number;
  /** Bytes of routing keys, properties and bodies. */
  readonly bytes: number;
}

/**
 * Retained messages: the last one of each routing key of a virtual host, in the same batches and transactions as queue
 * entries. Reading returns what was set, committed or not; expired messages are not returned.
 */
export interface RetainedStore {
  /**
   * Stores a message in place of the previous one of its key; an empty body only removes that one. The bytes are
   * copied. With a ring, the slot gets a hold that settles with the commit; a full disk refuses it, and the previous
   * message stays. False if a limit forbids it: then nothing is retained under the key.
   */
  set(vhost: string, message: Message, ring: ConfirmRing | null, slot: number): boolean;
  /**
   * The messages whose routing keys a filter of the MQTT dialect matches, as they are now: later changes are not
   * included. With a `place`, the search continues where it was interrupted, perhaps before a restart. Of the messages
   * that were set since the search began it then finds only transient ones, because the session's queue has the
   * persistent ones and may have lost the transient ones.
   */
  find(vhost: string, filter: string, place?: RetainedPlace): RetainedCursor;
  count(vhost: string): RetainedCount;
  /** Removes some expired messages, found through an index. True if there are more. */
  expire(): boolean;
}
