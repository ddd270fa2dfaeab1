// A `Kv` with the faults of real disks. Its fault model, which is all that the simulation assumes:
//
//   1. A commit takes as long as the test decides (`hold`); reads meanwhile see the state before it.
//   2. A successful commit is permanent. Nothing that was reported is ever lost.
//   3. A commit may fail because the disk is full: nothing of it is written. On a full disk batches that add records
//      fail; the test decides whether batches that only free space succeed (`fullForAll`).
//   4. At a crash a pending commit is written as a whole or not at all; its outcome is not reported.
//   5. A commit may fail for an unknown reason, and be written as a whole or not at all.
//   6. Reads may have to wait for the disk (`cold`).
//   7. Changing a submitted value before its commit has ended is detected.

import assert from 'node:assert/strict';
import { kindOf } from '../../src/store/keys.ts';
import { type Kv, KvBatch, type KvRecord, OutOfSpaceError } from '../../src/store/kv/kv.ts';
import { MemoryKv } from '../../src/store/kv/memory.ts';

interface InFlight {
  readonly given: KvBatch;
  /** The changes of the batch when it was submitted. */
  readonly copy: KvBatch;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Records that make the data grow; the others only record removals. */
const GROWING: readonly (string | null)[] = ['entry', 'late', 'body', 'ref', 'named', 'kept'];

export class FaultyKv implements Kv {
  /** The committed state of the disk. */
  readonly disk: MemoryKv;
  /** Whether commits wait for `release`, `fail` or `crash`. */
  hold: boolean;
  full: boolean;
  fullForAll: boolean;
  cold: boolean;
  /** Number of submitted commits. */
  commits: number;
  private inFlight: InFlight | null;

  constructor(disk: MemoryKv = new MemoryKv()) {
    this.disk = disk;
    this.hold = false;
    this.full = false;
    this.fullForAll = false;
    this.cold = false;
    this.commits = 0;
    this.inFlight = null;
  }

  /** Whether a commit is pending. */
  get waiting(): boolean {
    return this.inFlight !== null;
  }

  commit(batch: KvBatch): Promise<void> {
    assert.equal(this.inFlight, null, 'two commits at a time');
    this.commits++;
    const copy = copyOf(batch);
    return new Promise((resolve, reject) => {
      this.inFlight = { given: batch, copy, resolve, reject };
      if (!this.hold) this.release();
    });
  }

  /** Ends the pending commit: successfully, or with an error if the disk is full. */
  release(): void {
    const ended = this.take();
    if (this.full && (this.fullForAll || grows(ended.copy))) {
      ended.reject(new OutOfSpaceError(new Error('ENOSPC')));
      return;
    }
    this.disk.apply(ended.copy);
    ended.resolve();
  }

  /** Ends the pending commit with an unknown error. */
  fail(applied: boolean): void {
    const ended = this.take();
    if (applied) this.disk.apply(ended.copy);
    ended.reject(new Error('EIO'));
  }

  /** Power failure: returns the state that the next start finds. A pending commit never ends. */
  crash(applied: boolean): MemoryKv {
    if (this.inFlight !== null && applied) this.disk.apply(this.take().copy);
    this.inFlight = null;
    return this.disk.clone();
  }

  get(key: Buffer): Buffer | null {
    return this.disk.get(key);
  }

  keys(from: Buffer, to: Buffer, limit: number): Buffer[] {
    return this.disk.keys(from, to, limit);
  }

  lastKey(from: Buffer, to: Buffer): Buffer | null {
    return this.disk.lastKey(from, to);
  }

  range(from: Buffer, to: Buffer, limit: number): KvRecord[] {
    return this.disk.range(from, to, limit);
  }

  prefetch(keys: readonly Buffer[]): Promise<void> | null {
    return this.cold && keys.length > 0 ? new Promise((resolve) => setImmediate(resolve)) : null;
  }

  bytesOnDisk(): number {
    return 0;
  }

  async close(): Promise<void> {}

  private take(): InFlight {
    const taken = this.inFlight;
    assert.ok(taken !== null, 'no commit waits');
    this.inFlight = null;
    for (let i = 0; i < taken.copy.size; i++) {
      const given = taken.given.values[i];
      const copy = taken.copy.values[i];
      assert.ok(given === null ? copy === null : given!.equals(copy!), 'a value changed before its commit ended');
    }
    return taken;
  }
}

function copyOf(batch: KvBatch): KvBatch {
  const copy = new KvBatch();
  for (let i = 0; i < batch.size; i++) {
    const value = batch.values[i]!;
    if (value === null) copy.remove(Buffer.from(batch.keys[i]!));
    else copy.put(Buffer.from(batch.keys[i]!), Buffer.from(value));
  }
  return copy;
}

function grows(batch: KvBatch): boolean {
  return batch.keys.some((key, i) => batch.values[i] !== null && GROWING.includes(kindOf(key)));
}
