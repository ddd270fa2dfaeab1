// Carries out a transaction: all of it, or nothing. Its publishes become visible together, once they are durable, and its
// acknowledgements are in the same commit of the store. Until then the publishes are held in their queues, where they
// have a place but cannot be delivered. Settlements that need no disk follow when the commit has ended.

import type { Message } from '../message/message.ts';
import type { Meters } from '../ports/meters.ts';
import type { Queue } from '../queue/queue.ts';
import { type QueueEntry, STORE_STATE } from '../queue/queue-entry.ts';
import type { QueueStore } from '../queue/queue-store.ts';
import type { Target } from '../queue/target.ts';
import { ConfirmRing, type ConfirmSink } from '../turn/confirms.ts';
import type { Turn } from '../turn/turn.ts';
import type { VirtualHost } from '../vhost/virtual-host.ts';

/** A message with the queues that it reached when it was published (`Session.stage`). */
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

/** A queue refused one of the publishes, or the disk is full. Nothing of the transaction was done. */
export class TransactionFailed extends Error {}

export class Transaction implements ConfirmSink {
  private readonly dependencies: TransactionDependencies;
  private readonly vhost: VirtualHost;
  private publishes: readonly TransactedPublish[];
  /** Entries that wait for the commit, by queue and in order. */
  private readonly held: Map<Queue, QueueEntry[]>;
  /** Messages that bypass a queue (QoS 0), and are delivered at the end. */
  private readonly bypassing: { readonly message: Message; readonly target: Target }[];
  /** Settlements that follow the commit. */
  private readonly deferred: Settlement[];
  private resolve: (unroutable: readonly Message[]) => void;
  private reject: (error: Error) => void;

  constructor(dependencies: TransactionDependencies, vhost: VirtualHost) {
    this.dependencies = dependencies;
    this.vhost = vhost;
    this.publishes = [];
    this.held = new Map();
    this.bypassing = [];
    this.deferred = [];
    this.resolve = () => {};
    this.reject = () => {};
  }

  /**
   * Does all of it, or nothing. `takeSettlements` takes the settled entries from their owner; it is called in this turn,
   * unless a queue refuses a publish. Resolves, when everything is durable, with the messages that reached no queue and
   * no requester of a direct reply. Rejects with TransactionFailed. Called once.
   *
   * The one exception to «or nothing»: a rejected message whose record on disk is damaged cannot become a dead letter.
   * Then nothing is published, the message stays, and `commit` rejects, but acknowledgements were done.
   */
  commit(
    publishes: readonly TransactedPublish[],
    takeSettlements: () => readonly Settlement[],
  ): Promise<readonly Message[]> {
    const { store, turn } = this.dependencies;
    const full = refusing(publishes);
    if (full !== null) return Promise.reject(new TransactionFailed(`queue '${full.name}' is full`));
    const settlements = takeSettlements();
    this.publishes = publishes;
    return new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
      // One slot stands for the transaction: it settles when every durable entry is committed.
      const ring = new ConfirmRing(this, turn);
      const slot = ring.open();
      let durable = false;
      let removed = false;
      const dying = settlements.filter(isDying);
      // A dead letter is promised to the dead letter exchange: with one, the publishes wait for space, too.
      store.group(() => {
        for (const publish of publishes) durable = this.hold(publish, ring, slot) || durable;
        for (const settlement of settlements) {
          const { entry, outcome } = settlement;
          if (isDeferred(settlement)) this.deferred.push(settlement);
          else if (!isDying(settlement)) {
            removed = true;
            if (outcome === 'acknowledged') entry.queue.acknowledge(entry);
            else entry.queue.reject(entry);
          }
        }
      }, dying.length > 0);
      for (const { entry } of dying) this.rejectEntry(entry, ring, slot);
      // With durable publishes the removals are in their commit; alone they have to be waited for.
      if (durable || !removed) ring.settle(slot);
      else this.settleWhenCommitted(ring, slot);
    });
  }

  confirmed(_ring: ConfirmRing, _from: number, _to: number, ok: boolean): void {
    if (ok) this.succeed();
    else this.fail();
  }

  private succeed(): void {
    const { meters, turn } = this.dependencies;
    const unroutable: Message[] = [];
    for (const [queue, entries] of this.held) queue.releaseHeld(entries);
    for (const { message, target } of this.bypassing) target.queue.accept(message, target, null, 0);
    for (const { message, targets } of this.publishes) {
      if (targets.length > 0 || this.vhost.replies.take(message)) continue;
      meters.unroutable++;
      unroutable.push(message);
    }
    // A second slot, for transient entries that become dead letters.
    const confirmed = (_ring: ConfirmRing, _from: number, _to: number, ok: boolean): void => {
      if (ok) this.resolve(unroutable);
      else this.reject(new TransactionFailed('a rejected message could not become a dead letter'));
    };
    const rest = new ConfirmRing({ confirmed }, turn);
    const slot = rest.open();
    for (const { entry, outcome } of this.deferred) {
      if (outcome === 'requeued') entry.queue.requeue([entry]);
      else if (outcome === 'rejected') this.rejectEntry(entry, rest, slot);
      else entry.queue.acknowledge(entry);
    }
    rest.settle(slot);
  }

  private fail(): void {
    for (const [queue, entries] of this.held) queue.discard(entries);
    for (const { entry } of this.deferred) entry.queue.requeue([entry]);
    this.reject(new TransactionFailed('no space left to store it'));
  }

  /** True if at least one of its entries goes to disk. */
  private hold({ message, targets }: TransactedPublish, ring: ConfirmRing, slot: number): boolean {
    const { meters } = this.dependencies;
    meters.published++;
    meters.publishedBytes += message.bodyLength;
    let durable = this.retain(message, ring, slot);
    for (const target of targets) {
      const { queue } = target;
      if (queue.deleted) continue;
      const entry = queue.hold(message, target, ring, slot);
      if (entry === null) {
        this.bypassing.push({ message, target });
        continue;
      }
      if (entry.ring !== null) durable = true;
      const entries = this.held.get(queue);
      if (entries === undefined) this.held.set(queue, [entry]);
      else entries.push(entry);
    }
    return durable;
  }

  /** If it becomes a dead letter the transaction waits for that transfer. */
  private rejectEntry(entry: QueueEntry, ring: ConfirmRing, slot: number): void {
    const stored = entry.storeState === STORE_STATE.committed || entry.storeState === STORE_STATE.none;
    if (entry.queue.deadLetters !== null && !entry.queue.deleted && stored) {
      ring.hold(slot);
      entry.ring = ring;
      entry.slot = slot;
    }
    entry.queue.reject(entry);
  }

  /** True if it goes to disk as a retained message. */
  private retain(message: Message, ring: ConfirmRing, slot: number): boolean {
    const retainer = this.vhost.exchanges.get(message.exchange)?.retainer ?? null;
    return retainer?.offered(message, ring, slot) === true;
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

/** Whether a settlement needs no disk, and so can wait until the commit has succeeded. A failed one then requeues. */
function isDeferred({ entry, outcome }: Settlement): boolean {
  return outcome === 'requeued' || entry.storeState === STORE_STATE.none;
}

/** Whether a settlement makes a stored entry a dead letter. */
function isDying(settlement: Settlement): boolean {
  const { entry, outcome } = settlement;
  return outcome === 'rejected' && entry.queue.deadLetters !== null && !isDeferred(settlement);
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
