// Reads entries of one queue back from disk, one range at a time. Where a record is damaged the queue stands until it is
// purged: what comes behind it must not overtake it.

import { BrokerError } from '../errors.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { Queue } from './queue.ts';
import type { LoadedRange, QueueStore } from './queue-store.ts';

/** Entries that one load reads at most, so that a turn stays short. */
const LOAD_ENTRIES = 4096;
const LOAD_BYTES = 4 * 1024 * 1024;
/** However short memory is, an empty head is given so much of it: consumers are what makes room. */
const LEAST_SHARE = 1 / 16;

export interface PageReaderDependencies {
  readonly store: QueueStore;
  readonly memory: MemoryBudget;
}

export class PageReader {
  private readonly queue: Queue;
  private readonly storeId: number;
  private readonly dependencies: PageReaderDependencies;
  /** The load that is under way, or null. */
  private loading: Promise<void> | null;
  private damage: Error | null;
  /** Grows when the contents were dropped: a load that was under way then is void. */
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

  /** Whether it may read: nothing is under way, and nothing is damaged. */
  get idle(): boolean {
    return this.loading === null && this.damage === null;
  }

  /**
   * Reads some of a range and hands it to `use`: at once where that can be, which is told by true, else later, with a
   * `queue.wake` behind it. To be called when it is idle.
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

  /** Resolves when the load that is under way is in; null where none is. Rejects where something is damaged. */
  whenRead(): Promise<void> | null {
    if (this.damage === null) return this.loading;
    const { name } = this.queue;
    return Promise.reject(new BrokerError('internal', `the next message of queue '${name}' cannot be read`));
  }

  damaged(error: Error): void {
    this.damage = error;
    this.queue.damaged(error);
  }

  /** The contents were dropped. */
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
