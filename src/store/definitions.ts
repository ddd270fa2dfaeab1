// The named records: definitions, retained messages, sessions. They go through the same batches as queue entries. What
// is handed over and not committed yet overlays what is on disk, so that reading sees what was put.

import type { DefinitionKind, DefinitionStore, DefinitionValue } from '../core/ports/definitions.ts';
import type { Participant } from './committer.ts';
import { keyBehind, namedBounds, namedKey } from './keys.ts';
import { DamagedDataError, type Kv, type KvBatch, type KvRecord } from './kv/kv.ts';

/** Records that are read at once: iterators of the store do not survive a turn, slices do. */
const SLICE = 256;

interface Change {
  readonly key: Buffer;
  /** null: removed. */
  readonly value: Buffer | null;
}

interface NamedRecord {
  readonly name: readonly string[];
  readonly value: DefinitionValue;
}

export class Definitions implements DefinitionStore, Participant {
  private readonly kv: Kv;
  /** By key as latin1 text. */
  private pending: Map<string, Change>;
  private committing: Map<string, Change>;

  constructor(kv: Kv) {
    this.kv = kv;
    this.pending = new Map();
    this.committing = new Map();
  }

  *all(kind: DefinitionKind): Iterable<NamedRecord> {
    let [from, to] = namedBounds(kind);
    const overlay = this.overlay(from, to);
    let next = 0;
    for (;;) {
      const slice = this.kv.range(from, to, SLICE);
      for (const { key, value } of slice) {
        while (next < overlay.length && overlay[next]!.key.compare(key) < 0) yield* decode(overlay[next++]!);
        if (next < overlay.length && overlay[next]!.key.equals(key)) yield* decode(overlay[next++]!);
        else yield* decode({ key, value });
      }
      if (slice.length < SLICE) break;
      from = keyBehind(slice[slice.length - 1]!.key);
    }
    while (next < overlay.length) yield* decode(overlay[next++]!);
  }

  put(kind: DefinitionKind, name: readonly string[], value: DefinitionValue): void {
    const key = namedKey(kind, name);
    this.pending.set(key.toString('latin1'), { key, value: Buffer.from(JSON.stringify({ name, value }), 'utf8') });
  }

  remove(kind: DefinitionKind, name: readonly string[]): void {
    const key = namedKey(kind, name);
    this.pending.set(key.toString('latin1'), { key, value: null });
  }

  hasPending(): boolean {
    return this.pending.size > 0;
  }

  isDue(): boolean {
    return this.pending.size > 0;
  }

  gather(batch: KvBatch, whole: boolean): void {
    if (this.pending.size === 0) return;
    for (const [text, change] of this.pending) {
      if (change.value === null) batch.remove(change.key);
      else if (whole) batch.put(change.key, change.value);
      else continue;
      this.committing.set(text, change);
      this.pending.delete(text);
    }
  }

  committed(): void {
    if (this.committing.size > 0) this.committing = new Map();
  }

  withdraw(): void {
    // What was new is refused; what frees space goes on trying, unless the name was taken up again meanwhile.
    for (const [text, change] of this.committing) {
      if (change.value === null && !this.pending.has(text)) this.pending.set(text, change);
    }
    this.committing = new Map();
  }

  private overlay(from: Buffer, to: Buffer): Change[] {
    const merged = new Map([...this.committing, ...this.pending]);
    return [...merged.values()]
      .filter(({ key }) => key.compare(from) >= 0 && key.compare(to) < 0)
      .sort((a, b) => a.key.compare(b.key));
  }
}

function* decode(record: KvRecord | Change): Iterable<NamedRecord> {
  if (record.value === null) return;
  let parsed: NamedRecord;
  try {
    parsed = JSON.parse(record.value.toString('utf8')) as NamedRecord;
  } catch (error) {
    throw new DamagedDataError(`a definition is not JSON: ${(error as Error).message}`);
  }
  yield parsed;
}
