// What is out with one client at QoS 1: packet ids and what they stand for. An id is used again only when it is free
// [MQTT-2.3.1-2]. Ids are handed out in order and an id lives at `id & mask`, so adding and settling are a few array
// accesses whatever order the client acknowledges in; an idle session allocates nothing.

import type { Message } from '../../src/core/message.ts';
import type { QueueEntry } from '../../src/core/queue-entry.ts';

const LARGEST_ID = 65_535;
const FIRST_CAPACITY = 16;
const LARGEST_CAPACITY = 65_536;

export class Inflight {
  private entries: (QueueEntry | null)[];
  private ids: Uint16Array;
  private mask: number;
  private nextId: number;
  private count: number;
  /** Retained messages that are out: they belong to no queue. Made with the first. */
  private retained: Map<number, Message> | null;
  /** Ids under which entries were sent over an earlier connection, by the entry's seq. */
  private earlier: Map<number, number> | null;

  constructor() {
    this.entries = [];
    this.ids = new Uint16Array(0);
    this.mask = -1;
    this.nextId = 1;
    this.count = 0;
    this.retained = null;
    this.earlier = null;
  }

  /** Entries that are out; retained messages not counted. */
  get size(): number {
    return this.count;
  }

  get retainedSize(): number {
    return this.retained === null ? 0 : this.retained.size;
  }

  /** Whether there is a free id. */
  get hasRoom(): boolean {
    return this.count + this.retainedSize < LARGEST_ID;
  }

  /** Takes an entry in and gives its packet id: the one that it had before, where it was sent before. */
  add(entry: QueueEntry): number {
    if (this.count * 2 >= this.entries.length && this.entries.length < LARGEST_CAPACITY) this.grow();
    if (this.earlier !== null) {
      const id = this.takeEarlier(entry.seq);
      if (id !== 0 && this.isFree(id)) return this.put(entry, id);
    }
    return this.put(entry, this.freeId());
  }

  /** Removes and returns the entry with that id, or null where there is none. */
  take(id: number): QueueEntry | null {
    const at = id & this.mask;
    if (this.count === 0 || this.ids[at] !== id) return null;
    const entry = this.entries[at]!;
    if (entry === null) return null;
    this.entries[at] = null;
    this.count--;
    return entry;
  }

  addRetained(message: Message): number {
    const id = this.freeId();
    this.retained ??= new Map();
    this.retained.set(id, message);
    return id;
  }

  takeRetained(id: number): boolean {
    return this.retained?.delete(id) ?? false;
  }

  /** Retained messages that are out, with their ids, in the order in which they were sent. */
  retainedOut(): Iterable<[number, Message]> {
    return this.retained ?? [];
  }

  /**
   * The connection is gone: empties the table and returns the entries in queue order. Their ids are remembered, for a
   * message is sent again under the id that it had [MQTT-4.4.0-1]. Retained messages stay.
   */
  drain(): QueueEntry[] {
    const drained: QueueEntry[] = [];
    if (this.count > 0) {
      this.earlier ??= new Map();
      for (let at = 0; at < this.entries.length; at++) {
        const entry = this.entries[at]!;
        if (entry === null) continue;
        this.earlier.set(entry.seq, this.ids[at]!);
        drained.push(entry);
      }
      drained.sort((a, b) => a.seq - b.seq);
    }
    this.entries = [];
    this.ids = new Uint16Array(0);
    this.mask = -1;
    this.count = 0;
    return drained;
  }

  private put(entry: QueueEntry, id: number): number {
    const at = id & this.mask;
    this.entries[at] = entry;
    this.ids[at] = id;
    this.count++;
    return id;
  }

  private freeId(): number {
    let id = this.nextId;
    while (!this.isFree(id)) id = id === LARGEST_ID ? 1 : id + 1;
    this.nextId = id === LARGEST_ID ? 1 : id + 1;
    return id;
  }

  private isFree(id: number): boolean {
    if (this.entries.length > 0 && this.entries[id & this.mask] !== null) return false;
    return this.retained === null || !this.retained.has(id);
  }

  private takeEarlier(seq: number): number {
    const earlier = this.earlier!;
    const id = earlier.get(seq) ?? 0;
    earlier.delete(seq);
    if (earlier.size === 0) this.earlier = null;
    return id;
  }

  /** Entries move to where their ids lie in a larger table; distinct places stay distinct. */
  private grow(): void {
    const capacity = Math.max(FIRST_CAPACITY, this.entries.length * 2);
    const entries: (QueueEntry | null)[] = new Array(capacity).fill(null);
    const ids = new Uint16Array(capacity);
    for (let at = 0; at < this.entries.length; at++) {
      const entry = this.entries[at]!;
      if (entry === null) continue;
      const id = this.ids[at]!;
      entries[id & (capacity - 1)] = entry;
      ids[id & (capacity - 1)] = id;
    }
    this.entries = entries;
    this.ids = ids;
    this.mask = capacity - 1;
  }
}
