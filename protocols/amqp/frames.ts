// Cuts a connection's bytes into frames (§4.2.3):
//
//   frame      = type channel size payload frame-end
//   type       = %d1 method / %d2 content header / %d3 content body / %d8 heartbeat     octet
//   channel    = short-uint
//   size       = long-uint
//   frame-end  = %xCE
//
// A cursor over each chunk: frames that lie wholly in it are handed on where they are. A frame that is cut by the end
// of a chunk is gathered once in memory of exactly its size, so each byte is copied at most once however the chunks
// fall. Its invariant: nothing is buffered before its length was checked against the negotiated maximum.

import { AmqpError, REPLY } from './amqp-error.ts';

export const FRAME = { method: 1, header: 2, body: 3, heartbeat: 8 } as const;
export const FRAME_END = 0xce;
export const FRAME_HEADER_BYTES = 7;
/** Bytes of a frame beside its payload. */
export const FRAME_OVERHEAD_BYTES = 8;

export interface FrameSink {
  /**
   * One whole frame; its payload is `buffer[at, end)` and `buffer[end]` is its frame-end. The buffer goes on to
   * `limit`: a sink that recognises the frames that follow may take them too. Returns where the next frame begins:
   * `end + 1`, behind what it took, or, having called `suspend`, where this frame begins: it then comes again after
   * `resume`. An exception ends the connection.
   */
  frame(type: number, channel: number, buffer: Buffer, at: number, end: number, limit: number): number;
}

const NOTHING = Buffer.alloc(0);

export class FrameParser {
  private readonly sink: FrameSink;
  /** The largest payload that the peer may currently send. */
  maxPayloadBytes: number;
  private suspended: boolean;
  private stopped: boolean;
  /** The beginning of an incomplete frame: its header, or a buffer of the frame's size. */
  private partial: Buffer;
  private partialBytes: number;
  private readonly header: Buffer;
  /** Input that arrived while suspended, and how far the first chunk was parsed. */
  private held: Buffer[];
  private heldAt: number;

  constructor(sink: FrameSink, maxPayloadBytes: number) {
    this.sink = sink;
    this.maxPayloadBytes = maxPayloadBytes;
    this.suspended = false;
    this.stopped = false;
    this.partial = NOTHING;
    this.partialBytes = 0;
    this.header = Buffer.alloc(FRAME_HEADER_BYTES);
    this.held = [];
    this.heldAt = 0;
  }

  /** Parses a chunk. Throws AmqpError at a frame that breaks the rules; must not be called after that. */
  feed(chunk: Buffer): void {
    if (this.stopped) return;
    if (this.suspended) {
      this.held.push(chunk);
      return;
    }
    this.parse(chunk, 0);
  }

  /** Bytes that wait for `resume`. */
  get waitingBytes(): number {
    let bytes = -this.heldAt;
    for (const chunk of this.held) bytes += chunk.length;
    return bytes;
  }

  /** Memory that it holds: a frame that has begun, and chunks that wait. */
  get heldBytes(): number {
    let bytes = this.partial.length;
    for (const chunk of this.held) bytes += chunk.length;
    return bytes;
  }

  /** Called by a sink within `frame`: no frame after this one is parsed until `resume`. */
  suspend(): void {
    this.suspended = true;
  }

  /** Continues after the frame at which it was suspended. */
  resume(): void {
    if (!this.suspended) return;
    this.suspended = false;
    while (this.held.length > 0 && !this.suspended && !this.stopped) {
      const chunk = this.held.shift()!;
      const from = this.heldAt;
      this.heldAt = 0;
      this.parse(chunk, from);
    }
  }

  /** Ignores all further input. */
  stop(): void {
    this.stopped = true;
    this.held = [];
    this.heldAt = 0;
    this.partial = NOTHING;
    this.partialBytes = 0;
  }

  private parse(chunk: Buffer, from: number): void {
    const at = this.partialBytes > 0 ? this.completePartial(chunk) : from;
    if (this.stopped) return;
    if (this.suspended) this.hold(chunk, at);
    else this.run(chunk, at);
  }

  private run(chunk: Buffer, from: number): void {
    const { sink } = this;
    const limit = chunk.length;
    let at = from;
    while (limit - at >= FRAME_OVERHEAD_BYTES) {
      const size = ((chunk[at + 3]! << 24) | (chunk[at + 4]! << 16) | (chunk[at + 5]! << 8) | chunk[at + 6]!) >>> 0;
      if (size > this.maxPayloadBytes) throw tooLarge(size, this.maxPayloadBytes);
      const end = at + FRAME_HEADER_BYTES + size;
      if (end >= limit) break;
      if (chunk[end] !== FRAME_END) throw badEnd(chunk[end]!);
      at = sink.frame(chunk[at]!, (chunk[at + 1]! << 8) | chunk[at + 2]!, chunk, at + FRAME_HEADER_BYTES, end, limit);
      if (this.suspended) {
        this.hold(chunk, at);
        return;
      }
      if (this.stopped) return;
    }
    if (at < limit) this.keep(chunk, at);
  }

  /** Keeps the beginning of an incomplete frame. */
  private keep(chunk: Buffer, at: number): void {
    const bytes = chunk.length - at;
    if (bytes < FRAME_HEADER_BYTES) this.partial = this.header;
    else this.partial = Buffer.allocUnsafeSlow(FRAME_OVERHEAD_BYTES + this.checkedSize(chunk, at));
    chunk.copy(this.partial, 0, at);
    this.partialBytes = bytes;
  }

  /** Adds to the kept frame, hands it on if it is complete, and returns where the next frame begins in `chunk`. */
  private completePartial(chunk: Buffer): number {
    let at = 0;
    if (this.partial === this.header) {
      at = this.fill(chunk, 0);
      if (this.partialBytes < FRAME_HEADER_BYTES) return at;
      const frame = Buffer.allocUnsafeSlow(FRAME_OVERHEAD_BYTES + this.checkedSize(this.header, 0));
      this.header.copy(frame);
      this.partial = frame;
    }
    at = this.fill(chunk, at);
    const frame = this.partial;
    if (this.partialBytes < frame.length) return at;
    this.partial = NOTHING;
    this.partialBytes = 0;
    const end = frame.length - 1;
    if (frame[end] !== FRAME_END) throw badEnd(frame[end]!);
    const next = this.sink.frame(frame[0]!, frame.readUInt16BE(1), frame, FRAME_HEADER_BYTES, end, frame.length);
    if (next > end || !this.suspended) return at;
    // It comes again, in front of what is left of the chunk.
    if (at < chunk.length) this.held.unshift(chunk.subarray(at));
    this.held.unshift(frame);
    return chunk.length;
  }

  private fill(chunk: Buffer, at: number): number {
    const copied = chunk.copy(this.partial, this.partialBytes, at);
    this.partialBytes += copied;
    return at + copied;
  }

  private hold(chunk: Buffer, at: number): void {
    if (at >= chunk.length) return;
    this.held.unshift(chunk);
    this.heldAt = at;
  }

  private checkedSize(buffer: Buffer, at: number): number {
    const size = buffer.readUInt32BE(at + 3);
    if (size > this.maxPayloadBytes) throw tooLarge(size, this.maxPayloadBytes);
    return size;
  }
}

function tooLarge(size: number, max: number): AmqpError {
  return new AmqpError(
    REPLY.frameError,
    `frame of ${size} payload bytes is larger than the maximum of ${max}`,
    'amqp.frameMaxBytes',
  );
}

function badEnd(octet: number): AmqpError {
  return new AmqpError(REPLY.frameError, `frame ends in octet ${octet} instead of ${FRAME_END}`);
}
