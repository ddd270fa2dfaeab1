// The publishing half of a connection: SEND, with and without a transaction, and BEGIN, COMMIT, ABORT. The hot path is
// `send` where the header block repeats: a comparison, one Message, one call of the session.

import { BrokerError } from '../../src/core/errors.ts';
import { EMPTY_TABLE } from '../../src/core/message/field-table.ts';
import { Message } from '../../src/core/message/message.ts';
import { OWN_ALLOCATION_BYTES } from '../../src/core/message/message-slabs.ts';
import { PUBLISH, type PublishOutcome } from '../../src/core/session/publish-path.ts';
import { PublisherThrottle } from '../../src/core/session/publisher-throttle.ts';
import type { Session } from '../../src/core/session/session.ts';
import { TransactionFailed } from '../../src/core/session/transaction.ts';
import type { ConfirmRing } from '../../src/core/turn/confirms.ts';
import type { StompClient } from './client.ts';
import { DESTINATION_KIND, type Destination, replyToHeader } from './destination.ts';
import type { DestinationCache } from './destination-cache.ts';
import { type EndpointOptions, ensureQueue, NO_OPTIONS, readSendOptions } from './endpoints.ts';
import type { FrameParser } from './frame-parser.ts';
import { STOMP_CODEC } from './property-codec.ts';
import { readSendHeaders, type SendHeaders } from './send-headers.ts';
import { StompError } from './stomp-error.ts';
import type { Acknowledgement } from './subscription.ts';
import type { Subscriptions } from './subscriptions.ts';
import type { TransactedSend, Transactions } from './transactions.ts';

/** Names of queues that a connection remembers to exist. */
const MAX_ENSURED = 10_000;

/** A message without further routing keys. */
const NO_COPIES: readonly string[] = Object.freeze([]);

export class Publisher {
  /** Keeps it from flooding its receivers. */
  readonly throttle: PublisherThrottle;
  private readonly client: StompClient;
  private readonly parser: FrameParser;
  private readonly session: Session;
  private readonly destinations: DestinationCache;
  private readonly subscriptions: Subscriptions;
  private readonly transactions: Transactions;
  /** Queues behind `/temp-queue/NAME`, by that destination; made with the first. */
  private tempQueues: Map<string, string> | null;
  /** The last header block that was read, and the destination in it: what the parser means by «repeated». */
  private headers: SendHeaders | null;
  private destination: Destination | null;
  /** Queues that this connection has seen to exist (made with the first), and the last destination that was ready. */
  private ensured: Set<string> | null;
  private lastReady: Destination | null;
  /** Queue options of the last transacted SEND, and the headers that they were read from. */
  private options: EndpointOptions;
  private optionsHeaders: SendHeaders | null;

  constructor(
    client: StompClient,
    session: Session,
    subscriptions: Subscriptions,
    destinations: DestinationCache,
    transactions: Transactions,
  ) {
    this.throttle = new PublisherThrottle(client.context.turn, client.gate);
    this.client = client;
    this.parser = client.parser;
    this.session = session;
    this.destinations = destinations;
    this.subscriptions = subscriptions;
    this.transactions = transactions;
    this.tempQueues = null;
    this.headers = null;
    this.destination = null;
    this.ensured = null;
    this.lastReady = null;
    this.options = NO_OPTIONS;
    this.optionsHeaders = null;
  }

  /** The parser's current frame is a SEND. */
  send(): void {
    const { parser } = this;
    this.throttle.published++;
    let headers: SendHeaders;
    let destination: Destination;
    if (parser.repeated) {
      headers = this.headers!;
      destination = parser.sameDestination ? this.destination! : this.resolve();
    } else {
      headers = this.readHeaders();
      destination = this.resolve();
      this.destination = destination;
    }
    const { replyTo } = headers;
    if (replyTo !== null && !this.tempQueues?.has(replyTo)) {
      this.client.suspend(this.openTempQueue(replyTo, destination));
      return;
    }
    this.sendTo(destination, headers);
  }

  private readHeaders(): SendHeaders {
    const { parser } = this;
    let headers = readSendHeaders(parser, null);
    const queue = headers.replyTo === null ? undefined : this.tempQueues?.get(headers.replyTo);
    if (queue !== undefined) headers = readSendHeaders(parser, replyToHeader(queue));
    if (headers.userId !== null && headers.userId !== this.session.identity.user) {
      throw new BrokerError('precondition-failed', `user-id '${headers.userId}' is not the user that logged in`);
    }
    this.headers = headers;
    return headers;
  }

  private resolve(): Destination {
    if (this.parser.destinationStart < 0) throw new StompError('Missing header', "SEND needs a 'destination' header");
    return this.destinations.resolve(this.parser);
  }

  private sendTo(destination: Destination, headers: SendHeaders): void {
    const { parser } = this;
    if (destination !== this.lastReady) {
      if (destination.kind === DESTINATION_KIND.tempQueue) {
        throw new StompError('Invalid destination', `'${destination.text}' can only stand in 'reply-to'`);
      }
      if (destination.kind === DESTINATION_KIND.queue && !this.ensured?.has(destination.routingKey)) {
        this.client.suspend(this.sendEnsured(destination, headers));
        return;
      }
      this.lastReady = destination;
    }
    const { native } = headers;
    const message = new Message(
      destination.exchange,
      destination.routingKey,
      parser.buffer,
      parser.start + parser.bodyStart,
      parser.bodyLength,
      native,
      0,
      native.length,
      STOMP_CODEC,
      headers.persistent,
      headers.priority,
      headers.expirationMs,
      this.client.context.turn.now,
    );
    // A large body that spanned chunks lies in a buffer of its own already, and so do the headers.
    if (parser.alone && parser.bodyLength >= OWN_ALLOCATION_BYTES) message.owned = true;
    if (headers.transaction !== null) {
      this.transact(headers.transaction, message, destination, headers);
      return;
    }
    const receipt = parser.receiptId();
    if (receipt === null) {
      const outcome = this.session.publish(message, null, 0);
      if (outcome !== PUBLISH.routed) this.unpublished(outcome, message, destination, null, 0);
    } else {
      const { ring } = this.client.receipts;
      const slot = ring.open(receipt);
      const outcome = this.session.publish(message, ring, slot);
      const later = outcome !== PUBLISH.routed && this.unpublished(outcome, message, destination, ring, slot);
      if (!later) ring.settle(slot);
    }
  }

  begin(transaction: string): void {
    this.transactions.begin(transaction);
  }

  /** An ACK or NACK in a transaction: checked now, carried out at COMMIT. */
  acknowledge(transaction: string, acknowledgement: Acknowledgement): void {
    this.subscriptions.check(acknowledgement);
    this.transactions.addAcknowledgement(transaction, acknowledgement);
  }

  abort(transaction: string): void {
    const { detached } = this.transactions.take(transaction);
    this.session.requeueAll(detached.map(({ entry }) => entry));
  }

  commit(transaction: string): void {
    this.client.suspend(this.carryOut(transaction));
  }

  /** The receipt leaves once all of it is durable. Later frames wait: what they publish comes behind it. */
  private async carryOut(name: string): Promise<void> {
    const { client, session } = this;
    const receipt = this.parser.receiptId();
    await this.restoreQueues(this.transactions.get(name).sends);
    if (!client.running) return;
    const transaction = this.transactions.take(name);
    try {
      await session.commit(transaction.sends, this.subscriptions.takeSettled(transaction));
    } catch (error) {
      if (!(error instanceof TransactionFailed)) throw error;
      throw new StompError('Transaction failed', `nothing of transaction '${name}' was done: ${error.message}`);
    }
    client.receipts.give(receipt);
    this.subscriptions.resume();
  }

  /** Declares `/queue/` destinations again that were deleted since their SEND, as a SEND outside of a transaction does. */
  private async restoreQueues(sends: TransactedSend[]): Promise<void> {
    for (let i = 0; i < sends.length; i++) {
      const { message, targets, destination, options } = sends[i]!;
      if (destination.kind !== DESTINATION_KIND.queue || targets.some(({ queue }) => !queue.deleted)) continue;
      await ensureQueue(this.session, destination, options);
      let routed = this.session.route(message, NO_COPIES);
      for (; routed === null; routed = this.session.route(message, NO_COPIES)) await this.session.ready();
      sends[i] = { ...routed, destination, options };
    }
  }

  /** Routes a SEND in a transaction; it is published at COMMIT. Throws as a SEND outside of one. */
  private transact(name: string, message: Message, destination: Destination, headers: SendHeaders): void {
    const { client, session } = this;
    const routed = session.route(message, NO_COPIES);
    if (routed === null) {
      client.suspend(session.ready().then(() => this.sendTo(destination, headers)));
      return;
    }
    if (headers !== this.optionsHeaders) {
      this.options = readSendOptions(this.parser);
      this.optionsHeaders = headers;
    }
    client.context.turn.retain(routed.message);
    this.transactions.addSend(name, { ...routed, destination, options: this.options });
    client.receipts.give(this.parser.receiptId());
  }

  /** A publish that reached no queue. True where it goes on later, and its slot is settled then. */
  private unpublished(
    outcome: PublishOutcome,
    message: Message,
    destination: Destination,
    ring: ConfirmRing | null,
    slot: number,
  ): boolean {
    if (outcome === PUBLISH.unroutable && destination.kind !== DESTINATION_KIND.queue) return false;
    this.client.context.turn.retain(message);
    const published = this.publishLater(outcome, message, destination, ring, slot);
    this.client.suspend(published.then(() => ring?.settle(slot)));
    return true;
  }

  /** Publishes once the authorisation is known, and into a queue that was deleted since its first use. */
  private async publishLater(
    first: PublishOutcome,
    message: Message,
    destination: Destination,
    ring: ConfirmRing | null,
    slot: number,
  ): Promise<void> {
    const session = this.session;
    let outcome = first;
    let declared = destination.kind !== DESTINATION_KIND.queue;
    while (outcome !== PUBLISH.routed && this.client.running) {
      if (outcome === PUBLISH.pending) await session.ready();
      else if (declared) return;
      else {
        declared = true;
        await ensureQueue(session, destination, readSendOptions(this.parser));
      }
      outcome = session.publish(message, ring, slot);
    }
  }

  /** The first SEND to a /queue/ destination. */
  private async sendEnsured(destination: Destination, headers: SendHeaders): Promise<void> {
    await ensureQueue(this.session, destination, readSendOptions(this.parser));
    this.ensured ??= new Set();
    if (this.ensured.size === MAX_ENSURED) this.ensured.clear();
    this.ensured.add(destination.routingKey);
    this.lastReady = destination;
    if (this.client.running) this.sendTo(destination, headers);
  }

  /** The first SEND with that temporary queue in reply-to: what is answered there comes to this connection. */
  private async openTempQueue(name: string, destination: Destination): Promise<void> {
    const request = { name: '', durable: false, exclusive: true, autoDelete: true, args: EMPTY_TABLE };
    const { name: queue } = await this.session.declareQueue(request);
    await this.subscriptions.openReplies(name, queue);
    if (!this.client.running) return;
    this.tempQueues ??= new Map();
    this.tempQueues.set(name, queue);
    this.sendTo(destination, this.readHeaders());
  }
}
