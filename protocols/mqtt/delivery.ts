// From the core to one client: the session's end of the queues that it consumes. QoS 1 and 2 come through consumers,
// within the client's receive maximum; QoS 0 comes past the queue and is dropped and counted where the client cannot
// take it.
//
// QoS 2 of a persistent session keeps an order with the store: that an id stands for an entry is committed before its
// PUBLISH leaves, and that the client has it (in the transaction that removes the entry) before its PUBREL. What is
// committed for a connection that has gone meanwhile is told to nobody (see `epoch` in session.ts).

import type { Consumer, DeliverySink } from '../../src/core/consumer.ts';
import type { Message } from '../../src/core/message.ts';
import type { DefinitionValue } from '../../src/core/ports.ts';
import type { DirectReceiver, Queue } from '../../src/core/queue.ts';
import { NEVER_EXPIRES, type QueueEntry, STORE_STATE } from '../../src/core/queue-entry.ts';
import type { Target } from '../../src/core/target.ts';
import { ANY_TERMS, mergeTerms, type Terms } from '../../src/core/terms.ts';
import type { Subscription } from './control.ts';
import { isExpired, publishByte } from './encoder-v5.ts';
import { Inflight, recalledId, recalledQos2, recalledStored, STAGE } from './inflight.ts';
import { PacketIdMap } from './packet-id-map.ts';
import { FIRST_BYTE } from './packet-types.ts';
import { qosOf, retainOf } from './property-codec.ts';
import { REASON } from './reason-codes.ts';
import { type FeedOwner, RetainedFeed } from './retained-feed.ts';
import type { SessionLink } from './session.ts';
import type { MqttShared } from './shared.ts';
import type { SharedGroup } from './shared-groups.ts';
import { filterMatches, swapSeparators } from './topics.ts';

/** The session that the deliveries are for. */
export interface DeliveryOwner extends FeedOwner {
  /** The id of its queue, under which the store knows its packet ids. */
  readonly sessionId: number;
  /** The queue went away beneath it. */
  queueGone(consumer: Consumer): void;
  /** Has the store keep that an id stands for an entry; `stored` or `notStored` follows. */
  storeSent(id: number, entry: QueueEntry): void;
  /** Has it keep that the client has what the id stood for; `releaseStored` follows. */
  storeReleased(id: number): void;
  forgetSent(id: number): void;
}

/** A delivery that waits for its id to be stored. */
interface Waiting {
  readonly message: Message;
  readonly terms: Terms;
  /** It was sent before. */
  readonly duplicate: boolean;
}

/** An entry of a shared subscription that is this session's to complete. */
interface Held {
  readonly entry: QueueEntry;
  readonly message: Message;
}

/** Whether a full disk refused an entry before it was sent. A retained message comes again (retained-feed.ts). */
function isRefused({ storeState, queue, message }: QueueEntry): boolean {
  return storeState === STORE_STATE.none && queue.persisted && message.persistent;
}

/** The retain flag of a delivery (MQTT 5 §3.3.1.3). */
function isRetained(message: Message, terms: Terms): boolean {
  return terms.retained || (terms.retainAsPublished && retainOf(message));
}

export class Deliveries implements DeliverySink, DirectReceiver {
  private readonly owner: DeliveryOwner;
  private readonly shared: MqttShared;
  private link: SessionLink | null;
  /** Whether the client knows that it is connected; whether the session has ended. */
  private started: boolean;
  private abandoned: boolean;
  /** The consumer of the session's own queue, and those of groups that it is in. */
  private own: Consumer | null;
  private groups: Map<Consumer, { readonly group: SharedGroup; readonly terms: Terms }> | null;
  /** This and all below are made when they are first used: most sessions are idle. */
  private inflight: Inflight | null;
  private feed: RetainedFeed | null;
  private waiting: PacketIdMap<Waiting> | null;
  private held: Held[] | null;
  /** Whether a consumer was refused for want of packet ids or window. */
  private starved: boolean;

  constructor(owner: DeliveryOwner, shared: MqttShared) {
    this.owner = owner;
    this.shared = shared;
    this.link = null;
    this.started = false;
    this.abandoned = false;
    this.own = null;
    this.groups = null;
    this.inflight = null;
    this.feed = null;
    this.waiting = null;
    this.held = null;
    this.starved = false;
  }

  attach(link: SessionLink): void {
    this.link = link;
  }

  /** The consumer of the session's own queue; deliveries begin with `start`. */
  consume(consumer: Consumer): void {
    this.own = consumer;
    this.feed?.attach(this.link!, consumer.queue);
  }

  /** A consumer of a group's queue; deliveries begin with `resume`. */
  join(consumer: Consumer, group: SharedGroup, terms: Terms): void {
    this.groups ??= new Map();
    this.groups.set(consumer, { group, terms });
  }

  /** Left a group. What it was sent and has not acknowledged stays with it until its connection goes. */
  part(consumer: Consumer): void {
    this.groups?.delete(consumer);
  }

  /** A group ended while this client had messages of it to complete: what had not come again will not. */
  ended({ id, deleted }: Queue): void {
    const { inflight } = this;
    if (inflight === null || !deleted) return;
    const held = this.held?.filter(({ entry }) => !entry.queue.deleted) ?? [];
    this.held = held.length === 0 ? null : held;
    const gone: number[] = [];
    inflight.recall(id, Number.POSITIVE_INFINITY, gone);
    for (const each of gone) this.release(each);
  }

  /** The client knows that it is connected: what it was sent before comes first, in the order of ids (§4.4). */
  start(): void {
    const { link, inflight } = this;
    if (link === null) return;
    this.started = true;
    if (inflight !== null) {
      for (const id of inflight.inStage(STAGE.released))
        this.shared.writer.answer(link, FIRST_BYTE.pubrel, id, REASON.success);
      for (const id of inflight.inStage(STAGE.releasing)) this.owner.storeReleased(id);
    }
    this.drainHeld();
    this.resume();
  }

  /** The connection is gone; its consumers have ended. What it held unacknowledged goes back to the queues. */
  detach(): void {
    const { link, inflight, owner } = this;
    this.link = null;
    this.started = false;
    this.feed?.detach();
    this.waiting = null;
    this.starved = false;
    this.own = null;
    this.groups = null;
    if (inflight === null || link === null) return;
    for (const id of inflight.inStage(STAGE.storing)) {
      if (isRefused(inflight.entryOf(id)!)) this.giveUp(link, inflight, id);
    }
    const back: QueueEntry[] = [];
    // A group that ended took its messages along.
    for (const id of inflight.forsake()) if (owner.persistent) owner.forgetSent(id);
    for (const entry of inflight.drain(owner.sessionId)) {
      const once = entry.queue.id !== owner.sessionId && inflight.awaits(entry.queue.id, entry.seq);
      // A group's message that is on its way at QoS 2 is completed with this client [MQTT-4.8.2-4], or with nobody
      // [MQTT-4.8.2-5].
      if (once && !owner.persistent) {
        link.core.acknowledge(entry);
        continue;
      }
      if (once) this.shared.groups.of(entry.queue).claim(entry.seq, this);
      // What was begun does not expire any more (MQTT 5 §3.3.2.3.3).
      if (inflight.awaits(entry.queue.id, entry.seq)) entry.expiresAt = NEVER_EXPIRES;
      back.push(entry);
    }
    // They go back, too: what comes again comes in the order of its queue, or earlier ids would seem to wait in vain.
    for (const { entry } of this.held ?? []) {
      this.shared.groups.of(entry.queue).claim(entry.seq, this);
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
  hold(entry: QueueEntry, message: Message): void {
    if (this.abandoned) {
      entry.queue.acknowledge(entry);
      return;
    }
    this.held ??= [];
    this.held.push({ entry, message });
    this.drainHeld();
  }

  /** An entry that it was to be sent again comes no more. */
  gone(queueId: number, seq: number): void {
    if (this.inflight === null) return;
    const gone: number[] = [];
    // As if something came between it and the next one.
    this.inflight.recall(queueId, seq + 0.5, gone);
    for (const id of gone) this.release(id);
  }

  /** What an earlier start left of an id. */
  recover(id: number, released: boolean, queueId: number, seq: number): void {
    this.inflight ??= new Inflight();
    this.inflight.recover(id, released ? STAGE.released : STAGE.away, queueId, seq);
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
    this.feed ??= new RetainedFeed(this.owner, this.shared);
    this.feed.recover(filter, value);
  }

  /** A subscription was made: the retained messages that it selects (§3.8.4) are looked for; `resume` sends them. */
  selectRetained({ filter, qos, identifier }: Subscription): void {
    if (this.abandoned) return;
    if (this.feed === null) {
      this.feed = new RetainedFeed(this.owner, this.shared);
      if (this.link !== null && this.own !== null) this.feed.attach(this.link, this.own.queue);
    }
    this.feed.select(filter, qos, identifier);
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
        claimant.hold(entry, message);
        return;
      }
    }
    const terms = member !== null ? member.terms : (entry.terms ?? this.termsOf(consumer, message));
    if (own && this.feed !== null) this.feed.handedOut(entry.seq);
    const recalled = this.inflight === null ? 0 : this.recall(entry);
    const published = qosOf(message);
    const qos = Math.min(published, terms.qos);
    if (qos === 2 || recalledQos2(recalled)) {
      this.deliverOnce(entry, message, terms, recalled);
      return;
    }
    const retain = isRetained(message, terms);
    if (recalled === 0 && isExpired(message, this.shared.turn.now)) {
      link.core.acknowledge(entry);
      return;
    }
    if (qos === 0) {
      // QoS 0 has a way of its own; what came through the queue all the same was bound or requeued by other hands.
      if (recalled !== 0) this.inflight!.free(recalledId(recalled));
      this.shared.writer.publish(link, message, publishByte(0, retain, false), 0, terms.subscriptionIds);
      link.core.acknowledge(entry);
      return;
    }
    this.inflight ??= new Inflight();
    const { inflight } = this;
    let id = recalledId(recalled);
    if (id === 0) id = inflight.add(entry, STAGE.sent1);
    else inflight.restore(id, entry, STAGE.sent1);
    const duplicate = redelivered && (own || recalled !== 0);
    if (this.shared.writer.publish(link, message, publishByte(1, retain, duplicate), id, terms.subscriptionIds)) return;
    inflight.free(id);
    link.core.acknowledge(entry);
  }

  writable(): boolean {
    const { link, inflight } = this;
    if (link === null || !link.outbox.writable) return false;
    if (inflight === null || (inflight.out < link.receiveMaximum && inflight.hasRoom)) return true;
    this.starved = true;
    return false;
  }

  cancelled(consumer: Consumer): void {
    if (consumer === this.own) this.own = null;
    else {
      this.groups?.delete(consumer);
      this.shared.groups.forget(consumer.queue);
    }
    this.owner.queueGone(consumer);
  }

  receive(message: Message, target: Target): void {
    this.receiveUnder(message, target.terms);
  }

  /** At QoS 0, under the terms of a subscription. */
  receiveUnder(message: Message, terms: Terms): void {
    const { link } = this;
    const { meters, encoder } = this.shared;
    // Nothing comes before CONNACK [MQTT-3.2.0-1].
    if (link === null || !this.started || !link.outbox.writable) {
      meters.droppedDirect++;
      return;
    }
    if (link.v5) {
      const retain = isRetained(message, terms);
      if (!this.shared.writer.publish(link, message, publishByte(0, retain, false), 0, terms.subscriptionIds)) return;
    } else if (encoder.writeQos0(link.outbox, message)) {
      this.shared.traffic.packetsSent++;
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

  // Acknowledgements of the client.

  /** PUBACK. An id that is not out is ignored: the client may answer a message that expired meanwhile. */
  acknowledged(id: number): void {
    const { inflight, link } = this;
    if (inflight === null || link === null || inflight.stageOf(id) !== STAGE.sent1) return;
    const entry = inflight.entryOf(id);
    inflight.free(id);
    if (entry !== null) link.core.acknowledge(entry);
    if (this.starved) this.fed();
  }

  /** PUBREC. */
  receivedBy(id: number, failed: boolean): void {
    const { inflight, link, owner } = this;
    if (link === null) return;
    const stage = inflight === null ? STAGE.free : inflight.stageOf(id);
    if (stage === STAGE.released) this.shared.writer.answer(link, FIRST_BYTE.pubrel, id, REASON.success);
    if (stage === STAGE.free && !failed) {
      // §4.3.3 has a PUBREL answer every PUBREC; MQTT 5 says that the id is not known.
      this.shared.writer.answer(link, FIRST_BYTE.pubrel, id, REASON.packetIdNotFound);
    }
    if (inflight === null || stage !== STAGE.sent2) return;
    const entry = inflight.entryOf(id);
    const stored = owner.persistent && entry !== null;
    inflight.settle(id);
    if (failed) {
      inflight.free(id);
      if (stored) owner.forgetSent(id);
      if (this.starved) this.fed();
    } else if (stored) {
      inflight.setStage(id, STAGE.releasing);
      owner.storeReleased(id);
    } else {
      inflight.setStage(id, STAGE.released);
      this.shared.writer.answer(link, FIRST_BYTE.pubrel, id, REASON.success);
    }
    if (entry !== null) link.core.acknowledge(entry);
  }

  /** PUBCOMP. */
  completed(id: number): void {
    const { inflight, owner } = this;
    if (inflight === null || inflight.stageOf(id) !== STAGE.released) return;
    inflight.free(id);
    if (owner.persistent) owner.forgetSent(id);
    if (this.starved) this.fed();
  }

  // What the store has done.

  /** The id of a QoS 2 delivery is on disk: it may leave. */
  stored(id: number): void {
    const { link, inflight } = this;
    const waiting = this.waiting?.get(id);
    if (link === null || inflight === null || waiting === undefined) return;
    this.waiting!.delete(id);
    if (isRefused(inflight.entryOf(id)!)) {
      this.giveUp(link, inflight, id);
      return;
    }
    inflight.setStage(id, STAGE.sent2);
    const { message, terms, duplicate } = waiting;
    const retain = isRetained(message, terms);
    if (this.shared.writer.publish(link, message, publishByte(2, retain, duplicate), id, terms.subscriptionIds)) return;
    this.giveUp(link, inflight, id);
  }

  /** A QoS 2 delivery will not be made: it is as if it had been. */
  private giveUp(link: SessionLink, inflight: Inflight, id: number): void {
    const entry = inflight.entryOf(id)!;
    inflight.free(id);
    this.owner.forgetSent(id);
    link.core.acknowledge(entry);
    if (this.starved) this.fed();
  }

  /** The disk is full: the entry goes back, to be tried again, unless it was refused itself: then it never happened. */
  notStored(id: number): void {
    const { link, inflight } = this;
    if (link === null || inflight === null || !this.waiting?.delete(id)) return;
    const entry = inflight.entryOf(id)!;
    if (isRefused(entry)) {
      this.giveUp(link, inflight, id);
      return;
    }
    inflight.free(id);
    link.core.requeueAll([entry]);
    if (this.starved) this.fed();
  }

  releaseStored(id: number): void {
    const { link, inflight } = this;
    if (inflight === null || inflight.stageOf(id) !== STAGE.releasing) return;
    inflight.setStage(id, STAGE.released);
    if (link !== null) this.shared.writer.answer(link, FIRST_BYTE.pubrel, id, REASON.success);
  }

  /** Exactly once: under the id that the entry had before, or a new one. */
  private deliverOnce(entry: QueueEntry, message: Message, terms: Terms, known: number): void {
    const link = this.link!;
    const inflight = (this.inflight ??= new Inflight());
    const recalled = known === 0 ? this.recall(entry) : known;
    if (recalled === 0 && isExpired(message, this.shared.turn.now)) {
      link.core.acknowledge(entry);
      return;
    }
    const duplicate = recalledStored(recalled);
    let id = recalledId(recalled);
    const stage = this.owner.persistent && !duplicate ? STAGE.storing : STAGE.sent2;
    if (id === 0) id = inflight.add(entry, stage);
    else inflight.restore(id, entry, stage);
    if (stage === STAGE.storing) {
      (this.waiting ??= new PacketIdMap()).set(id, { message, terms, duplicate });
      this.owner.storeSent(id, entry);
      return;
    }
    const retain = isRetained(message, terms);
    if (this.shared.writer.publish(link, message, publishByte(2, retain, duplicate), id, terms.subscriptionIds)) return;
    inflight.free(id);
    if (this.owner.persistent) this.owner.forgetSent(id);
    link.core.acknowledge(entry);
  }

  /** What the session knows of an entry that comes; ids whose entries will not come any more are released. */
  private recall(entry: QueueEntry): number {
    const gone: number[] = [];
    const recalled = this.inflight!.recall(entry.queue.id, entry.seq, gone);
    for (const id of gone) this.release(id);
    return recalled;
  }

  /** Its entry is gone (expired, dropped), but the client may have its PUBLISH: the exchange is ended all the same. */
  private release(id: number): void {
    const inflight = this.inflight!;
    if (this.owner.persistent) {
      inflight.returned(id, STAGE.releasing);
      this.owner.storeReleased(id);
    } else {
      inflight.returned(id, STAGE.released);
      this.shared.writer.answer(this.link!, FIRST_BYTE.pubrel, id, REASON.success);
    }
  }

  /** Sends what is this session's to complete, as far as the client takes it now. */
  private drainHeld(): void {
    const { held, link } = this;
    if (held === null || link === null || !this.started) return;
    const room = link.receiveMaximum - (this.inflight?.out ?? 0);
    this.starved ||= held.length > room;
    const ready = held.splice(0, Math.max(room, 0));
    if (held.length === 0) this.held = null;
    for (const { entry, message } of ready) this.deliverOnce(entry, message, ANY_TERMS, 0);
  }

  /** There is room again. */
  private fed(): void {
    this.starved = false;
    this.drainHeld();
    this.feed?.resume();
    this.own?.resume();
    if (this.groups !== null) for (const consumer of this.groups.keys()) consumer.resume();
  }

  /**
   * The terms under which an entry that was read back from disk is sent: those of the subscriptions that select it now.
   * Where none does any more it is sent all the same, as it was published.
   */
  private termsOf(consumer: Consumer, message: Message): Terms {
    const topic = swapSeparators(message.routingKey);
    let terms: Terms | null = null;
    for (const binding of consumer.queue.bindings) {
      if (binding.dialect !== 'mqtt' || !filterMatches(swapSeparators(binding.routingKey), topic)) continue;
      terms = terms === null ? binding.terms : mergeTerms(terms, binding.terms);
    }
    return terms ?? ANY_TERMS;
  }
}
