// The publishing half of a connection, made with its first PUBLISH: from the packet's bytes to the core, and from the
// core's confirms to PUBACK and PUBREC. `publish` is the hot path of the whole front-end: one message object is all that
// it allocates. Acknowledgements leave through the confirm ring only, so they keep the publisher's order and wait for
// the commit of what must be durable.

import { ConfirmRing, type ConfirmSink } from '../../src/core/confirms.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { Message, NEVER } from '../../src/core/message.ts';
import { NO_CODEC } from '../../src/core/properties.ts';
import { PublisherRest } from '../../src/core/publisher-rest.ts';
import { PUBLISH, type Session } from '../../src/core/session.ts';
import type { Outbox } from '../../src/net/outbox.ts';
import type { Transport } from '../../src/net/transport.ts';
import type { Will } from './control.ts';
import { MalformedPacket } from './errors.ts';
import { NEXT, type Next } from './framer.ts';
import { FIRST_BYTE } from './packet-types.ts';
import { writeAck } from './publish.ts';
import type { MqttSession } from './session.ts';
import type { MqttShared } from './shared.ts';
import { swapSeparators } from './topics.ts';

const NO_BYTES = Buffer.alloc(0);
/** Marks a packet id in the confirm ring as one of QoS 2. */
const QOS_2_TAG = 0x10000;
/** The core refused the publish and the configuration says that it is dropped. */
const DROPPED = -1;

/** The connection that publishes. */
export interface PublishingConnection {
  readonly transport: Transport;
  readonly outbox: Outbox;
  readonly core: Session;
  isClosed(): boolean;
  /** Reading goes on unless something else waits. */
  readOn(): void;
  /** Input waits until `work` is done. */
  suspend(work: Promise<void>): Next;
  /** A message was not stored: the connection closes, for 3.1.1 has no other way to say so. */
  notStored(): void;
}

export class Publisher implements ConfirmSink {
  /** Keeps it from flooding its receivers. */
  readonly rest: PublisherRest;
  private readonly connection: PublishingConnection;
  private readonly session: MqttSession;
  private readonly shared: MqttShared;
  private readonly vhost: string;
  /** Made with the first publish at QoS > 0. */
  private ring: ConfirmRing | null;
  /** The slot of a publish that waits for its permission, or -1. */
  private openSlot: number;

  constructor(connection: PublishingConnection, session: MqttSession, shared: MqttShared) {
    this.rest = new PublisherRest(shared.turn, () => {
      if (this.rest.resting) connection.transport.pause();
      else connection.readOn();
    });
    this.connection = connection;
    this.session = session;
    this.shared = shared;
    this.vhost = connection.core.vhost.name;
    this.ring = null;
    this.openSlot = -1;
  }

  /** One PUBLISH. Throws MalformedPacket, and BrokerError where a refusal closes the connection. */
  publish(buffer: Buffer, start: number, body: number, end: number): Next {
    const { reader, topicKeys, turn, encoder, exchange } = this.shared;
    reader.read(buffer, buffer[start]!, body, end);
    const { qos, packetId, payloadStart, retain } = reader;
    this.rest.published++;
    if (end - payloadStart > this.shared.context.messageBytes) throw new MalformedPacket('a message over the limit');
    const routingKey = topicKeys.keyOf(buffer, reader.topicStart, reader.topicLength);
    if (qos === 2 && this.openSlot === -1 && !this.firstTime(packetId)) return NEXT.goOn;
    const message = new Message(
      exchange,
      routingKey,
      buffer,
      payloadStart,
      end - payloadStart,
      NO_BYTES,
      0,
      0,
      NO_CODEC,
      qos > 0,
      0,
      NEVER,
      turn.now,
    );
    let outcome: number;
    if (qos === 0) {
      encoder.offer(message, buffer, start, end, 0);
      outcome = this.offer(message, null, 0);
    } else {
      const ring = (this.ring ??= new ConfirmRing(this, turn));
      const slot = this.openSlot === -1 ? ring.open(qos === 1 ? packetId : packetId + QOS_2_TAG) : this.openSlot;
      this.openSlot = slot;
      encoder.offer(message, buffer, start, end, payloadStart - 2);
      outcome = this.offer(message, ring, slot);
      if (outcome !== PUBLISH.pending) {
        this.openSlot = -1;
        ring.settle(slot);
      }
    }
    if (outcome === PUBLISH.pending) {
      this.connection.suspend(this.connection.core.ready());
      return NEXT.retry;
    }
    if (retain && outcome !== DROPPED) this.retain(message);
    // A message may have come back to this very connection and closed it.
    return this.connection.isClosed() ? NEXT.stop : NEXT.goOn;
  }

  /** PUBREL: the packet id may be used again; it is answered whether it was known or not (§4.3.3). */
  released(packetId: number): void {
    this.session.released(packetId);
    this.write(FIRST_BYTE.pubcomp, packetId);
  }

  confirmed(ring: ConfirmRing, from: number, to: number, ok: boolean): void {
    const live = !this.connection.isClosed();
    for (let slot = from; slot <= to; slot++) {
      const tag = ring.tagAt(slot) as number;
      if (tag >= QOS_2_TAG) this.session.settled(tag - QOS_2_TAG, ok, live);
      else if (ok && live) this.write(FIRST_BYTE.puback, tag);
    }
    if (!ok && live) this.connection.notStored();
  }

  /** The connection is gone: a publish that still waited never happened. */
  abandon(): void {
    this.rest.end();
    if (this.openSlot !== -1) this.ring!.refuse(this.openSlot);
    this.openSlot = -1;
  }

  /** Publishes through the one door; a refusal closes the connection or drops the message, as configured. */
  private offer(message: Message, ring: ConfirmRing | null, slot: number): number {
    try {
      return this.connection.core.publish(message, ring, slot);
    } catch (error) {
      if (!(error instanceof BrokerError) || this.shared.options.unauthorizedPublish === 'close') throw error;
      return DROPPED;
    } finally {
      this.shared.encoder.done();
    }
  }

  private retain(message: Message): void {
    const { retained, log } = this.shared;
    if (retained.set(this.vhost, message)) return;
    log.warn({ vhost: this.vhost, refused: retained.refused }, 'retained message not kept: a limit was reached');
  }

  /** Whether a QoS 2 PUBLISH is not one that was sent again. */
  private firstTime(packetId: number): boolean {
    if (this.session.unreleased >= this.shared.limits.unreleased) {
      throw new MalformedPacket('too many QoS 2 publishes without PUBREL');
    }
    return this.session.receiveOnce(packetId);
  }

  private write(firstByte: number, packetId: number): void {
    const { outbox } = this.connection;
    outbox.reserve(4);
    outbox.position = writeAck(outbox.buffer, outbox.position, firstByte, packetId);
  }
}

/** Publishes a will. Null where that was done at once; else it resolves when it was. */
export function publishWill(will: Will, core: Session, shared: MqttShared): Promise<void> | null {
  const { payload, qos } = will;
  const routingKey = swapSeparators(will.topic);
  const message = new Message(
    shared.exchange,
    routingKey,
    payload,
    0,
    payload.length,
    NO_BYTES,
    0,
    0,
    NO_CODEC,
    qos > 0,
    0,
    NEVER,
    shared.turn.now,
  );
  try {
    if (core.publish(message, null, 0) === PUBLISH.pending) {
      return core.ready().then(() => publishWill(will, core, shared) ?? undefined);
    }
    if (will.retain) shared.retained.set(core.vhost.name, message);
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    shared.log.info({ user: core.identity.user, topic: will.topic, error: error.message }, 'will refused');
  }
  return null;
}
