// One dead letter on its way from the queue in which it died to those that get it: a copy for each of them, then the
// entry leaves. A publisher that still waits for its confirm waits for all of it.

import type { FieldTable } from '../message/field-table.ts';
import type { Message } from '../message/message.ts';
import type { Death } from '../queue/death-reason.ts';
import { type QueueEntry, STORE_STATE } from '../queue/queue-entry.ts';
import type { Target } from '../queue/target.ts';
import type { ConfirmRing } from '../turn/confirms.ts';
import { isAutomaticCycle } from './x-death.ts';

export class DeadLetterTransfer {
  /** Queues that got it so far. */
  copies: number;
  private readonly entry: QueueEntry;
  private readonly death: Death;
  private readonly dead: Message;
  private readonly headers: FieldTable;
  private readonly targets: readonly Target[];
  private readonly ring: ConfirmRing | null;
  private readonly slot: number;
  private at: number;

  constructor(entry: QueueEntry, death: Death, dead: Message, targets: readonly Target[]) {
    this.copies = 0;
    this.entry = entry;
    this.death = death;
    this.dead = dead;
    this.headers = targets.length === 0 ? [] : dead.properties().headers;
    this.targets = targets;
    this.ring = entry.ring;
    this.slot = entry.slot;
    this.at = 0;
    // The entry's own hold ends when the store has committed it, which may be in the middle of this.
    this.ring?.hold(this.slot);
  }

  /** Queues that it was not offered to yet. */
  get left(): number {
    return this.targets.length - this.at;
  }

  /** Whether somebody was told, or may soon be, that the message is safe: its copies must not be refused then. */
  get promised(): boolean {
    const { storeState } = this.entry;
    return storeState === STORE_STATE.committing || storeState === STORE_STATE.committed;
  }

  /** Offers it to the next queues, `most` at most. */
  offer(most: number): void {
    const { dead, death, headers, targets, ring, slot } = this;
    const end = Math.min(this.at + most, targets.length);
    for (; this.at < end; this.at++) {
      const target = targets[this.at]!;
      const { queue } = target;
      if (queue.deleted || isAutomaticCycle(headers, queue.name, death)) continue;
      this.copies++;
      // A full queue drops a dead letter; to the publisher of the original nothing was refused.
      queue.accept(dead, target, queue.refuses(0, 0) ? null : ring, slot);
    }
  }

  /** Every queue has it. */
  end(): void {
    const { entry } = this;
    entry.queue.deadLettered(entry);
    // Where the store had not committed it, it has settled this already.
    const { ring } = entry;
    entry.ring = null;
    ring?.settle(entry.slot);
    this.ring?.settle(this.slot);
  }
}
