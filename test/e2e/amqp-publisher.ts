// A service that publishes persistent messages over AMQP with confirms. After a lost connection it publishes
// unconfirmed messages again.

import type { ConfirmChannel } from 'amqplib';
import type { Sent } from './account.ts';
import { AmqpLink } from './amqp-link.ts';
import type { Outgoing } from './outgoing.ts';
import type { Watch } from './watch.ts';

export interface AmqpPublisherOptions {
  readonly port: number;
  readonly exchange: string;
  readonly routingKey: string;
  readonly outgoing: Outgoing;
}

export class AmqpPublisher {
  private readonly options: AmqpPublisherOptions;
  private readonly link: AmqpLink;
  private channel: ConfirmChannel | null;

  constructor(options: AmqpPublisherOptions, watch: Watch) {
    this.options = options;
    this.channel = null;
    this.link = new AmqpLink(options.port, this, watch);
  }

  end(): Promise<void> {
    return this.link.end();
  }

  async opened(channel: ConfirmChannel): Promise<void> {
    this.channel = channel;
    for (const sent of this.options.outgoing.open) this.publish(channel, sent);
    this.go(channel);
  }

  lost(): void {
    this.channel = null;
    this.options.outgoing.interrupt();
  }

  private go(channel: ConfirmChannel): void {
    const { outgoing } = this.options;
    for (let sent = outgoing.next(); sent !== null; sent = outgoing.next()) this.publish(channel, sent);
  }

  private publish(channel: ConfirmChannel, sent: Sent): void {
    const { exchange, routingKey, outgoing } = this.options;
    sent.sendings++;
    channel.publish(exchange, routingKey, Buffer.from(sent.body), { persistent: true }, (error) => {
      // A nack, or the channel was lost: the message stays unconfirmed. A confirm received on a lost channel counts.
      if (error !== null) return;
      outgoing.confirm(sent);
      if (channel === this.channel) this.go(channel);
    });
  }
}
