// Transactions of one connection (STOMP 1.2, BEGIN, COMMIT, ABORT). A SEND is routed when it arrives, an ACK or NACK
// checked; both wait here until COMMIT, which the core does as a whole or not at all (src/core/session/transaction.ts).
// Open transactions end with their connection. Bounded in number, operations and bytes.

import type { TransactedPublish } from '../../src/core/session/transaction.ts';
import type { Destination } from './destination.ts';
import type { StompLimits } from './limits.ts';
import { limitExceeded, StompError } from './stomp-error.ts';
import type { MessageId } from './subscription.ts';

/** An ACK or NACK. */
export type Settlement =
  | { readonly kind: 'ack'; readonly id: MessageId }
  | { readonly kind: 'nack'; readonly id: MessageId; readonly requeue: boolean };

/** A SEND with the queues that it reached, and the destination that it named. */
export interface StagedSend extends TransactedPublish {
  readonly destination: Destination;
}

/** The operations of one transaction, in order. */
export interface TransactedOperations {
  readonly sends: StagedSend[];
  readonly settlements: Settlement[];
}

/** Memory of an operation beside the bytes of its message. */
const OPERATION_BYTES = 256;

export class Transactions {
  private readonly limits: StompLimits;
  private readonly open: Map<string, TransactedOperations>;
  private operations: number;
  private bytes: number;

  constructor(limits: StompLimits) {
    this.limits = limits;
    this.open = new Map();
    this.operations = 0;
    this.bytes = 0;
  }

  begin(name: string): void {
    if (this.open.has(name)) throw new StompError('Invalid transaction', `transaction '${name}' is open already`);
    if (this.open.size === this.limits.maxTransactions) {
      throw limitExceeded('maxTransactions', this.limits.maxTransactions);
    }
    this.open.set(name, { sends: [], settlements: [] });
  }

  /** Throws StompError unless a transaction of that name is open. */
  require(name: string): void {
    if (!this.open.has(name)) throw unknownTransaction(name);
  }

  addSend(name: string, send: StagedSend): void {
    this.operationsOf(name, bytesOf(send)).sends.push(send);
  }

  addSettlement(name: string, settlement: Settlement): void {
    this.operationsOf(name, OPERATION_BYTES).settlements.push(settlement);
  }

  /** Ends the transaction, to be committed or dropped. */
  take(name: string): TransactedOperations {
    const operations = this.open.get(name);
    if (operations === undefined) throw unknownTransaction(name);
    this.open.delete(name);
    const { sends, settlements } = operations;
    this.operations -= sends.length + settlements.length;
    this.bytes -= settlements.length * OPERATION_BYTES;
    for (const send of sends) this.bytes -= bytesOf(send);
    return operations;
  }

  /** The operations of a transaction, to which one more is added. Throws StompError at a limit. */
  private operationsOf(name: string, bytes: number): TransactedOperations {
    const operations = this.open.get(name);
    if (operations === undefined) throw unknownTransaction(name);
    const { maxTransactionOperations, maxTransactionBytes } = this.limits;
    if (++this.operations > maxTransactionOperations) {
      throw limitExceeded('maxTransactionOperations', maxTransactionOperations);
    }
    this.bytes += bytes;
    if (this.bytes > maxTransactionBytes) throw limitExceeded('maxTransactionBytes', maxTransactionBytes);
    return operations;
  }
}

function bytesOf({ message }: StagedSend): number {
  return message.bodyLength + message.nativeLength + OPERATION_BYTES;
}

function unknownTransaction(name: string): StompError {
  return new StompError('Invalid transaction', `transaction '${name}' is not open`);
}
