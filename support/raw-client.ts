// A client that is only a socket: it sends any bytes and returns the broker's bytes, whole or split into units (frames,
// packets). For tests of rules that a client library would keep by itself, and of the order of output.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** Length of the unit at the beginning of `buffer`, or 0 if more bytes are needed to know it. */
export type UnitBytes = (buffer: Buffer) => number;

export class RawClient {
  readonly socket: Socket;
  private readonly unitBytes: UnitBytes;
  private bytes: Buffer;
  private over: boolean;
  private wake: () => void;

  /** `unitBytes` splits received bytes into units; without it all received bytes are one unit. */
  constructor(socket: Socket, unitBytes: UnitBytes = (buffer) => buffer.length) {
    this.socket = socket;
    this.unitBytes = unitBytes;
    this.bytes = Buffer.alloc(0);
    this.over = false;
    this.wake = () => {};
    socket.on('data', (chunk: Buffer) => {
      this.bytes = this.bytes.length === 0 ? chunk : Buffer.concat([this.bytes, chunk]);
      this.wake();
    });
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.over = true;
        this.wake();
      });
    }
    socket.on('error', () => {});
  }

  static async connect(port: number): Promise<RawClient> {
    return new RawClient(await tcp(port));
  }

  /** Bytes received and not read yet. */
  get received(): number {
    return this.bytes.length;
  }

  /** Whether the broker has closed the connection. */
  get closed(): boolean {
    return this.over;
  }

  /** Returns false if the socket buffers the bytes, as `Socket.write`. */
  send(...parts: Buffer[]): boolean {
    return this.socket.write(Buffer.concat(parts));
  }

  /** The next unit, or null if the broker has closed the connection. */
  async next(): Promise<Buffer | null> {
    for (;;) {
      const length = this.unitBytes(this.bytes);
      if (length > 0 && length <= this.bytes.length) return this.cut(length);
      if (this.over) return null;
      await this.more();
    }
  }

  /** The next unit; a closed connection fails the test. */
  async take(): Promise<Buffer> {
    const unit = await this.next();
    assert.ok(unit !== null, 'the broker closed the connection');
    return unit;
  }

  /** All units until the broker closes the connection. */
  async rest(): Promise<Buffer[]> {
    const units: Buffer[] = [];
    for (let unit = await this.next(); unit !== null; unit = await this.next()) units.push(unit);
    return units;
  }

  /** All bytes until the broker closes the connection, in units or not. */
  async restBytes(): Promise<Buffer> {
    while (!this.over) await this.more();
    return this.bytes;
  }

  /**
   * Waits until `find` returns the end of the wanted bytes (0: not received yet), and reads everything up to there.
   * Throws if the broker closes the connection before.
   */
  async until(find: (received: Buffer) => number): Promise<Buffer> {
    for (;;) {
      const end = find(this.bytes);
      if (end > 0) return this.cut(end);
      if (this.over) throw new Error(`the broker closed after ${this.bytes.toString('latin1').slice(0, 200)}`);
      await this.more();
    }
  }

  /** Waits for these bytes anywhere in the input, and reads everything up to their end. */
  async untilBytes(bytes: Buffer): Promise<void> {
    await this.until((received) => {
      const at = received.indexOf(bytes);
      return at === -1 ? 0 : at + bytes.length;
    });
  }

  /** Reads until `done`: `take` returns how many of the received bytes it has used. */
  async drain(take: (received: Buffer) => number, done: () => boolean): Promise<void> {
    for (;;) {
      this.cut(take(this.bytes));
      if (done()) return;
      if (this.over) throw new Error('the broker closed the connection');
      await this.more();
    }
  }

  /** Stops reading, so that the broker's output fills the kernel's buffers and then the outbox. */
  stall(): void {
    this.socket.pause();
  }

  /** Reads again after `stall`. */
  read(): void {
    this.socket.resume();
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Destroys the socket and waits until it is closed. */
  async close(): Promise<void> {
    if (this.socket.destroyed) return;
    const closed = once(this.socket, 'close');
    this.socket.destroy();
    await closed;
  }

  private cut(length: number): Buffer {
    const unit = this.bytes.subarray(0, length);
    this.bytes = this.bytes.subarray(length);
    return unit;
  }

  private more(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }
}

/** A connected socket. */
export async function tcp(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  return socket;
}
