// The open transactions of one connection (STOMP 1.2, BEGIN, COMMIT, ABORT): routed SENDs, and ACKs and NACKs that were
// checked. publisher.ts commits one (core/session/transaction.ts does the work); ABORT, an ERROR and the end of the
// connection discard what is open. Bounded in number, operations and bytes.

import { type Settlement, TARGET_BYTES, type TransactedPublish } from '../../src/core/session/transaction.ts';
import type { Destination } from './destination.ts';
import type { EndpointOptions } from './endpoints.ts';
import type { StompLimits } from './limits.ts';
import { limitExceeded, StompError } from './stomp-error.ts';
import type { Acknowledgement } from './subscription.ts';

/** A SEND, with the queues that it reaches. */
export interface TransactedSend extends TransactedPublish {
  readonly destination: Destination;
  /** Of the queue that a SEND to `/queue/` declares. */
  readonly options: EndpointOptions;
}

export class OpenTransaction {
  readonly sends: TransactedSend[];
  readonly acknowledgements: Acknowledgement[];
  /** What its acknowledgements covered of subscriptions that have ended since. */
  readonly detached: Settlement[];

  constructor() {
    this.sends = [];
    this.acknowledgements = [];
    this.detached = [];
  }
}

/** An operation beside the bytes of its message. */
const OPERATION_BYTES = 256;

export class Transactions {
  private readonly limits: StompLimits;
  private readonly open: Map<string, OpenTransaction>;
  private operations: number;
  private bytes: number;

  constructor(limits: StompLimits) {
    this.limits = limits;
    this.open = new Map();
    this.operations = 0;
    this.bytes = 0;
  }

  /** Memory of what is open. */
  get heldBytes(): number {
    return this.bytes + this.operations * OPERATION_BYTES;
  }

  begin(name: string): void {
    if (this.open.has(name)) throw new StompError('Invalid transaction', `transaction '${name}' is open already`);
    if (this.open.size === this.limits.maxTransactions) {
      throw limitExceeded('maxTransactions', this.limits.maxTransactions);
    }
    this.open.set(name, new OpenTransaction());
  }

  get(name: string): OpenTransaction {
    const transaction = this.open.get(name);
    if (transaction === undefined) throw new StompError('Invalid transaction', `transaction '${name}' is not open`);
    return transaction;
  }

  addSend(name: string, send: TransactedSend): void {
    const { sends } = this.get(name);
    this.countOperation();
    const { maxTransactionBytes } = this.limits;
    this.bytes += bytesOf(send);
    if (this.bytes > maxTransactionBytes) throw limitExceeded('maxTransactionBytes', maxTransactionBytes);
    sends.push(send);
  }

  addAcknowledgement(name: string, acknowledgement: Acknowledgement): void {
    const { acknowledgements } = this.get(name);
    this.countOperation();
    acknowledgements.push(acknowledgement);
  }

  /** Takes a transaction out, to be committed or discarded. */
  take(name: string): OpenTransaction {
    const transaction = this.get(name);
    this.open.delete(name);
    this.operations -= transaction.sends.length + transaction.acknowledgements.length;
    for (const send of transaction.sends) this.bytes -= bytesOf(send);
    return transaction;
  }

  /** Takes all out. */
  takeAll(): OpenTransaction[] {
    return [...this.open.keys()].map((name) => this.take(name));
  }

  [Symbol.iterator](): Iterator<OpenTransaction> {
    return this.open.values();
  }

  private countOperation(): void {
    const { maxTransactionOperations } = this.limits;
    if (++this.operations > maxTransactionOperations) {
      throw limitExceeded('maxTransactionOperations', maxTransactionOperations);
    }
  }
}

function bytesOf({ message, targets }: TransactedSend): number {
  return message.bodyLength + message.nativeLength + targets.length * TARGET_BYTES;
}
