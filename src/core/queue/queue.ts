// A queue: accepts messages, delivers them to consumers, tracks unacknowledged ones and takes back those that return.
// It knows no protocol and no disk: consumers encode, the store writes. The window decides which ready entries are in
// memory (queue-window.ts; with priorities priority-lanes.ts), the consumer set which consumer is next
// (consumer-set.ts), expiry.ts when a message expires, dead-lettering.ts where a dead message goes.
//
// Invariant: every entry is in exactly one place: ready (the window), outstanding (outstanding-entries.ts), or gone.

import { invariant } from '../invariant.ts';
import type { FieldTable } from '../message/field-table.ts';
import type { Message } from '../message/message.ts';
import { type PackedTable, packedBytes, packTable, unpackTable } from '../message/packed-table.ts';
import type { PropertyRewriter } from '../message/property-rewriter.ts';
import type { DefinitionStore } from '../ports/definitions.ts';
import type { ConfirmRing } from '../turn/confirms.ts';
import type { Task } from '../turn/turn.ts';
import type { WorkDescription } from '../turn/turn-watch.ts';
import type { Consumer } from './consumer.ts';
import { ConsumerSet } from './consumer-set.ts';
import type { Death } from './death-reason.ts';
import { DeliveryMark } from './delivery-mark.ts';
import { type DrainWaiter, DrainWaiters } from './drain-waiters.ts';
import { type ExpiringQueue, QueueExpiry } from './expiry.ts';
import { FaultedConsumer } from './faulted-consumer.ts';
import { OutstandingEntries } from './outstanding-entries.ts';
import { PriorityLanes } from './priority-lanes.ts';
import { type DeadLetterAddress, readQueueArguments } from './queue-arguments.ts';
import { heldBytes, messageBytes, NEVER_EXPIRES, QueueEntry, STORE_STATE } from './queue-entry.ts';
import { dropsHead, hasRoom, type QueueLimits, refusesMore } from './queue-limits.ts';
import { QueueWindow, type WindowDependencies } from './queue-window.ts';
import type { ReadyEntries } from './ready-entries.ts';
import { ReturnCounts, withDeliveryCount } from './return-counts.ts';
import { DEFAULT_SUBSCRIPTION_OPTIONS } from './subscription-options.ts';
import { Target } from './target.ts';

export interface QueueOptions {
  readonly id: number;
  readonly name: string;
  readonly durable: boolean;
  readonly autoDelete: boolean;
  readonly args: FieldTable;
  /** The session that owns an exclusive queue; the queue ends with it. Null: the queue is not exclusive. */
  readonly owner: QueueOwner | null;
}

/** The session that owns an exclusive queue. */
export interface QueueOwner {
  /** The queue was deleted. */
  disowned(queue: Queue): void;
}

/** What a queue needs; shared by all queues of a broker. */
export interface QueueDependencies extends WindowDependencies {
  readonly rewriter: PropertyRewriter;
  readonly definitions: DefinitionStore;
}

/** Events of a queue; its virtual host implements them. */
export interface QueueEvents {
  readonly name: string;
  /** The queue is to be deleted: the last consumer of an auto-delete queue ended, or its x-expires time is over. */
  unused(queue: Queue): void;
  /** The entry is to be transferred to the dead letter exchange; afterwards `queue.deadLettered` is called. */
  died(entry: QueueEntry, death: Death): void;
  /** From now on messages on disk may expire. */
  expiring(queue: Queue): void;
  /** A record on disk could not be read. */
  damaged(queue: Queue, error: Error): void;
}

/** Gets the QoS 0 messages of a queue, which bypass it: delivers them to a connected client, or drops them. */
export interface DirectReceiver {
  receive(message: Message, target: Target): void;
}

/** Number of ready messages above which consumers count as behind. */
const CONSUMERS_BEHIND_ENTRIES = 4096;

/** Deliveries, or expiries, in one slice of the work list. */
const SLICE = 256;

export class Queue implements Task, ExpiringQueue {
  readonly id: number;
  readonly name: string;
  readonly durable: boolean;
  readonly autoDelete: boolean;
  private readonly packedArgs: PackedTable;
  readonly owner: QueueOwner | null;
  /** Whether the queue and its persistent messages survive a restart. Exclusive queues never do. */
  readonly persisted: boolean;
  /** A route whose only target is this queue. */
  readonly selfRoute: readonly Target[];
  readonly consumers: ConsumerSet;
  readonly limits: QueueLimits | null;
  readonly deadLetters: DeadLetterAddress | null;
  /**
   * Null if there is no delivery limit, or the queue does not survive a restart. A queue with a delivery limit has no
   * priorities, so a sequence number identifies an entry.
   */
  readonly returns: ReturnCounts | null;
  /** Null if the queue does not survive a restart. */
  readonly mark: DeliveryMark | null;
  direct: DirectReceiver | null;
  deleted: boolean;
  private readonly dependencies: QueueDependencies;
  private readonly events: QueueEvents;
  private readonly window: ReadyEntries;
  private readonly outstanding: OutstandingEntries;
  private readonly quorum: boolean;
  private readonly expiry: QueueExpiry;
  /** Infinity: no limit. */
  private readonly deliveryLimit: number;
  private readonly maxPriority: number;
  private scheduled: boolean;
  /** Entries of transactions that are being committed, and the bytes of their bodies. */
  private heldCount: number;
  private heldBodyBytes: number;
  /** Publishers that wait for deliveries; null: none. */
  private waiting: DrainWaiters | null;

  constructor(options: QueueOptions, dependencies: QueueDependencies, events: QueueEvents) {
    const args = readQueueArguments(options.args, options.name, events.name);
    this.id = options.id;
    this.name = options.name;
    this.durable = options.durable;
    this.autoDelete = options.autoDelete;
    this.packedArgs = packTable(options.args);
    this.owner = options.owner;
    this.persisted = options.durable && options.owner === null;
    this.selfRoute = [new Target(this, DEFAULT_SUBSCRIPTION_OPTIONS)];
    this.consumers = new ConsumerSet(args.singleActiveConsumer);
    this.limits = args.limits;
    this.deadLetters = args.deadLetters;
    this.direct = null;
    this.deleted = false;
    this.dependencies = dependencies;
    this.events = events;
    this.quorum = args.quorum;
    this.expiry = new QueueExpiry(this, dependencies.turn, args);
    this.deliveryLimit = args.deliveryLimit;
    this.maxPriority = args.maxPriority;
    const counts = this.persisted && args.deliveryLimit !== Number.POSITIVE_INFINITY;
    this.returns = counts ? new ReturnCounts(dependencies.definitions, events.name, options.name) : null;
    this.window =
      args.maxPriority > 0
        ? new PriorityLanes(this, dependencies, args.maxPriority)
        : new QueueWindow(this, dependencies);
    this.mark = this.persisted ? new DeliveryMark(this.window, dependencies.store) : null;
    this.outstanding = new OutstandingEntries();
    this.scheduled = false;
    this.heldCount = 0;
    this.heldBodyBytes = 0;
    this.waiting = null;
  }

  get args(): FieldTable {
    return unpackTable(this.packedArgs);
  }

  /** Memory that its arguments take. */
  get argumentBytes(): number {
    return packedBytes(this.packedArgs);
  }

  get readyCount(): number {
    return this.window.length;
  }

  get unackedCount(): number {
    return this.outstanding.count;
  }

  get pagedCount(): number {
    return this.window.pagedLength;
  }

  /** The number after the last entry that arrived (of priority 0). */
  get nextSeq(): number {
    return this.window.of(0).nextSeq;
  }

  /** The number after the last entry that was ever delivered (of priority 0). */
  get deliveredTo(): number {
    return this.window.of(0).deliveredTo;
  }

  /** Whether the message fits without dropping another one. */
  hasRoomFor(message: Message): boolean {
    const { limits, window } = this;
    return limits === null || hasRoom(limits, window.length, window.bodyBytes, message.bodyLength);
  }

  /** Recovers the entries from the store; `aging`: some of them may expire. Called before anything else. */
  recover(aging: boolean): void {
    this.window.recover();
    if (aging) this.expiry.recovered();
    if (this.expiry.aging) this.wake();
  }

  /** The queue was declared or read: its x-expires time starts again. */
  touch(): void {
    this.expiry.touch();
  }

  /**
   * Accepts a message: delivers it to a consumer with credit, or appends it. A durable target of a publish with
   * confirms adds a hold to the slot. Hot path: it contains only what every message needs, because V8 inlines no
   * function of more than 460 bytecodes. Above that a fan-out takes 1.3 × as long (bench/core.ts, 1 to 10 queues).
   */
  accept(message: Message, target: Target, ring: ConfirmRing | null, slot: number): void {
    if (this.direct !== null && (target.qos === 0 || !message.persistent)) {
      this.direct.receive(message, target);
      return;
    }
    const consumer = this.window.length === 0 ? this.consumers.next() : null;
    if (consumer?.noAck) {
      this.count(message);
      consumer.deliver(message, null, false);
      return;
    }
    if (consumer === null && this.limits !== null && this.refuses(0, 0)) this.refuse(message, this.limits, ring, slot);
    else this.takeIn(message, target, consumer, ring, slot);
  }

  /**
   * Accepts a message without making it ready: a publish of a transaction that is being committed. Its durable entry
   * adds a hold to the slot. Null: the message bypasses the queue, and is to be accepted when the transaction is done.
   */
  hold(message: Message, target: Target, ring: ConfirmRing, slot: number): QueueEntry | null {
    if (this.direct !== null && (target.qos === 0 || !message.persistent)) return null;
    const entry = this.entryFor(message);
    entry.subscriptionOptions = target.subscriptionOptions;
    this.dependencies.turn.retain(entry.message);
    this.dependencies.memory.held += heldBytes(entry);
    this.outstanding.add(entry);
    if (this.persisted && entry.message.persistent) {
      ring.hold(slot);
      entry.ring = ring;
      entry.slot = slot;
      this.dependencies.store.append(entry);
    }
    this.window.hold(entry, ring);
    this.heldCount++;
    this.heldBodyBytes += message.bodyLength;
    return entry;
  }

  /** Held entries, in order, become ready in their places. */
  releaseHeld(entries: readonly QueueEntry[]): void {
    if (this.deleted) return;
    for (let i = 0; i < entries.length; i++) this.endHold(entries[i]!);
    const rest = this.expiry.aging ? entries.filter((entry) => !this.deliveredAtOnce(entry)) : entries;
    if (rest.length > 0) this.window.insert(rest);
    if (this.limits !== null) this.dropExcess(this.limits);
    this.wake();
  }

  /** Whether it would refuse one more message after `more` messages that are not in it yet. */
  refuses(more: number, moreBytes: number): boolean {
    const { limits, window } = this;
    if (limits === null) return false;
    const count = window.length + this.heldCount + more;
    return refusesMore(limits, count, window.bodyBytes + this.heldBodyBytes + moreBytes);
  }

  /** Drops held entries. */
  discard(entries: readonly QueueEntry[]): void {
    if (this.deleted) return;
    for (let i = 0; i < entries.length; i++) {
      this.endHold(entries[i]!);
      this.drop(entries[i]!);
    }
  }

  /** A consumer may have credit: it started, settled an entry, or its connection drained. */
  consumerReady(consumer: Consumer): void {
    this.consumers.list(consumer);
    this.wake();
  }

  /** Returns what is still outstanding with a consumer whose sink did not know all of it. */
  requeueFaulted(consumer: Consumer): void {
    const lost = [...this.outstanding].filter((entry) => entry.consumer === consumer);
    if (lost.length > 0 && !this.deleted) this.requeue(lost);
  }

  /** A delivery to this consumer threw; its connection is about to end. */
  deliveryFailed(consumer: Consumer, error: unknown): void {
    this.consumers.pass(consumer);
    this.dependencies.turn.faults.report('delivery', error, this);
  }

  /** A slice threw: the queue goes on when something else wakes it. */
  failed(): void {
    this.scheduled = false;
  }

  /** Schedules deliveries on the work list, if there is something to deliver. */
  wake(): void {
    if (this.scheduled || this.window.length === 0 || this.deleted) return;
    this.scheduled = true;
    this.dependencies.turn.work(this);
  }

  /** One slice of deliveries: the queue as a task of the work list. */
  run(): boolean {
    // A head that had to be read back first could not be dropped when the limit was exceeded.
    if (this.limits !== null) this.dropExcess(this.limits);
    const { expiry } = this;
    const more = (expiry.aging && this.dropExpired()) || this.deliverSlice();
    if (this.waiting !== null) this.notifyWaiters(this.waiting);
    if (expiry.aging && !more) expiry.watch();
    return more;
  }

  describeWork(): WorkDescription {
    return { work: 'deliveries of a queue', queue: this.name, vhost: this.events.name };
  }

  get used(): boolean {
    return this.consumers.size > 0;
  }

  nextExpiry(): number {
    return this.window.nextExpiry();
  }

  aged(): void {
    if (this.persisted) this.events.expiring(this);
  }

  expired(): void {
    this.events.unused(this);
  }

  /** Whether the consumers are behind: publishing at full speed would only lengthen the queue. */
  get consumersBehind(): boolean {
    return this.consumers.size > 0 && this.window.length > CONSUMERS_BEHIND_ENTRIES;
  }

  /**
   * Calls `waiter.drained()` once fewer than `level` messages are ready. That may never happen, so the waiter has a
   * time limit and ends it with `cancelWait`.
   */
  whenBelow(level: number, waiter: DrainWaiter): void {
    this.waiting ??= new DrainWaiters();
    this.waiting.add(waiter, level);
  }

  cancelWait(waiter: DrainWaiter): void {
    this.waiting?.remove(waiter);
  }

  addConsumer(consumer: Consumer): void {
    this.consumers.add(consumer);
    this.mark?.set();
  }

  removeConsumer(consumer: Consumer): void {
    consumer.end();
    this.consumers.remove(consumer)?.resume();
    if (consumer.faulted) this.dependencies.turn.work(new FaultedConsumer(this, consumer));
    if (this.consumers.size > 0 || this.deleted) return;
    if (this.autoDelete) this.events.unused(this);
    else this.touch();
  }

  /**
   * Takes the next entry without a consumer (basic.get). Null if the queue is empty or its head is being read back;
   * `whenReadBack` tells which.
   */
  takeNext(noAck: boolean): QueueEntry | null {
    this.mark?.set();
    // As in `run`: entries above the limit are dropped first, even if they had to be read back.
    if (this.limits !== null) this.dropExcess(this.limits);
    if (this.expiry.aging) this.dropExpired();
    const first = this.window.peek();
    if (first === null || this.expiry.hasExpired(first)) return null;
    const entry = this.window.take();
    if (this.expiry.aging) this.expiry.watch();
    this.count(entry.message);
    this.delivering(entry);
    if (noAck) this.drop(entry);
    else this.outstanding.add(entry);
    return entry;
  }

  /**
   * Resolves when the head has been read back from disk, or some expired messages before it are removed; null if
   * neither is in progress.
   */
  whenReadBack(): Promise<void> | null {
    const first = this.window.peek();
    if (first === null || !this.expiry.hasExpired(first)) return this.window.whenReadBack();
    return new Promise((resolve) => setImmediate(resolve));
  }

  /** The message as it is delivered: in a quorum queue a redelivered one has the header x-delivery-count. */
  messageFor(entry: QueueEntry): Message {
    if (!this.quorum || entry.deliveryCount < 2) return entry.message;
    return withDeliveryCount(entry.message, entry.deliveryCount - 1, this.dependencies.rewriter);
  }

  /** The client acknowledged the entry. */
  acknowledge(entry: QueueEntry): void {
    if (this.deleted) return;
    this.outstanding.remove(entry);
    this.dependencies.meters.acknowledged++;
    this.drop(entry);
    this.creditBack(entry);
  }

  /** The client rejected the entry without requeue. */
  reject(entry: QueueEntry): void {
    if (this.deleted) return;
    this.dependencies.meters.rejected++;
    this.creditBack(entry);
    this.die(entry, 'rejected');
  }

  /** As `reject`, where the caller has published the dead letter itself (a transaction). */
  rejectTransferred(entry: QueueEntry): void {
    if (this.deleted) return;
    this.dependencies.meters.rejected++;
    this.outstanding.remove(entry);
    this.drop(entry);
    this.creditBack(entry);
  }

  /** Entries return to their places, to be delivered again with the redelivered mark. */
  requeue(entries: readonly QueueEntry[]): void {
    if (this.deleted || entries.length === 0) return;
    const back = this.deliveryLimit === Number.POSITIVE_INFINITY ? entries : this.withinLimit(entries);
    for (let i = 0; i < back.length; i++) {
      const entry = back[i]!;
      this.outstanding.remove(entry);
      entry.redelivered = true;
      this.returns?.returned(entry.seq, entry.deliveryCount);
    }
    if (back.length > 0) this.window.putBack(back);
    for (let i = 0; i < entries.length; i++) this.creditBack(entries[i]!);
    if (this.limits !== null) this.dropExcess(this.limits);
    this.wake();
  }

  /** The transfer of a dead entry has ended: the entry is removed. */
  deadLettered(entry: QueueEntry): void {
    if (this.deleted) return;
    this.outstanding.remove(entry);
    this.drop(entry);
  }

  /** The bytes of an outstanding entry were read back from disk. */
  readBack(entry: QueueEntry, message: Message): void {
    entry.message = message;
    entry.unloaded = false;
    this.dependencies.memory.held += messageBytes(message);
  }

  /** Drops all ready entries and returns their number. Outstanding entries stay. */
  purge(): number {
    const dropped = this.window.clear();
    const out = [...this.outstanding];
    this.returns?.settledExcept(new Set(out.map(({ seq }) => seq)));
    for (const { lane, storeId } of this.window.lanes()) {
      this.dependencies.store.purge(
        storeId,
        out.filter((entry) => entry.lane === lane),
      );
    }
    return dropped;
  }

  /** Deletes the queue: notifies consumers and drops all entries. The virtual host has removed its bindings. */
  delete(): number {
    this.deleted = true;
    this.expiry.end();
    for (const entry of this.outstanding) this.window.release(entry);
    const dropped = this.window.clear();
    this.returns?.settledExcept(new Set());
    for (const { storeId } of this.window.lanes()) this.dependencies.store.deleteQueue(storeId);
    for (const consumer of [...this.consumers]) {
      consumer.end();
      this.consumers.remove(consumer);
      consumer.sink.cancelled(consumer);
    }
    return dropped;
  }

  /** The store committed an entry of this queue. */
  committed(entry: QueueEntry): void {
    if (entry.outstanding) this.window.unload(entry);
    this.window.committed(entry);
  }

  /** The store could not write an entry (disk full) and refused its confirm. */
  withdrawn(entry: QueueEntry): void {
    if (this.deleted) return;
    if (entry.expiresAt !== NEVER_EXPIRES) this.expiry.refused();
    // A transient entry was only being paged out, and an outstanding one belongs to its client now: both stay in
    // memory.
    if (!entry.message.persistent || !this.persisted || entry.outstanding) {
      entry.storeState = STORE_STATE.none;
      return;
    }
    entry.storeState = STORE_STATE.deleted;
    this.window.withdrawn(entry);
    // It may have been the first entry.
    if (this.expiry.aging) this.wake();
  }

  /** An entry that was read back expires: an earlier start may not have stored that any does. */
  ages(): void {
    this.expiry.aging = true;
  }

  /** A stored record could not be read. */
  damaged(error: Error): void {
    this.events.damaged(this, error);
  }

  /** Creates an entry for the message: outstanding with the consumer, else at the end of the queue. */
  private takeIn(
    message: Message,
    target: Target,
    consumer: Consumer | null,
    ring: ConfirmRing | null,
    slot: number,
  ): void {
    const entry = this.entryFor(message);
    entry.subscriptionOptions = target.subscriptionOptions;
    if (this.persisted && entry.message.persistent) {
      if (ring !== null) {
        ring.hold(slot);
        entry.ring = ring;
        entry.slot = slot;
      }
      this.dependencies.store.append(entry);
    }
    if (consumer === null) {
      this.window.append(entry);
      if (entry.expiresAt !== NEVER_EXPIRES) this.expiry.expireAt(entry.expiresAt);
      if (this.limits !== null) this.dropExcess(this.limits);
      return;
    }
    this.dependencies.turn.retain(entry.message);
    this.dependencies.memory.held += heldBytes(entry);
    this.handOut(consumer, entry);
  }

  private deliverSlice(): boolean {
    for (let done = 0; done < SLICE; done++) {
      const first = this.deleted ? null : this.window.peek();
      if (first === null) return this.rest();
      if (this.expiry.hasExpired(first)) {
        this.expire(this.window.take());
        continue;
      }
      const consumer = this.consumers.next();
      if (consumer === null) return this.rest();
      const entry = this.window.take();
      if (consumer.noAck) this.handOver(consumer, entry);
      else this.handOut(consumer, entry);
    }
    return true;
  }

  /**
   * A message that may not wait (a TTL of 0) goes to a consumer with credit, as if it were published outside of a
   * transaction.
   */
  private deliveredAtOnce(entry: QueueEntry): boolean {
    const consumer = this.expiry.hasExpired(entry) && this.window.length === 0 ? this.consumers.next() : null;
    if (consumer === null) return false;
    if (consumer.noAck) this.handOver(consumer, entry);
    else this.handOut(consumer, entry);
    return true;
  }

  private endHold(entry: QueueEntry): void {
    this.outstanding.remove(entry);
    this.window.endHold(entry);
    this.heldCount--;
    this.heldBodyBytes -= entry.message.bodyLength;
  }

  private rest(): boolean {
    this.scheduled = false;
    return false;
  }

  /** A new entry for a message that arrives. */
  private entryFor(message: Message): QueueEntry {
    // RabbitMQ's quorum queues store every message.
    const kept = this.quorum && !message.persistent ? message.copy({ persistent: true }) : message;
    const window = this.window.of(this.maxPriority === 0 ? 0 : Math.min(message.priority, this.maxPriority));
    return new QueueEntry(this, window.nextSeq++, kept, this.expiry.expiryOf(kept), false, window.lane);
  }

  /** Drops a slice of expired entries from the head of each lane. True if there may be more. */
  private dropExpired(): boolean {
    const { now } = this.dependencies.turn;
    for (let done = 0; done < SLICE; done++) {
      const entry = this.window.takeExpired(now);
      if (entry === null) return false;
      this.expire(entry);
    }
    return true;
  }

  /** Drops the oldest entries until the limits hold, or until the next one must be read back from disk. */
  private dropExcess(limits: QueueLimits): void {
    const { window } = this;
    while (dropsHead(limits, window.length, window.bodyBytes)) {
      if (window.peek() === null) return;
      this.dependencies.meters.overflowed++;
      this.die(window.take(), 'maxlen');
      if (this.expiry.aging) this.expiry.watch();
    }
  }

  /**
   * The queue is full: refuses the publisher's confirm; with `reject-publish-dlx` the message becomes a dead letter.
   */
  private refuse(message: Message, limits: QueueLimits, ring: ConfirmRing | null, slot: number): void {
    this.dependencies.meters.overflowed++;
    if (limits.overflow === 'reject-publish-dlx' && this.deadLetters !== null) {
      const entry = new QueueEntry(this, 0, message, NEVER_EXPIRES, false);
      this.dependencies.turn.retain(message);
      this.dependencies.memory.held += heldBytes(entry);
      this.die(entry, 'maxlen');
    }
    ring?.hold(slot);
    ring?.decline(slot);
  }

  /** The entries that are within the delivery limit. The others die. */
  private withinLimit(entries: readonly QueueEntry[]): readonly QueueEntry[] {
    const back = entries.filter((entry) => entry.deliveryCount <= this.deliveryLimit);
    if (back.length < entries.length) {
      this.dependencies.meters.overDeliveryLimit += entries.length - back.length;
      for (const entry of entries) if (entry.deliveryCount > this.deliveryLimit) this.die(entry, 'delivery_limit');
    }
    return back;
  }

  private expire(entry: QueueEntry): void {
    this.dependencies.meters.expired++;
    this.die(entry, 'expired');
  }

  /** The entry is dead: drops it, or reports it for dead-lettering. */
  private die(entry: QueueEntry, death: Death): void {
    if (this.deadLetters === null) {
      if (entry.outstanding) this.outstanding.remove(entry);
      this.drop(entry);
      return;
    }
    if (!entry.outstanding) this.outstanding.add(entry);
    this.events.died(entry, death);
  }

  private notifyWaiters(waiting: DrainWaiters): void {
    waiting.tell(this.window.length);
    if (waiting.size === 0) this.waiting = null;
  }

  /** Delivers to a consumer that acknowledges. */
  private handOut(consumer: Consumer, entry: QueueEntry): void {
    this.count(entry.message);
    entry.consumer = consumer;
    consumer.unacked++;
    this.delivering(entry);
    this.outstanding.add(entry);
    if (entry.redelivered) this.dependencies.meters.redelivered++;
    consumer.deliver(this.quorum ? this.messageFor(entry) : entry.message, entry, entry.redelivered);
    this.window.unload(entry);
  }

  /** Delivers to a consumer that does not acknowledge, and drops the entry. */
  private handOver(consumer: Consumer, entry: QueueEntry): void {
    this.count(entry.message);
    this.delivering(entry);
    if (entry.redelivered) this.dependencies.meters.redelivered++;
    consumer.deliver(this.quorum ? this.messageFor(entry) : entry.message, null, entry.redelivered);
    this.drop(entry);
  }

  private count(message: Message): void {
    this.dependencies.meters.delivered++;
    this.dependencies.meters.deliveredBytes += message.bodyLength;
  }

  private delivering(entry: QueueEntry): void {
    entry.deliveryCount++;
    const window = this.window.of(entry.lane);
    if (entry.seq >= window.deliveredTo) window.deliveredTo = entry.seq + 1;
  }

  private drop(entry: QueueEntry): void {
    this.window.release(entry);
    this.returns?.settled(entry.seq);
    if (entry.storeState !== STORE_STATE.none && entry.storeState !== STORE_STATE.deleted) {
      this.dependencies.store.remove(entry);
    }
  }

  private creditBack(entry: QueueEntry): void {
    const { consumer } = entry;
    if (consumer === null) return;
    entry.consumer = null;
    invariant(--consumer.unacked >= 0, 'a consumer holds what it settles');
    // One that waits for shared credit is resumed when it is called.
    if (!consumer.listed && consumer.place === null) consumer.resume();
  }
}
