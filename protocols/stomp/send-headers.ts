// What the header block of one SEND means, worked out once and used again for every SEND that repeats the block: the
// bytes that travel with the message, and the properties that the core needs at once.

import { isUtf8 } from 'node:buffer';
import { NEVER } from '../../src/core/message/message.ts';
import { escapeHeader } from './escaping.ts';
import type { Frame } from './frame.ts';
import { FRAME_HEADERS } from './header-names.ts';
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
 * Reads a SEND that was split into lines. `replyTo`, where given, takes the place of the header's value. Throws
 * StompError for values that cannot be meant.
 *
 * Names are told apart by their bytes and lines that are in native form already are copied as they are, because
 * publishers whose headers differ with every message come through here: 1.3 × over strings, bench/stomp-codec.ts.
 */
export function readSendHeaders(frame: Frame, replyTo: string | null): SendHeaders {
  const { buffer, lineCount } = frame;
  // Nothing but destination, receipt and content-length: the usual SEND.
  let native = NO_BYTES;
  let length = 0;
  let persistent = false;
  let priority = 0;
  let expirationMs = NEVER;
  let transaction: string | null = null;
  let tempQueue: string | null = null;
  let userId: string | null = null;
  for (let line = 0; line < lineCount; line++) {
    const start = frame.nameStart(line);
    const nameEnd = frame.nameEnd(line);
    const end = frame.valueEnd(line);
    const name = nameOf(buffer, start, nameEnd);
    // Repeated headers: the first wins (STOMP 1.2, «Repeated Header Entries»).
    if (name === NAME.frame || repeats(frame, line)) continue;
    let replaced: string | null = null;
    if (name !== NAME.other) {
      const value = frame.decode(frame.valueStart(line), end);
      switch (name) {
        case NAME.persistent:
          persistent = isTrue(value);
          break;
        case NAME.priority:
          priority = integer('priority', value, 255);
          break;
        case NAME.expiration:
          expirationMs = integer('expiration', value, MAX_EXPIRATION_MS);
          break;
        case NAME.replyTo:
          if (value.startsWith('/temp-queue/')) {
            tempQueue = value;
            replaced = replyTo;
          }
          break;
        case NAME.userId:
          userId = value;
          break;
        case NAME.transaction:
          transaction = value;
          continue;
        default:
          name satisfies never;
      }
    }
    if (native.length === 0) native = Buffer.allocUnsafe(frame.bodyStart);
    const copied = replaced === null ? copyLine(frame, start, nameEnd, end, native, length) : -1;
    if (copied >= 0) {
      length = copied;
      continue;
    }
    const text = frame.decode(start, nameEnd);
    // Only an escaped name can still turn out to be one of the frame's.
    if (FRAME_HEADERS.has(text)) continue;
    const bytes = lineBytes(text, replaced ?? frame.decode(frame.valueStart(line), end));
    // Rare, so that making room each time is cheap enough.
    native = Buffer.concat([native.subarray(0, length), bytes, Buffer.alloc(frame.bodyStart)]);
    length += bytes.length;
  }
  if (length === 0 && transaction === null) return NO_HEADERS;
  const bytes = native.subarray(0, length);
  return new SendHeaders(bytes, persistent, priority, expirationMs, transaction, tempQueue, userId);
}

/**
 * Copies a header line that is in native form already; answers where it ends in `target`, or −1 where it is not. Lines
 * that are not ASCII are checked to be UTF-8.
 */
function copyLine(frame: Frame, start: number, nameEnd: number, end: number, target: Buffer, at: number): number {
  const { buffer } = frame;
  if (frame.version !== STOMP_VERSION.v1_2) return utf8Line(buffer, start, end);
  let to = at;
  for (let from = start; from < end; from++) {
    const byte = buffer[from]!;
    if (byte === BACKSLASH || byte === CR || byte >= 0x80 || (byte === COLON && from > nameEnd)) {
      return utf8Line(buffer, start, end);
    }
    target[to++] = byte;
  }
  target[to++] = LF;
  return to;
}

/** Always −1: the line has to be read as text, which it must be. */
function utf8Line(buffer: Buffer, start: number, end: number): -1 {
  if (!isUtf8(buffer.subarray(start, end))) throw malformed('headers are not valid UTF-8');
  return -1;
}

function lineBytes(name: string, value: string): Buffer {
  const { v1_2 } = STOMP_VERSION;
  return Buffer.from(`${escapeHeader(name, v1_2)}:${escapeHeader(value, v1_2)}\n`, 'utf8');
}

/** Whether an earlier line has the same name. */
function repeats(frame: Frame, line: number): boolean {
  const start = frame.nameStart(line);
  const length = frame.nameEnd(line) - start;
  const { buffer } = frame;
  next: for (let i = 0; i < line; i++) {
    const other = frame.nameStart(i);
    if (frame.nameEnd(i) - other !== length) continue;
    for (let j = 0; j < length; j++) if (buffer[other + j] !== buffer[start + j]) continue next;
    return true;
  }
  return false;
}

/** What a header name is to a SEND: one of the frame's, one with a meaning of its own, or any other. */
const NAME = {
  other: 0,
  frame: 1,
  persistent: 2,
  priority: 3,
  expiration: 4,
  replyTo: 5,
  userId: 6,
  transaction: 7,
} as const;
type Name = (typeof NAME)[keyof typeof NAME];

const NAMES: readonly (readonly { readonly bytes: Buffer; readonly name: Name }[])[] = namesByLength([
  ...[...FRAME_HEADERS].filter((name) => name !== 'transaction').map((name) => [name, NAME.frame] as const),
  ['persistent', NAME.persistent],
  ['priority', NAME.priority],
  ['expiration', NAME.expiration],
  ['reply-to', NAME.replyTo],
  ['user-id', NAME.userId],
  ['transaction', NAME.transaction],
]);

function nameOf(buffer: Buffer, start: number, end: number): Name {
  const length = end - start;
  if (length >= NAMES.length) return NAME.other;
  const candidates = NAMES[length]!;
  next: for (let i = 0; i < candidates.length; i++) {
    const { bytes, name } = candidates[i]!;
    for (let j = 0; j < length; j++) if (buffer[start + j] !== bytes[j]) continue next;
    return name;
  }
  return NAME.other;
}

function namesByLength(
  names: readonly (readonly [string, Name])[],
): readonly { readonly bytes: Buffer; readonly name: Name }[][] {
  const longest = Math.max(...names.map(([text]) => text.length));
  const table = Array.from({ length: longest + 1 }, (): { bytes: Buffer; name: Name }[] => []);
  for (const [text, name] of names) table[text.length]!.push({ bytes: Buffer.from(text), name });
  return table;
}

function integer(name: string, text: string, max: number): number {
  const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 0 && value <= max) return value;
  throw new StompError('Invalid header', `'${name}' must be an integer between 0 and ${max}`);
}
