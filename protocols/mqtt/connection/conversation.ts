// Dispatches the packets of a connected client: each becomes a call of its session or of its publisher, which is made with
// the first PUBLISH. A packet that a client may not send ends in MalformedPacket. Called by connection.ts.

import type { MqttContext } from '../context.ts';
import { subscriptionAnswer } from '../packet/answers.ts';
import type { AuthRequest, Subscription } from '../packet/control.ts';
import { MalformedPacket } from '../packet/errors.ts';
import { NEXT, type Next, type PacketHandler } from '../packet/framer.ts';
import { FIRST_BYTE, LEVEL, PACKET, PINGRESP, SUBSCRIBE_REFUSED } from '../packet/packet-types.ts';
import { readPacketId } from '../packet/publish-packet.ts';
import { FIRST_FAILURE, REASON } from '../packet/reason-codes.ts';
import type { MqttSession } from '../session/session.ts';
import { sharedFilter } from '../topic/shared-filter.ts';
import { Publisher, type PublishingConnection } from './publisher.ts';

/** What the conversation needs of its connection. */
export interface OpenConnection extends PublishingConnection {
  readonly level: number;
  /** The client is a bridge. */
  readonly bridge: boolean;
  /** Writes a packet. Throws MalformedPacket if it is over the client's maximum packet size. */
  send(packet: Buffer): void;
  /** DISCONNECT: with a new session expiry or null; `withWill`: the will is to be published. */
  disconnected(expirySeconds: number | null, withWill: boolean): void;
  /** AUTH: re-authentication (MQTT 5 §4.12.1). */
  reauthenticate(request: AuthRequest): Promise<void>;
}

export class Conversation implements PacketHandler {
  publisher: Publisher | null;
  private readonly connection: OpenConnection;
  private readonly session: MqttSession;
  private readonly context: MqttContext;
  private readonly v5: boolean;

  constructor(connection: OpenConnection, session: MqttSession, context: MqttContext) {
    this.publisher = null;
    this.connection = connection;
    this.session = session;
    this.context = context;
    this.v5 = connection.level === LEVEL.v5;
  }

  packet(buffer: Buffer, start: number, body: number, end: number): Next {
    const { connection, session, context, v5 } = this;
    const firstByte = buffer[start]!;
    const type = firstByte >> 4;
    switch (type) {
      case PACKET.publish:
        if (!connection.gate.mayPublish()) return NEXT.retry;
        this.publisher ??= new Publisher(connection, session, context);
        return v5
          ? this.publisher.publish5(buffer, start, body, end)
          : this.publisher.publish(buffer, start, body, end);
      case PACKET.puback:
        if (firstByte !== FIRST_BYTE.puback) throw new MalformedPacket('reserved flags of PUBACK [MQTT-2.2.2-2]');
        session.deliveries.puback(this.packetId(buffer, body, end, false));
        return NEXT.goOn;
      case PACKET.pubrec: {
        if (firstByte !== FIRST_BYTE.pubrec) throw new MalformedPacket('reserved flags of PUBREC [MQTT-2.2.2-2]');
        const id = this.packetId(buffer, body, end, false);
        session.deliveries.pubrec(id, v5 && context.codecs.acks.failed);
        return NEXT.goOn;
      }
      case PACKET.pubrel:
        if (firstByte !== FIRST_BYTE.pubrel) throw new MalformedPacket('reserved flags of PUBREL [MQTT-3.6.1-1]');
        session.pubrel(this.packetId(buffer, body, end, true));
        return NEXT.goOn;
      case PACKET.pubcomp:
        if (firstByte !== FIRST_BYTE.pubcomp) throw new MalformedPacket('reserved flags of PUBCOMP [MQTT-2.2.2-2]');
        session.deliveries.pubcomp(this.packetId(buffer, body, end, true));
        return NEXT.goOn;
      case PACKET.subscribe:
        return connection.suspend(this.subscribe(buffer, start, body, end));
      case PACKET.unsubscribe:
        return connection.suspend(this.unsubscribe(buffer, start, body, end));
      case PACKET.pingreq:
        requireEmpty(firstByte, body, end);
        connection.send(PINGRESP);
        return NEXT.goOn;
      case PACKET.disconnect:
        return this.disconnect(buffer, start, body, end);
      case PACKET.auth:
        if (v5)
          return connection.suspend(connection.reauthenticate(context.codecs.control.auth(buffer, start, body, end)));
        break;
      case PACKET.connect:
        throw new MalformedPacket('a second CONNECT [MQTT-3.1.0-2]', REASON.protocolError);
    }
    throw new MalformedPacket(`packet type ${type} is not for a server`, REASON.protocolError);
  }

  /** The packet id of an acknowledgement. For MQTT 5 `codecs.acks` has its reason code. */
  private packetId(buffer: Buffer, body: number, end: number, releases: boolean): number {
    if (!this.v5) return readPacketId(buffer, body, end);
    const { acks } = this.context.codecs;
    acks.read(buffer, body, end, releases);
    return acks.packetId;
  }

  private async subscribe(buffer: Buffer, start: number, body: number, end: number): Promise<void> {
    const { session, context, connection, v5 } = this;
    const { packetId, subscriptions } = context.codecs.control.subscribe(buffer, start, body, end, connection.level);
    const asked = connection.bridge ? subscriptions.map(forBridge) : subscriptions;
    const granted = await session.subscribe(asked);
    await session.deliveries.retainedFound();
    if (connection.isClosed()) return;
    context.turn.begin();
    const codes = granted.map((code) => (v5 || code < FIRST_FAILURE ? code : SUBSCRIBE_REFUSED));
    this.answer(FIRST_BYTE.suback, packetId, codes);
    session.deliveries.resume();
  }

  private async unsubscribe(buffer: Buffer, start: number, body: number, end: number): Promise<void> {
    const { connection, context } = this;
    const { packetId, filters } = context.codecs.control.unsubscribe(buffer, start, body, end, connection.level);
    const codes = await this.session.unsubscribe(filters);
    if (connection.isClosed()) return;
    context.turn.begin();
    const refused = codes.find((code) => code >= FIRST_FAILURE);
    // Up to 3.1.1 UNSUBACK has no codes: it would tell the client that it is unsubscribed.
    if (!this.v5 && refused !== undefined) throw new MalformedPacket('an UNSUBSCRIBE was refused', refused);
    this.answer(FIRST_BYTE.unsuback, packetId, this.v5 ? codes : []);
  }

  private disconnect(buffer: Buffer, start: number, body: number, end: number): Next {
    const { connection, session, context } = this;
    const { reason, expirySeconds } = context.codecs.control.disconnect(buffer, start, body, end, connection.level);
    // [MQTT-3.14.2-2]: DISCONNECT cannot make a session with expiry 0 outlive its connection.
    if (expirySeconds !== null && expirySeconds > 0 && session.expirySeconds === 0) {
      throw new MalformedPacket('a session expiry in DISCONNECT after none in CONNECT', REASON.protocolError);
    }
    connection.disconnected(expirySeconds, reason !== REASON.success);
    return NEXT.stop;
  }

  private answer(firstByte: number, packetId: number, codes: readonly number[]): void {
    const packet = subscriptionAnswer(this.v5, firstByte, packetId, codes);
    this.connection.send(packet);
  }
}

function requireEmpty(firstByte: number, body: number, end: number): void {
  if ((firstByte & 15) !== 0) throw new MalformedPacket('reserved flags [MQTT-2.2.2-2]');
  if (body !== end) throw new MalformedPacket('a packet with content that has none');
}

/** As MQTT 5 bridges ask themselves: no echo, and the retain flag as it was published. Shared subscriptions echo. */
function forBridge(subscription: Subscription): Subscription {
  return { ...subscription, noLocal: sharedFilter(subscription.filter) === null, retainAsPublished: true };
}
