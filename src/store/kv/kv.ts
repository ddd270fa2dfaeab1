// The narrow port over which the whole store is written: an ordered map of binary keys to binary values with atomic,
// durable batches. LMDB, memory and the simulation's faulty disk implement it; nothing else in the store knows them.
//
// Invariants that every implementation keeps: a batch becomes visible and durable as a whole or not at all; its promise
// resolves only when it is synced; reads see exactly the batches that have resolved (or are about to) and never block on
// one that is in flight; no read holds anything open after it returned.

/** One transaction: puts and removes in order; for one key the last one wins. */
export class KvBatch {
  readonly keys: Buffer[];
  /** The value that is put, or null for a remove. Values stay untouched by their owner until the commit ended. */
  readonly values: (Buffer | null)[];

  constructor() {
    this.keys = [];
    this.values = [];
  }

  get size(): number {
    return this.keys.length;
  }

  put(key: Buffer, value: Buffer): void {
    this.keys.push(key);
    this.values.push(value);
  }

  remove(key: Buffer): void {
    this.keys.push(key);
    this.values.push(null);
  }
}

export interface KvRecord {
  readonly key: Buffer;
  readonly value: Buffer;
}

export interface Kv {
  /** A copy of the value, or null. */
  get(key: Buffer): Buffer | null;
  /** Keys with `from <= key < to` in order, `limit` at most. */
  keys(from: Buffer, to: Buffer, limit: number): Buffer[];
  /** The greatest key with `from <= key < to`, or null. */
  lastKey(from: Buffer, to: Buffer): Buffer | null;
  /** Records with `from <= key < to` in order, `limit` at most; copies. */
  range(from: Buffer, to: Buffer, limit: number): KvRecord[];
  /**
   * Brings the values of these keys into memory off the main thread, so that reading them does not wait for the disk.
   * Null where they need no bringing.
   */
  prefetch(keys: readonly Buffer[]): Promise<void> | null;
  /**
   * Commits a batch. Resolves when it is synced; rejects with OutOfSpaceError where the disk is full (nothing of the
   * batch is there then) and with any other error where the state of the disk is not known. One commit at a time.
   */
  commit(batch: KvBatch): Promise<void>;
  /** What the data takes on disk now; 0 for memory. */
  bytesOnDisk(): number;
  /** Idempotent. */
  close(): Promise<void>;
}

/** The disk (or a quota) is full. Nothing of the batch was written; a later one may succeed. */
export class OutOfSpaceError extends Error {
  constructor(cause: unknown) {
    super('no space left for the data', { cause });
    this.name = 'OutOfSpaceError';
  }
}

/** What is on disk is not what was written there. Names the record. */
export class DamagedDataError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'DamagedDataError';
  }
}
