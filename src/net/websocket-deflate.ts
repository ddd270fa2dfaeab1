// Compression of WebSocket messages (RFC 7692, permessage-deflate), for listeners where it is switched on: the agreement
// in the handshake, the gathering and inflating of what comes in, and a sink between outbox and socket that puts messages
// that are worth it into compressed frames.
//
// Each message stands alone (no context takeover either way), so that a connection keeps no window of 32 KiB and a
// message is inflated in one bounded call: what it inflates to is limited, and what goes out compressed is short.

import type { IncomingHttpHeaders } from 'node:http';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import type { OutboxSink } from './outbox.ts';

/** What both sides agreed on. */
export interface Deflate {
  /** The client asked for a window of so many bits at most, 9 to 15. */
  readonly windowBits: number;
  /** What the answer to the handshake says. */
  readonly answer: string;
}

const WINDOW_BITS = 15;
/** zlib has no window of 8 bits for raw data. */
const MIN_WINDOW_BITS = 9;
/** [§7.2.1, §7.2.2] A message's data ends in an empty block of which these octets are left out. */
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);

/** Shorter messages go out as they are: the call costs more than the octets. */
const WORTH_BYTES = 256;
/** Longer ones, too: they would have to be held as a whole and would hold everybody up. */
const LONGEST_BYTES = 1024 * 1024;

const NOTHING = Buffer.alloc(0);

const FIN = 0x80;
const COMPRESSED = 0x40;
const OPCODE_BITS = 0x0f;
const FIRST_CONTROL_OPCODE = 8;

/** The first offer that can be agreed to (§5, §7.1), or null. */
export function agreeOnDeflate(headers: IncomingHttpHeaders): Deflate | null {
  for (const offer of (headers['sec-websocket-extensions'] ?? '').split(',')) {
    const [name, ...parameters] = offer.split(';').map((part) => part.trim());
    if (name !== 'permessage-deflate') continue;
    const windowBits = windowOf(parameters);
    if (windowBits === null) continue;
    const limit = windowBits < WINDOW_BITS ? `; server_max_window_bits=${windowBits}` : '';
    const answer = `permessage-deflate; server_no_context_takeover; client_no_context_takeover${limit}`;
    return { windowBits, answer };
  }
  return null;
}

/** The window that the offer leaves us, or null where it has a parameter that is unknown, twice there or out of bounds. */
function windowOf(parameters: readonly string[]): number | null {
  let windowBits = WINDOW_BITS;
  const seen = new Set<string>();
  for (const parameter of parameters) {
    const [name, value] = parameter.split('=', 2) as [string, string?];
    if (seen.has(name)) return null;
    seen.add(name);
    switch (name) {
      case 'server_no_context_takeover':
      case 'client_no_context_takeover':
        if (value !== undefined) return null;
        break;
      case 'client_max_window_bits':
        if (value !== undefined && bitsOf(value) === null) return null;
        break;
      case 'server_max_window_bits': {
        const bits = value === undefined ? null : bitsOf(value);
        if (bits === null || bits < MIN_WINDOW_BITS) return null;
        windowBits = bits;
        break;
      }
      default:
        return null;
    }
  }
  return windowBits;
}

function bitsOf(value: string): number | null {
  const bits = /^"?(8|9|1[0-5])"?$/.exec(value);
  return bits === null ? null : Number(bits[1]);
}

/** Gathers the octets of one compressed message at a time, bounded by its user, and inflates it. */
export class Inflater {
  /** What a message may inflate to. */
  readonly maxBytes: number;
  /** One buffer that grows and no list: a client may send its message octet by octet. */
  private gathered: Buffer;
  private length: number;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
    this.gathered = NOTHING;
    this.length = 0;
  }

  /** The octets are copied. */
  add(octets: Buffer): void {
    const needed = this.length + octets.length;
    if (needed > this.gathered.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed + TAIL.length, this.gathered.length * 2));
      this.gathered.copy(larger, 0, 0, this.length);
      this.gathered = larger;
    }
    octets.copy(this.gathered, this.length);
    this.length = needed;
  }

  /** The message; or why there is none. The next `add` begins another. */
  finish(): Buffer | 'invalid' | 'too-big' {
    this.add(TAIL);
    const compressed = this.gathered.subarray(0, this.length);
    this.gathered = NOTHING;
    this.length = 0;
    try {
      return inflateRawSync(compressed, { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: this.maxBytes });
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? 'too-big' : 'invalid';
    }
  }
}

/**
 * Takes the frames that an outbox writes and hands them on to the socket, whole messages compressed where that is worth
 * it. A header lies in one chunk, as the framing writes it (websocket-framing.ts); a payload may go on in the next.
 */
export class DeflatingSink implements OutboxSink {
  private readonly socket: OutboxSink;
  private readonly windowBits: number;
  /** Payload of the current frame that is still to come. */
  private frameLeft: number;
  /** The message is gathered: its first byte without FIN, 0 where none is; its payload, copied. */
  private opcode: number;
  private parts: Buffer[];
  private gatheredBytes: number;
  /** The current frame is the last of its message. */
  private final: boolean;

  constructor(socket: OutboxSink, windowBits: number) {
    this.socket = socket;
    this.windowBits = windowBits;
    this.frameLeft = 0;
    this.opcode = 0;
    this.parts = [];
    this.gatheredBytes = 0;
    this.final = false;
  }

  get writableLength(): number {
    return this.socket.writableLength + this.gatheredBytes;
  }

  cork(): void {
    this.socket.cork();
  }

  uncork(): void {
    this.socket.uncork();
  }

  write(chunk: Buffer, sent?: () => void): boolean {
    const out: Buffer[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.frameLeft === 0) at = this.header(chunk, at, out);
      const end = Math.min(chunk.length, at + this.frameLeft);
      if (end > at) {
        const payload = chunk.subarray(at, end);
        if (this.opcode === 0) out.push(payload);
        else this.gather(payload);
        this.frameLeft -= end - at;
        at = end;
      }
      if (this.frameLeft === 0 && this.final && this.opcode !== 0) this.finish(out);
    }
    const last = out.length - 1;
    if (last < 0) {
      // All of it was copied, but what was written before may lie in the slab that is given back now.
      return sent === undefined || this.socket.write(NOTHING, sent);
    }
    if (last > 0) this.socket.cork();
    for (let i = 0; i < last; i++) this.socket.write(out[i]!);
    const taken = sent === undefined ? this.socket.write(out[last]!) : this.socket.write(out[last]!, sent);
    if (last > 0) this.socket.uncork();
    return taken;
  }

  /** Reads a frame's header and decides what becomes of its message. Answers where the payload begins. */
  private header(chunk: Buffer, start: number, out: Buffer[]): number {
    const first = chunk[start]!;
    let length = chunk[start + 1]!;
    let at = start + 2;
    if (length === 126) {
      length = chunk.readUInt16BE(at);
      at += 2;
    } else if (length === 127) {
      length = chunk.readUInt32BE(at) * 0x100000000 + chunk.readUInt32BE(at + 4);
      at += 8;
    }
    this.frameLeft = length;
    this.final = first >= FIN;
    const opcode = first & OPCODE_BITS;
    if (opcode > 0 && opcode < FIRST_CONTROL_OPCODE && length <= LONGEST_BYTES) {
      this.opcode = opcode;
      return at;
    }
    if (opcode === 0 && this.opcode !== 0) {
      if (this.gatheredBytes + length <= LONGEST_BYTES) return at;
      // Too long after all: what was held goes out as the first fragment, and the others follow as they are.
      this.release(this.opcode, out);
    }
    out.push(chunk.subarray(start, at));
    return at;
  }

  private gather(payload: Buffer): void {
    this.parts.push(Buffer.from(payload));
    this.gatheredBytes += payload.length;
  }

  /** A gathered message is whole. */
  private finish(out: Buffer[]): void {
    if (this.gatheredBytes < WORTH_BYTES) {
      this.release(FIN | this.opcode, out);
      return;
    }
    const deflated = deflateRawSync(Buffer.concat(this.parts), {
      windowBits: this.windowBits,
      finishFlush: constants.Z_SYNC_FLUSH,
    });
    this.parts = [deflated.subarray(0, deflated.length - TAIL.length)];
    this.gatheredBytes = this.parts[0]!.length;
    this.release(FIN | COMPRESSED | this.opcode, out);
  }

  /** What was gathered goes out as one frame. */
  private release(firstByte: number, out: Buffer[]): void {
    out.push(frameHeader(firstByte, this.gatheredBytes), ...this.parts);
    this.opcode = 0;
    this.parts = [];
    this.gatheredBytes = 0;
  }
}

/** RFC 6455 §5.2, unmasked; less than 4 GiB. */
function frameHeader(firstByte: number, length: number): Buffer {
  if (length < 126) return Buffer.from([firstByte, length]);
  if (length < 0x10000) return Buffer.from([firstByte, 126, length >>> 8, length & 0xff]);
  const header = Buffer.alloc(10);
  header[0] = firstByte;
  header[1] = 127;
  header.writeUInt32BE(length, 6);
  return header;
}
