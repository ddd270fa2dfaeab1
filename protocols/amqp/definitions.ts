// The methods of classes exchange and queue on one channel: decode, call the session, reply. Each is a control
// operation: the connection parses nothing more until its promise is settled.

import { isExchangeKind } from '../../src/core/exchange/kinds.ts';
import { EMPTY_TABLE } from '../../src/core/message/field-table.ts';
import type { QueueState, Session } from '../../src/core/session/session.ts';
import { REPLY_ADDRESS_PREFIX, REPLY_QUEUE } from '../../src/core/vhost/direct-replies.ts';
import { AmqpError, REPLY } from './amqp-error.ts';
import { bareMethod, messageCountOk, queueDeclareOk } from './method-frames.ts';
import { METHOD, type MethodId } from './method-ids.ts';
import * as read from './methods.ts';
import type { Reader } from './reader.ts';

/** What it needs of its channel. */
export interface DefinitionsChannel {
  readonly number: number;
  readonly session: Session;
  send(frame: Buffer): void;
}

export class Definitions {
  private readonly channel: DefinitionsChannel;
  private readonly session: Session;
  private lastQueue: string;

  constructor(channel: DefinitionsChannel) {
    this.channel = channel;
    this.session = channel.session;
    this.lastQueue = '';
  }

  /** Executes a method of classes exchange or queue; null if there is no such method. */
  method(method: number, reader: Reader): Promise<void> | null {
    switch (method) {
      case METHOD.exchangeDeclare:
        return this.exchangeDeclare(read.readExchangeDeclare(reader));
      case METHOD.exchangeDelete:
        return this.exchangeDelete(read.readExchangeDelete(reader));
      case METHOD.exchangeBind:
        return this.exchangeBind(read.readExchangeBind(reader));
      case METHOD.exchangeUnbind:
        return this.exchangeUnbind(read.readExchangeBind(reader));
      case METHOD.queueDeclare:
        return this.queueDeclare(read.readQueueDeclare(reader));
      case METHOD.queueBind:
        return this.queueBind(read.readQueueBind(reader));
      case METHOD.queueUnbind:
        return this.queueUnbind(read.readQueueUnbind(reader));
      case METHOD.queuePurge:
        return this.queuePurge(read.readQueuePurge(reader));
      case METHOD.queueDelete:
        return this.queueDelete(read.readQueueDelete(reader));
      default:
        return null;
    }
  }

  /** §1.7.2.3: an empty queue name means the last declared queue. */
  queueName(name: string): string {
    if (name !== '') return name;
    if (this.lastQueue === '') throw new AmqpError(REPLY.notFound, 'no previously declared queue');
    return this.lastQueue;
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
    const state = args.queue.startsWith(REPLY_QUEUE)
      ? this.replyQueue(args.queue)
      : args.passive
        ? await this.session.checkQueue(this.queueName(args.queue))
        : await this.session.declareQueue({ name: args.queue, durable, exclusive, autoDelete, args: args.args });
    this.lastQueue = state.name;
    if (!args.noWait)
      this.channel.send(queueDeclareOk(this.channel.number, state.name, state.messageCount, state.consumerCount));
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
    if (!args.noWait) this.channel.send(messageCountOk(this.channel.number, METHOD.queuePurgeOk, messages));
  }

  private async queueDelete(args: ReturnType<typeof read.readQueueDelete>): Promise<void> {
    const messages = await this.session.deleteQueue(this.queueName(args.queue), args);
    if (!args.noWait) this.channel.send(messageCountOk(this.channel.number, METHOD.queueDeleteOk, messages));
  }

  /** The pseudo queue of direct replies always exists; an address exists as long as its requester is connected. */
  private replyQueue(name: string): QueueState {
    if (name !== REPLY_QUEUE && !(name.startsWith(REPLY_ADDRESS_PREFIX) && this.session.hasReplies(name))) {
      throw new AmqpError(REPLY.notFound, `no queue '${name}' in vhost '${this.session.vhost.name}'`);
    }
    return { name, messageCount: 0, consumerCount: 1 };
  }

  /** §1.7.2.3: with an empty queue name an empty key means the name of the queue. */
  private binding(args: ReturnType<typeof read.readQueueUnbind>) {
    const queue = this.queueName(args.queue);
    const routingKey = args.queue === '' && args.routingKey === '' ? queue : args.routingKey;
    return { queue, exchange: args.exchange, routingKey, args: args.args ?? EMPTY_TABLE };
  }

  private reply(method: MethodId, noWait: boolean): void {
    if (!noWait) this.channel.send(bareMethod(this.channel.number, method));
  }
}
