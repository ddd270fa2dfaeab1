// The transaction of one channel in transactional mode (class tx): what was published and acknowledged since the last
// commit or rollback. Publishes are routed when they arrive, so that a missing exchange is told at once; nobody gets
// them before the commit, which the core carries out as one (src/core/session/transaction.ts). What is acknowledged stays with the
// channel, and on its prefetch, until then.

import type { Message } from '../../src/core/message/message.ts';
import type { QueueEntry } from '../../src/core/queue/queue-entry.ts';
import type { Unacked } from '../../src/core/queue/unacked.ts';
import type { Session } from '../../src/core/session/session.ts';
import {
  type Outcome,
  type Settlement,
  TARGET_BYTES,
  type TransactedPublish,
  TransactionFailed,
} from '../../src/core/session/transaction.ts';
import type { Turn } from '../../src/core/turn/turn.ts';
import { AmqpError, REPLY } from './amqp-error.ts';
import type { AmqpCountedLimit } from './limits.ts';
import { METHOD } from './method-ids.ts';

/** What it needs of its channel. */
export interface TransactionChannel {
  readonly session: Session;
  readonly turn: Turn;
  readonly unacked: Unacked;
  readonly transactionOperations: number;
  readonly transactionBytes: number;
  /** What the open transactions of the connection hold. */
  readonly transacted: { bytes: number };
  fail(error: unknown, method: number): void;
  suspendFor(work: Promise<void>, method: number): void;
  /** A mandatory message that reaches nobody goes back. */
  returnMessage(message: Message): void;
}

/** What beside the bytes of a message is charged for it. */
const PUBLISH_OVERHEAD_BYTES = 256;

interface Publish extends TransactedPublish {
  readonly mandatory: boolean;
}

/** An ack, a reject or a nack, as it will be carried out. */
interface Settling {
  readonly tag: number;
  readonly multiple: boolean;
  readonly outcome: Outcome;
}

export class ChannelTransaction {
  private readonly channel: TransactionChannel;
  private readonly session: Session;
  private publishes: Publish[];
  private publishedBytes: number;
  private settlings: Settling[];
  /** Tags that `settlings` covers: all up to `coveredTo`, and some above it. */
  private coveredTo: number;
  private covered: Set<number>;

  constructor(channel: TransactionChannel) {
    this.channel = channel;
    this.session = channel.session;
    this.publishes = [];
    this.publishedBytes = 0;
    this.settlings = [];
    this.coveredTo = 0;
    this.covered = new Set();
  }

  publish(message: Message, copies: readonly string[], mandatory: boolean): void {
    const { channel, session } = this;
    try {
      const routed = session.route(message, copies);
      if (routed === null) {
        const again = (): void => this.publish(message, copies, mandatory);
        channel.suspendFor(session.ready().then(again), METHOD.basicPublish);
        return;
      }
      const targets = routed.targets.length * TARGET_BYTES;
      const bytes = message.bodyLength + message.nativeLength + targets + PUBLISH_OVERHEAD_BYTES;
      this.publishedBytes += bytes;
      channel.transacted.bytes += bytes;
      if (channel.transacted.bytes > channel.transactionBytes) {
        throw tooLarge(`${channel.transactionBytes} bytes`, 'amqp.transactionBytes');
      }
      this.requireRoom();
      channel.turn.retain(routed.message);
      this.publishes.push({ ...routed, mandatory });
    } catch (error) {
      channel.fail(error, METHOD.basicPublish);
    }
  }

  /** A delivery that will be settled at the commit. False where there is no such delivery, or it is settled already. */
  settle(tag: number, multiple: boolean, outcome: Outcome): boolean {
    const { unacked } = this.channel;
    const all = multiple && tag === 0;
    const last = all ? unacked.lastTag : tag;
    if (!all && (unacked.get(tag) === null || tag <= this.coveredTo || this.covered.has(tag))) return false;
    this.requireRoom();
    this.settlings.push({ tag: last, multiple, outcome });
    if (multiple) this.coveredTo = Math.max(this.coveredTo, last);
    else this.covered.add(tag);
    return true;
  }

  /**
   * Takes the deliveries that are not to be settled at the commit, for basic.recover: as in RabbitMQ, an acknowledgement
   * that is not committed yet holds its message.
   */
  takeUnsettled(): QueueEntry[] {
    return this.channel.unacked.takeAbove(this.coveredTo, (tag) => this.covered.has(tag));
  }

  /** Resolves when everything is durable. Rejects where nothing was done; what was to be settled is requeued then. */
  async commit(): Promise<void> {
    const { publishes } = this;
    const settlements = this.takeSettled();
    this.clear();
    try {
      const unreachable = await this.session.commit(publishes, settlements);
      for (const { message, mandatory } of unreachable) if (mandatory) this.channel.returnMessage(message);
    } catch (error) {
      if (!(error instanceof TransactionFailed)) throw error;
      throw failed(error.message);
    }
  }

  rollback(): void {
    this.clear();
  }

  private takeSettled(): Settlement[] {
    const { unacked } = this.channel;
    const settlements: Settlement[] = [];
    for (const { tag, multiple, outcome } of this.settlings) {
      if (multiple) {
        for (let entry = unacked.takeFirst(tag); entry !== null; entry = unacked.takeFirst(tag)) {
          settlements.push({ entry, outcome });
        }
      } else {
        const entry = unacked.take(tag);
        if (entry !== null) settlements.push({ entry, outcome });
      }
    }
    return settlements;
  }

  private clear(): void {
    this.channel.transacted.bytes -= this.publishedBytes;
    this.publishes = [];
    this.publishedBytes = 0;
    this.settlings = [];
    this.coveredTo = 0;
    this.covered = new Set();
  }

  private requireRoom(): void {
    const { transactionOperations } = this.channel;
    if (this.publishes.length + this.settlings.length < transactionOperations) return;
    throw tooLarge(`${transactionOperations} operations`, 'amqp.transactionOperations');
  }
}

/** RabbitMQ's words; the channel ends, and what it had out goes back. */
function failed(why: string): AmqpError {
  return new AmqpError(REPLY.preconditionFailed, `partial tx completion: ${why}`);
}

function tooLarge(bound: string, limit: AmqpCountedLimit): AmqpError {
  return new AmqpError(REPLY.preconditionFailed, `transaction holds more than ${bound}`, limit);
}
