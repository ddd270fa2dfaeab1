// A client socket that reads into one buffer of its own and hands it to a scanner, which says how far it got. What is
// left moves to the front and the next read goes behind it: no allocation and no concatenation per read, which is what
// lets one thread count 3 million deliveries a second.

import { connect, type Socket } from 'node:net';

/** Looks at `buffer[0..end)` and returns how many bytes it is done with. */
export type Scan = (buffer: Buffer, end: number) => number;

/** Bytes of the frame at `offset`, or 0 where that cannot be told yet. The frame may not be there whole. */
export type FrameLength = (buffer: Buffer, offset: number, end: number) => number;

const READ_BYTES = 1024 * 1024;
/** A read of less than this is followed by a nap where reads shall gather. */
const SMALL_READ_BYTES = 32 * 1024;
const NAP_MS = 0.1;

const napCell = new Int32Array(new SharedArrayBuffer(4));

const hold: Scan = () => 0;

export class LoadSocket {
  readonly socket: Socket;
  private readonly work: Buffer;
  private kept: number;
  private scan: Scan;
  private fail: (error: Error) => void;
  private readonly gather: boolean;

  /**
   * With `gather`, a thread that reads little at a time sleeps in between. Brokers that write every message on its own
   * would else keep it busy with tiny reads, on a core that they could use. Not where anybody waits for its answers.
   */
  constructor(port: number, fail: (error: Error) => void, gather: boolean) {
    this.work = Buffer.allocUnsafeSlow(READ_BYTES);
    this.kept = 0;
    this.scan = hold;
    this.fail = fail;
    this.gather = gather;
    this.socket = connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      onread: { buffer: () => this.work.subarray(this.kept), callback: (read) => this.read(read) },
    });
    this.socket.on('error', (error) => this.fail(error));
    this.socket.on('close', () => this.fail(new Error(`the broker closed the connection to port ${port}`)));
  }

  /** From now on `scan` gets what arrives, and at once what is there. */
  use(scan: Scan): void {
    this.scan = scan;
    if (this.kept > 0) this.read(0);
  }

  write(bytes: Buffer, done?: () => void): void {
    this.socket.write(bytes, done);
  }

  /** Sends `bytes` and resolves at the first frame that `matches`; frames before it are ignored. */
  request(
    bytes: Buffer,
    length: FrameLength,
    matches: (buffer: Buffer, start: number, end: number) => boolean,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = this.fail;
      this.fail = (error) => {
        reject(error);
        fail(error);
      };
      this.use((buffer, end) => {
        let at = 0;
        for (;;) {
          const bytesOfFrame = length(buffer, at, end);
          if (bytesOfFrame === 0 || at + bytesOfFrame > end) return at;
          const start = at;
          at += bytesOfFrame;
          if (!matches(buffer, start, at)) continue;
          this.scan = hold;
          this.fail = fail;
          resolve();
          return at;
        }
      });
      this.write(bytes);
    });
  }

  private read(read: number): boolean {
    const end = this.kept + read;
    try {
      const done = this.scan(this.work, end);
      if (done > 0) this.work.copyWithin(0, done, end);
      this.kept = end - done;
      if (this.kept === this.work.length) throw new Error(`a frame of more than ${READ_BYTES} bytes`);
    } catch (error) {
      this.fail(error as Error);
      this.socket.destroy();
    }
    if (this.gather && read < SMALL_READ_BYTES) Atomics.wait(napCell, 0, 0, NAP_MS);
    return true;
  }
}
