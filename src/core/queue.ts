// A queue: takes messages in, hands them to consumers, keeps count of what is out unacknowledged, takes back what is
// returned. It knows no protocol and no disk: consumers encode, the store writes. What is ready and where it lies is the
// window's business (queue-window.ts), whose turn it is the consumer set's (consumer-set.ts).
//
// Invariant: every entry is in exactly one place: ready (window), out (the unacked list), or gone.

import type { Binding } from './binding.ts';
import { ANY_QOS } from './binding.ts';
import type { ConfirmRing } from './confirms.ts';
import type { Consumer } from './consumer.ts';
import { ConsumerSet } from './consumer-set.ts';
import type { FieldTable } from './field-table.ts';
import type { Message } from './message.ts';
import { NEVER_EXPIRES, QueueEntry, STORE_STATE } from './queue-entry.ts';
import { dropsHead, type QueueLimits, readQueueLimits, refusesMore } from './queue-limits.ts';
import { heldBytes, QueueWindow, type WindowSurroundings } from './queue-window.ts';
import { Target } from './target.ts';
import type { Task } from './turn.ts';

export interface QueueOptions {
  readonly id: number;
  readonly name: string;
  readonly durable: boolean;
  readonly autoDelete: boolean;
  readonly args: FieldTable;
  /** The session that alone may use it and with which it ends; null: anybody's. */
  readonly owner: QueueOwner | null;
}

/** The one whose alone an exclusive queue is. */
export interface QueueOwner {
  /** The queue is gone, whoever ended it. */
  disowned(queue: Queue): void;
}

/** What a queue needs from its surroundings; shared by all queues of a broker. */
export type QueueSurroundings = WindowSurroundings;

/** What a queue tells its virtual host. */
export interface QueueEvents {
  readonly name: string;
  /** The last consumer of an auto-delete queue is gone. */
  unused(queue: Queue): void;
  /** A record on disk could not be read. */
  damaged(queue: Queue, error: Error): void;
}

/** Takes messages that are delivered at QoS 0 past the queue: to a connected client directly, or nowhere. */
export interface DirectReceiver {
  receive(message: Message, target: Target): void;
}

/** A publisher that waits for consumers to catch up. */
export interface DrainWaiter {
  drained(): void;
}

/** Ready messages at which consumers count as behind. */
const CROWDED_ENTRIES = 4096;

/** Deliveries in one slice of the work list. */
const SLICE = 256;

export class Queue implements Task {
  readonly id: number;
  readonly name: string;
  readonly durable: boolean;
  readonly autoDelete: boolean;
  readonly args: FieldTable;
  readonly owner: QueueOwner | null;
  /** Whether it survives a restart, and its persistent messages with it. Exclusive queues never do. */
  readonly persisted: boolean;
  /** The route that ends here and nowhere else. */
  readonly alone: readonly Target[];
  readonly consumers: ConsumerSet;
  readonly limits: QueueLimits | null;
  direct: DirectReceiver | null;
  deleted: boolean;
  private readonly around: QueueSurroundings;
  private readonly events: QueueEvents;
  private readonly window: QueueWindow;
  /** Bindings that lead here; made with the first. */
  private sources: Set<Binding> | null;
  private nextSeq: number;
  private outCount: number;
  private firstOut: QueueEntry | null;
  private lastOut: QueueEntry | null;
  private scheduled: boolean;
  /** Whether it is on disk that entries may have been delivered. */
  private marked: boolean;
  /** The number behind the last entry that was ever out with somebody. */
  private deliveredTo: number;
  /** Who waits for deliveries; null: nobody. */
  private waiting: Map<DrainWaiter, number> | null;

  constructor(options: QueueOptions, around: QueueSurroundings, events: QueueEvents) {
    this.id = options.id;
    this.name = options.name;
    this.durable = options.durable;
    this.autoDelete = options.autoDelete;
    this.args = options.args;
    this.owner = options.owner;
    this.persisted = options.durable && options.owner === null;
    this.alone = [new Target(this, ANY_QOS)];
    this.consumers = new ConsumerSet();
    this.limits = readQueueLimits(options.args, options.name, events.name);
    this.direct = null;
    this.deleted = false;
    this.around = around;
    this.events = events;
    this.window = new QueueWindow(this, around);
    this.sources = null;
    this.nextSeq = 1;
    this.outCount = 0;
    this.firstOut = null;
    this.lastOut = null;
    this.scheduled = false;
    this.marked = false;
    this.deliveredTo = 0;
    this.waiting = null;
  }

  get readyCount(): number {
    return this.window.length;
  }

  get unackedCount(): number {
    return this.outCount;
  }

  get pagedCount(): number {
    return this.window.pagedLength;
  }

  get bindings(): Iterable<Binding> {
    return this.sources ?? [];
  }

  bound(binding: Binding): void {
    this.sources ??= new Set();
    this.sources.add(binding);
  }

  unbound(binding: Binding): void {
    this.sources?.delete(binding);
  }

  /** Takes up what the store recovered. Called before anything else. */
  recover(): void {
    const meta = this.around.store.recover(this.id);
    if (meta === null) return;
    this.nextSeq = meta.nextSeq;
    this.deliveredTo = Math.min(meta.deliveredTo, meta.nextSeq);
    this.window.recover(meta.floor, meta.nextSeq, meta.count, meta.bytes);
  }

  /**
   * Takes a message in: to a consumer with credit, else to the end of the queue. A durable target of a publish with
   * confirms adds its hold to the slot. Hot path.
   */
  accept(message: Message, target: Target, ring: ConfirmRing | null, slot: number): void {
    if (this.direct !== null && (target.qos === 0 || !message.persistent)) {
      this.direct.receive(message, target);
      return;
    }
    const consumer = this.window.length === 0 ? this.consumers.next() : null;
    if (consumer === null && this.limits !== null && this.refuses(0, 0)) {
      ring?.hold(slot);
      ring?.refuse(slot);
      return;
    }
    const seq = this.nextSeq++;
    if (consumer?.noAck) {
      this.count(message);
      consumer.sink.deliver(consumer, message, null, false);
      return;
    }
    const entry = new QueueEntry(this, seq, message, NEVER_EXPIRES, false);
    if (this.persisted && message.persistent) {
      if (ring !== null) {
        ring.hold(slot);
        entry.ring = ring;
        entry.slot = slot;
      }
      this.around.store.append(entry);
    }
    if (consumer === null) {
      this.window.append(entry);
      if (this.limits !== null) this.dropExcess(this.limits);
      return;
    }
    this.around.turn.retain(message);
    this.around.memory.held += heldBytes(entry);
    this.handOut(consumer, entry);
  }

  /**
   * Takes a message in without letting anybody have it: a publish of a transaction that is being committed. Its durable
   * entry adds a hold to the slot. Null: it passes the queue by, and is to be accepted when the transaction is done.
   */
  hold(message: Message, target: Target, ring: ConfirmRing, slot: number): QueueEntry | null {
    if (this.direct !== null && (target.qos === 0 || !message.persistent)) return null;
    const entry = new QueueEntry(this, this.nextSeq++, message, NEVER_EXPIRES, false);
    this.around.turn.retain(message);
    this.around.memory.held += heldBytes(entry);
    this.linkOut(entry);
    if (this.persisted && message.persistent) {
      ring.hold(slot);
      entry.ring = ring;
      entry.slot = slot;
      this.around.store.append(entry);
    }
    return entry;
  }

  /** What was held takes its place among the ready entries. */
  letGo(entries: readonly QueueEntry[]): void {
    if (this.deleted) return;
    for (let i = 0; i < entries.length; i++) this.unlinkOut(entries[i]!);
    this.window.putBack(entries);
    if (this.limits !== null) this.dropExcess(this.limits);
    this.wake();
  }

  /** Whether it would refuse one more message, behind so many that are not in it yet. */
  refuses(more: number, moreBytes: number): boolean {
    const { limits, window } = this;
    return limits !== null && refusesMore(limits, window.length + more, window.bodyBytes + moreBytes);
  }

  /** What was held is dropped. */
  discard(entries: readonly QueueEntry[]): void {
    if (this.deleted) return;
    for (let i = 0; i < entries.length; i++) {
      this.unlinkOut(entries[i]!);
      this.drop(entries[i]!);
    }
  }

  /** A consumer may have credit: it started, settled something, or its connection drained. */
  consumerReady(consumer: Consumer): void {
    this.consumers.list(consumer);
    this.wake();
  }

  /** Puts deliveries on the work list, where there is something to deliver. */
  wake(): void {
    if (this.scheduled || this.window.length === 0 || this.deleted) return;
    this.scheduled = true;
    this.around.turn.work(this);
  }

  /** One slice of deliveries: the queue as a task of the work list. */
  run(): boolean {
    // Where the head had to be read back first it was not dropped at once.
    if (this.limits !== null) this.dropExcess(this.limits);
    const more = this.deliverSlice();
    if (this.waiting !== null) this.tellWaiting();
    return more;
  }

  /** Whether its consumers are behind: a publisher that goes on at full speed would only lengthen the queue. */
  get crowded(): boolean {
    return this.consumers.size > 0 && this.window.length > CROWDED_ENTRIES;
  }

  /**
   * Calls `waiter.drained()` once deliveries have brought the ready messages below `level`. It may never happen: whoever
   * waits has a time limit too, and says so with `waitNoMore`.
   */
  whenBelow(level: number, waiter: DrainWaiter): void {
    this.waiting ??= new Map();
    this.waiting.set(waiter, level);
  }

  waitNoMore(waiter: DrainWaiter): void {
    this.waiting?.delete(waiter);
  }

  private deliverSlice(): boolean {
    for (let done = 0; done < SLICE; done++) {
      if (this.deleted || this.window.peek() === null) return this.rest();
      const consumer = this.consumers.next();
      if (consumer === null) return this.rest();
      const entry = this.window.take();
      if (consumer.noAck) this.handOver(consumer, entry);
      else this.handOut(consumer, entry);
    }
    return true;
  }

  addConsumer(consumer: Consumer): void {
    this.consumers.add(consumer);
    this.markDelivering();
  }

  removeConsumer(consumer: Consumer): void {
    consumer.end();
    this.consumers.remove(consumer);
    if (this.autoDelete && this.consumers.size === 0 && !this.deleted) this.events.unused(this);
  }

  /**
   * Entries may be with somebody from now on: after a crash they carry the redelivered mark. True where that is not known
   * to be on disk yet; `deliveryMarked` says when it is.
   */
  markDelivering(): boolean {
    if (this.marked || !this.persisted) return false;
    this.around.store.markDelivering(this.id);
    return true;
  }

  deliveryMarked(): void {
    this.marked = true;
  }

  /** The broker stops in order: the store learns exactly which entries may have been delivered. */
  settleDelivered(): void {
    if (this.persisted && this.deliveredTo > 0) this.around.store.settleDelivered(this.id, this.deliveredTo);
  }

  /**
   * Takes the next entry out without a consumer (basic.get). Null where the queue is empty or its head is being read
   * back; `whenReadBack` tells which.
   */
  takeNext(noAck: boolean): QueueEntry | null {
    this.markDelivering();
    if (this.window.peek() === null) return null;
    const entry = this.window.take();
    this.count(entry.message);
    if (noAck) {
      this.drop(entry);
    } else {
      entry.deliveryCount++;
      this.linkOut(entry);
    }
    return entry;
  }

  /** Resolves when the head has been read back from disk; null where nothing is being read. */
  whenReadBack(): Promise<void> | null {
    return this.window.whenReadBack();
  }

  /** The entry is done with. */
  acknowledge(entry: QueueEntry): void {
    if (this.deleted) return;
    this.unlinkOut(entry);
    this.around.meters.acknowledged++;
    this.drop(entry);
    this.creditBack(entry);
  }

  /** Entries come back to their places, to be delivered again with the redelivered mark. */
  requeue(entries: readonly QueueEntry[]): void {
    if (this.deleted || entries.length === 0) return;
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      this.unlinkOut(entry);
      entry.redelivered = true;
    }
    this.window.putBack(entries);
    for (let i = 0; i < entries.length; i++) this.creditBack(entries[i]!);
    if (this.limits !== null) this.dropExcess(this.limits);
    this.wake();
  }

  /** Drops all ready entries. Returns how many. What is out stays out. */
  purge(): number {
    const dropped = this.window.clear();
    const keep: QueueEntry[] = [];
    for (let entry = this.firstOut; entry !== null; entry = entry.nextUnacked) keep.push(entry);
    this.around.store.purge(this.id, keep);
    return dropped;
  }

  /** Ends the queue: consumers learn it, entries are forgotten. Bindings were removed by the virtual host. */
  delete(): number {
    this.deleted = true;
    for (let entry = this.firstOut; entry !== null; entry = entry.nextUnacked) this.window.release(entry);
    const dropped = this.window.clear();
    this.around.store.deleteQueue(this.id);
    for (const consumer of [...this.consumers]) {
      consumer.end();
      this.consumers.remove(consumer);
      consumer.sink.cancelled(consumer);
    }
    return dropped;
  }

  /** The store committed an entry of this queue. */
  committed(entry: QueueEntry): void {
    if (entry.out) this.window.unload(entry);
    this.window.committed();
  }

  /** The store could not write an entry (disk full) and refused its confirm. */
  withdrawn(entry: QueueEntry): void {
    if (this.deleted) return;
    // A transient entry was only being paged out, and one that is out with a consumer is its client's now: both go on
    // living in memory.
    if (!entry.message.persistent || !this.persisted || entry.out) {
      entry.storeState = STORE_STATE.none;
      return;
    }
    entry.storeState = STORE_STATE.deleted;
    this.window.withdrawn(entry);
  }

  /** A stored record could not be read. */
  damaged(error: Error): void {
    this.events.damaged(this, error);
  }

  /** Drops the oldest as long as there are too many, or the next one has to be read back from disk. */
  private dropExcess(limits: QueueLimits): void {
    const { window } = this;
    while (dropsHead(limits, window.length, window.bodyBytes)) {
      if (window.peek() === null) return;
      this.drop(window.take());
    }
  }

  private tellWaiting(): void {
    const ready = this.window.length;
    for (const [waiter, level] of this.waiting!) {
      if (ready >= level) continue;
      this.waiting!.delete(waiter);
      waiter.drained();
    }
    if (this.waiting!.size === 0) this.waiting = null;
  }

  private rest(): boolean {
    this.scheduled = false;
    return false;
  }

  /** To a consumer that acknowledges. */
  private handOut(consumer: Consumer, entry: QueueEntry): void {
    this.count(entry.message);
    entry.consumer = consumer;
    entry.deliveryCount++;
    consumer.unacked++;
    this.linkOut(entry);
    if (entry.redelivered) this.around.meters.redelivered++;
    consumer.sink.deliver(consumer, entry.message, entry, entry.redelivered);
    this.window.unload(entry);
  }

  /** To a consumer that does not: the entry is done with. */
  private handOver(consumer: Consumer, entry: QueueEntry): void {
    this.count(entry.message);
    if (entry.redelivered) this.around.meters.redelivered++;
    consumer.sink.deliver(consumer, entry.message, null, entry.redelivered);
    this.drop(entry);
  }

  private count(message: Message): void {
    this.around.meters.delivered++;
    this.around.meters.deliveredBytes += message.bodyLength;
  }

  private drop(entry: QueueEntry): void {
    this.window.release(entry);
    if (entry.storeState !== STORE_STATE.none && entry.storeState !== STORE_STATE.deleted) {
      this.around.store.remove(entry);
    }
  }

  private creditBack(entry: QueueEntry): void {
    const { consumer } = entry;
    if (consumer === null) return;
    entry.consumer = null;
    consumer.unacked--;
    if (!consumer.listed) consumer.resume();
  }

  private linkOut(entry: QueueEntry): void {
    this.outCount++;
    if (entry.seq >= this.deliveredTo) this.deliveredTo = entry.seq + 1;
    entry.out = true;
    entry.previousUnacked = this.lastOut;
    if (this.lastOut === null) this.firstOut = entry;
    else this.lastOut.nextUnacked = entry;
    this.lastOut = entry;
  }

  private unlinkOut(entry: QueueEntry): void {
    this.outCount--;
    entry.out = false;
    const { previousUnacked: previous, nextUnacked: next } = entry;
    if (previous === null) this.firstOut = next;
    else previous.nextUnacked = next;
    if (next === null) this.lastOut = previous;
    else next.previousUnacked = previous;
    entry.previousUnacked = null;
    entry.nextUnacked = null;
  }
}
