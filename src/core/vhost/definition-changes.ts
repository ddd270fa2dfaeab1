// Changes of a virtual host's durable definitions whose commit is awaited: whoever asked for one is answered when it is
// on disk, and whoever asks for what is there already is not answered before that is.

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
   * Resolves when everything that was handed to the store so far is on disk. Where that fails, `undo` takes back what was
   * just changed, and it rejects with `unavailable`.
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
   * What is the same as asked for already may be so only since a moment ago, by somebody else: then it is no more durable
   * than that one's change.
   */
  async settled(): Promise<void> {
    if (this.waiting > 0) await this.committed();
  }
}
