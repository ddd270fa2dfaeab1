// What is out with one client at QoS 1 and 2: packet ids, what they stand for and how far each has come. An id is used
// again only when it is free [MQTT-2.2.1-*]. Ids are handed out in order and an id lives at `id & mask`, so adding and
// settling are a few array accesses whatever order the client acknowledges in; an idle session allocates nothing.
//
// When the connection goes, entries return to their queues and their ids wait for them (`away`): a message is sent again
// under the id that it had [MQTT-4.4.0-1].

import type { QueueEntry } from '../../../src/core/queue/queue-entry.ts';

const LARGEST_ID = 65_535;
const FIRST_CAPACITY = 16;
const LARGEST_CAPACITY = 65_536;

/** How far a packet id has come. */
export const STAGE = {
  free: 0,
  /** QoS 1: PUBACK is awaited. */
  sent1: 1,
  /** QoS 2: that it stands for its entry is not on disk yet; nothing was sent. */
  storing: 2,
  /** QoS 2: PUBREC is awaited. */
  sent2: 3,
  /** QoS 2: PUBREC came; that is not on disk yet. */
  releasing: 4,
  /** QoS 2: PUBCOMP is awaited. */
  released: 5,
  /** Its entry went back to its queue, and will come again. */
  away: 6,
} as const;
export type Stage = (typeof STAGE)[keyof typeof STAGE];

/** An id that waits for its entry, as one number. */
const ID = 0xffff;
const QOS_2 = 0x10000;
const STORED = 0x20000;

/** What `recall` gives: 0 where the entry was not out before. */
export type Recalled = number;

export function recalledId(recalled: Recalled): number {
  return recalled & ID;
}

/** Whether it was sent at QoS 2, or is on disk as if it had been. */
export function recalledQos2(recalled: Recalled): boolean {
  return (recalled & QOS_2) !== 0;
}

export function recalledStored(recalled: Recalled): boolean {
  return (recalled & STORED) !== 0;
}

export class Inflight {
  private entries: (QueueEntry | null)[];
  private ids: Uint16Array;
  private stages: Uint8Array;
  private mask: number;
  private nextId: number;
  /** Ids that are not free, and those of them that are away. */
  private count: number;
  private awayCount: number;
  /** Ids that wait, by queue and the entry's seq, ascending unless `unsorted`. */
  private earlier: Map<number, Map<number, Recalled>> | null;
  private unsorted: boolean;

  constructor() {
    this.entries = [];
    this.ids = new Uint16Array(0);
    this.stages = new Uint8Array(0);
    this.mask = -1;
    this.nextId = 1;
    this.count = 0;
    this.awayCount = 0;
    this.earlier = null;
    this.unsorted = false;
  }

  /** Ids that count towards the client's receive maximum. */
  get out(): number {
    return this.count - this.awayCount;
  }

  /** Whether there is a free id. */
  get hasRoom(): boolean {
    return this.count < LARGEST_ID;
  }

  /** Takes an entry in and gives its packet id. */
  add(entry: QueueEntry, stage: Stage): number {
    const id = this.occupy(stage);
    this.entries[id & this.mask] = entry;
    return id;
  }

  /** An entry that was away is out again, under its id. */
  restore(id: number, entry: QueueEntry, stage: Stage): void {
    const at = id & this.mask;
    this.entries[at] = entry;
    this.stages[at] = stage;
    this.awayCount--;
  }

  /** An id that waited in vain goes on without its entry. */
  returned(id: number, stage: Stage): void {
    this.stages[id & this.mask] = stage;
    this.awayCount--;
  }

  /** The id that an earlier start left, in the stage that it had: `released`, or `away` with its entry. */
  recover(id: number, stage: Stage, queueId: number, seq: number): void {
    while (this.entries.length === 0 || this.stages[id & this.mask] !== STAGE.free) this.grow();
    this.place(id, stage);
    if (stage !== STAGE.away) return;
    this.awayCount++;
    this.await(queueId, seq, id | QOS_2 | STORED);
  }

  stageOf(id: number): Stage {
    const at = id & this.mask;
    return this.count > 0 && this.ids[at] === id ? (this.stages[at] as Stage) : STAGE.free;
  }

  /** The id is not free. */
  setStage(id: number, stage: Stage): void {
    this.stages[id & this.mask] = stage;
  }

  /** The entry, or null where the client has it already. The id is not free. */
  entryOf(id: number): QueueEntry | null {
    return this.entries[id & this.mask]!;
  }

  /** The client has it: its id stands for nothing but itself. */
  settle(id: number): void {
    this.entries[id & this.mask] = null;
  }

  free(id: number): void {
    const at = id & this.mask;
    if (this.stages[at] === STAGE.away) this.awayCount--;
    this.entries[at] = null;
    this.stages[at] = STAGE.free;
    this.count--;
  }

  /** All ids in one of two stages, in the order in which they were handed out as far as that is known. */
  inStage(stage: Stage): number[] {
    const found: number[] = [];
    for (let at = 0; at < this.stages.length; at++) if (this.stages[at] === stage) found.push(this.ids[at]!);
    // Ids wrap around: those behind the next one are older.
    const age = (id: number): number => (id >= this.nextId ? id - LARGEST_ID : id);
    return found.sort((a, b) => age(a) - age(b));
  }

  /**
   * Lets go of entries whose queue is gone: what its client may have is ended when it is back (`releasing`), other ids are
   * free. Returns those that the store may know of though nothing was sent.
   */
  forsake(): number[] {
    const unsent: number[] = [];
    for (let at = 0; at < this.entries.length; at++) {
      if (this.entries[at]?.queue.deleted !== true) continue;
      const id = this.ids[at]!;
      const stage = this.stageOf(id);
      if (stage === STAGE.storing) unsent.push(id);
      if (stage !== STAGE.sent2) this.free(id);
      else {
        this.entries[at] = null;
        this.stages[at] = STAGE.releasing;
      }
    }
    return unsent;
  }

  /**
   * The connection is gone. Entries leave the table and are returned in the order of their queues; their ids wait for
   * them, except at QoS 1 of queues other than `ownQueueId`, whose messages may go to somebody else. What is being
   * released stays.
   */
  drain(ownQueueId: number): QueueEntry[] {
    const drained: QueueEntry[] = [];
    const ids = new Map<QueueEntry, number>();
    for (let at = 0; at < this.entries.length; at++) {
      const entry = this.entries[at]!;
      if (entry === null) continue;
      drained.push(entry);
      ids.set(entry, this.ids[at]!);
    }
    drained.sort((a, b) => a.queue.id - b.queue.id || a.seq - b.seq);
    for (const entry of drained) {
      const id = ids.get(entry)!;
      const stage = this.stageOf(id);
      this.entries[id & this.mask] = null;
      if (stage === STAGE.sent1 && entry.queue.id !== ownQueueId) {
        this.free(id);
        continue;
      }
      this.stages[id & this.mask] = STAGE.away;
      this.awayCount++;
      const marks = stage === STAGE.sent1 ? 0 : stage === STAGE.storing ? QOS_2 : QOS_2 | STORED;
      this.await(entry.queue.id, entry.seq, id | marks);
    }
    if (this.count === 0) {
      this.entries = [];
      this.ids = new Uint16Array(0);
      this.stages = new Uint8Array(0);
      this.mask = -1;
    }
    return drained;
  }

  /**
   * What is known of an entry that comes (again). Entries come in the order of their queue: ids that wait for earlier
   * ones wait in vain and are added to `gone`. They are not free yet.
   */
  recall(queueId: number, seq: number, gone: Recalled[]): Recalled {
    if (this.earlier === null) return 0;
    if (this.unsorted) this.sort(this.earlier);
    const waiting = this.earlier.get(queueId);
    if (waiting === undefined) return 0;
    let recalled = 0;
    for (const [earlier, packed] of waiting) {
      if (earlier > seq) break;
      waiting.delete(earlier);
      if (earlier === seq) recalled = packed;
      else gone.push(packed);
    }
    if (waiting.size === 0) {
      this.earlier.delete(queueId);
      if (this.earlier.size === 0) this.earlier = null;
    }
    return recalled;
  }

  /** Whether ids wait for their entries. */
  get awaitsAny(): boolean {
    return this.earlier !== null;
  }

  /** Whether an entry's id waits here. */
  awaits(queueId: number, seq: number): boolean {
    return this.earlier?.get(queueId)?.has(seq) === true;
  }

  private await(queueId: number, seq: number, packed: Recalled): void {
    this.earlier ??= new Map();
    const waiting = this.earlier.get(queueId);
    if (waiting === undefined) {
      this.earlier.set(queueId, new Map([[seq, packed]]));
      return;
    }
    waiting.set(seq, packed);
    this.unsorted = true;
  }

  private sort(earlier: Map<number, Map<number, Recalled>>): void {
    this.unsorted = false;
    for (const [queueId, waiting] of earlier) earlier.set(queueId, new Map([...waiting].sort(([a], [b]) => a - b)));
  }

  private occupy(stage: Stage): number {
    if (this.count * 2 >= this.entries.length && this.entries.length < LARGEST_CAPACITY) this.grow();
    let id = this.nextId;
    while (this.stages[id & this.mask] !== STAGE.free) id = id === LARGEST_ID ? 1 : id + 1;
    this.nextId = id === LARGEST_ID ? 1 : id + 1;
    this.place(id, stage);
    return id;
  }

  private place(id: number, stage: Stage): void {
    const at = id & this.mask;
    this.ids[at] = id;
    this.stages[at] = stage;
    this.count++;
  }

  /** Ids move to where they lie in a larger table; distinct places stay distinct. */
  private grow(): void {
    const capacity = Math.max(FIRST_CAPACITY, this.entries.length * 2);
    const entries: (QueueEntry | null)[] = new Array(capacity).fill(null);
    const ids = new Uint16Array(capacity);
    const stages = new Uint8Array(capacity);
    for (let at = 0; at < this.entries.length; at++) {
      if (this.stages[at] === STAGE.free) continue;
      const to = this.ids[at]! & (capacity - 1);
      entries[to] = this.entries[at]!;
      ids[to] = this.ids[at]!;
      stages[to] = this.stages[at]!;
    }
    this.entries = entries;
    this.ids = ids;
    this.stages = stages;
    this.mask = capacity - 1;
  }
}
