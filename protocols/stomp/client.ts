// What the two halves of a connection (publisher.ts, subscriptions.ts) see of it: what they share, and what they ask of
// it. connection.ts implements it.

import type { ConfirmRing } from '../../src/core/confirms.ts';
import type { Transport } from '../../src/net/transport.ts';
import type { StompContext } from './context.ts';
import type { FrameParser } from './frame-parser.ts';
import type { FrameWriter } from './frame-writer.ts';

export interface StompClient {
  readonly context: StompContext;
  readonly transport: Transport;
  readonly parser: FrameParser;
  readonly writer: FrameWriter;
  /** All receipts of the connection leave through it; a slot's tag is the receipt id. */
  readonly ring: ConfirmRing;
  readonly sessionId: string;
  /** Logged in, and not on the way out. */
  readonly running: boolean;
  /** No frame is looked at until `work` is done; where it fails the connection ends with an ERROR. */
  suspend(work: Promise<void>): void;
  /** Takes up the input that waited, unless something else waits. */
  goOn(): void;
  /** The current frame's receipt header, byte for byte, or null. */
  receiptId(): string | null;
  /** A frame was carried out: its receipt leaves, behind those that still wait. Null: it asked for none. */
  receipt(receiptId: string | null): void;
  /** Ends the connection with an ERROR frame. */
  fail(error: unknown, receiptId: string | null): void;
}
