// A consumer: one subscription to one queue. It owns its credit (how much it may still be sent) and knows no protocol;
// its sink encodes.

import type { FieldTable } from '../message/field-table.ts';
import type { Message } from '../message/message.ts';
import { type PackedTable, packedBytes, packTable, unpackTable } from '../message/packed-table.ts';
import type { Place } from './credit-line.ts';
import type { Queue } from './queue.ts';
import type { QueueEntry } from './queue-entry.ts';

/** The front-end's part of a consumer: it encodes deliveries into its connection's outbox. */
export interface DeliverySink {
  /**
   * Encodes one delivery. `entry` is null for a consumer without acknowledgement; otherwise the sink remembers it until
   * it settles it through the session. A fault in it ends its connection (`failed`).
   */
  deliver(consumer: Consumer, message: Message, entry: QueueEntry | null, redelivered: boolean): void;
  /**
   * Whether the connection takes more for this consumer now. When that becomes true again the sink calls
   * `consumer.resume()`.
   */
  writable(consumer: Consumer): boolean;
  /** The consumer's queue was deleted. */
  cancelled(consumer: Consumer): void;
  /** `deliver` threw, perhaps in the middle of a frame: ends the connection at once, without sending what was written. */
  failed?(consumer: Consumer): void;
}

/** The session that created the consumer, and forgets it when it ends. */
export interface ConsumerOwner {
  ended(consumer: Consumer): void;
}

export interface ConsumeOptions {
  readonly tag: string;
  readonly noAck: boolean;
  readonly exclusive: boolean;
  /** Unacked entries that may be outstanding at once; 0: no limit. */
  readonly prefetch: number;
  /** Higher first (`x-priority`). */
  readonly priority: number;
  readonly args: FieldTable;
}

export class Consumer {
  readonly queue: Queue;
  readonly sink: DeliverySink;
  readonly tag: string;
  readonly noAck: boolean;
  readonly exclusive: boolean;
  readonly priority: number;
  private readonly packedArgs: PackedTable;
  prefetch: number;
  /** Entries that are outstanding with it. */
  unacked: number;
  /** Whether a delivery failed: its sink may not know all entries that are outstanding with it. */
  faulted: boolean;
  /** Whether the consumer set lists it as having credit, and its neighbours there; the set maintains these. */
  listed: boolean;
  nextListed: Consumer | null;
  previousListed: Consumer | null;
  /** Where it waits for credit that it shares with other consumers (credit-line.ts); null: it does not. */
  place: Place | null;
  /** The round of that line in which it was resumed last. */
  round: number;
  private readonly owner: ConsumerOwner | null;
  private state: 'waiting' | 'started' | 'ended';

  constructor(queue: Queue, sink: DeliverySink, options: ConsumeOptions, owner: ConsumerOwner | null = null) {
    this.queue = queue;
    this.sink = sink;
    this.tag = options.tag;
    this.noAck = options.noAck;
    this.exclusive = options.exclusive;
    this.priority = options.priority;
    this.packedArgs = packTable(options.args);
    this.prefetch = options.prefetch;
    this.unacked = 0;
    this.faulted = false;
    this.listed = false;
    this.nextListed = null;
    this.previousListed = null;
    this.place = null;
    this.round = 0;
    this.owner = owner;
    this.state = 'waiting';
  }

  /** Deliveries may begin: the client knows that it is subscribed. */
  start(): void {
    if (this.state === 'waiting') this.state = 'started';
    this.resume();
  }

  /** It may have credit again: the sink became writable, or the prefetch grew. */
  resume(): void {
    if (this.state === 'started') this.queue.consumerReady(this);
  }

  /** Hands one delivery to the sink. A fault in it is the end of its connection, and of nobody else's. */
  deliver(message: Message, entry: QueueEntry | null, redelivered: boolean): void {
    try {
      this.sink.deliver(this, message, entry, redelivered);
    } catch (error) {
      this.faulted = true;
      this.queue.deliveryFailed(this, error);
      this.sink.failed?.(this);
    }
  }

  /** Stops deliveries. Outstanding entries stay so until they are settled. */
  end(): void {
    if (this.state === 'ended') return;
    this.state = 'ended';
    this.owner?.ended(this);
  }

  get args(): FieldTable {
    return unpackTable(this.packedArgs);
  }

  /** Memory that its arguments take. */
  get argumentBytes(): number {
    return packedBytes(this.packedArgs);
  }

  get ended(): boolean {
    return this.state === 'ended';
  }

  /** Whether it may be sent one more entry now. */
  hasCredit(): boolean {
    return (this.prefetch === 0 || this.noAck || this.unacked < this.prefetch) && this.sink.writable(this);
  }
}
