// The receipts of a connection: they leave through one confirm ring, so a receipt for a SEND into durable queues comes
// after the commit and all receipts keep the order of their frames. A slot's tag is the receipt id, or nothing. The one
// for DISCONNECT is the last, and ends the connection.

import { ConfirmRing, type ConfirmSink } from '../../src/core/turn/confirms.ts';
import type { Turn } from '../../src/core/turn/turn.ts';
import type { FrameWriter } from './frame-writer.ts';
import { StompError } from './stomp-error.ts';

/** The connection whose receipts they are. */
export interface ReceiptClient {
  readonly writer: FrameWriter;
  /** Logged in, and not on the way out. */
  readonly running: boolean;
  fail(error: unknown, receiptId: string | null): void;
  /** Everything was answered that is to be answered. */
  finish(): void;
}

/** The tag of the slot at which a DISCONNECT is answered. */
class Goodbye {
  readonly receiptId: string | null;

  constructor(receiptId: string | null) {
    this.receiptId = receiptId;
  }
}

export class Receipts implements ConfirmSink {
  readonly ring: ConfirmRing;
  private readonly client: ReceiptClient;

  constructor(client: ReceiptClient, turn: Turn) {
    this.ring = new ConfirmRing(this, turn);
    this.client = client;
  }

  /** A frame was carried out: its receipt leaves, behind those that still wait. Null: it asked for none. */
  give(receiptId: string | null): void {
    if (receiptId === null || !this.client.running) return;
    if (this.ring.size > 0) this.ring.settle(this.ring.open(receiptId));
    else this.client.writer.receipt(receiptId);
  }

  /** The connection ends in order, once all that waits was answered. */
  giveLast(receiptId: string | null): void {
    if (this.ring.size > 0) this.ring.settle(this.ring.open(new Goodbye(receiptId)));
    else this.sayGoodbye(receiptId);
  }

  confirmFailed(): void {
    this.client.writer.broken();
  }

  confirmed(ring: ConfirmRing, from: number, to: number, ok: boolean): void {
    const { client } = this;
    for (let slot = from; slot <= to; slot++) {
      const tag = ring.tagAt(slot);
      if (!ok) {
        client.fail(
          new StompError('Message refused', 'a queue did not accept it'),
          typeof tag === 'string' ? tag : null,
        );
        return;
      }
      if (typeof tag === 'string') client.writer.receipt(tag);
      else if (tag instanceof Goodbye) {
        this.sayGoodbye(tag.receiptId);
        return;
      }
    }
  }

  /** Nothing is given any more. */
  close(): void {
    this.ring.close();
  }

  private sayGoodbye(receiptId: string | null): void {
    if (receiptId !== null) this.client.writer.receipt(receiptId);
    this.client.finish();
  }
}
