// Transactions of one connection (STOMP 1.2, BEGIN, COMMIT, ABORT): SENDs, ACKs and NACKs wait here, in memory, until
// they are committed in one turn, and so in one transaction of the store. What is open when the connection ends is
// forgotten. Bounded in number, operations and bytes.

import type { Message } from '../../src/core/message/message.ts';
import type { Destination } from './destination.ts';
import type { StompLimits } from './limits.ts';
import { limitExceeded, StompError } from './stomp-error.ts';
import type { MessageId } from './subscription.ts';

/** An ACK or NACK. */
export type Settlement =
  | { readonly kind: 'ack'; readonly id: MessageId }
  | { readonly kind: 'nack'; readonly id: MessageId; readonly requeue: boolean };

export type Operation =
  | Settlement
  | { readonly kind: 'send'; readonly message: Message; readonly destination: Destination };

export class Transactions {
  private readonly limits: StompLimits;
  private readonly open: Map<string, Operation[]>;
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
    this.open.set(name, []);
  }

  add(name: string, operation: Operation): void {
    const operations = this.open.get(name);
    if (operations === undefined) throw unknownTransaction(name);
    const { maxTransactionOperations, maxTransactionBytes } = this.limits;
    if (++this.operations > maxTransactionOperations) {
      throw limitExceeded('maxTransactionOperations', maxTransactionOperations);
    }
    this.bytes += bytesOf(operation);
    if (this.bytes > maxTransactionBytes) throw limitExceeded('maxTransactionBytes', maxTransactionBytes);
    operations.push(operation);
  }

  /** Takes the transaction out, to be carried out or forgotten. */
  take(name: string): readonly Operation[] {
    const operations = this.open.get(name);
    if (operations === undefined) throw unknownTransaction(name);
    this.open.delete(name);
    this.operations -= operations.length;
    for (const operation of operations) this.bytes -= bytesOf(operation);
    return operations;
  }
}

function bytesOf(operation: Operation): number {
  return operation.kind === 'send' ? operation.message.bodyLength + operation.message.nativeLength : 0;
}

function unknownTransaction(name: string): StompError {
  return new StompError('Invalid transaction', `transaction '${name}' is not open`);
}
