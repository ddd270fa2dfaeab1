// Large bodies that went to several durable queues at once: one `body` record, a `ref` record for each entry. Nothing is
// counted in memory: the batch that removes refs looks at what refs remain on disk, which is the truth, because only one
// commit is in flight and batches are gathered when none is.

import type { Message } from '../../core/message/message.ts';
import type { Header } from '../header.ts';
import { bodyKey, refBounds, refKey } from '../keys.ts';
import type { Kv, KvBatch } from '../kv/kv.ts';

/** Smaller bodies are written into every segment: a copy is cheaper than two more records. */
export const SHARED_BODY_BYTES = 4 * 1024;
const EMPTY = Buffer.alloc(0);

export class SharedBodies {
  private readonly kv: Kv;
  private readonly header: Header;
  /** How many pending entries each large message has. */
  private pending: Map<Message, number>;
  /** Bodies that this batch writes. */
  private written: Map<Message, number>;
  /** Refs that this batch removes, by body. */
  private released: Map<number, number>;

  constructor(kv: Kv, header: Header) {
    this.kv = kv;
    this.header = header;
    this.pending = new Map();
    this.written = new Map();
    this.released = new Map();
  }

  /** An entry with a large body is pending. */
  added(message: Message): void {
    this.pending.set(message, (this.pending.get(message) ?? 0) + 1);
  }

  /** One that was pending is withdrawn. */
  withdrawn(message: Message): void {
    const count = this.pending.get(message);
    if (count === undefined) return;
    if (count === 1) this.pending.delete(message);
    else this.pending.set(message, count - 1);
  }

  /** The body id for an entry that is written now: 0 where the body goes into its segment. */
  share(message: Message, queueId: number, seq: number, batch: KvBatch): number {
    if (message.bodyLength < SHARED_BODY_BYTES || (this.pending.get(message) ?? 0) < 2) return 0;
    let bodyId = this.written.get(message);
    if (bodyId === undefined) {
      bodyId = this.header.nextBodyId();
      this.written.set(message, bodyId);
      batch.put(bodyKey(bodyId), message.bodyBytes());
    }
    batch.put(refKey(bodyId, queueId, seq), EMPTY);
    return bodyId;
  }

  /** Every pending entry was written. */
  gathered(): void {
    if (this.pending.size > 0) this.pending = new Map();
    if (this.written.size > 0) this.written = new Map();
  }

  /** An entry with that body is removed from disk in this batch. */
  release(bodyId: number, queueId: number, seq: number, batch: KvBatch): void {
    batch.remove(refKey(bodyId, queueId, seq));
    this.released.set(bodyId, (this.released.get(bodyId) ?? 0) + 1);
  }

  /** Removes the bodies whose last refs this batch removes. */
  gatherReleased(batch: KvBatch): void {
    if (this.released.size === 0) return;
    for (const [bodyId, count] of this.released) {
      const [from, to] = refBounds(bodyId);
      if (this.kv.keys(from, to, count + 1).length <= count) batch.remove(bodyKey(bodyId));
    }
    this.released = new Map();
  }
}
