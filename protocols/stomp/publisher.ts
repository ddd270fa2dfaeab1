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
import type { Subscriptions } from './subscriptions.ts';
import { type Settlement, type StagedSend, type TransactedOperations, Transactions } from './transactions.ts';

/** Names of queues that a connection remembers to exist. */
const MAX_ENSURED = 10_000;

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

  constructor(client: StompClient, session: Session, subscriptions: Subscriptions, destinations: DestinationCache) {
    this.throttle = new PublisherThrottle(client.context.turn, client.gate);
    this.client = client;
    this.parser = client.parser;
    this.session = session;
    this.destinations = destinations;
    this.subscriptions = subscriptions;
    this.transactions = new Transactions(client.context.limits);
    this.tempQueues = null;
    this.headers = null;
    this.destination = null;
    this.ensured = null;
    this.lastReady = null;
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
      this.stage(headers.transaction, message, destination, parser.receiptId());
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

  /** An ACK or NACK that waits for its transaction. */
  defer(transaction: string, settlement: Settlement): void {
    this.subscriptions.check(settlement);
    this.transactions.addSettlement(transaction, settlement);
  }

  abort(transaction: string): void {
    this.transactions.take(transaction);
  }

  commit(transaction: string): void {
    this.client.suspend(this.commitAll(transaction, this.transactions.take(transaction)));
  }

  /** Routes a SEND of a transaction: a refusal ends the connection now, and not at COMMIT. */
  private stage(transaction: string, message: Message, destination: Destination, receipt: string | null): void {
    this.transactions.require(transaction);
    this.client.context.turn.retain(message);
    const staged = this.session.stage(message, []);
    if (staged === null || (staged.targets.length === 0 && destination.kind === DESTINATION_KIND.queue)) {
      this.client.suspend(
        this.stageLater(message, destination, readSendOptions(this.parser)).then((later) => {
          if (this.client.running) this.addStaged(transaction, later, receipt);
        }),
      );
    } else this.addStaged(transaction, { ...staged, destination }, receipt);
  }

  private addStaged(transaction: string, send: StagedSend, receipt: string | null): void {
    this.client.context.turn.retain(send.message);
    this.transactions.addSend(transaction, send);
    this.client.receipts.give(receipt);
  }

  /** Routes when the permission is known, and to a /queue/ destination whose queue was deleted since its first use. */
  private async stageLater(message: Message, destination: Destination, options: EndpointOptions): Promise<StagedSend> {
    let declared = destination.kind !== DESTINATION_KIND.queue;
    for (;;) {
      const staged = this.session.stage(message, []);
      if (staged === null) await this.session.ready();
      else if (staged.targets.length > 0 || declared) return { ...staged, destination };
      else {
        declared = true;
        await ensureQueue(this.session, destination, options);
      }
    }
  }

  /** Commits all operations of a transaction, or none. The receipt is sent when they are durable. */
  private async commitAll(transaction: string, { sends, settlements }: TransactedOperations): Promise<void> {
    const { ring } = this.client.receipts;
    const slot = ring.open(this.parser.receiptId() ?? undefined);
    const publishes: StagedSend[] = [];
    for (const send of sends)
      publishes.push(isGone(send) ? await this.stageLater(send.message, send.destination, NO_OPTIONS) : send);
    if (!this.client.running) return;
    try {
      await this.session.commit(publishes, () => settlements.flatMap((each) => this.subscriptions.take(each)));
    } catch (error) {
      if (!(error instanceof TransactionFailed)) throw error;
      throw new StompError('Transaction failed', `nothing of transaction '${transaction}' was done: ${error.message}`);
    }
    ring.settle(slot);
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

/** Whether the queue of a /queue/ destination was deleted since the SEND: it is declared again, as for any SEND. */
function isGone({ targets, destination }: StagedSend): boolean {
  return destination.kind === DESTINATION_KIND.queue && targets.every(({ queue }) => queue.deleted);
}
