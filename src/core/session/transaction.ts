// Does all of a transaction, or nothing. Its publishes become visible together, when they are durable. Its
// acknowledgements and dead letters are in the same commit of the store. Until the commit has ended, published messages
// are held in their queues: they have a place there and cannot be delivered. A queue that was deleted after a message
// was routed to it gets nothing.

import type { Message } from '../message/message.ts';
import type { Meters } from '../ports/meters.ts';
import type { Queue } from '../queue/queue.ts';
import { type QueueEntry, STORE_STATE } from '../queue/queue-entry.ts';
import type { QueueStore } from '../queue/queue-store.ts';
import type { Target } from '../queue/target.ts';
import { ConfirmRing, type ConfirmSink } from '../turn/confirms.ts';
import type { Turn } from '../turn/turn.ts';
import type { VirtualHost } from '../vhost/virtual-host.ts';

/** What a transaction holds for each queue that a message reaches. */
export const TARGET_BYTES = 16;

/** A message with the queues that it reached when it was published. */
export interface TransactedPublish {
  readonly message: Message;
  readonly targets: readonly Target[];
}

export const OUTCOMES = ['acknowledged', 'rejected', 'requeued'] as const;
/** What happens to an entry: it is removed, it dies (dead letters), or it returns to its queue. */
export type Outcome = (typeof OUTCOMES)[number];

/** An outstanding entry, and what happens to it. */
export interface Settlement {
  readonly entry: QueueEntry;
  readonly outcome: Outcome;
}

export interface TransactionDependencies {
  readonly store: QueueStore;
  readonly turn: Turn;
  readonly meters: Meters;
}

/** Nothing of the transaction was done: a queue or the disk is full, or a rejected message cannot be read. */
export class TransactionFailed extends Error {}

export class Transaction<P extends TransactedPublish = TransactedPublish> implements ConfirmSink {
  private readonly dependencies: TransactionDependencies;
  private readonly vhost: VirtualHost;
  private publishes: readonly P[];
  /** Entries that wait for the commit in their queues, in order. */
  private readonly held: Map<Queue, QueueEntry[]>;
  /**
   * Messages without a held entry (QoS 0 that bypasses the queue; dead letters that a full queue would refuse): given to
   * the queue after the commit.
   */
  private readonly passing: { readonly message: Message; readonly target: Target }[];
  /** Settlements that change nothing on disk: done after the commit. */
  private later: Settlement[];
  private resolve: () => void;
  private reject: (error: Error) => void;

  constructor(dependencies: TransactionDependencies, vhost: VirtualHost) {
    this.dependencies = dependencies;
    this.vhost = vhost;
    this.publishes = [];
    this.held = new Map();
    this.passing = [];
    this.later = [];
    this.resolve = () => {};
    this.reject = () => {};
  }

  /**
   * Does all of it, or nothing. Resolves when it is durable, with the publishes that reached nobody. Rejects with
   * TransactionFailed if nothing was done; the entries to settle are back in their queues then. Called once.
   */
  async commit(publishes: readonly P[], settlements: readonly Settlement[]): Promise<P[]> {
    this.publishes = publishes;
    if (settlements.some(isUnready)) {
      const failure = await this.prepare(settlements);
      if (failure !== null) {
        requeue(settlements);
        throw new TransactionFailed(failure);
      }
    }
    const full = refusing(publishes);
    if (full !== null) {
      requeue(settlements);
      throw new TransactionFailed(`queue '${full.name}' is full`);
    }
    const unreachable = publishes.filter(({ targets }) => targets.every(({ queue }) => queue.deleted));
    await this.carryOut(settlements);
    return unreachable.filter(({ message }) => !this.takeReply(message));
  }

  confirmed(_ring: ConfirmRing, _from: number, _to: number, ok: boolean): void {
    if (!ok) {
      for (const [queue, entries] of this.held) queue.discard(entries);
      requeue(this.later);
      this.reject(new TransactionFailed('no space left to store it'));
      return;
    }
    const { meters } = this.dependencies;
    for (const { message } of this.publishes) {
      meters.published++;
      meters.publishedBytes += message.bodyLength;
    }
    for (const [queue, entries] of this.held) queue.releaseHeld(entries);
    for (const { message, target } of this.passing) {
      if (!target.queue.deleted) target.queue.accept(message, target, null, 0);
    }
    for (const { entry, outcome } of this.later) {
      if (outcome === 'acknowledged') entry.queue.acknowledge(entry);
      else if (outcome === 'rejected') entry.queue.rejectTransferred(entry);
    }
    requeue(this.later.filter(({ outcome }) => outcome === 'requeued'));
    this.resolve();
  }

  /**
   * Waits until the entries to settle are on disk, so that their removal is part of the commit, and until those that
   * become dead letters are in memory. Returns why the transaction cannot be done, or null.
   */
  private async prepare(settlements: readonly Settlement[]): Promise<string | null> {
    const { store, turn } = this.dependencies;
    while (settlements.some(({ entry, outcome }) => outcome !== 'requeued' && isBeingWritten(entry))) {
      await new Promise<void>((resolve) => {
        store.whenCommitted(() => resolve());
        turn.begin();
      });
    }
    for (const { entry, outcome } of settlements) {
      if (outcome !== 'rejected' || entry.queue.deadLetters === null || entry.queue.deleted) continue;
      const isThere = await this.vhost.deadLetters.load(entry);
      if (!isThere && !entry.queue.deleted) return `a message of queue '${entry.queue.name}' cannot be read`;
    }
    return null;
  }

  private carryOut(settlements: readonly Settlement[]): Promise<void> {
    const { store, turn } = this.dependencies;
    // The caller may have awaited something since its turn ended.
    turn.begin();
    return new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
      // One slot stands for the transaction: it settles when every durable entry is committed.
      const ring = new ConfirmRing(this, turn);
      const slot = ring.open();
      let adds = false;
      let removes = false;
      // On a full disk a group with removes waits as a whole, and one without is refused as a whole.
      store.group(() => {
        for (const { message, targets } of this.publishes) {
          adds = this.retain(message, ring, slot) || adds;
          for (const target of targets) adds = this.hold(message, target, ring, slot) || adds;
        }
        for (const settlement of settlements) {
          const { entry, outcome } = settlement;
          if (entry.queue.deleted) continue;
          if (outcome === 'rejected') adds = this.deadLetter(entry, ring, slot) || adds;
          if (outcome === 'requeued' || entry.storeState !== STORE_STATE.committed) this.later.push(settlement);
          else {
            removes = true;
            if (outcome === 'acknowledged') entry.queue.acknowledge(entry);
            else entry.queue.rejectTransferred(entry);
          }
        }
      });
      // Each entry that is added settles the slot too, when it is committed. Removals do not: they have to be awaited.
      if (adds || !removes) ring.settle(slot);
      else this.settleWhenCommitted(ring, slot);
    });
  }

  /** True if it goes to disk. */
  private hold(message: Message, target: Target, ring: ConfirmRing, slot: number): boolean {
    const { queue } = target;
    if (queue.deleted) return false;
    const entry = queue.hold(message, target, ring, slot);
    if (entry === null) {
      this.passing.push({ message, target });
      return false;
    }
    const entries = this.held.get(queue);
    if (entries === undefined) this.held.set(queue, [entry]);
    else entries.push(entry);
    return entry.ring !== null;
  }

  /** Publishes a rejected message to its dead letter exchange. A full queue drops it, as outside of transactions. */
  private deadLetter(entry: QueueEntry, ring: ConfirmRing, slot: number): boolean {
    if (entry.queue.deadLetters === null) return false;
    const { dead, targets } = this.vhost.deadLetters.address(entry, 'rejected');
    let adds = false;
    let copies = 0;
    for (const target of targets) {
      if (target.queue.deleted) continue;
      copies++;
      if (target.queue.refuses(0, 0)) this.passing.push({ message: dead, target });
      else adds = this.hold(dead, target, ring, slot) || adds;
    }
    if (copies === 0) this.dependencies.meters.deadLettersLost++;
    else this.dependencies.turn.retain(dead);
    return adds;
  }

  /** True if it goes to disk as a retained message. */
  private retain(message: Message, ring: ConfirmRing, slot: number): boolean {
    const retainer = this.vhost.exchanges.get(message.exchange)?.retainer ?? null;
    return retainer?.offered(message, ring, slot) === true;
  }

  /** Delivers a message that reached no queue to the requester whose direct reply it is. False if it is none. */
  private takeReply(message: Message): boolean {
    this.dependencies.turn.begin();
    if (message.exchange === '' && this.vhost.replies.take(message)) return true;
    this.dependencies.meters.unroutable++;
    return false;
  }

  /** Removals alone succeed on a full disk too, but not at the first attempt. */
  private settleWhenCommitted(ring: ConfirmRing, slot: number): void {
    this.dependencies.store.whenCommitted((error) => {
      if (error === null) ring.settle(slot);
      else this.settleWhenCommitted(ring, slot);
    });
    this.dependencies.turn.begin();
  }
}

/** Whether a settlement has to wait before it can be part of a commit. */
function isUnready({ entry, outcome }: Settlement): boolean {
  if (outcome === 'requeued') return false;
  return isBeingWritten(entry) || (outcome === 'rejected' && entry.unloaded && entry.queue.deadLetters !== null);
}

function isBeingWritten({ queue, storeState }: QueueEntry): boolean {
  return !queue.deleted && (storeState === STORE_STATE.pending || storeState === STORE_STATE.committing);
}

/** Returns entries to their queues, those of one queue together. */
function requeue(settlements: readonly Settlement[]): void {
  const byQueue = Map.groupBy(settlements, ({ entry }) => entry.queue);
  for (const [queue, together] of byQueue) queue.requeue(together.map(({ entry }) => entry));
}

/** A queue that would refuse one of the publishes (x-overflow), or null. */
function refusing(publishes: readonly TransactedPublish[]): Queue | null {
  const more = new Map<Queue, { count: number; bytes: number }>();
  for (const { message, targets } of publishes) {
    for (const { queue } of targets) {
      if (queue.limits === null || queue.deleted) continue;
      let behind = more.get(queue);
      if (behind === undefined) {
        behind = { count: 0, bytes: 0 };
        more.set(queue, behind);
      }
      if (queue.refuses(behind.count, behind.bytes)) return queue;
      behind.count++;
      behind.bytes += message.bodyLength;
    }
  }
  return null;
}
