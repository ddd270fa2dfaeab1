// Packet ids of one session and direction that have their high byte in common: what is kept of each, and the record in
// which they are stored together. A window of deliveries is a run of ids that stand for a run of entries, so its record
// is a few dozen bytes however wide the window is; ids without any order make one of 5 KB at most.
//
//   page  format u8 = 1 | run …
//   run   first u8 | last u8 | state u8 [| queue u64 | seq u64]      low bytes of ids; states as in PACKET_STATE
//
// Queue and seq are there where the state is `sent`: the entry of the first id, those of the others follow it one by one.

import { packetPageKey, readU64, writeU64 } from '../keys.ts';
import { DamagedDataError, type Kv } from '../kv/kv.ts';
import { PACKET_STATE, PACKET_STATE_NAME, type PacketState, type StoredPacket } from './packet-state.ts';

/** Whose packet ids: each side numbers its own publishes. */
export const DIRECTION = { received: 1, sent: 2 } as const;
export type Direction = (typeof DIRECTION)[keyof typeof DIRECTION];

/** Nothing is known of an id. */
export const FREE = 0;
/** What an id may be: in memory there is one state more than on disk. */
export type IdState = PacketState | typeof FREE;

export const PAGE_IDS = 256;
const FORMAT = 1;
const RUN_BYTES = 3;
const ENTRY_BYTES = 16;

/** Pages count through directions and sessions; session ids count from 1, so that the number stays exact. */
export function pageNumber(sessionId: number, direction: Direction, packetId: number): number {
  return (sessionId * 4 + direction) * PAGE_IDS + (packetId >> 8);
}

export class PacketPage {
  readonly number: number;
  /** Of its record. */
  readonly key: Buffer;
  /** By the low byte of an id. */
  private readonly states: Uint8Array;
  /** The entries of ids that are `sent`. Made with the first. */
  private queueIds: Float64Array | null;
  private seqs: Float64Array | null;
  /** Ids that are not free. */
  private count: number;
  /** Whether the next batch looks at it. */
  listed: boolean;
  /** Whether there is a record of it, and whether there will be one once the batch in flight is written. */
  stored: boolean;
  storing: boolean;

  /** As it is on disk. Throws DamagedDataError. */
  static read(kv: Kv, number: number): PacketPage {
    const key = keyOf(number);
    return new PacketPage(number, key, kv.get(key));
  }

  /** As `record` says, or empty where there is none. Throws DamagedDataError. */
  constructor(number: number, key: Buffer, record: Buffer | null) {
    this.number = number;
    this.key = key;
    this.states = new Uint8Array(PAGE_IDS);
    this.queueIds = null;
    this.seqs = null;
    this.count = 0;
    this.listed = false;
    this.stored = record !== null;
    this.storing = this.stored;
    if (record !== null) this.decode(record);
  }

  get sessionId(): number {
    return Math.floor(this.number / (4 * PAGE_IDS));
  }

  get direction(): Direction {
    return (Math.floor(this.number / PAGE_IDS) % 4) as Direction;
  }

  /** Whether all its ids are free: then there is no record of it. */
  get empty(): boolean {
    return this.count === 0;
  }

  stateAt(at: number): IdState {
    return this.states[at] as IdState;
  }

  /** `queueId` and `seq` count where the state is `sent`. */
  set(at: number, state: IdState, queueId: number, seq: number): void {
    const before = this.states[at];
    if (before === FREE && state !== FREE) this.count++;
    else if (before !== FREE && state === FREE) this.count--;
    this.states[at] = state;
    if (state !== PACKET_STATE.sent) return;
    if (this.queueIds === null) {
      this.queueIds = new Float64Array(PAGE_IDS);
      this.seqs = new Float64Array(PAGE_IDS);
    }
    this.queueIds[at] = queueId;
    this.seqs![at] = seq;
  }

  /** Makes an id what it is in another state of this page. */
  copy(at: number, from: PacketPage): void {
    this.set(at, from.stateAt(at), from.queueIds?.[at] ?? 0, from.seqs?.[at] ?? 0);
  }

  /** Ids that are not free, ascending. */
  *packets(): Iterable<StoredPacket> {
    const { sessionId } = this;
    const first = (this.number % PAGE_IDS) * PAGE_IDS;
    for (let at = 0; at < PAGE_IDS; at++) {
      const state = this.stateAt(at);
      if (state === FREE) continue;
      const sent = state === PACKET_STATE.sent;
      const queueId = sent ? this.queueIds![at]! : 0;
      const seq = sent ? this.seqs![at]! : 0;
      yield { sessionId, packetId: first + at, state: PACKET_STATE_NAME[state], queueId, seq };
    }
  }

  /** The record. The page is not empty. */
  encode(): Buffer {
    // The bytes are handed over until their commit ended: each record has its own.
    const record = Buffer.allocUnsafe(this.measure());
    record[0] = FORMAT;
    let end = 1;
    for (let at = this.next(0); at < PAGE_IDS; ) {
      const last = this.lastOfRun(at);
      const state = this.states[at]!;
      record[end] = at;
      record[end + 1] = last;
      record[end + 2] = state;
      end += RUN_BYTES;
      if (state === PACKET_STATE.sent) {
        writeU64(record, end, this.queueIds![at]!);
        writeU64(record, end + 8, this.seqs![at]!);
        end += ENTRY_BYTES;
      }
      at = this.next(last + 1);
    }
    return record;
  }

  private measure(): number {
    let bytes = 1;
    for (let at = this.next(0); at < PAGE_IDS; at = this.next(this.lastOfRun(at) + 1)) {
      bytes += this.states[at] === PACKET_STATE.sent ? RUN_BYTES + ENTRY_BYTES : RUN_BYTES;
    }
    return bytes;
  }

  /** The first id from `at` on that is not free, or PAGE_IDS. */
  private next(at: number): number {
    const { states } = this;
    while (at < PAGE_IDS && states[at] === FREE) at++;
    return at;
  }

  private lastOfRun(first: number): number {
    const { states, queueIds, seqs } = this;
    const state = states[first];
    let at = first + 1;
    if (state !== PACKET_STATE.sent) {
      while (at < PAGE_IDS && states[at] === state) at++;
      return at - 1;
    }
    const queueId = queueIds![first];
    const seq = seqs![first]! - first;
    while (at < PAGE_IDS && states[at] === state && queueIds![at] === queueId && seqs![at] === seq + at) at++;
    return at - 1;
  }

  private decode(record: Buffer): void {
    let end = 1;
    let behind = 0;
    while (end + RUN_BYTES <= record.length) {
      const first = record[end]!;
      const last = record[end + 1]!;
      const state = record[end + 2] as PacketState;
      end += RUN_BYTES;
      if (first < behind || last < first || state < PACKET_STATE.received || state > PACKET_STATE.released) break;
      behind = last + 1;
      const sent = state === PACKET_STATE.sent;
      if (sent && end + ENTRY_BYTES > record.length) break;
      const queueId = sent ? readU64(record, end) : 0;
      const seq = sent ? readU64(record, end + 8) : 0;
      if (sent) end += ENTRY_BYTES;
      for (let at = first; at <= last; at++) this.set(at, state, queueId, sent ? seq + at - first : 0);
      if (end === record.length && record[0] === FORMAT) return;
    }
    throw new DamagedDataError(`packet ids of session ${this.sessionId} have an unknown form`);
  }
}

function keyOf(number: number): Buffer {
  return packetPageKey(Math.floor(number / (4 * PAGE_IDS)), Math.floor(number / PAGE_IDS) % 4, number % PAGE_IDS);
}
