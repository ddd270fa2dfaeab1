// What the header block of one SEND means, worked out once and used again for every SEND that repeats the block: the
// bytes that travel with the message, and the properties that the core needs at once.

import { isUtf8 } from 'node:buffer';
import { NEVER } from '../../src/core/message.ts';
import { escapeHeader } from './escaping.ts';
import type { FrameParser } from './frame-parser.ts';
import { FRAME_HEADERS, HEADER } from './header-names.ts';
import { isTrue } from './property-codec.ts';
import { malformed, StompError } from './stomp-error.ts';
import { STOMP_VERSION } from './version.ts';

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

const NO_BYTES = Buffer.alloc(0);
/** The longest expiration that AMQP knows: 2^32 − 1 milliseconds. */
const MAX_EXPIRATION_MS = 0xffff_ffff;

/** A SEND's header block, understood. Its bytes never change, so a message may keep them. */
export class SendHeaders {
  /** Header lines in native form (property-codec.ts). */
  readonly native: Buffer;
  readonly persistent: boolean;
  readonly priority: number;
  /** Milliseconds, or NEVER. */
  readonly expirationMs: number;
  readonly transaction: string | null;
  /** The `/temp-queue/NAME` in reply-to; the connection replaces it by the queue that it made. */
  readonly replyTo: string | null;
  /** Who the message says sent it. */
  readonly userId: string | null;

  constructor(
    native: Buffer,
    persistent: boolean,
    priority: number,
    expirationMs: number,
    transaction: string | null,
    replyTo: string | null,
    userId: string | null,
  ) {
    this.native = native;
    this.persistent = persistent;
    this.priority = priority;
    this.expirationMs = expirationMs;
    this.transaction = transaction;
    this.replyTo = replyTo;
    this.userId = userId;
  }
}

const NO_HEADERS = new SendHeaders(NO_BYTES, false, 0, NEVER, null, null, null);

/**
 * Reads the parser's current frame, a SEND that was split into lines. `replyTo`, where given, takes the place of the
 * header's value. Throws StompError for values that cannot be meant.
 */
export function readSendHeaders(parser: FrameParser, replyTo: string | null): SendHeaders {
  // Nothing but destination, receipt and content-length: the usual SEND.
  const forwarded = forwardedLines(parser);
  if (forwarded === 0) return NO_HEADERS;
  const persistent = parser.text(HEADER.persistent);
  const priority = parser.text(HEADER.priority);
  const expiration = parser.text(HEADER.expiration);
  const requested = parser.text(HEADER.replyTo);
  return new SendHeaders(
    nativeBytes(parser, replyTo),
    persistent !== null && isTrue(persistent),
    priority === null ? 0 : integer('priority', priority, 255),
    expiration === null ? NEVER : integer('expiration', expiration, MAX_EXPIRATION_MS),
    parser.text(HEADER.transaction),
    requested?.startsWith('/temp-queue/') ? requested : null,
    parser.text(HEADER.userId),
  );
}

function forwardedLines(parser: FrameParser): number {
  let count = parser.lineCount;
  if (parser.destinationStart >= 0) count--;
  if (parser.receiptStart >= 0) count--;
  if (parser.hasContentLength) count--;
  return count;
}

/** The lines that travel with the message, escaped as 1.2 does. */
function nativeBytes(parser: FrameParser, replyTo: string | null): Buffer {
  const { buffer, version, lineCount } = parser;
  if (!isUtf8(buffer.subarray(parser.frame, parser.frame + parser.bodyStart))) {
    throw malformed('headers are not valid UTF-8');
  }
  const parts: Buffer[] = [];
  const seen: number[] = [];
  for (let line = 0; line < lineCount; line++) {
    if (repeats(parser, line, seen)) continue;
    seen.push(line);
    const start = parser.nameStart(line);
    const end = parser.valueEnd(line);
    // Usually the line is already in its native form.
    const plain = version === STOMP_VERSION.v1_2 && isPlain(buffer, parser.valueStart(line), end);
    const name = parser.decode(start, parser.nameEnd(line));
    if (FRAME_HEADERS.has(name)) continue;
    if (name === 'reply-to' && replyTo !== null) parts.push(lineBytes(name, replyTo));
    else if (plain && isPlain(buffer, start, parser.nameEnd(line))) {
      const copy = Buffer.allocUnsafe(end - start + 1);
      buffer.copy(copy, 0, start, end);
      copy[end - start] = LF;
      parts.push(copy);
    } else parts.push(lineBytes(name, parser.decode(parser.valueStart(line), end)));
  }
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

function lineBytes(name: string, value: string): Buffer {
  return Buffer.from(`${escapeHeader(name, STOMP_VERSION.v1_2)}:${escapeHeader(value, STOMP_VERSION.v1_2)}\n`, 'utf8');
}

/** Repeated headers: the first wins (STOMP 1.2, «Repeated Header Entries»). */
function repeats(parser: FrameParser, line: number, seen: readonly number[]): boolean {
  const start = parser.nameStart(line);
  const length = parser.nameEnd(line) - start;
  const { buffer } = parser;
  next: for (let i = 0; i < seen.length; i++) {
    const other = parser.nameStart(seen[i]!);
    if (parser.nameEnd(seen[i]!) - other !== length) continue;
    for (let j = 0; j < length; j++) if (buffer[other + j] !== buffer[start + j]) continue next;
    return true;
  }
  return false;
}

function isPlain(buffer: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = buffer[at];
    if (byte === BACKSLASH || byte === CR || byte === COLON) return false;
  }
  return true;
}

function integer(name: string, text: string, max: number): number {
  const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 0 && value <= max) return value;
  throw new StompError('Invalid header', `'${name}' must be an integer between 0 and ${max}`);
}
