// The bytes of a segment: a run of entries of one queue in one record, so that a batch costs a record for each 64 KiB
// rather than one for each message (bench/store.ts; docs/decisions/ has the numbers).
//
//   segment  format u8 = 1 | epoch u32 | count u32 | entry*
//   entry    flags u8 | codec u8 | priority u8 | seq − first seq u32 | received at f64 | native length u32 |
//            body length u32 | [expires at f64] | [expiration ms f64] | [options] |
//            [exchange text, routing key text] | native bytes | body bytes, or nothing where the body is shared
//   options  QoS u8 | subscription id u32 (0: none)          of a retained message that a subscription selected
//   text     length u16 | UTF-8
//
// Big-endian. Names are left out where they equal those of the entry before.

import { Message, NEVER } from '../../core/message/message.ts';
import type { PropertyCodec } from '../../core/message/properties.ts';
import { NEVER_EXPIRES, type QueueEntry } from '../../core/queue/queue-entry.ts';
import type { StoredEntry } from '../../core/queue/queue-store.ts';
import { retainedSubscriptionOptions } from '../../core/queue/subscription-options.ts';
import { DamagedDataError } from '../kv/kv.ts';

const FORMAT = 1;
const HEADER_BYTES = 9;
const FIXED_BYTES = 23;
const OPTIONS_BYTES = 5;
const OPTIONAL_BYTES = 16 + OPTIONS_BYTES + 4;

const FLAG = {
  persistent: 1,
  redelivered: 2,
  expires: 4,
  expiration: 8,
  sameNames: 16,
  sharedBody: 32,
  retained: 64,
} as const;

/** A segment ends at this size; a larger entry gets a segment of its own. */
export const SEGMENT_BYTES = 64 * 1024;
/**
 * Segments of a batch are cut from slabs of this size, which are reused once their batch is committed. The segment of a
 * large entry is reused as well: separate memory would become garbage that outlives its commit.
 */
const SLAB_BYTES = 4 * SEGMENT_BYTES;
/** The remainder of a slab is not used for a new segment below this size. */
const REST_BYTES = 1024;
const MAX_FREE_SLABS = 16;
/** ASCII names up to this length are copied byte by byte: 3 × as fast as `Buffer.write`. */
const SHORT_TEXT = 48;
const MAX_TEXT_BYTES = 0xffff;

/** The largest size of an encoded entry. */
function boundOf(message: Message, bodyBytes: number): number {
  return (
    FIXED_BYTES +
    OPTIONAL_BYTES +
    3 * (message.exchange.length + message.routingKey.length) +
    message.nativeLength +
    bodyBytes
  );
}

/** Memory that segments are cut out of. */
export class Slab {
  readonly bytes: Buffer;
  readonly view: DataView;

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafeSlow(size);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, size);
  }
}

/** Encodes the entries of one batch. Its owner calls `recycle` when the batch is committed. */
export class SegmentWriter {
  private readonly epoch: number;
  private readonly free: Slab[];
  private used: Slab[];
  private slab: Slab;
  private start: number;
  private position: number;
  private count: number;
  private exchange: string;
  private routingKey: string;
  firstSeq: number;
  lastSeq: number;

  constructor(epoch: number) {
    this.epoch = epoch;
    this.free = [];
    this.used = [];
    this.slab = new Slab(0);
    this.start = 0;
    this.position = 0;
    this.count = 0;
    this.exchange = '';
    this.routingKey = '';
    this.firstSeq = 0;
    this.lastSeq = 0;
  }

  /** Whether a segment was begun and not ended. */
  get open(): boolean {
    return this.count > 0;
  }

  /** Whether the entry fits the open segment (`bodyBytes` 0 for a shared body). */
  takes(entry: QueueEntry, bodyBytes: number): boolean {
    const end = this.position + boundOf(entry.message, bodyBytes);
    return end <= this.slab.bytes.length && end - this.start <= SEGMENT_BYTES;
  }

  /** Begins a segment with this entry. The previous one was ended. */
  begin(entry: QueueEntry, bodyBytes: number): void {
    const needed = HEADER_BYTES + boundOf(entry.message, bodyBytes);
    const rest = this.slab.bytes.length - this.position;
    if (needed > SLAB_BYTES) {
      // Exactly its own memory, which is not reused.
      this.retire();
      this.slab = new Slab(needed);
      this.position = 0;
    } else if (needed > rest || rest < REST_BYTES) {
      this.retire();
      this.slab = this.free.pop() ?? new Slab(SLAB_BYTES);
      this.position = 0;
    }
    this.start = this.position;
    this.position += HEADER_BYTES;
    this.firstSeq = entry.seq;
  }

  /** Adds an entry to the segment that was begun. */
  add(entry: QueueEntry, shared: boolean): void {
    const { message, subscriptionOptions } = entry;
    const { bytes, view } = this.slab;
    const same = this.count > 0 && message.exchange === this.exchange && message.routingKey === this.routingKey;
    const expires = entry.expiresAt !== NEVER_EXPIRES;
    const expiration = message.expirationMs !== NEVER;
    const retained = subscriptionOptions?.retained === true;
    let at = this.position;
    bytes[at] =
      (message.persistent ? FLAG.persistent : 0) |
      (entry.redelivered ? FLAG.redelivered : 0) |
      (expires ? FLAG.expires : 0) |
      (expiration ? FLAG.expiration : 0) |
      (same ? FLAG.sameNames : 0) |
      (shared ? FLAG.sharedBody : 0) |
      (retained ? FLAG.retained : 0);
    bytes[at + 1] = message.codec.id;
    bytes[at + 2] = message.priority;
    view.setUint32(at + 3, entry.seq - this.firstSeq);
    view.setFloat64(at + 7, message.receivedAt);
    view.setUint32(at + 15, message.nativeLength);
    view.setUint32(at + 19, message.bodyLength);
    at += FIXED_BYTES;
    if (expires) {
      view.setFloat64(at, entry.expiresAt);
      at += 8;
    }
    if (expiration) {
      view.setFloat64(at, message.expirationMs);
      at += 8;
    }
    if (retained) {
      bytes[at] = subscriptionOptions.qos;
      view.setUint32(at + 1, subscriptionOptions.subscriptionIds[0] ?? 0);
      at += OPTIONS_BYTES;
    }
    if (!same) {
      at = writeText(bytes, at, message.exchange);
      at = writeText(bytes, at, message.routingKey);
      this.exchange = message.exchange;
      this.routingKey = message.routingKey;
    }
    const { native, nativeOffset, nativeLength, body, bodyOffset, bodyLength } = message;
    if (!shared && native === body && nativeOffset + nativeLength === bodyOffset) {
      // In a message that owns its bytes, native and body are adjacent.
      native.copy(bytes, at, nativeOffset, bodyOffset + bodyLength);
      at += nativeLength + bodyLength;
    } else {
      native.copy(bytes, at, nativeOffset, nativeOffset + nativeLength);
      at += nativeLength;
      if (!shared) {
        body.copy(bytes, at, bodyOffset, bodyOffset + bodyLength);
        at += bodyLength;
      }
    }
    this.position = at;
    this.lastSeq = entry.seq;
    this.count++;
  }

  /** Ends the segment and returns its bytes, valid until `recycle`. */
  end(): Buffer {
    const { start, position } = this;
    this.slab.bytes[start] = FORMAT;
    this.slab.view.setUint32(start + 1, this.epoch);
    this.slab.view.setUint32(start + 5, this.count);
    this.count = 0;
    return this.slab.bytes.subarray(start, position);
  }

  /** The slabs of everything encoded since the last call; the caller gives them to `recycle` after the commit. */
  takeSlabs(): Slab[] {
    this.retire();
    this.slab = new Slab(0);
    this.position = 0;
    const used = this.used;
    this.used = [];
    return used;
  }

  recycle(slabs: Slab[]): void {
    for (const slab of slabs) if (this.free.length < MAX_FREE_SLABS) this.free.push(slab);
  }

  private retire(): void {
    if (this.slab.bytes.length === SLAB_BYTES) this.used.push(this.slab);
  }
}

/** Reads the entries of a segment, one after the other. The messages refer to `bytes`, which never change. */
export class SegmentReader {
  private readonly bytes: Buffer;
  private readonly codecs: ReadonlyMap<number, PropertyCodec>;
  private readonly firstSeq: number;
  private readonly where: string;
  private readonly sharedBody: Buffer | null;
  private position: number;
  private left: number;
  private exchange: string;
  private routingKey: string;
  readonly epoch: number;
  /** Of the entry that `next` moved to. */
  seq: number;
  persistent: boolean;
  /** Its native and body bytes. */
  size: number;
  /** Where it begins, and where its native bytes begin. */
  private at: number;
  private native: number;
  private nativeLength: number;
  private bodyLength: number;

  /** `sharedBody` is given if the key names one. `where` names the record in errors. */
  constructor(
    bytes: Buffer,
    firstSeq: number,
    sharedBody: Buffer | null,
    codecs: ReadonlyMap<number, PropertyCodec>,
    where: string,
  ) {
    this.bytes = bytes;
    this.codecs = codecs;
    this.firstSeq = firstSeq;
    this.sharedBody = sharedBody;
    this.where = where;
    if (bytes.length < HEADER_BYTES || bytes[0] !== FORMAT) throw this.damaged('has an unknown format');
    this.epoch = bytes.readUInt32BE(1);
    this.left = bytes.readUInt32BE(5);
    this.position = HEADER_BYTES;
    this.exchange = '';
    this.routingKey = '';
    this.seq = 0;
    this.persistent = false;
    this.size = 0;
    this.at = 0;
    this.native = 0;
    this.nativeLength = 0;
    this.bodyLength = 0;
  }

  /** Moves to the next entry; false after the last one. */
  next(): boolean {
    if (this.left === 0) return false;
    this.left--;
    const { bytes } = this;
    const at = this.position;
    if (at + FIXED_BYTES > bytes.length) throw this.damaged('ends early');
    const flags = bytes[at]!;
    this.at = at;
    this.persistent = (flags & FLAG.persistent) !== 0;
    this.seq = this.firstSeq + bytes.readUInt32BE(at + 3);
    this.nativeLength = bytes.readUInt32BE(at + 15);
    this.bodyLength = bytes.readUInt32BE(at + 19);
    this.size = this.nativeLength + this.bodyLength;
    let next = at + FIXED_BYTES;
    if ((flags & FLAG.expires) !== 0) next += 8;
    if ((flags & FLAG.expiration) !== 0) next += 8;
    if ((flags & FLAG.retained) !== 0) next += OPTIONS_BYTES;
    if ((flags & FLAG.sameNames) === 0) {
      const exchange = next + 2;
      if (next + 2 > bytes.length) throw this.damaged('ends early');
      const exchangeEnd = exchange + bytes.readUInt16BE(next);
      if (exchangeEnd + 2 > bytes.length) throw this.damaged('ends early');
      next = exchangeEnd + 2 + bytes.readUInt16BE(exchangeEnd);
      if (next > bytes.length) throw this.damaged('ends early');
      this.exchange = this.sameText(this.exchange, exchange, exchangeEnd);
      this.routingKey = this.sameText(this.routingKey, exchangeEnd + 2, next);
    }
    this.native = next;
    this.position = next + this.nativeLength + ((flags & FLAG.sharedBody) !== 0 ? 0 : this.bodyLength);
    if (this.position > bytes.length) throw this.damaged('ends early');
    return true;
  }

  /** The entry that `next` moved to. `redelivered` where it is to be marked whatever was written. */
  entry(redelivered: boolean): StoredEntry {
    const { bytes, at } = this;
    const flags = bytes[at]!;
    const codec = this.codecs.get(bytes[at + 1]!);
    if (codec === undefined) throw this.damaged(`names the unknown property codec ${bytes[at + 1]}`);
    let optional = at + FIXED_BYTES;
    let expiresAt = NEVER_EXPIRES;
    if ((flags & FLAG.expires) !== 0) {
      expiresAt = bytes.readDoubleBE(optional);
      optional += 8;
    }
    let expirationMs = NEVER;
    if ((flags & FLAG.expiration) !== 0) {
      expirationMs = bytes.readDoubleBE(optional);
      optional += 8;
    }
    const retained = (flags & FLAG.retained) !== 0;
    const subscriptionOptions = retained
      ? retainedSubscriptionOptions(bytes[optional]!, bytes.readUInt32BE(optional + 1))
      : null;
    const { native } = this;
    const shared = (flags & FLAG.sharedBody) !== 0;
    const body = shared ? this.sharedBody : bytes;
    if (body === null || (shared && body.length !== this.bodyLength)) throw this.damaged('lost its shared body');
    const message = new Message(
      this.exchange,
      this.routingKey,
      body,
      shared ? 0 : native + this.nativeLength,
      this.bodyLength,
      bytes,
      native,
      this.nativeLength,
      codec,
      this.persistent,
      bytes[at + 2]!,
      expirationMs,
      bytes.readDoubleBE(at + 7),
    );
    message.owned = true;
    return {
      seq: this.seq,
      message,
      expiresAt,
      redelivered: redelivered || (flags & FLAG.redelivered) !== 0,
      subscriptionOptions,
    };
  }

  private sameText(known: string, from: number, to: number): string {
    return isText(this.bytes, from, to, known) ? known : this.bytes.toString('utf8', from, to);
  }

  private damaged(what: string): DamagedDataError {
    return new DamagedDataError(`${this.where} ${what}`);
  }
}

/** Whether those bytes are that (ASCII) text: exchange names repeat where routing keys do not. */
function isText(bytes: Buffer, from: number, to: number, text: string): boolean {
  if (to - from !== text.length) return false;
  for (let i = from; i < to; i++) {
    const byte = bytes[i]!;
    if (byte > 127 || byte !== text.charCodeAt(i - from)) return false;
  }
  return true;
}

function writeText(target: Buffer, at: number, text: string): number {
  const { length } = text;
  if (length <= SHORT_TEXT) {
    let i = 0;
    for (; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127) break;
      target[at + 2 + i] = code;
    }
    if (i === length) {
      target[at] = 0;
      target[at + 1] = length;
      return at + 2 + length;
    }
  }
  const written = target.write(text, at + 2, 'utf8');
  if (written > MAX_TEXT_BYTES) throw new RangeError('a name is longer than 65,535 bytes');
  target.writeUInt16BE(written, at);
  return at + 2 + written;
}
