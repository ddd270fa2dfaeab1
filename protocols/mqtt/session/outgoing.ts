// Deliveries at QoS 1 and 2 that are out with the client of one session: how each goes from its PUBLISH to its end (§4.3),
// under which packet id, and what comes again over the next connection (§4.4).
//
// QoS 2 of a persistent session keeps an order with the store: that an id stands for an entry is committed before its
// PUBLISH leaves, and that the client has it (in the transaction that removes the entry) before its PUBREL. What is
// committed for a connection that has gone meanwhile is told to nobody (see `epoch` in session.ts).

import type { Message } from '../../../src/core/message/message.ts';
import { NEVER_EXPIRES, type QueueEntry, STORE_STATE } from '../../../src/core/queue/queue-entry.ts';
import type { SubscriptionOptions } from '../../../src/core/queue/subscription-options.ts';
import type { MqttContext } from '../context.ts';
import { isExpired, publishByte } from '../packet/encoder-v5.ts';
import { FIRST_BYTE } from '../packet/packet-types.ts';
import { sentRetained } from '../packet/property-codec.ts';
import { REASON, type Reason } from '../packet/reason-codes.ts';
import { Inflight, type Recalled, recalledId, recalledQos2, recalledStored, STAGE } from './inflight.ts';
import { PacketIdMap } from './packet-id-map.ts';
import type { SessionLink } from './session-link.ts';

/** The session whose deliveries they are. */
export interface OutgoingOwner {
  readonly persistent: boolean;
  /** The id of its queue, under which the store knows its packet ids. */
  readonly sessionId: number;
  /** Has the store keep that an id stands for an entry; `stored` or `notStored` follows. */
  storeSent(id: number, entry: QueueEntry): void;
  /** Has it keep that the client has what the id stood for; `releaseStored` follows. */
  storeReleased(id: number): void;
  forgetSent(id: number): void;
}

/** A delivery that waits for its id to be stored. */
interface Waiting {
  readonly message: Message;
  readonly subscriptionOptions: SubscriptionOptions;
}

export class Outgoing {
  private readonly owner: OutgoingOwner;
  private readonly context: MqttContext;
  private readonly inflight: Inflight;
  private link: SessionLink | null;
  /** Made with the first. */
  private waiting: PacketIdMap<Waiting> | null;

  /** `link` is null while the client is away. */
  constructor(owner: OutgoingOwner, context: MqttContext, link: SessionLink | null) {
    this.owner = owner;
    this.context = context;
    this.inflight = new Inflight();
    this.link = link;
    this.waiting = null;
  }

  /** What an earlier start left of an id. */
  recover(id: number, released: boolean, queueId: number, seq: number): void {
    this.inflight.recover(id, released ? STAGE.released : STAGE.away, queueId, seq);
  }

  attach(link: SessionLink): void {
    this.link = link;
  }

  /** The client knows that it is connected: what it has begun to release comes first. */
  start(): void {
    for (const id of this.inflight.inStage(STAGE.released)) this.answer(id, REASON.success);
    for (const id of this.inflight.inStage(STAGE.releasing)) this.owner.storeReleased(id);
  }

  /**
   * The connection is gone. Returns what goes back to its queues; `claim` is told of what another queue than the session's
   * own has to keep for it [MQTT-4.8.2-4].
   */
  detach(claim: (entry: QueueEntry) => void): QueueEntry[] {
    const { inflight, owner, link } = this;
    this.link = null;
    this.waiting = null;
    const back: QueueEntry[] = [];
    if (link === null) return back;
    for (const id of inflight.inStage(STAGE.storing)) if (isRefused(inflight.entryOf(id)!)) this.giveUp(link, id);
    // A group that ended took its messages along.
    for (const id of inflight.forsake()) if (owner.persistent) owner.forgetSent(id);
    for (const entry of inflight.drain(owner.sessionId)) {
      const begun = inflight.awaits(entry.queue.id, entry.seq);
      if (begun && entry.queue.id !== owner.sessionId) {
        // A group's message that is on its way at QoS 2 is completed with this client, or with nobody [MQTT-4.8.2-5].
        if (!owner.persistent) {
          link.core.acknowledge(entry);
          continue;
        }
        claim(entry);
      }
      // What was begun does not expire any more (MQTT 5 §3.3.2.3.3).
      if (begun) entry.expiresAt = NEVER_EXPIRES;
      back.push(entry);
    }
    return back;
  }

  /** How many more may be out. */
  get room(): number {
    const { inflight, link } = this;
    return link !== null && inflight.hasRoom ? Math.max(link.receiveMaximum - inflight.out, 0) : 0;
  }

  /** What the session knows of an entry that comes; ids whose entries will not come any more are released. */
  recall(entry: QueueEntry): Recalled {
    return this.inflight.awaitsAny ? this.passed(entry.queue.id, entry.seq) : 0;
  }

  /** Nothing of a queue comes any more up to that number: ids that wait for it are released. What waits for it itself. */
  passed(queueId: number, seq: number): Recalled {
    const gone: Recalled[] = [];
    const recalled = this.inflight.recall(queueId, seq, gone);
    for (const each of gone) this.release(each);
    return recalled;
  }

  /** What was recalled is not sent: its QoS is 0 by now. */
  forget(recalled: Recalled): void {
    this.inflight.free(recalledId(recalled));
  }

  /** QoS 1: under the id that the entry had before, or a new one. */
  deliver(
    entry: QueueEntry,
    message: Message,
    subscriptionOptions: SubscriptionOptions,
    recalled: Recalled,
    duplicate: boolean,
  ): void {
    const { inflight } = this;
    let id = recalledId(recalled);
    if (id === 0) id = inflight.add(entry, STAGE.sent1);
    else inflight.restore(id, entry, STAGE.sent1);
    if (!this.write(message, subscriptionOptions, 1, duplicate, id)) this.end(id, entry);
  }

  /** QoS 2: the same, once. */
  deliverOnce(entry: QueueEntry, message: Message, subscriptionOptions: SubscriptionOptions, recalled: Recalled): void {
    const { inflight, owner } = this;
    if (recalled === 0 && isExpired(message, this.context.turn.now)) {
      this.link!.core.acknowledge(entry);
      return;
    }
    const duplicate = recalledStored(recalled);
    let id = recalledId(recalled);
    const stage = owner.persistent && !duplicate ? STAGE.storing : STAGE.sent2;
    if (id === 0) id = inflight.add(entry, stage);
    else inflight.restore(id, entry, stage);
    if (stage === STAGE.storing) {
      (this.waiting ??= new PacketIdMap()).set(id, { message, subscriptionOptions });
      owner.storeSent(id, entry);
    } else if (!this.write(message, subscriptionOptions, 2, duplicate, id)) this.giveUp(this.link!, id);
  }

  // Acknowledgements of the client. Each says whether there is room for one more.

  /** PUBACK. An id that is not out is ignored: the client may answer a message that expired meanwhile. */
  acknowledged(id: number): boolean {
    const { inflight, link } = this;
    if (link === null || inflight.stageOf(id) !== STAGE.sent1) return false;
    this.end(id, inflight.entryOf(id)!);
    return true;
  }

  /** PUBREC. */
  receivedBy(id: number, failed: boolean): boolean {
    const { inflight, link, owner } = this;
    if (link === null) return false;
    const stage = inflight.stageOf(id);
    if (stage === STAGE.released) this.answer(id, REASON.success);
    // §4.3.3 has a PUBREL answer every PUBREC; MQTT 5 says that the id is not known.
    if (stage === STAGE.free && !failed) this.answer(id, REASON.packetIdNotFound);
    if (stage !== STAGE.sent2) return false;
    const entry = inflight.entryOf(id)!;
    inflight.settle(id);
    if (failed) {
      inflight.free(id);
      if (owner.persistent) owner.forgetSent(id);
    } else if (owner.persistent) {
      inflight.setStage(id, STAGE.releasing);
      owner.storeReleased(id);
    } else {
      inflight.setStage(id, STAGE.released);
      this.answer(id, REASON.success);
    }
    link.core.acknowledge(entry);
    return failed;
  }

  /** PUBCOMP. */
  completed(id: number): boolean {
    const { inflight, owner } = this;
    if (inflight.stageOf(id) !== STAGE.released) return false;
    inflight.free(id);
    if (owner.persistent) owner.forgetSent(id);
    return true;
  }

  // What the store has done. The first two say whether there is room for one more.

  /** The id of a QoS 2 delivery is on disk: it may leave. */
  stored(id: number): boolean {
    const { inflight, link } = this;
    const waiting = this.takeWaiting(id);
    if (waiting === null) return false;
    if (!isRefused(inflight.entryOf(id)!)) {
      inflight.setStage(id, STAGE.sent2);
      if (this.write(waiting.message, waiting.subscriptionOptions, 2, false, id)) return false;
    }
    this.giveUp(link!, id);
    return true;
  }

  /** The disk is full: the entry goes back, to be tried again, unless it was refused itself: then it never happened. */
  notStored(id: number): boolean {
    const { inflight, link, owner } = this;
    if (this.takeWaiting(id) === null) return false;
    const entry = inflight.entryOf(id)!;
    if (isRefused(entry)) this.giveUp(link!, id);
    else {
      inflight.free(id);
      // It may have been written for the connection before.
      owner.forgetSent(id);
      link!.core.requeueAll([entry]);
    }
    return true;
  }

  releaseStored(id: number): void {
    const { inflight, link } = this;
    if (inflight.stageOf(id) !== STAGE.releasing) return;
    inflight.setStage(id, STAGE.released);
    if (link !== null) this.answer(id, REASON.success);
  }

  /** Null where the connection has gone for which it waited. */
  private takeWaiting(id: number): Waiting | null {
    const waiting = this.waiting?.get(id);
    if (this.link === null || waiting === undefined) return null;
    this.waiting!.delete(id);
    return waiting;
  }

  private write(
    message: Message,
    subscriptionOptions: SubscriptionOptions,
    qos: number,
    duplicate: boolean,
    id: number,
  ): boolean {
    const firstByte = publishByte(qos, sentRetained(message, subscriptionOptions), duplicate);
    return this.context.writer.publish(this.link!, message, firstByte, id, subscriptionOptions.subscriptionIds);
  }

  private answer(id: number, reason: Reason): void {
    this.context.writer.answer(this.link!, FIRST_BYTE.pubrel, id, reason);
  }

  /** Nothing is left to be done with an entry. */
  private end(id: number, entry: QueueEntry): void {
    this.inflight.free(id);
    this.link!.core.acknowledge(entry);
  }

  /** A QoS 2 delivery will not be made: it is as if it had been. */
  private giveUp({ core }: SessionLink, id: number): void {
    const { inflight, owner } = this;
    const entry = inflight.entryOf(id)!;
    inflight.free(id);
    if (owner.persistent) owner.forgetSent(id);
    core.acknowledge(entry);
  }

  /** Its entry is gone (expired, dropped): where the client may have its PUBLISH the exchange is ended all the same. */
  private release(recalled: Recalled): void {
    const { inflight, owner } = this;
    const id = recalledId(recalled);
    if (!recalledStored(recalled)) {
      inflight.free(id);
      // It may have been written for the connection before.
      if (owner.persistent && recalledQos2(recalled)) owner.forgetSent(id);
    } else if (owner.persistent) {
      inflight.returned(id, STAGE.releasing);
      owner.storeReleased(id);
    } else {
      inflight.returned(id, STAGE.released);
      this.answer(id, REASON.success);
    }
  }
}

/** Whether a full disk refused an entry before it was sent. A retained message comes again (retained-feed.ts). */
function isRefused({ storeState, queue, message }: QueueEntry): boolean {
  return storeState === STORE_STATE.none && queue.persisted && message.persistent;
}
