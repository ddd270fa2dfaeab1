// Walks the entries of one queue in sequence order over both kinds of segments. It lives for one synchronous read; every
// step reads a bounded slice of keys or one segment.

import type { PropertyCodec } from '../../core/message/properties.ts';
import { bodyIdOf, bodyKey, firstSeqOf, lastSeqOf, type SegmentKind, segmentBound, segmentBounds } from '../keys.ts';
import { DamagedDataError, type Kv } from '../kv/kv.ts';
import { SegmentReader } from './segment-codec.ts';

const SLICE_KEYS = 32;

/** Keys of the segments that may hold entries with `from <= seq < to`, in order, `limit` at most. */
export function segmentKeys(
  kv: Kv,
  kind: SegmentKind,
  queueId: number,
  from: number,
  to: number,
  limit: number,
): Buffer[] {
  if (from >= to) return [];
  // The segment in which `from` lies may start before it.
  const behind = segmentBound(kind, queueId, from + 1);
  const start = kv.lastKey(segmentBounds(kind, queueId)[0], behind);
  const keys = kv.keys(behind, segmentBound(kind, queueId, to), limit);
  if (start !== null && lastSeqOf(start) >= from) keys.unshift(start);
  return keys;
}

/** Over the segments of one kind. */
export class SegmentCursor {
  private readonly kv: Kv;
  private readonly kind: SegmentKind;
  private readonly queueId: number;
  private readonly to: number;
  private readonly codecs: ReadonlyMap<number, PropertyCodec>;
  private keys: Buffer[];
  private nextKey: number;
  /** Of the current entry; infinite at the end. */
  seq: number;
  /** Stands on the current entry; not to be used at the end. */
  reader: SegmentReader | null;

  constructor(
    kv: Kv,
    kind: SegmentKind,
    queueId: number,
    from: number,
    to: number,
    codecs: ReadonlyMap<number, PropertyCodec>,
  ) {
    this.kv = kv;
    this.kind = kind;
    this.queueId = queueId;
    this.to = to;
    this.codecs = codecs;
    this.keys = segmentKeys(kv, kind, queueId, from, to, SLICE_KEYS);
    this.nextKey = 0;
    this.seq = -1;
    this.reader = null;
    do this.advance();
    while (this.seq < from);
  }

  advance(): void {
    for (;;) {
      if (this.reader?.next()) {
        this.seq = this.reader.seq;
        return;
      }
      if (!this.nextSegment()) {
        this.reader = null;
        this.seq = Number.POSITIVE_INFINITY;
        return;
      }
    }
  }

  private nextSegment(): boolean {
    if (this.nextKey === this.keys.length) {
      if (this.keys.length < SLICE_KEYS) return false;
      const last = this.keys[this.keys.length - 1]!;
      const from = segmentBound(this.kind, this.queueId, firstSeqOf(last) + 1);
      this.keys = this.kv.keys(from, segmentBound(this.kind, this.queueId, this.to), SLICE_KEYS);
      this.nextKey = 0;
      if (this.keys.length === 0) return false;
    }
    const key = this.keys[this.nextKey++]!;
    const where = `segment ${firstSeqOf(key)} of queue ${this.queueId}`;
    const bytes = this.kv.get(key);
    if (bytes === null) throw new DamagedDataError(`${where} vanished`);
    const bodyId = bodyIdOf(key);
    const body = bodyId === 0 ? null : this.kv.get(bodyKey(bodyId));
    this.reader = new SegmentReader(bytes, firstSeqOf(key), body, this.codecs, where);
    return true;
  }
}
