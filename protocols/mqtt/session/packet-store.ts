// The port to the store for the packet ids of QoS 2. src/store/packets/ implements it structurally and src/broker.ts passes
// it in, so that neither side imports the other.

import type { ConfirmRing } from '../../../src/core/turn/confirms.ts';

/**
 * The state of a packet id of a persistent session. `received`: the client published under it and has not released it
 * (PUBREL). `sent`: a delivery to the client has it. `released`: PUBREC came for that delivery, PUBCOMP did not.
 */
export type PacketState = 'received' | 'sent' | 'released';

export interface StoredPacket {
  /** The queue id of the session: never used by another one, not even by the same client's next session. */
  readonly sessionId: number;
  readonly packetId: number;
  readonly state: PacketState;
  /** The entry that was sent; 0 for other states. */
  readonly queueId: number;
  readonly seq: number;
}

/** Is called when a change of a packet id is committed. */
export interface PacketWaiter {
  /** The change with this `token` is committed, or, if not `ok`, was not made because the disk is full. */
  packetStored(token: number, ok: boolean): void;
}

/**
 * The packet ids of QoS 2 that persistent MQTT sessions must not forget, in the same batches and transactions as queue
 * entries: an id and the message that it stands for are committed together or not at all.
 */
export interface PacketStore {
  /** Every id, in the order of sessions. */
  all(): Iterable<StoredPacket>;
  /** Stores an id that came with a publish. Adds a hold to the slot of `ring`, which settles with the commit. */
  received(sessionId: number, packetId: number, ring: ConfirmRing, slot: number): void;
  sent(sessionId: number, packetId: number, queueId: number, seq: number, waiter: PacketWaiter, token: number): void;
  /** Replaces `sent`. Retried while the disk is full. */
  released(sessionId: number, packetId: number, waiter: PacketWaiter, token: number): void;
  /** PUBREL came: removes `received`. Retried while the disk is full. */
  forgetReceived(sessionId: number, packetId: number, waiter: PacketWaiter | null, token: number): void;
  /** PUBCOMP came: removes `sent` or `released`. */
  forgetSent(sessionId: number, packetId: number): void;
  /** The session ended: removes all its ids. */
  drop(sessionId: number): void;
}
