// The packet ids of persistent MQTT sessions: the core's `PacketStore` over a `Kv`. A record of a dozen bytes each, for
// there are four changes to each QoS 2 message; those that meet in one batch leave only the last of them.
//
//   received  01
//   sent      02 | queue u64 | seq u64
//   released  03

import type { ConfirmRing } from '../core/confirms.ts';
import {
  PACKET_STATE,
  type PacketState,
  type PacketStore,
  type PacketWaiter,
  type StoredPacket,
} from '../core/ports.ts';
import type { Participant } from './committer.ts';
import { keyBehind, packetBounds, packetKey, readU64, writeU64 } from './keys.ts';
import { DamagedDataError, type Kv, type KvBatch } from './kv.ts';

/** Whose packet ids: each side numbers its own publishes. */
const DIRECTION = { received: 1, sent: 2 } as const;
type Direction = (typeof DIRECTION)[keyof typeof DIRECTION];

/** Records that are read at once. */
const SLICE = 1024;
const SENT_BYTES = 17;
const RECEIVED = Buffer.from([PACKET_STATE.received]);
const RELEASED = Buffer.from([PACKET_STATE.released]);

/** One id as it is to be; the last change of a batch stands. */
class Change {
  readonly key: Buffer;
  readonly value: Buffer | null;
  /** Whether it is made however long the disk is full: its session has answered for it. */
  readonly insists: boolean;
  readonly ring: ConfirmRing | null;
  readonly slot: number;
  readonly waiter: PacketWaiter | null;
  readonly token: number;
  /** The change whose place it took before that was written: answered together with it. */
  before: Change | null;

  constructor(
    key: Buffer,
    value: Buffer | null,
    insists: boolean,
    ring: ConfirmRing | null,
    slot: number,
    waiter: PacketWaiter | null,
    token: number,
  ) {
    this.key = key;
    this.value = value;
    this.insists = insists;
    this.ring = ring;
    this.slot = slot;
    this.waiter = waiter;
    this.token = token;
    this.before = null;
  }
}

export class PacketIds implements PacketStore, Participant {
  private readonly kv: Kv;
  /** By session, direction and id in one number: session ids count from 1, so that it stays exact. */
  private pending: Map<number, Change>;
  private committing: Map<number, Change>;

  constructor(kv: Kv) {
    this.kv = kv;
    this.pending = new Map();
    this.committing = new Map();
  }

  *all(): Iterable<StoredPacket> {
    let [from, to] = packetBounds(0, Number.MAX_SAFE_INTEGER);
    const changed = new Map([...this.committing, ...this.pending]);
    for (;;) {
      const slice = this.kv.range(from, to, SLICE);
      for (const { key, value } of slice) {
        const change = changed.get(numberOf(readU64(key, 1), key[9] as Direction, key.readUInt16BE(10)));
        if (change === undefined) yield decode(key, value);
      }
      if (slice.length < SLICE) break;
      from = keyBehind(slice[slice.length - 1]!.key);
    }
    for (const { key, value } of changed.values()) if (value !== null) yield decode(key, value);
  }

  received(sessionId: number, packetId: number, ring: ConfirmRing, slot: number): void {
    ring.hold(slot);
    this.change(sessionId, DIRECTION.received, packetId, RECEIVED, false, ring, slot, null, 0);
  }

  sent(sessionId: number, packetId: number, queueId: number, seq: number, waiter: PacketWaiter, token: number): void {
    const value = Buffer.allocUnsafe(SENT_BYTES);
    value[0] = PACKET_STATE.sent;
    writeU64(value, 1, queueId);
    writeU64(value, 9, seq);
    this.change(sessionId, DIRECTION.sent, packetId, value, false, null, 0, waiter, token);
  }

  released(sessionId: number, packetId: number, waiter: PacketWaiter, token: number): void {
    this.change(sessionId, DIRECTION.sent, packetId, RELEASED, true, null, 0, waiter, token);
  }

  forgetReceived(sessionId: number, packetId: number, waiter: PacketWaiter | null, token: number): void {
    this.change(sessionId, DIRECTION.received, packetId, null, true, null, 0, waiter, token);
  }

  forgetSent(sessionId: number, packetId: number): void {
    this.change(sessionId, DIRECTION.sent, packetId, null, true, null, 0, null, 0);
  }

  drop(sessionId: number): void {
    let [from, to] = packetBounds(sessionId, sessionId + 1);
    const known = new Set<string>();
    for (;;) {
      const slice = this.kv.keys(from, to, SLICE);
      for (const key of slice) known.add(key.toString('latin1'));
      if (slice.length < SLICE) break;
      from = keyBehind(slice[slice.length - 1]!);
    }
    for (const changes of [this.committing, this.pending]) {
      for (const { key } of changes.values()) if (readU64(key, 1) === sessionId) known.add(key.toString('latin1'));
    }
    for (const text of known) {
      const key = Buffer.from(text, 'latin1');
      this.change(sessionId, key[9] as Direction, key.readUInt16BE(10), null, true, null, 0, null, 0);
    }
  }

  // The part in commits.

  hasPending(): boolean {
    return this.pending.size > 0;
  }

  gather(batch: KvBatch, whole: boolean): void {
    if (this.pending.size === 0) return;
    if (!whole) {
      for (const [number, change] of this.pending) {
        // One that took the place of another is answered together with it, with a whole batch.
        if (change.value !== null || change.before !== null) continue;
        batch.remove(change.key);
        this.committing.set(number, change);
        this.pending.delete(number);
      }
      return;
    }
    for (const { key, value } of this.pending.values()) {
      if (value === null) batch.remove(key);
      else batch.put(key, value);
    }
    this.committing = this.pending;
    this.pending = new Map();
  }

  committed(): void {
    if (this.committing.size === 0) return;
    const changes = this.committing;
    this.committing = new Map();
    for (const change of changes.values()) answer(change, true);
  }

  withdraw(): void {
    const changes = this.committing;
    const again = new Map<number, Change>();
    this.committing = new Map();
    for (const [number, change] of changes) {
      // The newest that insists takes its place again; what came after it is refused, what came before is void.
      let insisting: Change | null = change;
      while (insisting !== null && !insisting.insists) insisting = insisting.before;
      for (let each: Change | null = change; each !== null; each = each.before) {
        if (each !== insisting) answerOne(each, false);
      }
      if (insisting === null) continue;
      insisting.before = null;
      const newer = this.pending.get(number);
      if (newer === undefined) again.set(number, insisting);
      else first(newer).before = insisting;
    }
    if (again.size > 0) this.pending = new Map([...again, ...this.pending]);
  }

  private change(
    sessionId: number,
    direction: Direction,
    packetId: number,
    value: Buffer | null,
    insists: boolean,
    ring: ConfirmRing | null,
    slot: number,
    waiter: PacketWaiter | null,
    token: number,
  ): void {
    const number = numberOf(sessionId, direction, packetId);
    const before = this.pending.get(number);
    const key = before?.key ?? packetKey(sessionId, direction, packetId);
    const change = new Change(key, value, insists, ring, slot, waiter, token);
    if (before !== undefined) {
      change.before = before;
      // Answers leave in the order of changes, and so do the messages that wait for them.
      this.pending.delete(number);
    }
    this.pending.set(number, change);
  }
}

/**
 * Answers everybody who waits for this change or one that it took the place of, oldest first. A loop and no recursion: a
 * client can use one id any number of times before a batch is written.
 */
function answer(change: Change, ok: boolean): void {
  const changes: Change[] = [];
  for (let at: Change | null = change; at !== null; at = at.before) changes.push(at);
  for (let i = changes.length - 1; i >= 0; i--) answerOne(changes[i]!, ok);
}

function answerOne(change: Change, ok: boolean): void {
  const { ring, slot, waiter, token } = change;
  if (ring !== null) {
    if (ok) ring.settle(slot);
    else ring.refuse(slot);
  }
  waiter?.packetStored(token, ok);
}

function first(change: Change): Change {
  let at = change;
  while (at.before !== null) at = at.before;
  return at;
}

function numberOf(sessionId: number, direction: Direction, packetId: number): number {
  return (sessionId * 4 + direction) * 0x10000 + packetId;
}

function decode(key: Buffer, value: Buffer): StoredPacket {
  const sessionId = readU64(key, 1);
  const packetId = key.readUInt16BE(10);
  const state = value[0] as PacketState;
  const sent = state === PACKET_STATE.sent;
  if (value.length !== (sent ? SENT_BYTES : 1) || state < PACKET_STATE.received || state > PACKET_STATE.released) {
    throw new DamagedDataError(`packet id ${packetId} of session ${sessionId} has an unknown form`);
  }
  return { sessionId, packetId, state, queueId: sent ? readU64(value, 1) : 0, seq: sent ? readU64(value, 9) : 0 };
}
