// The consumers of one channel by tag, and its consumer of direct replies. A consumer begins with basic.consume and
// ends with basic.cancel, its queue or its channel.

import { randomBytes } from 'node:crypto';
import { FIELD_TYPE_NAMES, findField, integerOf } from '../../src/core/message/field-table.ts';
import type { Message } from '../../src/core/message/message.ts';
import type { Meters } from '../../src/core/ports/meters.ts';
import { leaveLine } from '../../src/core/queue/credit-line.ts';
import type { Session } from '../../src/core/session/session.ts';
import { REPLY_QUEUE, type ReplyReceiver } from '../../src/core/vhost/direct-replies.ts';
import { AmqpError, REPLY } from './amqp-error.ts';
import { Delivery, type DeliveryChannel } from './delivery.ts';
import { consumerCancelled, consumerTagOk } from './method-frames.ts';
import { METHOD } from './method-ids.ts';
import type { readCancel, readConsume } from './methods.ts';

/** Unsent bytes of a connection at which direct replies are dropped: they have no queue to wait in. */
const REPLY_BACKLOG_BYTES = 64 * 1024 * 1024;

/** What the consumers need of their channel. */
export interface ConsumersChannel extends DeliveryChannel {
  readonly session: Session;
  readonly meters: Meters;
  readonly consumersPerChannel: number;
  /** Whether the client supports consumer cancel notifications. */
  readonly notifiesCancel: boolean;
  send(frame: Buffer): void;
}

export class Consumers implements ReplyReceiver {
  /** The address of direct replies to this channel; null: it does not consume them. */
  replyAddress: string | null;
  private readonly channel: ConsumersChannel;
  private readonly session: Session;
  private readonly byTag: Map<string, Delivery>;
  private replies: Delivery | null;
  private ended: boolean;

  constructor(channel: ConsumersChannel) {
    this.replyAddress = null;
    this.channel = channel;
    this.session = channel.session;
    this.byTag = new Map();
    this.replies = null;
    this.ended = false;
  }

  /** `args.queue` is the queue's whole name. */
  async consume(args: ReturnType<typeof readConsume>, prefetch: number): Promise<void> {
    const tag = args.tag === '' ? `amq.ctag-${randomBytes(16).toString('base64url')}` : args.tag;
    if (this.byTag.has(tag)) throw new AmqpError(REPLY.notAllowed, `attempt to reuse consumer tag '${tag}'`);
    const { consumersPerChannel } = this.channel;
    if (this.byTag.size >= consumersPerChannel) {
      const text = `reached maximum (${consumersPerChannel}) of consumers per channel`;
      throw new AmqpError(REPLY.notAllowed, text, 'amqp.consumersPerChannel');
    }
    const delivery = new Delivery(tag, this.channel);
    if (args.queue === REPLY_QUEUE) {
      this.consumeReplies(delivery, args.noAck);
      if (!args.noWait) this.channel.send(consumerTagOk(this.channel.number, METHOD.basicConsumeOk, tag));
      return;
    }
    const { noAck, exclusive } = args;
    const priority = priorityOf(args, this.session.vhost.name);
    const options = { tag, noAck, exclusive, prefetch, priority, args: args.args };
    const consumer = await this.session.consume(args.queue, options, delivery);
    if (this.ended) {
      this.session.cancel(consumer);
      return;
    }
    delivery.consumer = consumer;
    this.byTag.set(tag, delivery);
    if (!args.noWait) this.channel.send(consumerTagOk(this.channel.number, METHOD.basicConsumeOk, tag));
    consumer.start();
  }

  cancel(args: ReturnType<typeof readCancel>): void {
    const delivery = this.byTag.get(args.tag);
    // An unknown tag is confirmed too: the consumer may have ended with its queue (as RabbitMQ).
    if (delivery !== undefined) {
      this.byTag.delete(args.tag);
      if (delivery === this.replies) this.endReplies();
      else {
        leaveLine(delivery.consumer!);
        this.session.cancel(delivery.consumer!);
      }
    }
    if (!args.noWait) this.channel.send(consumerTagOk(this.channel.number, METHOD.basicCancelOk, args.tag));
  }

  /** The queue of a consumer was deleted. */
  cancelled(delivery: Delivery): void {
    this.byTag.delete(delivery.tag);
    if (delivery.consumer !== null) leaveLine(delivery.consumer);
    if (this.channel.notifiesCancel) this.channel.send(consumerCancelled(this.channel.number, delivery.tag));
  }

  end(): void {
    this.ended = true;
    for (const { consumer } of this.byTag.values()) {
      if (consumer === null) continue;
      leaveLine(consumer);
      this.session.cancel(consumer);
    }
    this.byTag.clear();
    this.endReplies();
  }

  reply(message: Message): void {
    if (this.channel.outbox.unsentBytes > REPLY_BACKLOG_BYTES) this.channel.meters.droppedDirect++;
    else this.replies!.reply(message);
  }

  private consumeReplies(delivery: Delivery, noAck: boolean): void {
    if (this.replies !== null) throw new AmqpError(REPLY.preconditionFailed, 'reply consumer already set');
    if (!noAck) throw new AmqpError(REPLY.preconditionFailed, 'reply consumer cannot acknowledge');
    this.replies = delivery;
    this.replyAddress = this.session.openReplies(this);
    this.byTag.set(delivery.tag, delivery);
  }

  private endReplies(): void {
    if (this.replyAddress !== null) this.session.closeReplies(this.replyAddress);
    this.replies = null;
    this.replyAddress = null;
  }
}

function priorityOf({ args, queue }: ReturnType<typeof readConsume>, vhost: string): number {
  const field = findField(args, 'x-priority');
  if (field === null) return 0;
  const priority = integerOf(field);
  if (priority === null) {
    const why = `"expected integer, got ${FIELD_TYPE_NAMES[field.type]}"`;
    const what = `invalid arg 'x-priority' for queue '${queue}' in vhost '${vhost}'`;
    throw new AmqpError(REPLY.preconditionFailed, `${what}: ${why}`);
  }
  return priority;
}
