// A backend: an amqplib consumer that acknowledges manually and reconnects by itself, and the ledger of its deliveries.
// After its acknowledgements it publishes a progress record with a confirm. When that is confirmed, every earlier
// acknowledgement on the same channel is on the broker's disk.

import type { ConfirmChannel, ConsumeMessage } from 'amqplib';
import type { Random } from '../sim/random.ts';
import type { Delivery } from './account.ts';
import { AmqpLink } from './amqp-link.ts';
import type { Watch } from './watch.ts';

/** A durable queue for progress records; the topics `progress/…` are bound to it too. */
export const PROGRESS = 'progress';

export interface WorkerOptions {
  readonly port: number;
  readonly queue: string;
  readonly prefetch: number;
  /** If given, deliveries are acknowledged late and in any order; otherwise each at once. */
  readonly random?: Random;
  /** Declares what it needs before it consumes, again after each reconnect. */
  readonly declare: (channel: ConfirmChannel) => Promise<unknown>;
}

export class Worker {
  readonly deliveries: Delivery[];
  consuming: boolean;
  /** Number of progress records that the broker confirmed. */
  confirmedProgress: number;
  private readonly options: WorkerOptions;
  private readonly watch: Watch;
  private readonly link: AmqpLink;
  private random: Random | null;
  private holding: boolean;
  private held: { delivery: Delivery; message: ConsumeMessage }[];
  /** Number of acknowledgements since the last progress record. */
  private acked: Delivery[];
  private recording: boolean;
  private channel: ConfirmChannel | null;

  constructor(options: WorkerOptions, watch: Watch) {
    this.deliveries = [];
    this.consuming = false;
    this.confirmedProgress = 0;
    this.options = options;
    this.watch = watch;
    this.random = options.random ?? null;
    this.holding = false;
    this.held = [];
    this.acked = [];
    this.recording = false;
    this.channel = null;
    this.link = new AmqpLink(options.port, this, watch);
  }

  get connections(): number {
    return this.link.connections;
  }

  /** Number of unacknowledged deliveries. */
  get heldCount(): number {
    return this.held.length;
  }

  /** Acknowledges nothing from now on. */
  hold(): void {
    this.holding = true;
  }

  /** Acknowledges its unacknowledged deliveries, and from now on each at once. */
  resume(): void {
    this.holding = false;
    this.random = null;
    for (const { delivery, message } of this.held.splice(0)) this.acknowledge(delivery, message);
  }

  /** The number of ready messages in a queue. Rejects if the connection is lost. */
  async ready(queue: string): Promise<number> {
    return (await this.channel!.checkQueue(queue)).messageCount;
  }

  /** Resolves when the broker has no more messages for it. */
  async drained(): Promise<void> {
    await this.watch.until(() => this.consuming);
    for (;;) {
      const seen = this.deliveries.length;
      if ((await this.ready(this.options.queue)) === 0 && seen === this.deliveries.length) break;
      if (seen === this.deliveries.length) await this.watch.until(() => this.deliveries.length > seen);
    }
    await this.watch.until(() => this.held.length === 0 && this.acked.length === 0 && !this.recording);
  }

  end(): Promise<void> {
    return this.link.end();
  }

  async opened(channel: ConfirmChannel, connection: number): Promise<void> {
    const { queue, prefetch, declare } = this.options;
    await channel.assertQueue(PROGRESS, { durable: true });
    await channel.bindQueue(PROGRESS, 'amq.topic', `${PROGRESS}.#`);
    await declare(channel);
    await channel.prefetch(prefetch);
    this.channel = channel;
    this.acked = [];
    this.recording = false;
    await channel.consume(queue, (message) => {
      if (message === null) this.watch.fail(new Error('the broker cancelled the consumer'));
      else this.take(message, connection);
    });
    this.consuming = true;
    this.watch.tick();
  }

  lost(): void {
    this.consuming = false;
    this.held = [];
  }

  private take(message: ConsumeMessage, connection: number): void {
    const { routingKey, redelivered } = message.fields;
    const body = message.content.toString();
    const delivery: Delivery = { routingKey, body, redelivered, connection, state: 'out' };
    this.deliveries.push(delivery);
    this.held.push({ delivery, message });
    if (!this.holding) this.settle();
    this.watch.tick();
  }

  private settle(): void {
    const { random, held, options } = this;
    let count = held.length;
    if (random !== null) count = Math.min(count, Math.max(random.below(3), held.length === options.prefetch ? 1 : 0));
    for (; count > 0; count--) {
      const [next] = held.splice(random?.below(held.length) ?? 0, 1);
      this.acknowledge(next!.delivery, next!.message);
    }
  }

  private acknowledge(delivery: Delivery, message: ConsumeMessage): void {
    this.channel!.ack(message);
    delivery.state = 'acked';
    this.acked.push(delivery);
    if (!this.recording) this.record();
  }

  /** One record at a time: acknowledgements made meanwhile belong to the next one. */
  private record(): void {
    const channel = this.channel!;
    const acked = this.acked;
    this.acked = [];
    this.recording = true;
    channel.sendToQueue(PROGRESS, Buffer.from(`${this.deliveries.length}`), { persistent: true }, (error) => {
      if (error !== null || channel !== this.channel) return;
      this.confirmedProgress++;
      for (const delivery of acked) delivery.state = 'durable';
      this.recording = false;
      this.watch.tick();
      if (this.acked.length > 0) this.record();
    });
  }
}
