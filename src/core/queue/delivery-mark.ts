// Stores that entries of one queue may have been delivered: after a crash, entries that are read back carry the
// redelivered mark. There is one mark for all entries of a lane; exactly which entries were delivered is only stored at
// an orderly stop. A queue that does not survive a restart has no mark.

import type { QueueStore } from './queue-store.ts';
import type { QueueWindow } from './queue-window.ts';
import type { ReadyEntries } from './ready-entries.ts';

export class DeliveryMark {
  private readonly ready: ReadyEntries;
  private readonly store: QueueStore;
  /** Whether the store was told, and whether the mark is on disk. */
  private requested: boolean;
  private isWritten: boolean;

  constructor(ready: ReadyEntries, store: QueueStore) {
    this.ready = ready;
    this.store = store;
    this.requested = false;
    this.isWritten = false;
  }

  /**
   * Entries may be delivered from now on. True if the mark is not known to be on disk yet; `written` resolves when it
   * is.
   */
  set(): boolean {
    if (this.isWritten) return false;
    this.requested = true;
    for (const { storeId } of this.ready.lanes()) this.store.markDelivering(storeId);
    return true;
  }

  written(): void {
    this.isWritten = true;
  }

  /** A lane is used for the first time. Its mark, if there is one, is on disk with its first entry. */
  laneOpened({ storeId }: QueueWindow): void {
    if (this.requested) this.store.markDelivering(storeId);
  }

  /** Called at an orderly stop: stores exactly which entries may have been delivered. */
  settle(): void {
    for (const { storeId, deliveredTo } of this.ready.lanes()) {
      // Also if nothing was delivered: the disk says since the first consumer that something may have been.
      if (deliveredTo > 0 || this.requested) this.store.settleDelivered(storeId, deliveredTo);
    }
  }
}
