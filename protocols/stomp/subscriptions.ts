// The subscribing half of a connection: SUBSCRIBE, UNSUBSCRIBE, ACK, NACK, and what a close gives back.

import { EMPTY_TABLE, type FieldTable, findField, integerOf } from '../../src/core/message/field-table.ts';
import { CreditLine, leaveLine } from '../../src/core/queue/credit-line.ts';
import type { QueueEntry } from '../../src/core/queue/queue-entry.ts';
import type { Session } from '../../src/core/session/session.ts';
import type { Outcome, Settlement } from '../../src/core/session/transaction.ts';
import type { Task } from '../../src/core/turn/turn.ts';
import type { WorkDescription } from '../../src/core/turn/turn-watch.ts';
import type { StompClient } from './client.ts';
import { COMMAND, commandName } from './command.ts';
import type { DestinationCache } from './destination-cache.ts';
import { openSource, readSubscribeOptions } from './endpoints.ts';
import type { FrameParser } from './frame-parser.ts';
import { HEADER } from './header-names.ts';
import { isTrue } from './property-codec.ts';
import { limitExceeded, StompError } from './stomp-error.ts';
import { ACK_MODE, type AckMode, type Acknowledgement, ackMode, parseMessageId, Subscription } from './subscription.ts';
import type { OpenTransaction, Transactions } from './transactions.ts';
import { STOMP_VERSION } from './version.ts';

const MAX_PREFETCH = 65_535;

export class Subscriptions implements Task {
  private readonly client: StompClient;
  private readonly parser: FrameParser;
  private readonly session: Session;
  private readonly destinations: DestinationCache;
  private readonly transactions: Transactions;
  private readonly byKey: Map<string, Subscription>;
  private readonly byNumber: Map<number, Subscription>;
  private lastNumber: number;
  /** Subscriptions that wait for room in the outbox. */
  private readonly line: CreditLine;
  /** Whether it is on the work list, to resume them. */
  private resuming: boolean;
  private released: boolean;

  constructor(client: StompClient, session: Session, destinations: DestinationCache, transactions: Transactions) {
    this.client = client;
    this.parser = client.parser;
    this.session = session;
    this.destinations = destinations;
    this.transactions = transactions;
    this.byKey = new Map();
    this.byNumber = new Map();
    this.lastNumber = 0;
    this.line = new CreditLine();
    this.resuming = false;
    this.released = false;
  }

  /** The connection takes more again. */
  resume(): void {
    if (this.resuming || !this.line.contended) return;
    this.resuming = true;
    this.client.context.turn.work(this);
  }

  /** Resumes subscriptions, a round at a time: as a task of the work list. */
  run(): boolean {
    const room = this.client.transport.outbox.writable ? Number.POSITIVE_INFINITY : 0;
    this.resuming = !this.released && this.line.callNext(room);
    return this.resuming;
  }

  describeWork(): WorkDescription {
    return { ...this.client.describeWork(), work: 'resumption of subscriptions' };
  }

  failed(): void {
    this.resuming = false;
  }

  /** SUBSCRIBE. */
  async subscribe(): Promise<void> {
    const { parser } = this;
    const id = parser.text(HEADER.id);
    const key = this.subscriptionKey();
    const receipt = parser.receiptId();
    if (this.byKey.has(key)) throw new StompError('Duplicate subscription', `'${key}' is subscribed already`);
    if (parser.destinationStart < 0) throw new StompError('Missing header', "SUBSCRIBE needs a 'destination' header");
    const destination = this.destinations.resolve(parser);
    const prefetch = this.prefetch();
    const options = readSubscribeOptions(parser);
    const subscription = this.newSubscription(key, id, ackMode(parser.text(HEADER.ack)));
    const source = await openSource(this.session, destination, id, options);
    if (source.durableSubscription) subscription.durableQueue = source.queue;
    await this.consume(subscription, source.queue, prefetch, options.consumerArguments);
    if (!this.client.running) return;
    this.client.receipts.give(receipt);
    subscription.consumer?.start();
  }

  /** The subscription behind a temporary queue; its id is the queue's destination. */
  async openReplies(name: string, queue: string): Promise<void> {
    const subscription = this.newSubscription(name, name, ACK_MODE.auto);
    await this.consume(subscription, queue, 0, EMPTY_TABLE);
    subscription.consumer?.start();
  }

  /** Ends all subscriptions; what is out goes back together. Idempotent. */
  release(): void {
    this.released = true;
    const entries: QueueEntry[] = [];
    for (const { detached } of this.transactions.takeAll()) for (const { entry } of detached) entries.push(entry);
    for (const subscription of this.byKey.values()) {
      this.cancel(subscription);
      for (const entry of subscription.unacked.drain()) entries.push(entry);
    }
    this.byKey.clear();
    this.byNumber.clear();
    this.session.requeueAll(entries);
  }

  private prefetch(): number {
    const text = this.parser.text(HEADER.prefetchCount);
    if (text === null) return 0;
    const count = /^\d{1,5}$/.test(text.trim()) ? Number(text) : MAX_PREFETCH + 1;
    if (count <= MAX_PREFETCH) return count;
    throw new StompError('Invalid header', `'prefetch-count' must be an integer between 0 and ${MAX_PREFETCH}`);
  }

  private newSubscription(key: string, id: string | null, mode: AckMode): Subscription {
    const { limits, unackedPerChannel } = this.client.context;
    if (this.byKey.size === limits.maxSubscriptions) {
      throw limitExceeded('maxSubscriptions', limits.maxSubscriptions);
    }
    const { outbox } = this.client.transport;
    const number = ++this.lastNumber;
    return new Subscription(
      key,
      id,
      number,
      mode,
      this.client.sessionId,
      this.client.writer,
      outbox,
      this.line,
      unackedPerChannel,
      this.lost,
    );
  }

  private async consume(subscription: Subscription, queue: string, prefetch: number, args: FieldTable): Promise<void> {
    const { key, mode } = subscription;
    subscription.consumer = await this.session.consume(
      queue,
      {
        tag: `T_${key}`,
        noAck: mode === ACK_MODE.auto,
        exclusive: false,
        prefetch,
        priority: integerOf(findField(args, 'x-priority')) ?? 0,
        args,
      },
      subscription,
    );
    this.byKey.set(key, subscription);
    this.byNumber.set(subscription.number, subscription);
  }

  /** UNSUBSCRIBE. */
  unsubscribe(): void {
    const { parser } = this;
    const key = this.subscriptionKey();
    const subscription = this.byKey.get(key);
    const durable = parser.text(HEADER.durable) ?? parser.text(HEADER.persistent);
    const receipt = parser.receiptId();
    // A page that unsubscribes twice loses nothing by it, and would lose its other subscriptions by an ERROR.
    if (subscription === undefined) {
      this.client.receipts.give(receipt);
      return;
    }
    this.end(subscription);
    const { durableQueue } = subscription;
    if (durableQueue === null || durable === null || !isTrue(durable)) {
      this.client.receipts.give(receipt);
      return;
    }
    const deleted = this.session.deleteQueue(durableQueue, { ifUnused: false, ifEmpty: false });
    this.client.suspend(deleted.then(() => this.client.receipts.give(receipt)));
  }

  /**
   * A subscription's key in SUBSCRIBE and UNSUBSCRIBE: its id, or without one its destination. 1.1 and 1.2 require an id;
   * clients of RabbitMQ, which does not, leave it out in every version.
   */
  private subscriptionKey(): string {
    const { parser } = this;
    const id = parser.text(HEADER.id);
    if (id === null) {
      const destination = parser.text(HEADER.destination);
      if (destination === null) throw new StompError('Missing header', "an 'id' header is needed");
      return `Q_${destination}`;
    }
    if (id.startsWith('/temp-queue/')) throw new StompError('Invalid header', "'id' must not begin with /temp-queue/");
    return id;
  }

  /** No more deliveries; what is out goes back, in order. */
  private end(subscription: Subscription): void {
    this.byKey.delete(subscription.key);
    this.byNumber.delete(subscription.number);
    this.cancel(subscription);
    this.detach(subscription);
    this.session.requeueAll(subscription.unacked.drain());
  }

  private cancel(subscription: Subscription): void {
    subscription.ended = true;
    const { consumer } = subscription;
    if (consumer === null) return;
    leaveLine(consumer);
    this.session.cancel(consumer);
  }

  /** What the current frame, an ACK or NACK, asks for. 1.2 names the message in `id`, 1.0 and 1.1 in `message-id`. */
  readAcknowledgement(): Acknowledgement {
    const { parser } = this;
    const name = parser.version === STOMP_VERSION.v1_2 ? HEADER.id : HEADER.messageId;
    const text = parser.text(name);
    const command = commandName(parser.command);
    if (text === null) throw new StompError('Missing header', `${command} needs the '${name}' header`);
    const id = parseMessageId(text, this.client.sessionId);
    if (id === null) {
      throw new StompError('Invalid header', `${command} of '${text}', which is no message of this session`);
    }
    if (parser.command === COMMAND.ack) return { kind: 'ack', id };
    const requeue = parser.text(HEADER.requeue);
    return { kind: 'nack', id, requeue: requeue === null || isTrue(requeue) };
  }

  /**
   * Carries out an ACK or NACK. A message that is settled already, that needed none, or whose subscription ended and
   * that therefore went back, is no error: client libraries acknowledge after they unsubscribed. A number that was never
   * delivered is.
   */
  settle(acknowledgement: Acknowledgement): void {
    const { session } = this;
    const subscription = this.check(acknowledgement);
    if (subscription === null) return;
    const wasFull = subscription.full;
    const { unacked, mode } = subscription;
    const { kind } = acknowledgement;
    const { number: tag } = acknowledgement.id;
    if (mode === ACK_MODE.individual) {
      const entry = unacked.take(tag);
      if (entry === null) return;
      if (kind === 'ack') session.acknowledge(entry);
      else session.reject(entry, acknowledgement.requeue);
    } else if (kind === 'nack' && acknowledgement.requeue) session.requeueAll(unacked.takeUpTo(tag));
    else {
      for (let entry = unacked.takeFirst(tag); entry !== null; entry = unacked.takeFirst(tag)) {
        if (kind === 'ack') session.acknowledge(entry);
        else session.reject(entry, false);
      }
    }
    if (wasFull) subscription.resume();
  }

  /**
   * The subscription whose message an ACK or NACK settles; null where there is nothing to settle (see `settle`). Throws
   * where no such message was delivered.
   */
  check({ id }: Acknowledgement): Subscription | null {
    const subscription = this.byNumber.get(id.subscription);
    if (subscription === undefined) {
      if (id.subscription > this.lastNumber) throw unknownMessage();
      return null;
    }
    if (subscription.mode === ACK_MODE.auto) return null;
    if (id.number === 0 || id.number > subscription.unacked.lastTag) throw unknownMessage();
    return subscription;
  }

  /** Takes out what a transaction settles, in order: the session's `commit` owns the entries from here on. */
  takeSettled({ acknowledgements, detached }: OpenTransaction): Settlement[] {
    const settlements = [...detached];
    for (const acknowledgement of acknowledgements) {
      const subscription = this.check(acknowledgement);
      if (subscription !== null) takeCovered(subscription, acknowledgement, settlements);
    }
    return settlements;
  }

  /** What open transactions settle of a subscription that ends belongs to them alone from here on. */
  private detach(subscription: Subscription): void {
    for (const { acknowledgements, detached } of this.transactions) {
      for (const acknowledgement of acknowledgements) {
        if (acknowledgement.id.subscription !== subscription.number) continue;
        takeCovered(subscription, acknowledgement, detached);
      }
    }
  }

  /** A queue went away beneath a subscription. STOMP has no other way to say so than an ERROR. */
  private readonly lost = (subscription: Subscription): void => {
    const { key } = subscription;
    this.client.fail(new StompError('Subscription ended', `the queue of subscription '${key}' is gone`), null);
  };
}

/** Takes the entries that an ACK or NACK covers out of the ledger: one, or in cumulative mode all up to it. */
function takeCovered(subscription: Subscription, acknowledgement: Acknowledgement, into: Settlement[]): void {
  const { unacked, mode } = subscription;
  const { number: tag } = acknowledgement.id;
  const outcome = outcomeOf(acknowledgement);
  if (mode !== ACK_MODE.individual) for (const entry of unacked.takeUpTo(tag)) into.push({ entry, outcome });
  else {
    const entry = unacked.take(tag);
    if (entry !== null) into.push({ entry, outcome });
  }
}

function outcomeOf(acknowledgement: Acknowledgement): Outcome {
  if (acknowledgement.kind === 'ack') return 'acknowledged';
  return acknowledgement.requeue ? 'requeued' : 'rejected';
}

function unknownMessage(): StompError {
  return new StompError('Unknown message', 'that message was not delivered to this session');
}
