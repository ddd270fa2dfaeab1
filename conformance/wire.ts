// A raw byte exchange with any broker. Checks use it without any code of the product, so that the same mistake cannot
// hide in both codecs.

import { connect, type Socket } from 'node:net';
import type { CheckContext } from './check.ts';

export class Wire {
  readonly socket: Socket;
  private received: Buffer;
  private ended: boolean;
  private failure: Error | null;
  private wake: () => void;

  private constructor(socket: Socket, signal: AbortSignal) {
    this.socket = socket;
    this.received = Buffer.alloc(0);
    this.ended = false;
    this.failure = null;
    this.wake = () => {};
    socket.on('data', (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.wake();
    });
    // A broker may answer malformed bytes with a reset, which counts as an end.
    socket.on('error', () => {});
    const end = (): void => {
      this.ended = true;
      this.wake();
    };
    socket.on('end', end);
    socket.on('close', end);
    signal.addEventListener('abort', () => {
      this.failure = new Error('the check is over');
      this.wake();
    });
  }

  /** Connects; the connection is closed when the check ends. */
  static async open(context: CheckContext): Promise<Wire> {
    const { endpoint, signal } = context;
    const socket = connect({ host: endpoint.host, port: endpoint.port, noDelay: true });
    context.after(() => {
      socket.destroy();
    });
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new Wire(socket, signal);
  }

  send(bytes: Uint8Array | string): void {
    this.socket.write(bytes);
  }

  /** The next `count` bytes. Rejects if the peer ends before. */
  async take(count: number): Promise<Buffer> {
    await this.until(() => this.received.length >= count);
    return this.consume(count);
  }

  /** Everything up to and including this byte. */
  async takeThrough(byte: number): Promise<Buffer> {
    await this.until(() => this.received.includes(byte));
    return this.consume(this.received.indexOf(byte) + 1);
  }

  /** Everything until the peer ends. */
  async takeAll(): Promise<Buffer> {
    await this.until(() => this.ended);
    return this.consume(this.received.length);
  }

  close(): void {
    this.socket.destroy();
  }

  private consume(count: number): Buffer {
    const taken = this.received.subarray(0, count);
    this.received = this.received.subarray(count);
    return taken;
  }

  private async until(satisfied: () => boolean): Promise<void> {
    while (!satisfied()) {
      if (this.failure !== null) throw this.failure;
      if (this.ended)
        throw new Error(`the peer ended after ${this.received.length} bytes: ${this.received.toString('hex')}`);
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
}
