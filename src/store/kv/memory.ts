// A `Kv` in memory: for a broker without a data directory, and beneath the simulation's faulty disk. Keys are kept in
// order as latin1 text (which sorts as the bytes do) in chunks, so that an insert moves a chunk at most.

import { ownBytes } from '../../core/message/own-bytes.ts';
import type { Kv, KvBatch, KvRecord } from './kv.ts';

const CHUNK_KEYS = 512;

export class MemoryKv implements Kv {
  private readonly values: Map<string, Buffer>;
  /** Every chunk is sorted, none is empty, and the chunks are in order. */
  private readonly chunks: string[][];

  constructor() {
    this.values = new Map();
    this.chunks = [];
  }

  /** How many records there are. */
  get size(): number {
    return this.values.size;
  }

  get(key: Buffer): Buffer | null {
    const value = this.values.get(key.toString('latin1'));
    return value === undefined ? null : Buffer.from(value);
  }

  keys(from: Buffer, to: Buffer, limit: number): Buffer[] {
    const found: Buffer[] = [];
    for (const key of this.walk(from.toString('latin1'), to.toString('latin1'), limit))
      found.push(Buffer.from(key, 'latin1'));
    return found;
  }

  lastKey(from: Buffer, to: Buffer): Buffer | null {
    const end = to.toString('latin1');
    let chunk = this.chunkOf(end);
    if (chunk < 0) return null;
    let at = lowerBound(this.chunks[chunk]!, end) - 1;
    if (at < 0) {
      if (--chunk < 0) return null;
      at = this.chunks[chunk]!.length - 1;
    }
    const key = this.chunks[chunk]![at]!;
    return key >= from.toString('latin1') ? Buffer.from(key, 'latin1') : null;
  }

  range(from: Buffer, to: Buffer, limit: number): KvRecord[] {
    const found: KvRecord[] = [];
    for (const key of this.walk(from.toString('latin1'), to.toString('latin1'), limit)) {
      found.push({ key: Buffer.from(key, 'latin1'), value: Buffer.from(this.values.get(key)!) });
    }
    return found;
  }

  prefetch(): Promise<void> | null {
    return null;
  }

  async commit(batch: KvBatch): Promise<void> {
    this.apply(batch);
  }

  /** Applies a batch at once; the faulty disk calls it when it pleases. */
  apply(batch: KvBatch): void {
    for (let i = 0; i < batch.size; i++) {
      const key = batch.keys[i]!.toString('latin1');
      const value = batch.values[i]!;
      if (value === null) this.removeKey(key);
      else this.putKey(key, ownBytes(value));
    }
  }

  bytesOnDisk(): number {
    return 0;
  }

  async close(): Promise<void> {}

  /** An independent copy of what is there: what a crash would leave. */
  clone(): MemoryKv {
    const copy = new MemoryKv();
    for (const [key, value] of this.values) copy.values.set(key, value);
    for (const chunk of this.chunks) copy.chunks.push([...chunk]);
    return copy;
  }

  private *walk(from: string, to: string, limit: number): Iterable<string> {
    let chunk = Math.max(0, this.chunkOf(from));
    if (this.chunks.length === 0) return;
    let at = lowerBound(this.chunks[chunk]!, from);
    for (let left = limit; left > 0; left--) {
      if (at === this.chunks[chunk]!.length) {
        if (++chunk === this.chunks.length) return;
        at = 0;
      }
      const key = this.chunks[chunk]![at++]!;
      if (key >= to) return;
      yield key;
    }
  }

  private putKey(key: string, value: Buffer): void {
    const known = this.values.has(key);
    this.values.set(key, value);
    if (known) return;
    if (this.chunks.length === 0) {
      this.chunks.push([key]);
      return;
    }
    const index = Math.max(0, this.chunkOf(key));
    const chunk = this.chunks[index]!;
    chunk.splice(lowerBound(chunk, key), 0, key);
    if (chunk.length > CHUNK_KEYS) this.chunks.splice(index + 1, 0, chunk.splice(CHUNK_KEYS >> 1));
  }

  private removeKey(key: string): void {
    if (!this.values.delete(key)) return;
    const index = this.chunkOf(key);
    const chunk = this.chunks[index]!;
    chunk.splice(lowerBound(chunk, key), 1);
    if (chunk.length === 0) this.chunks.splice(index, 1);
  }

  /** The last chunk whose first key is at or before `key`; -1 where there is none. */
  private chunkOf(key: string): number {
    let low = 0;
    let high = this.chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.chunks[middle]![0]! <= key) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** The first index whose key is not before `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
