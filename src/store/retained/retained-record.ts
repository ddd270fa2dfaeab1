// The bytes of a retained message.
//
//   record  format u8 = 1 | flags u8 | codec u8 | priority u8 | epoch u32 | revision f64 | received at f64 |
//           expires at f64 | expiration ms f64 | native length u32 | exchange text | [routing key text] | native | body
//   text    length u16 | UTF-8
//
// Big-endian. The routing key is there where the record's key is cut; else it is read from that. `epoch` and `revision`
// say when the record was set, so that a reader tells what is older than itself.

import { Message } from '../../core/message/message.ts';
import type { PropertyCodec } from '../../core/message/properties.ts';
import type { RetainedMoment } from '../../core/ports/retained-store.ts';
import { isCut, routingKeyOf } from '../keys.ts';
import { DamagedDataError } from '../kv/kv.ts';

const FORMAT = 1;
const FIXED_BYTES = 44;
const FLAG = { persistent: 1, routingKey: 2 } as const;

/** A record of its own memory. `expiresAt` is infinite for a message that stays. */
export function encodeRetained(message: Message, cut: boolean, stamp: RetainedMoment, expiresAt: number): Buffer {
  const exchange = Buffer.from(message.exchange, 'utf8');
  const routingKey = cut ? Buffer.from(message.routingKey, 'utf8') : null;
  const { native, nativeOffset, nativeLength, body, bodyOffset, bodyLength } = message;
  const names = 2 + exchange.length + (routingKey === null ? 0 : 2 + routingKey.length);
  const record = Buffer.allocUnsafeSlow(FIXED_BYTES + names + nativeLength + bodyLength);
  record[0] = FORMAT;
  record[1] = (message.persistent ? FLAG.persistent : 0) | (cut ? FLAG.routingKey : 0);
  record[2] = message.codec.id;
  record[3] = message.priority;
  record.writeUInt32BE(stamp.epoch, 4);
  record.writeDoubleBE(stamp.revision, 8);
  record.writeDoubleBE(message.receivedAt, 16);
  record.writeDoubleBE(expiresAt, 24);
  record.writeDoubleBE(message.expirationMs, 32);
  record.writeUInt32BE(nativeLength, 40);
  let at = writeText(record, FIXED_BYTES, exchange);
  if (routingKey !== null) at = writeText(record, at, routingKey);
  at += native.copy(record, at, nativeOffset, nativeOffset + nativeLength);
  body.copy(record, at, bodyOffset, bodyOffset + bodyLength);
  return record;
}

/** What a retained message counts against the bounds: the bytes of its routing key, properties and body. */
export function costOf(key: Buffer, prefix: Buffer, record: Buffer): number {
  const names = FIXED_BYTES + 2 + record.readUInt16BE(FIXED_BYTES);
  return record.length - names + (isCut(key, prefix) ? 0 : key.length - prefix.length);
}

export function expiryOf(record: Buffer): number {
  return record.readDoubleBE(24);
}

export function stampOf(record: Buffer): RetainedMoment {
  return { epoch: record.readUInt32BE(4), revision: record.readDoubleBE(8) };
}

export function isPersistent(record: Buffer): boolean {
  return (record[1]! & FLAG.persistent) !== 0;
}

/** Throws DamagedDataError unless this is a record. Called once for each that comes from disk. */
export function requireRecord(record: Buffer, key: Buffer): void {
  if (record.length >= FIXED_BYTES + 2 && record[0] === FORMAT) {
    let end = FIXED_BYTES + 2 + record.readUInt16BE(FIXED_BYTES);
    if ((record[1]! & FLAG.routingKey) !== 0 && end + 2 <= record.length) end += 2 + record.readUInt16BE(end);
    if (end + record.readUInt32BE(40) <= record.length) return;
  }
  throw new DamagedDataError(`the retained message ${key.toString('hex')} has an unknown format`);
}

/** The routing key: the record's own where its key is cut. */
export function routingKeyIn(record: Buffer, key: Buffer, prefix: Buffer): string {
  if ((record[1]! & FLAG.routingKey) === 0) return routingKeyOf(key, prefix);
  const at = FIXED_BYTES + 2 + record.readUInt16BE(FIXED_BYTES);
  return record.toString('utf8', at + 2, at + 2 + record.readUInt16BE(at));
}

/** The message, which points into the record. */
export function decodeRetained(
  record: Buffer,
  key: Buffer,
  prefix: Buffer,
  codecs: ReadonlyMap<number, PropertyCodec>,
): Message {
  const codec = codecs.get(record[2]!);
  if (codec === undefined)
    throw new DamagedDataError(`a retained message names the unknown property codec ${record[2]}`);
  let at = FIXED_BYTES + 2 + record.readUInt16BE(FIXED_BYTES);
  const exchange = record.toString('utf8', FIXED_BYTES + 2, at);
  if ((record[1]! & FLAG.routingKey) !== 0) at += 2 + record.readUInt16BE(at);
  const nativeLength = record.readUInt32BE(40);
  const body = at + nativeLength;
  const message = new Message(
    exchange,
    routingKeyIn(record, key, prefix),
    record,
    body,
    record.length - body,
    record,
    at,
    nativeLength,
    codec,
    (record[1]! & FLAG.persistent) !== 0,
    record[3]!,
    record.readDoubleBE(32),
    record.readDoubleBE(16),
  );
  message.owned = true;
  return message;
}

function writeText(record: Buffer, at: number, text: Buffer): number {
  record.writeUInt16BE(text.length, at);
  text.copy(record, at + 2);
  return at + 2 + text.length;
}
