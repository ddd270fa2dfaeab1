// A store that the test controls: commits succeed or fail when the test says so, and loads complete at once or on
// request. It stores what a real one stores, and asserts that no entry is appended or settled twice.

import assert from 'node:assert/strict';
import type { Message } from '../../src/core/message/message.ts';
import type { Queue } from '../../src/core/queue/queue.ts';
import { NEVER_EXPIRES, QueueEntry, STORE_STATE, storeIdOf } from '../../src/core/queue/queue-entry.ts';
import type { LoadedRange, QueueMeta, QueueStore, StoredEntry } from '../../src/core/queue/queue-store.ts';
import { KvBatch } from '../../src/store/kv/kv.ts';
import { MemoryKv } from '../../src/store/kv/memory.ts';
import { CACHED_PAGES, PacketIds } from '../../src/store/packets/packet-ids.ts';
import { RecordedDefinitions } from './recorded-definitions.ts';

export interface FakeStoreOptions {
  /** Each seal commits what it submits before it returns. */
  readonly automatic?: boolean;
  /** Loads complete when `answerLoads` is called. */
  readonly late?: boolean;
  /** Maximum of entries that one load returns. */
  readonly entriesPerLoad?: number;
}

type Callback = (error: Error | null) => void;

export class FakeStore implements QueueStore {
  readonly definitions: RecordedDefinitions;
  readonly packets: PacketIds;
  private readonly packetKv: MemoryKv;
  private packetBatch: KvBatch;
  automatic: boolean;
  late: boolean;
  readonly entriesPerLoad: number;
  /** Committed entries by queue and sequence. */
  readonly committed: Map<number, Map<number, QueueEntry>>;
  /** Messages as appended: an entry may release its bytes later. */
  private readonly written: Map<string, Message>;
  /** The result of `recover`, by queue. */
  readonly metas: Map<number, QueueMeta>;
  readonly delivering: Set<number>;
  /** If not null, loads fail with this error. */
  damage: Error | null;
  pending: QueueEntry[];
  private committing: QueueEntry[] | null;
  private waiting: Callback[];
  private waitingInFlight: Callback[];
  private loads: (() => void)[];
  private lastQueueId: number;

  constructor(options: FakeStoreOptions = {}) {
    this.definitions = new RecordedDefinitions();
    this.packetKv = new MemoryKv();
    this.packets = new PacketIds(this.packetKv, CACHED_PAGES);
    this.packetBatch = new KvBatch();
    this.automatic = options.automatic ?? false;
    this.late = options.late ?? false;
    this.entriesPerLoad = options.entriesPerLoad ?? Number.POSITIVE_INFINITY;
    this.committed = new Map();
    this.written = new Map();
    this.metas = new Map();
    this.delivering = new Set();
    this.damage = null;
    this.pending = [];
    this.committing = null;
    this.waiting = [];
    this.waitingInFlight = [];
    this.loads = [];
    this.lastQueueId = 0;
  }

  recover(queueId: number): QueueMeta | null {
    return this.metas.get(queueId) ?? null;
  }

  nextQueueId(count = 1): number {
    const first = this.lastQueueId + 1;
    this.lastQueueId += count;
    return first;
  }

  append(entry: QueueEntry): void {
    assert.equal(entry.storeState, STORE_STATE.none, 'an entry is appended once');
    entry.storeState = STORE_STATE.pending;
    this.written.set(`${storeIdOf(entry)} ${entry.seq}`, entry.message);
    this.pending.push(entry);
  }

  remove(entry: QueueEntry): void {
    const before = entry.storeState;
    assert.ok(before !== STORE_STATE.none && before !== STORE_STATE.deleted, 'only what is stored is removed, once');
    entry.storeState = STORE_STATE.deleted;
    if (before === STORE_STATE.pending) this.pending.splice(this.pending.indexOf(entry), 1);
    if (before === STORE_STATE.committed) this.committed.get(storeIdOf(entry))!.delete(entry.seq);
    settle(entry);
  }

  load(queueId: number, from: number, to: number, maxEntries: number, maxBytes: number) {
    const read = (): LoadedRange => {
      if (this.damage !== null) throw this.damage;
      const entries: StoredEntry[] = [];
      let bytes = 0;
      const stored = [...(this.committed.get(queueId)?.values() ?? [])].sort((a, b) => a.seq - b.seq);
      for (const entry of stored) {
        if (entry.seq < from || entry.seq >= to) continue;
        bytes += entry.message.bodyLength;
        const full = entries.length >= Math.min(maxEntries, this.entriesPerLoad) || bytes > maxBytes;
        if (entries.length > 0 && full) return { entries, nextSeq: entry.seq };
        const { seq, expiresAt } = entry;
        const subscriptionOptions = entry.subscriptionOptions?.retained === true ? entry.subscriptionOptions : null;
        entries.push({
          seq,
          message: this.written.get(`${queueId} ${seq}`)!,
          expiresAt,
          redelivered: false,
          subscriptionOptions,
        });
      }
      return { entries, nextSeq: to };
    };
    if (!this.late) return read();
    return new Promise<LoadedRange>((resolve, reject) => {
      this.loads.push(() => {
        try {
          resolve(read());
        } catch (error) {
          reject(error as Error);
        }
      });
    });
  }

  purge(queueId: number, keep: readonly QueueEntry[]): void {
    const kept = new Set(keep);
    this.forget(queueId, kept);
    const left = keep.filter((entry) => entry.storeState === STORE_STATE.committed);
    this.committed.set(queueId, new Map(left.sort((a, b) => a.seq - b.seq).map((entry) => [entry.seq, entry])));
  }

  deleteQueue(queueId: number): void {
    this.forget(queueId, new Set());
    this.committed.delete(queueId);
  }

  markDelivering(queueId: number): void {
    this.delivering.add(queueId);
  }

  whenCommitted(done: Callback): void {
    this.waiting.push(done);
  }

  settleDelivered(queueId: number): void {
    this.delivering.delete(queueId);
  }

  group(run: () => void): void {
    run();
  }

  seal(): void {
    if (this.committing !== null) return;
    if (this.pending.length === 0 && this.waiting.length === 0 && !this.packets.hasPending()) return;
    this.packetBatch = new KvBatch();
    this.packets.gather(this.packetBatch, true, true);
    this.committing = this.pending;
    this.pending = [];
    for (const entry of this.committing) entry.storeState = STORE_STATE.committing;
    this.waitingInFlight = this.waiting;
    this.waiting = [];
    if (this.automatic) this.commit();
  }

  get uncommittedBytes(): number {
    return [...this.pending, ...(this.committing ?? [])].reduce((sum, entry) => sum + entry.message.bodyLength, 0);
  }

  /** Entries of the commit in flight, without those settled meanwhile. */
  get inFlight(): readonly QueueEntry[] {
    return (this.committing ?? []).filter((entry) => entry.storeState === STORE_STATE.committing);
  }

  /** Adds a record as an earlier start would have left it. */
  stored(queue: Queue, seq: number, message: Message): void {
    const entry = new QueueEntry(queue, seq, message, NEVER_EXPIRES, false);
    entry.storeState = STORE_STATE.committed;
    if (!this.committed.has(queue.id)) this.committed.set(queue.id, new Map());
    this.committed.get(queue.id)!.set(seq, entry);
    this.written.set(`${queue.id} ${seq}`, message);
  }

  /** From now on a commit ends when `commit`, `fail` or `release` is called. */
  hold(): void {
    this.automatic = false;
  }

  /** Commits everything that is pending; from now on each seal commits what it submits. */
  release(): void {
    this.automatic = true;
    this.commit();
    this.seal();
  }

  /** Completes the commit in flight. */
  commit(): void {
    const { entries, callbacks } = this.takeInFlight();
    for (const entry of entries) {
      if (entry.storeState !== STORE_STATE.committing) continue;
      entry.storeState = STORE_STATE.committed;
      const id = storeIdOf(entry);
      if (!this.committed.has(id)) this.committed.set(id, new Map());
      this.committed.get(id)!.set(entry.seq, entry);
      settle(entry);
      entry.queue.committed(entry);
    }
    // In memory it is committed at once.
    void this.packetKv.commit(this.packetBatch);
    this.packetBatch = new KvBatch();
    this.packets.committed();
    for (const done of callbacks) done(null);
  }

  /** Fails the commit in flight because the disk is full: its new entries are withdrawn. */
  fail(): void {
    const { entries, callbacks } = this.takeInFlight();
    for (const entry of entries) {
      if (entry.storeState !== STORE_STATE.committing) continue;
      entry.storeState = STORE_STATE.deleted;
      const { ring } = entry;
      entry.ring = null;
      ring?.refuse(entry.slot);
      entry.queue.withdrawn(entry);
    }
    this.packetBatch = new KvBatch();
    this.packets.withdraw();
    for (const done of callbacks) done(new Error('no space left on device'));
  }

  /** Completes pending loads. */
  answerLoads(): void {
    const loads = this.loads;
    this.loads = [];
    for (const answer of loads) answer();
  }

  get loadsWaiting(): number {
    return this.loads.length;
  }

  private takeInFlight(): { entries: QueueEntry[]; callbacks: Callback[] } {
    const entries = this.committing ?? [];
    const callbacks = this.waitingInFlight;
    this.committing = null;
    this.waitingInFlight = [];
    return { entries, callbacks };
  }

  private forget(queueId: number, kept: ReadonlySet<QueueEntry>): void {
    const goes = (entry: QueueEntry): boolean => storeIdOf(entry) === queueId && !kept.has(entry);
    for (const entry of [...this.pending, ...(this.committing ?? [])].filter(goes)) {
      if (entry.storeState === STORE_STATE.deleted) continue;
      entry.storeState = STORE_STATE.deleted;
      settle(entry);
    }
    this.pending = this.pending.filter((entry) => !goes(entry));
  }
}

function settle(entry: QueueEntry): void {
  const { ring } = entry;
  entry.ring = null;
  ring?.settle(entry.slot);
}
