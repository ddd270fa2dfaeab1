// The fuzzer's interface to a protocol.

import type { Frames, LengthField } from './mutate.ts';
import type { Random } from './random.ts';

export interface Inspection {
  /** How deep the input got: one of the protocol's states. */
  readonly state: string;
  /** The broker's error in the protocol's terms, or null. */
  readonly error: string | null;
}

export interface FuzzProtocol {
  readonly name: string;
  /** States from the shallowest to the deepest, as the broker's answers show them. */
  readonly states: readonly string[];
  /** Valid conversations from CONNECT to the end. All names contain `id`, so that inputs do not share state. */
  conversations(id: number): readonly Frames[];
  /** Number of frames at the start of each conversation that open the connection. */
  readonly handshakeFrames: number;
  readonly lengthField: LengthField;
  /** A frame with a valid header and random content. */
  randomFrame(random: Random): Buffer;
  /** Parses everything that the broker answered. Throws if it is malformed. */
  inspect(answer: Buffer): Inspection;
}
