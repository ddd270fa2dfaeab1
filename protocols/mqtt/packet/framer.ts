// Splits a byte stream into control packets. A packet within one chunk is passed on without a copy; one that spans chunks is
// gathered in a buffer that grows towards its announced size, so that each byte is copied a bounded number of times and an
// announced size alone reserves nothing. Called by connection/connection.ts.
//
//   fixed header   first byte (type, flags), remaining length: 1 to 4 bytes, 7 bits each, least significant first,
//                  in its shortest form                                                      MQTT 3.1.1 §2.2

import { MalformedPacket } from './errors.ts';
import { REASON } from './reason-codes.ts';

/** What the framer does after a packet; the handler's answer. */
export const NEXT = {
  goOn: 0,
  /** The packet is handled; the next one waits until `resume`. */
  pause: 1,
  /** The packet could not be handled: `resume` passes it again. */
  retry: 2,
  /** The connection is closed; the rest of the stream is dropped. */
  stop: 3,
} as const;

export type Next = (typeof NEXT)[keyof typeof NEXT];

export interface PacketHandler {
  /** One whole packet: `buffer[start]` is its first byte, its content is [body, end). */
  packet(buffer: Buffer, start: number, body: number, end: number): Next;
}

const NO_BYTES = Buffer.alloc(0);
/** First byte and the longest remaining length. */
const LONGEST_HEADER_BYTES = 5;
/** What a partial packet reserves at first, whatever its announced size. */
const FIRST_RESERVE_BYTES = 16 * 1024;

export class PacketFramer {
  /** Largest remaining length that is accepted. The connection raises it after CONNACK. */
  maxPacketBytes: number;
  /** The configuration key of that limit. */
  limit: 'mqtt.connectBytes' | 'mqtt.packetBytes';
  private readonly handler: PacketHandler;
  /** The beginning of an incomplete packet. */
  private partial: Buffer;
  private partialBytes: number;
  /** Size of that packet with its header (0 while the header is incomplete), and the position of its content. */
  private partialTotal: number;
  private partialBody: number;
  /** Input after the packet at which the handler paused. */
  private rest: Buffer;
  private restAt: number;
  private paused: boolean;
  private stopped: boolean;

  constructor(handler: PacketHandler, maxPacketBytes: number) {
    this.maxPacketBytes = maxPacketBytes;
    this.limit = 'mqtt.connectBytes';
    this.handler = handler;
    this.partial = NO_BYTES;
    this.partialBytes = 0;
    this.partialTotal = 0;
    this.partialBody = 0;
    this.rest = NO_BYTES;
    this.restAt = 0;
    this.paused = false;
    this.stopped = false;
  }

  /** Whether a packet has begun and not ended. */
  get midPacket(): boolean {
    return this.partialBytes > 0;
  }

  /** Bytes that wait for `resume`. */
  get waitingBytes(): number {
    return this.rest.length - this.restAt;
  }

  /** Memory that it holds: a packet that has begun, and input that waits. */
  get heldBytes(): number {
    return this.partial.length + this.rest.length;
  }

  /** The next bytes of the stream. Throws MalformedPacket. */
  push(chunk: Buffer): void {
    if (this.stopped) return;
    if (this.paused) {
      // The transport is paused; a chunk or two may still arrive.
      this.rest = this.restAt < this.rest.length ? Buffer.concat([this.rest.subarray(this.restAt), chunk]) : chunk;
      this.restAt = 0;
      return;
    }
    if (this.partialBytes > 0) this.completePartial(chunk);
    else this.cut(chunk, 0);
  }

  /** Continues where the handler paused. Throws MalformedPacket. */
  resume(): void {
    if (!this.paused || this.stopped) return;
    this.paused = false;
    const rest = this.rest;
    const at = this.restAt;
    this.rest = NO_BYTES;
    this.restAt = 0;
    this.cut(rest, at);
  }

  private cut(chunk: Buffer, from: number): void {
    const chunkEnd = chunk.length;
    let at = from;
    while (at < chunkEnd) {
      let body = at + 2;
      if (body > chunkEnd) {
        this.keepPartial(chunk, at, 0, 0);
        return;
      }
      let length = chunk[at + 1]!;
      if (length > 127) {
        length &= 127;
        let shift = 7;
        let byte: number;
        do {
          if (shift > 21) throw new MalformedPacket('the remaining length has more than four bytes');
          if (body === chunkEnd) {
            this.keepPartial(chunk, at, 0, 0);
            return;
          }
          byte = chunk[body++]!;
          length |= (byte & 127) << shift;
          shift += 7;
        } while (byte > 127);
        if (byte === 0) throw new MalformedPacket('the remaining length is not in its shortest form');
      }
      if (length > this.maxPacketBytes) throw this.tooLarge(length);
      const end = body + length;
      if (end > chunkEnd) {
        this.keepPartial(chunk, at, end - at, body - at);
        return;
      }
      const next = this.handler.packet(chunk, at, body, end);
      if (next !== NEXT.goOn) {
        this.interrupt(next, chunk, at, end);
        return;
      }
      at = end;
    }
  }

  private interrupt(next: Next, chunk: Buffer, start: number, end: number): void {
    if (next === NEXT.stop) {
      this.stopped = true;
      return;
    }
    this.paused = true;
    this.rest = chunk;
    this.restAt = next === NEXT.retry ? start : end;
  }

  private keepPartial(chunk: Buffer, at: number, total: number, body: number): void {
    const have = chunk.length - at;
    this.partial = Buffer.allocUnsafe(
      total === 0 ? LONGEST_HEADER_BYTES : Math.max(have, Math.min(total, FIRST_RESERVE_BYTES)),
    );
    chunk.copy(this.partial, 0, at);
    this.partialBytes = have;
    this.partialTotal = total;
    this.partialBody = body;
  }

  private completePartial(chunk: Buffer): void {
    let at = 0;
    while (this.partialTotal === 0) {
      if (at === chunk.length) return;
      this.partial[this.partialBytes++] = chunk[at++]!;
      this.readPartialHeader();
    }
    const missing = this.partialTotal - this.partialBytes;
    const have = Math.min(missing, chunk.length - at);
    if (this.partialBytes + have > this.partial.length) this.growPartial(this.partialBytes + have);
    chunk.copy(this.partial, this.partialBytes, at, at + have);
    this.partialBytes += have;
    at += have;
    if (have < missing) return;
    const packet = this.partial;
    const total = this.partialTotal;
    this.partial = NO_BYTES;
    this.partialBytes = 0;
    this.partialTotal = 0;
    const next = this.handler.packet(packet, 0, this.partialBody, total);
    // `pause` keeps the rest of the chunk, `retry` the packet and the rest.
    if (next === NEXT.goOn) this.cut(chunk, at);
    else if (next === NEXT.retry)
      this.interrupt(next, Buffer.concat([packet.subarray(0, total), chunk.subarray(at)]), 0, 0);
    else this.interrupt(next, chunk, at, at);
  }

  /** One more byte of the header came. */
  private readPartialHeader(): void {
    const last = this.partialBytes - 1;
    if (last === 0) return;
    const byte = this.partial[last]!;
    if (byte > 127) {
      if (last === 4) throw new MalformedPacket('the remaining length has more than four bytes');
      return;
    }
    if (byte === 0 && last > 1) throw new MalformedPacket('the remaining length is not in its shortest form');
    let length = 0;
    for (let i = last; i > 0; i--) length = (length << 7) | (this.partial[i]! & 127);
    if (length > this.maxPacketBytes) throw this.tooLarge(length);
    this.partialBody = this.partialBytes;
    this.partialTotal = this.partialBytes + length;
  }

  private growPartial(atLeast: number): void {
    const grown = Buffer.allocUnsafe(Math.min(this.partialTotal, Math.max(atLeast, this.partial.length * 2)));
    this.partial.copy(grown, 0, 0, this.partialBytes);
    this.partial = grown;
  }

  private tooLarge(length: number): MalformedPacket {
    return new MalformedPacket(`a packet of ${length} bytes is over the limit`, REASON.packetTooLarge, this.limit);
  }
}
