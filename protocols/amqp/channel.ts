// One channel: its unacknowledged deliveries, its prefetch, its mode (confirm, transactional), and the methods of
// classes basic, confirm and tx. Publishing is in publishing.ts, consuming in consumers.ts; exchanges and queues are
// declared in definitions.ts. Only its connection calls it, and not while a control operation is in progress.
//
// Invariant: after `release` the channel holds nothing of the core: no consumer, no entry, no confirm ring.

import type { Message } from '../../src/core/message/message.ts';
import type { Meters } from '../../src/core/ports/meters.ts';
import type { Consumer } from '../../src/core/queue/consumer.ts';
import { CreditLine } from '../../src/core/queue/credit-line.ts';
import { Unacked } from '../../src/core/queue/unacked.ts';
import type { Session } from '../../src/core/session/session.ts';
import type { Outcome } from '../../src/core/session/transaction.ts';
import type { Task, Turn } from '../../src/core/turn/turn.ts';
import type { WorkDescription, Worker } from '../../src/core/turn/turn-watch.ts';
import type { Outbox } from '../../src/net/outbox.ts';
import { AmqpError, REPLY } from './amqp-error.ts';
import { Consumers, type ConsumersChannel } from './consumers.ts';
import { writeContent } from './content.ts';
import type { ContentParser } from './content-parser.ts';
import type { AmqpContext } from './context.ts';
import { Definitions, type DefinitionsChannel } from './definitions.ts';
import type { Delivery } from './delivery.ts';
import { bareMethod, channelFlowOk, getEmpty, getOk } from './method-frames.ts';
import { METHOD, type MethodId } from './method-ids.ts';
import * as read from './methods.ts';
import type { PropertyScanner } from './properties.ts';
import { type PublishChannel, Publishing } from './publishing.ts';
import type { Reader } from './reader.ts';
import type { ShortStringCache, ShortStringEncoder } from './short-string.ts';
import { ChannelTransaction, type TransactionChannel } from './transaction.ts';
import { unknownMethod } from './unknown-method.ts';

/** What a channel needs of its connection. */
export interface ChannelConnection extends Worker {
  readonly session: Session;
  readonly outbox: Outbox;
  readonly turn: Turn;
  readonly meters: Meters;
  readonly context: AmqpContext;
  readonly maxPayloadBytes: number;
  readonly channelMax: number;
  /** Bytes that the open transactions of its channels hold. */
  readonly transacted: { bytes: number };
  /** Bytes that are allocated for bodies which have begun, on all its channels. */
  readonly unfinished: { bytes: number };
  /** Whether the client supports consumer cancel notifications. */
  readonly notifiesCancel: boolean;
  send(frame: Buffer): void;
  /** A fault of ours: the connection ends at once; what was written and not sent is dropped. */
  broken(): void;
  suspendFor(work: Promise<void>, channel: AmqpChannel, method: number): void;
  failChannel(channel: AmqpChannel, error: unknown, method: number): void;
}

export class AmqpChannel implements ConsumersChannel, PublishChannel, DefinitionsChannel, TransactionChannel, Task {
  readonly number: number;
  readonly session: Session;
  readonly outbox: Outbox;
  readonly turn: Turn;
  readonly meters: Meters;
  readonly names: ShortStringCache;
  readonly encodedNames: ShortStringEncoder;
  readonly scanner: PropertyScanner;
  readonly maxPayloadBytes: number;
  readonly maxMessageBytes: number;
  readonly consumersPerChannel: number;
  readonly transactionOperations: number;
  readonly transactionBytes: number;
  readonly transacted: { bytes: number };
  readonly unfinished: { bytes: number };
  readonly unfinishedBytes: number;
  readonly unacked: Unacked;
  /** Consumers that wait for credit of the channel, and those that wait for nothing but the outbox. */
  private readonly line: CreditLine;
  private readonly unlimited: CreditLine;
  readonly publishing: Publishing;
  readonly content: ContentParser;
  /** channel.close was sent; everything but close and close-ok is ignored until the client's close-ok. */
  closing: boolean;
  private readonly connection: ChannelConnection;
  private readonly unackedLimit: number;
  private readonly consumers: Consumers;
  private readonly definitions: Definitions;
  /** For new consumers (basic.qos, global=false). */
  private prefetch: number;
  /** Entries that may be out at once. */
  private limit: number;
  /** For all consumers of the channel together (global=true); 0: only the broker's own limit. */
  private channelPrefetch: number;
  /** Whether it is on the work list, to resume consumers. */
  private resuming: boolean;
  private released: boolean;

  constructor(number: number, connection: ChannelConnection) {
    const { context } = connection;
    const { limits } = context;
    this.number = number;
    this.session = connection.session;
    this.outbox = connection.outbox;
    this.turn = connection.turn;
    this.meters = connection.meters;
    this.names = context.names;
    this.encodedNames = context.encodedNames;
    this.scanner = context.scanner;
    this.maxPayloadBytes = connection.maxPayloadBytes;
    this.maxMessageBytes = context.messageBytes;
    this.consumersPerChannel = limits.consumersPerChannel;
    this.transactionOperations = limits.transactionOperations;
    this.transactionBytes = limits.transactionBytes;
    this.transacted = connection.transacted;
    this.unfinished = connection.unfinished;
    this.unfinishedBytes = Math.max(limits.unfinishedBytes, this.maxMessageBytes);
    this.unacked = new Unacked();
    this.line = new CreditLine();
    this.unlimited = new CreditLine();
    this.closing = false;
    this.connection = connection;
    this.unackedLimit = context.unackedPerChannel;
    this.consumers = new Consumers(this);
    this.definitions = new Definitions(this);
    this.prefetch = 0;
    this.limit = this.unackedLimit;
    this.channelPrefetch = 0;
    this.resuming = false;
    this.released = false;
    this.publishing = new Publishing(this);
    this.content = this.publishing.content;
  }

  get replyAddress(): string | null {
    return this.consumers.replyAddress;
  }

  get notifiesCancel(): boolean {
    return this.connection.notifiesCancel;
  }

  /** A method of this channel other than basic.publish and basic.ack. */
  method(method: number, reader: Reader): void {
    switch (method) {
      case METHOD.channelFlow:
        this.flow(read.readFlow(reader));
        break;
      case METHOD.basicQos:
        this.qos(read.readQos(reader));
        break;
      case METHOD.basicConsume:
        this.suspendFor(this.consume(read.readConsume(reader)), method);
        break;
      case METHOD.basicCancel:
        this.consumers.cancel(read.readCancel(reader));
        break;
      case METHOD.basicGet:
        this.suspendFor(this.get(read.readGet(reader)), method);
        break;
      case METHOD.basicReject:
        this.reject(read.readReject(reader));
        break;
      case METHOD.basicNack:
        this.nack(read.readNack(reader));
        break;
      case METHOD.basicRecover:
        this.recover(read.readRecover(reader), false);
        break;
      case METHOD.basicRecoverAsync:
        this.recover(read.readRecover(reader), true);
        break;
      case METHOD.confirmSelect:
        this.confirmSelect(read.readConfirmSelect(reader));
        break;
      case METHOD.txSelect:
        this.txSelect(reader);
        break;
      case METHOD.txCommit:
        this.txCommit(reader);
        break;
      case METHOD.txRollback:
        this.txRollback(reader);
        break;
      default: {
        const work = this.definitions.method(method, reader);
        if (work === null) throw unknownMethod(method);
        this.suspendFor(work, method);
      }
    }
  }

  /** delivery-tag(longlong) multiple(bit). Hot: with small prefetch there is one for each message. */
  acknowledge(tag: number, multiple: boolean): void {
    const { session, unacked } = this;
    if (this.publishing.transaction !== null) {
      this.settleInTransaction(tag, multiple, 'acknowledged', METHOD.basicAck);
      return;
    }
    if (!multiple) {
      const entry = unacked.take(tag);
      if (entry === null) {
        this.fail(unknownTag(tag), METHOD.basicAck);
        return;
      }
      session.acknowledge(entry);
    } else {
      const last = this.lastOf(tag, METHOD.basicAck);
      if (last === null) return;
      for (let entry = unacked.takeFirst(last); entry !== null; entry = unacked.takeFirst(last)) {
        session.acknowledge(entry);
      }
    }
    if (this.line.contended) this.resumeConsumers();
  }

  /** Releases everything: consumers end, entries are requeued, later confirms are dropped. */
  release(): void {
    if (this.released) return;
    this.released = true;
    this.publishing.close();
    // Consumers first, so that requeued entries go to other consumers.
    this.consumers.end();
    this.session.requeueAll(this.unacked.drain());
  }

  /**
   * The outbox became writable again, or the channel has credit again. Consumers resume at the end of the turn, once for
   * all acknowledgements of the turn: 50,000 consumers may have stopped.
   */
  resumeConsumers(): void {
    if (this.resuming || !(this.line.contended || this.unlimited.contended)) return;
    this.resuming = true;
    this.turn.work(this);
  }

  /** Resumes consumers, a round at a time: the channel as a task of the work list. */
  run(): boolean {
    if (this.released) return false;
    const { writable } = this.outbox;
    const more = this.line.callNext(writable ? this.limit - this.unacked.size : 0);
    this.resuming = this.unlimited.callNext(writable ? Number.POSITIVE_INFINITY : 0) || more;
    return this.resuming;
  }

  describeWork(): WorkDescription {
    return { ...this.connection.describeWork(), work: 'resumption of consumers', channel: this.number };
  }

  broken(): void {
    this.connection.broken();
  }

  failed(): void {
    this.resuming = false;
  }

  /**
   * As RabbitMQ, a channel's limit (basic.qos, global) also holds back consumers that do not acknowledge, although what
   * they get does not count.
   */
  admits(consumer: Consumer): boolean {
    const isUnlimited = consumer.noAck && this.channelPrefetch === 0;
    const line = isUnlimited ? this.unlimited : this.line;
    if (this.outbox.writable && (isUnlimited || this.unacked.size < this.limit)) {
      if (!line.contended || line.admits(consumer)) return true;
    }
    line.join(consumer);
    return false;
  }

  consumerCancelled(delivery: Delivery): void {
    this.consumers.cancelled(delivery);
  }

  fail(error: unknown, method: number): void {
    this.connection.failChannel(this, error, method);
  }

  returnMessage(message: Message): void {
    this.publishing.returnMessage(message);
  }

  suspendFor(work: Promise<void>, method: number): void {
    this.connection.suspendFor(work, this, method);
  }

  private flow({ active }: { active: boolean }): void {
    // As RabbitMQ: flow cannot stop deliveries; prefetch does.
    if (!active) throw new AmqpError(REPLY.notImplemented, 'active=false');
    this.send(channelFlowOk(this.number, active));
  }

  private qos(args: ReturnType<typeof read.readQos>): void {
    if (args.prefetchSize !== 0) {
      throw new AmqpError(REPLY.notImplemented, `prefetch_size!=0 (${args.prefetchSize})`);
    }
    if (args.global) {
      this.channelPrefetch = args.prefetchCount;
      this.limit = this.channelPrefetch === 0 ? this.unackedLimit : Math.min(this.channelPrefetch, this.unackedLimit);
      this.resumeConsumers();
    } else {
      this.prefetch = args.prefetchCount;
    }
    this.reply(METHOD.basicQosOk, false);
  }

  private async consume(args: ReturnType<typeof read.readConsume>): Promise<void> {
    await this.consumers.consume({ ...args, queue: this.definitions.queueName(args.queue) }, this.prefetch);
  }

  private async get(args: ReturnType<typeof read.readGet>): Promise<void> {
    const got = await this.session.get(this.definitions.queueName(args.queue), args.noAck);
    if (got === null) {
      this.send(getEmpty(this.number));
      return;
    }
    const { message } = got;
    if (this.released) {
      if (got.entry !== null) this.session.requeueAll([got.entry]);
      return;
    }
    const tag = got.entry === null ? this.unacked.skip() : this.unacked.add(got.entry);
    this.send(getOk(this.number, tag, got.redelivered, message.exchange, message.routingKey, got.messageCount));
    writeContent(this.outbox, this.number, message, this.maxPayloadBytes);
  }

  private reject(args: { tag: number; requeue: boolean }): void {
    if (this.publishing.transaction !== null) {
      this.settleInTransaction(args.tag, false, args.requeue ? 'requeued' : 'rejected', METHOD.basicReject);
      return;
    }
    const entry = this.unacked.take(args.tag);
    if (entry === null) {
      this.fail(unknownTag(args.tag), METHOD.basicReject);
      return;
    }
    this.session.reject(entry, args.requeue);
    if (this.line.contended) this.resumeConsumers();
  }

  private nack(args: { tag: number; multiple: boolean; requeue: boolean }): void {
    if (!args.multiple) {
      this.reject(args);
      return;
    }
    if (this.publishing.transaction !== null) {
      this.settleInTransaction(args.tag, true, args.requeue ? 'requeued' : 'rejected', METHOD.basicNack);
      return;
    }
    const last = this.lastOf(args.tag, METHOD.basicNack);
    if (last === null) return;
    const entries = this.unacked.takeUpTo(last);
    if (args.requeue) this.session.requeueAll(entries);
    else for (const entry of entries) this.session.reject(entry, false);
    if (this.line.contended) this.resumeConsumers();
  }

  private recover({ requeue }: { requeue: boolean }, asynchronous: boolean): void {
    // As RabbitMQ, which cannot redeliver to the same consumer.
    if (!requeue) throw new AmqpError(REPLY.notImplemented, 'requeue=false');
    const { transaction } = this.publishing;
    this.session.requeueAll(transaction === null ? this.unacked.drain() : transaction.takeUnsettled());
    this.reply(METHOD.basicRecoverOk, asynchronous);
    if (this.line.contended) this.resumeConsumers();
  }

  private confirmSelect({ noWait }: { noWait: boolean }): void {
    if (this.publishing.transaction !== null) {
      throw new AmqpError(REPLY.preconditionFailed, 'cannot switch from tx to confirm mode');
    }
    this.publishing.confirm(this.turn);
    this.reply(METHOD.confirmSelectOk, noWait);
  }

  /** The last tag that a `multiple` covers (0 means all), or null if there is no such delivery. */
  private lastOf(tag: number, method: MethodId): number | null {
    if (tag === 0) return this.unacked.lastTag;
    if (this.unacked.get(tag) !== null) return tag;
    this.fail(unknownTag(tag), method);
    return null;
  }

  private txSelect(reader: Reader): void {
    reader.finish();
    if (this.publishing.confirming) {
      throw new AmqpError(REPLY.preconditionFailed, 'cannot switch from confirm to tx mode');
    }
    this.publishing.transaction ??= new ChannelTransaction(this);
    this.reply(METHOD.txSelectOk, false);
  }

  private txCommit(reader: Reader): void {
    reader.finish();
    const committed = this.transaction().commit();
    const done = (): void => {
      this.reply(METHOD.txCommitOk, false);
      if (this.line.contended) this.resumeConsumers();
    };
    this.suspendFor(committed.then(done), METHOD.txCommit);
  }

  private txRollback(reader: Reader): void {
    reader.finish();
    this.transaction().rollback();
    this.reply(METHOD.txRollbackOk, false);
  }

  private transaction(): ChannelTransaction {
    const { transaction } = this.publishing;
    if (transaction === null) throw new AmqpError(REPLY.preconditionFailed, 'channel is not transactional');
    return transaction;
  }

  private settleInTransaction(tag: number, multiple: boolean, outcome: Outcome, method: MethodId): void {
    if (!this.transaction().settle(tag, multiple, outcome)) this.fail(unknownTag(tag), method);
  }

  private reply(method: MethodId, noWait: boolean): void {
    if (!noWait) this.send(bareMethod(this.number, method));
  }

  send(frame: Buffer): void {
    this.connection.send(frame);
  }
}

function unknownTag(tag: number): AmqpError {
  return new AmqpError(REPLY.preconditionFailed, `unknown delivery tag ${tag}`);
}
