// The QoS 1 and 2 deliveries of one session that its client has not acknowledged: each from PUBLISH to PUBACK or PUBCOMP
// (§4.3), its packet id, and its redelivery over the next connection (§4.4). Called by delivery.ts.
//
// At QoS 2 a persistent session waits for two commits. PUBLISH is sent after the commit of the packet id and its entry.
// PUBREL is sent after the commit that removes the entry and records that the client has the message.
// session.ts discards completions of the store that belong to an earlier connection (see `epoch` there).

import type { Message } from '../../../src/core/message/message.ts';
import { type QueueEntry, STORE_STATE } from '../../../src/core/queue/queue-entry.ts';
import type { SubscriptionOptions } from '../../../src/core/queue/subscription-options.ts';
import type { MqttContext } from '../context.ts';
import { isExpired, publishByte } from '../packet/encoder-v5.ts';
import { FIRST_BYTE } from '../packet/packet-types.ts';
import { sentRetained } from '../packet/property-codec.ts';
import { REASON, type Reason } from '../packet/reason-codes.ts';
import { Inflight, isQos2Redelivery, isStoredRedelivery, type Redelivery, redeliveryId, STAGE } from './inflight.ts';
import { PacketIdMap } from './packet-id-map.ts';
import type { SessionConnection } from './session-connection.ts';

/** What outgoing deliveries need of their session. */
export interface OutgoingSession {
  readonly persistent: boolean;
  /** The id of its queue: the key of its packet ids in the store. */
  readonly sessionId: number;
  /** Stores that a packet id belongs to an entry; calls `stored` or `notStored` when committed. */
  storeSent(id: number, entry: QueueEntry): void;
  /** Stores that PUBREC came for a packet id; calls `releaseStored` when committed. */
  storeReleased(id: number): void;
  forgetSent(id: number): void;
}

/** A QoS 2 delivery whose packet id is being stored. */
interface Waiting {
  readonly message: Message;
  readonly options: SubscriptionOptions;
}

export class Outgoing {
  private readonly session: OutgoingSession;
  private readonly context: MqttContext;
  private readonly inflight: Inflight;
  private connection: SessionConnection | null;
  /** By packet id; made with the first. */
  private waiting: PacketIdMap<Waiting> | null;

  /** `connection` is null while the client is away. */
  constructor(session: OutgoingSession, context: MqttContext, connection: SessionConnection | null) {
    this.session = session;
    this.context = context;
    this.inflight = new Inflight();
    this.connection = connection;
    this.waiting = null;
  }

  /** Restores a packet id after a restart. */
  recover(id: number, released: boolean, queueId: number, seq: number): void {
    this.inflight.recover(id, released ? STAGE.released : STAGE.away, queueId, seq);
  }

  attach(connection: SessionConnection): void {
    this.connection = connection;
  }

  /** CONNACK was sent: sends PUBREL again for QoS 2 deliveries that were being released [MQTT-4.4.0-1]. */
  start(): void {
    for (const id of this.inflight.inStage(STAGE.released)) this.pubrel(id, REASON.success);
    for (const id of this.inflight.inStage(STAGE.releasing)) this.session.storeReleased(id);
  }

  /**
   * The connection closed. Returns the entries to requeue. Calls `claim` for entries of a group's queue that this session
   * must complete when it is back [MQTT-4.8.2-4].
   */
  detach(claim: (entry: QueueEntry) => void): QueueEntry[] {
    const { inflight, session, connection } = this;
    this.connection = null;
    this.waiting = null;
    const back: QueueEntry[] = [];
    if (connection === null) return back;
    for (const id of inflight.inStage(STAGE.storing))
      if (isRefused(inflight.entryOf(id)!)) this.discard(connection, id);
    for (const id of inflight.dropDeletedQueues()) if (session.persistent) session.forgetSent(id);
    for (const entry of inflight.drain(session.sessionId)) {
      const wasSent = inflight.awaitsRedelivery(entry.queue.id, entry.seq);
      if (wasSent && entry.queue.id !== session.sessionId) {
        // A QoS 2 message of a group that was sent to this client must not go to another member [MQTT-4.8.2-5].
        if (!session.persistent) {
          connection.core.acknowledge(entry);
          continue;
        }
        claim(entry);
      }
      // A message that was sent does not expire any more (MQTT 5 §3.3.2.3.3).
      if (wasSent) this.context.system.removeExpiry(entry);
      back.push(entry);
    }
    return back;
  }

  /** How many more messages the client's receive maximum allows. */
  get room(): number {
    const { inflight, connection } = this;
    return connection !== null && inflight.hasRoom ? Math.max(connection.receiveMaximum - inflight.out, 0) : 0;
  }

  /** Takes what is known of a delivered entry from an earlier connection; releases ids whose entries are gone. */
  takeRedelivery(entry: QueueEntry): Redelivery {
    return this.inflight.awaitsRedeliveries ? this.releaseUpTo(entry.queue.id, entry.seq) : 0;
  }

  /**
   * Entries come in order, so an id that still waits for an entry below `seq` waits in vain: releases those ids. Returns
   * the redelivery state of `seq`.
   */
  releaseUpTo(queueId: number, seq: number): Redelivery {
    const gone: Redelivery[] = [];
    const redelivery = this.inflight.takeRedelivery(queueId, seq, gone);
    for (const each of gone) this.release(each);
    return redelivery;
  }

  /** Frees the id of an entry that is now delivered at QoS 0. */
  free(redelivery: Redelivery): void {
    this.inflight.free(redeliveryId(redelivery));
  }

  /** Sends at QoS 1, under the id that the entry had before or a new one. */
  deliver(
    entry: QueueEntry,
    message: Message,
    options: SubscriptionOptions,
    redelivery: Redelivery,
    duplicate: boolean,
  ): void {
    const { inflight } = this;
    let id = redeliveryId(redelivery);
    if (id === 0) id = inflight.add(entry, STAGE.sent1);
    else inflight.restore(id, entry, STAGE.sent1);
    if (!this.write(message, options, 1, duplicate, id)) this.end(id, entry);
  }

  /** Sends at QoS 2, once the store has the packet id if the session is persistent. */
  deliverOnce(entry: QueueEntry, message: Message, options: SubscriptionOptions, redelivery: Redelivery): void {
    const { inflight, session } = this;
    if (redelivery === 0 && isExpired(message, this.context.turn.now)) {
      this.connection!.core.acknowledge(entry);
      return;
    }
    const duplicate = isStoredRedelivery(redelivery);
    let id = redeliveryId(redelivery);
    const stage = session.persistent && !duplicate ? STAGE.storing : STAGE.sent2;
    if (id === 0) id = inflight.add(entry, stage);
    else inflight.restore(id, entry, stage);
    if (stage === STAGE.storing) {
      (this.waiting ??= new PacketIdMap()).set(id, { message, options });
      session.storeSent(id, entry);
    } else if (!this.write(message, options, 2, duplicate, id)) this.discard(this.connection!, id);
  }

  // Acknowledgements from the client. Each returns whether one more message may be sent.

  /** PUBACK. An unknown id is ignored: the message may have expired meanwhile. */
  puback(id: number): boolean {
    const { inflight, connection } = this;
    if (connection === null || inflight.stageOf(id) !== STAGE.sent1) return false;
    this.end(id, inflight.entryOf(id)!);
    return true;
  }

  /** PUBREC. */
  pubrec(id: number, failed: boolean): boolean {
    const { inflight, connection, session } = this;
    if (connection === null) return false;
    const stage = inflight.stageOf(id);
    if (stage === STAGE.released) this.pubrel(id, REASON.success);
    // §4.3.3: a PUBREL answers every PUBREC; in MQTT 5 with reason `packet identifier not found`.
    if (stage === STAGE.free && !failed) this.pubrel(id, REASON.packetIdNotFound);
    if (stage !== STAGE.sent2) return false;
    const entry = inflight.entryOf(id)!;
    inflight.removeEntry(id);
    if (failed) {
      inflight.free(id);
      if (session.persistent) session.forgetSent(id);
    } else if (session.persistent) {
      inflight.setStage(id, STAGE.releasing);
      session.storeReleased(id);
    } else {
      inflight.setStage(id, STAGE.released);
      this.pubrel(id, REASON.success);
    }
    connection.core.acknowledge(entry);
    return failed;
  }

  /** PUBCOMP. */
  pubcomp(id: number): boolean {
    const { inflight, session } = this;
    if (inflight.stageOf(id) !== STAGE.released) return false;
    inflight.free(id);
    if (session.persistent) session.forgetSent(id);
    return true;
  }

  // Completions of the store. `stored` and `notStored` return whether one more message may be sent.

  /** The packet id of a QoS 2 delivery is committed: sends it. */
  stored(id: number): boolean {
    const { inflight, connection } = this;
    const waiting = this.takeWaiting(id);
    if (waiting === null) return false;
    if (!isRefused(inflight.entryOf(id)!)) {
      inflight.setStage(id, STAGE.sent2);
      if (this.write(waiting.message, waiting.options, 2, false, id)) return false;
    }
    this.discard(connection!, id);
    return true;
  }

  /** The disk is full. Requeues the entry to try again, unless the disk refused the entry as well: then drops it. */
  notStored(id: number): boolean {
    const { inflight, connection, session } = this;
    if (this.takeWaiting(id) === null) return false;
    const entry = inflight.entryOf(id)!;
    if (isRefused(entry)) this.discard(connection!, id);
    else {
      inflight.free(id);
      // An earlier connection may have stored it.
      session.forgetSent(id);
      connection!.core.requeueAll([entry]);
    }
    return true;
  }

  releaseStored(id: number): void {
    const { inflight, connection } = this;
    if (inflight.stageOf(id) !== STAGE.releasing) return;
    inflight.setStage(id, STAGE.released);
    if (connection !== null) this.pubrel(id, REASON.success);
  }

  /** Takes the delivery that waits for its id to be stored. Null if its connection has closed since. */
  private takeWaiting(id: number): Waiting | null {
    const waiting = this.waiting?.get(id);
    if (this.connection === null || waiting === undefined) return null;
    this.waiting!.delete(id);
    return waiting;
  }

  private write(message: Message, options: SubscriptionOptions, qos: number, duplicate: boolean, id: number): boolean {
    const firstByte = publishByte(qos, sentRetained(message, options), duplicate);
    return this.context.writer.publish(this.connection!, message, firstByte, id, options.subscriptionIds);
  }

  private pubrel(id: number, reason: Reason): void {
    this.context.writer.acknowledge(this.connection!, FIRST_BYTE.pubrel, id, reason);
  }

  /** Acknowledges an entry at the core and frees its id. */
  private end(id: number, entry: QueueEntry): void {
    this.inflight.free(id);
    this.connection!.core.acknowledge(entry);
  }

  /** Ends a QoS 2 delivery that is not sent: acknowledges its entry and frees its id. */
  private discard({ core }: SessionConnection, id: number): void {
    const { inflight, session } = this;
    const entry = inflight.entryOf(id)!;
    inflight.free(id);
    if (session.persistent) session.forgetSent(id);
    core.acknowledge(entry);
  }

  /** The entry of an id is gone. If the client may have its PUBLISH, sends PUBREL to end the exchange; else frees the id. */
  private release(redelivery: Redelivery): void {
    const { inflight, session } = this;
    const id = redeliveryId(redelivery);
    if (!isStoredRedelivery(redelivery)) {
      inflight.free(id);
      // An earlier connection may have stored it.
      if (session.persistent && isQos2Redelivery(redelivery)) session.forgetSent(id);
    } else if (session.persistent) {
      inflight.endRedelivery(id, STAGE.releasing);
      session.storeReleased(id);
    } else {
      inflight.endRedelivery(id, STAGE.released);
      this.pubrel(id, REASON.success);
    }
  }
}

/** Whether a full disk refused to store an entry. retained-feed.ts offers a refused retained message again. */
function isRefused({ storeState, queue, message }: QueueEntry): boolean {
  return storeState === STORE_STATE.none && queue.persisted && message.persistent;
}
