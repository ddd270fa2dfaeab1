// Reads ranges of a queue's entries from disk. Pages that may be cold are first read off the main thread. After each
// range the next one is prefetched, so that reading through a queue answers at once.

import type { PropertyCodec } from '../../core/message/properties.ts';
import type { LoadedRange, StoredEntry } from '../../core/queue/queue-store.ts';
import { bodyIdOf, bodyKey, firstSeqOf, lastSeqOf } from '../keys.ts';
import type { Kv } from '../kv/kv.ts';
import type { QueueState } from './queue-state.ts';
import { SegmentCursor, segmentKeys } from './segment-cursor.ts';

/** Segments that one prefetch reads. */
const PREFETCH_SEGMENTS = 256;

/** Keys to prefetch, and the sequence numbers that are warm afterwards. */
interface Cold {
  readonly keys: Buffer[];
  readonly from: number;
  readonly to: number;
}

export class QueueReader {
  private readonly kv: Kv;
  private readonly codecs: ReadonlyMap<number, PropertyCodec>;
  private readonly epoch: number;
  private readonly changed: (state: QueueState) => void;

  /** `changed` is called with each queue in which a read found transient entries of an earlier start. */
  constructor(kv: Kv, codecs: ReadonlyMap<number, PropertyCodec>, epoch: number, changed: (state: QueueState) => void) {
    this.kv = kv;
    this.codecs = codecs;
    this.epoch = epoch;
    this.changed = changed;
  }

  /** As `QueueStore.load`. */
  load(
    state: QueueState,
    fromSeq: number,
    toSeq: number,
    maxEntries: number,
    maxBytes: number,
  ): LoadedRange | Promise<LoadedRange> {
    const from = Math.max(fromSeq, state.gone.floor);
    const warming = this.kv.prefetch(this.cold(state, from, Math.min(toSeq, state.sealedTo), maxEntries).keys);
    if (warming === null) return this.read(state, fromSeq, toSeq, maxEntries, maxBytes);
    return warming.then(() => this.read(state, fromSeq, toSeq, maxEntries, maxBytes));
  }

  private read(state: QueueState, fromSeq: number, toSeq: number, maxEntries: number, maxBytes: number): LoadedRange {
    if (state.dropped) return { entries: [], nextSeq: toSeq };
    const { gone, redeliveredTo } = state;
    const bound = Math.min(toSeq, state.firstUncommitted());
    const from = Math.max(fromSeq, gone.floor);
    if (from >= bound) return { entries: [], nextSeq: Math.max(fromSeq, bound) };
    const inOrder = new SegmentCursor(this.kv, 'entry', state.id, from, bound, this.codecs);
    const late = state.late ? new SegmentCursor(this.kv, 'late', state.id, from, bound, this.codecs) : null;
    const entries: StoredEntry[] = [];
    let bytes = 0;
    let expected = from;
    let nextSeq = bound;
    for (;;) {
      const cursor = late !== null && late.seq < inOrder.seq ? late : inOrder;
      const { seq } = cursor;
      if (seq >= bound) break;
      const reader = cursor.reader!;
      if (seq > expected) foundGap(state, expected, seq);
      expected = seq + 1;
      if (!reader.persistent && reader.epoch !== this.epoch) this.foundStale(state, seq);
      else if (!gone.has(seq)) {
        if (entries.length >= maxEntries || (bytes + reader.size > maxBytes && entries.length > 0)) {
          nextSeq = seq;
          break;
        }
        bytes += reader.size;
        entries.push(reader.entry(seq < redeliveredTo));
      }
      cursor.advance();
    }
    if (nextSeq === bound) foundGap(state, expected, Math.min(bound, state.sealedTo));
    else this.readAhead(state, nextSeq, Math.min(toSeq, state.sealedTo), maxEntries);
    return { entries, nextSeq };
  }

  /** What a read of `maxEntries` needs and may be cold. */
  private cold(state: QueueState, from: number, to: number, maxEntries: number): Cold {
    const keys: Buffer[] = [];
    let entries = 0;
    let end = from;
    for (const key of segmentKeys(this.kv, 'entry', state.id, from, to, PREFETCH_SEGMENTS)) {
      if (entries >= maxEntries) break;
      const first = Math.max(from, firstSeqOf(key));
      end = lastSeqOf(key) + 1;
      entries += end - first;
      if (first >= state.warmFrom && end <= state.warmTo) continue;
      keys.push(key);
      const bodyId = bodyIdOf(key);
      if (bodyId !== 0) keys.push(bodyKey(bodyId));
    }
    return { keys, from, to: end };
  }

  private readAhead(state: QueueState, from: number, to: number, maxEntries: number): void {
    const cold = this.cold(state, from, to, maxEntries);
    this.kv.prefetch(cold.keys)?.then(
      () => {
        state.warmFrom = cold.from;
        state.warmTo = cold.to;
      },
      () => {},
    );
  }

  /** A transient entry of an earlier start. */
  private foundStale(state: QueueState, seq: number): void {
    if (state.gone.has(seq)) return;
    state.gone.add(seq, seq + 1, true);
    this.changed(state);
  }
}

/** Numbers of an earlier start that were never stored. Writing finds those of this start. */
function foundGap(state: QueueState, from: number, to: number): void {
  const end = Math.min(to, state.recoveredTo);
  if (from < end) state.gone.add(from, end, false);
}
