// AMQP 0-9-1 packets for the rule-breaking proxy: the protocol header, then frames. Frames are split by their length
// alone and keep their bytes, because checks send frames with a wrong end octet or malformed content.

import type { PacketFormat, Splitter } from '../../mutations/mutation.ts';
import {
  type ContentHeader,
  decodeHeader,
  decodeMethod,
  encodeFrame,
  encodeHeader,
  encodeMethod,
  FRAME,
  FRAME_OVERHEAD,
  PROTOCOL_HEADER,
} from '../wire/frames.ts';
import type { Args, MethodName, Properties } from '../wire/methods.ts';

/** A method with its name, for a switch on it. */
export type Method = { readonly [N in MethodName]: { readonly name: N; readonly args: Args<N> } }[MethodName];

export interface AmqpPacket {
  readonly bytes: Buffer;
  /** Channel of a frame; 0 for a protocol header and for bytes that cannot be split into frames. */
  readonly type: number;
  readonly channel: number;
  readonly payload: Buffer;
  /** Null unless it is a well-formed method. */
  readonly method: Method | null;
  /** Null unless it is a well-formed content header. */
  readonly header: ContentHeader | null;
}

const NOTHING = Buffer.alloc(0);

export function opening(bytes: Buffer): AmqpPacket {
  return { bytes, type: 0, channel: 0, payload: NOTHING, method: null, header: null };
}

export function methodPacket<N extends MethodName>(channel: number, name: N, args: Partial<Args<N>> = {}): AmqpPacket {
  return framePacket(encodeFrame(FRAME.method, channel, encodeMethod(name, args)));
}

export function headerPacket(channel: number, bodySize: number | bigint, properties: Properties): AmqpPacket {
  return framePacket(encodeFrame(FRAME.header, channel, encodeHeader(bodySize, properties)));
}

export function bodyPacket(channel: number, payload: Uint8Array): AmqpPacket {
  return framePacket(encodeFrame(FRAME.body, channel, payload));
}

export function heartbeatPacket(channel = 0): AmqpPacket {
  return framePacket(encodeFrame(FRAME.heartbeat, channel, NOTHING));
}

function framePacket(bytes: Buffer): AmqpPacket {
  const type = bytes[0]!;
  const payload = bytes.subarray(7, bytes.length - 1);
  const method = type === FRAME.method ? readable(() => decodeMethod(payload) as unknown as Method) : null;
  const header = type === FRAME.header ? readable(() => decodeHeader(payload)) : null;
  return { bytes, type, channel: bytes.readUInt16BE(1), payload, method, header };
}

function readable<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

class FrameSplitter implements Splitter<AmqpPacket> {
  private left: Buffer;
  /** Whether a protocol header may still come: always from a client, and from a broker that refuses the client's. */
  private begins: boolean;
  /** Set if the stream starts in any other way: its bytes are passed on without splitting. */
  private foreign: boolean;

  constructor() {
    this.left = NOTHING;
    this.begins = true;
    this.foreign = false;
  }

  split(chunk: Buffer): readonly AmqpPacket[] {
    if (this.foreign) return [opening(chunk)];
    this.left = this.left.length === 0 ? chunk : Buffer.concat([this.left, chunk]);
    const packets: AmqpPacket[] = [];
    if (this.begins) {
      if (this.left.length < PROTOCOL_HEADER.length) return packets;
      this.begins = false;
      if (this.left[0] !== FRAME.method) packets.push(opening(this.take(PROTOCOL_HEADER.length)));
      this.foreign = packets.length > 0 && !packets[0]!.bytes.subarray(0, 4).equals(PROTOCOL_HEADER.subarray(0, 4));
      if (this.foreign && this.left.length > 0) packets.push(opening(this.take(this.left.length)));
    }
    while (this.left.length >= FRAME_OVERHEAD) {
      const size = this.left.readUInt32BE(3) + FRAME_OVERHEAD;
      if (this.left.length < size) break;
      packets.push(framePacket(this.take(size)));
    }
    return packets;
  }

  private take(count: number): Buffer {
    const taken = this.left.subarray(0, count);
    this.left = this.left.subarray(count);
    return taken;
  }
}

export const AMQP_FORMAT: PacketFormat<AmqpPacket> = {
  client: () => new FrameSplitter(),
  broker: () => new FrameSplitter(),
};
