// What the store knows of one queue: counts and marks of its `meta` record as they will be once everything handed over
// is committed, the entries that wait for their commit, and how far its disk space is reclaimed.

import { invariant } from '../../core/invariant.ts';
import type { QueueEntry } from '../../core/queue/queue-entry.ts';
import type { QueueMeta } from '../../core/queue/queue-store.ts';
import { readU64, writeU64 } from '../keys.ts';
import { DamagedDataError } from '../kv/kv.ts';
import { GoneRanges } from './gone-ranges.ts';

const FORMAT = 1;
const META_BYTES = 1 + 7 * 8;
/** Any entry may have been delivered. */
const NO_BOUND = Number.MAX_SAFE_INTEGER;

/** The order in which the reclaimer visits a queue's segments: below the floor, between gone ranges, late ones. */
export const RECLAIM_PHASE = { floor: 0, ranges: 1, late: 2 } as const;
type ReclaimPhase = (typeof RECLAIM_PHASE)[keyof typeof RECLAIM_PHASE];

export class QueueState {
  readonly id: number;
  /** Persistent entries that are written (or in the commit in flight) and their body bytes. */
  count: number;
  bytes: number;
  /** The first sequence number that was never handed over. */
  nextSeq: number;
  /** The first sequence number behind everything that was ever sealed; lower ones come late. */
  sealedTo: number;
  readonly gone: GoneRanges;
  /** Entries below it may have been delivered. */
  deliveredTo: number;
  /** Loaded entries below it carry the redelivered mark: the value of `deliveredTo` at the start. */
  readonly redeliveredTo: number;
  /** Numbers below it were handed over before this start: gaps among them are found by loading. */
  readonly recoveredTo: number;
  /** No segment starts below it any more (late ones aside). */
  reclaimedTo: number;
  /** Whether there may be late segments. */
  late: boolean;
  /** The phase of the reclaimer's next visit. */
  reclaimPhase: ReclaimPhase;
  /** Where the next scan of gone ranges, and of late segments, continues. */
  rangeScan: number;
  lateScan: number;
  /** Handed over since the last seal, and in the commit in flight. Withdrawn entries are skipped by their state. */
  pending: QueueEntry[];
  committing: QueueEntry[];
  /** Entries and bytes settled since the last reclaim; they decide when to look for dead segments. */
  deadEntries: number;
  deadBytes: number;
  /** Whether the next batch visits the queue, and whether meta or gone ranges changed since they were written. */
  listed: boolean;
  changed: boolean;
  /** The queue was deleted. */
  dropped: boolean;
  /** Whether it is on the reclaimer's list. */
  reclaiming: boolean;
  /** Segments with keys below it (from the last load on) are warm. */
  warmFrom: number;
  warmTo: number;

  constructor(id: number, stored: StoredMeta | null) {
    this.id = id;
    this.count = stored?.count ?? 0;
    this.bytes = stored?.bytes ?? 0;
    this.nextSeq = stored?.nextSeq ?? 1;
    this.sealedTo = this.nextSeq;
    this.recoveredTo = this.nextSeq;
    this.gone = new GoneRanges(stored?.floor ?? 1);
    this.redeliveredTo = Math.min(stored?.deliveredTo ?? 0, this.nextSeq);
    this.deliveredTo = this.redeliveredTo;
    this.reclaimedTo = stored?.reclaimedTo ?? 1;
    this.late = stored?.late ?? false;
    this.reclaimPhase = RECLAIM_PHASE.floor;
    this.rangeScan = 0;
    this.lateScan = 0;
    this.pending = [];
    this.committing = [];
    this.deadEntries = 0;
    this.deadBytes = 0;
    this.listed = false;
    this.changed = false;
    this.dropped = false;
    this.reclaiming = false;
    this.warmFrom = 0;
    this.warmTo = 0;
  }

  /** The recovered meta, for the core. */
  meta(): QueueMeta {
    return {
      count: this.count,
      bytes: this.bytes,
      nextSeq: this.nextSeq,
      floor: this.gone.floor,
      deliveredTo: this.deliveredTo,
    };
  }

  /** The lowest number that is not readable because its commit is pending; Infinity if there is none. */
  firstUncommitted(): number {
    return Math.min(lowest(this.committing), lowest(this.pending));
  }
}

function lowest(entries: readonly QueueEntry[]): number {
  // Almost always in order; late entries are not.
  let seq = Number.POSITIVE_INFINITY;
  for (let i = 0; i < entries.length; i++) if (entries[i]!.seq < seq) seq = entries[i]!.seq;
  return seq;
}

/** The `meta` record: format u8 | count, bytes, next seq, floor, delivered to, reclaimed to, late u64. */
export interface StoredMeta {
  readonly count: number;
  readonly bytes: number;
  readonly nextSeq: number;
  readonly floor: number;
  readonly deliveredTo: number;
  readonly reclaimedTo: number;
  readonly late: boolean;
}

/** Asserts what `decodeMeta` requires: a wrong record must not be written. */
export function encodeMeta(state: QueueState): Buffer {
  invariant(isCounted(state.count, state.bytes), 'the counts of a queue on disk');
  const value = Buffer.allocUnsafe(META_BYTES);
  value[0] = FORMAT;
  writeU64(value, 1, state.count);
  writeU64(value, 9, state.bytes);
  writeU64(value, 17, state.nextSeq);
  writeU64(value, 25, state.gone.floor);
  writeU64(value, 33, Math.min(state.deliveredTo, NO_BOUND));
  writeU64(value, 41, state.reclaimedTo);
  writeU64(value, 49, state.late ? 1 : 0);
  return value;
}

export function decodeMeta(value: Buffer, queueId: number): StoredMeta {
  if (value.length !== META_BYTES || value[0] !== FORMAT) {
    throw new DamagedDataError(`the meta record of queue ${queueId} has an unknown format`);
  }
  const deliveredTo = readU64(value, 33);
  const count = readU64(value, 1);
  const bytes = readU64(value, 9);
  if (!isCounted(count, bytes)) throw new DamagedDataError(`queue ${queueId} has ${bytes} bytes in no entries`);
  return {
    count,
    bytes,
    nextSeq: readU64(value, 17),
    floor: readU64(value, 25),
    deliveredTo: deliveredTo === NO_BOUND ? Number.POSITIVE_INFINITY : deliveredTo,
    reclaimedTo: readU64(value, 41),
    late: readU64(value, 49) !== 0,
  };
}

/** Whether entries and their bytes may be so many. */
function isCounted(count: number, bytes: number): boolean {
  return count > 0 ? bytes >= 0 : count === 0 && bytes === 0;
}
