// Direct reply-to: a requester gets its replies without a queue. What it publishes carries its address in the reply-to
// instead of the pseudo queue's name. The answering service publishes to the default exchange with that address as
// routing key, over any protocol, and the message goes directly to the requester. A reply to a requester that has
// disconnected is dropped. There is one for each virtual host.

import { randomBytes } from 'node:crypto';
import type { Message } from '../message/message.ts';

/** The pseudo queue that a requester consumes from, and names in its reply-to (RabbitMQ's name). */
export const REPLY_QUEUE = 'amq.rabbitmq.reply-to';

/** Prefix of every address. */
export const REPLY_ADDRESS_PREFIX = `${REPLY_QUEUE}.`;

/** A client that waits for replies. */
export interface ReplyReceiver {
  /** Called while the reply is being published: the receiver retains what it keeps of the message. */
  reply(message: Message): void;
}

export class DirectReplies {
  private readonly receivers: Map<string, ReplyReceiver>;

  constructor() {
    this.receivers = new Map();
  }

  /** Returns a new address that cannot be guessed. */
  open(receiver: ReplyReceiver): string {
    const address = REPLY_ADDRESS_PREFIX + randomBytes(16).toString('base64url');
    this.receivers.set(address, receiver);
    return address;
  }

  close(address: string): void {
    this.receivers.delete(address);
  }

  has(address: string): boolean {
    return this.receivers.has(address);
  }

  /** Delivers a message that reached no queue through the default exchange. False if its routing key is no address. */
  take(message: Message): boolean {
    const { routingKey } = message;
    if (!routingKey.startsWith(REPLY_ADDRESS_PREFIX)) return false;
    this.receivers.get(routingKey)?.reply(message);
    return true;
  }
}
