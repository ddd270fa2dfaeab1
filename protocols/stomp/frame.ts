// The parser's current frame, as its readers see it: where its parts are in the buffer, and the text of its headers.
// The parser (frame-parser.ts) moves it on; what is read here is valid until then. Offsets are relative to `start` in
// `buffer` unless stated otherwise.

import { COMMAND, type Command } from './command.ts';
import { unescapeHeader } from './escaping.ts';
import { malformed } from './stomp-error.ts';
import { STOMP_VERSION, type StompVersion } from './version.ts';

const NO_BYTES = Buffer.alloc(0);

export class Frame {
  /**
   * Decides about CR and escapes. 1.2 until the connection has negotiated another version, because it is the most
   * tolerant.
   */
  version: StompVersion;
  command: Command;
  buffer: Buffer;
  /** Where it begins in `buffer`. */
  start: number;
  bodyStart: number;
  bodyLength: number;
  /** Where the values of these headers are, relative to `start`; start −1: the header is absent. */
  destinationStart: number;
  destinationEnd: number;
  receiptStart: number;
  receiptEnd: number;
  /**
   * The header block equals that of the last SEND, except for the values above and content-length; it has no lines
   * then.
   */
  repeated: boolean;
  /** With `repeated`: the destination is equal too. */
  sameDestination: boolean;
  /** The frame is in a buffer of its own that contains little else. */
  alone: boolean;
  lineCount: number;
  /** Start and end of the name, and of the value, of each header line, relative to `start`. */
  protected lines: Int32Array;

  constructor() {
    this.version = STOMP_VERSION.v1_2;
    this.command = COMMAND.none;
    this.buffer = NO_BYTES;
    this.start = 0;
    this.bodyStart = 0;
    this.bodyLength = 0;
    this.destinationStart = -1;
    this.destinationEnd = -1;
    this.receiptStart = -1;
    this.receiptEnd = -1;
    this.repeated = false;
    this.sameDestination = false;
    this.alone = false;
    this.lineCount = 0;
    this.lines = new Int32Array(4 * 16);
  }

  /** The value of its receipt header, byte for byte (latin1), or null. */
  receiptId(): string | null {
    if (this.receiptStart < 0) return null;
    return this.buffer.toString('latin1', this.start + this.receiptStart, this.start + this.receiptEnd);
  }

  /** Index of the first line of that name (repeated headers: the first wins), or −1. */
  find(name: Buffer): number {
    const { lines, buffer, start } = this;
    const length = name.length;
    next: for (let i = 0; i < this.lineCount; i++) {
      const nameAt = lines[4 * i]!;
      if (lines[4 * i + 1]! - nameAt !== length) continue;
      for (let j = 0; j < length; j++) if (buffer[start + nameAt + j] !== name[j]) continue next;
      return i;
    }
    return -1;
  }

  nameStart(line: number): number {
    return this.start + this.lines[4 * line]!;
  }
  nameEnd(line: number): number {
    return this.start + this.lines[4 * line + 1]!;
  }
  valueStart(line: number): number {
    return this.start + this.lines[4 * line + 2]!;
  }
  valueEnd(line: number): number {
    return this.start + this.lines[4 * line + 3]!;
  }

  /** The text of that header, unescaped, or null where the frame has none. */
  text(name: Buffer): string | null {
    const line = this.find(name);
    return line < 0 ? null : this.decode(this.valueStart(line), this.valueEnd(line));
  }

  /** Header text between two absolute offsets. */
  decode(start: number, end: number): string {
    const raw = this.buffer.toString('utf8', start, end);
    // CONNECT is never escaped («Value Encoding»).
    if (this.command === COMMAND.connect) return raw;
    if (this.version === STOMP_VERSION.v1_2 && raw.includes('\r')) throw malformed('CR inside a header');
    return unescapeHeader(raw, this.version);
  }
}
