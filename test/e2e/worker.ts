// A backend: an amqplib consumer that acknowledges by hand and connects again by itself, with the ledger of what was
// delivered to it. After its acks it writes its progress down with a confirm: what was acknowledged before on the same
// channel is then on the broker's disk too.

import { setTimeout as delay } from 'node:timers/promises';
import amqp, { type ChannelModel, type ConfirmChannel, type ConsumeMessage } from 'amqplib';
import type { Watch } from './watch.ts';

const AGAIN_MS = 50;
const PROGRESS = 'progress';

export interface Delivery {
  readonly routingKey: string;
  readonly body: string;
  readonly redelivered: boolean;
  /** Which of the worker's connections it came over, from 1. */
  readonly connection: number;
  state: 'out' | 'acked' | 'durable';
}

export interface WorkerOptions {
  readonly port: number;
  readonly queue: string;
  readonly prefetch: number;
  /** What has to be there before it consumes; done again after each reconnection. */
  readonly declare: (channel: ConfirmChannel) => Promise<unknown>;
}

export class Worker {
  readonly deliveries: Delivery[];
  /** Connections that it consumed on; the last may be gone. */
  connections: number;
  consuming: boolean;
  /** Progress records that the broker confirmed. */
  confirmedProgress: number;
  private readonly options: WorkerOptions;
  private readonly watch: Watch;
  private holding: boolean;
  private held: { delivery: Delivery; message: ConsumeMessage }[];
  /** Acknowledged since the last progress record. */
  private acked: Delivery[];
  private recording: boolean;
  private ended: boolean;
  private connection: ChannelModel | null;
  private channel: ConfirmChannel | null;
  private readonly life: Promise<void>;

  constructor(options: WorkerOptions, watch: Watch) {
    this.deliveries = [];
    this.connections = 0;
    this.consuming = false;
    this.confirmedProgress = 0;
    this.options = options;
    this.watch = watch;
    this.holding = false;
    this.held = [];
    this.acked = [];
    this.recording = false;
    this.ended = false;
    this.connection = null;
    this.channel = null;
    this.life = this.live();
  }

  /** Deliveries that it holds unacknowledged. */
  get heldCount(): number {
    return this.held.length;
  }

  /** It acknowledges nothing more. */
  hold(): void {
    this.holding = true;
  }

  /** It acknowledges what it holds, and goes on. */
  resume(): void {
    this.holding = false;
    for (const { delivery, message } of this.held.splice(0)) this.acknowledge(delivery, message);
  }

  /** What the broker says is ready in a queue. */
  async ready(queue: string): Promise<number> {
    return (await this.channel!.checkQueue(queue)).messageCount;
  }

  /** How many progress records the broker has. */
  progress(): Promise<number> {
    return this.ready(PROGRESS);
  }

  async end(): Promise<void> {
    this.ended = true;
    await this.connection?.close().catch(() => {});
    await this.life;
  }

  private async live(): Promise<void> {
    while (!this.ended) {
      try {
        await this.consume();
      } catch {
        // The broker is not there, or went while it was asked.
      }
      if (!this.ended) await delay(AGAIN_MS);
    }
  }

  /** From connecting to the end of the connection. */
  private async consume(): Promise<void> {
    const { port, queue, prefetch, declare } = this.options;
    const connection = await amqp.connect(`amqp://guest:guest@127.0.0.1:${port}`);
    const closed = new Promise((resolve) => connection.once('close', resolve));
    connection.on('error', () => {});
    this.connection = connection;
    const number = this.connections + 1;
    try {
      const channel = await connection.createConfirmChannel();
      channel.on('error', (error) => this.watch.fail(error as Error));
      await channel.assertQueue(PROGRESS, { durable: true });
      await declare(channel);
      await channel.prefetch(prefetch);
      this.channel = channel;
      this.connections = number;
      this.held = [];
      this.acked = [];
      this.recording = false;
      await channel.consume(queue, (message) => {
        if (message === null) this.watch.fail(new Error('the broker cancelled the consumer'));
        else this.take(message, number);
      });
      this.consuming = true;
      this.watch.tick();
    } catch (error) {
      await connection.close().catch(() => {});
      throw error;
    }
    await closed;
    this.consuming = false;
    this.held = [];
    this.watch.tick();
  }

  private take(message: ConsumeMessage, connection: number): void {
    const { routingKey, redelivered } = message.fields;
    const body = message.content.toString();
    const delivery: Delivery = { routingKey, body, redelivered, connection, state: 'out' };
    this.deliveries.push(delivery);
    if (this.holding) this.held.push({ delivery, message });
    else this.acknowledge(delivery, message);
    this.watch.tick();
  }

  private acknowledge(delivery: Delivery, message: ConsumeMessage): void {
    this.channel!.ack(message);
    delivery.state = 'acked';
    this.acked.push(delivery);
    if (!this.recording) this.record();
  }

  /** One record at a time: what is acknowledged meanwhile belongs to the next. */
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
