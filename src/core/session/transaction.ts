// Carries a transaction out as one: its publishes become visible together and only once they are durable, its
// acknowledgements are done in the same commit of the store, and whoever asked learns of it when that has ended. Until
// then what was published is held in its queues, where it has its place but nobody can take it.

import type { Message } from '../message/message.ts';
import type { Meters } from '../ports/meters.ts';
import type { Queue } from '../queue/queue.ts';
import { type QueueEntry, STORE_STATE } from '../queue/queue-entry.ts';
import type { QueueStore } from '../queue/queue-store.ts';
import type { Target } from '../queue/target.ts';
import { ConfirmRing, type ConfirmSink } from '../turn/confirms.ts';
import type { Turn } from '../turn/turn.ts';
import type { VirtualHost } from '../vhost/virtual-host.ts';

/** A message with the queues that it reached when it was published. */
export interface TransactedPublish {
  readonly message: Message;
  readonly targets: readonly Target[];
}

export const OUTCOMES = ['acknowledged', 'rejected', 'requeued'] as const;
/** What becomes of an entry: it is done with, it dies (dead letters), or it goes back to its queue. */
export type Outcome = (typeof OUTCOMES)[number];

/** An entry that is out with the client, and what becomes of it. */
export interface Settlement {
  readonly entry: QueueEntry;
  readonly outcome: Outcome;
}

export interface TransactionDependencies {
  readonly store: QueueStore;
  readonly turn: Turn;
  readonly meters: Meters;
}

/** The disk had no room: nothing of what was published is there. */
export class TransactionFailed extends Error {}

export class Transaction implements ConfirmSink {
  private readonly dependencies: TransactionDependencies;
  private readonly vhost: VirtualHost;
  /** What waits for the commit, by queue and in order. */
  private readonly held: Map<Queue, QueueEntry[]>;
  /** Messages that pass a queue by, and are handed over at the end. */
  private readonly passing: { readonly message: Message; readonly target: Target }[];
  private resolve: () => void;
  private reject: (error: Error) => void;

  constructor(dependencies: TransactionDependencies, vhost: VirtualHost) {
    this.dependencies = dependencies;
    this.vhost = vhost;
    this.held = new Map();
    this.passing = [];
    this.resolve = () => {};
    this.reject = () => {};
  }

  /** Does all of it in this turn, whatever the limits of queues. Resolves when it is durable; rejects with TransactionFailed. Called once. */
  commit(publishes: readonly TransactedPublish[], settlements: readonly Settlement[]): Promise<void> {
    const { store, turn } = this.dependencies;
    return new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
      // One slot stands for all: it settles when every durable entry is committed.
      const ring = new ConfirmRing(this, turn);
      const slot = ring.open();
      let durable = false;
      store.group(() => {
        for (const publish of publishes) durable = this.hold(publish, ring, slot) || durable;
        for (const { entry, outcome } of settlements) if (outcome === 'acknowledged') entry.queue.acknowledge(entry);
      });
      for (const { entry, outcome } of settlements) {
        if (outcome === 'requeued') entry.queue.requeue([entry]);
        else if (outcome === 'rejected') this.bury(entry, ring, slot);
      }
      // With durable publishes the acknowledgements are in their commit; alone they have to be waited for.
      if (durable || settlements.length === 0) ring.settle(slot);
      else this.settleWhenCommitted(ring, slot);
    });
  }

  confirmed(_ring: ConfirmRing, _from: number, _to: number, ok: boolean): void {
    if (!ok) {
      for (const [queue, entries] of this.held) queue.discard(entries);
      this.reject(new TransactionFailed('no space left to store it'));
      return;
    }
    for (const [queue, entries] of this.held) queue.releaseHeld(entries);
    for (const { message, target } of this.passing) target.queue.accept(message, target, null, 0);
    this.resolve();
  }

  /** True where at least one of its entries goes to disk. */
  private hold({ message, targets }: TransactedPublish, ring: ConfirmRing, slot: number): boolean {
    const { meters } = this.dependencies;
    meters.published++;
    meters.publishedBytes += message.bodyLength;
    if (targets.length === 0) meters.unroutable++;
    let durable = this.retain(message, ring, slot);
    for (const target of targets) {
      const { queue } = target;
      if (queue.deleted) continue;
      const entry = queue.hold(message, target, ring, slot);
      if (entry === null) {
        this.passing.push({ message, target });
        continue;
      }
      if (entry.ring !== null) durable = true;
      const entries = this.held.get(queue);
      if (entries === undefined) this.held.set(queue, [entry]);
      else entries.push(entry);
    }
    return durable;
  }

  /** Where it becomes a dead letter the commit waits for that too. */
  private bury(entry: QueueEntry, ring: ConfirmRing, slot: number): void {
    const stored = entry.storeState === STORE_STATE.committed || entry.storeState === STORE_STATE.none;
    if (entry.queue.deadLetters !== null && !entry.queue.deleted && stored) {
      ring.hold(slot);
      entry.ring = ring;
      entry.slot = slot;
    }
    entry.queue.reject(entry);
  }

  /** True where it goes to disk as a retained message. */
  private retain(message: Message, ring: ConfirmRing, slot: number): boolean {
    const retainer = this.vhost.exchanges.get(message.exchange)?.retainer ?? null;
    return retainer?.offered(message, ring, slot) === true;
  }

  /** Deletes alone are done on a full disk too, only not at the first attempt. */
  private settleWhenCommitted(ring: ConfirmRing, slot: number): void {
    this.dependencies.store.whenCommitted((error) => {
      if (error === null) ring.settle(slot);
      else this.settleWhenCommitted(ring, slot);
    });
    this.dependencies.turn.begin();
  }
}

/** A queue that would refuse one of the publishes (x-overflow), or null. To be asked before `commit`. */
export function refusing(publishes: readonly TransactedPublish[]): Queue | null {
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
