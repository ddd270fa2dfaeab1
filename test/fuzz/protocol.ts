// What the fuzzer needs to know of a protocol.

import type { Frames, LengthField } from './mutate.ts';
import type { Random } from './random.ts';

export interface Inspection {
  /** How deep the input got: one of the protocol's states. */
  readonly state: string;
  /** The error that the broker answered with, in the protocol's own words, or null. */
  readonly error: string | null;
}

export interface FuzzProtocol {
  readonly name: string;
  /** States from nothing to deep, as the broker's answers show them. */
  readonly states: readonly string[];
  /** Valid conversations from connecting to goodbye. `id` is in all their names: no input meets what another left. */
  conversations(id: number): readonly Frames[];
  /** Frames up to a working connection at the head of each conversation. */
  readonly handshakeFrames: number;
  readonly lengthField: LengthField;
  /** A frame that is well formed on the outside and random inside. */
  randomFrame(random: Random): Buffer;
  /** Reads everything that the broker answered. Throws where that is not well-formed itself. */
  inspect(answer: Buffer): Inspection;
}
