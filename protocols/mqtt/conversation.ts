// What a client says once it is connected: each packet becomes a call of its session or of its publisher, which is made
// with the first PUBLISH, and whatever is no legal packet of a client ends in MalformedPacket.

import { MalformedPacket } from './errors.ts';
import { NEXT, type Next, type PacketHandler } from './framer.ts';
import { FIRST_BYTE, PACKET, PINGRESP, SUBSCRIBE_REFUSED } from './packet-types.ts';
import { readPacketId, writeLength } from './publish.ts';
import { Publisher, type PublishingConnection } from './publisher.ts';
import type { MqttSession } from './session.ts';
import type { MqttShared } from './shared.ts';

/** The connection that carries it. */
export interface Conversing extends PublishingConnection {
  /** Publishing is held (backpressure). */
  readonly held: boolean;
  /** A PUBLISH waits until publishing is held no more. */
  waitForRelease(): Next;
  /** The client said goodbye. */
  disconnected(): void;
}

export class Conversation implements PacketHandler {
  publisher: Publisher | null;
  private readonly connection: Conversing;
  private readonly session: MqttSession;
  private readonly shared: MqttShared;

  constructor(connection: Conversing, session: MqttSession, shared: MqttShared) {
    this.publisher = null;
    this.connection = connection;
    this.session = session;
    this.shared = shared;
  }

  packet(buffer: Buffer, start: number, body: number, end: number): Next {
    const { connection, session } = this;
    const firstByte = buffer[start]!;
    const type = firstByte >> 4;
    switch (type) {
      case PACKET.publish:
        if (connection.held) return connection.waitForRelease();
        this.publisher ??= new Publisher(connection, session, this.shared);
        return this.publisher.publish(buffer, start, body, end);
      case PACKET.puback:
        if (firstByte !== FIRST_BYTE.puback) throw new MalformedPacket('reserved flags of PUBACK [MQTT-2.2.2-2]');
        session.acknowledged(readPacketId(buffer, body, end));
        return NEXT.goOn;
      case PACKET.pubrel:
        if (firstByte !== FIRST_BYTE.pubrel) throw new MalformedPacket('reserved flags of PUBREL [MQTT-3.6.1-1]');
        this.publisher ??= new Publisher(connection, session, this.shared);
        this.publisher.released(readPacketId(buffer, body, end));
        return NEXT.goOn;
      case PACKET.pubrec:
      case PACKET.pubcomp:
        // Nothing is delivered at QoS 2, so these answer nothing; they must be well formed all the same.
        if ((firstByte & 15) !== 0) throw new MalformedPacket('reserved flags [MQTT-2.2.2-2]');
        readPacketId(buffer, body, end);
        return NEXT.goOn;
      case PACKET.subscribe:
        return connection.suspend(this.subscribe(buffer, start, body, end));
      case PACKET.unsubscribe:
        return connection.suspend(this.unsubscribe(buffer, start, body, end));
      case PACKET.pingreq:
        requireEmpty(firstByte, body, end);
        connection.outbox.append(PINGRESP, 0, PINGRESP.length);
        return NEXT.goOn;
      case PACKET.disconnect:
        requireEmpty(firstByte, body, end);
        connection.disconnected();
        return NEXT.stop;
      case PACKET.connect:
        throw new MalformedPacket('a second CONNECT [MQTT-3.1.0-2]');
      default:
        throw new MalformedPacket(`packet type ${type} is not for a server`);
    }
  }

  private async subscribe(buffer: Buffer, start: number, body: number, end: number): Promise<void> {
    const { session, shared } = this;
    const { packetId, subscriptions } = shared.control.subscribe(buffer, start, body, end);
    const codes = await session.subscribe(subscriptions);
    if (this.connection.isClosed()) return;
    shared.turn.begin();
    this.answer(FIRST_BYTE.suback, packetId, codes);
    session.startDeliveries();
    for (let i = 0; i < codes.length; i++) {
      if (codes[i] !== SUBSCRIBE_REFUSED) session.sendRetained(subscriptions[i]!.filter, codes[i]!);
    }
  }

  private async unsubscribe(buffer: Buffer, start: number, body: number, end: number): Promise<void> {
    const { packetId, filters } = this.shared.control.unsubscribe(buffer, start, body, end);
    await this.session.unsubscribe(filters);
    if (this.connection.isClosed()) return;
    this.shared.turn.begin();
    this.answer(FIRST_BYTE.unsuback, packetId, []);
  }

  private answer(firstByte: number, packetId: number, codes: readonly number[]): void {
    const packet = Buffer.allocUnsafe(7 + codes.length);
    let at = writeLength(packet, 0, firstByte, 2 + codes.length);
    packet[at++] = packetId >> 8;
    packet[at++] = packetId;
    for (const code of codes) packet[at++] = code;
    this.connection.outbox.append(packet, 0, at);
  }
}

function requireEmpty(firstByte: number, body: number, end: number): void {
  if ((firstByte & 15) !== 0) throw new MalformedPacket('reserved flags [MQTT-2.2.2-2]');
  if (body !== end) throw new MalformedPacket('a packet with content that has none');
}
