// A consumer: one subscription to one queue. It owns its credit (how much it may still be sent) and nothing about
// protocols; the sink encodes.

import type { FieldTable } from './field-table.ts';
import type { Message } from './message.ts';
import type { Queue } from './queue.ts';
import type { QueueEntry } from './queue-entry.ts';

/** A front-end's end of a consumer: it encodes deliveries into its connection's outbox. */
export interface DeliverySink {
  /**
   * Encode one delivery. `entry` is null for a consumer without acknowledgement; otherwise the sink remembers it until
   * it settles it through the session. Never throws.
   */
  deliver(consumer: Consumer, message: Message, entry: QueueEntry | null, redelivered: boolean): void;
  /** Whether the connection takes more now. When it turns true again the front-end calls `session.resume(this)`. */
  writable(): boolean;
  /** The queue went away beneath the consumer (deleted, or its vhost closed). */
  cancelled(consumer: Consumer): void;
}

export interface ConsumeOptions {
  readonly tag: string;
  readonly noAck: boolean;
  readonly exclusive: boolean;
  /** Unacked entries that may be out at once; 0: no limit. */
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
  readonly args: FieldTable;
  prefetch: number;
  /** Entries that are out with it. */
  unacked: number;
  cancelled: boolean;

  constructor(queue: Queue, sink: DeliverySink, options: ConsumeOptions) {
    this.queue = queue;
    this.sink = sink;
    this.tag = options.tag;
    this.noAck = options.noAck;
    this.exclusive = options.exclusive;
    this.priority = options.priority;
    this.args = options.args;
    this.prefetch = options.prefetch;
    this.unacked = 0;
    this.cancelled = false;
  }

  /** Whether it may be sent one more entry now. */
  hasCredit(): boolean {
    return (this.prefetch === 0 || this.unacked < this.prefetch) && this.sink.writable();
  }
}
