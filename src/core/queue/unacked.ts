// The ledger of one channel or session: which entries are out with the client, by delivery tag. Tags count from 1 and
// are handed out in order, so the ledger is a ring with holes; acknowledging a prefix (`multiple`) costs what it
// settles and nothing more. An idle channel allocates nothing.
//
// A client may keep one entry for days while millions come and go behind it: where the ring would grow for the sake of
// a few old ones, these move out of it (unacked-tail.ts).

import type { QueueEntry } from './queue-entry.ts';
import { UnackedTail } from './unacked-tail.ts';

const FIRST_CAPACITY = 64;
/** A full ring that is filled to this share at most keeps its size: what it holds are stragglers. */
const SPARSE = 1 / 4;

export class Unacked {
  private entries: (QueueEntry | null)[];
  /** Entries with tags below `first`; made with the first. */
  private old: UnackedTail | null;
  /** Every tag below `first` is settled or old; `next` is the tag that comes. */
  private first: number;
  private next: number;
  private inRing: number;

  constructor() {
    this.entries = [];
    this.old = null;
    this.first = 1;
    this.next = 1;
    this.inRing = 0;
  }

  /** Entries that are out. */
  get size(): number {
    return this.old === null ? this.inRing : this.inRing + this.old.size;
  }

  /** The last tag that was handed out; 0 before the first. */
  get lastTag(): number {
    return this.next - 1;
  }

  /** The tag for a delivery that nobody will acknowledge. */
  skip(): number {
    if (this.first === this.next) {
      this.first++;
      return this.next++;
    }
    if (this.next - this.first === this.entries.length) this.grow();
    this.entries[this.next & (this.entries.length - 1)] = null;
    return this.next++;
  }

  /** Takes an entry in and gives its delivery tag. */
  add(entry: QueueEntry): number {
    if (this.next - this.first === this.entries.length) this.grow();
    this.entries[this.next & (this.entries.length - 1)] = entry;
    this.inRing++;
    return this.next++;
  }

  /** The entry with that tag, or null where it is settled or was never handed out. */
  get(tag: number): QueueEntry | null {
    if (tag < this.first) return this.old === null ? null : this.old.get(tag);
    if (tag >= this.next) return null;
    return this.entries[tag & (this.entries.length - 1)] ?? null;
  }

  /** Removes and returns the entry with that tag, or null where there is none. */
  take(tag: number): QueueEntry | null {
    if (tag < this.first) return this.old === null ? null : this.old.take(tag);
    const entry = this.get(tag);
    if (entry === null) return null;
    this.entries[tag & (this.entries.length - 1)] = null;
    this.inRing--;
    if (tag === this.first) this.advance();
    return entry;
  }

  /** Removes the oldest entry with a tag up to `tag`, or null where none is left: a loop over it settles a prefix. */
  takeFirst(tag: number): QueueEntry | null {
    if (this.old !== null && this.old.size > 0) return this.old.takeFirst(tag);
    this.advance();
    if (this.first > tag || this.first >= this.next) return null;
    return this.take(this.first);
  }

  /** Removes and returns all entries with tags up to and including `tag`, in order. */
  takeUpTo(tag: number): QueueEntry[] {
    const taken: QueueEntry[] = [];
    for (let entry = this.takeFirst(tag); entry !== null; entry = this.takeFirst(tag)) taken.push(entry);
    return taken;
  }

  /** Removes and returns, in order, the entries with tags above `tag` of which `keeps` does not say that they stay. */
  takeAbove(tag: number, keeps: (tag: number) => boolean): QueueEntry[] {
    const taken: QueueEntry[] = [];
    if (this.old !== null) {
      for (const each of this.old.tagsAbove(tag)) if (!keeps(each)) taken.push(this.old.take(each)!);
    }
    for (let each = Math.max(this.first, tag + 1); each < this.next; each++) {
      if (this.get(each) !== null && !keeps(each)) taken.push(this.take(each)!);
    }
    return taken;
  }

  /** Removes and returns everything, in order. Tags go on counting. */
  drain(): QueueEntry[] {
    return this.takeUpTo(this.next - 1);
  }

  private advance(): void {
    const mask = this.entries.length - 1;
    while (this.first < this.next && this.entries[this.first & mask] === null) this.first++;
  }

  private grow(): void {
    if (this.entries.length > 0 && this.inRing <= this.entries.length * SPARSE) {
      this.retire();
      return;
    }
    const capacity = Math.max(FIRST_CAPACITY, this.entries.length * 2);
    const entries: (QueueEntry | null)[] = new Array(capacity).fill(null);
    for (let tag = this.first; tag < this.next; tag++) {
      entries[tag & (capacity - 1)] = this.entries[tag & (this.entries.length - 1)] ?? null;
    }
    this.entries = entries;
  }

  /** Moves what the ring holds to the stragglers. */
  private retire(): void {
    this.old ??= new UnackedTail();
    for (; this.first < this.next; this.first++) {
      const at = this.first & (this.entries.length - 1);
      const entry = this.entries[at]!;
      if (entry === null) continue;
      this.old.add(this.first, entry);
      this.entries[at] = null;
    }
    this.inRing = 0;
  }
}
