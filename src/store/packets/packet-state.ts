// What is stored of one packet id of a persistent MQTT session, and who waits for a change of it to be durable.

/** The state of a packet id. Written to disk: never renumber. */
export const PACKET_STATE = {
  /** A QoS 2 publish of the client was taken and not released yet. */
  received: 1,
  /** A QoS 2 delivery went to the client under this id. */
  sent: 2,
  /** The client has it; its id is being released. */
  released: 3,
} as const;
export type PacketState = (typeof PACKET_STATE)[keyof typeof PACKET_STATE];

/** The name of each state, by its number. */
export const PACKET_STATE_NAME = { 1: 'received', 2: 'sent', 3: 'released' } as const satisfies Record<
  PacketState,
  keyof typeof PACKET_STATE
>;

export interface StoredPacket {
  /** The queue id of the session: never used by another one, not even by the same client's next session. */
  readonly sessionId: number;
  readonly packetId: number;
  readonly state: keyof typeof PACKET_STATE;
  /** The entry that was sent; 0 for other states. */
  readonly queueId: number;
  readonly seq: number;
}

/** Learns that a change of a packet id is committed. */
export interface PacketWaiter {
  /** The change that was given this `token` is committed; not `ok`: the disk is full and it was not made. */
  packetStored(token: number, ok: boolean): void;
}
