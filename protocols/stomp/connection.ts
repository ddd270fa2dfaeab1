// A STOMP connection: it turns frames into calls of the session door, in the order in which they came. What has to wait
// (a declaration, an authorisation) suspends the parser; nothing overtakes it. Every violation and every refusal ends
// in one ERROR frame and the end of this connection, and of no other.
//
// Receipts leave through one confirm ring, so a receipt for a SEND into durable queues comes after the commit and all
// receipts keep the order of their frames.

import type { ClientConnection, ConnectionInfo } from '../../src/core/client-connection.ts';
import { ConfirmRing, type ConfirmSink } from '../../src/core/confirms.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { EMPTY_TABLE, type FieldTable, findField, integerOf } from '../../src/core/field-table.ts';
import { Message } from '../../src/core/message.ts';
import type { QueueEntry } from '../../src/core/queue-entry.ts';
import { PUBLISH, type PublishOutcome, type Session } from '../../src/core/session.ts';
import type { Transport, TransportHandler } from '../../src/net/transport.ts';
import { COMMAND, commandName } from './command.ts';
import type { StompContext } from './context.ts';
import { DESTINATION_KIND, type Destination, replyToHeader } from './destination.ts';
import type { DestinationCache } from './destination-cache.ts';
import { ensureQueue, openSource, readSendOptions, readSubscribeOptions } from './endpoints.ts';
import { escapeHeader } from './escaping.ts';
import { FrameParser } from './frame-parser.ts';
import { FrameWriter, textFrame } from './frame-writer.ts';
import { HEADER } from './header-names.ts';
import { type Beating, HeartBeat, parseHeartBeat } from './heart-beat.ts';
import { isTrue, STOMP_CODEC } from './property-codec.ts';
import { readSendHeaders, type SendHeaders } from './send-headers.ts';
import { limitExceeded, StompError, summaryOf } from './stomp-error.ts';
import { ACK_MODE, type AckMode, ackMode, type MessageId, parseMessageId, Subscription } from './subscription.ts';
import { type Operation, Transactions } from './transactions.ts';
import { negotiateVersion, STOMP_VERSION, SUPPORTED_VERSIONS, versionName } from './version.ts';

/** The tag of the confirm slot at which a DISCONNECT is answered. */
class Goodbye {
  readonly receipt: string | null;

  constructor(receipt: string | null) {
    this.receipt = receipt;
  }
}

const MAX_PREFETCH = 65_535;
/** Names of queues that a connection remembers to exist. */
const MAX_ENSURED = 10_000;

type State = 'login' | 'running' | 'closing' | 'closed';

export class StompConnection implements TransportHandler, ClientConnection, ConfirmSink, Beating {
  readonly id: number;
  private readonly transport: Transport;
  private readonly context: StompContext;
  private readonly parser: FrameParser;
  private readonly ring: ConfirmRing;
  private readonly heartBeat: HeartBeat;
  private readonly connectedAt: number;
  private state: State;
  private session: Session | null;
  private sessionId: string;
  private writer: FrameWriter;
  private destinations: DestinationCache;
  private readonly subscriptions: Map<string, Subscription>;
  private readonly byNumber: Map<number, Subscription>;
  private lastNumber: number;
  private transactions: Transactions | null;
  /** Queues behind `/temp-queue/NAME`, by that destination. */
  private tempQueues: Map<string, string> | null;
  /** The last SEND's header block, and the destination that it named. */
  private sendHeaders: SendHeaders | null;
  private sendDestination: Destination | null;
  /** Queues that this connection has seen to exist, and the last of them. */
  private readonly ensured: Set<string>;
  private lastEnsured: Destination | null;
  /** How many waits the current frame is in: no other frame is looked at meanwhile. */
  private suspensions: number;
  /** Publishing is held. */
  private blocked: boolean;
  private publishes: boolean;
  private failed: boolean;

  constructor(transport: Transport, context: StompContext) {
    this.id = context.connections.nextId();
    this.transport = transport;
    this.context = context;
    this.parser = new FrameParser(context.limits);
    this.ring = new ConfirmRing(this, context.turn);
    this.heartBeat = new HeartBeat(transport, context.ticker, this, context.limits.loginTimeoutMs);
    this.connectedAt = context.turn.now;
    this.state = 'login';
    this.session = null;
    this.sessionId = `${context.startedAt.toString(36)}.${this.id.toString(36)}`;
    this.writer = new FrameWriter(transport, STOMP_VERSION.v1_2, context.destinationLines[STOMP_VERSION.v1_2]!);
    this.destinations = context.destinations[STOMP_VERSION.v1_2]!;
    this.subscriptions = new Map();
    this.byNumber = new Map();
    this.lastNumber = 0;
    this.transactions = null;
    this.tempQueues = null;
    this.sendHeaders = null;
    this.sendDestination = null;
    this.ensured = new Set();
    this.lastEnsured = null;
    this.suspensions = 0;
    this.failed = false;
    this.blocked = false;
    this.publishes = false;
    context.connections.add(this);
  }

  // What the transport calls.

  data(chunk: Buffer): void {
    if (this.state === 'closing' || this.state === 'closed') return;
    this.context.turn.begin();
    if (this.state === 'login') this.writer.followClient();
    this.parser.push(chunk);
    if (this.suspensions === 0 && !this.isHeld()) this.pump();
  }

  drained(): void {
    this.context.turn.begin();
    for (const subscription of this.subscriptions.values()) subscription.resume();
  }

  closed(error: Error | null): void {
    const wasRunning = this.state === 'running';
    this.state = 'closed';
    this.context.connections.remove(this);
    this.context.turn.begin();
    this.release();
    this.heartBeat.stop();
    const { log } = this.context;
    const details = { connection: this.id, peer: this.transport.peer, user: this.session?.identity.user ?? null };
    if (error !== null || wasRunning)
      log.info({ ...details, error: error?.message ?? null }, 'STOMP connection closed');
    else log.debug(details, 'STOMP connection closed');
  }

  // What the heart-beat calls.

  hearing(): boolean {
    return this.suspensions === 0 && !this.isHeld();
  }

  beat(): void {
    this.context.turn.begin();
    this.writer.heartBeat();
  }

  silent(what: 'heart-beat' | 'login'): void {
    this.context.turn.begin();
    if (what === 'login') this.fail(new StompError('Login timeout', 'no CONNECT frame came in time'), null);
    else this.fail(new StompError('Heart-beat timeout', 'nothing came for longer than the heart-beat interval'), null);
  }

  // What the registry of connections calls.

  info(): ConnectionInfo {
    const { transport } = this;
    return {
      protocol: `STOMP ${versionName(this.parser.version)}`,
      user: this.session?.identity.user ?? null,
      vhost: this.session?.vhost.name ?? null,
      peer: transport.peer,
      secure: transport.secure,
      connectedAt: this.connectedAt,
      channels: this.session === null ? 0 : 1,
      bytesRead: transport.bytesRead,
      bytesWritten: transport.bytesWritten,
      state: this.state === 'login' ? 'starting' : this.isHeld() ? 'blocked' : this.state,
      clientProperties: EMPTY_TABLE,
      name: this.session === null ? null : this.sessionId,
    };
  }

  block(): void {
    if (this.blocked) return;
    this.blocked = true;
    if (this.publishes) this.transport.pause();
  }

  unblock(): void {
    if (!this.blocked) return;
    this.blocked = false;
    if (this.publishes) this.resume();
  }

  shutdown(reason: string): void {
    this.context.turn.begin();
    this.fail(new StompError('Connection closed by the broker', reason), null);
  }

  // Receipts.

  confirmed(ring: ConfirmRing, from: number, to: number, ok: boolean): void {
    for (let slot = from; slot <= to; slot++) {
      const tag = ring.tagAt(slot);
      if (!ok) {
        this.fail(new StompError('Message refused', 'a queue did not accept it'), typeof tag === 'string' ? tag : null);
        return;
      }
      if (typeof tag === 'string') this.writer.receipt(tag);
      else if (tag instanceof Goodbye) {
        if (tag.receipt !== null) this.writer.receipt(tag.receipt);
        this.finish();
        return;
      }
    }
  }

  // Frames.

  private pump(): void {
    try {
      while (this.suspensions === 0 && this.parser.next()) {
        if (this.parser.command === COMMAND.send) this.send();
        else this.control();
        if (this.state === 'closing' || this.state === 'closed') return;
        if (this.isHeld()) return;
      }
    } catch (error) {
      this.fail(error);
    }
  }

  private control(): void {
    const { command } = this.parser;
    if (this.state === 'login') {
      if (command !== COMMAND.connect) throw notConnected();
      this.suspend(this.connect());
      return;
    }
    switch (command) {
      case COMMAND.subscribe:
        this.suspend(this.subscribe());
        return;
      case COMMAND.unsubscribe:
        this.unsubscribe();
        return;
      case COMMAND.ack:
      case COMMAND.nack:
        this.acknowledge();
        break;
      case COMMAND.begin:
        this.transactions ??= new Transactions(this.context.limits);
        this.transactions.begin(this.required(HEADER.transaction));
        break;
      case COMMAND.commit:
        this.suspend(this.commit());
        return;
      case COMMAND.abort:
        this.openTransactions().take(this.required(HEADER.transaction));
        break;
      case COMMAND.disconnect:
        this.disconnect();
        return;
      case COMMAND.connect:
        throw new StompError('Already connected', 'a connection logs in once');
      default:
        throw new StompError('Unknown command', commandName(command));
    }
    this.receipt(this.receiptId());
  }

  private async connect(): Promise<void> {
    const { parser, transport, context } = this;
    const accepted = parser.text(HEADER.acceptVersion);
    const version = negotiateVersion(accepted);
    if (version === null) {
      throw new StompError('Version mismatch', `supported protocol versions are ${SUPPORTED_VERSIONS}`);
    }
    const user = parser.text(HEADER.login);
    const password = parser.text(HEADER.passcode);
    const host = parser.text(HEADER.host);
    const offer = parseHeartBeat(parser.text(HEADER.heartBeat));
    this.writer = new FrameWriter(transport, version, context.destinationLines[version]!);
    if (user === null || password === null) {
      throw new StompError('Bad CONNECT', "'login' and 'passcode' are required");
    }
    const vhost = host === null || host === '' ? '/' : host;
    let session: Session;
    try {
      session = await context.door.login({ user, password, vhost, loopback: transport.loopback });
    } catch (error) {
      context.log.warn(
        { connection: this.id, peer: transport.peer, user, vhost, reason: String(error) },
        'STOMP login refused',
      );
      // Whatever was wrong, a stranger learns the same.
      if (error instanceof BrokerError && error.kind === 'access-refused') {
        throw new StompError('Bad CONNECT', `access refused for user '${user}'`);
      }
      throw error;
    }
    this.session = session;
    if (this.state !== 'login') return;
    this.state = 'running';
    parser.version = version;
    this.destinations = context.destinations[version]!;
    const beat = context.limits.minHeartBeatMs;
    const headers: [string, string][] = [
      ['version', versionName(version)],
      ['server', `Trivium/${context.version}`],
      ['session', this.sessionId],
      ['heart-beat', `${beat},${beat}`],
    ];
    // CONNECTED is never escaped (STOMP 1.2, «Value Encoding»), and none of these values needs it.
    this.writer.frame(textFrame('CONNECTED', headers, '', STOMP_VERSION.v1_0));
    this.heartBeat.start(offer, beat);
    context.log.info({ connection: this.id, peer: transport.peer, user, vhost }, 'STOMP connection opened');
  }

  private send(): void {
    const { parser } = this;
    if (this.state === 'login') throw notConnected();
    let headers: SendHeaders;
    let destination: Destination;
    if (parser.repeated) {
      headers = this.sendHeaders!;
      destination = parser.sameDestination ? this.sendDestination! : this.resolve();
    } else {
      headers = this.readHeaders();
      destination = this.resolve();
      this.sendDestination = destination;
    }
    const { replyTo } = headers;
    if (replyTo !== null && !this.tempQueues?.has(replyTo)) {
      this.suspend(this.openTempQueue(replyTo, destination));
      return;
    }
    this.sendTo(destination, headers);
  }

  private readHeaders(): SendHeaders {
    const { parser } = this;
    let headers = readSendHeaders(parser, null);
    const queue = headers.replyTo === null ? undefined : this.tempQueues?.get(headers.replyTo);
    if (queue !== undefined) headers = readSendHeaders(parser, replyToHeader(queue));
    if (headers.userId !== null && headers.userId !== this.session!.identity.user) {
      throw new BrokerError('precondition-failed', `user-id '${headers.userId}' is not the user that logged in`);
    }
    this.sendHeaders = headers;
    return headers;
  }

  private resolve(): Destination {
    if (this.parser.destinationStart < 0) throw new StompError('Missing header', "SEND needs a 'destination' header");
    return this.destinations.resolve(this.parser);
  }

  private sendTo(destination: Destination, headers: SendHeaders): void {
    const { parser } = this;
    if (destination !== this.lastEnsured) {
      if (destination.kind === DESTINATION_KIND.tempQueue) {
        throw new StompError('Invalid destination', `'${destination.text}' can only stand in 'reply-to'`);
      }
      if (destination.kind === DESTINATION_KIND.queue && !this.ensured.has(destination.routingKey)) {
        this.suspend(this.sendEnsured(destination, headers));
        return;
      }
      this.lastEnsured = destination;
    }
    const { native } = headers;
    const message = new Message(
      destination.exchange,
      destination.routingKey,
      parser.buffer,
      parser.frame + parser.bodyStart,
      parser.bodyLength,
      native,
      0,
      native.length,
      STOMP_CODEC,
      headers.persistent,
      headers.priority,
      headers.expirationMs,
      this.context.turn.now,
    );
    if (headers.transaction !== null) {
      this.context.turn.retain(message);
      this.openTransactions().add(headers.transaction, { kind: 'send', message, destination });
      this.receipt(this.receiptId());
      return;
    }
    const receipt = parser.receiptStart < 0 ? null : this.receiptId();
    if (receipt === null) {
      const outcome = this.session!.publish(message, null, 0);
      if (outcome !== PUBLISH.routed) this.unpublished(outcome, message, destination, null, 0);
    } else {
      const { ring } = this;
      const slot = ring.open(receipt);
      const outcome = this.session!.publish(message, ring, slot);
      const later = outcome !== PUBLISH.routed && this.unpublished(outcome, message, destination, ring, slot);
      if (!later) ring.settle(slot);
    }
    if (!this.publishes) {
      this.publishes = true;
      if (this.blocked) this.transport.pause();
    }
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
    this.context.turn.retain(message);
    const published = this.publishLater(outcome, message, destination, ring, slot);
    this.suspend(published.then(() => ring?.settle(slot)));
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
    const session = this.session!;
    let outcome = first;
    let declared = destination.kind !== DESTINATION_KIND.queue;
    while (outcome !== PUBLISH.routed && this.state === 'running') {
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
    await ensureQueue(this.session!, destination, readSendOptions(this.parser));
    if (this.ensured.size === MAX_ENSURED) this.ensured.clear();
    this.ensured.add(destination.routingKey);
    this.lastEnsured = destination;
    if (this.state === 'running') this.sendTo(destination, headers);
  }

  /** The first SEND with that temporary queue in reply-to: what is answered there comes to this connection. */
  private async openTempQueue(name: string, destination: Destination): Promise<void> {
    const session = this.session!;
    const declared = await session.declareQueue({
      name: '',
      durable: false,
      exclusive: true,
      autoDelete: true,
      args: EMPTY_TABLE,
    });
    const subscription = this.newSubscription(name, name, ACK_MODE.auto);
    await this.consume(subscription, declared.name, 0, EMPTY_TABLE);
    if (this.state !== 'running') return;
    this.tempQueues ??= new Map();
    this.tempQueues.set(name, declared.name);
    this.sendTo(destination, this.readHeaders());
    subscription.consumer?.start();
  }

  private async subscribe(): Promise<void> {
    const { parser } = this;
    const id = parser.text(HEADER.id);
    const key = this.subscriptionKey();
    const receipt = this.receiptId();
    if (id === null && parser.version !== STOMP_VERSION.v1_0) {
      throw new StompError('Missing header', "SUBSCRIBE needs an 'id' header");
    }
    if (this.subscriptions.has(key)) throw new StompError('Duplicate subscription', `'${key}' is subscribed already`);
    if (parser.destinationStart < 0) throw new StompError('Missing header', "SUBSCRIBE needs a 'destination' header");
    const destination = this.destinations.resolve(parser);
    const prefetch = this.prefetch();
    const options = readSubscribeOptions(parser);
    const subscription = this.newSubscription(key, id, ackMode(parser.text(HEADER.ack)));
    const source = await openSource(this.session!, destination, id, options);
    if (source.durableSubscription) subscription.durableQueue = source.queue;
    await this.consume(subscription, source.queue, prefetch, options.consumerArguments);
    if (this.state !== 'running') return;
    this.receipt(receipt);
    subscription.consumer?.start();
  }

  private prefetch(): number {
    const text = this.parser.text(HEADER.prefetchCount);
    if (text === null) return 0;
    const count = /^\d{1,5}$/.test(text.trim()) ? Number(text) : MAX_PREFETCH + 1;
    if (count <= MAX_PREFETCH) return count;
    throw new StompError('Invalid header', `'prefetch-count' must be an integer between 0 and ${MAX_PREFETCH}`);
  }

  private newSubscription(key: string, id: string | null, mode: AckMode): Subscription {
    const { limits, unackedPerChannel } = this.context;
    if (this.subscriptions.size === limits.maxSubscriptions) {
      throw limitExceeded('maxSubscriptions', limits.maxSubscriptions);
    }
    const { outbox } = this.transport;
    const number = ++this.lastNumber;
    return new Subscription(key, id, number, mode, this.sessionId, this.writer, outbox, unackedPerChannel, this.lost);
  }

  private async consume(subscription: Subscription, queue: string, prefetch: number, args: FieldTable): Promise<void> {
    const { key, mode } = subscription;
    subscription.consumer = await this.session!.consume(
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
    this.subscriptions.set(key, subscription);
    this.byNumber.set(subscription.number, subscription);
  }

  private unsubscribe(): void {
    const { parser } = this;
    const key = this.subscriptionKey();
    const subscription = this.subscriptions.get(key);
    if (subscription === undefined) throw new StompError('Unknown subscription', `'${key}' is not subscribed`);
    const durable = parser.text(HEADER.durable) ?? parser.text(HEADER.persistent);
    const receipt = this.receiptId();
    this.end(subscription);
    const { durableQueue } = subscription;
    if (durableQueue === null || durable === null || !isTrue(durable)) {
      this.receipt(receipt);
      return;
    }
    const deleted = this.session!.deleteQueue(durableQueue, { ifUnused: false, ifEmpty: false });
    this.suspend(deleted.then(() => this.receipt(receipt)));
  }

  /** A subscription's key in SUBSCRIBE and UNSUBSCRIBE: its id, or in 1.0 its destination. */
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
    this.subscriptions.delete(subscription.key);
    this.byNumber.delete(subscription.number);
    this.cancel(subscription);
    this.session!.requeueAll(subscription.unacked.drain());
  }

  private cancel(subscription: Subscription): void {
    subscription.ended = true;
    if (subscription.consumer !== null) this.session!.cancel(subscription.consumer);
  }

  /** ACK and NACK. 1.2 names the message in `id`, 1.0 and 1.1 in `message-id`. */
  private acknowledge(): void {
    const { parser } = this;
    const text = parser.text(parser.version === STOMP_VERSION.v1_2 ? HEADER.id : HEADER.messageId);
    const command = commandName(parser.command);
    if (text === null) {
      const name = parser.version === STOMP_VERSION.v1_2 ? 'id' : 'message-id';
      throw new StompError('Missing header', `${command} needs the '${name}' header`);
    }
    const id = parseMessageId(text, this.sessionId);
    if (id === null)
      throw new StompError('Invalid header', `${command} of '${text}', which is no message of this session`);
    const requeue = parser.text(HEADER.requeue);
    const operation: Operation =
      parser.command === COMMAND.ack
        ? { kind: 'ack', id }
        : { kind: 'nack', id, requeue: requeue === null || isTrue(requeue) };
    const transaction = parser.text(HEADER.transaction);
    if (transaction !== null) this.openTransactions().add(transaction, operation);
    else this.settle(id, operation.kind === 'ack' ? null : operation.requeue);
  }

  /**
   * Settles what an ACK (`requeue` null) or NACK names. A message that is settled already, or whose subscription ended
   * and that therefore went back, is no error: client libraries acknowledge after they unsubscribed. A number that was
   * never delivered is.
   */
  private settle(id: MessageId, requeue: boolean | null): void {
    const subscription = this.byNumber.get(id.subscription);
    if (subscription === undefined) {
      if (id.subscription > this.lastNumber) throw unknownMessage();
      return;
    }
    const { unacked, mode } = subscription;
    if (id.number === 0 || id.number > unacked.lastTag) throw unknownMessage();
    const session = this.session!;
    const wasFull = !subscription.writable();
    if (mode === ACK_MODE.client) {
      if (requeue === true) session.requeueAll(unacked.takeUpTo(id.number));
      else {
        for (let entry = unacked.takeFirst(id.number); entry !== null; entry = unacked.takeFirst(id.number)) {
          if (requeue === null) session.acknowledge(entry);
          else session.reject(entry, false);
        }
      }
    } else {
      const entry = unacked.take(id.number);
      if (entry === null) return;
      if (requeue === null) session.acknowledge(entry);
      else session.reject(entry, requeue);
    }
    if (wasFull) subscription.resume();
  }

  /** Carries a transaction out: one slot of the ring stands for all of it. */
  private async commit(): Promise<void> {
    const operations = this.openTransactions().take(this.required(HEADER.transaction));
    const { ring } = this;
    const slot = ring.open(this.receiptId() ?? undefined);
    this.publishes = true;
    for (const operation of operations) {
      if (this.state !== 'running') return;
      if (operation.kind === 'send') {
        const { message, destination } = operation;
        const outcome = this.session!.publish(message, ring, slot);
        // Only an authorisation that has to wait, or a queue that was deleted meanwhile, splits the turn.
        if (outcome !== PUBLISH.routed) await this.publishLater(outcome, message, destination, ring, slot);
      } else this.settle(operation.id, operation.kind === 'ack' ? null : operation.requeue);
    }
    ring.settle(slot);
  }

  private disconnect(): void {
    for (const subscription of [...this.subscriptions.values()]) this.end(subscription);
    const goodbye = new Goodbye(this.receiptId());
    this.state = 'closing';
    if (this.ring.size > 0) this.ring.settle(this.ring.open(goodbye));
    else {
      if (goodbye.receipt !== null) this.writer.receipt(goodbye.receipt);
      this.finish();
    }
  }

  private openTransactions(): Transactions {
    if (this.transactions === null) throw new StompError('Invalid transaction', 'no transaction is open');
    return this.transactions;
  }

  private required(name: Buffer): string {
    const { parser } = this;
    const text = parser.text(name);
    if (text === null || text === '') {
      throw new StompError('Missing header', `${commandName(parser.command)} needs the '${name}' header`);
    }
    return text;
  }

  /** The current frame's receipt header, byte for byte, or null. */
  private receiptId(): string | null {
    const { parser } = this;
    if (parser.receiptStart < 0) return null;
    return parser.buffer.toString('latin1', parser.frame + parser.receiptStart, parser.frame + parser.receiptEnd);
  }

  /** A frame was carried out: its receipt, behind those that still wait. */
  private receipt(receiptId: string | null): void {
    if (receiptId === null || this.state !== 'running') return;
    if (this.ring.size > 0) this.ring.settle(this.ring.open(receiptId));
    else this.writer.receipt(receiptId);
  }

  // Waiting, and the end.

  /** No frame is looked at until `work` is done. */
  private suspend(work: Promise<void>): void {
    if (this.suspensions++ === 0) this.transport.pause();
    work.then(
      () => this.continue(null),
      (error: unknown) => this.continue(error),
    );
  }

  private continue(error: unknown): void {
    this.context.turn.begin();
    this.suspensions--;
    if (error !== null) this.fail(error);
    if (this.suspensions > 0) return;
    if (this.state === 'closing' || this.state === 'closed') this.release();
    else this.resume();
  }

  private isHeld(): boolean {
    return this.blocked && this.publishes;
  }

  private resume(): void {
    if (this.suspensions > 0 || this.isHeld()) return;
    this.transport.resume();
    this.pump();
  }

  /** A queue went away beneath a subscription. STOMP knows no other way to say so than an ERROR. */
  private readonly lost = (subscription: Subscription): void => {
    this.context.turn.begin();
    this.fail(new StompError('Subscription ended', `the queue of subscription '${subscription.key}' is gone`), null);
  };

  /** Ends the connection with an ERROR frame. */
  private fail(error: unknown, receiptId: string | null = this.receiptId()): void {
    if (this.state === 'closed' || this.failed) return;
    this.failed = true;
    const { log } = this.context;
    const details = { connection: this.id, peer: this.transport.peer, user: this.session?.identity.user ?? null };
    let summary = 'internal_error';
    let detail = 'the broker failed to handle a frame';
    if (error instanceof StompError) {
      summary = error.summary;
      detail = error.detail;
    } else if (error instanceof BrokerError) {
      summary = summaryOf(error.kind);
      detail = error.message;
    } else log.error({ ...details, error: error instanceof Error ? error.stack : String(error) }, 'STOMP frame failed');
    log.info({ ...details, summary, detail }, 'STOMP connection refused');
    // Nothing comes behind an ERROR: not a message, not a receipt.
    this.release();
    const { version } = this.writer;
    const body = Buffer.from(`${detail}\n`);
    const receipt = receiptId === null ? '' : `receipt-id:${Buffer.from(receiptId, 'latin1').toString()}\n`;
    const head = `ERROR\nmessage:${escapeHeader(summary, version)}\n${receipt}content-type:text/plain\n`;
    this.writer.frame(
      Buffer.from(`${head}version:${SUPPORTED_VERSIONS}\ncontent-length:${body.length}\n\n${detail}\n\0`),
    );
    this.finish();
  }

  private finish(): void {
    this.state = 'closing';
    this.transport.end();
  }

  /** Gives everything back: what is out goes back to its queues, consumers and exclusive queues end. Idempotent. */
  private release(): void {
    this.ring.close();
    const { session } = this;
    if (session === null) return;
    const entries: QueueEntry[] = [];
    for (const subscription of this.subscriptions.values()) {
      this.cancel(subscription);
      for (const entry of subscription.unacked.drain()) entries.push(entry);
    }
    this.subscriptions.clear();
    this.byNumber.clear();
    session.requeueAll(entries);
    // What is suspended may still declare and consume; it is given back when it is done.
    if (this.suspensions === 0) session.close();
  }
}

function notConnected(): StompError {
  return new StompError('Not connected', 'the first frame must be CONNECT or STOMP');
}

function unknownMessage(): StompError {
  return new StompError('Unknown message', 'that message was not delivered to this session');
}
