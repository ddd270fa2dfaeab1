// Publishes the messages of a channel: offers them to the session, returns mandatory ones that reach no queue, confirms
// them in confirm mode, or adds them to the channel's transaction. content-parser.ts assembles them.

import type { Message } from '../../src/core/message/message.ts';
import type { Meters } from '../../src/core/ports/meters.ts';
import { PUBLISH, type PublishOutcome } from '../../src/core/session/publish-path.ts';
import type { Session } from '../../src/core/session/session.ts';
import { ConfirmRing, type ConfirmSink, type RingScheduler } from '../../src/core/turn/confirms.ts';
import type { Outbox } from '../../src/net/outbox.ts';
import { AmqpError, REPLY } from './amqp-error.ts';
import { writeContent } from './content.ts';
import { type ContentChannel, ContentParser, type ContentSink } from './content-parser.ts';
import { FRAME, FRAME_END } from './frames.ts';
import { basicReturn } from './method-frames.ts';
import { METHOD } from './method-ids.ts';
import { prepareSpecial } from './special-properties.ts';
import type { ChannelTransaction } from './transaction.ts';

/** What a publisher needs of its channel. */
export interface PublishChannel extends ContentChannel {
  readonly session: Session;
  readonly outbox: Outbox;
  readonly meters: Meters;
  /** The address of direct replies to this channel; null: it does not consume them. */
  readonly replyAddress: string | null;
  /** A fault of ours: the connection ends at once. */
  broken(): void;
  /** Closes the channel or the connection with this error. */
  fail(error: unknown, method: number): void;
  /** Nothing is parsed until `work` is settled. */
  suspendFor(work: Promise<void>, method: number): void;
}

/** A message without further routing keys. */
const NO_COPIES: readonly string[] = Object.freeze([]);

export class Publishing implements ConfirmSink, ContentSink {
  readonly content: ContentParser;
  /** The open transaction of a channel in transactional mode. */
  transaction: ChannelTransaction | null;
  private readonly channel: PublishChannel;
  private readonly session: Session;
  /** The ring of a channel in confirm mode. */
  private ring: ConfirmRing | null;

  constructor(channel: PublishChannel) {
    this.content = new ContentParser(channel, this);
    this.transaction = null;
    this.channel = channel;
    this.session = channel.session;
    this.ring = null;
  }

  get confirming(): boolean {
    return this.ring !== null;
  }

  /** Confirms all later publishes. */
  confirm(scheduler: RingScheduler): void {
    this.ring ??= new ConfirmRing(this, scheduler);
  }

  /** The channel closed: pending confirms are dropped. */
  close(): void {
    this.ring?.close();
    this.transaction?.rollback();
    this.content.close();
  }

  publish(message: Message, mandatory: boolean): void {
    const { ring } = this;
    if (this.transaction !== null) this.transaction.publish(message, NO_COPIES, mandatory);
    else this.offer(message, NO_COPIES, mandatory, ring, ring === null ? 0 : ring.open());
  }

  publishSpecial(message: Message, mandatory: boolean, replyToAt: number): void {
    const { session, replyAddress } = this.channel;
    const { ring } = this;
    try {
      const special = prepareSpecial(message, replyToAt, session.identity, replyAddress);
      if (this.transaction !== null) this.transaction.publish(special.message, special.copies, mandatory);
      else this.offer(special.message, special.copies, mandatory, ring, ring === null ? 0 : ring.open());
    } catch (error) {
      this.channel.fail(error, METHOD.basicPublish);
    }
  }

  admits(exchange: string): boolean {
    try {
      this.session.requirePublish(exchange);
      return true;
    } catch (error) {
      this.channel.fail(error, METHOD.basicPublish);
      return false;
    }
  }

  overflowed(): void {
    const text = `unfinished bodies take more than amqp.unfinishedBytes, which is ${this.channel.unfinishedBytes}`;
    this.channel.fail(new AmqpError(REPLY.resourceError, text, 'amqp.unfinishedBytes'), METHOD.basicPublish);
  }

  refuse(why: string): void {
    this.channel.fail(new AmqpError(REPLY.preconditionFailed, why, 'limits.messageBytes'), METHOD.basicPublish);
  }

  /** Returns a mandatory message that reached no queue. */
  returnMessage(message: Message): void {
    const { outbox, number, maxPayloadBytes, meters } = this.channel;
    meters.returned++;
    const method = basicReturn(number, REPLY.noRoute, 'NO_ROUTE', message.exchange, message.routingKey);
    outbox.append(method, 0, method.length);
    writeContent(outbox, number, message, maxPayloadBytes);
  }

  confirmed(_ring: ConfirmRing, from: number, to: number, ok: boolean): void {
    const { outbox, number } = this.channel;
    // Method frame with delivery-tag(longlong) and bits; slots count from 0, delivery tags from 1. `multiple` covers
    // everything up to the tag; slots before `from` were confirmed earlier.
    outbox.reserve(21);
    const out = outbox.buffer;
    const at = outbox.position;
    out[at] = FRAME.method;
    out[at + 1] = number >>> 8;
    out[at + 2] = number;
    out.writeUInt32BE(13, at + 3);
    out.writeUInt32BE(ok ? METHOD.basicAck : METHOD.basicNack, at + 7);
    out.writeUInt32BE(Math.floor((to + 1) / 0x100000000), at + 11);
    out.writeUInt32BE((to + 1) % 0x100000000, at + 15);
    out[at + 19] = from < to ? 1 : 0;
    out[at + 20] = FRAME_END;
    outbox.position = at + 21;
  }

  confirmFailed(): void {
    this.channel.broken();
  }

  private offer(
    message: Message,
    copies: readonly string[],
    mandatory: boolean,
    ring: ConfirmRing | null,
    slot: number,
  ): void {
    let outcome: PublishOutcome;
    try {
      outcome =
        copies.length === 0
          ? this.session.publish(message, ring, slot)
          : this.session.publishCopies(message, copies, ring, slot);
    } catch (error) {
      this.channel.fail(error, METHOD.basicPublish);
      return;
    }
    if (outcome === PUBLISH.pending) {
      const again = (): void => this.offer(message, copies, mandatory, ring, slot);
      this.channel.suspendFor(this.session.ready().then(again), METHOD.basicPublish);
      return;
    }
    // As RabbitMQ: basic.return is sent before the confirm.
    if (outcome === PUBLISH.unroutable && mandatory) this.returnMessage(message);
    if (ring !== null) ring.settle(slot);
  }
}
