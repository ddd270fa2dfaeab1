// A session: what the broker remembers of a client id. One whose expiry is 0 lives as long as its connection and writes
// nothing; a persistent one (MQTT 5 §4.1) lives longer: its queue and bindings are durable definitions of the core, and
// beside them are its record (session-record.ts) and the packet ids of QoS 2. The queue is the session's one target:
// whatever its filters, a publish reaches it once.
//
// Deliveries are delivery.ts's, subscriptions subscriptions.ts's. What the store completes for a connection that has gone
// meanwhile carries an older epoch and is discarded.

import type { Consumer } from '../../src/core/consumer.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { EMPTY_TABLE } from '../../src/core/field-table.ts';
import type { PacketWaiter } from '../../src/core/ports.ts';
import type { Queue } from '../../src/core/queue.ts';
import type { QueueEntry } from '../../src/core/queue-entry.ts';
import type { Session } from '../../src/core/session.ts';
import type { VirtualHost } from '../../src/core/virtual-host.ts';
import type { Outbox } from '../../src/net/outbox.ts';
import { NEVER_ENDS } from './connect-packet.ts';
import type { Subscription } from './control.ts';
import type { Due } from './deadlines.ts';
import { Deliveries, type DeliveryOwner } from './delivery.ts';
import { FIRST_BYTE } from './packet-types.ts';
import { writeAck, writeReason } from './publish.ts';
import { REASON, type Reason } from './reason-codes.ts';
import { ARRIVAL, Received } from './received.ts';
import { queueNameOf, sessionArguments, sharedQueueNameOf } from './session-queue.ts';
import { recordToJson, type SessionRecord } from './session-record.ts';
import type { MqttShared } from './shared.ts';
import { sharedFilter } from './shared-filter.ts';
import { type Granted, type SharedSubscription, Subscriptions, termsOf } from './subscriptions.ts';
import type { BrokerAliases } from './topic-aliases.ts';
import { publishWill, type Will } from './will.ts';

/** The session's end of a connection. */
export interface SessionLink {
  readonly outbox: Outbox;
  readonly core: Session;
  readonly v5: boolean;
  /** QoS 1 and 2 deliveries that may be out. */
  readonly receiveMaximum: number;
  /** Largest packet that the client takes. */
  readonly maximumPacketBytes: number;
  /** Topic aliases towards the client; null: it wants none. */
  readonly aliases: BrokerAliases | null;
  /** The queue was deleted beneath the session. */
  queueGone(): void;
  /** A PUBCOMP was written: the client may publish one more. */
  released(): void;
}

/** What the store was asked to keep, in the tokens of completions: kind × 65,536 + packet id, and the epoch above. */
const KIND = { sent: 0, released: 1, forgotten: 2 } as const;
const KIND_FACTOR = 0x10000;
const EPOCH_FACTOR = 4 * KIND_FACTOR;

export class MqttSession implements DeliveryOwner, PacketWaiter {
  readonly host: VirtualHost;
  readonly clientId: string;
  readonly queueName: string;
  readonly persistent: boolean;
  readonly deliveries: Deliveries;
  /** Seconds that it outlives its connection. */
  expirySeconds: number;
  sessionId: number;
  shares: Map<string, SharedSubscription> | null;
  private readonly shared: MqttShared;
  private user: string;
  private link: SessionLink | null;
  private consumer: Consumer | null;
  private subscriptions: Subscriptions | null;
  private received: Received | null;
  private epoch: number;
  private will: Will | null;
  /** In whose name the will is published; null: of an earlier start. */
  private willCore: Session | null;
  /** When it ends and when its will is due, milliseconds since the epoch; null: not. */
  private endsAt: number | null;
  private willAt: number | null;
  private endTimer: Timer | null;
  private willTimer: Timer | null;
  private ended: boolean;
  /** The record as it was handed to the store last; empty: never. */
  private saved: string;

  constructor(host: VirtualHost, clientId: string, persistent: boolean, shared: MqttShared) {
    this.host = host;
    this.clientId = clientId;
    this.queueName = queueNameOf(clientId);
    this.persistent = persistent;
    this.deliveries = new Deliveries(this, shared);
    this.expirySeconds = persistent ? NEVER_ENDS : 0;
    this.sessionId = 0;
    this.shares = null;
    this.shared = shared;
    this.user = '';
    this.link = null;
    this.consumer = null;
    this.subscriptions = null;
    this.received = null;
    this.epoch = 0;
    this.will = null;
    this.willCore = null;
    this.endsAt = null;
    this.willAt = null;
    this.endTimer = null;
    this.willTimer = null;
    this.ended = false;
    this.saved = '';
  }

  // What a restart brings.

  /** Takes up what an earlier start left. Its client is away: what would reach it at QoS 0 is dropped and counted. */
  recover(record: SessionRecord | null, queue: Queue): void {
    this.sessionId = queue.id;
    queue.direct = this.deliveries;
    if (record === null) return;
    const { now } = this.shared.turn;
    this.expirySeconds = record.expirySeconds;
    this.user = record.user;
    this.will = record.will;
    for (const share of record.shares) {
      const shared = this.host.queues.get(sharedQueueNameOf(sharedFilter(share.filter)!));
      if (shared === undefined) continue;
      this.shares ??= new Map();
      this.shares.set(share.filter, share);
      this.shared.groups.of(shared).members.set(this.deliveries, termsOf(share));
    }
    this.saved = JSON.stringify(recordToJson(record));
    // A client that was connected when the broker ended has been away since.
    const wasAway = record.endsAt !== null || record.willAt !== null;
    this.away(record.endsAt ?? this.endFrom(now), record.willAt ?? (wasAway ? null : this.willFrom(now)));
  }

  recoverReceived(id: number): void {
    this.received ??= new Received();
    this.received.recover(id);
  }

  /** A delivery at QoS 2 was under way. In a group it is this session's to complete. */
  recoverSent(id: number, released: boolean, queueId: number, seq: number): void {
    this.deliveries.recover(id, released, queueId, seq);
    if (released || queueId === this.sessionId) return;
    for (const filter of this.shares?.keys() ?? []) {
      const queue = this.host.queues.get(sharedQueueNameOf(sharedFilter(filter)!));
      if (queue?.id === queueId) this.shared.groups.of(queue).claim(seq, this.deliveries);
    }
  }

  /** What is kept of the session. */
  private get record(): SessionRecord {
    const { expirySeconds, endsAt, user, shares, will, willAt } = this;
    return { expirySeconds, endsAt, user, shares: shares === null ? [] : [...shares.values()], will, willAt };
  }

  // The life of a connection.

  /**
   * A connection takes the session over; the one before was detached. Persistent sessions get their queue here; all that
   * a restart needs is on disk when it resolves.
   */
  async attach(link: SessionLink, expirySeconds: number, will: Will | null): Promise<void> {
    this.epoch++;
    this.stopTimers();
    this.link = link;
    this.expirySeconds = expirySeconds;
    this.user = link.core.identity.user;
    this.endsAt = null;
    this.willAt = null;
    this.will = will;
    this.willCore = link.core;
    this.deliveries.attach(link);
    if (!this.persistent) return;
    const changed = this.save();
    try {
      await this.openQueue(link, changed);
    } catch (error) {
      // What was not stored is to be stored again.
      this.saved = '';
      // One that never had its queue is none, and its client, which hears of no connection, has no will.
      if (this.sessionId === 0) {
        this.will = null;
        this.end();
      }
      throw error;
    }
    if (this.link === link) await this.subscriptions?.rejoin(link.core);
  }

  /** The client knows that it is connected: what is waiting for it may come. */
  start(): void {
    this.deliveries.start();
  }

  /** The client said goodbye: its will is nobody's business. A new expiry may come with it (MQTT 5 §3.14.2.2.2). */
  goodbye(expirySeconds: number | null, withWill: boolean): void {
    if (!withWill) this.will = null;
    if (expirySeconds !== null) this.expirySeconds = Math.min(expirySeconds, this.shared.limits.sessionExpirySeconds);
  }

  /**
   * The connection is gone. What it held unacknowledged goes back to its queues; a will is published now or becomes due.
   * Resolves when a will that is published now was; null where there was nothing to wait for.
   */
  detach(): Promise<void> | null {
    const { link } = this;
    if (link === null) return null;
    this.link = null;
    this.epoch++;
    this.subscriptions?.detach(link.core);
    if (this.consumer !== null) link.core.cancel(this.consumer);
    this.consumer = null;
    this.deliveries.detach();
    if (!this.persistent || this.expirySeconds === 0 || this.ended) return this.end();
    const { now } = this.shared.turn;
    const due = this.willFrom(now);
    const publishing = due !== null && due <= now ? this.publishWill() : null;
    this.away(this.endFrom(now), this.will === null ? null : due);
    this.save();
    return publishing;
  }

  /** The session ends, whoever ended it: nothing is left of it. */
  end(): Promise<void> | null {
    if (this.ended) return null;
    this.ended = true;
    this.stopTimers();
    const publishing = this.will === null ? null : this.publishWill();
    const { shared, host } = this;
    this.deliveries.abandon();
    for (const filter of this.shares?.keys() ?? []) {
      const queue = host.queues.get(sharedQueueNameOf(sharedFilter(filter)!));
      if (queue !== undefined) shared.groups.leave(host, shared.groups.of(queue), this.deliveries);
    }
    if (!this.persistent) return publishing;
    const queue = host.queues.get(this.queueName);
    if (queue !== undefined && queue.id === this.sessionId) host.deleteQueue(queue);
    shared.context.packets.drop(this.sessionId);
    shared.context.definitions.remove('session', [host.name, this.clientId]);
    shared.sessions.forget(this);
    return publishing;
  }

  /** Subscribes and says what became of each request. Rejects with nothing but our own bugs. */
  async subscribe(requests: readonly Subscription[]): Promise<Granted[]> {
    const { link } = this;
    if (link !== null && this.subscriptions === null) await this.openForSubscriptions(link);
    if (this.link === null || this.subscriptions === null) {
      return requests.map(() => ({ code: REASON.notAuthorized, isNew: false }));
    }
    const granted = await this.subscriptions.add(requests, this.link.core);
    if (requests.some(({ filter }) => sharedFilter(filter) !== null)) await this.saveShares();
    return granted;
  }

  /** For each filter whether there was such a subscription. */
  async unsubscribe(filters: readonly string[]): Promise<boolean[]> {
    if (this.link === null || this.subscriptions === null) return filters.map(() => false);
    const removed = await this.subscriptions.remove(filters, this.link.core);
    if (filters.some((filter) => sharedFilter(filter) !== null)) await this.saveShares();
    return removed;
  }

  // QoS 2 publishes of the client.

  /** A QoS 2 PUBLISH: true where it is new and to be published. A repeated one gets its PUBREC when that is due. */
  receiveOnce(id: number): boolean {
    const arrival = (this.received ??= new Received()).arrived(id);
    if (arrival === ARRIVAL.answer) this.writeReceived(id, REASON.success);
    return arrival === ARRIVAL.first;
  }

  /** QoS 2 publishes without PUBREL. */
  get unreleased(): number {
    return this.received === null ? 0 : this.received.size;
  }

  /**
   * A QoS 2 publish was settled by the core, over the connection that is `connected` or over one before. With a reason
   * that is a failure it never happened.
   */
  settled(id: number, ok: boolean, connected: boolean, reason: Reason): void {
    if (this.received?.settled(id, ok, connected)) this.writeReceived(id, reason);
  }

  /** PUBREL: the id may be used again. It is answered whether it was known or not (§4.3.3). */
  released(id: number): void {
    const { link } = this;
    if (link === null) return;
    const known = this.received?.released(id) === true;
    if (known && this.persistent) {
      this.shared.context.packets.forgetReceived(this.sessionId, id, this, this.token(KIND.forgotten, id));
      this.shared.turn.begin();
    } else {
      this.writeCompleted(link, id, known || !link.v5 ? REASON.success : REASON.packetIdNotFound);
    }
  }

  // What deliveries ask of the store, and what it answers.

  storeSent(id: number, entry: QueueEntry): void {
    const { packets } = this.shared.context;
    packets.sent(this.sessionId, id, entry.queue.id, entry.seq, this, this.token(KIND.sent, id));
  }

  storeReleased(id: number): void {
    this.shared.context.packets.released(this.sessionId, id, this, this.token(KIND.released, id));
  }

  forgetSent(id: number): void {
    this.shared.context.packets.forgetSent(this.sessionId, id);
  }

  packetStored(token: number, ok: boolean): void {
    const { link } = this;
    if (link === null || Math.floor(token / EPOCH_FACTOR) !== this.epoch) return;
    const id = token % KIND_FACTOR;
    switch (Math.floor(token / KIND_FACTOR) % 4) {
      case KIND.sent:
        if (ok) this.deliveries.stored(id);
        else this.deliveries.notStored(id);
        break;
      case KIND.released:
        this.deliveries.releaseStored(id);
        break;
      default:
        this.writeCompleted(link, id, REASON.success);
    }
  }

  queueGone(consumer: Consumer): void {
    if (consumer !== this.consumer) return;
    this.consumer = null;
    this.subscriptions = null;
    this.link?.queueGone();
  }

  private token(kind: number, id: number): number {
    return this.epoch * EPOCH_FACTOR + kind * KIND_FACTOR + id;
  }

  private writeReceived(id: number, reason: Reason): void {
    const { link } = this;
    if (link === null) return;
    const { outbox } = link;
    outbox.reserve(5);
    outbox.position =
      reason === REASON.success || !link.v5
        ? writeAck(outbox.buffer, outbox.position, FIRST_BYTE.pubrec, id)
        : writeReason(outbox.buffer, outbox.position, FIRST_BYTE.pubrec, id, reason);
  }

  private writeCompleted(link: SessionLink, id: number, reason: Reason): void {
    const { outbox } = link;
    outbox.reserve(5);
    outbox.position =
      reason === REASON.success
        ? writeAck(outbox.buffer, outbox.position, FIRST_BYTE.pubcomp, id)
        : writeReason(outbox.buffer, outbox.position, FIRST_BYTE.pubcomp, id, reason);
    link.released();
  }

  /** A session without expiry gets its queue with its first subscription. Where that is refused there is none afterwards. */
  private async openForSubscriptions(link: SessionLink): Promise<void> {
    try {
      await this.openQueue(link, false);
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      this.shared.log.info({ queue: this.queueName, error: error.message }, 'MQTT subscriptions refused');
    }
  }

  /** Declares or finds the session's queue and consumes it. One without expiry is exclusive and ends with the session. */
  private async openQueue(link: SessionLink, changed: boolean): Promise<void> {
    const { core } = link;
    const name = this.queueName;
    const clean = !this.persistent;
    // A queue that is there keeps the bounds that it was made with.
    if (clean || !core.vhost.queues.has(name)) {
      await core.declareQueue({
        name,
        durable: this.persistent,
        exclusive: clean,
        autoDelete: false,
        args: sessionArguments(this.clientId, this.shared.limits),
      });
    } else if (changed) await core.committed();
    const options = { tag: this.clientId, noAck: false, exclusive: false, prefetch: 0, priority: 0, args: EMPTY_TABLE };
    const consumer = await core.consume(name, options, this.deliveries);
    if (this.link !== link) {
      // The connection went meanwhile.
      core.cancel(consumer);
      if (clean) await core.deleteQueue(name, { ifUnused: false, ifEmpty: false });
      return;
    }
    this.consumer = consumer;
    this.sessionId = consumer.queue.id;
    this.deliveries.consume(consumer);
    consumer.queue.direct = this.deliveries;
    this.subscriptions = new Subscriptions(consumer.queue, this, this.shared);
    if (this.subscriptions.hasNoLocal) core.own = consumer.queue;
  }

  private async saveShares(): Promise<void> {
    if (!this.persistent || this.link === null) return;
    this.save();
    await this.link.core.committed();
  }

  /** False where the record is as it was. */
  private save(): boolean {
    const value = recordToJson(this.record);
    const text = JSON.stringify(value);
    if (text === this.saved) return false;
    this.saved = text;
    this.shared.context.definitions.put('session', [this.host.name, this.clientId], value);
    this.shared.turn.begin();
    return true;
  }

  // Time.

  /** When it ends if its client went at `now`; null: never. */
  private endFrom(now: number): number | null {
    return this.expirySeconds === NEVER_ENDS ? null : now + this.expirySeconds * 1000;
  }

  /** When its will is due if its client went at `now` (§3.1.3.2.2): at the end of the session at the latest. */
  private willFrom(now: number): number | null {
    if (this.will === null) return null;
    return now + Math.min(this.will.delaySeconds, this.expirySeconds) * 1000;
  }

  private away(endsAt: number | null, willAt: number | null): void {
    const { deadlines, turn } = this.shared;
    this.endsAt = endsAt;
    this.willAt = willAt;
    if (endsAt !== null) {
      this.endTimer ??= new Timer(() => this.end());
      deadlines.set(this.endTimer, endsAt - turn.now);
    }
    if (willAt !== null) {
      this.willTimer ??= new Timer(() => this.willDue());
      deadlines.set(this.willTimer, willAt - turn.now);
    }
  }

  private willDue(): void {
    this.publishWill();
    this.willAt = null;
    this.save();
  }

  private stopTimers(): void {
    if (this.endTimer !== null) this.shared.deadlines.clear(this.endTimer);
    if (this.willTimer !== null) this.shared.deadlines.clear(this.willTimer);
  }

  /** Publishes the will, once. */
  private publishWill(): Promise<void> | null {
    const { will, willCore, shared } = this;
    this.will = null;
    if (will === null) return null;
    shared.turn.begin();
    if (willCore !== null) return publishWill(will, willCore, shared);
    // Of an earlier start: in the name of whoever was connected then, if there is such a user.
    const { door } = shared.context;
    return door
      .identifyCertified(this.user, true)
      .then((identity) => {
        shared.turn.begin();
        return publishWill(will, door.enter(identity, this.host.name), shared) ?? undefined;
      })
      .catch((error: unknown) => {
        if (!(error instanceof BrokerError)) throw error;
        shared.log.info({ user: this.user, topic: will.topic, error: error.message }, 'will refused');
      });
  }
}

/** A point in time of one session. */
class Timer implements Due {
  dueTick: number;
  private readonly action: () => void;

  constructor(action: () => void) {
    this.dueTick = 0;
    this.action = action;
  }

  due(): void {
    this.action();
  }
}
