// One subscription: the sink of one consumer. It numbers its deliveries, writes them as MESSAGE frames, and keeps the
// ledger of those that the client has to acknowledge.
//
// A message's id is SESSION-SUBSCRIPTION-NUMBER; the same text is the `ack` header, so that an ACK names session,
// subscription and delivery, and an ACK that a client kept from before its reconnection acknowledges nothing.

import type { Message } from '../../src/core/message/message.ts';
import type { Consumer, DeliverySink } from '../../src/core/queue/consumer.ts';
import type { CreditLine } from '../../src/core/queue/credit-line.ts';
import type { QueueEntry } from '../../src/core/queue/queue-entry.ts';
import { Unacked } from '../../src/core/queue/unacked.ts';
import type { Outbox } from '../../src/net/outbox.ts';
import type { FrameWriter } from './frame-writer.ts';
import { MessageHead } from './message-head.ts';
import { StompError } from './stomp-error.ts';
import { STOMP_VERSION } from './version.ts';

export const ACK_MODE = { auto: 'auto', client: 'client', individual: 'client-individual' } as const;
export type AckMode = (typeof ACK_MODE)[keyof typeof ACK_MODE];

export function ackMode(header: string | null): AckMode {
  switch (header) {
    case null:
    case ACK_MODE.auto:
      return ACK_MODE.auto;
    case ACK_MODE.client:
    case ACK_MODE.individual:
      return header;
    default:
      throw new StompError('Invalid header', `'ack' must be one of ${Object.values(ACK_MODE).join(', ')}`);
  }
}

export class Subscription implements DeliverySink {
  /** How the client names it: its id, or without one its destination. */
  readonly key: string;
  /** Its number within the connection, never used again. */
  readonly number: number;
  readonly mode: AckMode;
  /** Set once the core gave a consumer. */
  consumer: Consumer | null;
  /** The queue behind a durable subscription, which UNSUBSCRIBE may delete; else null. */
  durableQueue: string | null;
  readonly unacked: Unacked;
  ended: boolean;
  private readonly head: MessageHead;
  private readonly writer: FrameWriter;
  private readonly outbox: Outbox;
  /** The subscriptions of the connection that wait for room in the outbox. */
  private readonly line: CreditLine;
  private readonly maxUnacked: number;
  private readonly lost: (subscription: Subscription) => void;
  private count: number;

  /** `lost` is told when the queue went away beneath it. `maxUnacked` bounds what is out where there is no prefetch. */
  constructor(
    key: string,
    id: string | null,
    number: number,
    mode: AckMode,
    session: string,
    writer: FrameWriter,
    outbox: Outbox,
    line: CreditLine,
    maxUnacked: number,
    lost: (subscription: Subscription) => void,
  ) {
    this.key = key;
    this.number = number;
    this.mode = mode;
    this.consumer = null;
    this.durableQueue = null;
    this.unacked = new Unacked();
    this.ended = false;
    const acks = mode !== ACK_MODE.auto && writer.version === STOMP_VERSION.v1_2;
    this.head = new MessageHead(id, `${session}-${number}-`, acks, writer.version);
    this.writer = writer;
    this.outbox = outbox;
    this.line = line;
    this.maxUnacked = maxUnacked;
    this.lost = lost;
    this.count = 0;
  }

  deliver(_consumer: Consumer, message: Message, entry: QueueEntry | null, redelivered: boolean): void {
    const number = entry === null ? ++this.count : this.unacked.add(entry);
    this.writer.message(this.head, message, number, redelivered);
  }

  failed(): void {
    this.writer.broken();
  }

  writable(consumer: Consumer): boolean {
    if (this.full) return false;
    const { line } = this;
    if (this.outbox.writable && (!line.contended || line.admits(consumer))) return true;
    line.join(consumer);
    return false;
  }

  /** Whether as many messages are out as it may have. */
  get full(): boolean {
    return this.unacked.size >= this.maxUnacked;
  }

  cancelled(): void {
    if (!this.ended) this.lost(this);
  }

  /** Credit may be there again. */
  resume(): void {
    this.consumer?.resume();
  }
}

export interface MessageId {
  readonly subscription: number;
  readonly number: number;
}

/** An ACK or NACK. */
export type Acknowledgement =
  | { readonly kind: 'ack'; readonly id: MessageId }
  | { readonly kind: 'nack'; readonly id: MessageId; readonly requeue: boolean };

/** What an ACK names, or null where the text is no id of that session. */
export function parseMessageId(text: string, session: string): MessageId | null {
  if (!text.startsWith(session) || text[session.length] !== '-') return null;
  const parts = /^(\d{1,9})-(\d{1,15})$/.exec(text.slice(session.length + 1));
  return parts === null ? null : { subscription: Number(parts[1]), number: Number(parts[2]) };
}
