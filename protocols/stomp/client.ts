// What the two halves of a connection (publisher.ts, subscriptions.ts) see of it: what they share, and what they ask of
// it. connection.ts implements it.

import type { Worker } from '../../src/core/turn/turn-watch.ts';
import type { ReadGate } from '../../src/net/read-gate.ts';
import type { Transport } from '../../src/net/transport.ts';
import type { StompContext } from './context.ts';
import type { FrameParser } from './frame-parser.ts';
import type { FrameWriter } from './frame-writer.ts';
import type { Receipts } from './receipts.ts';

export interface StompClient extends Worker {
  readonly context: StompContext;
  readonly transport: Transport;
  readonly gate: ReadGate;
  readonly parser: FrameParser;
  readonly writer: FrameWriter;
  readonly receipts: Receipts;
  readonly sessionId: string;
  /** Logged in, and not on the way out. */
  readonly running: boolean;
  /** No frame is looked at until `work` is done; where it fails the connection ends with an ERROR. */
  suspend(work: Promise<void>): void;
  /** Ends the connection with an ERROR frame. */
  fail(error: unknown, receiptId: string | null): void;
}
