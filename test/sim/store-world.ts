// One run of the store's simulation: a seeded sequence of everything that the core does with a store, over a faulty disk,
// beside a naive model that records what the store confirmed. After every crash the disk is reopened and compared:
//
//   - a message that was confirmed and not acknowledged exists, in order, with its bytes
//   - an acknowledgement, purge or deletion that was reported durable is never undone
//   - an entry that was acknowledged before it was written, or refused, does not exist
//   - a message that moves to other queues (a dead letter) is in its old queue or in all new ones, after any number of moves
//   - the expiry time of an entry is exactly the one that it was given
//   - counts and bytes in the meta record are those of the entries; exactly the right entries have the redelivered mark
//   - definitions that were put together exist together
//   - a retained message is the last one confirmed, or a later one that was not refused; it never exists without the
//     message that was published with it
//   - a packet id has the state last reported stored, or that of a later change; a received id exists together with
//     its message, or neither does
//   - there is no orphan body, no dangling reference and no record of a deleted queue

import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import type { Message } from '../../src/core/message/message.ts';
import type { Queue } from '../../src/core/queue/queue.ts';
import { NEVER_EXPIRES, QueueEntry, STORE_STATE } from '../../src/core/queue/queue-entry.ts';
import type { StoredEntry } from '../../src/core/queue/queue-store.ts';
import { retainedSubscriptionOptions, type SubscriptionOptions } from '../../src/core/queue/subscription-options.ts';
import { ConfirmRing } from '../../src/core/turn/confirms.ts';
import type { Kv } from '../../src/store/kv/kv.ts';
import { FakeQueue, message, Opened } from '../store/harness.ts';
import { FaultyKv } from '../support/faulty-kv.ts';
import { checkDisk } from './disk-check.ts';
import { PacketModel } from './packet-model.ts';
import type { Random } from './random.ts';
import { RetainedModel } from './retained-model.ts';

/** A message as its publisher knows it. */
export interface Published {
  readonly text: string;
  readonly persistent: boolean;
  confirmed: boolean;
  refused: boolean;
}

/** A message's position in a queue, or the positions through which it moved. */
export interface Copy {
  readonly queue: SimQueue;
  readonly entry: QueueEntry;
  readonly published: Published;
  readonly movedFrom: Copy | null;
  /** As the entry was created. */
  readonly expiresAt: number;
  acked: boolean;
  ackDurable: boolean;
  /** Settled before a batch included it. */
  neverWritten: boolean;
  withdrawn: boolean;
  /** Whether the store ever reported it committed. */
  committed: boolean;
}

/** A queue, or one lane of a queue with priorities, whose id is the queue's plus the lane number. */
class SimQueue extends FakeQueue {
  readonly lane: number;
  /** Stands in for the core's queue of its entries. */
  private readonly owner: Queue;
  copies: Map<number, Copy> = new Map();
  /** Transient entries that have not been paged out. */
  inMemory: QueueEntry[] = [];
  deleted = false;
  deleteDurable = false;
  /**
   * After a crash, entries below it must have the redelivered mark, and entries from `mayBeRedelivered` on must not.
   */
  redeliveredBelow = 0;
  mayBeRedelivered = 0;
  /** How often the core reported the exact deliveries, which voids an older mark. */
  settledDelivered = 0;

  /** Reports by the store that violate its contract; the simulation fails on them after each step. */
  readonly violations: string[] = [];

  constructor(queueId: number, lane: number) {
    super(queueId + lane);
    this.lane = lane;
    const committed = this.committed.bind(this);
    const withdrawn = this.withdrawn.bind(this);
    this.owner = { id: queueId, committed, withdrawn } as unknown as Queue;
  }

  get queueId(): number {
    return this.id - this.lane;
  }

  override entryAt(seq: number, message: Message, expiresAt = NEVER_EXPIRES): QueueEntry {
    const entry = new QueueEntry(this.owner, seq, message, expiresAt, false, this.lane);
    // Some messages arrive in the way that retained messages do.
    if (seq % 5 === 0)
      entry.subscriptionOptions = retainedSubscriptionOptions(seq % 3, seq % 2 === 0 ? 0 : 0xffff_ffff - seq);
    return entry;
  }

  override committed(entry: QueueEntry): void {
    const copy = this.copies.get(entry.seq)!;
    if (copy.committed) this.violations.push(`entry ${entry.seq} was committed twice`);
    if (copy.acked) this.violations.push(`entry ${entry.seq} was committed after it was settled`);
    copy.committed = true;
  }

  override withdrawn(entry: QueueEntry): void {
    const copy = this.copies.get(entry.seq)!;
    if (isSafe(copy)) this.violations.push(`entry ${entry.seq} was promised and withdrawn`);
    copy.withdrawn = true;
  }

  live(): Copy[] {
    return [...this.copies.values()].filter((copy) => !copy.acked && !copy.withdrawn);
  }
}

/** Whether the store has confirmed this message. */
function isSafe(copy: Copy): boolean {
  return (
    copy.published.persistent &&
    (copy.committed || copy.published.confirmed || (copy.movedFrom !== null && isSafe(copy.movedFrom)))
  );
}

/** Replaces parts of the store, to show that the simulation detects it. */
export interface Sabotage {
  kv?(kv: FaultyKv): Kv;
  opened?(opened: Opened): void;
}

const BODIES = [0, 3, 40, 4_096, 5_000, 9_000, 70_000] as const;
const KEEP_QUEUES = 3;
/** Small slices, so that crashes fall between them. */
const RECLAIM = { dueEntries: 3, dueBytes: 5_000, sliceKeys: 2 };
/** Fewer than the model has packet id pages. */
const CACHED_PAGES = 2;

export class StoreWorld {
  private readonly random: Random;
  private readonly sabotage: Sabotage;
  private kv: FaultyKv;
  private opened: Opened;
  private ring: ConfirmRing;
  private ringDue: boolean;
  private bySlot: Map<number, Published>;
  private queues: SimQueue[];
  private serial: number;
  /** Entries settled since the last durability report was requested. */
  private unreported: (() => void)[];
  private definition: number;
  private definitionDurable: number;
  private readonly retained: RetainedModel;
  private readonly packets: PacketModel;

  constructor(random: Random, sabotage: Sabotage) {
    this.random = random;
    this.sabotage = sabotage;
    this.kv = new FaultyKv();
    this.retained = new RetainedModel(random);
    this.packets = new PacketModel(random);
    this.opened = this.open();
    this.ringDue = false;
    this.bySlot = new Map();
    this.ring = this.newRing();
    this.queues = [];
    this.serial = 0;
    this.unreported = [];
    this.definition = 0;
    this.definitionDurable = 0;
  }

  async run(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) {
      await this.step();
      this.drain();
      assert.deepEqual(this.opened.fatal, []);
      for (const queue of this.queues) assert.deepEqual(queue.violations, []);
    }
    await this.quiesce();
    await this.crash();
  }

  private async step(): Promise<void> {
    const { random } = this;
    const roll = random.below(100);
    if (roll < 24) this.publish();
    else if (roll < 30) this.retain();
    else if (roll < 48) this.acknowledge();
    else if (roll < 51) this.move();
    else if (roll < 53) this.expire();
    else if (roll < 54) this.pageOut();
    else if (roll < 56) this.markDelivering();
    else if (roll < 58) this.purge();
    else if (roll < 59) this.deleteQueue();
    else if (roll < 61) this.define();
    else if (roll < 64) this.report();
    else if (roll < 66) this.changePackets();
    else if (roll < 80) this.opened.store.seal();
    else if (roll < 92) await this.endCommit();
    else if (roll < 94) await this.read();
    else if (roll < 96) await this.toggleSpace();
    else if (roll < 97) await this.quiesce();
    else if (roll < 98) await this.restart();
    else await this.crash();
  }

  // Core actions.

  private queue(): SimQueue {
    const alive = this.queues.filter((queue) => !queue.deleted);
    if (alive.length < KEEP_QUEUES) {
      const lanes = this.random.chance(0.4) ? 1 + this.random.below(3) : 1;
      const id = this.opened.queues.nextQueueId(lanes);
      for (let lane = 0; lane < lanes; lane++) this.queues.push(new SimQueue(id, lane));
      return this.queues[this.queues.length - 1]!;
    }
    return this.random.pick(alive)!;
  }

  private publish(): void {
    const { random } = this;
    const persistent = random.chance(0.75);
    const size = BODIES[random.below(random.chance(0.3) ? BODIES.length : 3)]!;
    const text = `${++this.serial}:${'x'.repeat(size)}`;
    const published: Published = { text, persistent, confirmed: false, refused: false };
    const sent = message(text, { persistent, routingKey: random.chance(0.5) ? 'a.b' : `k.${this.serial}` });
    const targets = new Set<SimQueue>();
    for (let i = random.chance(0.4) ? 3 : 1; i > 0; i--) targets.add(this.queue());
    const slot = this.ring.open();
    this.bySlot.set(slot, published);
    for (const queue of targets) {
      const entry = queue.entryAt(queue.nextSeq++, sent, this.expiry());
      if (!persistent && random.chance(0.5)) {
        queue.inMemory.push(entry);
        continue;
      }
      if (persistent) {
        this.ring.hold(slot);
        entry.ring = this.ring;
        entry.slot = slot;
      }
      this.append(queue, entry, published, null);
    }
    this.ring.settle(slot);
  }

  /** Publishes a message to a queue and retains it, or lets a retained one expire. */
  private retain(): void {
    const { random, retained } = this;
    if (random.chance(0.2)) {
      retained.expire(this.opened);
      return;
    }
    const published = { text: `${++this.serial}:retained`, persistent: true, confirmed: false, refused: false };
    const slot = this.ring.open();
    this.bySlot.set(slot, published);
    const version = retained.set(this.opened, published, this.ring, slot);
    if (random.chance(0.5)) {
      const queue = this.queue();
      const entry = queue.entry(message(published.text));
      this.ring.hold(slot);
      entry.ring = this.ring;
      entry.slot = slot;
      this.append(queue, entry, published, null);
      version.copy = queue.copies.get(entry.seq)!;
    }
    this.ring.settle(slot);
  }

  /** Changes packet ids of MQTT sessions, some several times within a batch. */
  private changePackets(): void {
    for (let changes = 1 + this.random.below(6); changes > 0; changes--) {
      if (this.random.chance(0.4)) this.receive();
      else this.packets.change(this.opened);
    }
  }

  /** Receives a packet id together with its message. */
  private receive(): void {
    const published = { text: `${++this.serial}:packet`, persistent: true, confirmed: false, refused: false };
    const slot = this.ring.open();
    this.bySlot.set(slot, published);
    const queue = this.queue();
    const entry = queue.entry(message(published.text));
    this.ring.hold(slot);
    entry.ring = this.ring;
    entry.slot = slot;
    this.append(queue, entry, published, null);
    this.packets.receive(this.opened, published, queue.copies.get(entry.seq)!, this.ring, slot);
    this.ring.settle(slot);
  }

  private expiry(): number {
    const { random } = this;
    return random.chance(0.5) ? NEVER_EXPIRES : 1_700_000_000_000 + random.below(4) * 78_840_000_001;
  }

  private append(queue: SimQueue, entry: QueueEntry, published: Published, movedFrom: Copy | null): void {
    queue.copies.set(entry.seq, {
      queue,
      entry,
      published,
      movedFrom,
      expiresAt: entry.expiresAt,
      acked: false,
      ackDurable: false,
      neverWritten: false,
      withdrawn: false,
      committed: false,
    });
    this.opened.queues.append(entry);
  }

  /** Pages out transient entries, late and in any order. */
  private pageOut(): void {
    const queue = this.queue();
    const { inMemory } = queue;
    while (inMemory.length > 0 && this.random.chance(0.8)) {
      const [entry] = inMemory.splice(this.random.below(inMemory.length), 1);
      const published = {
        text: entry!.message.bodyBytes().toString(),
        persistent: false,
        confirmed: false,
        refused: false,
      };
      this.append(queue, entry!, published, null);
    }
  }

  private acknowledge(): void {
    const queue = this.queue();
    const live = queue.live();
    const inOrder = this.random.chance(0.6);
    for (let i = 1 + this.random.below(4); i > 0; i--) {
      const copy = inOrder ? live.shift() : this.random.pick(live);
      if (copy === undefined || copy.acked) return;
      this.settled(copy);
      this.opened.queues.remove(copy.entry);
    }
  }

  /** Moves a message to another queue, as dead-lettering does. */
  private move(): void {
    const from = this.random.pick(this.queue().live());
    const targets = new Set([this.queue()]);
    if (this.random.chance(0.3)) targets.add(this.queue());
    if (from === undefined || !from.published.persistent) return;
    targets.delete(from.queue);
    if (targets.size > 0) this.bury(from, targets);
  }

  /**
   * Expires the head of a queue and moves it to the dead letter queues; in a chain of such queues several times at
   * once.
   */
  private expire(): void {
    let queue = this.queue();
    for (let dead = 1 + this.random.below(4); dead > 0; dead--) {
      const [from] = queue.live().sort((a, b) => a.entry.seq - b.entry.seq);
      const to = this.queue();
      if (from === undefined || to === queue || !from.published.persistent) return;
      this.bury(from, new Set([to]));
      if (this.random.chance(0.5)) queue = to;
    }
  }

  /** As in dead-lettering.ts: the copies are written beside the original, which is settled after their confirm. */
  private bury(from: Copy, targets: ReadonlySet<SimQueue>): void {
    const { ring, slot, message } = from.entry;
    this.opened.queues.group(() => {
      for (const to of targets) {
        const entry = to.entryAt(to.nextSeq++, copyMessage(message), this.expiry());
        if (ring !== null) {
          ring.hold(slot);
          entry.ring = ring;
          entry.slot = slot;
        }
        this.append(to, entry, from.published, from);
      }
      this.settled(from);
      this.opened.queues.remove(from.entry);
    });
  }

  private settled(copy: Copy): void {
    copy.acked = true;
    if (copy.entry.storeState === STORE_STATE.pending) copy.neverWritten = true;
    this.unreported.push(() => {
      copy.ackDurable = true;
    });
  }

  private purge(): void {
    const queue = this.queue();
    const keep = queue.live().filter(() => this.random.chance(0.2));
    for (const copy of queue.live()) if (!keep.includes(copy)) this.settled(copy);
    this.opened.queues.purge(
      queue.id,
      keep.map(({ entry }) => entry),
    );
  }

  private deleteQueue(): void {
    const { queueId } = this.queue();
    for (const queue of this.queues) {
      if (queue.queueId !== queueId || queue.deleted) continue;
      for (const copy of queue.live()) this.settled(copy);
      queue.deleted = true;
      this.unreported.push(() => {
        queue.deleteDurable = true;
      });
      this.opened.queues.deleteQueue(queue.id);
    }
  }

  private markDelivering(): void {
    const queue = this.queue();
    const { queues } = this.opened;
    const known = queues.recover(queue.id)?.nextSeq ?? 1;
    if (this.random.chance(0.7)) {
      queues.markDelivering(queue.id);
      queue.mayBeRedelivered = Number.POSITIVE_INFINITY;
      const { settledDelivered } = queue;
      this.unreported.push(() => {
        if (queue.settledDelivered === settledDelivered) queue.redeliveredBelow = Number.POSITIVE_INFINITY;
      });
    } else {
      const seq = this.random.below(known + 1);
      queues.settleDelivered(queue.id, seq);
      queue.settledDelivered++;
      queue.redeliveredBelow = Math.min(queue.redeliveredBelow, seq);
      queue.mayBeRedelivered = Math.max(queue.mayBeRedelivered, seq);
    }
  }

  private define(): void {
    const value = { version: ++this.definition };
    this.opened.definitions.put('queue', ['/', 'one'], value);
    this.opened.definitions.put('binding', ['/', 'one', 'other'], value);
    this.opened.queues.whenCommitted((error) => {
      if (error === null) this.definitionDurable = Math.max(this.definitionDurable, value.version);
    });
  }

  /** Asks when all changes so far are durable, and records the answer. */
  private report(): void {
    const reported = this.unreported;
    this.unreported = [];
    this.opened.queues.whenCommitted((error) => {
      if (error !== null) this.unreported.push(...reported);
      else for (const durable of reported) durable();
    });
  }

  // Disk actions.

  private async endCommit(): Promise<void> {
    if (this.kv.waiting) this.kv.release();
    await tick();
  }

  private async toggleSpace(): Promise<void> {
    this.kv.full = !this.kv.full && this.random.chance(0.5);
    this.kv.fullForAll = this.random.chance(0.3);
    this.opened.elapse();
    await tick();
  }

  /** Completes commits until nothing is left to do, and compares the state in this process with the model. */
  private async quiesce(): Promise<void> {
    this.kv.full = false;
    for (let idle = 0, commits = -1; idle < 3; ) {
      this.opened.elapse();
      this.opened.store.seal();
      while (this.kv.waiting) {
        this.kv.release();
        await tick();
      }
      await tick();
      idle = this.kv.commits === commits ? idle + 1 : 0;
      commits = this.kv.commits;
    }
    this.drain();
    this.report();
    checkDisk(this.kv.disk, true);
    for (const queue of this.queues) {
      if (queue.deleted) continue;
      const read = await this.readSlices(queue);
      const expected = queue.live().sort((a, b) => a.entry.seq - b.entry.seq);
      assert.deepEqual(read.map(describe), expected.map(describeCopy), `queue ${queue.id}`);
      this.checkMeta(queue, read);
    }
    await this.retained.check(this.opened);
    this.packets.check(this.opened);
  }

  private async read(): Promise<void> {
    const queue = this.queue();
    const meta = this.opened.queues.recover(queue.id);
    if (meta === null) return;
    const from = this.random.below(meta.nextSeq + 2);
    const limit = 1 + this.random.below(5);
    this.kv.cold = this.random.chance(0.3);
    const { entries, nextSeq } = await this.opened.load(queue.id, from, meta.nextSeq, limit);
    assert.ok(entries.length <= limit);
    // Exactly the committed entries of the range that the load covered.
    const expected = queue
      .live()
      .filter((copy) => copy.committed && copy.entry.seq >= from && copy.entry.seq < nextSeq)
      .sort((a, b) => a.entry.seq - b.entry.seq);
    assert.deepEqual(entries.map(describe), expected.map(describeCopy), `load of queue ${queue.id}`);
  }

  private async restart(): Promise<void> {
    await this.quiesce();
    await this.opened.store.close();
    this.kv = new FaultyKv(this.kv.disk.clone());
    this.opened = this.open();
    await this.recover();
  }

  private async crash(): Promise<void> {
    this.drain();
    this.kv = new FaultyKv(this.kv.crash(this.random.chance(0.5)));
    this.opened = this.open();
    await this.recover();
  }

  // The state that the next start finds.

  private open(): Opened {
    this.kv.hold = true;
    const opened = new Opened(this.sabotage.kv?.(this.kv) ?? this.kv, RECLAIM, {
      ...this.retained.options,
      cachedPages: CACHED_PAGES,
    });
    this.sabotage.opened?.(opened);
    return opened;
  }

  private async recover(): Promise<void> {
    checkDisk(this.kv.disk, false);
    const found = new Map<SimQueue, Map<number, StoredEntry>>();
    for (const queue of this.queues) {
      const meta = this.opened.queues.recover(queue.id);
      if (queue.deleteDurable) assert.equal(meta, null, `queue ${queue.id} is back`);
      const read = meta === null ? [] : await this.readSlices(queue);
      found.set(queue, new Map(read.map((entry) => [entry.seq, entry])));
      for (let i = 1; i < read.length; i++) assert.ok(read[i]!.seq > read[i - 1]!.seq, 'out of order');
      this.checkMeta(queue, read);
    }
    for (const queue of this.queues) this.checkQueue(queue, found);
    this.checkDefinitions();
    this.packets.recover(this.opened, (copy) => found.get(copy.queue)?.has(copy.entry.seq) === true);
    await this.retained.recover(this.opened, (copy) => found.get(copy.queue)?.has(copy.entry.seq) === true);
    this.adopt(found);
  }

  private checkQueue(queue: SimQueue, found: ReadonlyMap<SimQueue, ReadonlyMap<number, StoredEntry>>): void {
    const there = (copy: Copy): boolean => found.get(copy.queue)!.has(copy.entry.seq);
    const entries = found.get(queue)!;
    for (const [seq, entry] of entries) {
      const copy = queue.copies.get(seq);
      assert.ok(copy !== undefined, `entry ${seq} was never appended`);
      const name = `entry ${seq} of queue ${queue.id}`;
      assert.equal(describe(entry), describeCopy(copy), name);
      assert.ok(copy.published.persistent, `${name} is transient`);
      assert.ok(!copy.withdrawn, `${name} was refused`);
      assert.ok(!copy.neverWritten, `${name} was settled before it was written`);
      assert.ok(!copy.ackDurable, `${name} is back`);
      if (seq < queue.redeliveredBelow) assert.ok(entry.redelivered, `${name} lacks the redelivered mark`);
      if (seq >= queue.mayBeRedelivered) assert.ok(!entry.redelivered, `${name} has the redelivered mark`);
    }
    for (const copy of queue.copies.values()) {
      const places: Copy[] = [];
      for (let at: Copy | null = copy; at !== null; at = at.movedFrom) places.push(at);
      const present = places.filter(there).length;
      assert.ok(present <= 1, `entry ${copy.entry.seq} of queue ${queue.id} is in two places`);
      if (copy.acked || copy.withdrawn || !isSafe(copy)) continue;
      assert.equal(present, 1, `entry ${copy.entry.seq} of queue ${queue.id} is lost`);
    }
  }

  private checkMeta(queue: SimQueue, read: readonly StoredEntry[]): void {
    const meta = this.opened.queues.recover(queue.id);
    if (meta === null) return;
    const persistent = read.filter((entry) => entry.message.persistent);
    assert.equal(meta.count, persistent.length, `count of queue ${queue.id}`);
    const bytes = persistent.reduce((sum, entry) => sum + entry.message.bodyLength, 0);
    assert.equal(meta.bytes, bytes, `bytes of queue ${queue.id}`);
    for (const { seq } of read) assert.ok(seq >= meta.floor && seq < meta.nextSeq);
  }

  private checkDefinitions(): void {
    const one = [...this.opened.definitions.all('queue')][0]?.value.version ?? 0;
    const other = [...this.opened.definitions.all('binding')][0]?.value.version ?? 0;
    assert.equal(one, other, 'definitions that belong together');
    assert.ok((one as number) >= this.definitionDurable, 'a durable definition is lost');
    this.definitionDurable = one as number;
  }

  /** From now on the model contains exactly what was found. */
  private adopt(found: ReadonlyMap<SimQueue, ReadonlyMap<number, StoredEntry>>): void {
    this.unreported = [];
    this.bySlot = new Map();
    this.ringDue = false;
    this.ring = this.newRing();
    const queues: SimQueue[] = [];
    for (const [old, entries] of found) {
      const meta = this.opened.queues.recover(old.id);
      if (meta === null) continue;
      const queue = new SimQueue(old.queueId, old.lane);
      queue.nextSeq = meta.nextSeq;
      queue.redeliveredBelow = meta.deliveredTo;
      queue.mayBeRedelivered = meta.deliveredTo;
      for (const stored of entries.values()) {
        const entry = queue.entryAt(stored.seq, stored.message, stored.expiresAt);
        entry.storeState = STORE_STATE.committed;
        const text = stored.message.bodyBytes().toString();
        queue.copies.set(entry.seq, {
          queue,
          entry,
          published: { text, persistent: true, confirmed: true, refused: false },
          movedFrom: null,
          expiresAt: entry.expiresAt,
          acked: false,
          ackDurable: false,
          neverWritten: false,
          withdrawn: false,
          committed: true,
        });
      }
      queues.push(queue);
    }
    this.queues = queues;
  }

  private async readSlices(queue: SimQueue): Promise<StoredEntry[]> {
    this.kv.cold = this.random.chance(0.3);
    return await this.opened.readAll(queue.id, 1 + this.random.below(20));
  }

  // Confirms.

  private newRing(): ConfirmRing {
    const ring: ConfirmRing = new ConfirmRing(
      {
        confirmed: (_ring, from, to, ok) => {
          if (ring !== this.ring) return;
          for (let slot = from; slot <= to; slot++) {
            const published = this.bySlot.get(slot)!;
            if (ok) published.confirmed = true;
            else published.refused = true;
          }
        },
      },
      {
        drainLater: () => {
          this.ringDue = true;
        },
      },
    );
    return ring;
  }

  private drain(): void {
    if (!this.ringDue) return;
    this.ringDue = false;
    this.ring.drain();
  }
}

function describe(entry: StoredEntry): string {
  const { seq, expiresAt, message, subscriptionOptions } = entry;
  return `${seq} ${expiresAt} ${message.routingKey} ${brief(message.bodyBytes().toString())} ${describeOptions(subscriptionOptions)}`;
}

function describeCopy({ entry, expiresAt, published }: Copy): string {
  const { seq, message, subscriptionOptions } = entry;
  return `${seq} ${expiresAt} ${message.routingKey} ${brief(published.text)} ${describeOptions(subscriptionOptions)}`;
}

function describeOptions(subscriptionOptions: SubscriptionOptions | null): string {
  return subscriptionOptions === null
    ? 'no subscriptionOptions'
    : `QoS ${subscriptionOptions.qos} of ${subscriptionOptions.subscriptionIds}, retained ${subscriptionOptions.retained}`;
}

function brief(text: string): string {
  return `${text.slice(0, 8)} (${text.length} ${crc32(text)})`;
}

/** The same message for another queue: a moved message is a new object. */
function copyMessage(original: Message): Message {
  const { exchange, routingKey, persistent } = original;
  return message(Buffer.from(original.bodyBytes()), { exchange, routingKey, persistent });
}

function tick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
