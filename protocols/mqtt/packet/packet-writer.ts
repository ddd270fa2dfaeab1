// Writes to one client what its session has for it, in the form of the version that it speaks. One for all connections.

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

/** Where it goes. */
export interface Destination {
  readonly outbox: Outbox;
  readonly v5: boolean;
  /** Largest packet that the client takes. */
  readonly maximumPacketBytes: number;
  /** Topic aliases towards the client; null: it wants none. */
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
   * A PUBLISH; `firstByte` has QoS and flags, `id` is 0 at QoS 0, `ids` are subscription identifiers. False where it
   * cannot be sent to this client (no topic, too large): that is counted, and the message is done with.
   */
  publish(connection: Destination, message: Message, firstByte: number, id: number, ids: readonly number[]): boolean {
    const { outbox } = connection;
    // One that cannot be sent is taken off again: rarer than a branch for each that can.
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

  /** PUBACK, PUBREC, PUBREL or PUBCOMP. Up to 3.1.1 there is no place for a reason. */
  answer(connection: Destination, firstByte: number, id: number, reason: Reason): void {
    const { outbox } = connection;
    this.traffic.packetsSent++;
    outbox.reserve(5);
    outbox.position =
      reason === REASON.success || !connection.v5
        ? writeAck(outbox.buffer, outbox.position, firstByte, id)
        : writeReason(outbox.buffer, outbox.position, firstByte, id, reason);
  }
}
