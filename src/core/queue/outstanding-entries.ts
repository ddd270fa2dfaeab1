// The outstanding entries of one queue: with a consumer, taken by basic.get, held for a transaction, or dead and being
// transferred. A list linked through the entries, in the order in which they left the ready entries.

import { invariant } from '../invariant.ts';
import type { QueueEntry } from './queue-entry.ts';

export class OutstandingEntries {
  count: number;
  private first: QueueEntry | null;
  private last: QueueEntry | null;

  constructor() {
    this.count = 0;
    this.first = null;
    this.last = null;
  }

  add(entry: QueueEntry): void {
    this.count++;
    entry.outstanding = true;
    entry.previousUnacked = this.last;
    if (this.last === null) this.first = entry;
    else this.last.nextUnacked = entry;
    this.last = entry;
  }

  remove(entry: QueueEntry): void {
    invariant(entry.outstanding, 'an entry that is settled is out');
    entry.outstanding = false;
    const { previousUnacked: previous, nextUnacked: next } = entry;
    if (previous === null) this.first = next;
    else previous.nextUnacked = next;
    if (next === null) this.last = previous;
    else next.previousUnacked = previous;
    entry.previousUnacked = null;
    entry.nextUnacked = null;
    if (--this.count === 0)
      invariant(this.first === null && this.last === null, 'no entry is out where none is counted');
  }

  *[Symbol.iterator](): IterableIterator<QueueEntry> {
    for (let entry = this.first; entry !== null; entry = entry.nextUnacked) yield entry;
  }
}
