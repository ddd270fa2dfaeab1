// A session: what the broker remembers of a client id. One whose expiry is 0 lives as long as its connection and writes
// nothing; a persistent one (MQTT 5 §4.1) lives longer: its queue and bindings are durable definitions of the core, and
// beside them are its record (session-record.ts) and the packet ids of QoS 2. The queue is the session's one target:
// whatever its filters, a publish reaches it once.
//
// Deliveries are delivery.ts's, subscriptions subscriptions.ts's. What the store completes for a connection that has gone
// meanwhile carries an older epoch and is discarded.

import { BrokerError } from '../../../src/core/errors.ts';
import { EMPTY_TABLE } from '../../../src/core/message/field-table.ts';
import type { DefinitionValue } from '../../../src/core/ports/definitions.ts';
import type { Consumer } from '../../../src/core/queue/consumer.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import type { QueueEntry } from '../../../src/core/queue/queue-entry.ts';
import type { Session } from '../../../src/core/session/session.ts';
import type { ConfirmRing } from '../../../src/core/turn/confirms.ts';
import type { VirtualHost } from '../../../src/core/vhost/virtual-host.ts';
import { NEVER_ENDS } from '../packet/connect-packet.ts';
import type { Subscription } from '../packet/control.ts';
import { FIRST_BYTE } from '../packet/packet-types.ts';
import { REASON, type Reason } from '../packet/reason-codes.ts';
import type { Will } from '../packet/will-record.ts';
import { sharedFilter } from '../topic/shared-filter.ts';
import { Deliveries, type DeliveryOwner } from './delivery.ts';
import type { PacketWaiter } from './packet-store.ts';
import { ARRIVAL, Received } from './received.ts';
import { SessionClock, type Timed } from './session-clock.ts';
import type { SessionContext } from './session-context.ts';
import type { SessionLink } from './session-link.ts';
import { queueNameOf, sessionArguments, sessionOf } from './session-queue.ts';
import { recordToJson, type SessionRecord } from './session-record.ts';
import { type SharedSubscription, subscriptionOptionsOf } from './shared-subscription.ts';
import { findSubscription, refusedBindings, Subscriptions } from './subscriptions.ts';

/** Where a persistent session is known until it ends. */
export interface SessionRegistry {
  forget(session: MqttSession): void;
}

/** What the store was asked to keep, in the tokens of completions: kind × 65,536 + packet id, and the epoch above. */
const KIND = { sent: 0, released: 1, forgotten: 2, unknown: 3 } as const;
const KIND_FACTOR = 0x10000;
const EPOCH_FACTOR = 4 * KIND_FACTOR;

export class MqttSession implements DeliveryOwner, PacketWaiter, Timed {
  readonly host: VirtualHost;
  readonly clientId: string;
  readonly queueName: string;
  readonly persistent: boolean;
  readonly deliveries: Deliveries;
  sessionId: number;
  shares: Map<string, SharedSubscription> | null;
  private readonly context: SessionContext;
  private readonly registry: SessionRegistry;
  user: string;
  private readonly clock: SessionClock;
  private link: SessionLink | null;
  private consumer: Consumer | null;
  private subscriptions: Subscriptions | null;
  private received: Received | null;
  private epoch: number;
  private ended: boolean;
  /** The record as it was handed to the store last; empty: never. */
  private saved: string;
  /** Whether the log has heard that it may have no queue. */
  private toldRefused: boolean;

  constructor(
    host: VirtualHost,
    clientId: string,
    persistent: boolean,
    context: SessionContext,
    registry: SessionRegistry,
  ) {
    this.host = host;
    this.clientId = clientId;
    this.queueName = queueNameOf(clientId);
    this.persistent = persistent;
    this.deliveries = new Deliveries(this, context);
    this.sessionId = 0;
    this.shares = null;
    this.context = context;
    this.registry = registry;
    this.user = '';
    this.clock = new SessionClock(this, persistent ? NEVER_ENDS : 0, context);
    this.link = null;
    this.consumer = null;
    this.subscriptions = null;
    this.received = null;
    this.epoch = 0;
    this.ended = false;
    this.saved = '';
    this.toldRefused = false;
  }

  get vhost(): string {
    return this.host.name;
  }

  /** Seconds that it outlives its connection. */
  get expirySeconds(): number {
    return this.clock.expirySeconds;
  }

  // What a restart brings.

  /** Takes up what an earlier start left. Its client is away: what would reach it at QoS 0 is dropped and counted. */
  recover(record: SessionRecord | null, queue: Queue): void {
    this.sessionId = queue.id;
    queue.direct = this.deliveries;
    if (record === null) return;
    this.user = record.user;
    for (const share of record.shares) {
      // Without its queue, too: it is made again when the client is back.
      this.shares ??= new Map();
      this.shares.set(share.filter, share);
      const group = this.context.groups.find(this.host, sharedFilter(share.filter)!);
      group?.members.set(this.deliveries, subscriptionOptionsOf(share));
    }
    this.saved = JSON.stringify(recordToJson(record));
    this.clock.recover(record);
  }

  /** Retained messages that it has not been sent. False where there is no such subscription. */
  recoverSelection(filter: string, value: DefinitionValue): boolean {
    const { host, queueName, context } = this;
    const queue = host.queues.get(queueName);
    if (queue === undefined || findSubscription(host, context.options.exchange, queue, filter) === null) return false;
    this.deliveries.recoverSelection(filter, value);
    return true;
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
      const group = this.context.groups.find(this.host, sharedFilter(filter)!);
      if (group?.queue.id === queueId) group.claim(seq, this.deliveries);
    }
  }

  /** What is kept of the session. */
  private get record(): SessionRecord {
    const { user, shares } = this;
    const { expirySeconds, endsAt, will, willAt } = this.clock;
    return { expirySeconds, endsAt, user, shares: shares === null ? [] : [...shares.values()], will, willAt };
  }

  /**
   * Whether it was somebody else's, and selects what the user of `core` may not: what waits in it is then none of this
   * user's business.
   */
  async isForeign(core: Session): Promise<boolean> {
    const queue = this.host.queues.get(this.queueName);
    if (queue === undefined || this.user === core.identity.user) return false;
    return (await refusedBindings(queue, this.context.options.exchange, core)).length > 0;
  }

  // The life of a connection.

  /**
   * A connection takes the session over; the one before was detached. Persistent sessions get their queue here; all that
   * a restart needs is on disk when it resolves.
   */
  async attach(link: SessionLink, expirySeconds: number, will: Will | null): Promise<void> {
    this.epoch++;
    this.link = link;
    this.user = link.core.identity.user;
    this.clock.connected(expirySeconds, will, link.core);
    this.deliveries.attach(link);
    if (!this.persistent) return;
    const isNew = this.sessionId === 0;
    const changed = this.save();
    try {
      await this.openQueue(link, changed);
    } catch (error) {
      // What was not stored is to be stored again.
      this.saved = '';
      // One whose queue was refused is none, and its client, which hears of no connection, has no will.
      if (isNew) {
        this.clock.will = null;
        this.end();
      }
      throw error;
    }
    if (this.link === link) await this.subscriptions?.review(link.core);
    if (this.link === link && (await this.subscriptions?.rejoin(link.core))) this.save();
  }

  /** The client knows that it is connected: what is waiting for it may come. */
  start(): void {
    this.deliveries.start();
  }

  /** The client said goodbye: its will is nobody's business. A new expiry may come with it (MQTT 5 §3.14.2.2.2). */
  goodbye(expirySeconds: number | null, withWill: boolean): void {
    const { clock } = this;
    if (!withWill) clock.will = null;
    if (expirySeconds === null) return;
    clock.expirySeconds = Math.min(expirySeconds, this.context.limits.sessionExpirySeconds);
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
    if (!this.persistent || this.clock.expirySeconds === 0 || this.ended) return this.end();
    const publishing = this.clock.away();
    this.save();
    return publishing;
  }

  /** The session ends, whoever ended it: nothing is left of it. */
  end(): Promise<void> | null {
    if (this.ended) return null;
    this.ended = true;
    this.clock.stop();
    const publishing = this.clock.publish();
    const { context, host } = this;
    this.deliveries.abandon();
    for (const filter of this.shares?.keys() ?? []) {
      context.groups.leave(host, sharedFilter(filter)!, this.deliveries);
    }
    if (!this.persistent) return publishing;
    const queue = host.queues.get(this.queueName);
    if (queue !== undefined && queue.id === this.sessionId) host.deleteQueue(queue);
    context.packets.drop(this.sessionId);
    context.definitions.remove('session', [host.name, this.clientId]);
    this.registry.forget(this);
    return publishing;
  }

  /** Subscribes and says what became of each request: a QoS or the code of a failure. Rejects with nothing but our own bugs. */
  async subscribe(requests: readonly Subscription[]): Promise<number[]> {
    const { link } = this;
    if (link !== null && this.subscriptions === null) await this.openForSubscriptions(link);
    if (this.link === null || this.subscriptions === null) {
      return requests.map(() => REASON.notAuthorized);
    }
    const granted = await this.subscriptions.add(requests, this.link.core);
    if (requests.some(({ filter }) => sharedFilter(filter) !== null)) await this.saveShares();
    return granted;
  }

  /** Unsubscribes; the UNSUBACK code of each filter. */
  async unsubscribe(filters: readonly string[]): Promise<Reason[]> {
    if (this.link === null || this.subscriptions === null) return filters.map(() => REASON.noSubscriptionExisted);
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

  /** Whether a QoS 2 PUBLISH with that id would be one that was sent again. */
  hasReceived(id: number): boolean {
    return this.received?.knows(id) === true;
  }

  /** QoS 2 publishes without PUBREL. */
  get unreleased(): number {
    return this.received === null ? 0 : this.received.size;
  }

  /**
   * A QoS 2 publish was settled by the core, over the connection that is `connected` or over one before. With a reason
   * that is a failure it never happened: a client up to 3.1.1 is told so by the close, for its PUBREC has no reason.
   */
  settled(id: number, ok: boolean, connected: boolean, reason: Reason): void {
    const answers = this.received?.settled(id, ok, connected) === true;
    // A queue may have refused what others took: then the id was written with it, and a restart would take the next
    // publish under it for this one.
    if (!ok && this.persistent) {
      this.context.packets.forgetReceived(this.sessionId, id, null, 0);
      this.context.turn.begin();
    }
    if (!answers) return;
    if (ok || this.link?.v5 !== false) this.writeReceived(id, reason);
    else this.link.notStored();
  }

  /** PUBREL: the id may be used again. It is answered whether it was known or not (§4.3.3). */
  released(id: number): void {
    const { link } = this;
    if (link === null) return;
    const known = this.received?.released(id) === true;
    if (this.persistent) {
      // Also one that is not known: that it was released before may not be on disk yet.
      const kind = known ? KIND.forgotten : KIND.unknown;
      this.context.packets.forgetReceived(this.sessionId, id, this, this.token(kind, id));
      this.context.turn.begin();
    } else {
      this.writeCompleted(link, id, known ? REASON.success : REASON.packetIdNotFound);
    }
  }

  /**
   * A QoS 2 publish of a persistent session was routed: its id is committed with the message, and `slot` of the
   * publisher's ring settles with that commit.
   */
  storeReceived(id: number, ring: ConfirmRing, slot: number): void {
    this.context.packets.received(this.sessionId, id, ring, slot);
    this.context.turn.begin();
  }

  // What deliveries ask of the store, and what it answers.

  storeSent(id: number, entry: QueueEntry): void {
    const { packets } = this.context;
    packets.sent(this.sessionId, id, entry.queue.id, entry.seq, this, this.token(KIND.sent, id));
  }

  storeReleased(id: number): void {
    this.context.packets.released(this.sessionId, id, this, this.token(KIND.released, id));
  }

  forgetSent(id: number): void {
    this.context.packets.forgetSent(this.sessionId, id);
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
      case KIND.forgotten:
        this.writeCompleted(link, id, REASON.success);
        break;
      default:
        this.writeCompleted(link, id, REASON.packetIdNotFound);
    }
  }

  /** Its own queue or a group's was deleted by other hands: the client learns that it is not subscribed any more. */
  queueGone(consumer: Consumer): void {
    if (consumer === this.consumer) this.consumer = null;
    this.link?.queueGone();
  }

  private token(kind: number, id: number): number {
    return this.epoch * EPOCH_FACTOR + kind * KIND_FACTOR + id;
  }

  private writeReceived(id: number, reason: Reason): void {
    if (this.link !== null) this.context.writer.answer(this.link, FIRST_BYTE.pubrec, id, reason);
  }

  private writeCompleted(link: SessionLink, id: number, reason: Reason): void {
    this.context.writer.answer(link, FIRST_BYTE.pubcomp, id, reason);
    link.released();
  }

  /** A session without expiry gets its queue with its first subscription. Where that is refused there is none afterwards. */
  private async openForSubscriptions(link: SessionLink): Promise<void> {
    try {
      await this.openQueue(link, false);
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      if (this.toldRefused) return;
      this.toldRefused = true;
      this.context.log.info({ queue: this.queueName, error: error.message }, 'MQTT subscriptions refused');
    }
  }

  /** Declares or finds the session's queue and consumes it. One without expiry is exclusive and ends with the session. */
  private async openQueue(link: SessionLink, changed: boolean): Promise<void> {
    const { core } = link;
    const name = this.queueName;
    const clean = !this.persistent;
    const known = clean ? undefined : core.vhost.queues.get(name);
    // A queue that is there keeps the bounds that it was made with.
    if (known === undefined) {
      await core.declareQueue({
        name,
        durable: this.persistent,
        exclusive: clean,
        autoDelete: false,
        args: sessionArguments(this.clientId, this.context.limits),
      });
      // From here on it ends with the session, whatever becomes of the connection.
      if (this.persistent && !this.own(core.vhost.queue(name, core))) return;
    } else if (sessionOf(known) !== this.clientId) {
      throw new BrokerError('precondition-failed', `queue '${name}' is not the session's: somebody else declared it`);
    } else if (changed) await core.committed();
    const options = { tag: this.clientId, noAck: false, exclusive: false, prefetch: 0, priority: 0, args: EMPTY_TABLE };
    const consumer = await core.consume(name, options, this.deliveries);
    if (this.link !== link) {
      // The connection went meanwhile.
      core.cancel(consumer);
      if (clean) await core.deleteQueue(name, { ifUnused: false, ifEmpty: false });
      return;
    }
    this.own(consumer.queue);
    this.consumer = consumer;
    this.deliveries.consume(consumer);
    consumer.queue.direct = this.deliveries;
    this.subscriptions = new Subscriptions(consumer.queue, this.host, this, this.context);
    if (this.subscriptions.hasNoLocal) core.own = consumer.queue;
  }

  /** The queue is the session's own. False where the session ended meanwhile, and the queue with it. */
  private own(queue: Queue): boolean {
    if (this.ended) {
      this.host.deleteQueue(queue);
      return false;
    }
    // Another queue has none of its subscriptions.
    if (this.sessionId !== 0 && this.sessionId !== queue.id) this.deliveries.dropAllRetained();
    this.sessionId = queue.id;
    return true;
  }

  /** Its clock says that something of its record changed. */
  changed(): void {
    this.save();
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
    this.context.definitions.put('session', [this.host.name, this.clientId], value);
    this.context.turn.begin();
    return true;
  }
}
