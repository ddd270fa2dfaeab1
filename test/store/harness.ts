// The fixture of the store's tests: a queue that records the store's calls, messages, recorded events, and a scheduler
// whose time the test advances.

import { Message, NEVER } from '../../src/core/message/message.ts';
import { NO_CODEC, NO_PROPERTIES, type PropertyCodec } from '../../src/core/message/properties.ts';
import { type Meters, newMeters } from '../../src/core/ports/meters.ts';
import type { RetainedPlace } from '../../src/core/ports/retained-store.ts';
import type { Queue } from '../../src/core/queue/queue.ts';
import { NEVER_EXPIRES, QueueEntry } from '../../src/core/queue/queue-entry.ts';
import type { StoredEntry, StoreEvents } from '../../src/core/queue/queue-store.ts';
import { ConfirmRing } from '../../src/core/turn/confirms.ts';
import type { Kv } from '../../src/store/kv/kv.ts';
import { RECLAIM_LIMITS, type ReclaimLimits } from '../../src/store/queues/reclaimer.ts';
import { Store, type StoreOptions } from '../../src/store/store.ts';

const TEST_CODEC: PropertyCodec = { id: 77, retainHeader: true, decode: () => NO_PROPERTIES };

export const CODECS: ReadonlyMap<number, PropertyCodec> = new Map(
  [NO_CODEC, TEST_CODEC].map((codec) => [codec.id, codec]),
);

/** Stands in for the core's queue: the store needs its id and calls it when the state of entries changes. */
export class FakeQueue {
  readonly id: number;
  readonly durable = true;
  readonly committedSeqs: number[] = [];
  readonly withdrawnSeqs: number[] = [];
  nextSeq = 1;

  constructor(id: number) {
    this.id = id;
  }

  committed(entry: QueueEntry): void {
    this.committedSeqs.push(entry.seq);
  }

  withdrawn(entry: QueueEntry): void {
    this.withdrawnSeqs.push(entry.seq);
  }

  /** An entry as the core creates it. */
  entry(message: Message): QueueEntry {
    return this.entryAt(this.nextSeq++, message);
  }

  entryAt(seq: number, message: Message): QueueEntry {
    return new QueueEntry(this as unknown as Queue, seq, message, NEVER_EXPIRES, false);
  }
}

export interface MessageOptions {
  readonly exchange?: string;
  readonly routingKey?: string;
  readonly persistent?: boolean;
  readonly native?: string;
  readonly priority?: number;
  readonly expirationMs?: number;
}

export function message(body: string | Buffer, options: MessageOptions = {}): Message {
  const { exchange = 'amq.topic', routingKey = 'a.b', persistent = true, native = 'props' } = options;
  const { priority = 0, expirationMs = NEVER } = options;
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body);
  const properties = Buffer.from(native);
  const made = new Message(
    exchange,
    routingKey,
    bytes,
    0,
    bytes.length,
    properties,
    0,
    properties.length,
    TEST_CODEC,
    persistent,
    priority,
    expirationMs,
    1_700_000_000_123,
  );
  made.owned = true;
  return made;
}

/** A publisher's confirms: outcomes by slot, in the order of their release. */
export class Confirms {
  readonly ring: ConfirmRing;
  readonly outcomes: [slot: number, ok: boolean][] = [];
  private scheduled = false;

  constructor() {
    this.ring = new ConfirmRing(
      {
        confirmed: (_ring, from, to, ok) => {
          for (let slot = from; slot <= to; slot++) this.outcomes.push([slot, ok]);
        },
      },
      {
        drainLater: () => {
          this.scheduled = true;
        },
      },
    );
  }

  /** Publishes entries as one message: the slot settles when all of them are committed. */
  attach(...entries: QueueEntry[]): number {
    const slot = this.ring.open();
    for (const entry of entries) {
      this.ring.hold(slot);
      entry.ring = this.ring;
      entry.slot = slot;
    }
    this.ring.settle(slot);
    return slot;
  }

  /** The confirms released so far. */
  drained(): readonly [number, boolean][] {
    if (this.scheduled) {
      this.scheduled = false;
      this.ring.drain();
    }
    return this.outcomes;
  }
}

/** An open store, the events it reported, and its timers, which the test controls. */
export class Opened {
  readonly store: Store;
  readonly kv: Kv;
  readonly told: string[] = [];
  readonly fatal: Error[] = [];
  readonly meters: Meters = newMeters();
  private timers: (() => void)[] = [];

  constructor(kv: Kv, reclaim: ReclaimLimits = RECLAIM_LIMITS, options: Partial<StoreOptions> = {}) {
    this.kv = kv;
    const events: StoreEvents = {
      commitEnded: () => {
        this.told.push('commit');
      },
      outOfSpace: (full) => {
        this.told.push(full ? 'full' : 'space');
      },
      fatal: (error) => {
        this.fatal.push(error);
      },
    };
    this.store = new Store(kv, {
      events,
      codecs: CODECS,
      meters: this.meters,
      reclaim,
      ...options,
      later: (_delayMs, action) => {
        this.timers.push(action);
      },
    });
  }

  get queues() {
    return this.store.queues;
  }

  get retained() {
    return this.store.retained;
  }

  /** The retained messages that a filter selects, by routing key, in the order found. */
  async found(filter: string, vhost = '/', place?: RetainedPlace): Promise<Map<string, Message>> {
    const found = new Map<string, Message>();
    const cursor = this.retained.find(vhost, filter, place);
    for (let messages = await cursor.read(); messages.length > 0; messages = await cursor.read()) {
      for (const each of messages) {
        if (found.has(each.routingKey)) throw new Error(`${each.routingKey} was found twice`);
        found.set(each.routingKey, each);
      }
    }
    return found;
  }

  get definitions() {
    return this.store.definitions;
  }

  /** Seals until nothing is left to commit or reclaim. */
  async settle(): Promise<void> {
    for (let idle = 0; idle < 2; ) {
      const before = this.told.length;
      await this.store.flush();
      idle = this.told.length === before ? idle + 1 : 0;
    }
  }

  /** Fires every pending timer. */
  elapse(): void {
    const timers = this.timers;
    this.timers = [];
    for (const action of timers) action();
  }

  async load(queueId: number, from: number, to = Number.MAX_SAFE_INTEGER, entries = 1e9, bytes = 1e12) {
    return await this.queues.load(queueId, from, to, entries, bytes);
  }

  /** Reads all entries of a queue in slices of `slice`. */
  async readAll(queueId: number, slice = 1_000): Promise<StoredEntry[]> {
    const meta = this.queues.recover(queueId);
    const all: StoredEntry[] = [];
    if (meta === null) return all;
    for (let from = meta.floor; from < meta.nextSeq; ) {
      const range = await this.load(queueId, from, meta.nextSeq, slice);
      all.push(...range.entries);
      from = range.nextSeq;
    }
    return all;
  }

  async bodies(queueId: number): Promise<string[]> {
    return (await this.readAll(queueId)).map((entry) => entry.message.bodyBytes().toString());
  }
}
