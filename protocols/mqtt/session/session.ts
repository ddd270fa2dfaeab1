// The session of a client id. A session with expiry 0 ends with its connection and stores nothing. A persistent one
// (MQTT 5 §4.1) outlives its connection: its queue and bindings are durable definitions of the core, and beside them the
// store has its record (session-record.ts) and the packet ids of QoS 2. The queue is the session's one target: whatever
// its filters, a publish reaches it once.
//
// delivery.ts sends messages, subscriptions.ts subscribes. Each connection is an epoch: a completion of the store that
// carries an earlier epoch belongs to a connection that is gone and is discarded. Called by connection/ and sessions.ts.

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
import { Deliveries, type DeliverySession } from './delivery.ts';
import type { PacketWaiter } from './packet-store.ts';
import { ARRIVAL, Received } from './received.ts';
import { SessionClock, type TimedSession } from './session-clock.ts';
import type { SessionConnection } from './session-connection.ts';
import type { SessionContext } from './session-context.ts';
import { queueNameOf, sessionArguments, sessionOf } from './session-queue.ts';
import { recordToJson, type SessionRecord } from './session-record.ts';
import { type SharedSubscription, subscriptionOptionsOf } from './shared-subscription.ts';
import { findSubscription, refusedBindings, Subscriptions } from './subscriptions.ts';
import { willBytes } from './waiting-wills.ts';

/** Where a persistent session is known until it ends. */
export interface SessionRegistry {
  forget(session: MqttSession): void;
}

/** A packet id of a QoS 2 publish in its map. */
const RECEIVED_ID_BYTES = 64;

/** What a completion of the store is about. Its token is epoch × 262,144 + kind × 65,536 + packet id. */
const KIND = { sent: 0, released: 1, forgotten: 2, forgottenUnknown: 3 } as const;
const KIND_FACTOR = 0x10000;
const EPOCH_FACTOR = 4 * KIND_FACTOR;

export class MqttSession implements DeliverySession, PacketWaiter, TimedSession {
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
  private connection: SessionConnection | null;
  private consumer: Consumer | null;
  private subscriptions: Subscriptions | null;
  private received: Received | null;
  private epoch: number;
  private ended: boolean;
  /** The record that was stored last, as JSON; empty: none. */
  private saved: string;
  /** The refusal of its queue was logged. */
  private refusalLogged: boolean;

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
    this.clock = new SessionClock(this, persistent ? NEVER_ENDS : 0, context, context.waitingWills);
    this.connection = null;
    this.consumer = null;
    this.subscriptions = null;
    this.received = null;
    this.epoch = 0;
    this.ended = false;
    this.saved = '';
    this.refusalLogged = false;
  }

  get vhost(): string {
    return this.host.name;
  }

  /** Seconds that the session outlives its connection. */
  get expirySeconds(): number {
    return this.clock.expirySeconds;
  }

  /** Memory of its will and of the packet ids that it has received. */
  get heldBytes(): number {
    const { will } = this.clock;
    const ids = this.received === null ? 0 : this.received.size * RECEIVED_ID_BYTES;
    return (will === null ? 0 : willBytes(will)) + ids;
  }

  // Recovery after a restart.

  /** Restores the session of a disconnected client: QoS 0 messages for it are dropped and counted. */
  recover(record: SessionRecord | null, queue: Queue): void {
    this.sessionId = queue.id;
    this.context.system.receiveDirect(queue, this.deliveries);
    if (record === null) return;
    this.user = record.user;
    for (const share of record.shares) {
      // Kept even if the group's queue is gone: it is declared again when the client reconnects.
      this.shares ??= new Map();
      this.shares.set(share.filter, share);
      const group = this.context.groups.find(this.host, sharedFilter(share.filter)!);
      group?.members.set(this.deliveries, subscriptionOptionsOf(share));
    }
    this.saved = JSON.stringify(recordToJson(record));
    this.clock.recover(record);
  }

  /** Restores a selection of retained messages. False if the session has no such subscription. */
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

  /** Restores a QoS 2 delivery that was in flight. An entry of a group's queue is claimed for this session. */
  recoverSent(id: number, released: boolean, queueId: number, seq: number): void {
    this.deliveries.recover(id, released, queueId, seq);
    if (released || queueId === this.sessionId) return;
    for (const filter of this.shares?.keys() ?? []) {
      const group = this.context.groups.find(this.host, sharedFilter(filter)!);
      if (group?.queue.id === queueId) group.claim(seq, this.deliveries);
    }
  }

  private get record(): SessionRecord {
    const { user, shares } = this;
    const { expirySeconds, endsAt, will, willAt } = this.clock;
    return { expirySeconds, endsAt, user, shares: shares === null ? [] : [...shares.values()], will, willAt };
  }

  /**
   * Whether another user opened the session last and it has subscriptions that the user of `core` may not have: then this
   * user must not get the messages that wait in it.
   */
  async belongsToOther(core: Session): Promise<boolean> {
    const queue = this.host.queues.get(this.queueName);
    if (queue === undefined || this.user === core.identity.user) return false;
    return (await refusedBindings(queue, this.context.options.exchange, core)).length > 0;
  }

  // The life of a connection.

  /**
   * A client connected; an earlier connection was detached before. Declares the queue of a persistent session. Resolves
   * when all that a restart needs is on disk.
   */
  async attach(connection: SessionConnection, expirySeconds: number, will: Will | null): Promise<void> {
    this.epoch++;
    this.received?.connected();
    this.connection = connection;
    this.user = connection.core.identity.user;
    this.clock.connected(expirySeconds, will, connection.core);
    this.deliveries.attach(connection);
    if (!this.persistent) return;
    const isNew = this.sessionId === 0;
    const changed = this.save();
    try {
      await this.openQueue(connection, changed);
    } catch (error) {
      // The record may not have been stored: the next save stores it again.
      this.saved = '';
      // A new session whose queue was refused ends. Its client gets no successful CONNACK, so its will is discarded.
      if (isNew) {
        this.clock.will = null;
        this.end();
      }
      throw error;
    }
    if (this.connection === connection) await this.subscriptions?.removeForbidden(connection.core);
    if (this.connection === connection && (await this.subscriptions?.rejoin(connection.core))) this.save();
  }

  /** CONNACK was sent: deliveries start. */
  start(): void {
    this.deliveries.start();
  }

  /**
   * The client disconnects. Discards its will unless `withWill` (MQTT 5 §3.14.2.1). `expirySeconds` is the
   * new session expiry, or null (§3.14.2.2.2).
   */
  disconnecting(expirySeconds: number | null, withWill: boolean): void {
    const { clock } = this;
    if (!withWill) clock.will = null;
    if (expirySeconds === null) return;
    clock.expirySeconds = Math.min(expirySeconds, this.context.limits.sessionExpirySeconds);
  }

  /**
   * The connection closed. Requeues unacknowledged deliveries and publishes the will, now or after its delay. Resolves
   * when a will that is due now was published; null if there is nothing to wait for.
   */
  detach(): Promise<void> | null {
    const { connection } = this;
    if (connection === null) return null;
    this.connection = null;
    this.epoch++;
    this.subscriptions?.detach(connection.core);
    if (this.consumer !== null) connection.core.cancel(this.consumer);
    this.consumer = null;
    this.deliveries.detach();
    if (!this.persistent || this.clock.expirySeconds === 0 || this.ended) return this.end();
    const publishing = this.clock.away();
    this.save();
    return publishing;
  }

  /** Ends the session, and removes everything that is stored of it. Resolves as `detach` does. */
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
    if (queue !== undefined && queue.id === this.sessionId) context.system.deleteQueue(host, queue);
    context.packets.drop(this.sessionId);
    context.definitions.remove('session', [host.name, this.clientId]);
    this.registry.forget(this);
    return publishing;
  }

  /** Subscribes. Resolves to the SUBACK code of each request: a granted QoS or a failure. Never rejects for a request. */
  async subscribe(requests: readonly Subscription[]): Promise<number[]> {
    const { connection } = this;
    if (connection !== null && this.subscriptions === null) await this.openForSubscriptions(connection);
    if (this.connection === null || this.subscriptions === null) {
      return requests.map(() => REASON.notAuthorized);
    }
    const granted = await this.subscriptions.add(requests, this.connection.core);
    if (requests.some(({ filter }) => sharedFilter(filter) !== null)) await this.saveShares();
    return granted;
  }

  /** Unsubscribes. Resolves to the UNSUBACK code of each filter. */
  async unsubscribe(filters: readonly string[]): Promise<Reason[]> {
    if (this.connection === null || this.subscriptions === null) return filters.map(() => REASON.noSubscriptionExisted);
    const removed = await this.subscriptions.remove(filters, this.connection.core);
    if (filters.some((filter) => sharedFilter(filter) !== null)) await this.saveShares();
    return removed;
  }

  // QoS 2 publishes of the client.

  /** A QoS 2 PUBLISH came. True if it is new and must be published. A repeated one gets its PUBREC here, or when settled. */
  receiveOnce(id: number, dup: boolean): boolean {
    const arrival = (this.received ??= new Received()).arrived(id, dup);
    const { connection } = this;
    // Up to 3.1.1 there is no way to say that the id is in use: it is taken for a repetition.
    if (arrival === ARRIVAL.inUse && connection?.v5) this.sendPubrec(id, REASON.packetIdInUse);
    else if (arrival === ARRIVAL.answer || (arrival === ARRIVAL.inUse && this.received.isSettled(id))) {
      this.sendPubrec(id, REASON.success);
    }
    return arrival === ARRIVAL.first;
  }

  /** Whether a QoS 2 PUBLISH with this id would be a repeated one. */
  hasReceived(id: number): boolean {
    return this.received?.knows(id) === true;
  }

  /** QoS 2 publishes without PUBREL. */
  get unreleased(): number {
    return this.received === null ? 0 : this.received.size;
  }

  /**
   * The core settled a QoS 2 publish. `connected`: the connection that sent it is still open. If it failed, its id is
   * forgotten; a client up to 3.1.1 is disconnected, because its PUBREC has no reason code.
   */
  settled(id: number, ok: boolean, connected: boolean, reason: Reason): void {
    const answers = this.received?.settled(id, ok, connected) === true;
    // If one queue took the message and another refused it, the id was stored with it: after a restart the next publish
    // with this id would be taken for a repeated one.
    if (!ok && this.persistent) {
      this.context.packets.forgetReceived(this.sessionId, id, null, 0);
      this.context.turn.begin();
    }
    if (!answers) return;
    if (ok || this.connection?.v5 !== false) this.sendPubrec(id, reason);
    else this.connection.notStored();
  }

  /** PUBREL: the client may reuse the id. Answered with PUBCOMP whether the id was known or not (§4.3.3). */
  pubrel(id: number): void {
    const { connection } = this;
    if (connection === null) return;
    const known = this.received?.released(id) === true;
    if (this.persistent) {
      // Unknown ids are forgotten, too: an earlier release may not be on disk yet.
      const kind = known ? KIND.forgotten : KIND.forgottenUnknown;
      this.context.packets.forgetReceived(this.sessionId, id, this, this.token(kind, id));
      this.context.turn.begin();
    } else {
      this.sendPubcomp(connection, id, known ? REASON.success : REASON.packetIdNotFound);
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

  // The packet ids of deliveries in the store.

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
    const { connection } = this;
    if (connection === null || Math.floor(token / EPOCH_FACTOR) !== this.epoch) return;
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
        this.sendPubcomp(connection, id, REASON.success);
        break;
      default:
        this.sendPubcomp(connection, id, REASON.packetIdNotFound);
    }
  }

  /** Its own queue or that of a group was deleted: disconnects the client, whose subscriptions are gone. */
  queueGone(consumer: Consumer): void {
    if (consumer === this.consumer) this.consumer = null;
    this.connection?.queueGone();
  }

  private token(kind: number, id: number): number {
    return this.epoch * EPOCH_FACTOR + kind * KIND_FACTOR + id;
  }

  private sendPubrec(id: number, reason: Reason): void {
    if (this.connection !== null) this.context.writer.acknowledge(this.connection, FIRST_BYTE.pubrec, id, reason);
  }

  private sendPubcomp(connection: SessionConnection, id: number, reason: Reason): void {
    this.context.writer.acknowledge(connection, FIRST_BYTE.pubcomp, id, reason);
    connection.pubcompSent();
  }

  /** Declares the queue of a session without expiry, with its first subscription. Logs a refusal. */
  private async openForSubscriptions(connection: SessionConnection): Promise<void> {
    try {
      await this.openQueue(connection, false);
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      if (this.refusalLogged) return;
      this.refusalLogged = true;
      this.context.log.info({ queue: this.queueName, error: error.message }, 'MQTT subscriptions refused');
    }
  }

  /** Declares the session's queue if it is not there, and consumes from it. The queue of a session with expiry 0 is exclusive. */
  private async openQueue(connection: SessionConnection, changed: boolean): Promise<void> {
    const { core } = connection;
    const name = this.queueName;
    const clean = !this.persistent;
    const known = clean ? undefined : core.vhost.queues.get(name);
    // An existing queue keeps the limits that it was declared with.
    if (known === undefined) {
      await core.declareQueue({
        name,
        durable: this.persistent,
        exclusive: clean,
        autoDelete: false,
        args: sessionArguments(this.clientId, this.context.limits),
      });
      // From here on the session's end deletes it.
      if (this.persistent && !this.adopt(core.vhost.queue(name, core))) return;
    } else if (sessionOf(known) !== this.clientId) {
      throw new BrokerError('precondition-failed', `queue '${name}' is not the session's: somebody else declared it`);
    } else if (changed) await core.committed();
    const options = { tag: this.clientId, noAck: false, exclusive: false, prefetch: 0, priority: 0, args: EMPTY_TABLE };
    const consumer = await core.consume(name, options, this.deliveries);
    if (this.connection !== connection) {
      // The connection closed meanwhile.
      core.cancel(consumer);
      if (clean) await core.deleteQueue(name, { ifUnused: false, ifEmpty: false });
      return;
    }
    this.adopt(consumer.queue);
    this.consumer = consumer;
    this.deliveries.consume(consumer);
    core.receiveDirect(consumer, this.deliveries);
    this.subscriptions = new Subscriptions(consumer.queue, this.host, this, this.context);
    if (this.subscriptions.hasNoLocal) core.own = consumer.queue;
  }

  /** Makes a queue the session's. False if the session has ended meanwhile: then deletes the queue. */
  private adopt(queue: Queue): boolean {
    if (this.ended) {
      this.context.system.deleteQueue(this.host, queue);
      return false;
    }
    // A new queue has no subscriptions yet.
    if (this.sessionId !== 0 && this.sessionId !== queue.id) this.deliveries.dropAllRetained();
    this.sessionId = queue.id;
    return true;
  }

  /** Called by its clock when the record changed. */
  changed(): void {
    this.save();
  }

  private async saveShares(): Promise<void> {
    if (!this.persistent || this.connection === null) return;
    this.save();
    await this.connection.core.committed();
  }

  /** Stores the record. False if it has not changed. */
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
