// A client that is only a socket: what it sends and what it reads is in the hands of the test, and it can stop reading.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export class RawClient {
  private readonly socket: Socket;
  private received: Buffer;
  private waiting: (() => void) | null;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.received = Buffer.alloc(0);
    this.waiting = null;
    socket.on('data', (chunk: Buffer) => {
      this.received = this.received.length === 0 ? chunk : Buffer.concat([this.received, chunk]);
      this.waiting?.();
    });
    socket.on('close', () => this.waiting?.());
    socket.on('error', () => {});
  }

  static async connect(port: number): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  get closed(): boolean {
    return this.socket.closed;
  }

  send(...bytes: Buffer[]): void {
    this.socket.write(Buffer.concat(bytes));
  }

  /**
   * Waits until `find` returns where the wanted bytes end (it returns 0 while they are not there), and takes them out of
   * what was received. Throws where the broker closes before.
   */
  async until(find: (received: Buffer) => number): Promise<Buffer> {
    for (;;) {
      const end = find(this.received);
      if (end > 0) {
        const found = this.received.subarray(0, end);
        this.received = this.received.subarray(end);
        return found;
      }
      if (this.closed) throw new Error(`the broker closed after ${this.received.toString('latin1').slice(0, 200)}`);
      await new Promise<void>((resolve) => {
        this.waiting = resolve;
      });
    }
  }

  /** Waits for these bytes, anywhere in what comes. */
  async untilBytes(bytes: Buffer): Promise<void> {
    await this.until((received) => {
      const at = received.indexOf(bytes);
      return at === -1 ? 0 : at + bytes.length;
    });
  }

  /** Reads on: `take` says how much of what is there it is done with, until `done`. */
  async drain(take: (received: Buffer) => number, done: () => boolean): Promise<void> {
    for (;;) {
      this.received = this.received.subarray(take(this.received));
      if (done()) return;
      if (this.closed) throw new Error('the broker closed');
      await new Promise<void>((resolve) => {
        this.waiting = resolve;
      });
    }
  }

  /** Stops reading: what comes stays in the kernel's buffers, and then with the broker. */
  stall(): void {
    this.socket.pause();
  }

  read(): void {
    this.socket.resume();
  }

  destroy(): void {
    this.socket.destroy();
  }
}
