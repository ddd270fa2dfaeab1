// `/metrics` in the Prometheus text format: the broker's counters and gauges, read when scraped and stored only once.
// prom-client loads with the first scrape, so that a broker without a scraper does not pay for it.

import { setTimeout } from 'node:timers/promises';
import type { Counter, Gauge, Registry } from 'prom-client';
import type { Meters } from '../core/ports/meters.ts';
import type { MemoryBudget } from '../core/queue/memory-budget.ts';
import type { ClientConnections } from '../core/session/client-connection.ts';
import type { MemoryLedger } from '../core/session/memory-ledger.ts';
import type { Faults } from '../core/turn/faults.ts';
import { type TurnWatch, WORK_KINDS } from '../core/turn/turn-watch.ts';
import type { VirtualHost } from '../core/vhost/virtual-host.ts';

/** The sources of the figures. */
export interface MetricSources {
  readonly meters: Meters;
  readonly hosts: Iterable<VirtualHost>;
  readonly connections: ClientConnections;
  readonly memory: Pick<MemoryBudget, 'held' | 'processLow'>;
  readonly ledger: Pick<MemoryLedger, 'bytes' | 'unauthenticatedBytes'>;
  readonly store: { readonly uncommittedBytes: number };
  readonly watch: Pick<TurnWatch, 'figures'>;
  readonly faults: Pick<Faults, 'counts'>;
  readonly process: () => ProcessFigures;
  readonly version: string;
}

/** Memory of the process, bytes. */
export interface ProcessFigures {
  /** The heap with its garbage, and its largest size. */
  readonly heap: number;
  readonly heapLimit: number;
  /** Buffers outside of the heap. */
  readonly external: number;
}

export interface Exposition {
  readonly contentType: string;
  readonly body: string;
}

/** Meters that are one number. */
type SimpleMeter = Exclude<keyof Meters, 'limitHits'>;

/** Name and help text of each counter. A new meter breaks the build here until it has both. */
const COUNTERS: Readonly<Record<SimpleMeter, readonly [name: string, help: string]>> = {
  published: ['messages_published', 'Messages that publishers sent.'],
  publishedBytes: ['published_bytes', 'Bytes of their bodies.'],
  delivered: ['messages_delivered', 'Messages that were sent to consumers.'],
  deliveredBytes: ['delivered_bytes', 'Bytes of their bodies.'],
  acknowledged: ['messages_acknowledged', 'Deliveries that consumers acknowledged.'],
  rejected: ['messages_rejected', 'Deliveries that consumers rejected for good.'],
  redelivered: ['messages_redelivered', 'Deliveries with the redelivered mark.'],
  unroutable: ['messages_unroutable', 'Messages that reached no queue.'],
  returned: ['messages_returned', 'Of these, those that went back to their publisher.'],
  droppedDirect: ['messages_dropped', 'QoS 0 messages that a slow receiver did not take.'],
  overflowed: ['messages_overflowed', 'Messages that a full queue dropped or refused.'],
  expired: ['messages_expired', 'Messages whose time in a queue was over.'],
  overDeliveryLimit: ['messages_over_delivery_limit', 'Messages that came back to their queue too often.'],
  deadLetteredRejected: ['messages_dead_lettered_rejected', 'Rejected messages that a dead letter exchange got.'],
  deadLetteredExpired: ['messages_dead_lettered_expired', 'Expired messages that a dead letter exchange got.'],
  deadLetteredMaxlen: ['messages_dead_lettered_maxlen', 'Messages of a full queue that a dead letter exchange got.'],
  deadLetteredDeliveryLimit: [
    'messages_dead_lettered_delivery_limit',
    'Messages that came back too often and that a dead letter exchange got.',
  ],
  deadLettersLost: ['dead_letters_lost', 'Dead letters that reached no queue.'],
  undeliverable: ['messages_undeliverable', 'Messages that a receiver could not be given (no legal topic, too large).'],
  pagedOut: ['messages_paged_out', 'Messages that left memory for the disk.'],
  pagedIn: ['messages_paged_in', 'Messages that were read back.'],
  commits: ['store_commits', 'Transactions of the store.'],
  committedEntries: ['store_committed_entries', 'Queue entries that they wrote.'],
  publishersBlocked: ['publishers_blocked', 'Times that publishing was held back.'],
  retainedRefused: ['retained_refused', 'Messages that were not retained because of a limit.'],
};

/** A scrape is followed by a rest of so many times its length. */
const REST = 3;

const QUEUE_GAUGES = {
  queues: 'Queues.',
  exchanges: 'Exchanges.',
  definition_memory_bytes: 'Memory of queues, exchanges and bindings.',
  consumers: 'Consumers.',
  messages_ready: 'Messages that wait for a consumer.',
  messages_unacknowledged: 'Messages that are out with consumers.',
} as const;
type QueueGauge = keyof typeof QUEUE_GAUGES;

export class Metrics {
  private readonly sources: MetricSources;
  private registry: Promise<Registry> | null;
  /** The scrape that has not begun; all who ask until then get it. */
  private nextScrape: Promise<Exposition> | null;
  /** When the last scrape ended, and how long it took, by `performance.now()`. */
  private endedAt: number;
  private tookMs: number;

  constructor(sources: MetricSources) {
    this.sources = sources;
    this.registry = null;
    this.nextScrape = null;
    this.endedAt = 0;
    this.tookMs = 0;
  }

  /** The figures of a moment after the call. Scrapes take a quarter of the time at most, however many ask. */
  scrape(): Promise<Exposition> {
    this.nextScrape ??= this.scrapeNext();
    return this.nextScrape;
  }

  private async scrapeNext(): Promise<Exposition> {
    this.registry ??= this.register();
    const registry = await this.registry;
    const rest = this.endedAt + REST * this.tookMs - performance.now();
    if (rest > 0) await setTimeout(rest);
    const began = performance.now();
    this.nextScrape = null;
    const body = await registry.metrics();
    this.endedAt = performance.now();
    this.tookMs = this.endedAt - began;
    return { contentType: registry.contentType, body };
  }

  private async register(): Promise<Registry> {
    const { Counter, Gauge, Registry } = await import('prom-client');
    const registry = new Registry();
    const registers = [registry];
    const { meters, memory, ledger, store, process: figures, version } = this.sources;

    const counter = (name: string, help: string, value: () => number): void => {
      new Counter({
        name,
        help,
        registers,
        collect() {
          this.reset();
          this.inc(value());
        },
      });
    };
    for (const [field, [name, help]] of Object.entries(COUNTERS)) {
      counter(`trivium_${name}_total`, help, () => meters[field as SimpleMeter]);
    }
    counter('process_cpu_seconds_total', 'Processor time.', cpuSeconds);

    const gauge = (name: string, help: string, value: () => number): void => {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(value());
        },
      });
    };
    gauge('trivium_message_memory_bytes', 'Memory that messages in queues hold.', () => memory.held);
    gauge('trivium_client_memory_bytes', 'Memory that connections hold beside messages in queues.', () => ledger.bytes);
    gauge('trivium_unauthenticated_memory_bytes', 'Of this, of connections that have not logged in.', () => {
      return ledger.unauthenticatedBytes;
    });
    gauge('trivium_memory_low', '1: the process is short of memory, and publishers are held.', () => {
      return memory.processLow ? 1 : 0;
    });
    gauge('nodejs_heap_used_bytes', 'Heap in use, with its garbage.', () => figures().heap);
    gauge('nodejs_heap_limit_bytes', 'Largest size of the heap.', () => figures().heapLimit);
    gauge('nodejs_external_memory_bytes', 'Buffers outside of the heap.', () => figures().external);
    gauge('trivium_store_uncommitted_bytes', 'Bytes that wait for their commit.', () => store.uncommittedBytes);
    gauge('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss());
    gauge('process_start_time_seconds', 'Start, in seconds since the epoch.', () => performance.timeOrigin / 1000);
    gauge('nodejs_eventloop_utilization', 'Share of time that the event loop was busy, since the start.', () => {
      return performance.eventLoopUtilization().utilization;
    });

    const info = new Gauge({ name: 'trivium_build_info', help: 'Version.', labelNames: ['version'], registers });
    info.set({ version }, 1);

    new Counter({
      name: 'trivium_limits_reached_total',
      help: 'Times that something was dropped, refused or closed because of a limit, by its key in the configuration.',
      labelNames: ['limit'],
      registers,
      collect() {
        this.reset();
        for (const [limit, hits] of Object.entries(meters.limitHits)) this.inc({ limit }, hits);
      },
    });
    this.registerWork(Gauge, Counter, registers);
    const { faults } = this.sources;
    new Counter({
      name: 'trivium_faults_total',
      help: 'Faults of the broker that were contained: what they belonged to has ended. Each is logged with its stack.',
      labelNames: ['boundary'],
      registers,
      collect() {
        this.reset();
        for (const [boundary, count] of Object.entries(faults.counts)) this.inc({ boundary }, count);
      },
    });
    this.registerQueues(Gauge, registers);
    this.registerConnections(Gauge, registers);
    return registry;
  }

  /** How long pieces of work keep the event loop. */
  private registerWork(GaugeClass: typeof Gauge, CounterClass: typeof Counter, registers: Registry[]): void {
    const { watch } = this.sources;
    new GaugeClass({
      name: 'trivium_work_longest_seconds',
      help: 'The longest piece of work of the last one to two minutes; nobody else is served meanwhile.',
      labelNames: ['kind'],
      registers,
      collect() {
        for (const kind of WORK_KINDS) this.set({ kind }, watch.figures(kind).longestMs / 1000);
      },
    });
    new CounterClass({
      name: 'trivium_work_slow_total',
      help: 'Pieces of work that were longer than `limits.slowWorkMs`.',
      labelNames: ['kind'],
      registers,
      collect() {
        this.reset();
        for (const kind of WORK_KINDS) this.inc({ kind }, watch.figures(kind).slow);
      },
    });
  }

  /** Sums for each virtual host, computed in one walk over its queues. */
  private registerQueues(GaugeClass: typeof Gauge, registers: Registry[]): void {
    const { hosts } = this.sources;
    const gauges = new Map<QueueGauge, Gauge>();
    const collectAll = (): void => {
      for (const each of gauges.values()) each.reset();
      for (const host of hosts) {
        const sums = sumOf(host);
        for (const [name, each] of gauges) each.set({ vhost: host.name }, sums[name]);
      }
    };
    for (const [name, help] of Object.entries(QUEUE_GAUGES)) {
      // prom-client collects in the order of registration: the first gauge fills them all.
      const collect = gauges.size === 0 ? { collect: collectAll } : {};
      const options = { name: `trivium_${name}`, help, labelNames: ['vhost'], registers, ...collect };
      gauges.set(name as QueueGauge, new GaugeClass(options));
    }
  }

  private registerConnections(GaugeClass: typeof Gauge, registers: Registry[]): void {
    const { connections } = this.sources;
    new GaugeClass({
      name: 'trivium_connections',
      help: 'Client connections.',
      labelNames: ['protocol'],
      registers,
      collect() {
        this.reset();
        for (const connection of connections) this.inc({ protocol: connection.info().protocol });
      },
    });
  }
}

function sumOf(host: VirtualHost): Record<QueueGauge, number> {
  const sums = {
    queues: host.queues.size,
    exchanges: host.exchanges.size,
    definition_memory_bytes: host.definitionBytes,
    consumers: 0,
    messages_ready: 0,
    messages_unacknowledged: 0,
  };
  for (const queue of host.queues.values()) {
    sums.consumers += queue.consumers.size;
    sums.messages_ready += queue.readyCount;
    sums.messages_unacknowledged += queue.unackedCount;
  }
  return sums;
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
