// The header records: the schema version, the boot epoch that tells this start's transient entries from those of earlier
// ones, and the counters from which queue and body ids come. They are written with the first batch that needs them.

import type { Participant } from './committer.ts';
import { END_KEY, FIRST_KEY, HEADER, headerKey, readU64, u64 } from './keys.ts';
import type { Kv, KvBatch } from './kv/kv.ts';

/** Version 1 kept packet ids one by one: upgrade.ts. */
export const SCHEMA_VERSION = 2;

export class Header implements Participant {
  /** Unlike that of every earlier start whose data may be here. */
  readonly epoch: number;
  private queueId: number;
  private bodyId: number;
  private fresh: boolean;
  private changed: boolean;
  private gathered: boolean;

  /** Reads the header, or prepares one for data that is empty. Throws, having changed nothing, where it knows better. */
  constructor(kv: Kv) {
    const schema = kv.get(headerKey(HEADER.schema));
    if (schema === null && kv.keys(FIRST_KEY, END_KEY, 1).length > 0) {
      throw new Error('the data directory holds data that is not a Trivium store');
    }
    const version = schema === null ? SCHEMA_VERSION : readU64(schema, 0);
    if (version !== SCHEMA_VERSION) {
      throw new Error(`the data has schema version ${version}; this broker knows version ${SCHEMA_VERSION} only`);
    }
    this.epoch = counter(kv, HEADER.epoch, 0) + 1;
    this.queueId = counter(kv, HEADER.nextQueueId, 1);
    this.bodyId = counter(kv, HEADER.nextBodyId, 1);
    this.fresh = true;
    this.changed = false;
    this.gathered = false;
  }

  /** The first of `count` consecutive ones. */
  nextQueueId(count: number): number {
    this.changed = true;
    const first = this.queueId;
    this.queueId += count;
    return first;
  }

  nextBodyId(): number {
    this.changed = true;
    return this.bodyId++;
  }

  hasPending(): boolean {
    return false;
  }

  isDue(): boolean {
    return false;
  }

  gather(batch: KvBatch): void {
    // By itself the header is not worth a commit: it joins the first batch that holds something.
    if (batch.size === 0 || !(this.fresh || this.changed)) return;
    this.gathered = true;
    this.fresh = false;
    this.changed = false;
    batch.put(headerKey(HEADER.schema), u64(SCHEMA_VERSION));
    batch.put(headerKey(HEADER.epoch), u64(this.epoch));
    batch.put(headerKey(HEADER.nextQueueId), u64(this.queueId));
    batch.put(headerKey(HEADER.nextBodyId), u64(this.bodyId));
  }

  committed(): void {
    this.gathered = false;
  }

  withdraw(): void {
    if (this.gathered) this.fresh = true;
    this.gathered = false;
  }
}

function counter(kv: Kv, field: number, initial: number): number {
  const value = kv.get(headerKey(field));
  return value === null ? initial : readU64(value, 0);
}
