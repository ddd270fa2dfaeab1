// Whether it is on disk that entries of one queue may be out with somebody: after a crash those that are read back carry
// the redelivered mark then. One mark for all that is in a lane: which entries went out exactly is only written down
// when the broker stops in order. A queue that does not survive has none.

import type { QueueStore } from './queue-store.ts';
import type { QueueWindow } from './queue-window.ts';
import type { ReadyEntries } from './ready-entries.ts';

export class DeliveryMark {
  private readonly ready: ReadyEntries;
  private readonly store: QueueStore;
  /** Whether the store was told, and whether that is on disk. */
  private told: boolean;
  private isWritten: boolean;

  constructor(ready: ReadyEntries, store: QueueStore) {
    this.ready = ready;
    this.store = store;
    this.told = false;
    this.isWritten = false;
  }

  /** Entries may be out from now on. True where that is not known to be on disk yet; `written` says when it is. */
  set(): boolean {
    if (this.isWritten) return false;
    this.told = true;
    for (const { storeId } of this.ready.lanes()) this.store.markDelivering(storeId);
    return true;
  }

  written(): void {
    this.isWritten = true;
  }

  /** A lane is used for the first time. Its mark, where there is one, is on disk with its first entry. */
  laneOpened({ storeId }: QueueWindow): void {
    if (this.told) this.store.markDelivering(storeId);
  }

  /** The broker stops in order: the store learns exactly which entries may have been delivered. */
  settle(): void {
    for (const { storeId, deliveredTo } of this.ready.lanes()) {
      // Also where nothing was delivered: that something may have been is on disk since the first consumer.
      if (deliveredTo > 0 || this.told) this.store.settleDelivered(storeId, deliveredTo);
    }
  }
}
