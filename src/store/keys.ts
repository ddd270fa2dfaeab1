// The keys of schema version 2: binary, big-endian, so that a range of them is a range of what they name.
//
//   header  01 | field u8                                            value: u64, see HEADER
//   meta    02 | queue u64                                           queue-state.ts
//   gone    03 | queue u64 | from u64                                value: to u64
//   dropped 04 | queue u64                                           empty: a deleted queue that is still reclaimed
//   entry   05 | queue u64 | lane u8 | order u64 | seq u64 [| body]  segment-codec.ts
//   late    06 | queue u64 | lane u8 | order u64 | seq u64 [| body]  segment-codec.ts
//   body    07 | body u64                                            the bytes
//   ref     08 | body u64 | queue u64 | seq u64                      empty
//   named   09 | kind u8 | parts, or ff and their SHA-256            definitions.ts
//   kept    0a | vhost length u8 | vhost | words with 00 between     retained-store.ts
//   due     0b | expires at u64 | the whole kept key                 empty
//   packet  0c | session u64 | direction u8 | packet id u16          version 1 only: upgrade.ts
//   tally   0d | vhost                                               retained-store.ts
//   page    0e | session u64 | direction u8 | high byte of ids u8    packet-page.ts
//
// A kept key orders topics level by level, because 00 sorts before everything that a word may hold. One of more than
// 1,000 bytes is cut there and goes on with ff and the SHA-256 of the words.
//
// One entry record holds a run of entries (a segment): `order` is the first sequence number in it and `seq` the last.
// The trailing body id is there where the segment is one entry whose body is shared. Queue and body ids are never reused.

import { createHash } from 'node:crypto';
import type { DefinitionKind } from '../core/ports/definitions.ts';

const KIND = {
  header: 1,
  meta: 2,
  gone: 3,
  dropped: 4,
  entry: 5,
  late: 6,
  body: 7,
  ref: 8,
  named: 9,
  kept: 10,
  due: 11,
  packet: 12,
  tally: 13,
  page: 14,
} as const;

/** Header fields. */
export const HEADER = { schema: 1, epoch: 2, nextQueueId: 3, nextBodyId: 4, probe: 5 } as const;

/** Written to disk: never renumber. 7 was never written. */
const NAMED = {
  vhost: 1,
  user: 2,
  permission: 3,
  exchange: 4,
  queue: 5,
  binding: 6,
  session: 8,
  return: 9,
  'topic-permission': 10,
  'retained-selection': 11,
} as const satisfies Record<DefinitionKind, number>;

/** Which of the two kinds of segments: in publishing order, or written later than its neighbours. */
export type SegmentKind = 'entry' | 'late';

/** Every queue has this one: priorities are queues of their own to the store (docs/decisions/0011). */
const LANE = 255;
/** Longer names are stored under their hash. LMDB allows 1,978 bytes. */
const MAX_NAME_BYTES = 1_000;
const HASHED = 0xff;
const DOT = 0x2e;
/** Behind the words of a key that is cut; sorts behind all words, in which it cannot be. */
const CUT = Buffer.from([0xff]);
const SEGMENT_KEY_BYTES = 26;
const U32 = 2 ** 32;

export const FIRST_KEY = Buffer.from([0]);
export const END_KEY = Buffer.from([0xff]);

export function headerKey(field: number): Buffer {
  return Buffer.from([KIND.header, field]);
}

export function metaKey(queueId: number): Buffer {
  return idKey(KIND.meta, queueId);
}

export function droppedKey(queueId: number): Buffer {
  return idKey(KIND.dropped, queueId);
}

/** Bounds of all tombstones. */
export function droppedBounds(): readonly [Buffer, Buffer] {
  return [Buffer.from([KIND.dropped]), Buffer.from([KIND.dropped + 1])];
}

export function goneKey(queueId: number, from: number): Buffer {
  const key = Buffer.allocUnsafe(17);
  key[0] = KIND.gone;
  writeU64(key, 1, queueId);
  writeU64(key, 9, from);
  return key;
}

/** Bounds of all `gone` records of a queue. */
export function goneBounds(queueId: number): readonly [Buffer, Buffer] {
  return [idKey(KIND.gone, queueId), idKey(KIND.gone, queueId + 1)];
}

/** `bodyId` 0: the bodies are in the segment. */
export function segmentKey(kind: SegmentKind, queueId: number, first: number, last: number, bodyId: number): Buffer {
  const key = Buffer.allocUnsafe(bodyId === 0 ? SEGMENT_KEY_BYTES : SEGMENT_KEY_BYTES + 8);
  key[0] = KIND[kind];
  writeU64(key, 1, queueId);
  key[9] = LANE;
  writeU64(key, 10, first);
  writeU64(key, 18, last);
  if (bodyId !== 0) writeU64(key, 26, bodyId);
  return key;
}

/** The bound before every segment of a queue that starts at or behind `first`. */
export function segmentBound(kind: SegmentKind, queueId: number, first: number): Buffer {
  return segmentKey(kind, queueId, first, 0, 0);
}

/** Bounds of all segments of a queue. */
export function segmentBounds(kind: SegmentKind, queueId: number): readonly [Buffer, Buffer] {
  return [idKey(KIND[kind], queueId), idKey(KIND[kind], queueId + 1)];
}

export function firstSeqOf(segment: Buffer): number {
  return readU64(segment, 10);
}

export function lastSeqOf(segment: Buffer): number {
  return readU64(segment, 18);
}

/** 0 where the bodies are in the segment. */
export function bodyIdOf(segment: Buffer): number {
  return segment.length === SEGMENT_KEY_BYTES ? 0 : readU64(segment, 26);
}

export function bodyKey(bodyId: number): Buffer {
  return idKey(KIND.body, bodyId);
}

export function refKey(bodyId: number, queueId: number, seq: number): Buffer {
  const key = Buffer.allocUnsafe(25);
  key[0] = KIND.ref;
  writeU64(key, 1, bodyId);
  writeU64(key, 9, queueId);
  writeU64(key, 17, seq);
  return key;
}

/** Bounds of all refs to a body. */
export function refBounds(bodyId: number): readonly [Buffer, Buffer] {
  return [idKey(KIND.ref, bodyId), idKey(KIND.ref, bodyId + 1)];
}

export function namedKey(kind: DefinitionKind, name: readonly string[]): Buffer {
  const parts: Buffer[] = [Buffer.from([KIND.named, NAMED[kind]])];
  let bytes = 0;
  for (const part of name) {
    const text = Buffer.from(part, 'utf8');
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32BE(text.length);
    parts.push(length, text);
    bytes += text.length;
  }
  const key = Buffer.concat(parts);
  if (bytes <= MAX_NAME_BYTES) return key;
  const hash = createHash('sha256').update(key).digest();
  return Buffer.concat([Buffer.from([KIND.named, NAMED[kind], HASHED]), hash]);
}

/** Bounds of all records of a kind. */
export function namedBounds(kind: DefinitionKind): readonly [Buffer, Buffer] {
  return [Buffer.from([KIND.named, NAMED[kind]]), Buffer.from([KIND.named, NAMED[kind] + 1])];
}

/** What all kept keys of a virtual host begin with. Throws RangeError for names that none can have. */
export function keptPrefix(vhost: string): Buffer {
  const name = Buffer.from(vhost, 'utf8');
  if (name.length > 255) throw new RangeError('the name of a virtual host is longer than 255 bytes');
  return Buffer.concat([Buffer.from([KIND.kept, name.length]), name]);
}

/** The words of a routing key as they stand in a kept key, uncut. */
export function keptWords(routingKey: string): Buffer {
  const words = Buffer.from(routingKey, 'utf8');
  for (let i = 0; i < words.length; i++) if (words[i] === DOT) words[i] = 0;
  return words;
}

export function keptKey(prefix: Buffer, routingKey: string): Buffer {
  const words = keptWords(routingKey);
  if (words.length <= MAX_NAME_BYTES) return Buffer.concat([prefix, words]);
  const hash = createHash('sha256').update(words).digest();
  return Buffer.concat([prefix, words.subarray(0, MAX_NAME_BYTES), CUT, hash]);
}

/** Whether a kept key holds only the beginning of its words. */
export function isCut(key: Buffer, prefix: Buffer): boolean {
  return key.length > prefix.length + MAX_NAME_BYTES;
}

/** A bound among kept keys: no longer than their words can be. */
export function keptBound(prefix: Buffer, words: Buffer): Buffer {
  return Buffer.concat([prefix, words.subarray(0, MAX_NAME_BYTES)]);
}

/** The routing key of a kept key that is not cut. */
export function routingKeyOf(key: Buffer, prefix: Buffer): string {
  const words = Buffer.from(key.subarray(prefix.length));
  for (let i = 0; i < words.length; i++) if (words[i] === 0) words[i] = DOT;
  return words.toString('utf8');
}

export function dueKey(expiresAt: number, kept: Buffer): Buffer {
  const key = Buffer.allocUnsafe(9 + kept.length);
  key[0] = KIND.due;
  writeU64(key, 1, expiresAt);
  kept.copy(key, 9);
  return key;
}

/** Bounds of what is due before `time`. */
export function dueBounds(time: number): readonly [Buffer, Buffer] {
  return [Buffer.from([KIND.due]), idKey(KIND.due, time)];
}

/** The kept key in a due key. */
export function keptOf(due: Buffer): Buffer {
  return due.subarray(9);
}

/** The virtual host in a kept key. */
export function vhostOf(kept: Buffer): string {
  return kept.toString('utf8', 2, 2 + kept[1]!);
}

export function tallyKey(vhost: string): Buffer {
  return Buffer.concat([Buffer.from([KIND.tally]), Buffer.from(vhost, 'utf8')]);
}

/** Bounds of all tallies. */
export function tallyBounds(): readonly [Buffer, Buffer] {
  return [Buffer.from([KIND.tally]), Buffer.from([KIND.tally + 1])];
}

/** The virtual host of a tally. */
export function tallyVhost(key: Buffer): string {
  return key.toString('utf8', 1);
}

/** Packet ids that have their high byte in common. `direction` tells a client's ids from ours. */
export function packetPageKey(sessionId: number, direction: number, high: number): Buffer {
  const key = Buffer.allocUnsafe(11);
  key[0] = KIND.page;
  writeU64(key, 1, sessionId);
  key[9] = direction;
  key[10] = high;
  return key;
}

/** Bounds of the packet ids of the sessions in [from, to). */
export function packetPageBounds(from: number, to: number): readonly [Buffer, Buffer] {
  return [idKey(KIND.page, from), idKey(KIND.page, to)];
}

/** Bounds of the packet ids that schema version 1 kept one by one. */
export function packetBounds(): readonly [Buffer, Buffer] {
  return [Buffer.from([KIND.packet]), Buffer.from([KIND.packet + 1])];
}

export function queueIdOf(key: Buffer): number {
  return readU64(key, 1);
}

/** The smallest key behind `key`: where the next slice of a range starts. */
export function keyBehind(key: Buffer): Buffer {
  return Buffer.concat([key, FIRST_KEY]);
}

/** What kind of record a key names; for the simulation, which looks at everything that is there. */
export function kindOf(key: Buffer): keyof typeof KIND | null {
  for (const [name, byte] of Object.entries(KIND)) if (key[0] === byte) return name as keyof typeof KIND;
  return null;
}

export function u64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  writeU64(bytes, 0, value);
  return bytes;
}

export function writeU64(target: Buffer, at: number, value: number): void {
  target.writeUInt32BE(Math.floor(value / U32), at);
  target.writeUInt32BE(value >>> 0, at + 4);
}

export function readU64(source: Buffer, at: number): number {
  return source.readUInt32BE(at) * U32 + source.readUInt32BE(at + 4);
}

function idKey(kind: number, id: number): Buffer {
  const key = Buffer.allocUnsafe(9);
  key[0] = kind;
  writeU64(key, 1, id);
  return key;
}
