// Reads the retained messages that a filter selects, as they were when the cursor was made, in the order of their keys: so
// that a search can be left behind any of them and taken up again by another cursor.
//
// What was set and not committed by then is looked through first; the rest is found on disk. Both in slices. A record that
// was set later carries a later revision and is left out: whoever made the cursor gets that one live. A key
// that has a change waiting is left out, too: that change was kept at the start, or came later.

import type { Message } from '../../core/message/message.ts';
import type { RetainedCursor, RetainedMoment } from '../../core/ports/retained-store.ts';
import type { RetainedSearch } from './retained-search.ts';

/**
 * Keys that are looked at before others have their turn: about a millisecond. The first slice is short, because a client
 * may begin thousands of searches at once.
 */
const LOOKS = 256;
const FIRST_LOOKS = 32;
/** The same for messages that are in memory. */
const EARLY_LOOKS = 1024;
/** Keys that are gathered before their records are read. */
const BATCH = 64;
/** Bytes of records that are handed out at once. */
const BATCH_BYTES = 256 * 1024;

/** What a cursor asks its store for. */
export interface RecordSource {
  prefetch(keys: readonly Buffer[]): Promise<void> | null;
  /** The message of a key for this cursor, or null. Throws DamagedDataError. */
  read(key: Buffer): Message | null;
  isCurrent(message: Message): boolean;
}

/** Found among what was not committed. */
export interface EarlyMessage {
  readonly key: Buffer;
  readonly message: Message;
}

/** Looks through what was not committed when the cursor was made. */
export interface EarlySearch {
  /** What was found so far. */
  readonly found: EarlyMessage[];
  /** Looks at that many changes. True if there are more. */
  look(looks: number): boolean;
}

export class KvRetainedCursor implements RetainedCursor {
  readonly since: RetainedMoment;
  readonly empty: boolean;
  private readonly source: RecordSource;
  /** Null where all keys are known. */
  private readonly search: RetainedSearch | null;
  /** Null once everything that was not committed was looked through. */
  private earlySearch: EarlySearch | null;
  /** Sorted from the last key to the first, so that the next one is popped. */
  private early: EarlyMessage[];
  /** Keys whose records are to be read. */
  private readonly keys: Buffer[];
  /** Resolves when others had their turn. */
  private readonly pause: () => Promise<void>;
  private looks: number;

  constructor(
    since: RetainedMoment,
    source: RecordSource,
    search: RetainedSearch | null,
    early: EarlySearch | null,
    keys: readonly Buffer[],
    pause: () => Promise<void>,
  ) {
    this.since = since;
    this.empty = false;
    this.source = source;
    this.search = search;
    this.earlySearch = early;
    this.early = [];
    this.keys = [...keys];
    this.pause = pause;
    this.looks = FIRST_LOOKS;
  }

  async read(): Promise<readonly Message[]> {
    if (this.earlySearch !== null) await this.searchEarly(this.earlySearch);
    for (;;) {
      const messages = await this.readRecords();
      if (this.keys.length === 0) this.takeEarly(this.search?.position ?? null, messages);
      if (messages.length > 0) return messages;
      if (this.keys.length > 0) continue;
      if (this.search === null || this.search.done) return [];
      this.search.next(this.looks, BATCH, this.keys);
      this.looks = LOOKS;
      if (this.keys.length === 0 && !this.search.done) await this.pause();
    }
  }

  isCurrent(message: Message): boolean {
    return this.source.isCurrent(message);
  }

  private async searchEarly(search: EarlySearch): Promise<void> {
    while (search.look(EARLY_LOOKS)) await this.pause();
    this.earlySearch = null;
    this.early = search.found.sort((a, b) => b.key.compare(a.key));
  }

  private async readRecords(): Promise<Message[]> {
    const messages: Message[] = [];
    if (this.keys.length === 0) return messages;
    const warming = this.source.prefetch(this.keys);
    if (warming !== null) await warming;
    let bytes = 0;
    while (this.keys.length > 0 && bytes < BATCH_BYTES) {
      const key = this.keys.shift()!;
      this.takeEarly(key, messages);
      const message = this.source.read(key);
      if (message === null) continue;
      messages.push(message);
      bytes += message.bodyLength + message.nativeLength;
    }
    return messages;
  }

  /** Those that come before a key; null: all that are left. */
  private takeEarly(before: Buffer | null, messages: Message[]): void {
    const { early } = this;
    for (let next = early.at(-1); next !== undefined; next = early.at(-1)) {
      if (before !== null && next.key.compare(before) >= 0) return;
      messages.push(next.message);
      early.pop();
    }
  }
}
