// A queue: takes messages in, hands them to consumers, keeps count of what is out unacknowledged, takes back what is
// returned. It knows no protocol and no disk: consumers encode, the store writes. What is ready and where it lies is the
// business of its window (queue-window.ts, with priorities priority-lanes.ts), whose turn it is the consumer set's
// (consumer-set.ts), when something expires that of expiry.ts, what becomes of dead messages that of dead-lettering.ts.
//
// Invariant: every entry is in exactly one place: ready (window), out (outstanding-entries.ts), or gone.

import { invariant } from '../invariant.ts';
import type { FieldTable } from '../message/field-table.ts';
import type { Message } from '../message/message.ts';
import type { PropertyRewriter } from '../message/property-rewriter.ts';
import type { DefinitionStore } from '../ports/definitions.ts';
import type { ConfirmRing } from '../turn/confirms.ts';
import type { Task } from '../turn/turn.ts';
import type { Consumer } from './consumer.ts';
import { ConsumerSet } from './consumer-set.ts';
import type { Death } from './death-reason.ts';
import { DeliveryMark } from './delivery-mark.ts';
import { type DrainWaiter, DrainWaiters } from './drain-waiters.ts';
import { type ExpiringQueue, QueueExpiry } from './expiry.ts';
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
  /** The session that alone may use it and with which it ends; null: anybody's. */
  readonly owner: QueueOwner | null;
}

/** The one whose alone an exclusive queue is. */
export interface QueueOwner {
  /** The queue is gone, whoever ended it. */
  disowned(queue: Queue): void;
}

/** What a queue needs from its surroundings; shared by all queues of a broker. */
export interface QueueDependencies extends WindowDependencies {
  readonly rewriter: PropertyRewriter;
  readonly definitions: DefinitionStore;
}

/** What a queue tells its virtual host. */
export interface QueueEvents {
  readonly name: string;
  /** It is to be deleted: the last consumer of an auto-delete queue is gone, or it was not used for long (x-expires). */
  unused(queue: Queue): void;
  /** An entry is to be taken to the dead letter exchange; then `queue.deadLettered` is called. */
  died(entry: QueueEntry, death: Death): void;
  /** From now on there may be messages on disk that expire. */
  expiring(queue: Queue): void;
  /** A record on disk could not be read. */
  damaged(queue: Queue, error: Error): void;
}

/** Takes messages that are delivered at QoS 0 past the queue: to a connected client directly, or nowhere. */
export interface DirectReceiver {
  receive(message: Message, target: Target): void;
}

/** Ready messages at which consumers count as behind. */
const CONSUMERS_BEHIND_ENTRIES = 4096;

/** Deliveries, or deaths, in one slice of the work list. */
const SLICE = 256;

export class Queue implements Task, ExpiringQueue {
  readonly id: number;
  readonly name: string;
  readonly durable: boolean;
  readonly autoDelete: boolean;
  readonly args: FieldTable;
  readonly owner: QueueOwner | null;
  /** Whether it survives a restart, and its persistent messages with it. Exclusive queues never do. */
  readonly persisted: boolean;
  /** The route that ends here and nowhere else. */
  readonly selfRoute: readonly Target[];
  readonly consumers: ConsumerSet;
  readonly limits: QueueLimits | null;
  readonly deadLetters: DeadLetterAddress | null;
  /** Null where nothing is limited, or nothing survives. A queue that counts has no priorities: an entry is its number. */
  readonly returns: ReturnCounts | null;
  /** Null where nothing survives. */
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
  /** Who waits for deliveries; null: nobody. */
  private waiting: DrainWaiters | null;

  constructor(options: QueueOptions, dependencies: QueueDependencies, events: QueueEvents) {
    const args = readQueueArguments(options.args, options.name, events.name);
    this.id = options.id;
    this.name = options.name;
    this.durable = options.durable;
    this.autoDelete = options.autoDelete;
    this.args = options.args;
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
    this.waiting = null;
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

  /** The number behind the last entry that came in (of priority 0). */
  get nextSeq(): number {
    return this.window.of(0).nextSeq;
  }

  /** The number behind the last entry that was ever out with somebody (of priority 0). */
  get deliveredTo(): number {
    return this.window.of(0).deliveredTo;
  }

  /** Whether it takes one more ready message in and drops none for it. */
  hasRoomFor(message: Message): boolean {
    const { limits, window } = this;
    return limits === null || hasRoom(limits, window.length, window.bodyBytes, message.bodyLength);
  }

  /** Takes up what the store recovered, where some of it may expire. Called before anything else. */
  recover(aging: boolean): void {
    this.window.recover();
    if (aging) this.expiry.recovered();
    if (this.expiry.aging) this.wake();
  }

  /** Somebody declared it or took from it: the time until it expires for want of use starts again. */
  touch(): void {
    this.expiry.touch();
  }

  /**
   * Takes a message in: to a consumer with credit, else to the end of the queue. A durable target of a publish with
   * confirms adds its hold to the slot. Hot path: only what every message goes through is here, because V8 inlines no
   * function of more than 460 bytecodes. Beyond that a fan-out takes 1.3 × as long (bench/core.ts, 1 to 10 queues).
   */
  accept(message: Message, target: Target, ring: ConfirmRing | null, slot: number): void {
    if (this.direct !== null && (target.qos === 0 || !message.persistent)) {
      this.direct.receive(message, target);
      return;
    }
    const consumer = this.window.length === 0 ? this.consumers.next() : null;
    if (consumer?.noAck) {
      this.count(message);
      consumer.sink.deliver(consumer, message, null, false);
      return;
    }
    if (consumer === null && this.limits !== null && this.refuses(0, 0)) this.refuse(message, this.limits, ring, slot);
    else this.takeIn(message, target, consumer, ring, slot);
  }

  /**
   * Takes a message in without letting anybody have it: a publish of a transaction that is being committed. Its durable
   * entry adds a hold to the slot. Null: it passes the queue by, and is to be accepted when the transaction is done.
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
    return entry;
  }

  /** What was held, in order, takes its place among the ready entries. */
  releaseHeld(entries: readonly QueueEntry[]): void {
    if (this.deleted) return;
    for (let i = 0; i < entries.length; i++) this.endHold(entries[i]!);
    const rest = this.expiry.aging ? entries.filter((entry) => !this.deliveredAtOnce(entry)) : entries;
    if (rest.length > 0) this.window.insert(rest);
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
      this.endHold(entries[i]!);
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
    this.dependencies.turn.work(this);
  }

  /** One slice of deliveries: the queue as a task of the work list. */
  run(): boolean {
    // Where the head had to be read back first it was not dropped at once.
    if (this.limits !== null) this.dropExcess(this.limits);
    const { expiry } = this;
    const more = (expiry.aging && this.dropExpired()) || this.deliverSlice();
    if (this.waiting !== null) this.tellWaiting(this.waiting);
    if (expiry.aging && !more) expiry.watch();
    return more;
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

  /** Whether its consumers are behind: a publisher that goes on at full speed would only lengthen the queue. */
  get consumersBehind(): boolean {
    return this.consumers.size > 0 && this.window.length > CONSUMERS_BEHIND_ENTRIES;
  }

  /**
   * Calls `waiter.drained()` once deliveries have brought the ready messages below `level`. It may never happen: whoever
   * waits has a time limit too, and says so with `cancelWait`.
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
    if (this.consumers.size > 0 || this.deleted) return;
    if (this.autoDelete) this.events.unused(this);
    else this.touch();
  }

  /**
   * Takes the next entry out without a consumer (basic.get). Null where the queue is empty or its head is being read
   * back; `whenReadBack` tells which.
   */
  takeNext(noAck: boolean): QueueEntry | null {
    this.mark?.set();
    // As in `run`: what is to be dropped is not handed out because it had to be read back first.
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
   * Resolves when the head has been read back from disk, or some of the messages that have expired are out of its way;
   * null where neither is under way.
   */
  whenReadBack(): Promise<void> | null {
    const first = this.window.peek();
    if (first === null || !this.expiry.hasExpired(first)) return this.window.whenReadBack();
    return new Promise((resolve) => setImmediate(resolve));
  }

  /** The message as the receiver of this delivery gets it: in a quorum queue a redelivered one says how often it came. */
  shown(entry: QueueEntry): Message {
    if (!this.quorum || entry.deliveryCount < 2) return entry.message;
    return withDeliveryCount(entry.message, entry.deliveryCount - 1, this.dependencies.rewriter);
  }

  /** The entry is done with. */
  acknowledge(entry: QueueEntry): void {
    if (this.deleted) return;
    this.outstanding.remove(entry);
    this.dependencies.meters.acknowledged++;
    this.drop(entry);
    this.creditBack(entry);
  }

  /** The client does not want the entry, and nobody else is to get it here. */
  reject(entry: QueueEntry): void {
    if (this.deleted) return;
    this.dependencies.meters.rejected++;
    this.creditBack(entry);
    this.die(entry, 'rejected');
  }

  /** Entries come back to their places, to be delivered again with the redelivered mark. */
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

  /** A dead entry is where it was to go: it leaves. */
  deadLettered(entry: QueueEntry): void {
    if (this.deleted) return;
    this.outstanding.remove(entry);
    this.drop(entry);
  }

  /** The bytes of an entry that is out, read back from disk. */
  readBack(entry: QueueEntry, message: Message): void {
    entry.message = message;
    entry.unloaded = false;
    this.dependencies.memory.held += messageBytes(message);
  }

  /** Drops all ready entries. Returns how many. What is out stays out. */
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

  /** Ends the queue: consumers learn it, entries are forgotten. Bindings were removed by the virtual host. */
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
    // A transient entry was only being paged out, and one that is out with a consumer is its client's now: both go on
    // living in memory.
    if (!entry.message.persistent || !this.persisted || entry.outstanding) {
      entry.storeState = STORE_STATE.none;
      return;
    }
    entry.storeState = STORE_STATE.deleted;
    this.window.withdrawn(entry);
    // It may have been the first one.
    if (this.expiry.aging) this.wake();
  }

  /** An entry that was read back expires: an earlier start may not have known that any does. */
  ages(): void {
    this.expiry.aging = true;
  }

  /** A stored record could not be read. */
  damaged(error: Error): void {
    this.events.damaged(this, error);
  }

  /** An entry for the message: out with the consumer, else at the end of the queue. */
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

  /** What may not wait (a TTL of 0) goes to a consumer that is ready, as when it is published outside of a transaction. */
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
  }

  private rest(): boolean {
    this.scheduled = false;
    return false;
  }

  /** An entry of its own for a message that comes in. */
  private entryFor(message: Message): QueueEntry {
    // RabbitMQ's quorum queues keep whatever they are given.
    const kept = this.quorum && !message.persistent ? message.copy({ persistent: true }) : message;
    const window = this.window.of(this.maxPriority === 0 ? 0 : Math.min(message.priority, this.maxPriority));
    return new QueueEntry(this, window.nextSeq++, kept, this.expiry.expiryOf(kept), false, window.lane);
  }

  /** Drops a slice of what has expired, from the head of each lane. True where there may be more. */
  private dropExpired(): boolean {
    const { now } = this.dependencies.turn;
    for (let done = 0; done < SLICE; done++) {
      const entry = this.window.takeExpired(now);
      if (entry === null) return false;
      this.expire(entry);
    }
    return true;
  }

  /** Drops the oldest as long as there are too many, or the next one has to be read back from disk. */
  private dropExcess(limits: QueueLimits): void {
    const { window } = this;
    while (dropsHead(limits, window.length, window.bodyBytes)) {
      if (window.peek() === null) return;
      this.dependencies.meters.overflowed++;
      this.die(window.take(), 'maxlen');
      if (this.expiry.aging) this.expiry.watch();
    }
  }

  /** The queue is full: the publisher is told, and the message dies where it is to (`reject-publish-dlx`). */
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

  /** Those that did not come back too often. The others die. */
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

  /** An entry that was taken from the ready ones, or is out, is done with here; it may be wanted elsewhere. */
  private die(entry: QueueEntry, death: Death): void {
    if (this.deadLetters === null) {
      if (entry.outstanding) this.outstanding.remove(entry);
      this.drop(entry);
      return;
    }
    if (!entry.outstanding) this.outstanding.add(entry);
    this.events.died(entry, death);
  }

  private tellWaiting(waiting: DrainWaiters): void {
    waiting.tell(this.window.length);
    if (waiting.size === 0) this.waiting = null;
  }

  /** To a consumer that acknowledges. */
  private handOut(consumer: Consumer, entry: QueueEntry): void {
    this.count(entry.message);
    entry.consumer = consumer;
    consumer.unacked++;
    this.delivering(entry);
    this.outstanding.add(entry);
    if (entry.redelivered) this.dependencies.meters.redelivered++;
    consumer.sink.deliver(consumer, this.quorum ? this.shown(entry) : entry.message, entry, entry.redelivered);
    this.window.unload(entry);
  }

  /** To a consumer that does not: the entry is done with. */
  private handOver(consumer: Consumer, entry: QueueEntry): void {
    this.count(entry.message);
    this.delivering(entry);
    if (entry.redelivered) this.dependencies.meters.redelivered++;
    consumer.sink.deliver(consumer, this.quorum ? this.shown(entry) : entry.message, null, entry.redelivered);
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
    if (!consumer.listed) consumer.resume();
  }
}
