// A `Kv` over LMDB. It owns the data directory: the lock that keeps a second broker out, and the environment.
//
// What LMDB asks for, kept here: values stay untouched until their commit ended (the batch keeps them); `overlappingSync`
// is off, so that a resolved commit is a synced one; `db.flushed` is never awaited, it can hang after a failed commit;
// iterators are drained before anything returns, an open one would pin pages; cold values are prefetched off the main
// thread before they are read.

import { mkdirSync, statfsSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { DataLock } from './data-lock.ts';
import { type Kv, type KvBatch, type KvRecord, OutOfSpaceError } from './kv.ts';

/** LMDB hands the operating system's error numbers through. */
const OUT_OF_SPACE: readonly unknown[] = [constants.errno.ENOSPC, constants.errno.EDQUOT, constants.errno.EFBIG];
/** A write that was cut short because the disk became full is an I/O error to LMDB. With less than this it was that. */
const FULL_BELOW_BYTES = 64 * 1024 * 1024;
/** How long the reason of a failed commit is waited for; LMDB may never give it. */
const REASON_MS = 1_000;
/** A commit of fewer bytes begins in the turn that seals it (docs/decisions/0054). */
const PROMPT_BYTES = 64 * 1024;
const NOTHING = (): void => {};

export class LmdbKv implements Kv {
  private readonly file: string;
  private readonly lock: DataLock;
  private readonly db: RootDatabase<Buffer, Buffer>;
  private closing: Promise<void> | null;

  private constructor(file: string, lock: DataLock, db: RootDatabase<Buffer, Buffer>) {
    this.file = file;
    this.lock = lock;
    this.db = db;
    this.closing = null;
  }

  /** Opens or creates the data in `directory`. Throws where another broker holds it. */
  static open(directory: string): LmdbKv {
    mkdirSync(directory, { recursive: true });
    const lock = new DataLock(directory);
    const file = join(directory, 'data.mdb');
    try {
      const options = {
        path: file,
        encoding: 'binary' as const,
        keyEncoding: 'binary' as const,
        overlappingSync: false,
        // A transaction is a batch and nothing but it. Otherwise LMDB wraps one around the turn, whose promise nobody
        // holds and whose rejection would end the process.
        eventTurnBatching: false,
        // See `commit`.
        txnStartThreshold: 1,
        maxDbs: 1,
      };
      const db = open<Buffer, Buffer>(options);
      return new LmdbKv(file, lock, db);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  get(key: Buffer): Buffer | null {
    const value = this.db.getBinary(key);
    // LMDB gives large values an own `length` property; a fresh view is an ordinary buffer over the same memory.
    return value === undefined ? null : Buffer.from(value.buffer, value.byteOffset, value.length);
  }

  keys(from: Buffer, to: Buffer, limit: number): Buffer[] {
    const found: Buffer[] = [];
    for (const key of this.db.getKeys({ start: from, end: to, limit })) found.push(asBuffer(key));
    return found;
  }

  lastKey(from: Buffer, to: Buffer): Buffer | null {
    let found: Buffer | null = null;
    // A reverse range includes its start, which is never a key here: it would have to be `to` itself.
    for (const key of this.db.getKeys({ start: to, end: from, reverse: true, limit: 2 })) {
      const candidate = asBuffer(key);
      if (candidate.compare(to) < 0 && found === null) found = candidate;
    }
    if (found !== null) return found;
    // A reverse range leaves its end out.
    return this.db.getBinary(from) === undefined || from.compare(to) >= 0 ? null : Buffer.from(from);
  }

  range(from: Buffer, to: Buffer, limit: number): KvRecord[] {
    const found: KvRecord[] = [];
    for (const { key, value } of this.db.getRange({ start: from, end: to, limit })) {
      found.push({ key: asBuffer(key), value: Buffer.from(value.buffer, value.byteOffset, value.length) });
    }
    return found;
  }

  prefetch(keys: readonly Buffer[]): Promise<void> | null {
    return keys.length === 0 ? null : this.db.prefetch(keys as Buffer[]);
  }

  async commit(batch: KvBatch): Promise<void> {
    const { db } = this;
    const { keys, values } = batch;
    try {
      let bytes = 0;
      const written = db.batch(() => {
        for (let i = 0; i < keys.length; i++) {
          const value = values[i]!;
          if (value === null) db.remove(keys[i]!);
          else db.put(keys[i]!, value);
          bytes += value?.length ?? 0;
        }
      });
      // LMDB begins the transaction in the next turn, behind all input that is there. A second batch begins it now and is
      // part of it: one of nothing.
      if (bytes < PROMPT_BYTES) await Promise.all([written, db.batch(NOTHING)]);
      else await written;
    } catch (error) {
      const reason = await reasonOf(error);
      throw this.isFull(reason) ? new OutOfSpaceError(reason) : reason;
    }
  }

  private isFull(reason: unknown): boolean {
    const code = (reason as { code?: unknown }).code;
    if (OUT_OF_SPACE.includes(code)) return true;
    if (code !== constants.errno.EIO) return false;
    const { bavail, bsize } = statfsSync(this.file);
    return bavail * bsize < FULL_BELOW_BYTES;
  }

  bytesOnDisk(): number {
    return statSync(this.file).size;
  }

  close(): Promise<void> {
    this.closing ??= this.db.close().finally(() => this.lock.release());
    return this.closing;
  }
}

function asBuffer(key: Uint8Array): Buffer {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength);
}

/** A failed commit names its reason in a promise of its own, which may never settle. */
function reasonOf(error: unknown): Promise<unknown> {
  const given = (error as { commitError?: Promise<unknown> }).commitError;
  if (given === undefined) return Promise.resolve(error);
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(error), REASON_MS);
    given.then(
      () => resolve(error),
      (reason) => {
        clearTimeout(timer);
        resolve(reason);
      },
    );
  });
}
