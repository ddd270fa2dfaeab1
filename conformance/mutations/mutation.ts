// What a mutation is: one way for a broker to break one rule, made real by a proxy that lets everything pass but what
// the rule is about. It is how the kit shows that a check can fail: a check that stays green in front of a broker that
// does what the check forbids is no check. A protocol plugs in with a format, which takes both byte streams of a
// connection apart into packets, and with its list of mutations.

import type { Endpoint } from '../check.ts';

/** The least that a proxy has to know of a packet; what a protocol's mutations read of it stands beside. */
export interface Packet {
  /** The packet as it goes over the wire. */
  readonly bytes: Buffer;
}

/** One direction of one connection. */
export interface Splitter<P extends Packet> {
  /**
   * The packets that a chunk completes; the rest waits for the next chunk. Checks send malformed bytes on purpose:
   * what makes no packet comes out as one that no mutation touches, with its bytes as they were. Never throws.
   */
  split(chunk: Buffer): readonly P[];
}

export interface PacketFormat<P extends Packet> {
  /** Of what clients send. */
  client(): Splitter<P>;
  /** Of what brokers send. */
  broker(): Splitter<P>;
}

/** A connection through the proxy, for what a mutation sends of its own accord. */
export interface Link<P extends Packet> {
  toClient(...packets: readonly P[]): void;
  toBroker(...packets: readonly P[]): void;
  /** Ends the client's stream after what it was sent, and the broker's. */
  end(): void;
}

/**
 * What happens to a connection's packets. A hook answers with what goes on in the packet's place: the packet itself,
 * others, several or none. Packets of a chunk and what is sent meanwhile leave in one write, in the order of the calls,
 * so that nothing depends on time: what is to come late is held until a later packet, not for a while.
 */
export interface Hooks<P extends Packet> {
  fromBroker?(packet: P): readonly P[];
  fromClient?(packet: P): readonly P[];
  /** Of a client's bytes as they arrive, before they are packets: null where nothing of it goes on. */
  clientChunk?(chunk: Buffer): Buffer | null;
}

export interface Mutation<P extends Packet> {
  /** Unique within its protocol: `<subject>.<what is wrong>`. */
  readonly id: string;
  /** What the broker does against the rule, as a sentence without its subject. */
  readonly breaks: string;
  /** Something that is due never comes, so that a check may notice by its time alone. */
  readonly withholds: boolean;
  /** Called once for a run of a check; what it returns once for each connection, all of which may share its state. */
  begin(endpoint: Endpoint): (link: Link<P>) => Hooks<P>;
}
