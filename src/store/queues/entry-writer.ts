// Writes the pending entries of queues into a batch as segments. An entry becomes `committing` and is encoded when its
// batch is sealed: an entry that was settled earlier costs nothing.

import { type QueueEntry, STORE_STATE } from '../../core/queue/queue-entry.ts';
import { type SegmentKind, segmentKey } from '../keys.ts';
import type { KvBatch } from '../kv/kv.ts';
import type { QueueState } from './queue-state.ts';
import { SegmentWriter, type Slab } from './segment-codec.ts';
import { SHARED_BODY_BYTES, type SharedBodies } from './shared-bodies.ts';

export class EntryWriter {
  private readonly segments: SegmentWriter;
  private readonly bodies: SharedBodies;
  /** Memory of the segments in the batch in flight. */
  private slabs: Slab[];

  constructor(epoch: number, bodies: SharedBodies) {
    this.segments = new SegmentWriter(epoch);
    this.bodies = bodies;
    this.slabs = [];
  }

  /** Moves a queue's pending entries to its committing ones and writes them. */
  write(state: QueueState, batch: KvBatch): void {
    const entries = state.pending;
    if (entries.length === 0) return;
    state.pending = [];
    let kept = 0;
    let late: QueueEntry[] | null = null;
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      if (entry.storeState !== STORE_STATE.pending) continue;
      entry.storeState = STORE_STATE.committing;
      entries[kept++] = entry;
      const { message, seq } = entry;
      if (message.persistent) {
        state.count++;
        state.bytes += message.bodyLength;
      }
      if (seq < state.sealedTo) {
        late ??= [];
        late.push(entry);
        continue;
      }
      if (seq > state.sealedTo) state.gone.add(state.sealedTo, seq, false);
      state.sealedTo = seq + 1;
      this.encode(state, 'entry', entry, batch);
    }
    this.endSegment(state, 'entry', batch);
    entries.length = kept;
    state.committing = entries;
    if (kept > 0) state.changed = true;
    if (late !== null) this.writeLate(state, late, batch);
  }

  /** Called when everything of the batch was written. */
  gathered(): void {
    this.bodies.gathered();
    this.slabs = this.segments.takeSlabs();
  }

  /** The batch is durable: its memory is reused. */
  committed(): void {
    this.segments.recycle(this.slabs);
    this.slabs = [];
  }

  /** The batch failed: its memory is left to the garbage collector. */
  withdraw(): void {
    this.slabs = [];
  }

  /** Late segments hold consecutive numbers only, so that no two overlap. */
  private writeLate(state: QueueState, late: QueueEntry[], batch: KvBatch): void {
    late.sort((a, b) => a.seq - b.seq);
    state.late = true;
    for (const entry of late) {
      state.gone.punch(entry.seq);
      if (this.segments.open && entry.seq !== this.segments.lastSeq + 1) this.endSegment(state, 'late', batch);
      this.encode(state, 'late', entry, batch);
    }
    this.endSegment(state, 'late', batch);
  }

  private encode(state: QueueState, kind: SegmentKind, entry: QueueEntry, batch: KvBatch): void {
    const { segments } = this;
    const { message } = entry;
    if (message.bodyLength >= SHARED_BODY_BYTES) {
      const bodyId = this.bodies.share(message, state.id, entry.seq, batch);
      if (bodyId !== 0) {
        this.endSegment(state, kind, batch);
        segments.begin(entry, 0);
        segments.add(entry, true);
        batch.put(segmentKey(kind, state.id, entry.seq, entry.seq, bodyId), segments.end());
        return;
      }
    }
    if (segments.open && !segments.takes(entry, message.bodyLength)) this.endSegment(state, kind, batch);
    if (!segments.open) segments.begin(entry, message.bodyLength);
    segments.add(entry, false);
  }

  private endSegment(state: QueueState, kind: SegmentKind, batch: KvBatch): void {
    const { segments } = this;
    if (!segments.open) return;
    const value = segments.end();
    batch.put(segmentKey(kind, state.id, segments.firstSeq, segments.lastSeq, 0), value);
  }
}
