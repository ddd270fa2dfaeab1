// From the core to one client: the session's end of the queues that it consumes. QoS 1 and 2 come through consumers,
// within the client's receive maximum, and are outgoing.ts's from then on; QoS 0 comes past the queue and is dropped and
// counted where the client cannot take it; retained messages come by way of retained-feed.ts.

import type { Message } from '../../../src/core/message/message.ts';
import type { DefinitionValue } from '../../../src/core/ports/definitions.ts';
import type { Consumer, DeliverySink } from '../../../src/core/queue/consumer.ts';
import type { DirectReceiver, Queue } from '../../../src/core/queue/queue.ts';
import type { QueueEntry } from '../../../src/core/queue/queue-entry.ts';
import {
  DEFAULT_SUBSCRIPTION_OPTIONS,
  type SubscriptionOptions,
} from '../../../src/core/queue/subscription-options.ts';
import type { Target } from '../../../src/core/queue/target.ts';
import type { VirtualHost } from '../../../src/core/vhost/virtual-host.ts';
import type { Subscription } from '../packet/control.ts';
import { isExpired, publishByte } from '../packet/encoder-v5.ts';
import { qosOf, sentRetained } from '../packet/property-codec.ts';
import { currentOptions } from './delivery-options.ts';
import { recalledQos2 } from './inflight.ts';
import { Outgoing, type OutgoingOwner } from './outgoing.ts';
import { type FeedOwner, RetainedFeed } from './retained-feed.ts';
import type { SessionContext } from './session-context.ts';
import type { SessionLink } from './session-link.ts';
import type { GroupMember, SharedGroup } from './shared-groups.ts';

/** The session that the deliveries are for. */
export interface DeliveryOwner extends OutgoingOwner, FeedOwner {
  readonly host: VirtualHost;
  /** The queue went away beneath it. */
  queueGone(consumer: Consumer): void;
}

/** An entry of a shared subscription that is this session's to complete. */
interface Held {
  readonly entry: QueueEntry;
  readonly message: Message;
}

export class Deliveries implements DeliverySink, DirectReceiver, GroupMember {
  private readonly owner: DeliveryOwner;
  private readonly context: SessionContext;
  private link: SessionLink | null;
  /** Whether the client knows that it is connected; whether the session has ended. */
  private started: boolean;
  private abandoned: boolean;
  /** The consumer of the session's own queue, and those of groups that it is in. */
  private own: Consumer | null;
  private groups: Map<
    Consumer,
    { readonly group: SharedGroup; readonly subscriptionOptions: SubscriptionOptions }
  > | null;
  /** This and all below are made when they are first used: most sessions are idle. */
  private outgoing: Outgoing | null;
  private feed: RetainedFeed | null;
  private held: Held[] | null;
  /** Whether a consumer was refused for want of packet ids or window. */
  private starved: boolean;

  constructor(owner: DeliveryOwner, context: SessionContext) {
    this.owner = owner;
    this.context = context;
    this.link = null;
    this.started = false;
    this.abandoned = false;
    this.own = null;
    this.groups = null;
    this.outgoing = null;
    this.feed = null;
    this.held = null;
    this.starved = false;
  }

  attach(link: SessionLink): void {
    this.link = link;
    this.outgoing?.attach(link);
  }

  /** The consumer of the session's own queue; deliveries begin with `start`. */
  consume(consumer: Consumer): void {
    this.own = consumer;
    this.feed?.attach(this.link!, consumer.queue);
  }

  /** A consumer of a group's queue; deliveries begin with `resume`. */
  join(consumer: Consumer, group: SharedGroup, subscriptionOptions: SubscriptionOptions): void {
    this.groups ??= new Map();
    this.groups.set(consumer, { group, subscriptionOptions });
  }

  /** Left a group. What it was sent and has not acknowledged stays with it until its connection goes. */
  part(consumer: Consumer): void {
    this.groups?.delete(consumer);
  }

  /** A group ended while this client had messages of it to complete: what had not come again will not. */
  ended({ id, deleted }: Queue): void {
    if (this.outgoing === null || !deleted) return;
    const held = this.held?.filter(({ entry }) => !entry.queue.deleted) ?? [];
    this.held = held.length === 0 ? null : held;
    this.outgoing.passed(id, Number.POSITIVE_INFINITY);
  }

  /** The client knows that it is connected: what it was sent before comes first, in the order of ids (§4.4). */
  start(): void {
    if (this.link === null) return;
    this.started = true;
    this.outgoing?.start();
    this.drainHeld();
    this.resume();
  }

  /** The connection is gone; its consumers have ended. What it held unacknowledged goes back to the queues. */
  detach(): void {
    const { link, outgoing } = this;
    this.link = null;
    this.started = false;
    this.feed?.detach();
    this.starved = false;
    this.own = null;
    this.groups = null;
    if (outgoing === null || link === null) return;
    const claim = (entry: QueueEntry): void => this.context.groups.of(entry.queue).claim(entry.seq, this);
    const back = outgoing.detach(claim);
    // They go back, too: what comes again comes in the order of its queue, or earlier ids would seem to wait in vain.
    for (const { entry } of this.held ?? []) {
      claim(entry);
      back.push(entry);
    }
    this.held = null;
    link.core.requeueAll(back);
  }

  /** The session ends: what is left of groups' messages at QoS 2 goes to nobody. */
  abandon(): void {
    this.abandoned = true;
    this.feed?.dropAll();
    for (const { entry } of this.held ?? []) entry.queue.acknowledge(entry);
    this.held = null;
  }

  /** An entry of a group that another member was given: it is this session's to complete. */
  deliverClaimed(entry: QueueEntry, message: Message): void {
    if (this.abandoned) {
      entry.queue.acknowledge(entry);
      return;
    }
    this.held ??= [];
    this.held.push({ entry, message });
    this.drainHeld();
  }

  /** An entry that it was to be sent again comes no more. */
  claimLost(queueId: number, seq: number): void {
    // As if something came between it and the next one.
    this.outgoing?.passed(queueId, seq + 0.5);
  }

  /** What an earlier start left of an id. */
  recover(id: number, released: boolean, queueId: number, seq: number): void {
    this.openOutgoing().recover(id, released, queueId, seq);
  }

  /** The outbox takes more again, or deliveries may begin. */
  resume(): void {
    if (this.feed?.idle === true) this.feed = null;
    this.feed?.resume();
    this.own?.start();
    if (this.groups !== null) for (const consumer of this.groups.keys()) consumer.start();
  }

  /** What is kept of retained messages that the session has not been sent. */
  recoverSelection(filter: string, value: DefinitionValue): void {
    this.feed ??= new RetainedFeed(this.owner, this.context);
    this.feed.recover(filter, value);
  }

  /**
   * A subscription was made: the retained messages that it selects (§3.8.4) are looked for; `resume` sends them, once it
   * was granted.
   */
  selectRetained({ filter, qos, identifier }: Subscription): void {
    if (this.abandoned) return;
    if (this.feed === null) {
      this.feed = new RetainedFeed(this.owner, this.context);
      if (this.link !== null && this.own !== null) this.feed.attach(this.link, this.own.queue);
    }
    this.feed.select(filter, qos, identifier);
  }

  retainedGranted(filter: string): void {
    this.feed?.granted(filter);
  }

  /** A subscription is over; all are. */
  dropRetained(filter: string): void {
    this.feed?.drop(filter);
  }

  dropAllRetained(): void {
    this.feed?.dropAll();
  }

  /** Resolves when the first of them are there: they leave with the SUBACK, before what is published behind it. */
  async retainedFound(): Promise<void> {
    await this.feed?.fill();
  }

  /** Publishers are not held back any more, and neither is what would write to the disk. */
  released(): void {
    this.feed?.resume();
  }

  // What the core calls.

  deliver(consumer: Consumer, message: Message, entry: QueueEntry, redelivered: boolean): void {
    const link = this.link!;
    const own = consumer === this.own;
    const member = own ? null : (this.groups?.get(consumer) ?? null);
    if (member !== null && member.group.claims !== null) {
      const claimant = member.group.claimed(entry.seq);
      if (claimant !== null && claimant !== this) {
        claimant.deliverClaimed(entry, message);
        return;
      }
    }
    const subscriptionOptions =
      member !== null
        ? member.subscriptionOptions
        : (entry.subscriptionOptions ?? this.optionsOnDelivery(consumer, message));
    if (own && this.feed !== null) this.feed.handedOut(entry.seq);
    const recalled = this.outgoing === null ? 0 : this.outgoing.recall(entry);
    const qos = Math.min(qosOf(message), subscriptionOptions.qos);
    if (qos === 2 || recalledQos2(recalled)) {
      this.openOutgoing().deliverOnce(entry, message, subscriptionOptions, recalled);
      return;
    }
    if (recalled === 0 && isExpired(message, this.context.turn.now)) {
      link.core.acknowledge(entry);
      return;
    }
    if (qos === 0) {
      // QoS 0 has a way of its own; what came through the queue all the same was bound or requeued by other hands.
      if (recalled !== 0) this.outgoing!.forget(recalled);
      const firstByte = publishByte(0, sentRetained(message, subscriptionOptions), false);
      this.context.writer.publish(link, message, firstByte, 0, subscriptionOptions.subscriptionIds);
      link.core.acknowledge(entry);
      return;
    }
    this.openOutgoing().deliver(entry, message, subscriptionOptions, recalled, redelivered && (own || recalled !== 0));
  }

  writable(): boolean {
    const { link, outgoing } = this;
    if (link === null || !link.outbox.writable) return false;
    if (outgoing === null || outgoing.room > 0) return true;
    this.starved = true;
    return false;
  }

  cancelled(consumer: Consumer): void {
    if (consumer === this.own) this.own = null;
    else {
      this.groups?.delete(consumer);
      this.context.groups.forget(consumer.queue);
    }
    this.owner.queueGone(consumer);
  }

  receive(message: Message, target: Target): void {
    this.receiveWith(message, target.subscriptionOptions);
  }

  /** At QoS 0, under the subscriptionOptions of a subscription. */
  receiveWith(message: Message, subscriptionOptions: SubscriptionOptions): void {
    const { link } = this;
    const { meters, codecs } = this.context;
    // Nothing comes before CONNACK [MQTT-3.2.0-1].
    if (link === null || !this.started || !link.outbox.writable) {
      meters.droppedDirect++;
      return;
    }
    if (link.v5) {
      const firstByte = publishByte(0, sentRetained(message, subscriptionOptions), false);
      if (!this.context.writer.publish(link, message, firstByte, 0, subscriptionOptions.subscriptionIds)) return;
    } else if (codecs.encoder.writeQos0(link.outbox, message)) {
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
    return this.started && this.link?.outbox.writable === true;
  }

  // Acknowledgements of the client: PUBACK, PUBREC, PUBCOMP.

  acknowledged(id: number): void {
    if (this.outgoing?.acknowledged(id) === true && this.starved) this.fed();
  }

  receivedBy(id: number, failed: boolean): void {
    if (this.openOutgoing().receivedBy(id, failed) && this.starved) this.fed();
  }

  completed(id: number): void {
    if (this.outgoing?.completed(id) === true && this.starved) this.fed();
  }

  // What the store has done.

  stored(id: number): void {
    if (this.outgoing?.stored(id) === true && this.starved) this.fed();
  }

  notStored(id: number): void {
    if (this.outgoing?.notStored(id) === true && this.starved) this.fed();
  }

  releaseStored(id: number): void {
    this.outgoing?.releaseStored(id);
  }

  private openOutgoing(): Outgoing {
    this.outgoing ??= new Outgoing(this.owner, this.context, this.link);
    return this.outgoing;
  }

  /** Sends what is this session's to complete, as far as the client takes it now. */
  private drainHeld(): void {
    const { held, link } = this;
    if (held === null || link === null || !this.started) return;
    const outgoing = this.openOutgoing();
    const { room } = outgoing;
    this.starved ||= held.length > room;
    const ready = held.splice(0, room);
    if (held.length === 0) this.held = null;
    for (const { entry, message } of ready)
      outgoing.deliverOnce(entry, message, DEFAULT_SUBSCRIPTION_OPTIONS, outgoing.recall(entry));
  }

  /** There is room again. */
  private fed(): void {
    this.starved = false;
    this.drainHeld();
    this.feed?.resume();
    this.own?.resume();
    if (this.groups !== null) for (const consumer of this.groups.keys()) consumer.resume();
  }

  /** The options of an entry that was read back from disk. */
  private optionsOnDelivery({ queue }: Consumer, message: Message): SubscriptionOptions {
    const { host } = this.owner;
    const exchange = host.exchanges.get(this.context.options.exchange);
    if (exchange === undefined) return DEFAULT_SUBSCRIPTION_OPTIONS;
    return currentOptions(exchange, queue, host.bindingsOf(queue), message);
  }
}
