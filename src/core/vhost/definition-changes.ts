// Changes of a virtual host's durable definitions whose commit is awaited. A client that made a change is answered when
// it is on disk. A client that declares what already exists is not answered before that is on disk.

import { BrokerError } from '../errors.ts';
import type { QueueStore } from '../queue/queue-store.ts';
import type { Turn } from '../turn/turn.ts';

export class DefinitionChanges {
  private readonly store: QueueStore;
  private readonly turn: Turn;
  private waiting: number;

  constructor(store: QueueStore, turn: Turn) {
    this.store = store;
    this.turn = turn;
    this.waiting = 0;
  }

  /**
   * Resolves when everything that was handed to the store so far is on disk. If the commit fails, calls `undo`, which
   * reverts the change in memory, and rejects with `unavailable`.
   */
  committed(undo?: () => unknown): Promise<void> {
    this.waiting++;
    return new Promise((resolve, reject) => {
      this.store.whenCommitted((error) => {
        this.waiting--;
        if (error === null) {
          resolve();
          return;
        }
        undo?.();
        reject(new BrokerError('unavailable', `the change could not be stored: ${error.message}`));
      });
      this.turn.begin();
    });
  }

  /**
   * Resolves when earlier changes are on disk. The definition that a client declared again may be another client's
   * change whose commit is still pending.
   */
  async settled(): Promise<void> {
    if (this.waiting > 0) await this.committed();
  }
}
