// Deliveries from the core to the client of one session. QoS 1 and 2 messages arrive through the consumers of the
// session's queue and of its groups' queues, within the client's receive maximum; outgoing.ts keeps them until they are
// acknowledged. QoS 0 messages bypass the queue; if the client cannot take one now, it is dropped and counted.
// retained-feed.ts sends retained messages. Called by session.ts, by the connection for acknowledgements, and by the core.
//
// Invariant: nothing is written before `start`, that is before CONNACK [MQTT-3.2.0-1], nor without a connection.

import type { Message } from '../../../src/core/message/message.ts';
import type { DefinitionValue } from '../../../src/core/ports/definitions.ts';
import type { Consumer, DeliverySink } from '../../../src/core/queue/consumer.ts';
import { CreditLine, leaveLine } from '../../../src/core/queue/credit-line.ts';
import type { DirectReceiver, Queue } from '../../../src/core/queue/queue.ts';
import type { QueueEntry } from '../../../src/core/queue/queue-entry.ts';
import {
  DEFAULT_SUBSCRIPTION_OPTIONS,
  type SubscriptionOptions,
} from '../../../src/core/queue/subscription-options.ts';
import type { Target } from '../../../src/core/queue/target.ts';
import type { Task } from '../../../src/core/turn/turn.ts';
import type { WorkDescription } from '../../../src/core/turn/turn-watch.ts';
import type { VirtualHost } from '../../../src/core/vhost/virtual-host.ts';
import type { Subscription } from '../packet/control.ts';
import { isExpired, publishByte } from '../packet/encoder-v5.ts';
import { qosOf, sentRetained } from '../packet/property-codec.ts';
import { currentOptions } from './delivery-options.ts';
import { isQos2Redelivery } from './inflight.ts';
import { Outgoing, type OutgoingSession } from './outgoing.ts';
import { type FeedSession, RetainedFeed } from './retained-feed.ts';
import type { SessionConnection } from './session-connection.ts';
import type { SessionContext } from './session-context.ts';
import type { GroupMember, SharedGroup } from './shared-groups.ts';

/** What deliveries need of their session. */
export interface DeliverySession extends OutgoingSession, FeedSession {
  readonly host: VirtualHost;
  /** The queue of one of its consumers was deleted. */
  queueGone(consumer: Consumer): void;
}

/** An entry of a shared subscription's queue that this session must complete (QoS 2). */
interface ClaimedEntry {
  readonly entry: QueueEntry;
  readonly message: Message;
}

export class Deliveries implements DeliverySink, DirectReceiver, GroupMember, Task {
  private readonly session: DeliverySession;
  private readonly context: SessionContext;
  private connection: SessionConnection | null;
  /** CONNACK was sent. */
  private started: boolean;
  /** The session has ended. */
  private abandoned: boolean;
  /** The consumer of the session's own queue. */
  private own: Consumer | null;
  /** The consumers of groups' queues. This and all below are made at first use: most sessions are idle. */
  private groups: Map<Consumer, { readonly group: SharedGroup; readonly options: SubscriptionOptions }> | null;
  /** Consumers of groups' queues that are to start. */
  private starting: Set<Consumer> | null;
  /**
   * Consumers that wait because nothing more can be sent, if the session is in a group: they share the receive maximum.
   */
  private line: CreditLine | null;
  /** Whether it is on the work list, to resume them. */
  private resuming: boolean;
  /** Groups that have passed over this session, because it took no QoS 0 message. */
  private unready: Set<SharedGroup> | null;
  private outgoing: Outgoing | null;
  private feed: RetainedFeed | null;
  private claimed: ClaimedEntry[] | null;
  /** A consumer has stopped because no packet id or no room in the receive maximum was left. */
  private windowFull: boolean;

  constructor(session: DeliverySession, context: SessionContext) {
    this.session = session;
    this.context = context;
    this.connection = null;
    this.started = false;
    this.abandoned = false;
    this.own = null;
    this.groups = null;
    this.starting = null;
    this.line = null;
    this.resuming = false;
    this.unready = null;
    this.outgoing = null;
    this.feed = null;
    this.claimed = null;
    this.windowFull = false;
  }

  attach(connection: SessionConnection): void {
    this.connection = connection;
    this.outgoing?.attach(connection);
  }

  /** The consumer of the session's own queue; deliveries begin with `start`. */
  consume(consumer: Consumer): void {
    this.own = consumer;
    this.feed?.attach(this.connection!, consumer.queue);
  }

  /** A consumer of a group's queue; deliveries begin with `resume`. */
  join(consumer: Consumer, group: SharedGroup, options: SubscriptionOptions): void {
    this.groups ??= new Map();
    this.groups.set(consumer, { group, options });
    (this.starting ??= new Set()).add(consumer);
    group.ready(this);
  }

  /** Leaves a group. Unacknowledged deliveries of its queue stay out until the connection closes. */
  leave(consumer: Consumer): void {
    this.groups?.delete(consumer);
    this.starting?.delete(consumer);
    leaveLine(consumer);
  }

  /** A group's queue was deleted: entries of it that were to be sent again are gone. */
  groupEnded({ id, deleted }: Queue): void {
    if (this.outgoing === null || !deleted) return;
    const claimed = this.claimed?.filter(({ entry }) => !entry.queue.deleted) ?? [];
    this.claimed = claimed.length === 0 ? null : claimed;
    this.outgoing.releaseUpTo(id, Number.POSITIVE_INFINITY);
  }

  /** CONNACK was sent. Deliveries that were out before are sent again first, in the order of their ids (§4.4). */
  start(): void {
    if (this.connection === null) return;
    this.started = true;
    this.outgoing?.start();
    this.drainClaimed();
    this.resume();
  }

  /** The connection and its consumers are gone: requeues what the client has not acknowledged. */
  detach(): void {
    const { connection, outgoing } = this;
    this.connection = null;
    this.started = false;
    this.feed?.detach();
    this.windowFull = false;
    this.own = null;
    this.groups = null;
    this.starting = null;
    this.line = null;
    this.unready = null;
    if (outgoing === null || connection === null) return;
    const claim = (entry: QueueEntry): void => this.context.groups.of(entry.queue).claim(entry.seq, this);
    const back = outgoing.detach(claim);
    // Claimed entries are requeued, too. Entries must come again in the order of their queue: an id whose entry is passed
    // over counts as lost (see `Inflight.takeRedelivery`).
    for (const { entry } of this.claimed ?? []) {
      claim(entry);
      back.push(entry);
    }
    this.claimed = null;
    connection.core.requeueAll(back);
  }

  /** The session ends: nobody else may complete its QoS 2 messages of groups [MQTT-4.8.2-5]. */
  abandon(): void {
    this.abandoned = true;
    this.feed?.dropAll();
    for (const { entry } of this.claimed ?? []) this.context.system.acknowledge(entry);
    this.claimed = null;
  }

  deliverClaimed(entry: QueueEntry, message: Message): void {
    if (this.abandoned) {
      this.context.system.acknowledge(entry);
      return;
    }
    this.claimed ??= [];
    this.claimed.push({ entry, message });
    this.drainClaimed();
  }

  claimLost(queueId: number, seq: number): void {
    // Only `seq` is lost; what follows it may still come.
    this.outgoing?.releaseUpTo(queueId, seq + 0.5);
  }

  /** What an earlier start left of an id. */
  recover(id: number, released: boolean, queueId: number, seq: number): void {
    this.openOutgoing().recover(id, released, queueId, seq);
  }

  /** The outbox has room again, or deliveries may start. */
  resume(): void {
    if (this.feed?.idle === true) this.feed = null;
    this.feed?.resume();
    if (this.own?.place === null) this.own.start();
    this.resumeGroups();
    const { unready } = this;
    this.unready = null;
    if (unready !== null) for (const group of unready) group.ready(this);
  }

  /** Resumes consumers, of groups' queues and its own, a round at a time: as a task of the work list. */
  run(): boolean {
    const { starting, groups, outgoing } = this;
    this.starting = null;
    for (const consumer of starting ?? []) if (groups?.has(consumer)) consumer.start();
    const writable = this.connection?.outbox.writable === true;
    const room = !writable ? 0 : outgoing === null ? Number.POSITIVE_INFINITY : outgoing.room;
    this.resuming = this.line?.callNext(room) === true;
    return this.resuming;
  }

  describeWork(): WorkDescription {
    const { vhost, clientId } = this.session;
    return { work: 'resumption of shared subscriptions', vhost, clientId };
  }

  /** Restores a selection of retained messages that were not all sent before the restart. */
  recoverSelection(filter: string, value: DefinitionValue): void {
    this.feed ??= new RetainedFeed(this.session, this.context);
    this.feed.recover(filter, value);
  }

  /** Starts the search for the retained messages that a subscription selects (§3.8.4). Sent after `retainedGranted`. */
  selectRetained({ filter, qos, identifier }: Subscription): void {
    if (this.abandoned) return;
    if (this.feed === null) {
      this.feed = new RetainedFeed(this.session, this.context);
      if (this.connection !== null && this.own !== null) this.feed.attach(this.connection, this.own.queue);
    }
    this.feed.select(filter, qos, identifier);
  }

  retainedGranted(filter: string): void {
    this.feed?.granted(filter);
  }

  /** A subscription was removed: drops its retained messages. */
  dropRetained(filter: string): void {
    this.feed?.drop(filter);
  }

  dropAllRetained(): void {
    this.feed?.dropAll();
  }

  /** Resolves when the first retained messages were read, so that they leave right after SUBACK; or if that takes long. */
  async retainedFound(): Promise<void> {
    await this.feed?.firstFound();
  }

  /** Publishing is no longer blocked, so retained messages may be written to the session's queue again. */
  unblocked(): void {
    this.feed?.resume();
  }

  // What the core calls.

  failed(): void {
    this.connection?.broken();
  }

  deliver(consumer: Consumer, message: Message, entry: QueueEntry, redelivered: boolean): void {
    const connection = this.connection!;
    const own = consumer === this.own;
    const member = own ? null : (this.groups?.get(consumer) ?? null);
    if (member !== null && member.group.claims !== null) {
      const claimant = member.group.takeClaim(entry.seq);
      if (claimant !== null && claimant !== this) {
        claimant.deliverClaimed(entry, message);
        return;
      }
    }
    const options =
      member !== null ? member.options : (entry.subscriptionOptions ?? this.optionsOnDelivery(consumer, message));
    if (own && this.feed !== null) this.feed.delivered(entry.seq);
    const redelivery = this.outgoing === null ? 0 : this.outgoing.takeRedelivery(entry);
    const qos = Math.min(qosOf(message), options.qos);
    if (qos === 2 || isQos2Redelivery(redelivery)) {
      this.openOutgoing().deliverOnce(entry, message, options, redelivery);
      return;
    }
    if (redelivery === 0 && isExpired(message, this.context.turn.now)) {
      connection.core.acknowledge(entry);
      return;
    }
    if (qos === 0) {
      // Usually QoS 0 bypasses the queue (`receive`). Entries come here if a binding was changed or AMQP requeued them.
      if (redelivery !== 0) this.outgoing!.free(redelivery);
      const firstByte = publishByte(0, sentRetained(message, options), false);
      this.context.writer.publish(connection, message, firstByte, 0, options.subscriptionIds);
      connection.core.acknowledge(entry);
      return;
    }
    this.openOutgoing().deliver(entry, message, options, redelivery, redelivered && (own || redelivery !== 0));
  }

  writable(consumer: Consumer): boolean {
    const { connection, outgoing } = this;
    const isWritable = connection?.outbox.writable === true;
    const hasRoom = outgoing === null || outgoing.room > 0;
    const { line } = this;
    if (isWritable && hasRoom && (line === null || !line.contended || line.admits(consumer))) return true;
    if (isWritable && !hasRoom) this.windowFull = true;
    if (this.groups !== null) {
      this.line ??= new CreditLine();
      this.line.join(consumer);
    }
    return false;
  }

  cancelled(consumer: Consumer): void {
    if (consumer === this.own) this.own = null;
    else {
      this.leave(consumer);
      this.context.groups.forget(consumer.queue);
    }
    this.session.queueGone(consumer);
  }

  receive(message: Message, target: Target): void {
    this.receiveWith(message, target.subscriptionOptions);
  }

  /** Sends a QoS 0 message under the options of a subscription, or drops it. */
  receiveWith(message: Message, options: SubscriptionOptions): void {
    const { connection } = this;
    const { meters, codecs } = this.context;
    if (connection === null || !this.started || !connection.outbox.writable) {
      meters.droppedDirect++;
      return;
    }
    if (connection.v5 || options.retainAsPublished) {
      const firstByte = publishByte(0, sentRetained(message, options), false);
      if (!this.context.writer.publish(connection, message, firstByte, 0, options.subscriptionIds)) return;
    } else if (codecs.encoder.writeQos0(connection.outbox, message)) {
      this.context.traffic.packetsSent++;
    } else {
      meters.undeliverable++;
      return;
    }
    meters.delivered++;
    meters.deliveredBytes += message.bodyLength;
  }

  /** Whether a QoS 0 message would be taken now. */
  get takesDirect(): boolean {
    return this.started && this.connection?.outbox.writable === true;
  }

  passedOver(group: SharedGroup): void {
    if (this.connection !== null) (this.unready ??= new Set()).add(group);
  }

  // Acknowledgements from the client.

  puback(id: number): void {
    if (this.outgoing?.puback(id) === true && this.hasWaiting) this.windowOpened();
  }

  pubrec(id: number, failed: boolean): void {
    if (this.openOutgoing().pubrec(id, failed) && this.hasWaiting) this.windowOpened();
  }

  pubcomp(id: number): void {
    if (this.outgoing?.pubcomp(id) === true && this.hasWaiting) this.windowOpened();
  }

  // Completions of the store.

  stored(id: number): void {
    if (this.outgoing?.stored(id) === true && this.hasWaiting) this.windowOpened();
  }

  notStored(id: number): void {
    if (this.outgoing?.notStored(id) === true && this.hasWaiting) this.windowOpened();
  }

  releaseStored(id: number): void {
    this.outgoing?.releaseStored(id);
  }

  private openOutgoing(): Outgoing {
    this.outgoing ??= new Outgoing(this.session, this.context, this.connection);
    return this.outgoing;
  }

  /** Sends claimed entries while the receive maximum has room. */
  private drainClaimed(): void {
    const { claimed, connection } = this;
    if (claimed === null || connection === null || !this.started) return;
    const outgoing = this.openOutgoing();
    const { room } = outgoing;
    this.windowFull ||= claimed.length > room;
    const ready = claimed.splice(0, room);
    if (claimed.length === 0) this.claimed = null;
    for (const { entry, message } of ready)
      outgoing.deliverOnce(entry, message, DEFAULT_SUBSCRIPTION_OPTIONS, outgoing.takeRedelivery(entry));
  }

  /** Whether anything waits for room in the receive maximum. */
  private get hasWaiting(): boolean {
    return this.windowFull || this.line?.contended === true;
  }

  /** The receive maximum has room again. */
  private windowOpened(): void {
    this.windowFull = false;
    this.drainClaimed();
    this.feed?.resume();
    if (this.own?.place === null) this.own.resume();
    this.resumeGroups();
  }

  private resumeGroups(): void {
    if (this.resuming || (this.starting === null && this.line?.contended !== true)) return;
    this.resuming = true;
    this.context.turn.work(this);
  }

  /** The options of an entry that was read back from disk. */
  private optionsOnDelivery({ queue }: Consumer, message: Message): SubscriptionOptions {
    const { host } = this.session;
    const exchange = host.exchanges.get(this.context.options.exchange);
    if (exchange === undefined) return DEFAULT_SUBSCRIPTION_OPTIONS;
    return currentOptions(exchange, queue, host.bindingsOf(queue), message);
  }
}
