// What survives a restart: queues, retained messages, definitions and MQTT packet ids, over one `Kv` and in the same
// transactions. keys.ts lists every record.

import type { PropertyCodec } from '../core/message/properties.ts';
import { type Meters, newMeters } from '../core/ports/meters.ts';
import type { StoreEvents } from '../core/queue/queue-store.ts';
import type { Clock } from '../core/turn/clock.ts';
import { Committer, type Later } from './committer.ts';
import { Definitions } from './definitions.ts';
import { Header } from './header.ts';
import type { Kv } from './kv/kv.ts';
import { CACHED_PAGES, PacketIds } from './packets/packet-ids.ts';
import { KvQueueStore } from './queues/queue-store.ts';
import { RECLAIM_LIMITS, type ReclaimLimits } from './queues/reclaimer.ts';
import { KvRetainedStore, RETAINED_LIMITS, type RetainedLimits } from './retained/retained-store.ts';

export interface StoreOptions {
  readonly events: StoreEvents;
  /** The property codecs by id, to read entries back. */
  readonly codecs: ReadonlyMap<number, PropertyCodec>;
  readonly meters?: Meters;
  readonly reclaim?: ReclaimLimits;
  readonly retained?: RetainedLimits;
  /** Called where one of these refuses a message: their owner counts it under its name in the configuration. */
  readonly retainedLimitReached?: (limit: keyof RetainedLimits) => void;
  /** Pages of packet ids that are kept in memory. */
  readonly cachedPages?: number;
  /** By which retained messages expire. */
  readonly clock?: Clock;
  /** Timers, for the retry on a full disk; `setTimeout` unless told otherwise. */
  readonly later?: Later;
  /** Resolves when others had their turn in a long search; the next pass of the event loop unless told otherwise. */
  readonly pause?: (() => Promise<void>) | undefined;
}

export class Store {
  readonly queues: KvQueueStore;
  readonly retained: KvRetainedStore;
  readonly definitions: Definitions;
  readonly packets: PacketIds;
  private readonly kv: Kv;
  private readonly committer: Committer;

  /** Over data that is open. Throws, having changed nothing, where the data is of an unknown schema version. */
  constructor(kv: Kv, options: StoreOptions) {
    const { events, codecs, meters = newMeters(), later = unreferencedTimer } = options;
    const { reclaim = RECLAIM_LIMITS, retained = RETAINED_LIMITS, clock = { now: Date.now } } = options;
    const { cachedPages = CACHED_PAGES, retainedLimitReached, pause } = options;
    this.kv = kv;
    const header = new Header(kv);
    this.committer = new Committer(kv, events, later);
    this.queues = new KvQueueStore(kv, header, codecs, meters, this.committer, reclaim);
    this.retained = new KvRetainedStore(kv, codecs, header.epoch, retained, clock, meters, retainedLimitReached, pause);
    this.definitions = new Definitions(kv);
    this.committer.join(this.queues);
    this.packets = new PacketIds(kv, cachedPages);
    this.committer.join(this.retained);
    this.committer.join(this.definitions);
    this.committer.join(this.packets);
    // Last: it joins batches that are not empty.
    this.committer.join(header);
  }

  /** Submits the pending batch if no commit is in flight. The turn calls it. */
  seal(): void {
    this.committer.seal();
  }

  /** Resolves once everything handed over so far is durable; rejects where it could not be written. */
  flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.committer.whenCommitted((error) => (error === null ? resolve() : reject(error)));
      this.committer.seal();
    });
  }

  /** Bytes handed over and not yet committed. */
  get uncommittedBytes(): number {
    return this.queues.uncommittedBytes + this.retained.uncommittedBytes;
  }

  /** What the data takes on disk; 0 in memory. */
  bytesOnDisk(): number {
    return this.kv.bytesOnDisk();
  }

  /** Commits what is pending and closes the data. */
  async close(): Promise<void> {
    await this.committer.close();
    await this.kv.close();
  }
}

function unreferencedTimer(delayMs: number, action: () => void): void {
  setTimeout(action, delayMs).unref();
}
