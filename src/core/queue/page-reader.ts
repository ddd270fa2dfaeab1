// Reads entries of one queue back from disk, one range at a time. If a record is damaged the queue stops until it is
// purged: later entries must not overtake it.

import { BrokerError } from '../errors.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { Queue } from './queue.ts';
import type { LoadedRange, QueueStore } from './queue-store.ts';

/** Entries that one load reads at most, so that a turn stays short. */
const LOAD_ENTRIES = 4096;
const LOAD_BYTES = 4 * 1024 * 1024;
/** However short memory is, an empty head may use this share: consumers are what frees memory. */
const LEAST_SHARE = 1 / 16;

export interface PageReaderDependencies {
  readonly store: QueueStore;
  readonly memory: MemoryBudget;
}

export class PageReader {
  private readonly queue: Queue;
  private readonly storeId: number;
  private readonly dependencies: PageReaderDependencies;
  /** The load in progress, or null. */
  private loading: Promise<void> | null;
  private damage: Error | null;
  /** Incremented when the queue was purged: the result of an earlier load is dropped. */
  private version: number;

  constructor(queue: Queue, storeId: number, dependencies: PageReaderDependencies) {
    this.queue = queue;
    this.storeId = storeId;
    this.dependencies = dependencies;
    this.loading = null;
    this.damage = null;
    this.version = 0;
  }

  get busy(): boolean {
    return this.loading !== null;
  }

  /** Whether it may read: no load is in progress, and no record is damaged. */
  get idle(): boolean {
    return this.loading === null && this.damage === null;
  }

  /**
   * Reads some of a range and passes it to `use`. True: at once. False: later, followed by `queue.wake`. Must only be
   * called when idle.
   */
  read(from: number, to: number, use: (range: LoadedRange) => void): boolean {
    const { store, memory } = this.dependencies;
    const share = Math.max(memory.share, LEAST_SHARE);
    let loaded: LoadedRange | Promise<LoadedRange>;
    try {
      loaded = store.load(this.storeId, from, to, Math.ceil(LOAD_ENTRIES * share), LOAD_BYTES * share);
    } catch (error) {
      this.damaged(error as Error);
      return false;
    }
    if (loaded instanceof Promise) {
      this.useLater(loaded, use);
      return false;
    }
    use(loaded);
    return true;
  }

  /** Resolves when the load in progress has ended; null if there is none. Rejects if a record is damaged. */
  whenRead(): Promise<void> | null {
    if (this.damage === null) return this.loading;
    const { name } = this.queue;
    return Promise.reject(new BrokerError('internal', `the next message of queue '${name}' cannot be read`));
  }

  damaged(error: Error): void {
    this.damage = error;
    this.queue.damaged(error);
  }

  /** The queue was purged. */
  clear(): void {
    this.version++;
    this.loading = null;
    this.damage = null;
  }

  private useLater(loaded: Promise<LoadedRange>, use: (range: LoadedRange) => void): void {
    const { version } = this;
    const done = (range: LoadedRange): void => {
      if (version !== this.version) return;
      this.loading = null;
      use(range);
      this.queue.wake();
    };
    this.loading = loaded.then(done, (error: unknown) => {
      if (version !== this.version) return;
      this.loading = null;
      this.damaged(error as Error);
    });
  }
}
