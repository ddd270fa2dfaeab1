// Writes PUBLISH packets and acknowledgements to clients, in the version that each speaks. One for all connections. Called
// by the sessions and by connection/publisher.ts.

import type { Message } from '../../../src/core/message/message.ts';
import type { Meters } from '../../../src/core/ports/meters.ts';
import type { Turn } from '../../../src/core/turn/turn.ts';
import type { Outbox } from '../../../src/net/outbox.ts';
import type { PublishEncoder } from './encoder.ts';
import { type PublishEncoder5, WRITTEN } from './encoder-v5.ts';
import { FIRST_BYTE } from './packet-types.ts';
import { writeAck, writeReason } from './publish-packet.ts';
import { REASON, type Reason } from './reason-codes.ts';
import type { BrokerAliases } from './topic-aliases.ts';
import type { Traffic } from './traffic.ts';

/** A client that packets are written to. */
export interface Destination {
  readonly outbox: Outbox;
  readonly v5: boolean;
  /** The client's maximum packet size. */
  readonly maximumPacketBytes: number;
  /** Topic aliases towards the client; null: it accepts none. */
  readonly aliases: BrokerAliases | null;
}

export class PacketWriter {
  private readonly encoder: PublishEncoder;
  private readonly encoder5: PublishEncoder5;
  private readonly turn: Turn;
  private readonly meters: Meters;
  private readonly traffic: Traffic;

  constructor(encoder: PublishEncoder, encoder5: PublishEncoder5, turn: Turn, meters: Meters, traffic: Traffic) {
    this.encoder = encoder;
    this.encoder5 = encoder5;
    this.turn = turn;
    this.meters = meters;
    this.traffic = traffic;
  }

  /**
   * Writes a PUBLISH. `firstByte` has QoS and flags, `id` is 0 at QoS 0, `ids` are subscription identifiers. False if the
   * message cannot be sent to this client (no legal topic, too large): it is counted as undeliverable.
   */
  publish(connection: Destination, message: Message, firstByte: number, id: number, ids: readonly number[]): boolean {
    const { outbox } = connection;
    // Subtracted below if nothing was written, which is rare.
    this.traffic.packetsSent++;
    if (connection.v5) {
      const { aliases, maximumPacketBytes } = connection;
      const { now } = this.turn;
      const written = this.encoder5.write(outbox, message, firstByte, id, ids, aliases, now, maximumPacketBytes);
      if (written === WRITTEN.written) return true;
    } else if (id !== 0) {
      if (this.encoder.writeAcknowledged(outbox, message, id, firstByte)) return true;
    } else if (firstByte === FIRST_BYTE.publish) {
      if (this.encoder.writeQos0(outbox, message)) return true;
    } else if (this.encoder.writeFlagged(outbox, message, 0, firstByte)) return true;
    this.traffic.packetsSent--;
    this.meters.undeliverable++;
    return false;
  }

  /** Writes PUBACK, PUBREC, PUBREL or PUBCOMP. Up to 3.1.1 they have no reason code. */
  acknowledge(connection: Destination, firstByte: number, id: number, reason: Reason): void {
    const { outbox } = connection;
    this.traffic.packetsSent++;
    outbox.reserve(5);
    outbox.position =
      reason === REASON.success || !connection.v5
        ? writeAck(outbox.buffer, outbox.position, firstByte, id)
        : writeReason(outbox.buffer, outbox.position, firstByte, id, reason);
  }
}
