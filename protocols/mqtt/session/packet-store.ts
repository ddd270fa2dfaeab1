// The port through which packet ids of QoS 2 outlive a restart. The store implements it by shape (src/broker.ts hands it
// over), so that neither side imports the other.

import type { ConfirmRing } from '../../../src/core/turn/confirms.ts';

/**
 * What is known of one packet id of a persistent session. `received`: a publish of the client was taken and not released
 * yet. `sent`: a delivery went to the client under this id. `released`: the client has it, its id is being released.
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

/** Who waits for a packet id to be on disk. */
export interface PacketWaiter {
  /** The change that was given this `token` is committed; not `ok`: the disk is full and it was not made. */
  packetStored(token: number, ok: boolean): void;
}

/**
 * The packet ids of QoS 2 that persistent MQTT sessions must not forget, in the same batches and transactions as queue
 * entries: an id and the message that it stands for are committed together or not at all.
 */
export interface PacketStore {
  /** Every id, in the order of sessions. */
  all(): Iterable<StoredPacket>;
  /** Adds a hold to the slot, which settles with the commit. */
  received(sessionId: number, packetId: number, ring: ConfirmRing, slot: number): void;
  sent(sessionId: number, packetId: number, queueId: number, seq: number, waiter: PacketWaiter, token: number): void;
  /** Takes the place of `sent`. Where the disk is full it is tried again until it succeeds. */
  released(sessionId: number, packetId: number, waiter: PacketWaiter, token: number): void;
  /** The client's publish is released. Tried again on a full disk. */
  forgetReceived(sessionId: number, packetId: number, waiter: PacketWaiter | null, token: number): void;
  /** The delivery is complete. */
  forgetSent(sessionId: number, packetId: number): void;
  /** The session is gone. */
  drop(sessionId: number): void;
}
