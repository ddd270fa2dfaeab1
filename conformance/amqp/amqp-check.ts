// The kit for AMQP 0-9-1 checks: connections, channels, and unique names of queues and exchanges, which are deleted
// when the check ends.

import type { Check, CheckContext, Controls, Level } from '../check.ts';
import { AmqpChannel } from './wire/channel.ts';
import { AmqpConnection, type OpenOptions } from './wire/connection.ts';
import type { Args } from './wire/methods.ts';

export const MUST: Level = 'MUST';
export const SHOULD: Level = 'SHOULD';
export const EXTENSION: Level = 'extension';

/** Shorter than the runner's time limit for cleaning up, so that no socket stays open. */
const DELETE_TIMEOUT_MS = 4_000;

export class AmqpTest {
  readonly context: CheckContext;
  private readonly names: string[];

  constructor(context: CheckContext) {
    this.context = context;
    this.names = [];
  }

  /** A TCP connection that has sent nothing yet. */
  dial(): Promise<AmqpConnection> {
    return AmqpConnection.dial(this.context);
  }

  /** A connection after connection.open-ok. */
  async connect(options: OpenOptions = {}): Promise<AmqpConnection> {
    const connection = await this.dial();
    await connection.open(options);
    return connection;
  }

  /** Channel 1 of a new connection, or another channel of a given connection. */
  async channel(connection?: AmqpConnection, number = 1): Promise<AmqpChannel> {
    return AmqpChannel.open(connection ?? (await this.connect()), number);
  }

  /**
   * Sends bytes in pieces that the broker reads separately. Before each next piece another connection gets an answer,
   * which shows that the broker has read the previous piece.
   */
  async sendInPieces(connection: AmqpConnection, pieces: readonly Uint8Array[]): Promise<void> {
    const other = await this.channel();
    for (const piece of pieces) {
      connection.raw(piece);
      await other.expectSilence();
    }
  }

  /** A unique name. A queue or exchange with it is deleted when the check ends. */
  name(): string {
    if (this.names.length === 0) this.context.after(() => this.deleteNamed());
    const name = this.context.name();
    this.names.push(name);
    return name;
  }

  /** Declares a new exclusive queue of the channel's connection. */
  async queue(channel: AmqpChannel, args: Partial<Args<'queue.declare'>> = {}): Promise<string> {
    const { queue } = await channel.call('queue.declare', { queue: this.context.name(), exclusive: true, ...args });
    return queue;
  }

  /** Declares a new queue that any connection may use. */
  async sharedQueue(channel: AmqpChannel, args: Partial<Args<'queue.declare'>> = {}): Promise<string> {
    const { queue } = await channel.call('queue.declare', { queue: this.name(), durable: true, ...args });
    return queue;
  }

  /** Publishes messages to a queue over a separate connection; resolves when the queue has them. */
  async fill(queue: string, ...bodies: string[]): Promise<void> {
    const publisher = await this.channel();
    await publisher.call('confirm.select');
    for (const body of bodies) publisher.publish({ routingKey: queue, body });
    for (let confirmed = 0n; confirmed < bodies.length; ) {
      confirmed = (await publisher.expect('basic.ack')).args.deliveryTag;
    }
  }

  /** Declares a new exchange. */
  async exchange(channel: AmqpChannel, type: string, args: Partial<Args<'exchange.declare'>> = {}): Promise<string> {
    const exchange = this.name();
    await channel.call('exchange.declare', { exchange, type, ...args });
    return exchange;
  }

  /** Deletes all names. Some may not exist, so each delete has its own channel, which an error may close. */
  private async deleteNamed(): Promise<void> {
    const signal = AbortSignal.timeout(DELETE_TIMEOUT_MS);
    const connection = await AmqpConnection.dial({ ...this.context, signal, note: () => {} });
    try {
      await connection.open();
      let channel = 0;
      const deletions = this.names.flatMap((name) => [
        this.deletion(connection, ++channel, () => connection.send(channel, 'queue.delete', { queue: name })),
        this.deletion(connection, ++channel, () => connection.send(channel, 'exchange.delete', { exchange: name })),
      ]);
      await Promise.all(deletions);
    } finally {
      connection.socket.destroy();
    }
  }

  private async deletion(connection: AmqpConnection, channel: number, send: () => void): Promise<void> {
    connection.send(channel, 'channel.open');
    send();
    await connection.expect(channel, 'channel.open-ok');
    await connection.receive(channel);
  }
}

/** A check of AMQP 0-9-1. `section` is of the specification, or names RabbitMQ's page about the extension. */
export function amqp(
  id: string,
  section: string,
  level: Level,
  title: string,
  run: (t: AmqpTest) => Promise<void>,
  options: { readonly slow?: boolean; readonly needs?: keyof Controls } = {},
): Check {
  return {
    id: `amqp.${id}`,
    protocol: 'amqp',
    version: '0-9-1',
    section,
    level,
    title,
    fast: options.slow !== true,
    needs: options.needs ?? null,
    run: (context) => run(new AmqpTest(context)),
  };
}
