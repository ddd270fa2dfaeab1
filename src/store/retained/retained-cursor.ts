// Reads the retained messages that a filter selects, as they were when the cursor was made, in the order of their keys: so
// that a search can be left behind any of them and taken up again by another cursor.
//
// What was set and not committed by then is looked through at once and kept; the rest is found on disk, in slices. A
// record that was set later carries a later revision and is left out: whoever made the cursor gets that one live. A key
// that has a change waiting is left out, too: that change was kept at the start, or came later.

import type { Message } from '../../core/message/message.ts';
import type { RetainedCursor, RetainedMoment } from '../../core/ports/retained-store.ts';
import type { RetainedSearch } from './retained-search.ts';

/** Keys that are looked at before others have their turn: about a millisecond. */
const LOOKS = 256;
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

export class KvRetainedCursor implements RetainedCursor {
  readonly since: RetainedMoment;
  readonly empty: boolean;
  private readonly source: RecordSource;
  /** Null where all keys are known. */
  private readonly search: RetainedSearch | null;
  /** Sorted from the last key to the first, so that the next one is popped. */
  private readonly early: EarlyMessage[];
  /** Keys whose records are to be read. */
  private readonly keys: Buffer[];

  constructor(
    since: RetainedMoment,
    source: RecordSource,
    search: RetainedSearch | null,
    early: readonly EarlyMessage[],
    keys: readonly Buffer[],
  ) {
    this.since = since;
    this.empty = false;
    this.source = source;
    this.search = search;
    this.early = [...early].sort((a, b) => b.key.compare(a.key));
    this.keys = [...keys];
  }

  async read(): Promise<readonly Message[]> {
    for (;;) {
      const messages = await this.readRecords();
      if (this.keys.length === 0) this.takeEarly(this.search?.position ?? null, messages);
      if (messages.length > 0) return messages;
      if (this.keys.length > 0) continue;
      if (this.search === null || this.search.done) return [];
      this.search.next(LOOKS, BATCH, this.keys);
      if (this.keys.length === 0 && !this.search.done) await nextTurn();
    }
  }

  isCurrent(message: Message): boolean {
    return this.source.isCurrent(message);
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

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
