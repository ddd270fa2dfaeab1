// The incremental parser of client frames:
//
//   frame   = command EOL *(header EOL) EOL *OCTET NUL *(EOL)
//   header  = name ":" [value]
//   EOL     = [CR] LF            (CR belongs to EOL from 1.2 on)
//
// Before 1.2 a CR at the end of a line is the last octet of a value. There, too, a frame whose command ends in CR LF is
// read with CR LF throughout, as RabbitMQ reads it: no command has a CR, so nothing else can be meant.
//
// The owner pushes chunks and pulls frames: `push`, then `next` until it answers false. Bytes are looked at once,
// however they are split: an unfinished frame keeps its scan position, and only such a frame is copied out of its
// chunk. Nothing is allocated for a frame that lies within one chunk. The parser is itself the current frame (frame.ts):
// an object of its own would have to be kept in step.
//
// A SEND whose header block repeats that of the SEND before it, but for the values of `content-length`, `receipt` and
// `destination`, is recognised by comparing bytes (`repeated`): its headers are then not split into lines at all,
// 4 to 6 × over parsing them, bench/stomp-codec.ts.

import { COMMAND, commandAt, MAX_COMMAND_BYTES } from './command.ts';
import { Frame } from './frame.ts';
import type { StompLimits } from './limits.ts';
import { SendTemplate } from './send-template.ts';
import { limitExceeded, malformed, notConnected, StompError } from './stomp-error.ts';
import { STOMP_VERSION } from './version.ts';

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const NUL = 0;
const LETTER_S = 0x53;

const STATE = { between: 0, head: 1, body: 2 } as const;
type State = (typeof STATE)[keyof typeof STATE];

/** Bytes that are first taken from the next chunk when a frame's headers continue there. */
const FIRST_JOIN_BYTES = 512;
/** Command and header lines of a frame before the login: CONNECT may carry a token as its passcode. */
const LOGIN_HEADER_BYTES = 16 * 1024;
/** Memory that is allocated for a declared body before its bytes arrive is at most this. */
const MAX_AHEAD_BYTES = 256 * 1024;

const NO_BYTES = Buffer.alloc(0);
const CONTENT_LENGTH = Buffer.from('content-length');
const DESTINATION = Buffer.from('destination');
const RECEIPT = Buffer.from('receipt');
const ACCEPT_VERSION = Buffer.from('accept-version');

export class FrameParser extends Frame {
  /** Until the client has logged in only CONNECT is read, with few headers, so that nobody else is a burden. */
  beforeLogin: boolean;
  private readonly limits: StompLimits;
  private state: State;
  private end: number;
  private cursor: number;
  private lineStart: number;
  private colon: number;
  private contentLength: number;
  /** Whether a CR before LF belongs to the EOLs of this frame. */
  private crlf: boolean;
  /** Whether the headers contain a backslash. */
  private escaped: boolean;
  private joined: boolean;
  /** The chunk whose first `tailAt` bytes are in the join buffer, or the next chunk. */
  private tail: Buffer | null;
  private tailAt: number;
  private waiting: Buffer[];
  private readonly template: SendTemplate;

  constructor(limits: StompLimits) {
    super();
    this.beforeLogin = false;
    this.limits = limits;
    this.state = STATE.between;
    this.end = 0;
    this.cursor = 0;
    this.lineStart = 0;
    this.colon = -1;
    this.contentLength = -1;
    this.crlf = false;
    this.escaped = false;
    this.joined = false;
    this.tail = null;
    this.tailAt = 0;
    this.waiting = [];
    this.template = new SendTemplate();
  }

  /** Adds the next bytes of the stream. They must not change afterwards. */
  push(chunk: Buffer): void {
    if (this.tail === null) {
      this.tail = chunk;
      this.tailAt = 0;
    } else this.waiting.push(chunk);
  }

  /** About how many bytes were pushed and not parsed yet; a frame that has begun may count as either. */
  get waitingBytes(): number {
    return this.end - this.cursor + (this.tail === null ? 0 : this.tail.length - this.tailAt);
  }

  /** Memory that it holds: a frame that has begun, and chunks that wait. */
  get heldBytes(): number {
    let bytes = this.tail === null ? 0 : this.tail.length;
    if (this.buffer !== this.tail) bytes += this.buffer.length;
    for (const chunk of this.waiting) bytes += chunk.length;
    return bytes;
  }

  /** Moves to the next whole frame. False: none yet. Throws StompError where the bytes are no frame. */
  next(): boolean {
    if (this.joined && this.state === STATE.between) this.leaveJoin();
    while (!this.advance()) if (!this.refill()) return false;
    return true;
  }

  /** Runs over what is in `buffer`. True: a frame is complete. */
  private advance(): boolean {
    if (this.state === STATE.between && !this.begin()) return false;
    if (this.state === STATE.head && !this.head()) return false;
    return this.body();
  }

  /** Skips the EOLs between frames (they are heart-beats, too), and NULs, which some clients send twice. */
  private begin(): boolean {
    const { buffer, end } = this;
    let at = this.cursor;
    while (at < end && (buffer[at] === LF || buffer[at] === CR || buffer[at] === NUL)) at++;
    this.cursor = at;
    if (at === end) return false;
    this.start = at;
    this.contentLength = -1;
    if (buffer[at] === LETTER_S && this.template.length > 0 && this.repeat(at)) return true;
    this.command = COMMAND.none;
    this.repeated = false;
    this.lineStart = at;
    this.colon = -1;
    this.lineCount = 0;
    this.destinationStart = -1;
    this.receiptStart = -1;
    this.escaped = false;
    this.state = STATE.head;
    return true;
  }

  /** Tries the last SEND's header block. */
  private repeat(at: number): boolean {
    const template = this.template;
    const bodyAt = template.match(this.buffer, at, this.end);
    if (bodyAt < 0 || template.contentLength > this.limits.maxBodyBytes) return false;
    this.command = COMMAND.send;
    this.repeated = true;
    this.sameDestination = template.sameDestination;
    this.destinationStart = template.destinationStart;
    this.destinationEnd = template.destinationEnd;
    this.receiptStart = template.receiptStart;
    this.receiptEnd = template.receiptEnd;
    this.contentLength = template.contentLength;
    this.lineCount = 0;
    this.bodyStart = bodyAt - at;
    this.cursor = bodyAt;
    this.state = STATE.body;
    return true;
  }

  private head(): boolean {
    const { buffer, end } = this;
    let at = this.cursor;
    let colon = this.colon;
    while (at < end) {
      const byte = buffer[at]!;
      // Most bytes are letters: one comparison more for them would be felt.
      if (byte > COLON) {
        if (byte === BACKSLASH) this.escaped = true;
      } else if (byte === LF) {
        let stop = at;
        const first = this.command === COMMAND.none;
        if ((first || this.crlf) && stop > this.lineStart && buffer[stop - 1] === CR) stop--;
        if (first) {
          this.crlf = stop < at || this.version === STOMP_VERSION.v1_2;
          this.firstLine(stop);
        } else if (stop === this.lineStart) {
          this.cursor = at + 1;
          this.endHead();
          return true;
        } else this.line(colon, stop);
        this.lineStart = at + 1;
        colon = -1;
      } else if (byte === COLON) {
        if (colon < 0) colon = at;
      } else if (byte === NUL) throw malformed('NUL inside the headers');
      at++;
    }
    this.cursor = at;
    this.colon = colon;
    if (this.command === COMMAND.none && at - this.lineStart > MAX_COMMAND_BYTES + 1) this.firstLine(at);
    this.checkHead(at - this.start);
    return false;
  }

  private checkHead(bytes: number): void {
    const { maxHeaderBytes } = this.limits;
    const most = this.beforeLogin ? Math.min(maxHeaderBytes, LOGIN_HEADER_BYTES) : maxHeaderBytes;
    if (bytes > most) throw limitExceeded('maxHeaderBytes', most);
  }

  private firstLine(stop: number): void {
    this.command = commandAt(this.buffer, this.lineStart, stop);
    if (this.command === COMMAND.none)
      throw new StompError('Unknown command', 'the first line of a frame names no command of a client');
  }

  private line(colon: number, stop: number): void {
    if (colon < 0) throw malformed('a header line has no colon');
    if (colon === this.lineStart) throw malformed('a header has no name');
    const { limits, start } = this;
    this.checkHead(stop - start);
    if (this.lineCount === limits.maxHeaders) throw limitExceeded('maxHeaders', limits.maxHeaders);
    if (4 * this.lineCount === this.lines.length) {
      const lines = new Int32Array(this.lines.length * 2);
      lines.set(this.lines);
      this.lines = lines;
    }
    const at = 4 * this.lineCount++;
    this.lines[at] = this.lineStart - start;
    this.lines[at + 1] = colon - start;
    this.lines[at + 2] = colon + 1 - start;
    this.lines[at + 3] = stop - start;
  }

  private endHead(): void {
    this.bodyStart = this.cursor - this.start;
    this.checkHead(this.bodyStart);
    if (this.beforeLogin && this.command === COMMAND.send) throw notConnected();
    this.state = STATE.body;
    if (this.version === STOMP_VERSION.v1_0 || this.isOldConnect) this.trim();
    const length = this.find(CONTENT_LENGTH);
    if (length >= 0) this.contentLength = this.digits(length);
    if (this.contentLength > this.limits.maxBodyBytes) throw limitExceeded('maxBodyBytes', this.limits.maxBodyBytes);
    // «Only the SEND, MESSAGE, and ERROR frames MAY have a body» (STOMP 1.2, «Frames and Headers»; 1.0 lets any frame
    // have one, to be ignored). Before the login no frame has one: SEND is refused, and the version is not 1.0 yet.
    if (this.command !== COMMAND.send && this.version !== STOMP_VERSION.v1_0) {
      if (this.contentLength > 0) throw malformed('only SEND may have a body');
      this.contentLength = 0;
    }
    const receipt = this.find(RECEIPT);
    if (receipt >= 0) {
      // It is answered as it is written, so it has to be readable first.
      if (this.escaped) this.decode(this.valueStart(receipt), this.valueEnd(receipt));
      this.receiptStart = this.valueStart(receipt) - this.start;
      this.receiptEnd = this.valueEnd(receipt) - this.start;
    }
    if (this.escaped) this.checkEscapes();
    const destination = this.find(DESTINATION);
    if (destination >= 0) {
      this.destinationStart = this.valueStart(destination) - this.start;
      this.destinationEnd = this.valueEnd(destination) - this.start;
    }
    if (this.command === COMMAND.send) {
      this.template.learn(
        this.buffer,
        this.start,
        this.cursor,
        this.destinationStart,
        this.destinationEnd,
        this.receiptStart,
        this.receiptEnd,
        length < 0 ? -1 : this.valueStart(length) - this.start,
        length < 0 ? -1 : this.valueEnd(length) - this.start,
      );
    }
  }

  /** A CONNECT that names no versions is one of 1.0. */
  private get isOldConnect(): boolean {
    return this.command === COMMAND.connect && this.find(ACCEPT_VERSION) < 0;
  }

  /**
   * 1.0 clients may write spaces around names and values, as the specification's examples do. Here, before anything
   * compares a header: what is checked is what is kept.
   */
  private trim(): void {
    const { lines, buffer, start } = this;
    for (let at = 0; at < 4 * this.lineCount; at += 2) {
      let first = lines[at]!;
      let end = lines[at + 1]!;
      while (first < end && isSpace(buffer[start + first]!)) first++;
      while (end > first && isSpace(buffer[start + end - 1]!)) end--;
      if (first === end && at % 4 === 0) throw malformed('a header has no name');
      lines[at] = first;
      lines[at + 1] = end;
    }
  }

  /** «Undefined escape sequences MUST be treated as a fatal protocol error», also in headers that nobody reads. */
  private checkEscapes(): void {
    for (let line = 0; line < this.lineCount; line++) {
      this.decode(this.nameStart(line), this.nameEnd(line));
      this.decode(this.valueStart(line), this.valueEnd(line));
    }
  }

  private digits(line: number): number {
    let at = this.valueStart(line);
    let end = this.valueEnd(line);
    // 1.0 and 1.1 clients may pad it.
    while (at < end && this.buffer[at] === 0x20) at++;
    while (end > at && this.buffer[end - 1] === 0x20) end--;
    if (at === end || end - at > 15) throw malformed('content-length is no decimal number');
    let value = 0;
    for (; at < end; at++) {
      const digit = this.buffer[at]! - 0x30;
      if (digit < 0 || digit > 9) throw malformed('content-length is no decimal number');
      value = value * 10 + digit;
    }
    return value;
  }

  private body(): boolean {
    const { buffer, end } = this;
    const start = this.start + this.bodyStart;
    let stop: number;
    if (this.contentLength >= 0) {
      stop = start + this.contentLength;
      if (stop >= end) return false;
      if (buffer[stop] !== NUL) throw malformed('no NUL after content-length bytes of body');
    } else {
      stop = buffer.indexOf(NUL, this.cursor);
      if (stop < 0 || stop >= end) {
        this.cursor = end;
        if (end - start > this.limits.maxBodyBytes) throw limitExceeded('maxBodyBytes', this.limits.maxBodyBytes);
        return false;
      }
      if (stop - start > this.limits.maxBodyBytes) throw limitExceeded('maxBodyBytes', this.limits.maxBodyBytes);
    }
    this.bodyLength = stop - start;
    this.cursor = stop + 1;
    this.alone = this.joined;
    this.state = STATE.between;
    return true;
  }

  /** The frame in the join buffer ended: go on in the chunk behind it. */
  private leaveJoin(): void {
    const left = this.end - this.cursor;
    this.joined = false;
    // Whatever follows the frame came with the last chunk, because without it the frame had no end.
    this.buffer = NO_BYTES;
    this.cursor = 0;
    this.end = 0;
    this.tailAt -= left;
  }

  /** Brings more bytes into `buffer`. False: there are none. */
  private refill(): boolean {
    let tail = this.tail;
    while (tail !== null && this.tailAt === tail.length) {
      tail = this.tail = this.waiting.length > 0 ? this.waiting.shift()! : null;
      this.tailAt = 0;
    }
    if (this.state === STATE.between) {
      // Nothing half-read: go on in the chunk itself, or hold none at all.
      this.buffer = tail ?? NO_BYTES;
      this.cursor = this.tailAt;
      this.end = this.buffer.length;
      this.tailAt = this.end;
      return tail !== null;
    }
    if (tail === null) {
      if (!this.joined) this.join(this.end - this.start);
      return false;
    }
    const have = this.end - this.start;
    const known = this.state === STATE.body && this.contentLength >= 0;
    const missing = known ? this.bodyStart + this.contentLength + 1 - have : Math.max(FIRST_JOIN_BYTES, have);
    const take = Math.min(missing, tail.length - this.tailAt);
    if (!this.joined || this.end + take > this.buffer.length) {
      this.join(have + Math.min(Math.max(missing, take), Math.max(take, have, MAX_AHEAD_BYTES)));
    }
    tail.copy(this.buffer, this.end, this.tailAt, this.tailAt + take);
    this.end += take;
    this.tailAt += take;
    return true;
  }

  /** Moves the unfinished frame to the start of a buffer of its own. */
  private join(capacity: number): void {
    const buffer = Buffer.allocUnsafe(capacity);
    this.buffer.copy(buffer, 0, this.start, this.end);
    this.end -= this.start;
    this.cursor -= this.start;
    this.lineStart -= this.start;
    if (this.colon >= 0) this.colon -= this.start;
    this.start = 0;
    this.buffer = buffer;
    this.joined = true;
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09;
}
