// Frees disk space in slices: segments whose entries are all gone, and everything of deleted queues. It works from the
// keys alone and only lists which queues have something to free: after a restart it finds them again from the meta
// records and the tombstones.

import {
  bodyIdOf,
  droppedBounds,
  droppedKey,
  firstSeqOf,
  goneBounds,
  lastSeqOf,
  queueIdOf,
  segmentBound,
  segmentBounds,
} from '../keys.ts';
import type { Kv, KvBatch } from '../kv/kv.ts';
import { type QueueState, RECLAIM_PHASE } from './queue-state.ts';
import type { SharedBodies } from './shared-bodies.ts';

export interface ReclaimLimits {
  /** Entries or bytes that must be settled before a queue is visited, because each visit reads a range. */
  readonly dueEntries: number;
  readonly dueBytes: number;
  /** Keys that one batch looks at. */
  readonly sliceKeys: number;
}

export const RECLAIM_LIMITS: ReclaimLimits = Object.freeze({
  dueEntries: 64,
  dueBytes: 256 * 1024,
  sliceKeys: 512,
});

/** The changes of a slice, to undo them if its batch is not written. */
interface Undo {
  readonly state: QueueState;
  readonly reclaimedTo: number;
}

export class Reclaimer {
  private readonly kv: Kv;
  private readonly bodies: SharedBodies;
  private readonly limits: ReclaimLimits;
  private due: QueueState[];
  private readonly dropped: Set<number>;
  private undo: Undo[];
  private finished: number[];
  private budget: number;

  /** Finds the deleted queues that an earlier start did not finish. */
  constructor(kv: Kv, bodies: SharedBodies, limits: ReclaimLimits) {
    this.kv = kv;
    this.bodies = bodies;
    this.limits = limits;
    this.due = [];
    const [from, to] = droppedBounds();
    this.dropped = new Set(kv.keys(from, to, Number.MAX_SAFE_INTEGER).map(queueIdOf));
    this.undo = [];
    this.finished = [];
    this.budget = 0;
  }

  /** Whether slices are left to do. */
  get busy(): boolean {
    return this.due.length > 0 || this.dropped.size > 0;
  }

  /** Something of this queue was settled: lists it if a visit is worth it. */
  consider(state: QueueState): void {
    if (state.deadEntries >= this.limits.dueEntries || state.deadBytes >= this.limits.dueBytes) this.enlist(state);
  }

  enlist(state: QueueState): void {
    if (state.reclaiming) return;
    state.reclaiming = true;
    this.due.push(state);
  }

  /** A queue was deleted; its tombstone is in this batch. */
  drop(queueId: number): void {
    this.dropped.add(queueId);
  }

  /** Its tombstone was not written: the queue still exists. */
  undrop(queueId: number): void {
    this.dropped.delete(queueId);
  }

  /** Puts one slice into a batch. `changed` is called with every queue whose meta record must be written with it. */
  gather(batch: KvBatch, changed: (state: QueueState) => void): void {
    this.budget = this.limits.sliceKeys;
    this.undo = [];
    this.finished = [];
    const { due } = this;
    let done = 0;
    while (done < due.length && this.budget > 0) {
      const state = due[done]!;
      if (!state.dropped) {
        this.undo.push({ state, reclaimedTo: state.reclaimedTo });
        if (this.slice(state, batch)) break;
        changed(state);
      }
      state.reclaiming = false;
      done++;
    }
    if (done > 0) due.splice(0, done);
    if (due.length > 0 && this.undo.length > done) changed(due[0]!);
    for (const queueId of this.dropped) {
      if (!this.sliceDropped(queueId, batch)) break;
      this.dropped.delete(queueId);
      this.finished.push(queueId);
    }
    this.bodies.gatherReleased(batch);
  }

  committed(): void {
    this.undo = [];
    this.finished = [];
  }

  withdraw(): void {
    for (const { state, reclaimedTo } of this.undo) {
      state.reclaimedTo = reclaimedTo;
      state.reclaimPhase = RECLAIM_PHASE.floor;
      state.rangeScan = 0;
      state.lateScan = 0;
      // What it removed still exists, late segments too.
      state.late = true;
      this.enlist(state);
    }
    for (const queueId of this.finished) this.dropped.add(queueId);
    this.committed();
  }

  /** True if the queue has more to free; the next slice continues in the phase where this one ended. */
  private slice(state: QueueState, batch: KvBatch): boolean {
    if (state.reclaimPhase === RECLAIM_PHASE.floor) {
      if (!this.sliceFloor(state, batch)) return true;
      state.reclaimPhase = RECLAIM_PHASE.ranges;
    }
    if (state.reclaimPhase === RECLAIM_PHASE.ranges) {
      if (!this.sliceRanges(state, batch)) return true;
      state.reclaimPhase = RECLAIM_PHASE.late;
    }
    if (state.late && !this.sliceLate(state, batch)) return true;
    state.reclaimPhase = RECLAIM_PHASE.floor;
    state.deadEntries = 0;
    state.deadBytes = 0;
    return false;
  }

  /** Segments below the floor. False if the budget ran out. */
  private sliceFloor(state: QueueState, batch: KvBatch): boolean {
    const { gone } = state;
    const bound = segmentBound('entry', state.id, gone.floor);
    while (state.reclaimedTo < gone.floor) {
      const keys = this.keys(segmentBound('entry', state.id, state.reclaimedTo), bound);
      for (const key of keys) {
        if (!gone.covers(firstSeqOf(key), lastSeqOf(key) + 1)) {
          // The last segment may reach beyond the floor.
          state.reclaimedTo = firstSeqOf(key);
          return true;
        }
        this.removeSegment(key, batch);
        state.reclaimedTo = lastSeqOf(key) + 1;
      }
      if (this.budget === 0) return false;
      state.reclaimedTo = gone.floor;
    }
    return true;
  }

  /** Segments between outstanding entries, in passes over the ranges. False if the budget ran out. */
  private sliceRanges(state: QueueState, batch: KvBatch): boolean {
    const { gone } = state;
    const { dueEntries, dueBytes } = this.limits;
    for (let i = 0; i < gone.count; i++) {
      const range = gone.rangeAt(i);
      const from = Math.max(range.from, state.rangeScan);
      if (from >= range.to) continue;
      if (range.to - range.from < dueEntries && state.deadBytes < dueBytes) continue;
      if (this.budget === 0) return false;
      this.budget--;
      const keys = this.keys(segmentBound('entry', state.id, from), segmentBound('entry', state.id, range.to));
      for (const key of keys) {
        // The last one may reach beyond the range.
        if (lastSeqOf(key) < range.to) this.removeSegment(key, batch);
        state.rangeScan = lastSeqOf(key) + 1;
      }
      if (this.budget > 0 || keys.length === 0) state.rangeScan = range.to;
      if (this.budget === 0) return false;
    }
    state.rangeScan = 0;
    return true;
  }

  /** Late segments, which are few, also in passes. False if the budget ran out. */
  private sliceLate(state: QueueState, batch: KvBatch): boolean {
    if (this.budget === 0) return false;
    const [, to] = segmentBounds('late', state.id);
    const keys = this.keys(segmentBound('late', state.id, state.lateScan), to);
    if (keys.length === 0 && state.lateScan === 0) state.late = false;
    for (const key of keys) {
      state.lateScan = lastSeqOf(key) + 1;
      if (state.gone.covers(firstSeqOf(key), lastSeqOf(key) + 1)) this.removeSegment(key, batch);
    }
    if (this.budget === 0) return false;
    state.lateScan = 0;
    return true;
  }

  /** False if there is more to remove. */
  private sliceDropped(queueId: number, batch: KvBatch): boolean {
    if (this.budget === 0) return false;
    for (const [from, to] of [segmentBounds('entry', queueId), segmentBounds('late', queueId)]) {
      for (const key of this.keys(from, to)) this.removeSegment(key, batch);
      if (this.budget === 0) return false;
    }
    const [from, to] = goneBounds(queueId);
    for (const key of this.keys(from, to)) batch.remove(key);
    if (this.budget === 0) return false;
    batch.remove(droppedKey(queueId));
    return true;
  }

  private keys(from: Buffer, to: Buffer): Buffer[] {
    const keys = this.kv.keys(from, to, Math.max(1, this.budget));
    this.budget = Math.max(0, this.budget - keys.length);
    return keys;
  }

  private removeSegment(key: Buffer, batch: KvBatch): void {
    batch.remove(key);
    const bodyId = bodyIdOf(key);
    if (bodyId !== 0) this.bodies.release(bodyId, queueIdOf(key), firstSeqOf(key), batch);
  }
}
