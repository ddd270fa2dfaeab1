// A client without manners: sends any bytes, and hands over what comes back frame by frame. For rules that a client
// library would keep on its own.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import * as wire from '../support/wire/amqp.ts';

export interface ReceivedFrame {
  readonly type: number;
  readonly channel: number;
  readonly payload: Buffer;
  /** Class and method, 0 for other frames. */
  readonly method: number;
}

export interface Closed {
  readonly code: number;
  readonly text: string;
  readonly classId: number;
  readonly methodId: number;
}

export class RawClient {
  private readonly socket: Socket;
  private bytes: Buffer;
  private ended: boolean;
  private wake: () => void;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.bytes = Buffer.alloc(0);
    this.ended = false;
    this.wake = () => {};
    socket.on('data', (chunk: Buffer) => {
      this.bytes = Buffer.concat([this.bytes, chunk]);
      this.wake();
    });
    const end = (): void => {
      this.ended = true;
      this.wake();
    };
    socket.on('end', end);
    socket.on('close', end);
    socket.on('error', () => {});
  }

  static async connect(port: number): Promise<RawClient> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.setNoDelay(true);
    return new RawClient(socket);
  }

  /** Connected, logged in, with channel 1 open. `heartbeatSeconds` and `frameMax` go into tune-ok. */
  static async open(port: number, frameMax = 131072, heartbeatSeconds = 0): Promise<RawClient> {
    const client = await RawClient.connect(port);
    client.send(wire.PROTOCOL_HEADER);
    await client.expect(wire.METHOD.connectionStart);
    client.send(wire.startOk('guest', 'guest'));
    await client.expect(wire.METHOD.connectionTune);
    client.send(wire.tuneOk(2047, frameMax, heartbeatSeconds), wire.open('/'));
    await client.expect(wire.METHOD.connectionOpenOk);
    client.send(wire.channelOpen(1));
    await client.expect(wire.METHOD.channelOpenOk);
    return client;
  }

  /** Bytes that have arrived and were not taken. */
  get received(): number {
    return this.bytes.length;
  }

  send(...parts: Buffer[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  /** The next frame, or null where the broker has closed the connection. */
  async next(): Promise<ReceivedFrame | null> {
    for (;;) {
      const bytes = wire.frameBytes(this.bytes, 0, this.bytes.length);
      if (bytes > 0 && bytes <= this.bytes.length) {
        const frame = this.bytes.subarray(0, bytes);
        this.bytes = this.bytes.subarray(bytes);
        assert.equal(frame[bytes - 1], wire.FRAME_END);
        const payload = frame.subarray(wire.FRAME_HEAD_BYTES, bytes - 1);
        const method = frame[0] === wire.FRAME.method ? payload.readUInt32BE(0) : 0;
        return { type: frame[0]!, channel: frame.readUInt16BE(1), payload, method };
      }
      if (this.ended) return null;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  /** The next frame, which must be that method; its arguments behind class and method. */
  async expect(method: number): Promise<Buffer> {
    const frame = await this.next();
    assert.ok(frame !== null, `closed instead of method 0x${method.toString(16)}`);
    assert.equal(frame.method.toString(16), method.toString(16), frame.payload.toString('latin1'));
    return frame.payload.subarray(4);
  }

  async expectChannelClose(): Promise<Closed> {
    return readClose(await this.expect(wire.METHOD.channelClose));
  }

  async expectConnectionClose(): Promise<Closed> {
    return readClose(await this.expect(wire.METHOD.connectionClose));
  }

  /** Everything that arrives until the broker closes. */
  async rest(): Promise<Buffer> {
    while (!this.ended) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    return this.bytes;
  }

  destroy(): void {
    this.socket.destroy();
  }
}

function readClose(args: Buffer): Closed {
  const length = args[2]!;
  return {
    code: args.readUInt16BE(0),
    text: args.toString('utf8', 3, 3 + length),
    classId: args.readUInt16BE(3 + length),
    methodId: args.readUInt16BE(5 + length),
  };
}
