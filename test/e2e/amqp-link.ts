// A program's AMQP connection with one channel in confirm mode, which reconnects whenever it is lost.

import { setTimeout as delay } from 'node:timers/promises';
import amqp, { type ChannelModel, type ConfirmChannel } from 'amqplib';
import type { Watch } from './watch.ts';

const AGAIN_MS = 50;

/** How a program uses its channel. */
export interface LinkUser {
  /** Sets up a new channel, which may be lost at any moment; then it rejects. */
  opened(channel: ConfirmChannel, connection: number): Promise<void>;
  lost(): void;
}

export class AmqpLink {
  /** Connections opened so far; the last one may be lost. */
  connections: number;
  private readonly port: number;
  private readonly user: LinkUser;
  private readonly watch: Watch;
  private current: ChannelModel | null;
  private ended: boolean;
  private readonly life: Promise<void>;

  constructor(port: number, user: LinkUser, watch: Watch) {
    this.connections = 0;
    this.port = port;
    this.user = user;
    this.watch = watch;
    this.current = null;
    this.ended = false;
    this.life = this.live();
  }

  async end(): Promise<void> {
    this.ended = true;
    await this.current?.close().catch(() => {});
    await this.life;
  }

  private async live(): Promise<void> {
    while (!this.ended) {
      try {
        await this.connect();
      } catch {
        // The broker is down, or went down during the handshake.
      }
      if (!this.ended) await delay(AGAIN_MS);
    }
  }

  /** One connection, from connecting to its end. */
  private async connect(): Promise<void> {
    const connection = await amqp.connect(`amqp://guest:guest@127.0.0.1:${this.port}`);
    const closed = new Promise((resolve) => connection.once('close', resolve));
    connection.on('error', () => {});
    this.current = connection;
    try {
      const channel = await connection.createConfirmChannel();
      channel.on('error', (error) => this.watch.fail(error as Error));
      this.connections++;
      await this.user.opened(channel, this.connections);
    } catch (error) {
      await connection.close().catch(() => {});
      throw error;
    } finally {
      if (this.ended) await connection.close().catch(() => {});
    }
    await closed;
    this.user.lost();
    this.watch.tick();
  }
}
