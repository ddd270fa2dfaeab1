// The consumers of one channel or connection that wait for credit which they share: the channel's limit, or room in the
// outbox. Whoever has credit first would take all of it, so consumers that were refused stand in a line, by their queues:
// the queue that has waited longest is called first, and its consumers by priority and then by age. A called queue may
// take an allowance of the credit, the others their share; then it stands behind them.
//
// A round is a call of as many queues as there is credit. Queues deliver on the work list, and the owner runs there
// too, behind them: so when the next round begins each called queue had its chance, and what it did not take is free. How
// much fits into an outbox is not known before; a called queue that found nothing left keeps its place.
// While no consumer waits the line costs its owner one comparison for each delivery.

import { type HeapItem, IndexedHeap } from '../message/indexed-heap.ts';
import type { Consumer } from './consumer.ts';
import type { Queue } from './queue.ts';

/** Queues that one round calls, and deliveries that one queue may make in it. */
export const ROUND_QUEUES = 64;
export const LARGEST_ALLOWANCE = 256;

/** A consumer that waits. */
export interface Place extends HeapItem {
  readonly consumer: Consumer;
  readonly line: CreditLine;
  readonly waiting: WaitingQueue;
  /** Grows with each consumer that begins to wait. */
  readonly order: number;
}

/** A queue with consumers that wait, or that may deliver in this round. */
class WaitingQueue {
  readonly queue: Queue;
  readonly places: IndexedHeap<Place>;
  /** Deliveries that it may make in this round; 0: it was not called, or has made them. */
  allowance: number;
  /** The round in which it was called last, and whether it has delivered since. */
  round: number;
  served: boolean;
  /** Its neighbours in the line. */
  inLine: boolean;
  previous: WaitingQueue | null;
  next: WaitingQueue | null;

  constructor(queue: Queue) {
    this.queue = queue;
    this.places = new IndexedHeap(standsBefore);
    this.allowance = 0;
    this.round = 0;
    this.served = false;
    this.inLine = false;
    this.previous = null;
    this.next = null;
  }
}

export class CreditLine {
  /** Whether a consumer needs `admits`: some wait, or were called in this round. */
  contended: boolean;
  private readonly byQueue: Map<Queue, WaitingQueue>;
  /** The queues of which a consumer waits; the first is called next. */
  private first: WaitingQueue | null;
  private last: WaitingQueue | null;
  private length: number;
  /** The last of those at the front that were called in this round and found no credit left. */
  private lastReturned: WaitingQueue | null;
  private called: WaitingQueue[];
  private joined: number;
  private round: number;

  constructor() {
    this.contended = false;
    this.byQueue = new Map();
    this.first = null;
    this.last = null;
    this.length = 0;
    this.lastReturned = null;
    this.called = [];
    this.joined = 0;
    this.round = 0;
  }

  /**
   * Whether a consumer may take a delivery now, where there is credit; takes it off its queue's allowance. One that was
   * not resumed in this round has to wait, or it would pass those that were.
   */
  admits({ queue, round }: Consumer): boolean {
    if (round !== this.round) return false;
    const waiting = this.byQueue.get(queue);
    if (waiting === undefined || waiting.allowance === 0) return false;
    waiting.allowance--;
    waiting.served = true;
    return true;
  }

  /** A consumer was refused: it waits to be resumed. */
  join(consumer: Consumer): void {
    if (consumer.place !== null) return;
    this.contended = true;
    let waiting = this.byQueue.get(consumer.queue);
    if (waiting === undefined) {
      waiting = new WaitingQueue(consumer.queue);
      this.byQueue.set(consumer.queue, waiting);
    }
    const place = { consumer, line: this, waiting, order: this.joined++, heapIndex: -1 };
    consumer.place = place;
    waiting.places.add(place);
    if (waiting.inLine) return;
    const keepsItsPlace = waiting.round === this.round && !waiting.served;
    this.insert(waiting, keepsItsPlace ? this.lastReturned : this.last);
    if (keepsItsPlace) this.lastReturned = waiting;
  }

  /** The consumer of a place ended. */
  leave(place: Place): void {
    const { consumer, waiting } = place;
    consumer.place = null;
    waiting.places.remove(place);
    if (waiting.places.size > 0) return;
    if (waiting.inLine) this.remove(waiting);
    if (!this.called.includes(waiting)) this.byQueue.delete(waiting.queue);
  }

  /**
   * Begins a round with so much credit: resumes consumers, those of each called queue up to its allowance. True: call
   * again behind the queues on the work list.
   */
  callNext(credit: number): boolean {
    this.endRound();
    if (this.first === null) {
      this.contended = false;
      return false;
    }
    if (credit <= 0) return false;
    this.round++;
    const allowance = Math.min(LARGEST_ALLOWANCE, Math.max(1, Math.floor(credit / this.length)));
    for (let left = Math.min(credit, ROUND_QUEUES, this.length); left > 0; left--) {
      const waiting: WaitingQueue = this.first!;
      this.remove(waiting);
      waiting.allowance = allowance;
      waiting.round = this.round;
      waiting.served = false;
      this.called.push(waiting);
      this.resume(waiting, allowance);
      // Its other consumers: behind all others.
      if (waiting.places.size > 0) this.insert(waiting, this.last);
    }
    return true;
  }

  private resume({ places }: WaitingQueue, count: number): void {
    for (let i = 0; i < count; i++) {
      const place = places.first;
      if (place === null) return;
      places.remove(place);
      const { consumer } = place;
      consumer.place = null;
      consumer.round = this.round;
      consumer.resume();
    }
  }

  private endRound(): void {
    for (const waiting of this.called) {
      waiting.allowance = 0;
      if (waiting.places.size === 0) this.byQueue.delete(waiting.queue);
    }
    this.called = [];
    this.lastReturned = null;
  }

  /** Inserts a queue behind another one of the line; null: at its front. */
  private insert(waiting: WaitingQueue, behind: WaitingQueue | null): void {
    const next = behind === null ? this.first : behind.next;
    waiting.inLine = true;
    waiting.previous = behind;
    waiting.next = next;
    if (behind === null) this.first = waiting;
    else behind.next = waiting;
    if (next === null) this.last = waiting;
    else next.previous = waiting;
    this.length++;
  }

  private remove(waiting: WaitingQueue): void {
    const { previous, next } = waiting;
    if (previous === null) this.first = next;
    else previous.next = next;
    if (next === null) this.last = previous;
    else next.previous = previous;
    if (this.lastReturned === waiting) this.lastReturned = previous;
    waiting.inLine = false;
    waiting.previous = null;
    waiting.next = null;
    this.length--;
  }
}

/** A consumer ended: it waits in no line. */
export function leaveLine({ place }: Consumer): void {
  if (place !== null) place.line.leave(place);
}

function standsBefore(a: Place, b: Place): boolean {
  const [first, second] = [a.consumer.priority, b.consumer.priority];
  return first > second || (first === second && a.order < b.order);
}
