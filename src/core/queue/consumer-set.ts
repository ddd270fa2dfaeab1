// The consumers of one queue, and which of them gets the next message. Consumers that may have credit are listed in a
// group for each priority; the group of the highest priority is served round robin. A consumer without credit leaves
// its group until it reports that it is ready again, so that a delivery never searches through blocked consumers.
//
// A client may add 100,000 consumers to one queue, each with a priority of its own. So a group is a circular list that
// is linked through its consumers, and the groups are a heap: listing, serving and removing a consumer cost at most the
// logarithm of the number of priorities.
//
// With a single active consumer (RabbitMQ's x-single-active-consumer) only one is ever listed: the first that
// subscribed. When it ends the next one, by priority and then by age, takes over. A consumer that subscribes later
// waits, whatever its priority.

import { type HeapItem, IndexedHeap } from '../message/indexed-heap.ts';
import type { Consumer } from './consumer.ts';

/** The listed consumers of one priority. */
class PriorityGroup implements HeapItem {
  readonly priority: number;
  heapIndex: number;
  /** The consumer that is served next; null if none is listed. */
  next: Consumer | null;

  constructor(priority: number) {
    this.priority = priority;
    this.heapIndex = -1;
    this.next = null;
  }
}

/** A consumer that waits until it becomes the single active one. */
interface Waiting extends HeapItem {
  readonly consumer: Consumer;
  /** Grows with each consumer that subscribes. */
  readonly order: number;
}

/** The groups that have listed consumers, without the first one. */
class LowerGroups {
  private readonly byPriority: Map<number, PriorityGroup>;
  private readonly heap: IndexedHeap<PriorityGroup>;

  constructor() {
    this.byPriority = new Map();
    this.heap = new IndexedHeap<PriorityGroup>((a, b) => a.priority > b.priority);
  }

  get(priority: number): PriorityGroup | undefined {
    return this.byPriority.get(priority);
  }

  add(group: PriorityGroup): void {
    this.byPriority.set(group.priority, group);
    this.heap.add(group);
  }

  remove(group: PriorityGroup): void {
    this.byPriority.delete(group.priority);
    this.heap.remove(group);
  }

  /** Removes and returns the group of the highest priority; null if there is none. */
  take(): PriorityGroup | null {
    const { first } = this.heap;
    if (first !== null) this.remove(first);
    return first;
  }
}

/** The consumers of a queue with a single active consumer that wait until they become that one. */
class Succession {
  private readonly waiting: Map<Consumer, Waiting>;
  private readonly heap: IndexedHeap<Waiting>;
  private subscribed: number;

  constructor() {
    this.waiting = new Map();
    this.heap = new IndexedHeap<Waiting>(succeedsBefore);
    this.subscribed = 0;
  }

  add(consumer: Consumer): void {
    const waiting = { consumer, order: this.subscribed++, heapIndex: -1 };
    this.waiting.set(consumer, waiting);
    this.heap.add(waiting);
  }

  remove(consumer: Consumer): void {
    const waiting = this.waiting.get(consumer);
    if (waiting === undefined) return;
    this.waiting.delete(consumer);
    this.heap.remove(waiting);
  }

  /** Removes and returns the next active consumer; null if none waits. */
  take(): Consumer | null {
    const consumer = this.heap.first?.consumer ?? null;
    if (consumer !== null) this.remove(consumer);
    return consumer;
  }
}

export class ConsumerSet {
  private readonly members: Set<Consumer>;
  /**
   * The listed consumers of the highest priority. Only this group may be empty: with a prefetch of 1 the only consumer
   * of a queue leaves it and comes back with each message.
   */
  private top: PriorityGroup;
  /** Made with the second priority. */
  private lower: LowerGroups | null;
  /** The single active consumer; null if the queue has none. */
  private active: Consumer | null;
  /** Null if the queue has no single active consumer. */
  private readonly succession: Succession | null;

  constructor(single = false) {
    this.members = new Set();
    this.top = new PriorityGroup(0);
    this.lower = null;
    this.active = null;
    this.succession = single ? new Succession() : null;
  }

  get size(): number {
    return this.members.size;
  }

  [Symbol.iterator](): IterableIterator<Consumer> {
    return this.members.values();
  }

  /** Whether the only consumer is exclusive. */
  get exclusive(): boolean {
    for (const consumer of this.members) return consumer.exclusive;
    return false;
  }

  /** Whether the queue has a single active consumer. */
  get singleActive(): boolean {
    return this.succession !== null;
  }

  add(consumer: Consumer): void {
    this.members.add(consumer);
    if (this.succession === null) return;
    if (this.active === null) this.active = consumer;
    else this.succession.add(consumer);
  }

  /** Removes a consumer. Returns the consumer that becomes active because of it, or null. */
  remove(consumer: Consumer): Consumer | null {
    this.members.delete(consumer);
    if (consumer.listed) this.unlist(consumer, this.groupOf(consumer));
    if (this.succession === null) return null;
    if (this.active !== consumer) {
      this.succession.remove(consumer);
      return null;
    }
    this.active = this.succession.take();
    return this.active;
  }

  /** The consumer may have credit. It is served after those of its priority that are listed. */
  list(consumer: Consumer): void {
    if (consumer.listed || !this.members.has(consumer) || (this.succession !== null && consumer !== this.active))
      return;
    const group = this.groupOf(consumer);
    consumer.listed = true;
    const { next } = group;
    if (next === null) {
      group.next = consumer;
      consumer.nextListed = consumer;
      consumer.previousListed = consumer;
      return;
    }
    const last = next.previousListed!;
    last.nextListed = consumer;
    consumer.previousListed = last;
    consumer.nextListed = next;
    next.previousListed = consumer;
  }

  /** The consumer that gets the next entry, or null if none has credit. Hot path. */
  next(): Consumer | null {
    const { top } = this;
    const consumer = top.next;
    if (consumer === null || !consumer.hasCredit()) return this.search(consumer);
    top.next = consumer.nextListed;
    return consumer;
  }

  /** Unlists a consumer that has no credit (null: none is listed) and others until one has. */
  private search(blocked: Consumer | null): Consumer | null {
    if (blocked !== null) this.unlist(blocked, this.top);
    for (;;) {
      const { top } = this;
      const consumer = top.next;
      if (consumer === null) {
        const lower = this.lower === null ? null : this.lower.take();
        if (lower === null) return null;
        this.top = lower;
      } else if (consumer.hasCredit()) {
        top.next = consumer.nextListed;
        return consumer;
      } else {
        this.unlist(consumer, top);
      }
    }
  }

  /** The consumer gets nothing until it is listed again. */
  pass(consumer: Consumer): void {
    if (consumer.listed) this.unlist(consumer, this.groupOf(consumer));
  }

  private unlist(consumer: Consumer, group: PriorityGroup): void {
    const { nextListed: next, previousListed: previous } = consumer;
    consumer.listed = false;
    consumer.nextListed = null;
    consumer.previousListed = null;
    if (next === consumer) {
      group.next = null;
      if (group !== this.top) this.lower!.remove(group);
      return;
    }
    previous!.nextListed = next;
    next!.previousListed = previous;
    if (group.next === consumer) group.next = next;
  }

  /** The group of a consumer; made if no other consumer of its priority is listed. */
  private groupOf({ priority }: Consumer): PriorityGroup {
    if (priority === this.top.priority) return this.top;
    return this.lower?.get(priority) ?? this.open(priority);
  }

  private open(priority: number): PriorityGroup {
    const group = new PriorityGroup(priority);
    const lower = (this.lower ??= new LowerGroups());
    if (priority > this.top.priority) {
      if (this.top.next !== null) lower.add(this.top);
      this.top = group;
    } else {
      lower.add(group);
      if (this.top.next === null) this.top = lower.take()!;
    }
    return group;
  }
}

function succeedsBefore(a: Waiting, b: Waiting): boolean {
  const [first, second] = [a.consumer.priority, b.consumer.priority];
  return first > second || (first === second && a.order < b.order);
}
