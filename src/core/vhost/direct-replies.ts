// Direct reply-to: a requester gets its replies without a queue. Its address stands in for the pseudo queue's name in
// the reply-to of what it publishes; whoever answers publishes to the default exchange with that address as routing
// key, over whatever protocol, and the message goes straight to the requester. A reply to somebody who has gone is
// dropped. One for each virtual host.

import { randomBytes } from 'node:crypto';
import type { Message } from '../message/message.ts';

/** What a requester consumes from, and names in its reply-to (RabbitMQ's name). */
export const REPLY_QUEUE = 'amq.rabbitmq.reply-to';

/** What every address begins with. */
export const REPLY_ADDRESS_PREFIX = `${REPLY_QUEUE}.`;

/** A requester. */
export interface ReplyReceiver {
  /** Called while the reply is being published: what it keeps of the message it must retain. */
  reply(message: Message): void;
}

export class DirectReplies {
  private readonly receivers: Map<string, ReplyReceiver>;

  constructor() {
    this.receivers = new Map();
  }

  /** A new address, which nobody can guess. */
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

  /** Takes a message to the default exchange that no queue took. False where it is no reply. */
  take(message: Message): boolean {
    const { routingKey } = message;
    if (!routingKey.startsWith(REPLY_ADDRESS_PREFIX)) return false;
    this.receivers.get(routingKey)?.reply(message);
    return true;
  }
}
