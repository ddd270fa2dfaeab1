// The transfer of one dead letter from its queue to the queues of the dead letter exchange: each gets a copy, then the
// entry is removed. The publisher's confirm, if it is still pending, waits for the whole transfer.

import type { FieldTable } from '../message/field-table.ts';
import type { Message } from '../message/message.ts';
import type { Death } from '../queue/death-reason.ts';
import { type QueueEntry, STORE_STATE } from '../queue/queue-entry.ts';
import type { Target } from '../queue/target.ts';
import type { ConfirmRing } from '../turn/confirms.ts';
import { isAutomaticCycle } from './x-death.ts';

export class DeadLetterTransfer {
  /** Queues that got a copy so far. */
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
    // The store may commit the entry, and settle the entry's own hold, in the middle of the transfer.
    this.ring?.hold(this.slot);
  }

  /** Queues that are still to get it. */
  get left(): number {
    return this.targets.length - this.at;
  }

  /**
   * Whether the publisher was told, or may soon be, that the message is safe: a full disk must not refuse its copies
   * then.
   */
  get promised(): boolean {
    const { storeState } = this.entry;
    return storeState === STORE_STATE.committing || storeState === STORE_STATE.committed;
  }

  /** Offers it to at most `most` further queues. */
  offer(most: number): void {
    const { dead, death, headers, targets, ring, slot } = this;
    const end = Math.min(this.at + most, targets.length);
    for (; this.at < end; this.at++) {
      const target = targets[this.at]!;
      const { queue } = target;
      if (queue.deleted || isAutomaticCycle(headers, queue.name, death)) continue;
      this.copies++;
      // A full queue drops a dead letter without refusing the publisher's confirm.
      queue.accept(dead, target, queue.refuses(0, 0) ? null : ring, slot);
    }
  }

  /** Called when every queue has it: removes the entry and settles the holds. */
  end(): void {
    const { entry } = this;
    entry.queue.deadLettered(entry);
    // If the store had not committed the entry, removing it has settled its hold already.
    const { ring } = entry;
    entry.ring = null;
    ring?.settle(entry.slot);
    this.ring?.settle(this.slot);
  }
}
