// The confirm ring: it decides which of a publisher's messages may be confirmed, in order.
//
// Each publishing channel or session has one. A message opens a slot; every durable target adds a hold to it; commits
// (or refusals) settle the holds. Slots leave from the head only, so confirms keep the publisher's order and AMQP's
// `multiple` covers exactly a settled prefix. An idle publisher allocates nothing.

import { invariant } from '../invariant.ts';

/**
 * Gets the settled slots: a channel that writes basic.ack, a session that writes PUBACK, a connection that writes
 * RECEIPT.
 */
export interface ConfirmSink {
  /**
   * Slots `from` to `to` (inclusive, consecutive) left the ring with the same outcome. `ok` false means that at least
   * one target refused the message or that its commit failed. Tags are read with `ring.tagAt(slot)` during the call.
   */
  confirmed(ring: ConfirmRing, from: number, to: number, ok: boolean): void;
  /** `confirmed` threw: its connection ends. The ring reports nothing any more. */
  confirmFailed?(): void;
}

/** Learns that a ring has settled slots; the turn drains it before outboxes flush. */
export interface RingScheduler {
  drainLater(ring: ConfirmRing): void;
}

const FIRST_CAPACITY = 64;
/** Why a slot is refused: a full queue did not accept the message, or it could not be stored. Bits. */
const CAUSE = { declined: 1, failed: 2 } as const;
const NO_NUMBERS = new Int32Array(0);

export class ConfirmRing {
  private readonly sink: ConfirmSink;
  private readonly scheduler: RingScheduler;
  /** Outstanding holds by slot. */
  private outstanding: Int32Array;
  /** By slot, bits of CAUSE. */
  private refused: Uint8Array;
  private tags: unknown[] | null;
  private mask: number;
  /** Slots are numbered from 0 for the life of the ring; [head, tail) are inside. */
  private head: number;
  private tail: number;
  /** Whether the scheduler has this ring on its list; `drain` clears it. */
  private scheduled: boolean;
  private closed: boolean;

  constructor(sink: ConfirmSink, scheduler: RingScheduler) {
    this.sink = sink;
    this.scheduler = scheduler;
    this.outstanding = NO_NUMBERS;
    this.refused = new Uint8Array(0);
    this.tags = null;
    this.mask = 0;
    this.head = 0;
    this.tail = 0;
    this.scheduled = false;
    this.closed = false;
  }

  /** Number of messages that wait for their confirm. */
  get size(): number {
    return this.tail - this.head;
  }

  /**
   * Opens the next slot with one hold, which the caller releases with `settle` when every target was offered the
   * message. `tag` (a packet id, a receipt, nothing for AMQP) is returned by `tagAt`.
   */
  open(tag?: unknown): number {
    if (this.tail - this.head === this.outstanding.length) this.grow();
    const slot = this.tail++;
    const at = slot & this.mask;
    this.outstanding[at] = 1;
    this.refused[at] = 0;
    if (tag !== undefined) {
      this.tags ??= new Array(this.outstanding.length).fill(undefined);
      this.tags[at] = tag;
    }
    return slot;
  }

  /** Adds a hold: one more target must answer before the slot settles. */
  hold(slot: number): void {
    invariant(this.outstanding[slot & this.mask]!++ > 0, 'a confirm slot that is settled is not held');
  }

  /** Releases a hold: one target answered. */
  settle(slot: number): void {
    const left = --this.outstanding[slot & this.mask]!;
    if (left > 0) return;
    invariant(left === 0 && slot >= this.head && slot < this.tail, 'a confirm slot settles once');
    if (slot === this.head) this.schedule();
  }

  /** Releases a hold: one target failed to commit the message, or its publisher withdrew it. */
  refuse(slot: number): void {
    this.refused[slot & this.mask]! |= CAUSE.failed;
    this.settle(slot);
  }

  /** Releases a hold: one target is full and did not accept the message. */
  decline(slot: number): void {
    this.refused[slot & this.mask]! |= CAUSE.declined;
    this.settle(slot);
  }

  /** Whether a refused slot was refused only by full queues. Valid during `confirmed`, like tags. */
  onlyDeclined(slot: number): boolean {
    return this.refused[slot & this.mask] === CAUSE.declined;
  }

  tagAt(slot: number): unknown {
    return this.tags === null ? undefined : this.tags[slot & this.mask];
  }

  /** Replaces the tag of a slot. */
  retag(slot: number, tag: unknown): void {
    this.tags![slot & this.mask] = tag;
  }

  /** Passes every settled slot at the head to the sink, in runs of one outcome. Called by the turn. */
  drain(): void {
    this.scheduled = false;
    while (this.head < this.tail && this.outstanding[this.head & this.mask] === 0) {
      const from = this.head;
      const refused = this.refused[from & this.mask];
      let to = from;
      while (
        to + 1 < this.tail &&
        this.outstanding[(to + 1) & this.mask] === 0 &&
        this.refused[(to + 1) & this.mask] === refused
      ) {
        to++;
      }
      if (!this.closed) this.sink.confirmed(this, from, to, refused === 0);
      if (this.tags !== null) for (let slot = from; slot <= to; slot++) this.tags[slot & this.mask] = undefined;
      this.head = to + 1;
    }
  }

  /** The publisher closed: later settlements are counted but not reported. */
  close(): void {
    this.closed = true;
  }

  /** The sink threw in `drain`: it gets no further confirms, and what was settled leaves the ring. */
  failed(): void {
    this.closed = true;
    this.sink.confirmFailed?.();
    this.drain();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.scheduler.drainLater(this);
  }

  private grow(): void {
    const capacity = Math.max(FIRST_CAPACITY, this.outstanding.length * 2);
    const outstanding = new Int32Array(capacity);
    const refused = new Uint8Array(capacity);
    const tags: unknown[] | null = this.tags === null ? null : new Array(capacity).fill(undefined);
    for (let slot = this.head; slot < this.tail; slot++) {
      outstanding[slot & (capacity - 1)] = this.outstanding[slot & this.mask]!;
      refused[slot & (capacity - 1)] = this.refused[slot & this.mask]!;
      if (tags !== null) tags[slot & (capacity - 1)] = this.tags![slot & this.mask];
    }
    this.outstanding = outstanding;
    this.refused = refused;
    this.tags = tags;
    this.mask = capacity - 1;
  }
}
