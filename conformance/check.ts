// A raw conversation with any broker: bytes out, bytes in, and an end. The conformance checks are written with it, on
// purpose without any code of the product, so that a mistake in a codec cannot hide in both.

import { connect, type Socket } from 'node:net';

/** A check that has no answer by then has failed. */
const TIMEOUT_MS = 10_000;

/** One rule that a broker keeps, and the conversation that shows it. */
export interface Check {
  readonly rule: string;
  run(wire: Wire): Promise<void>;
}

export class Wire {
  private readonly socket: Socket;
  private received: Buffer;
  private ended: boolean;
  private wake: () => void;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.received = Buffer.alloc(0);
    this.ended = false;
    this.wake = () => {};
    socket.on('data', (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.wake();
    });
    // A reset is an end as well: malformed bytes may be answered by either.
    socket.on('error', () => {});
    socket.on('close', () => {
      this.ended = true;
      this.wake();
    });
  }

  static async open(host: string, port: number): Promise<Wire> {
    const socket = connect({ host, port });
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new Wire(socket);
  }

  send(bytes: Uint8Array | string): void {
    this.socket.write(bytes);
  }

  /** The next `count` bytes. Rejects where the peer ends before, or takes too long. */
  async take(count: number): Promise<Buffer> {
    await this.until(() => this.received.length >= count);
    return this.consume(count);
  }

  /** Everything up to and including the byte. */
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
    let late = false;
    const deadline = setTimeout(() => {
      late = true;
      this.wake();
    }, TIMEOUT_MS);
    try {
      while (!satisfied()) {
        const got = `after ${this.received.length} bytes: ${this.received.toString('hex')}`;
        if (late) throw new Error(`no answer within ${TIMEOUT_MS} ms ${got}`);
        if (this.ended) throw new Error(`the peer ended ${got}`);
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    } finally {
      clearTimeout(deadline);
    }
  }
}
