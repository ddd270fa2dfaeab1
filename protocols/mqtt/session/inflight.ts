// The packet ids of one client's unacknowledged QoS 1 and 2 deliveries: the entry and the stage of each. An id is reused
// only after it is free [MQTT-2.2.1-*]. Ids are assigned in order and id `n` is at index `n & mask`, so that adding and
// freeing are a few array accesses in whatever order the client acknowledges. An idle session allocates nothing.
//
// When the connection closes, entries return to their queues and their ids wait for them (stage `away`): a message is
// sent again under the id that it had [MQTT-4.4.0-1]. Used by outgoing.ts.

import type { QueueEntry } from '../../../src/core/queue/queue-entry.ts';

const LARGEST_ID = 65_535;
const FIRST_CAPACITY = 16;
const LARGEST_CAPACITY = 65_536;

/** The stage of a packet id. */
export const STAGE = {
  free: 0,
  /** QoS 1: PUBLISH sent, waits for PUBACK. */
  sent1: 1,
  /** QoS 2: the store commits the id with its entry; PUBLISH is not sent yet. */
  storing: 2,
  /** QoS 2: PUBLISH sent, waits for PUBREC. */
  sent2: 3,
  /** QoS 2: PUBREC received, the store commits that; PUBREL is not sent yet. */
  releasing: 4,
  /** QoS 2: PUBREL sent, waits for PUBCOMP. */
  released: 5,
  /** The connection closed: its entry is in its queue again and will be redelivered. */
  away: 6,
} as const;
export type Stage = (typeof STAGE)[keyof typeof STAGE];

/** The bits of a `Redelivery`. */
const ID = 0xffff;
const QOS_2 = 0x10000;
const STORED = 0x20000;

/**
 * What is known of an entry that was out over an earlier connection, in one number: its packet id, whether it was sent at
 * QoS 2, and whether the store has that. 0: it was not out before.
 */
export type Redelivery = number;

export function redeliveryId(redelivery: Redelivery): number {
  return redelivery & ID;
}

/** Whether it was sent, or stored to be sent, at QoS 2. */
export function isQos2Redelivery(redelivery: Redelivery): boolean {
  return (redelivery & QOS_2) !== 0;
}

export function isStoredRedelivery(redelivery: Redelivery): boolean {
  return (redelivery & STORED) !== 0;
}

export class Inflight {
  private entries: (QueueEntry | null)[];
  private ids: Uint16Array;
  private stages: Uint8Array;
  private mask: number;
  private nextId: number;
  /** Ids that are not free. */
  private count: number;
  /** Ids in stage `away`. */
  private awayCount: number;
  /** Ids in stage `away` by queue id and the entry's sequence number, ascending unless `unsorted`. */
  private awaiting: Map<number, Map<number, Redelivery>> | null;
  private unsorted: boolean;

  constructor() {
    this.entries = [];
    this.ids = new Uint16Array(0);
    this.stages = new Uint8Array(0);
    this.mask = -1;
    this.nextId = 1;
    this.count = 0;
    this.awayCount = 0;
    this.awaiting = null;
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

  /** Assigns a packet id to an entry. */
  add(entry: QueueEntry, stage: Stage): number {
    const id = this.occupy(stage);
    this.entries[id & this.mask] = entry;
    return id;
  }

  /** An entry in stage `away` is sent again under its id. */
  restore(id: number, entry: QueueEntry, stage: Stage): void {
    const at = id & this.mask;
    this.entries[at] = entry;
    this.stages[at] = stage;
    this.awayCount--;
  }

  /** The entry of an id in stage `away` is gone: the exchange goes on without it. */
  endRedelivery(id: number, stage: Stage): void {
    this.stages[id & this.mask] = stage;
    this.awayCount--;
  }

  /** Restores an id after a restart: in stage `released`, or `away` with its entry. */
  recover(id: number, stage: Stage, queueId: number, seq: number): void {
    while (this.entries.length === 0 || this.stages[id & this.mask] !== STAGE.free) this.grow();
    this.place(id, stage);
    if (stage !== STAGE.away) return;
    this.awayCount++;
    this.awaitRedelivery(queueId, seq, id | QOS_2 | STORED);
  }

  stageOf(id: number): Stage {
    const at = id & this.mask;
    return this.count > 0 && this.ids[at] === id ? (this.stages[at] as Stage) : STAGE.free;
  }

  /** The id is not free. */
  setStage(id: number, stage: Stage): void {
    this.stages[id & this.mask] = stage;
  }

  /** The entry of an id that is not free; null if the client has acknowledged it. */
  entryOf(id: number): QueueEntry | null {
    return this.entries[id & this.mask]!;
  }

  /** The client has acknowledged the entry (PUBREC); the id stays in use until PUBCOMP. */
  removeEntry(id: number): void {
    this.entries[id & this.mask] = null;
  }

  free(id: number): void {
    const at = id & this.mask;
    if (this.stages[at] === STAGE.away) this.awayCount--;
    this.entries[at] = null;
    this.stages[at] = STAGE.free;
    this.count--;
  }

  /** All ids in a stage, in the order in which they were assigned. */
  inStage(stage: Stage): number[] {
    const found: number[] = [];
    for (let at = 0; at < this.stages.length; at++) if (this.stages[at] === stage) found.push(this.ids[at]!);
    // Ids wrap around: those after the next one are older.
    const age = (id: number): number => (id >= this.nextId ? id - LARGEST_ID : id);
    return found.sort((a, b) => age(a) - age(b));
  }

  /**
   * Drops entries whose queue was deleted. An id whose PUBLISH may have reached the client is released when the client
   * is back (`releasing`), others are freed. Returns those in stage `storing`, which the store may have.
   */
  dropDeletedQueues(): number[] {
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
   * The connection closed. Removes all entries and returns them in the order of their queues. Their ids wait for them
   * (`away`), except those of QoS 1 entries of other queues than `ownQueueId`: another member of the group may get these.
   * Ids that are being released stay as they are.
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
      this.awaitRedelivery(entry.queue.id, entry.seq, id | marks);
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
   * Removes and returns what is known of an entry that is delivered. Entries arrive in the order of their queue, so
   * entries with lower sequence numbers that were to be redelivered are gone (expired, dropped, purged): they are removed
   * as well and added to `gone`. None of their ids is freed here.
   */
  takeRedelivery(queueId: number, seq: number, gone: Redelivery[]): Redelivery {
    if (this.awaiting === null) return 0;
    if (this.unsorted) this.sort(this.awaiting);
    const waiting = this.awaiting.get(queueId);
    if (waiting === undefined) return 0;
    let found = 0;
    for (const [waitingSeq, redelivery] of waiting) {
      if (waitingSeq > seq) break;
      waiting.delete(waitingSeq);
      if (waitingSeq === seq) found = redelivery;
      else gone.push(redelivery);
    }
    if (waiting.size === 0) {
      this.awaiting.delete(queueId);
      if (this.awaiting.size === 0) this.awaiting = null;
    }
    return found;
  }

  /** Whether any id waits for the redelivery of its entry. */
  get awaitsRedeliveries(): boolean {
    return this.awaiting !== null;
  }

  /** Whether an id waits for the redelivery of this entry. */
  awaitsRedelivery(queueId: number, seq: number): boolean {
    return this.awaiting?.get(queueId)?.has(seq) === true;
  }

  private awaitRedelivery(queueId: number, seq: number, redelivery: Redelivery): void {
    this.awaiting ??= new Map();
    const waiting = this.awaiting.get(queueId);
    if (waiting === undefined) {
      this.awaiting.set(queueId, new Map([[seq, redelivery]]));
      return;
    }
    waiting.set(seq, redelivery);
    this.unsorted = true;
  }

  private sort(awaiting: Map<number, Map<number, Redelivery>>): void {
    this.unsorted = false;
    for (const [queueId, waiting] of awaiting) awaiting.set(queueId, new Map([...waiting].sort(([a], [b]) => a - b)));
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

  /** Doubles the table and moves each id to its new index. Ids with different indexes keep different indexes. */
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
