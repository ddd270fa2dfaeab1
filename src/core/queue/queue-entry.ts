// What one queue knows of one message. Queues share the message and have an entry each: two queues with different TTLs
// give one message two expiries.

import type { Message } from '../message/message.ts';
import type { ConfirmRing } from '../turn/confirms.ts';
import type { Consumer } from './consumer.ts';
import { ENTRY_OVERHEAD_BYTES } from './memory-budget.ts';
import type { Queue } from './queue.ts';
import type { SubscriptionOptions } from './subscription-options.ts';

/** The state of an entry in the store. It only moves forwards. */
export const STORE_STATE = {
  /** Never handed to the store: transient and in memory only. */
  none: 0,
  /** In the store's pending list; an ack now means that it is never written. */
  pending: 1,
  /** In the batch that is being committed. */
  committing: 2,
  committed: 3,
  deleted: 4,
} as const;

export type StoreState = (typeof STORE_STATE)[keyof typeof STORE_STATE];

/** Entries without a TTL. */
export const NEVER_EXPIRES = Number.POSITIVE_INFINITY;

export class QueueEntry {
  readonly queue: Queue;
  /** Its lane: the priority if the queue has priorities, else 0. */
  readonly lane: number;
  /** Position in its lane, from 1, never reused; survives restarts. Delivery order within a lane is seq order. */
  readonly seq: number;
  /** Replaced by its shell while the bytes are only on disk. */
  message: Message;
  /** Whether the bytes are only on disk: they are read back before the next delivery. */
  unloaded: boolean;
  /** Milliseconds since the epoch, or NEVER_EXPIRES. */
  expiresAt: number;
  /**
   * The merged options of the bindings that matched; null for an entry that was read back, unless it was a retained
   * message.
   */
  subscriptionOptions: SubscriptionOptions | null;
  /** Deliveries so far in this process. */
  deliveryCount: number;
  /** Whether the next delivery carries the redelivered mark. */
  redelivered: boolean;
  storeState: StoreState;
  /** The publisher's confirm ring and slot while the commit is pending, else null. */
  ring: ConfirmRing | null;
  slot: number;
  /** The consumer that holds it unacked, else null. */
  consumer: Consumer | null;
  /** Whether it is unacknowledged: with a consumer, taken by basic.get, held, or being dead-lettered. */
  outstanding: boolean;
  /** Neighbours in the queue's list of outstanding entries. */
  previousUnacked: QueueEntry | null;
  nextUnacked: QueueEntry | null;

  constructor(queue: Queue, seq: number, message: Message, expiresAt: number, redelivered: boolean, lane = 0) {
    this.queue = queue;
    this.lane = lane;
    this.seq = seq;
    this.message = message;
    this.unloaded = false;
    this.expiresAt = expiresAt;
    this.subscriptionOptions = null;
    this.deliveryCount = 0;
    this.redelivered = redelivered;
    this.storeState = STORE_STATE.none;
    this.ring = null;
    this.slot = 0;
    this.consumer = null;
    this.outstanding = false;
    this.previousUnacked = null;
    this.nextUnacked = null;
  }
}

/** The id of the entry's lane in the store: the lanes of a queue have consecutive ids. */
export function storeIdOf(entry: QueueEntry): number {
  return entry.queue.id + entry.lane;
}

/** Bytes that an entry holds in memory. */
export function heldBytes(entry: QueueEntry): number {
  return entry.unloaded ? ENTRY_OVERHEAD_BYTES : ENTRY_OVERHEAD_BYTES + messageBytes(entry.message);
}

export function messageBytes(message: Message): number {
  return message.bodyLength + message.nativeLength;
}
