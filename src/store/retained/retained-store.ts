// Retained messages: the core's `RetainedStore` over a `Kv`. One record for each routing key, found by exact key or by an
// ordered scan that skips (retained-search.ts), so that memory holds nothing of them and a start reads one tally for
// each virtual host.
//
// A change is pending, then committing, then on disk; both overlay the disk for whoever reads. Of several changes of one
// key that meet in a batch the last one is written. A batch that found no room refuses its changes, and what was there
// before stays; removals of what has expired go on trying.
//
//   kept   the record (retained-record.ts)
//   due    nothing: an index of what expires
//   tally  format u8 = 1 | messages u64 | bytes u64

import { invariant, invariantEqual } from '../../core/invariant.ts';
import { type Message, NEVER } from '../../core/message/message.ts';
import type { PropertyCodec } from '../../core/message/properties.ts';
import { filterSelects, hasWildcard, type PatternWord, patternWords } from '../../core/message/topic-pattern.ts';
import type { Meters } from '../../core/ports/meters.ts';
import type {
  RetainedCount,
  RetainedCursor,
  RetainedMoment,
  RetainedPlace,
  RetainedStore,
} from '../../core/ports/retained-store.ts';
import type { Clock } from '../../core/turn/clock.ts';
import type { ConfirmRing } from '../../core/turn/confirms.ts';
import type { Participant } from '../committer.ts';
import {
  dueBounds,
  dueKey,
  isCut,
  keptKey,
  keptOf,
  keptPrefix,
  readU64,
  tallyBounds,
  tallyKey,
  tallyVhost,
  vhostOf,
  writeU64,
} from '../keys.ts';
import { DamagedDataError, type Kv, type KvBatch } from '../kv/kv.ts';
import { type EarlyMessage, type EarlySearch, KvRetainedCursor, type RecordSource } from './retained-cursor.ts';
import {
  costOf,
  decodeRetained,
  encodeRetained,
  expiryOf,
  isPersistent,
  requireRecord,
  routingKeyIn,
  stampOf,
} from './retained-record.ts';
import { RetainedSearch } from './retained-search.ts';

/** Bounds of what one virtual host retains. */
export interface RetainedLimits {
  readonly retainedMessages: number;
  readonly retainedBytes: number;
}

export const RETAINED_LIMITS: RetainedLimits = Object.freeze({
  retainedMessages: 1_000_000,
  retainedBytes: 256 * 1024 * 1024,
});

/** Expired records that are removed at once. */
const EXPIRE_SLICE = 256;
const MAX_VHOSTS = 1_000_000;
const TALLY_FORMAT = 1;
const TALLY_BYTES = 17;
const NOTHING = Buffer.alloc(0);
const NO_KEYS: ReadonlySet<string> = new Set();

/** One virtual host: its counts once everything is committed, and those that are on disk or on their way. */
class Host {
  readonly name: string;
  readonly prefix: Buffer;
  messages: number;
  bytes: number;
  writtenMessages: number;
  writtenBytes: number;

  constructor(name: string, messages: number, bytes: number) {
    this.name = name;
    this.prefix = keptPrefix(name);
    this.messages = messages;
    this.bytes = bytes;
    this.writtenMessages = messages;
    this.writtenBytes = bytes;
  }
}

const NOTHING_FOUND: RetainedCursor = Object.freeze({
  since: Object.freeze({ epoch: 0, revision: 0 }),
  empty: true,
  read: () => Promise.resolve([]),
  isCurrent: () => false,
});

/** A publisher's message whose slot waits for a change, or for the one that took its place. */
class Waiter {
  readonly ring: ConfirmRing;
  readonly slot: number;
  readonly next: Waiter | null;

  constructor(ring: ConfirmRing, slot: number, next: Waiter | null) {
    this.ring = ring;
    this.slot = slot;
    this.next = next;
  }
}

/** A key as it is to be. */
class Change {
  readonly host: Host;
  readonly key: Buffer;
  /** The key as latin1 text. */
  readonly text: string;
  readonly routingKey: string;
  /** Null: removed. */
  readonly record: Buffer | null;
  /** Whether it goes on trying on a full disk: it only frees space, and nobody waits for it. */
  readonly insists: boolean;
  waiters: Waiter | null;
  /** What it adds to the host's counts, against what is on disk or on its way there. */
  messages: number;
  bytes: number;
  /** Due keys of what it may take the place of. */
  readonly stale: Buffer[];

  constructor(host: Host, key: Buffer, routingKey: string, record: Buffer | null, insists: boolean) {
    this.host = host;
    this.key = key;
    this.text = key.toString('latin1');
    this.routingKey = routingKey;
    this.record = record;
    this.insists = insists;
    this.waiters = null;
    this.messages = 0;
    this.bytes = 0;
    this.stale = [];
  }

  get due(): Buffer | null {
    return this.record === null ? null : dueOf(this.record, this.key);
  }
}

/**
 * Looks through the changes that waited or were being committed when it was made. Changes that came later are not part
 * of it, and those that were committed since are. The latest change of a key counts.
 */
class ChangeSearch implements EarlySearch {
  readonly found: EarlyMessage[];
  /** The keys of changes that the filter selects. */
  readonly given: Set<string>;
  private readonly logs: readonly (readonly Change[])[];
  private readonly selects: (change: Change) => boolean;
  private readonly messageOf: (change: Change) => Message | null;
  /** Which log is looked through, and how many of its changes are left: the latest comes first. */
  private log: number;
  private left: number;
  private readonly olderLeft: number;

  constructor(
    pending: readonly Change[],
    committing: readonly Change[],
    selects: (change: Change) => boolean,
    messageOf: (change: Change) => Message | null,
  ) {
    this.found = [];
    this.given = new Set();
    this.logs = [pending, committing];
    this.selects = selects;
    this.messageOf = messageOf;
    this.log = 0;
    this.left = pending.length;
    this.olderLeft = committing.length;
  }

  look(looks: number): boolean {
    for (let done = 0; done < looks; done++) {
      if (this.left === 0) {
        if (this.log === 1 || this.olderLeft === 0) return false;
        this.log = 1;
        this.left = this.olderLeft;
      }
      const change = this.logs[this.log]![--this.left]!;
      if (!this.selects(change) || this.given.has(change.text)) continue;
      this.given.add(change.text);
      const message = this.messageOf(change);
      if (message !== null) this.found.push({ key: change.key, message });
    }
    return true;
  }
}

/** Superseded changes that the log of pending changes may hold beside as many current ones. */
const SUPERSEDED_CHANGES = 1024;

export class KvRetainedStore implements RetainedStore, Participant {
  private readonly kv: Kv;
  private readonly codecs: ReadonlyMap<number, PropertyCodec>;
  private readonly epoch: number;
  private readonly limits: RetainedLimits;
  private readonly clock: Clock;
  private readonly meters: Meters;
  private readonly limitReached: (limit: keyof RetainedLimits) => void;
  private readonly pause: () => Promise<void>;
  private readonly hosts: Map<string, Host>;
  /** By key as latin1 text. */
  private pending: Map<string, Change>;
  private committing: Map<string, Change>;
  /**
   * The same changes and some that they superseded, each behind those before it. A search keeps a log and its length,
   * so that it has the changes of its time without copying them.
   */
  private pendingLog: Change[];
  private committingLog: Change[];
  private pendingBytes: number;
  private committingBytes: number;
  private revision: number;

  constructor(
    kv: Kv,
    codecs: ReadonlyMap<number, PropertyCodec>,
    epoch: number,
    limits: RetainedLimits,
    clock: Clock,
    meters: Meters,
    limitReached: (limit: keyof RetainedLimits) => void = () => {},
    pause: () => Promise<void> = nextTurn,
  ) {
    this.kv = kv;
    this.codecs = codecs;
    this.epoch = epoch;
    this.limits = limits;
    this.clock = clock;
    this.meters = meters;
    this.limitReached = limitReached;
    this.pause = pause;
    this.hosts = new Map();
    this.pending = new Map();
    this.committing = new Map();
    this.pendingLog = [];
    this.committingLog = [];
    this.pendingBytes = 0;
    this.committingBytes = 0;
    this.revision = 0;
    const [from, to] = tallyBounds();
    for (const { key, value } of kv.range(from, to, MAX_VHOSTS)) this.recover(tallyVhost(key), value);
  }

  /** Bytes that wait for their commit. */
  get uncommittedBytes(): number {
    return this.pendingBytes + this.committingBytes;
  }

  set(vhost: string, message: Message, ring: ConfirmRing | null, slot: number): boolean {
    const host = this.hostOf(vhost);
    const key = keptKey(host.prefix, message.routingKey);
    const before = this.current(key);
    const stamp: RetainedMoment = { epoch: this.epoch, revision: ++this.revision };
    let record: Buffer | null = null;
    let kept = true;
    if (message.bodyLength > 0) {
      const expiresAt =
        message.expirationMs === NEVER ? Number.POSITIVE_INFINITY : message.receivedAt + message.expirationMs;
      record = encodeRetained(message, isCut(key, host.prefix), stamp, expiresAt);
      const reached = this.limitFor(host, key, before.record, record);
      kept = reached === null;
      if (reached !== null) {
        record = null;
        this.meters.retainedRefused++;
        this.limitReached(reached);
      }
    }
    if (record === null && before.record === null && before.change === null) return kept;
    const change = new Change(host, key, message.routingKey, record, false);
    this.change(change, before.record);
    if (ring !== null) {
      ring.hold(slot);
      change.waiters = new Waiter(ring, slot, change.waiters);
    }
    return kept;
  }

  find(vhost: string, filter: string, place: RetainedPlace | null = null): RetainedCursor {
    const host = this.hostOf(vhost);
    // Where nothing is retained, and no more is on disk, nobody waits for a look at the disk.
    if (host.messages === 0 && host.writtenMessages === 0) return NOTHING_FOUND;
    const pattern = patternWords(filter, 'mqtt');
    const now: RetainedMoment = { epoch: this.epoch, revision: this.revision };
    const since = place?.since ?? now;
    const behind = place === null || place.after === null ? null : keptKey(host.prefix, place.after);
    if (!hasWildcard(pattern)) {
      const key = keptKey(host.prefix, filter);
      const source = this.sourceFor(host, pattern, since, now);
      // It has one key: behind it there is nothing.
      if (behind !== null) return new KvRetainedCursor(since, source, null, null, [], this.pause);
      const change = this.changeOf(key.toString('latin1'));
      if (change === null) return new KvRetainedCursor(since, source, null, null, [key], this.pause);
      const message = this.messageOf(host, key, change.record, pattern, since, now);
      const found = message === null ? [] : [{ key, message }];
      return new KvRetainedCursor(since, source, null, { found, look: () => false }, [], this.pause);
    }
    const early = new ChangeSearch(
      this.pendingLog,
      this.committingLog,
      ({ host: owner, routingKey }) => owner === host && filterSelects(pattern, routingKey),
      ({ key, record }) =>
        behind !== null && key.compare(behind) <= 0 ? null : this.messageOf(host, key, record, pattern, since, now),
    );
    const search = new RetainedSearch(this.kv, host.prefix, pattern, behind);
    const source = this.sourceFor(host, pattern, since, now, early.given);
    return new KvRetainedCursor(since, source, search, early, [], this.pause);
  }

  count(vhost: string): RetainedCount {
    const { messages, bytes } = this.hostOf(vhost);
    return { messages, bytes };
  }

  expire(): boolean {
    const now = this.clock.now();
    const [from, to] = dueBounds(now);
    const due = this.kv.keys(from, to, EXPIRE_SLICE);
    for (const dueKey of due) {
      const key = keptOf(dueKey);
      const text = key.toString('latin1');
      // What waits takes the index record with it.
      if (this.pending.has(text) || this.committing.has(text)) continue;
      const record = this.kv.get(key);
      const host = this.hostOf(vhostOf(key));
      if (record === null || expiryOf(record) > now) throw new DamagedDataError('the index of expiries names nothing');
      this.change(new Change(host, key, routingKeyIn(record, key, host.prefix), null, true), record);
    }
    return due.length === EXPIRE_SLICE;
  }

  // The part in commits.

  hasPending(): boolean {
    return this.pending.size > 0;
  }

  isDue(): boolean {
    return this.pending.size > 0;
  }

  gather(batch: KvBatch, whole: boolean): void {
    if (this.pending.size === 0) return;
    const hosts = new Set<Host>();
    for (const [text, change] of this.pending) {
      if (!whole && !change.insists) continue;
      const { host, key, record, due } = change;
      for (const stale of change.stale) batch.remove(stale);
      if (record === null) batch.remove(key);
      else batch.put(key, record);
      if (due !== null) batch.put(due, NOTHING);
      host.writtenMessages += change.messages;
      host.writtenBytes += change.bytes;
      hosts.add(host);
      this.committing.set(text, change);
      this.pending.delete(text);
      this.pendingBytes -= weightOf(change);
      this.committingBytes += weightOf(change);
    }
    if (this.pending.size === 0) {
      this.committingLog = this.pendingLog;
      this.pendingLog = [];
    } else {
      this.committingLog = [...this.committing.values()];
      this.pendingLog = [...this.pending.values()];
    }
    if (this.pending.size === 0) invariantEqual(this.pendingBytes, 0, 'the bytes of no retained messages that wait');
    for (const host of hosts) batch.put(tallyKey(host.name), encodeTally(host));
  }

  committed(): void {
    if (this.committing.size === 0) return;
    const ended = this.committing;
    this.committing = new Map();
    this.committingLog = [];
    this.committingBytes = 0;
    for (const change of ended.values()) answer(change, true);
  }

  withdraw(): void {
    const ended = this.committing;
    this.committing = new Map();
    this.committingBytes = 0;
    for (const [text, change] of ended) {
      const { host } = change;
      host.writtenMessages -= change.messages;
      host.writtenBytes -= change.bytes;
      const next = this.pending.get(text);
      if (next !== undefined) {
        // What comes next stands on what is on disk now.
        next.messages += change.messages;
        next.bytes += change.bytes;
        next.stale.push(...change.stale);
      } else if (change.insists) {
        this.pending.set(text, change);
        this.pendingBytes += weightOf(change);
        continue;
      } else {
        host.messages -= change.messages;
        host.bytes -= change.bytes;
      }
      answer(change, false);
    }
    this.committingLog = [];
    this.pendingLog = [...this.pending.values()];
  }

  /** Puts a change in its place; `before` is the record that it replaces, wherever that is. */
  private change(change: Change, before: Buffer | null): void {
    const { host, key, text, record } = change;
    const messages = (record === null ? 0 : 1) - (before === null ? 0 : 1);
    const bytes =
      (record === null ? 0 : costOf(key, host.prefix, record)) -
      (before === null ? 0 : costOf(key, host.prefix, before));
    host.messages += messages;
    host.bytes += bytes;
    change.messages = messages;
    change.bytes = bytes;
    const unwritten = this.pending.get(text);
    if (unwritten !== undefined) {
      change.messages += unwritten.messages;
      change.bytes += unwritten.bytes;
      change.stale.push(...unwritten.stale);
      change.waiters = unwritten.waiters;
      this.pendingBytes -= weightOf(unwritten);
    } else if (before !== null) {
      const due = dueOf(before, key);
      if (due !== null) change.stale.push(due);
    }
    this.pending.set(text, change);
    this.pendingBytes += weightOf(change);
    if (this.pendingLog.length > 2 * this.pending.size + SUPERSEDED_CHANGES) {
      this.pendingLog = [...this.pending.values()];
    } else this.pendingLog.push(change);
  }

  /** The bound that keeping the record would break, or null. */
  private limitFor(host: Host, key: Buffer, before: Buffer | null, record: Buffer): keyof RetainedLimits | null {
    const { retainedMessages, retainedBytes } = this.limits;
    const messages = host.messages + (before === null ? 1 : 0);
    const freed = before === null ? 0 : costOf(key, host.prefix, before);
    if (messages > retainedMessages) return 'retainedMessages';
    return host.bytes - freed + costOf(key, host.prefix, record) > retainedBytes ? 'retainedBytes' : null;
  }

  /** What is kept under a key, with the change that is not on disk yet. */
  private current(key: Buffer): { readonly record: Buffer | null; readonly change: Change | null } {
    const change = this.changeOf(key.toString('latin1'));
    if (change !== null) return { record: change.record, change };
    const record = this.kv.get(key);
    if (record !== null) requireRecord(record, key);
    return { record, change: null };
  }

  /** The change of a key that is not on disk yet, or null. */
  private changeOf(text: string): Change | null {
    return this.pending.get(text) ?? this.committing.get(text) ?? null;
  }

  /**
   * Reads for one cursor, whose search began at `since` and which was made `now`. `given`: keys whose changes it has had.
   */
  private sourceFor(
    host: Host,
    pattern: readonly PatternWord[],
    since: RetainedMoment,
    now: RetainedMoment,
    given: ReadonlySet<string> = NO_KEYS,
  ): RecordSource {
    return {
      prefetch: (keys: readonly Buffer[]) => this.kv.prefetch(keys),
      read: (key: Buffer): Message | null => {
        const text = key.toString('latin1');
        if (given.has(text) || this.changeOf(text) !== null) return null;
        const record = this.kv.get(key);
        if (record === null) return null;
        requireRecord(record, key);
        return this.messageOf(host, key, record, pattern, since, now);
      },
      isCurrent: (message: Message): boolean => {
        // Nothing was set since the cursor was made.
        if (this.revision === now.revision) return true;
        const { record } = this.current(keptKey(host.prefix, message.routingKey));
        // A message that was read points into its record.
        return record !== null && isSame(stampOf(record), stampOf(message.body));
      },
    };
  }

  /**
   * The message of a record, unless its time is over, it was set too late for the search or, its key being cut, the
   * filter does not select it.
   */
  private messageOf(
    host: Host,
    key: Buffer,
    record: Buffer | null,
    pattern: readonly PatternWord[],
    since: RetainedMoment,
    now: RetainedMoment,
  ): Message | null {
    if (record === null || expiryOf(record) <= this.clock.now()) return null;
    const stamp = stampOf(record);
    if (isLater(stamp, since) && (isLater(stamp, now) || isPersistent(record))) return null;
    const message = decodeRetained(record, key, host.prefix, this.codecs);
    return isCut(key, host.prefix) && !filterSelects(pattern, message.routingKey) ? null : message;
  }

  private hostOf(vhost: string): Host {
    const known = this.hosts.get(vhost);
    if (known !== undefined) return known;
    const host = new Host(vhost, 0, 0);
    this.hosts.set(vhost, host);
    return host;
  }

  private recover(vhost: string, tally: Buffer): void {
    if (tally.length !== TALLY_BYTES || tally[0] !== TALLY_FORMAT) {
      throw new DamagedDataError(`the tally of retained messages of vhost '${vhost}' has an unknown format`);
    }
    this.hosts.set(vhost, new Host(vhost, readU64(tally, 1), readU64(tally, 9)));
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The index record of a record that expires. */
function dueOf(record: Buffer, key: Buffer): Buffer | null {
  const expiresAt = expiryOf(record);
  return expiresAt === Number.POSITIVE_INFINITY
    ? null
    : dueKey(Math.min(Math.ceil(expiresAt), Number.MAX_SAFE_INTEGER), key);
}

function isSame(a: RetainedMoment, b: RetainedMoment): boolean {
  return a.epoch === b.epoch && a.revision === b.revision;
}

function isLater(a: RetainedMoment, b: RetainedMoment): boolean {
  return a.epoch === b.epoch ? a.revision > b.revision : a.epoch > b.epoch;
}

/** What a change takes while it waits. */
function weightOf(change: Change): number {
  return change.key.length + (change.record?.length ?? 0);
}

/** Answers for a change and all that it took the place of. */
function answer(change: Change, ok: boolean): void {
  for (let { waiters } = change; waiters !== null; waiters = waiters.next) {
    if (ok) waiters.ring.settle(waiters.slot);
    else waiters.ring.refuse(waiters.slot);
  }
}

function encodeTally(host: Host): Buffer {
  const { writtenMessages: messages, writtenBytes: bytes } = host;
  invariant(messages > 0 ? bytes >= 0 : messages === 0 && bytes === 0, 'the tally of retained messages');
  const value = Buffer.allocUnsafe(TALLY_BYTES);
  value[0] = TALLY_FORMAT;
  writeU64(value, 1, host.writtenMessages);
  writeU64(value, 9, host.writtenBytes);
  return value;
}
