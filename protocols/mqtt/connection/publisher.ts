// Publishes the messages of one client: from PUBLISH packets to the core, and from the core's confirms to PUBACK and PUBREC.
// Made with the connection's first PUBLISH. `publish` is the hot path of the front-end and allocates only the message.
// Acknowledgements are sent only by the confirm ring, so they keep the publisher's order and wait for the commit of what
// must be durable, including the packet id of QoS 2 if the session is persistent. Called by conversation.ts.

import { BrokerError } from '../../../src/core/errors.ts';
import { isBrokerTopic } from '../../../src/core/exchange/retainer.ts';
import { Message, NEVER } from '../../../src/core/message/message.ts';
import { NO_CODEC } from '../../../src/core/message/properties.ts';
import { PUBLISH } from '../../../src/core/session/publish-path.ts';
import { PublisherThrottle } from '../../../src/core/session/publisher-throttle.ts';
import type { Session } from '../../../src/core/session/session.ts';
import { ConfirmRing, type ConfirmSink } from '../../../src/core/turn/confirms.ts';
import type { ReadGate } from '../../../src/net/read-gate.ts';
import type { MqttContext } from '../context.ts';
import { checkResponseTopic } from '../packet/connect-packet.ts';
import { MalformedPacket, refusalReasonOf } from '../packet/errors.ts';
import { NEXT, type Next } from '../packet/framer.ts';
import { FIRST_BYTE } from '../packet/packet-types.ts';
import type { Destination } from '../packet/packet-writer.ts';
import { PROPERTY } from '../packet/properties.ts';
import { isKeepable, keptBlock } from '../packet/property-block.ts';
import { REASON, type Reason } from '../packet/reason-codes.ts';
import { ClientAliases } from '../packet/topic-aliases.ts';
import type { MqttSession } from '../session/session.ts';
import { isReplyKey, queueOfReplyTopic } from '../topic/reply-topics.ts';
import { swapSeparators } from '../topic/topics.ts';

const NO_BYTES = Buffer.alloc(0);
/** A tag of the confirm ring is packet id + QOS_2_TAG at QoS 2 + reason code of the answer × REASON_FACTOR. */
const QOS_2_TAG = 0x10000;
const REASON_FACTOR = 0x20000;
/** The core refused the publish: `refusal` has the reason code, which an MQTT 5 client is sent. */
const DROPPED = -1;

/** What a publisher needs of its connection. */
export interface PublishingConnection extends Destination {
  readonly gate: ReadGate;
  readonly core: Session;
  isClosed(): boolean;
  /** Pauses input until `work` is done. */
  suspend(work: Promise<void>): Next;
  /** A message was not stored: closes the connection, because up to 3.1.1 PUBACK has no reason code. */
  notStored(): void;
  /** A fault of ours: the connection ends at once. */
  broken(): void;
}

export class Publisher implements ConfirmSink {
  /** Slows the client down while its receivers lag. */
  readonly throttle: PublisherThrottle;
  private readonly connection: PublishingConnection;
  private readonly session: MqttSession;
  private readonly context: MqttContext;
  /** Made with the first publish at QoS > 0. */
  private ring: ConfirmRing | null;
  /** The slot of a publish that the core has answered with `pending`, or -1. */
  private openSlot: number;
  /** The client's topic aliases; made with the first. */
  private aliases: ClientAliases | null;
  /** QoS 1 and 2 publishes of an MQTT 5 client without PUBACK or PUBCOMP. */
  private outstanding: number;
  /** The reason code of the last DROPPED publish. */
  private refusal: Reason;
  /** That a retained message was over a limit was logged; a counter has how many. */
  private retainLimitLogged: boolean;

  constructor(connection: PublishingConnection, session: MqttSession, context: MqttContext) {
    this.throttle = new PublisherThrottle(context.turn, connection.gate);
    this.connection = connection;
    this.session = session;
    this.context = context;
    this.ring = null;
    this.openSlot = -1;
    this.aliases = null;
    this.outstanding = 0;
    this.refusal = REASON.success;
    this.retainLimitLogged = false;
  }

  /** Memory of the client's topic aliases. */
  get aliasBytes(): number {
    return this.aliases === null ? 0 : this.aliases.heldBytes;
  }

  /** A PUBLISH up to 3.1.1. Throws MalformedPacket, and BrokerError if a refusal closes the connection. */
  publish(buffer: Buffer, start: number, body: number, end: number): Next {
    const { turn, options, messageBytes, codecs } = this.context;
    const { reader, topicKeys, encoder, forms } = codecs;
    reader.read(buffer, buffer[start]!, body, end);
    const { qos, packetId, payloadStart, retain } = reader;
    this.throttle.published++;
    if (end - payloadStart > messageBytes) {
      throw new MalformedPacket('a message over the limit', REASON.malformed, 'limits.messageBytes');
    }
    const routingKey = topicKeys.keyOf(buffer, reader.topicStart, reader.topicLength);
    if (qos === 2 && this.openSlot === -1 && !this.isNewQos2(packetId, reader.duplicate)) return NEXT.goOn;
    const message = new Message(
      options.exchange,
      routingKey,
      buffer,
      payloadStart,
      end - payloadStart,
      NO_BYTES,
      0,
      0,
      qos === 2 || retain ? forms.of(qos, retain, 0) : NO_CODEC,
      qos > 0,
      0,
      NEVER,
      turn.now,
    );
    if (isReplyKey(routingKey)) return this.publishMessage(this.toReplyQueue(message), qos, packetId, false);
    encoder.adoptFrame(message, buffer, start, end, qos === 0 ? 0 : payloadStart - 2);
    return this.publishMessage(message, qos, packetId, retain);
  }

  /** A PUBLISH of MQTT 5. Throws MalformedPacket. */
  publish5(buffer: Buffer, start: number, body: number, end: number): Next {
    const { turn, options, messageBytes, limits, codecs } = this.context;
    const { reader, scanner, encoder5, forms } = codecs;
    reader.read5(buffer, buffer[start]!, body, end, scanner);
    const { qos, packetId, payloadStart, retain } = reader;
    this.throttle.published++;
    if (end - payloadStart > messageBytes) {
      throw new MalformedPacket('a message over the limit', REASON.packetTooLarge, 'limits.messageBytes');
    }
    const routingKey = this.keyOf(buffer);
    checkResponseTopic(buffer, scanner, limits);
    if (qos === 2 && this.openSlot === -1 && !this.isNewQos2(packetId, reader.duplicate)) return NEXT.goOn;
    if (qos === 1 && this.openSlot === -1) this.requireReceiveMaximum();
    if (qos > 0 && this.openSlot === -1) this.outstanding++;
    const kept = isKeepable(buffer, scanner);
    const block = kept ? buffer : keptBlock(buffer, scanner);
    const blockStart = kept ? scanner.start : 0;
    const blockBytes = kept ? scanner.end - scanner.start : block.length;
    const expirySeconds = scanner.number(PROPERTY.messageExpiry, -1);
    const message = new Message(
      options.exchange,
      routingKey,
      buffer,
      payloadStart,
      end - payloadStart,
      block,
      blockStart,
      blockBytes,
      forms.of(qos, retain, blockBytes),
      qos > 0,
      0,
      expirySeconds === -1 ? NEVER : expirySeconds * 1000,
      turn.now,
    );
    if (isReplyKey(routingKey)) return this.publishMessage(this.toReplyQueue(message), qos, packetId, false);
    // A packet with a topic alias or a message expiry cannot be forwarded as it arrived: the alias is the publisher's, and
    // the expiry is counted down.
    if (kept && expirySeconds === -1) {
      const idAt = qos === 0 ? 0 : reader.topicStart + reader.topicLength;
      encoder5.adoptFrame(message, buffer, start, end, idAt);
    }
    return this.publishMessage(message, qos, packetId, retain);
  }

  /** A QoS 1 or 2 publish is acknowledged to its end: the client may send one more. */
  completed(): void {
    if (this.outstanding > 0) this.outstanding--;
  }

  confirmFailed(): void {
    this.connection.broken();
  }

  confirmed(ring: ConfirmRing, from: number, to: number, ok: boolean): void {
    const live = !this.connection.isClosed();
    const { v5 } = this.connection;
    if (!ok && !v5 && this.context.options.overflowedPublish === 'drop' && ring.onlyDeclined(from)) {
      this.confirmed(ring, from, to, true);
      return;
    }
    for (let slot = from; slot <= to; slot++) {
      const tag = ring.tagAt(slot) as number;
      const reason = (ok ? Math.floor(tag / REASON_FACTOR) : REASON.quotaExceeded) as Reason;
      const accepted = reason < REASON.unspecified;
      const id = tag & 0xffff;
      if (!accepted && !v5) {
        if ((tag & QOS_2_TAG) !== 0) this.session.settled(id, false, false, reason);
        continue;
      }
      if ((tag & QOS_2_TAG) !== 0) {
        this.session.settled(id, accepted, live, reason);
        if (!accepted) this.completed();
      } else {
        this.completed();
        if (live) this.acknowledge(id, reason);
      }
    }
    if (!ok && live && !v5) this.connection.notStored();
  }

  /** The connection closed: refuses a publish that is still pending. */
  abandon(): void {
    this.throttle.end();
    if (this.openSlot !== -1) this.ring!.refuse(this.openSlot);
    this.openSlot = -1;
  }

  /** Publishes the message of either version; its answer goes into the ring. */
  private publishMessage(message: Message, qos: number, packetId: number, retain: boolean): Next {
    const { turn } = this.context;
    let outcome: number;
    if (qos === 0) {
      outcome = this.publishToCore(message, null, 0);
      if (retain && outcome !== PUBLISH.pending && outcome !== DROPPED) this.retain(message, null, 0);
    } else {
      const ring = (this.ring ??= new ConfirmRing(this, turn));
      const slot = this.openSlot === -1 ? ring.open(qos === 1 ? packetId : packetId + QOS_2_TAG) : this.openSlot;
      this.openSlot = slot;
      outcome = this.publishToCore(message, ring, slot);
      if (outcome !== PUBLISH.pending) {
        if (retain && outcome !== DROPPED) this.retain(message, ring, slot);
        this.openSlot = -1;
        if (outcome !== PUBLISH.routed) this.setReason(ring, slot, outcome);
        if (qos === 2 && outcome !== DROPPED && this.session.persistent) {
          this.session.storeReceived(packetId, ring, slot);
        }
        ring.settle(slot);
      }
    }
    if (outcome === PUBLISH.pending) {
      this.connection.suspend(this.connection.core.ready());
      return NEXT.retry;
    }
    // The message may have been delivered to this connection, and closed it.
    return this.connection.isClosed() ? NEXT.stop : NEXT.goOn;
  }

  /** Sets the reason code of the answer. Up to 3.1.1 there is none. */
  private setReason(ring: ConfirmRing, slot: number, outcome: number): void {
    if (!this.connection.v5) return;
    const reason = outcome === DROPPED ? this.refusal : REASON.noMatchingSubscribers;
    ring.retag(slot, (ring.tagAt(slot) as number) + reason * REASON_FACTOR);
  }

  /** Passes the message to the core. A refusal closes the connection or drops the message, as configured. */
  private publishToCore(message: Message, ring: ConfirmRing | null, slot: number): number {
    try {
      return this.connection.core.publish(message, ring, slot);
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      // A publish to `$SYS` is only dropped, as in Mosquitto.
      const closes = this.context.options.refusedPublish === 'close' && !isBrokerTopic(message.routingKey);
      if (!this.connection.v5 && closes) throw error;
      this.refusal = refusalReasonOf(error.kind);
      return DROPPED;
    } finally {
      this.context.codecs.encoder.clearFrame();
      this.context.codecs.encoder5.clearFrame();
    }
  }

  /** The routing key of the PUBLISH that was read last, from its topic or its topic alias. */
  private keyOf(buffer: Buffer): string {
    const { reader, scanner, topicKeys } = this.context.codecs;
    const alias = scanner.number(PROPERTY.topicAlias, 0);
    if (alias === 0) {
      if (reader.topicLength === 0) throw new MalformedPacket('neither topic nor alias', REASON.protocolError);
      return topicKeys.keyOf(buffer, reader.topicStart, reader.topicLength);
    }
    this.aliases ??= new ClientAliases(this.context.limits.topicAliases);
    if (reader.topicLength === 0) return this.aliases.get(alias);
    const key = topicKeys.keyOf(buffer, reader.topicStart, reader.topicLength);
    this.aliases.set(alias, key);
    return key;
  }

  /** Addresses a publish to a reply topic to the queue that the topic stands for. */
  private toReplyQueue(message: Message): Message {
    const queue = queueOfReplyTopic(swapSeparators(message.routingKey));
    return queue === null ? message : message.copy({ exchange: '', routingKey: queue });
  }

  /** Keeps the message as retained. A QoS 1 or 2 publish is acknowledged only when that is committed as well. */
  private retain(message: Message, ring: ConfirmRing | null, slot: number): void {
    const { core } = this.connection;
    if (!core.retain(message, ring, slot) && !this.retainLimitLogged) {
      this.retainLimitLogged = true;
      this.context.log.warn({ vhost: core.vhost.name }, 'retained message not kept: a limit was reached');
    }
    this.context.turn.begin();
  }

  /**
   * Whether a QoS 2 PUBLISH is new and not repeated. Throws MalformedPacket if a new one is over a limit, before its id is
   * registered.
   */
  private isNewQos2(packetId: number, dup: boolean): boolean {
    if (!this.session.hasReceived(packetId)) {
      if (this.session.unreleased >= this.context.limits.unreleased) {
        throw new MalformedPacket(
          'too many QoS 2 publishes without PUBREL',
          REASON.receiveMaximumExceeded,
          'mqtt.unreleased',
        );
      }
      if (this.connection.v5) this.requireReceiveMaximum();
    }
    return this.session.receiveOnce(packetId, dup);
  }

  /** [MQTT-3.3.4-7]: throws MalformedPacket if the client exceeds the receive maximum that CONNACK announced. */
  private requireReceiveMaximum(): void {
    if (this.outstanding < this.context.limits.publishMaximum) return;
    throw new MalformedPacket(
      'more publishes than the receive maximum allows',
      REASON.receiveMaximumExceeded,
      'mqtt.publishMaximum',
    );
  }

  private acknowledge(packetId: number, reason: Reason): void {
    this.context.writer.acknowledge(this.connection, FIRST_BYTE.puback, packetId, reason);
  }
}
