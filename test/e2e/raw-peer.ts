// Clients without manners on real sockets: they send any bytes and hand over what comes back, one unit (frame, packet)
// at a time and byte for byte. For tests that care about what leaves the broker and when.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import * as amqp from '../support/wire/amqp.ts';
import { encodeTable } from '../support/wire/amqp-fields.ts';
import * as mqtt from '../support/wire/mqtt.ts';
import * as stomp from '../support/wire/stomp.ts';

/** How many bytes the unit at the beginning takes, or 0 where that is not known yet. */
type UnitBytes = (buffer: Buffer) => number;

export class RawPeer {
  readonly socket: Socket;
  private readonly unitBytes: UnitBytes;
  private chunks: Buffer;
  private over: boolean;
  private wake: () => void;

  constructor(socket: Socket, unitBytes: UnitBytes) {
    this.socket = socket;
    this.unitBytes = unitBytes;
    this.chunks = Buffer.alloc(0);
    this.over = false;
    this.wake = () => {};
    socket.on('data', (chunk: Buffer) => {
      this.chunks = Buffer.concat([this.chunks, chunk]);
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

  /** Answers whether the socket took it all: what `Socket.write` gives. */
  send(...parts: Buffer[]): boolean {
    return this.socket.write(Buffer.concat(parts));
  }

  /** The next unit, or null where the broker has closed. */
  async next(): Promise<Buffer | null> {
    for (;;) {
      const bytes = this.unitBytes(this.chunks);
      if (bytes > 0 && bytes <= this.chunks.length) {
        const unit = this.chunks.subarray(0, bytes);
        this.chunks = this.chunks.subarray(bytes);
        return unit;
      }
      if (this.over) return null;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  /** The next unit; a close fails the test. */
  async take(): Promise<Buffer> {
    const unit = await this.next();
    assert.ok(unit !== null, 'the broker closed the connection');
    return unit;
  }

  /** All that comes until the broker closes. */
  async rest(): Promise<Buffer[]> {
    const units: Buffer[] = [];
    for (let unit = await this.next(); unit !== null; unit = await this.next()) units.push(unit);
    return units;
  }

  async close(): Promise<void> {
    if (this.socket.destroyed) return;
    const closed = once(this.socket, 'close');
    this.socket.destroy();
    await closed;
  }
}

export async function tcp(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  return socket;
}

// AMQP 0-9-1.

/** Class and method of a method frame; 0 for any other. */
export function methodOf(frame: Buffer): number {
  return frame[0] === amqp.FRAME.method ? frame.readUInt32BE(amqp.FRAME_HEAD_BYTES) : 0;
}

/** A method's arguments. */
export function argumentsOf(frame: Buffer): Buffer {
  return frame.subarray(amqp.FRAME_HEAD_BYTES + 4, frame.length - 1);
}

export async function expectMethod(peer: RawPeer, method: number): Promise<Buffer> {
  const frame = await peer.take();
  assert.equal(methodOf(frame).toString(16), method.toString(16), frame.toString('latin1'));
  return argumentsOf(frame);
}

/** Logged in, with channel 1 open. `capabilities` are those that the client says it has. */
export async function openAmqp(socket: Socket, capabilities: readonly string[] = []): Promise<RawPeer> {
  const peer = new RawPeer(socket, (buffer) => amqp.frameBytes(buffer, 0, buffer.length));
  const { METHOD } = amqp;
  peer.send(amqp.PROTOCOL_HEADER);
  await expectMethod(peer, METHOD.connectionStart);
  const named = capabilities.map((name) => `"${name}": t true`);
  peer.send(
    amqp.method(
      0,
      METHOD.connectionStartOk,
      encodeTable(`{"capabilities": F {${named.join(', ')}}}`),
      amqp.shortstr('PLAIN'),
      amqp.longstr('\x00guest\x00guest'),
      amqp.shortstr('en_US'),
    ),
  );
  await expectMethod(peer, METHOD.connectionTune);
  peer.send(amqp.tuneOk(2047, 131_072, 0), amqp.open('/'));
  await expectMethod(peer, METHOD.connectionOpenOk);
  peer.send(amqp.channelOpen(1));
  await expectMethod(peer, METHOD.channelOpenOk);
  return peer;
}

// MQTT 3.1.1.

function packetBytes(buffer: Buffer): number {
  let length = 0;
  for (let at = 1; at < buffer.length; at++) {
    length += (buffer[at]! & 0x7f) * 128 ** (at - 1);
    if (buffer[at]! < 0x80) return at + 1 + length;
  }
  return 0;
}

export function mqttPeer(socket: Socket): RawPeer {
  return new RawPeer(socket, packetBytes);
}

/** Connected: CONNACK was taken. */
export async function openMqtt(socket: Socket, clientId: string, options: mqtt.ConnectOptions = {}): Promise<RawPeer> {
  const peer = mqttPeer(socket);
  peer.send(mqtt.connect(clientId, { user: 'guest', password: 'guest', ...options }));
  const connack = await peer.take();
  assert.deepEqual([connack[0], connack[3]], [mqtt.PACKET.connack << 4, 0]);
  return peer;
}

export interface MqttPublish {
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly topic: string;
  readonly id: number;
  readonly body: Buffer;
}

export function readMqttPublish(packet: Buffer): MqttPublish {
  assert.equal(packet[0]! >> 4, mqtt.PACKET.publish, packet.toString('hex'));
  const qos = (packet[0]! >> 1) & 3;
  let at = 1;
  while (packet[at++]! >= 0x80);
  const topicEnd = at + 2 + packet.readUInt16BE(at);
  const bodyAt = qos === 0 ? topicEnd : topicEnd + 2;
  return {
    qos,
    retain: (packet[0]! & 1) !== 0,
    dup: (packet[0]! & 8) !== 0,
    topic: packet.toString('utf8', at + 2, topicEnd),
    id: qos === 0 ? 0 : packet.readUInt16BE(topicEnd),
    body: packet.subarray(bodyAt),
  };
}

// STOMP 1.2.

function stompBytes(buffer: Buffer): number {
  let start = 0;
  while (buffer[start] === 10) start++;
  const head = buffer.indexOf('\n\n', start);
  if (head < 0) return 0;
  const length = /\ncontent-length:(\d+)/.exec(buffer.toString('latin1', start, head));
  const end = length === null ? buffer.indexOf(0, head + 2) : head + 2 + Number(length[1]);
  return end < 0 ? 0 : end + 1;
}

export interface StompFrame {
  readonly command: string;
  /** Names and values as they stand in the frame, escapes and all. */
  readonly lines: readonly (readonly [string, string])[];
  readonly body: Buffer;
}

export function readStompFrame(bytes: Buffer): StompFrame {
  let start = 0;
  while (bytes[start] === 10) start++;
  const head = bytes.indexOf('\n\n', start);
  const [command, ...lines] = bytes.toString('utf8', start, head).split('\n');
  const split = (line: string) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)] as const;
  return { command: command!, lines: lines.map(split), body: bytes.subarray(head + 2, bytes.length - 1) };
}

export function headerOf(frame: StompFrame, name: string): string | null {
  return frame.lines.find(([key]) => key === name)?.[1] ?? null;
}

export async function expectStomp(peer: RawPeer, command: string): Promise<StompFrame> {
  const frame = readStompFrame(await peer.take());
  assert.equal(frame.command, command, `${JSON.stringify(frame.lines)} ${frame.body}`);
  return frame;
}

/** Logged in: CONNECTED was taken. */
export async function openStomp(socket: Socket): Promise<RawPeer> {
  const peer = new RawPeer(socket, stompBytes);
  peer.send(stomp.connect('guest', 'guest'));
  await expectStomp(peer, 'CONNECTED');
  return peer;
}
