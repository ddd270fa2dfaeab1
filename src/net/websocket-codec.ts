// Takes WebSocket frames apart (RFC 6455 §5): an incremental parser over the socket's chunks that unmasks in place and
// moves the payloads of a chunk together, so that its user is called once a chunk and not once a message. Buffers no
// payload; what it keeps from chunk to chunk is an unfinished header or control frame, at most 139 bytes. Compressed
// messages, where they were agreed on, are the exception: they are gathered, inflated and handed out one by one.
//
//   FIN(1) RSV(3) opcode(4) | MASK(1) length(7) | length 16 or 64 | masking key 32 | payload

import { isUtf8 } from 'node:buffer';
import { MESSAGE_KIND, type MessageKind } from './message-kind.ts';
import type { Inflater } from './websocket-deflate.ts';

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Status codes of a Close frame that we use (§7.4.1). */
export const CLOSE_CODE = {
  normal: 1000,
  goingAway: 1001,
  protocol: 1002,
  invalidText: 1007,
  tooBig: 1009,
  internalError: 1011,
} as const;

const MAX_CONTROL_BYTES = 125;
const NOTHING = Buffer.alloc(0);
/** RSV1 of a message's first frame says that it is compressed (RFC 7692 §6), where that was agreed on. */
const RESERVED_BITS = 0x70;
const COMPRESSED = 0x40;
/** What compressing may add to a message that does not shrink. */
const DEFLATE_OVERHEAD_BYTES = 1024;
const INVALID_TEXT = 'invalid UTF-8 in a text message';
/** From here on unmasking by words wins over bytes, the view's cost included (bench/net.ts, `unmask`). */
const WORDS_FROM_BYTES = 64;

export interface FrameSink {
  /** Payloads of one kind, back to back. Returns false to stop: `receive` then returns what is left. */
  payload(run: Buffer, kind: MessageKind): boolean;
  ping(payload: Buffer): void;
  /** The peer's Close frame; nothing is parsed behind it. The code is 1005 where it gave none. */
  closeFrame(code: number): void;
  /** The peer broke the protocol; nothing is parsed any more. */
  violation(code: number, reason: string): void;
}

export class WebSocketReceiver {
  /** Kind of the message that bytes came from last. */
  kind: MessageKind;
  private readonly sink: FrameSink;
  private readonly maxMessageBytes: number;
  /** Nothing is parsed any more: Close or violation. */
  private over: boolean;
  /** An unfinished header or control frame. */
  private carry: Buffer;
  /** Payload of the current frame that is still to come. */
  private frameLeft: number;
  private frameFinal: boolean;
  /** A message began whose last frame has not come. */
  private midMessage: boolean;
  private messageBytes: number;
  /** The masking key as the next byte needs it, first byte lowest. */
  private key: number;
  /** The unfinished character at the end of a text run within a message. */
  private tail: Buffer;
  /** Null where compression was not agreed on. */
  private readonly inflater: Inflater | null;
  /** The message is compressed. */
  private compressed: boolean;

  constructor(sink: FrameSink, maxMessageBytes: number, inflater: Inflater | null = null) {
    this.kind = MESSAGE_KIND.binary;
    this.sink = sink;
    this.maxMessageBytes = maxMessageBytes;
    this.over = false;
    this.carry = NOTHING;
    this.frameLeft = 0;
    this.frameFinal = true;
    this.midMessage = false;
    this.messageBytes = 0;
    this.key = 0;
    this.tail = NOTHING;
    this.inflater = inflater;
    this.compressed = false;
  }

  /**
   * Parses a chunk and changes it. Returns null, or what is left where the sink stopped: to be given again, with
   * nothing in between.
   */
  receive(input: Buffer): Buffer | null {
    let chunk = input;
    if (this.carry.length > 0) {
      chunk = Buffer.concat([this.carry, input]);
      this.carry = NOTHING;
    }
    const end = chunk.length;
    let at = 0;
    let runStart = 0;
    let runEnd = 0;
    while (!this.over) {
      if (this.frameLeft > 0) {
        const length = Math.min(this.frameLeft, end - at);
        if (length === 0) break;
        if (this.compressed) {
          this.gather(chunk, at, length);
          at += length;
          if (this.frameLeft > 0) break;
          if (this.frameFinal && !this.inflate()) return this.over ? null : chunk.subarray(at);
          continue;
        }
        if (runStart === runEnd) runStart = runEnd = at;
        unmask(chunk, at, runEnd, length, this.key);
        const byte = chunk[runEnd]!;
        if (this.messageBytes === 0 && this.kind === MESSAGE_KIND.text && (byte & 0xc0) === 0x80) {
          // A run is checked as a whole; a message must also begin with a whole character.
          this.fail(CLOSE_CODE.invalidText, INVALID_TEXT);
          return null;
        }
        this.key = rotate(this.key, length);
        this.messageBytes += length;
        this.frameLeft -= length;
        at += length;
        runEnd += length;
        if (this.frameLeft > 0) break;
        this.midMessage = !this.frameFinal;
        continue;
      }
      if (end - at < 2) break;
      const first = chunk[at]!;
      const second = chunk[at + 1]!;
      const opcode = first & 0x0f;
      // [§5.1] A client masks every frame. [§5.2] Reserved bits are 0 where no extension was agreed on.
      if (second < 0x80) return this.failAfter(chunk, runStart, runEnd, 'a frame is not masked');
      const compressed = (first & RESERVED_BITS) === COMPRESSED && this.inflater !== null && isFirstOfMessage(opcode);
      if ((first & RESERVED_BITS) !== 0 && !compressed) {
        return this.failAfter(chunk, runStart, runEnd, 'a reserved bit is set');
      }
      let length = second & 0x7f;
      let header = 6;
      if (opcode >= OPCODE.close) {
        // [§5.5] Control frames are short and whole.
        if (opcode > OPCODE.pong) return this.failAfter(chunk, runStart, runEnd, `opcode ${opcode} is reserved`);
        if (first < 0x80 || length > MAX_CONTROL_BYTES) {
          return this.failAfter(chunk, runStart, runEnd, 'a control frame is fragmented or longer than 125 bytes');
        }
        if (end - at < header + length) break;
        const payload = Buffer.from(chunk.subarray(at + 6, at + 6 + length));
        unmask(payload, 0, 0, length, keyAt(chunk, at + 2));
        at += header + length;
        if (opcode === OPCODE.ping) {
          this.sink.ping(payload);
        } else if (opcode === OPCODE.close) {
          if (this.emit(chunk, runStart, runEnd) || !this.over) this.receiveClose(payload);
          return null;
        }
        continue;
      }
      if (length === 126) {
        header = 8;
        if (end - at < header) break;
        length = (chunk[at + 2]! << 8) | chunk[at + 3]!;
        // [§5.2] The minimal number of bytes must be used.
        if (length < 126) return this.failAfter(chunk, runStart, runEnd, 'a length is not minimal');
      } else if (length === 127) {
        header = 14;
        if (end - at < header) break;
        length = chunk.readUInt32BE(at + 2) * 0x100000000 + chunk.readUInt32BE(at + 6);
        if (length < 0x10000) return this.failAfter(chunk, runStart, runEnd, 'a length is not minimal');
      } else if (end - at < header) {
        break;
      }
      if (opcode > OPCODE.binary) return this.failAfter(chunk, runStart, runEnd, `opcode ${opcode} is reserved`);
      // [§5.4] A message's first frame names its kind; those after it are continuations.
      if ((opcode === OPCODE.continuation) !== this.midMessage) {
        return this.failAfter(chunk, runStart, runEnd, 'a fragment is out of order');
      }
      if (opcode !== OPCODE.continuation) {
        if ((opcode !== this.kind || compressed) && runEnd > runStart) {
          const goOn = this.emit(chunk, runStart, runEnd);
          runStart = runEnd = 0;
          if (!goOn) return this.over ? null : chunk.subarray(at);
        }
        this.kind = opcode as MessageKind;
        this.messageBytes = 0;
        this.compressed = compressed;
      }
      const maxBytes = this.compressed ? this.inflater!.maxBytes + DEFLATE_OVERHEAD_BYTES : this.maxMessageBytes;
      if (this.messageBytes + length > maxBytes) {
        this.emit(chunk, runStart, runEnd);
        this.fail(CLOSE_CODE.tooBig, `a message is longer than ${maxBytes} bytes`);
        return null;
      }
      this.key = keyAt(chunk, at + header - 4);
      this.frameFinal = first >= 0x80;
      this.frameLeft = length;
      this.midMessage = length > 0 || !this.frameFinal;
      if (!this.midMessage && runStart === runEnd && this.tail.length > 0) {
        // An empty last fragment ends a text that was handed out up to half a character.
        this.fail(CLOSE_CODE.invalidText, INVALID_TEXT);
        return null;
      }
      at += header;
      if (this.compressed && length === 0 && this.frameFinal && !this.inflate()) {
        return this.over ? null : chunk.subarray(at);
      }
    }
    if (this.over) return null;
    this.emit(chunk, runStart, runEnd);
    // An unfinished frame header must not pin the chunk.
    if (at < end && !this.over) this.carry = Buffer.from(chunk.subarray(at));
    return null;
  }

  /** Payload of a compressed message. */
  private gather(chunk: Buffer, at: number, length: number): void {
    unmask(chunk, at, at, length, this.key);
    this.inflater!.add(chunk.subarray(at, at + length));
    this.key = rotate(this.key, length);
    this.messageBytes += length;
    this.frameLeft -= length;
  }

  /** A compressed message is whole. False where the sink stopped, or where the message is none. */
  private inflate(): boolean {
    this.midMessage = false;
    const message = this.inflater!.finish();
    if (message === 'too-big') {
      this.fail(CLOSE_CODE.tooBig, `a message inflates to more than ${this.inflater!.maxBytes} bytes`);
    } else if (message === 'invalid') this.fail(CLOSE_CODE.invalidText, 'a message cannot be inflated');
    else if (this.kind === MESSAGE_KIND.text && !isUtf8(message)) this.fail(CLOSE_CODE.invalidText, INVALID_TEXT);
    else return message.length === 0 || this.sink.payload(message, this.kind);
    return false;
  }

  /** Hands out a run. False where the sink stopped, or where the text is none. */
  private emit(chunk: Buffer, start: number, end: number): boolean {
    if (start === end) return true;
    const run = start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end);
    if (this.kind === MESSAGE_KIND.text && !this.isText(run)) {
      this.fail(CLOSE_CODE.invalidText, INVALID_TEXT);
      return false;
    }
    return this.sink.payload(run, this.kind);
  }

  /** [§8.1] A character may be split between fragments, and between chunks of ours, but not between messages. */
  private isText(run: Buffer): boolean {
    const text = this.tail.length === 0 ? run : Buffer.concat([this.tail, run]);
    const unfinished = this.midMessage ? unfinishedBytes(text) : 0;
    this.tail = unfinished === 0 ? NOTHING : Buffer.from(text.subarray(text.length - unfinished));
    return isUtf8(unfinished === 0 ? text : text.subarray(0, text.length - unfinished));
  }

  private receiveClose(payload: Buffer): void {
    if (payload.length === 0) {
      this.over = true;
      this.sink.closeFrame(1005);
      return;
    }
    // [§5.5.1, §7.4] A code of two bytes, then text. Codes that may not stand in a frame are violations.
    const code = payload.length === 1 ? 0 : payload.readUInt16BE(0);
    if (!isCloseCode(code)) this.fail(CLOSE_CODE.protocol, 'a Close frame has no valid code');
    else if (!isUtf8(payload.subarray(2))) this.fail(CLOSE_CODE.invalidText, 'invalid UTF-8 in a Close frame');
    else {
      this.over = true;
      this.sink.closeFrame(code);
    }
  }

  /** What came before the violation is still handed out. */
  private failAfter(chunk: Buffer, runStart: number, runEnd: number, reason: string): null {
    this.emit(chunk, runStart, runEnd);
    this.fail(CLOSE_CODE.protocol, reason);
    return null;
  }

  private fail(code: number, reason: string): void {
    if (this.over) return;
    this.over = true;
    this.sink.violation(code, reason);
  }
}

/** Not a continuation, nor a control frame. */
function isFirstOfMessage(opcode: number): boolean {
  return opcode === OPCODE.text || opcode === OPCODE.binary;
}

function isCloseCode(code: number): boolean {
  if (code >= 3000) return code <= 4999;
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006;
}

/** How many bytes at the end begin a character that is not complete. */
function unfinishedBytes(text: Buffer): number {
  for (let back = 1; back <= 3 && back <= text.length; back++) {
    const byte = text[text.length - back]!;
    if (byte < 0x80) return 0;
    if (byte < 0xc0) continue;
    const needed = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return needed > back ? back : 0;
  }
  return 0;
}

function keyAt(chunk: Buffer, at: number): number {
  return chunk[at]! | (chunk[at + 1]! << 8) | (chunk[at + 2]! << 16) | (chunk[at + 3]! << 24);
}

/** The key for what follows after `bytes`. */
function rotate(key: number, bytes: number): number {
  const bits = (bytes & 3) * 8;
  return bits === 0 ? key : (key >>> bits) | (key << (32 - bits));
}

/**
 * Unmasks `length` bytes (§5.3) and moves them from `from` to `to`, which is not behind it. Longer ones are unmasked
 * by words where they are and then moved, shorter ones byte by byte on the way. Exported for the benchmark.
 */
export function unmask(chunk: Buffer, from: number, to: number, length: number, key: number): void {
  let read = from;
  let write = to;
  let left = length;
  let turned = key;
  if (length >= WORDS_FROM_BYTES) {
    if (key !== 0) unmaskWords(chunk, from, length, key);
    if (from !== to) chunk.copyWithin(to, from, from + length);
    return;
  }
  const key1 = turned >>> 8;
  const key2 = turned >>> 16;
  const key3 = turned >>> 24;
  for (; left >= 4; left -= 4) {
    chunk[write] = chunk[read]! ^ turned;
    chunk[write + 1] = chunk[read + 1]! ^ key1;
    chunk[write + 2] = chunk[read + 2]! ^ key2;
    chunk[write + 3] = chunk[read + 3]! ^ key3;
    write += 4;
    read += 4;
  }
  for (; left > 0; left--) {
    chunk[write++] = chunk[read++]! ^ turned;
    turned >>>= 8;
  }
}

function unmaskWords(chunk: Buffer, from: number, length: number, key: number): void {
  const end = from + length;
  let at = from;
  let turned = key;
  while (((chunk.byteOffset + at) & 3) !== 0) {
    chunk[at++]! ^= turned;
    turned = rotate(turned, 1);
  }
  const words = new Int32Array(chunk.buffer, chunk.byteOffset + at, (end - at) >>> 2);
  for (let i = 0; i < words.length; i++) words[i]! ^= turned;
  for (at += words.length * 4; at < end; at++) {
    chunk[at]! ^= turned;
    turned >>>= 8;
  }
}
