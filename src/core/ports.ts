// The interfaces that the core needs from outside. The store, the authoriser, the clock and the meters implement them;
// tests bring their own. Nothing here knows LMDB, sockets or protocols.

import { type LimitHits, newLimitHits } from './limit-hits.ts';
import type { Message } from './message/message.ts';
import type { Properties, PropertyCodec } from './message/properties.ts';
import type { QueueEntry } from './queue/queue-entry.ts';
import type { Terms } from './queue/subscription-options.ts';
import type { ConfirmRing } from './turn/confirms.ts';

/** A queue as the store recovered it, in place of a scan: what a restart needs to know. */
export interface QueueMeta {
  /** Committed persistent entries and their body bytes. */
  readonly count: number;
  readonly bytes: number;
  /** The first sequence number that was never used. */
  readonly nextSeq: number;
  /** Every entry below it is gone, whatever is still on disk. */
  readonly floor: number;
  /** Entries below it may have been delivered before: they carry the redelivered mark. */
  readonly deliveredTo: number;
}

/** One entry read back from disk. */
export interface StoredEntry {
  readonly seq: number;
  readonly message: Message;
  readonly expiresAt: number;
  readonly redelivered: boolean;
  /** Those of a message that was retained when it came into the queue, else null. */
  readonly terms: Terms | null;
}

export interface LoadedRange {
  readonly entries: readonly StoredEntry[];
  /** Where the next load of this range starts: everything below it was returned or is gone. */
  readonly nextSeq: number;
}

/**
 * Durable entries by queue. Calls of one turn gather in a pending batch; `seal` submits it when no commit is in
 * flight. All calls of one turn between two seals commit in one transaction, never split.
 */
export interface QueueStore {
  /** Meta of a durable queue that existed before, or null. */
  recover(queueId: number): QueueMeta | null;
  /** The first of `count` consecutive queue ids that were never used. Durable with the first write that uses one. */
  nextQueueId(count?: number): number;
  /**
   * Adds an entry to the pending batch. Its `storeState` becomes pending now, committing at the seal, committed with
   * the transaction; then `entry.ring` is settled and `queue.committed(entry)` is called. A failed commit refuses the
   * ring and calls `queue.withdrawn(entry)`. Transient entries (paged out to save memory) are skipped at the next
   * start.
   */
  append(entry: QueueEntry): void;
  /** The entry is settled for good. A pending one is withdrawn unwritten (its ring is settled). */
  remove(entry: QueueEntry): void;
  /**
   * Reads committed entries with `fromSeq <= seq < toSeq` in order, up to both limits (at least one entry where there
   * is one). Answers at once where the pages are warm, else later. Rejects only where the data is damaged.
   */
  load(
    queueId: number,
    fromSeq: number,
    toSeq: number,
    maxEntries: number,
    maxBytes: number,
  ): LoadedRange | Promise<LoadedRange>;
  /**
   * Drops every entry of the queue but `keep` (those that are out with consumers), O(1) on disk however many they are;
   * slices are reclaimed in the background. Confirms of pending entries are settled.
   */
  purge(queueId: number, keep: readonly QueueEntry[]): void;
  /** Drops a queue with all that it holds (O(1) on disk; slices are reclaimed in the background). */
  deleteQueue(queueId: number): void;
  /** From now on entries of this queue may be delivered: recovered after a crash they carry the redelivered mark. */
  markDelivering(queueId: number): void;
  /** At a clean stop: exactly the entries below `seq` may have been delivered. */
  settleDelivered(queueId: number, seq: number): void;
  /**
   * Appends and removes that `run` makes belong together (a message that moves from one queue to another): where the
   * disk is full they wait whole, rather than that the removes are done and the appends refused. Whoever removes an entry
   * in order to append its message elsewhere moves `ring` and `slot` over first: removing settles. A move that is too long
   * for one transaction is several groups, all but the last `unfinished`: their appends wait though nothing is removed yet.
   */
  group(run: () => void, unfinished?: boolean): void;
  /** Runs `done` once everything handed over so far is committed (null) or has failed (the error). */
  whenCommitted(done: (error: Error | null) => void): void;
  /** Submits the pending batch if no commit is in flight. Called by the turn, once. */
  seal(): void;
  /** Bytes handed over and not yet committed: what publishers are held back by. */
  readonly uncommittedBytes: number;
}

/** The kinds of named records. */
export const DEFINITION_KINDS = [
  'vhost',
  'user',
  'permission',
  'topic-permission',
  'exchange',
  'queue',
  'binding',
  'session',
  'retained-selection',
  'return',
] as const;
export type DefinitionKind = (typeof DEFINITION_KINDS)[number];

/** A named record: a plain JSON value whose meaning belongs to the owner of its kind. */
export type DefinitionValue = Readonly<Record<string, unknown>>;

/**
 * Definitions live in the same batches and transactions as queue entries: a binding and the queue that it needs are
 * committed together or not at all.
 */
export interface DefinitionStore {
  /** Every record of a kind, in key order. `name` is the array that was given to `put`. */
  all(kind: DefinitionKind): Iterable<{ readonly name: readonly string[]; readonly value: DefinitionValue }>;
  put(kind: DefinitionKind, name: readonly string[], value: DefinitionValue): void;
  remove(kind: DefinitionKind, name: readonly string[]): void;
}

/** A moment in the life of the retained messages. */
export interface RetainedMoment {
  /** Which start of the broker. */
  readonly epoch: number;
  /** Changes since then. */
  readonly revision: number;
}

/** Where a search was left. */
export interface RetainedPlace {
  /** When it began. */
  readonly since: RetainedMoment;
  /** The routing key of the last message that was taken; null: none was. */
  readonly after: string | null;
}

/** Messages that are found one after the other, as they are read from disk. */
export interface RetainedCursor {
  /** When the search began, at first. */
  readonly since: RetainedMoment;
  /** Whether it is known that there is nothing to find. */
  readonly empty: boolean;
  /**
   * The next messages, some at least; none: that was all. The same order each time. One call at a time. Long searches
   * are cut into slices between which others have their turn. Rejects where a record is damaged.
   */
  read(): Promise<readonly Message[]>;
  /** Whether a message that was read is still what is kept under its key. */
  isCurrent(message: Message): boolean;
}

export interface RetainedCount {
  readonly messages: number;
  /** Of routing keys, properties and bodies. */
  readonly bytes: number;
}

/**
 * Retained messages: the last one of each routing key of a virtual host, in the same batches and transactions as queue
 * entries. Reading sees what was set, committed or not; a message whose expiration is over is not seen.
 */
export interface RetainedStore {
  /**
   * Keeps a message in the place of the one before; one without a body only removes it. Its bytes are copied. With a
   * ring the slot gets a hold, which settles with the commit; where the disk is full it is refused and what was kept
   * before stays. False where a bound forbids it: then nothing is kept under the key.
   */
  set(vhost: string, message: Message, ring: ConfirmRing | null, slot: number): boolean;
  /**
   * The messages whose routing keys a filter of the MQTT dialect selects, as they are now: what is set while the cursor
   * is read is not among them. With a place a search is taken up that was left there, perhaps before a restart: what it
   * would have found behind it, and of what was set since it began only what is not persistent, for the queue of whoever
   * searches may have missed it.
   */
  find(vhost: string, filter: string, place?: RetainedPlace): RetainedCursor;
  count(vhost: string): RetainedCount;
  /** Removes some of what has expired, found through an index. True where more is left. */
  expire(): boolean;
}

/** What is known of one packet id of a persistent MQTT session. Written to disk: never renumber. */
export const PACKET_STATE = {
  /** A QoS 2 publish of the client was taken in and not released yet. */
  received: 1,
  /** A QoS 2 delivery is on its way to the client under this id. */
  sent: 2,
  /** The client has it; its id is being released. */
  released: 3,
} as const;
export type PacketState = (typeof PACKET_STATE)[keyof typeof PACKET_STATE];

export interface StoredPacket {
  /** The queue id of the session: never used by another one, not even by the same client's next session. */
  readonly sessionId: number;
  readonly packetId: number;
  readonly state: PacketState;
  /** The entry that was sent; 0 for other states. */
  readonly queueId: number;
  readonly seq: number;
}

/** Who waits for a packet id to be on disk. */
export interface PacketWaiter {
  /** The change that was given this `token` is committed; not `ok`: the disk is full and it was not made. */
  packetStored(token: number, ok: boolean): void;
}

/**
 * The packet ids of QoS 2 that persistent MQTT sessions must not forget, in the same batches and transactions as queue
 * entries: an id and the message that it stands for are committed together or not at all.
 */
export interface PacketStore {
  /** Every id, in the order of sessions. */
  all(): Iterable<StoredPacket>;
  /** Adds a hold to the slot, which settles with the commit. */
  received(sessionId: number, packetId: number, ring: ConfirmRing, slot: number): void;
  sent(sessionId: number, packetId: number, queueId: number, seq: number, waiter: PacketWaiter, token: number): void;
  /** Takes the place of `sent`. Where the disk is full it is tried again until it succeeds. */
  released(sessionId: number, packetId: number, waiter: PacketWaiter, token: number): void;
  /** The client's publish is released. Tried again on a full disk. */
  forgetReceived(sessionId: number, packetId: number, waiter: PacketWaiter | null, token: number): void;
  /** The delivery is complete. */
  forgetSent(sessionId: number, packetId: number): void;
  /** The session is gone. */
  drop(sessionId: number): void;
}

/** What the store tells its owner; the turn and the broker implement it. */
export interface StoreEvents {
  /** A commit ended (well or not): rings settled, callbacks ran. Starts a turn of its own to flush them. */
  commitEnded(): void;
  /** The disk is full (true) or takes writes again (false): publishing is blocked meanwhile. */
  outOfSpace(full: boolean): void;
  /** A commit failed for another reason than space. Answer nobody, log, exit non-zero. */
  fatal(error: Error): void;
}

export const PERMISSIONS = ['configure', 'write', 'read'] as const;
export type Permission = (typeof PERMISSIONS)[number];
/** What topics are checked for. */
export type TopicPermission = Exclude<Permission, 'configure'>;

/** Who is acting, as the authenticator established it. */
export interface Identity {
  readonly user: string;
  readonly tags: readonly string[];
}

/** What a front-end learned about somebody who wants in. Secrets are never logged. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
  readonly vhost: string;
  /** Whether the peer is on this machine (`guest` may only connect from here). */
  readonly loopback: boolean;
}

/** Where an authentication exchange of several messages stands. */
export type ExchangeStep =
  | { readonly data: Buffer; readonly identity: Identity | null }
  /** For the log only. */
  | { readonly refused: string };

/** An authentication in which client and broker talk in turns (SASL). */
export interface AuthenticationExchange {
  /** The client's next message. The answer is `data`; with an identity it is the last one. */
  step(data: Buffer): Promise<ExchangeStep>;
}

export interface Authenticator {
  /** The identity, or null where user, password or vhost access is refused; the reason is for the log only. */
  authenticate(credentials: Credentials): Promise<Identity | { readonly refused: string }>;
  /** The first half of `authenticate`, for protocols that name the virtual host later (AMQP). */
  identify(user: string, password: string, loopback: boolean): Promise<Identity | { readonly refused: string }>;
  /** As `identify`, for somebody whose TLS certificate was verified: the user must exist, and needs no password. */
  certified(user: string, loopback: boolean): Identity | { readonly refused: string };
  /** Begins an exchange by a SASL mechanism; null: it is not known here. */
  exchange(method: string, loopback: boolean): AuthenticationExchange | null;
  /** The second half. */
  mayEnter(user: string, vhost: string): boolean;
}

export interface Authorizer {
  /** Grows whenever an answer may have changed; sessions keep their answers until then. */
  readonly generation: number;
  /** RabbitMQ's three permissions on a named resource of a vhost (regular expressions over the name). */
  allows(identity: Identity, vhost: string, permission: Permission, resource: string): boolean | Promise<boolean>;
  /** Whether `allowsTopic` may refuse this user anything in this exchange. Topic exchanges only. */
  restrictsTopics(identity: Identity, vhost: string, exchange: string): boolean;
  /**
   * Whether a user who may write to (publish) or read from (bind) a topic exchange may do so with that routing or binding
   * key. `clientId`: of an MQTT client, as it stands in a routing key; else null.
   */
  allowsTopic(
    identity: Identity,
    vhost: string,
    exchange: string,
    permission: TopicPermission,
    routingKey: string,
    clientId: string | null,
  ): boolean | Promise<boolean>;
}

/**
 * Writes properties that the broker itself changed (a dead letter's headers) as native bytes. The form is that of the
 * protocol that can say most, so that nothing is lost.
 */
export interface PropertyRewriter {
  readonly codec: PropertyCodec;
  /** Native bytes for `message` with these properties in place of its own. */
  rewrite(message: Message, properties: Properties): Buffer;
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
}

/** Plain counters that metrics read when scraped. One object for the process; fields only grow. */
export interface Meters {
  published: number;
  publishedBytes: number;
  delivered: number;
  deliveredBytes: number;
  acknowledged: number;
  /** Rejected for good: they are dead letters, or dropped. */
  rejected: number;
  redelivered: number;
  unroutable: number;
  returned: number;
  /** Dropped on a direct path (QoS 0) because the receiver could not keep up. */
  droppedDirect: number;
  /** Messages that a full queue dropped or refused. */
  overflowed: number;
  /** Messages whose time in a queue was over. */
  expired: number;
  /** Messages that came back to their queue too often. */
  overDeliveryLimit: number;
  /** Of all these, those that a dead letter exchange got. */
  deadLetteredRejected: number;
  deadLetteredExpired: number;
  deadLetteredMaxlen: number;
  deadLetteredDeliveryLimit: number;
  /** Dead letters that reached no queue: no such exchange or binding, or they would go in circles. */
  deadLettersLost: number;
  /** Routing keys that make no legal topic, or messages too large for a receiver. */
  undeliverable: number;
  pagedOut: number;
  pagedIn: number;
  commits: number;
  committedEntries: number;
  publishersBlocked: number;
  /** Messages that were not retained because of a bound. */
  retainedRefused: number;
  /** Times that each named bound was reached at which something is dropped, refused or closed. */
  readonly limitHits: LimitHits;
}

export function newMeters(): Meters {
  return {
    published: 0,
    publishedBytes: 0,
    delivered: 0,
    deliveredBytes: 0,
    acknowledged: 0,
    rejected: 0,
    redelivered: 0,
    unroutable: 0,
    returned: 0,
    droppedDirect: 0,
    overflowed: 0,
    expired: 0,
    overDeliveryLimit: 0,
    deadLetteredRejected: 0,
    deadLetteredExpired: 0,
    deadLetteredMaxlen: 0,
    deadLetteredDeliveryLimit: 0,
    deadLettersLost: 0,
    undeliverable: 0,
    pagedOut: 0,
    pagedIn: 0,
    commits: 0,
    committedEntries: 0,
    publishersBlocked: 0,
    retainedRefused: 0,
    limitHits: newLimitHits(),
  };
}
