// One channel: its consumers, its unacknowledged deliveries, its prefetch, and the methods of classes exchange, queue,
// basic and confirm. Publishing is in publishing.ts, delivering in delivery.ts. Called by its connection only, which
// sees to it that nothing arrives here while a control operation is under way.
//
// Invariant: after `release` the channel holds nothing of the core's: no consumer, no entry, no ring.

import { randomBytes } from 'node:crypto';
import { EMPTY_TABLE, findField, integerOf } from '../../src/core/field-table.ts';
import type { Meters } from '../../src/core/ports.ts';
import type { Session } from '../../src/core/session.ts';
import type { Turn } from '../../src/core/turn.ts';
import { Unacked } from '../../src/core/unacked.ts';
import { isExchangeKind } from '../../src/core/virtual-host.ts';
import type { Outbox } from '../../src/net/outbox.ts';
import { AmqpError, REPLY } from './amqp-error.ts';
import { writeContent } from './content.ts';
import { Delivery, type DeliveryChannel } from './delivery.ts';
import {
  bareMethod,
  channelFlowOk,
  consumerCancelled,
  consumerTagOk,
  getEmpty,
  getOk,
  messageCountOk,
  queueDeclareOk,
} from './method-frames.ts';
import { METHOD, type MethodId } from './method-ids.ts';
import * as read from './methods.ts';
import type { PropertyScanner } from './properties.ts';
import { type PublishChannel, Publishing } from './publishing.ts';
import type { Reader } from './reader.ts';
import type { ShortStringCache, ShortStringEncoder } from './short-string.ts';

/** What a channel needs of its connection. */
export interface ChannelConnection {
  readonly session: Session;
  readonly outbox: Outbox;
  readonly turn: Turn;
  readonly meters: Meters;
  readonly names: ShortStringCache;
  readonly encodedNames: ShortStringEncoder;
  readonly scanner: PropertyScanner;
  readonly maxPayloadBytes: number;
  readonly maxMessageBytes: number;
  readonly unackedPerChannel: number;
  readonly consumersPerChannel: number;
  /** Whether the client wants to hear of consumers that end with their queue. */
  readonly notifiesCancel: boolean;
  send(frame: Buffer): void;
  suspendFor(work: Promise<void>, channel: AmqpChannel, method: number): void;
  failChannel(channel: AmqpChannel, error: unknown, method: number): void;
}

export class AmqpChannel implements DeliveryChannel, PublishChannel {
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
  readonly unacked: Unacked;
  readonly publishing: Publishing;
  /** We have sent channel.close; everything but close and close-ok is ignored until the client's close-ok. */
  closing: boolean;
  private readonly connection: ChannelConnection;
  private readonly consumers: Map<string, Delivery>;
  private lastQueue: string;
  /** For consumers to come (basic.qos, global=false). */
  private prefetch: number;
  /** For all consumers of the channel together (global=true); 0: no limit but our own. */
  private channelPrefetch: number;
  /** Whether a delivery was held back because the channel had no credit. */
  private starved: boolean;
  private released: boolean;

  constructor(number: number, connection: ChannelConnection) {
    this.number = number;
    this.session = connection.session;
    this.outbox = connection.outbox;
    this.turn = connection.turn;
    this.meters = connection.meters;
    this.names = connection.names;
    this.encodedNames = connection.encodedNames;
    this.scanner = connection.scanner;
    this.maxPayloadBytes = connection.maxPayloadBytes;
    this.maxMessageBytes = connection.maxMessageBytes;
    this.unacked = new Unacked();
    this.closing = false;
    this.connection = connection;
    this.consumers = new Map();
    this.lastQueue = '';
    this.prefetch = 0;
    this.channelPrefetch = 0;
    this.starved = false;
    this.released = false;
    this.publishing = new Publishing(this);
  }

  /** A method of this channel other than basic.publish and basic.ack. */
  method(method: number, reader: Reader): void {
    switch (method) {
      case METHOD.channelFlow:
        this.flow(read.readFlow(reader));
        break;
      case METHOD.exchangeDeclare:
        this.await(method, this.exchangeDeclare(read.readExchangeDeclare(reader)));
        break;
      case METHOD.exchangeDelete:
        this.await(method, this.exchangeDelete(read.readExchangeDelete(reader)));
        break;
      case METHOD.exchangeBind:
        this.await(method, this.exchangeBind(read.readExchangeBind(reader)));
        break;
      case METHOD.exchangeUnbind:
        this.await(method, this.exchangeUnbind(read.readExchangeBind(reader)));
        break;
      case METHOD.queueDeclare:
        this.await(method, this.queueDeclare(read.readQueueDeclare(reader)));
        break;
      case METHOD.queueBind:
        this.await(method, this.queueBind(read.readQueueBind(reader)));
        break;
      case METHOD.queueUnbind:
        this.await(method, this.queueUnbind(read.readQueueUnbind(reader)));
        break;
      case METHOD.queuePurge:
        this.await(method, this.queuePurge(read.readQueuePurge(reader)));
        break;
      case METHOD.queueDelete:
        this.await(method, this.queueDelete(read.readQueueDelete(reader)));
        break;
      case METHOD.basicQos:
        this.qos(read.readQos(reader));
        break;
      case METHOD.basicConsume:
        this.await(method, this.consume(read.readConsume(reader)));
        break;
      case METHOD.basicCancel:
        this.cancel(read.readCancel(reader));
        break;
      case METHOD.basicGet:
        this.await(method, this.get(read.readGet(reader)));
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
      case METHOD.txCommit:
      case METHOD.txRollback:
        throw new AmqpError(REPLY.notImplemented, 'transactions are not supported by this version');
      default:
        throw unknownMethod(method);
    }
  }

  /** delivery-tag(longlong) multiple(bit). Hot: with small prefetch there is one for each message. */
  acknowledge(tag: number, multiple: boolean): void {
    const { session, unacked } = this;
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
    if (this.starved) this.resumeConsumers();
  }

  /** Gives everything back to the core: consumers end, entries are requeued, nothing is confirmed any more. */
  release(): void {
    if (this.released) return;
    this.released = true;
    this.publishing.close();
    // Consumers first, so that what is requeued goes to others.
    for (const { consumer } of this.consumers.values()) if (consumer !== null) this.session.cancel(consumer);
    this.consumers.clear();
    this.session.requeueAll(this.unacked.drain());
  }

  /** The outbox became writable again, or the channel has credit again. */
  resumeConsumers(): void {
    this.starved = false;
    for (const { consumer } of this.consumers.values()) consumer?.resume();
  }

  hasCredit(): boolean {
    const { size } = this.unacked;
    if (size < this.connection.unackedPerChannel && (this.channelPrefetch === 0 || size < this.channelPrefetch)) {
      return true;
    }
    this.starved = true;
    return false;
  }

  consumerCancelled(delivery: Delivery): void {
    this.consumers.delete(delivery.tag);
    if (this.connection.notifiesCancel) this.send(consumerCancelled(this.number, delivery.tag));
  }

  fail(error: unknown, method: number): void {
    this.connection.failChannel(this, error, method);
  }

  suspendFor(work: Promise<void>, method: number): void {
    this.connection.suspendFor(work, this, method);
  }

  private flow({ active }: { active: boolean }): void {
    // As RabbitMQ: a client may only say that it takes deliveries; prefetch is how it stops them.
    if (!active) throw new AmqpError(REPLY.notImplemented, 'active=false');
    this.send(channelFlowOk(this.number, active));
  }

  private async exchangeDeclare(args: ReturnType<typeof read.readExchangeDeclare>): Promise<void> {
    const { exchange, kind, noWait } = args;
    if (args.passive) {
      await this.session.checkExchange(exchange);
    } else {
      if (!isExchangeKind(kind)) throw new AmqpError(REPLY.commandInvalid, `unknown exchange type '${kind}'`);
      const { durable, autoDelete, internal } = args;
      await this.session.declareExchange({ name: exchange, kind, durable, autoDelete, internal, args: args.args });
    }
    this.reply(METHOD.exchangeDeclareOk, noWait);
  }

  private async exchangeDelete(args: ReturnType<typeof read.readExchangeDelete>): Promise<void> {
    await this.session.deleteExchange(args.exchange, args.ifUnused);
    this.reply(METHOD.exchangeDeleteOk, args.noWait);
  }

  private async exchangeBind(args: ReturnType<typeof read.readExchangeBind>): Promise<void> {
    await this.session.bindExchange(args);
    this.reply(METHOD.exchangeBindOk, args.noWait);
  }

  private async exchangeUnbind(args: ReturnType<typeof read.readExchangeBind>): Promise<void> {
    await this.session.unbindExchange(args);
    this.reply(METHOD.exchangeUnbindOk, args.noWait);
  }

  private async queueDeclare(args: ReturnType<typeof read.readQueueDeclare>): Promise<void> {
    const { durable, exclusive, autoDelete } = args;
    const state = args.passive
      ? await this.session.checkQueue(this.queueName(args.queue))
      : await this.session.declareQueue({ name: args.queue, durable, exclusive, autoDelete, args: args.args });
    this.lastQueue = state.name;
    if (!args.noWait) this.send(queueDeclareOk(this.number, state.name, state.messageCount, state.consumerCount));
  }

  private async queueBind(args: ReturnType<typeof read.readQueueBind>): Promise<void> {
    await this.session.bindQueue(this.binding(args));
    this.reply(METHOD.queueBindOk, args.noWait);
  }

  private async queueUnbind(args: ReturnType<typeof read.readQueueUnbind>): Promise<void> {
    await this.session.unbindQueue(this.binding(args));
    this.reply(METHOD.queueUnbindOk, false);
  }

  private async queuePurge(args: ReturnType<typeof read.readQueuePurge>): Promise<void> {
    const messages = await this.session.purgeQueue(this.queueName(args.queue));
    if (!args.noWait) this.send(messageCountOk(this.number, METHOD.queuePurgeOk, messages));
  }

  private async queueDelete(args: ReturnType<typeof read.readQueueDelete>): Promise<void> {
    const messages = await this.session.deleteQueue(this.queueName(args.queue), args);
    if (!args.noWait) this.send(messageCountOk(this.number, METHOD.queueDeleteOk, messages));
  }

  private qos(args: ReturnType<typeof read.readQos>): void {
    if (args.prefetchSize !== 0) {
      throw new AmqpError(REPLY.notImplemented, `prefetch_size!=0 (${args.prefetchSize})`);
    }
    if (args.global) {
      this.channelPrefetch = args.prefetchCount;
      this.resumeConsumers();
    } else {
      this.prefetch = args.prefetchCount;
    }
    this.reply(METHOD.basicQosOk, false);
  }

  private async consume(args: ReturnType<typeof read.readConsume>): Promise<void> {
    const tag = args.tag === '' ? `amq.ctag-${randomBytes(16).toString('base64url')}` : args.tag;
    if (this.consumers.has(tag)) throw new AmqpError(REPLY.notAllowed, `attempt to reuse consumer tag '${tag}'`);
    const { consumersPerChannel } = this.connection;
    if (this.consumers.size >= consumersPerChannel) {
      throw new AmqpError(REPLY.notAllowed, `reached maximum (${consumersPerChannel}) of consumers per channel`);
    }
    const { noAck, exclusive } = args;
    const priority = integerOf(findField(args.args, 'x-priority')) ?? 0;
    const options = { tag, noAck, exclusive, prefetch: this.prefetch, priority, args: args.args };
    const delivery = new Delivery(tag, this);
    const consumer = await this.session.consume(this.queueName(args.queue), options, delivery);
    if (this.released) {
      this.session.cancel(consumer);
      return;
    }
    delivery.consumer = consumer;
    this.consumers.set(tag, delivery);
    if (!args.noWait) this.send(consumerTagOk(this.number, METHOD.basicConsumeOk, tag));
    consumer.start();
  }

  private cancel(args: ReturnType<typeof read.readCancel>): void {
    const delivery = this.consumers.get(args.tag);
    // A tag that nobody has is confirmed too: the consumer may have ended with its queue (as RabbitMQ).
    if (delivery !== undefined) {
      this.consumers.delete(args.tag);
      if (delivery.consumer !== null) this.session.cancel(delivery.consumer);
    }
    if (!args.noWait) this.send(consumerTagOk(this.number, METHOD.basicCancelOk, args.tag));
  }

  private async get(args: ReturnType<typeof read.readGet>): Promise<void> {
    const got = await this.session.get(this.queueName(args.queue), args.noAck);
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
    const entry = this.unacked.take(args.tag);
    if (entry === null) {
      this.fail(unknownTag(args.tag), METHOD.basicReject);
      return;
    }
    this.session.reject(entry, args.requeue);
    if (this.starved) this.resumeConsumers();
  }

  private nack(args: { tag: number; multiple: boolean; requeue: boolean }): void {
    if (!args.multiple) {
      this.reject(args);
      return;
    }
    const last = this.lastOf(args.tag, METHOD.basicNack);
    if (last === null) return;
    const entries = this.unacked.takeUpTo(last);
    if (args.requeue) this.session.requeueAll(entries);
    else for (const entry of entries) this.session.reject(entry, false);
    if (this.starved) this.resumeConsumers();
  }

  private recover({ requeue }: { requeue: boolean }, asynchronous: boolean): void {
    // As RabbitMQ: the same consumer gets it again only by chance.
    if (!requeue) throw new AmqpError(REPLY.notImplemented, 'requeue=false');
    this.session.requeueAll(this.unacked.drain());
    this.reply(METHOD.basicRecoverOk, asynchronous);
    if (this.starved) this.resumeConsumers();
  }

  private confirmSelect({ noWait }: { noWait: boolean }): void {
    this.publishing.confirm(this.turn);
    this.reply(METHOD.confirmSelectOk, noWait);
  }

  /** The last tag that a `multiple` covers (0 stands for all), or null where there is no such delivery. */
  private lastOf(tag: number, method: MethodId): number | null {
    if (tag === 0) return this.unacked.lastTag;
    if (this.unacked.get(tag) !== null) return tag;
    this.fail(unknownTag(tag), method);
    return null;
  }

  /** §1.7.2.3: an empty queue name is the last declared queue; then an empty key is its name. */
  private binding(args: ReturnType<typeof read.readQueueUnbind>) {
    const queue = this.queueName(args.queue);
    const routingKey = args.queue === '' && args.routingKey === '' ? queue : args.routingKey;
    return { queue, exchange: args.exchange, routingKey, args: args.args ?? EMPTY_TABLE };
  }

  private queueName(name: string): string {
    if (name !== '') return name;
    if (this.lastQueue === '') throw new AmqpError(REPLY.notFound, 'no previously declared queue');
    return this.lastQueue;
  }

  private reply(method: MethodId, noWait: boolean): void {
    if (!noWait) this.send(bareMethod(this.number, method));
  }

  private await(method: number, work: Promise<void>): void {
    this.suspendFor(work, method);
  }

  private send(frame: Buffer): void {
    this.connection.send(frame);
  }
}

const KNOWN = new Set<number>(Object.values(METHOD));

/** A method that exists but may not be sent to a broker, or one that does not exist. */
export function unknownMethod(method: number): AmqpError {
  const classId = method >>> 16;
  const methodId = method & 0xffff;
  if (KNOWN.has(method)) return new AmqpError(REPLY.commandInvalid, `unexpected method {${classId},${methodId}}`);
  return new AmqpError(REPLY.notImplemented, `unknown method {${classId},${methodId}}`);
}

function unknownTag(tag: number): AmqpError {
  return new AmqpError(REPLY.preconditionFailed, `unknown delivery tag ${tag}`);
}
