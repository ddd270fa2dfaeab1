// A raw client that speaks AMQP 0-9-1 frame by frame.

import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { RawClient, tcp } from './raw-client.ts';
import * as amqp from './wire/amqp.ts';
import { encodeTable } from './wire/amqp-fields.ts';

export interface ReceivedFrame {
  readonly type: number;
  readonly channel: number;
  readonly payload: Buffer;
  /** Class and method id; 0 for other frames. */
  readonly method: number;
}

/** The arguments of connection.close or channel.close. */
export interface Closed {
  readonly code: number;
  readonly text: string;
  readonly classId: number;
  readonly methodId: number;
}

export interface AmqpOptions {
  readonly frameMax?: number;
  readonly heartbeatSeconds?: number;
  /** The client's capabilities. */
  readonly capabilities?: readonly string[];
}

export class RawAmqp extends RawClient {
  constructor(socket: Socket) {
    super(socket, (buffer) => amqp.frameBytes(buffer, 0, buffer.length));
  }

  /** Connected, without any bytes sent. */
  static override async connect(port: number): Promise<RawAmqp> {
    return new RawAmqp(await tcp(port));
  }

  /** Logged in as guest, with channel 1 open. */
  static async open(port: number, options: AmqpOptions = {}): Promise<RawAmqp> {
    return await openAmqp(await tcp(port), options);
  }

  /** The next frame, or null if the broker has closed the connection. */
  async nextFrame(): Promise<ReceivedFrame | null> {
    const frame = await this.next();
    if (frame === null) return null;
    assert.equal(frame[frame.length - 1], amqp.FRAME_END);
    const payload = frame.subarray(amqp.FRAME_HEAD_BYTES, frame.length - 1);
    return { type: frame[0]!, channel: frame.readUInt16BE(1), payload, method: methodOf(frame) };
  }

  /** The next frame, which must be of that method. Returns its arguments. */
  expect(method: number): Promise<Buffer> {
    return expectMethod(this, method);
  }

  async expectChannelClose(): Promise<Closed> {
    return readClose(await this.expect(amqp.METHOD.channelClose));
  }

  async expectConnectionClose(): Promise<Closed> {
    return readClose(await this.expect(amqp.METHOD.connectionClose));
  }
}

/** Logs in as guest over a connected socket and opens channel 1. */
export async function openAmqp(socket: Socket, options: AmqpOptions = {}): Promise<RawAmqp> {
  const { frameMax = 131_072, heartbeatSeconds = 0, capabilities = [] } = options;
  const client = new RawAmqp(socket);
  const { METHOD } = amqp;
  client.send(amqp.PROTOCOL_HEADER);
  await client.expect(METHOD.connectionStart);
  const named = capabilities.map((name) => `"${name}": t true`);
  client.send(
    amqp.method(
      0,
      METHOD.connectionStartOk,
      encodeTable(`{"capabilities": F {${named.join(', ')}}}`),
      amqp.shortstr('PLAIN'),
      amqp.longstr('\x00guest\x00guest'),
      amqp.shortstr('en_US'),
    ),
  );
  await client.expect(METHOD.connectionTune);
  client.send(amqp.tuneOk(2047, frameMax, heartbeatSeconds), amqp.open('/'));
  await client.expect(METHOD.connectionOpenOk);
  client.send(amqp.channelOpen(1));
  await client.expect(METHOD.channelOpenOk);
  return client;
}

/** Class and method id of a method frame; 0 for any other. */
export function methodOf(frame: Buffer): number {
  return frame[0] === amqp.FRAME.method ? frame.readUInt32BE(amqp.FRAME_HEAD_BYTES) : 0;
}

/** The arguments of a method frame. */
export function argumentsOf(frame: Buffer): Buffer {
  return frame.subarray(amqp.FRAME_HEAD_BYTES + 4, frame.length - 1);
}

/** The next frame of an AMQP client, which must be of that method. Returns its arguments. */
export async function expectMethod(client: RawClient, method: number): Promise<Buffer> {
  const frame = await client.next();
  assert.ok(frame !== null, `closed instead of method 0x${method.toString(16)}`);
  assert.equal(methodOf(frame).toString(16), method.toString(16), frame.toString('latin1'));
  return argumentsOf(frame);
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
