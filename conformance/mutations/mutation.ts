// A mutation: one way for a broker to break one rule, implemented by a proxy that passes everything else unchanged.
// Mutations show that checks can fail: a check that passes in front of a broker that breaks its rule is worthless. A
// protocol provides a format, which splits both byte streams of a connection into packets, and a list of mutations.

import type { Endpoint } from '../check.ts';

/** What the proxy needs of a packet; a protocol's packets have further fields. */
export interface Packet {
  /** The packet's bytes. */
  readonly bytes: Buffer;
}

/** Splits one direction of one connection. */
export interface Splitter<P extends Packet> {
  /**
   * The packets that a chunk completes; the rest waits for the next chunk. Checks send malformed bytes on purpose:
   * bytes that are not a packet are returned unchanged as one that no mutation touches. Never throws.
   */
  split(chunk: Buffer): readonly P[];
}

export interface PacketFormat<P extends Packet> {
  /** For the client's stream. */
  client(): Splitter<P>;
  /** For the broker's stream. */
  broker(): Splitter<P>;
}

/** A connection through the proxy, for packets that a mutation sends itself. */
export interface Link<P extends Packet> {
  toClient(...packets: readonly P[]): void;
  toBroker(...packets: readonly P[]): void;
  /** Ends the client's stream after the pending packets, and the broker's. */
  end(): void;
}

/**
 * Changes a connection's packets. A hook returns the packets to forward in place of its packet: the same, others,
 * several or none. The packets of a chunk and those sent meanwhile are written at once, in call order, so that nothing
 * depends on time: a late packet is held until another packet arrives, not for a duration.
 */
export interface Hooks<P extends Packet> {
  fromBroker?(packet: P): readonly P[];
  fromClient?(packet: P): readonly P[];
  /** Gets the client's bytes before they are split; null drops them. */
  clientChunk?(chunk: Buffer): Buffer | null;
}

export interface Mutation<P extends Packet> {
  /** Unique within its protocol: `<subject>.<what is wrong>`. */
  readonly id: string;
  /** What the broker does wrong, as a sentence without its subject. */
  readonly breaks: string;
  /** An expected packet never comes, so that a check may detect it by timeout only. */
  readonly withholds: boolean;
  /** Called once for each run of a check. The result is called for each connection; the connections may share state. */
  begin(endpoint: Endpoint): (link: Link<P>) => Hooks<P>;
}
