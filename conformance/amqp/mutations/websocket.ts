// Mutations of AMQP over WebSocket. Their proxy is in front of the WebSocket port; its packets are the upgrade request
// and response, then WebSocket frames.

import type { Mutation, PacketFormat, Splitter } from '../../mutations/mutation.ts';
import { OPCODE } from '../../websocket.ts';

export interface WebSocketPacket {
  readonly bytes: Buffer;
  /** Null for HTTP headers. */
  readonly opcode: number | null;
  readonly fin: boolean;
  readonly payload: Buffer;
}

type WebSocketMutation = Mutation<WebSocketPacket>;

const NOTHING = Buffer.alloc(0);
const HEAD_END = '\r\n\r\n';

class WebSocketSplitter implements Splitter<WebSocketPacket> {
  private left: Buffer;
  private upgraded: boolean;

  constructor() {
    this.left = NOTHING;
    this.upgraded = false;
  }

  split(chunk: Buffer): readonly WebSocketPacket[] {
    this.left = Buffer.concat([this.left, chunk]);
    const packets: WebSocketPacket[] = [];
    if (!this.upgraded) {
      const end = this.left.indexOf(HEAD_END);
      if (end < 0) return packets;
      this.upgraded = true;
      packets.push(headOf(this.take(end + HEAD_END.length)));
    }
    for (let size = this.frameSize(); size > 0; size = this.frameSize()) packets.push(frameOf(this.take(size)));
    return packets;
  }

  /** 0 if it is incomplete. */
  private frameSize(): number {
    const { left } = this;
    if (left.length < 2) return 0;
    const { start, length } = measures(left);
    return left.length >= start && left.length >= start + length() ? start + length() : 0;
  }

  private take(count: number): Buffer {
    const taken = this.left.subarray(0, count);
    this.left = this.left.subarray(count);
    return taken;
  }
}

/** Offset and length of the payload, once the frame header is complete. */
function measures(bytes: Buffer): { start: number; length: () => number; masked: boolean } {
  const masked = (bytes[1]! & 0x80) !== 0;
  const short = bytes[1]! & 0x7f;
  const extended = short < 126 ? 0 : short === 126 ? 2 : 8;
  return {
    masked,
    start: 2 + extended + (masked ? 4 : 0),
    length: () => (extended === 0 ? short : extended === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))),
  };
}

function headOf(bytes: Buffer): WebSocketPacket {
  return { bytes, opcode: null, fin: true, payload: NOTHING };
}

function frameOf(bytes: Buffer): WebSocketPacket {
  const { start, masked } = measures(bytes);
  const mask = masked ? bytes.subarray(start - 4, start) : NOTHING;
  const payload = Buffer.from(bytes.subarray(start).map((byte, index) => byte ^ (mask[index % 4] ?? 0)));
  return { bytes, opcode: bytes[0]! & 0x0f, fin: (bytes[0]! & 0x80) !== 0, payload };
}

/** The frame with another opcode. */
function retyped(packet: WebSocketPacket, opcode: number): WebSocketPacket {
  const bytes = Buffer.from(packet.bytes);
  bytes[0] = (bytes[0]! & 0xf0) | opcode;
  return { ...packet, bytes, opcode };
}

export const WEBSOCKET_FORMAT: PacketFormat<WebSocketPacket> = {
  client: () => new WebSocketSplitter(),
  broker: () => new WebSocketSplitter(),
};

export const WEBSOCKET_MUTATIONS: readonly WebSocketMutation[] = [
  {
    id: 'ws.no-subprotocol',
    breaks: 'does not say which subprotocol it chose',
    withholds: false,
    begin: () => () => ({
      fromBroker(packet) {
        if (packet.opcode !== null) return [packet];
        return [headOf(Buffer.from(packet.bytes.toString('latin1').replace(/^sec-websocket-protocol:.*\r\n/im, '')))];
      },
    }),
  },
  {
    id: 'ws.text-answers',
    breaks: 'answers in text',
    withholds: false,
    begin: () => () => ({
      fromBroker: (packet) => [packet.opcode === OPCODE.binary ? retyped(packet, OPCODE.text) : packet],
    }),
  },
  {
    id: 'ws.text-taken',
    breaks: 'takes text for AMQP',
    withholds: false,
    begin: () => () => ({
      fromClient: (packet) => [packet.opcode === OPCODE.text ? retyped(packet, OPCODE.binary) : packet],
    }),
  },
  {
    id: 'ws.whole-frames',
    breaks: 'wants whole frames in a message',
    withholds: false,
    begin: () => (link) => ({
      fromClient(packet) {
        if (packet.opcode !== OPCODE.binary || packet.payload.length >= 8) return [packet];
        link.end();
        return [];
      },
    }),
  },
  {
    id: 'ws.no-fragments',
    breaks: 'refuses a message in fragments',
    withholds: false,
    begin: () => (link) => ({
      fromClient(packet) {
        if (packet.fin) return [packet];
        link.end();
        return [];
      },
    }),
  },
  {
    id: 'ws.one-frame',
    breaks: 'wants one frame in a message',
    withholds: false,
    begin: () => (link) => ({
      fromClient(packet) {
        if (packet.opcode !== OPCODE.binary || packet.payload.length < 8 || packet.payload[0] !== 1) return [packet];
        const size = packet.payload.readUInt32BE(3) + 8;
        if (packet.payload.length <= size) return [packet];
        link.end();
        return [];
      },
    }),
  },
];
