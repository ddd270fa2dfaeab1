// Reads the retained messages that a filter selects, as they were when the cursor was made.
//
// What was set and not committed by then is looked through at once and kept; the rest is found on disk, in slices. A
// record that was set later carries a later revision and is left out: whoever made the cursor gets that one live. A key
// that has a change waiting is left out, too: that change was kept at the start, or came later.

import type { Message } from '../core/message.ts';
import type { RetainedCursor } from '../core/ports.ts';
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

export class KvRetainedCursor implements RetainedCursor {
  private readonly source: RecordSource;
  /** Null where all keys are known. */
  private readonly search: RetainedSearch | null;
  /** Found among what was not committed. */
  private early: Message[];
  /** Keys whose records are to be read. */
  private readonly keys: Buffer[];

  constructor(source: RecordSource, search: RetainedSearch | null, early: Message[], keys: Buffer[]) {
    this.source = source;
    this.search = search;
    this.early = early;
    this.keys = keys;
  }

  async read(): Promise<readonly Message[]> {
    if (this.early.length > 0) {
      const { early } = this;
      this.early = [];
      return early;
    }
    for (;;) {
      const messages = await this.readRecords();
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
      const message = this.source.read(this.keys.shift()!);
      if (message === null) continue;
      messages.push(message);
      bytes += message.bodyLength + message.nativeLength;
    }
    return messages;
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
