// Compares what the process holds with what it may. The accounts of connections, definitions and queues are bounded one
// by one; this looks at their sum with whatever they miss, once a second. Above the high mark publishers are held and
// nothing new is defined; above the critical mark the connection that holds the most is closed, one a second.
//
// The heap counts with its garbage, so before a mark is believed everything is collected, below the critical mark at
// most once in ten seconds: a pause, in place of a process that ends. A program that runs without `--expose-gc` is held only at the critical mark.

import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import type { Logger } from './core/logger.ts';
import type { MemoryBudget } from './core/queue/memory-budget.ts';
import type { MemoryLedger } from './core/session/memory-ledger.ts';
import type { ProcessFigures } from './metrics/metrics.ts';
import { type Ticked, ticksFor } from './net/ticker.ts';

/** Shares of the heap's limit, and of `processHighBytes`, at which the broker is short of memory. */
const HIGH = 0.75;
const LOW = 0.65;
const CRITICAL = 0.9;
const LOOK_TICKS = ticksFor(500);
const COLLECT_TICKS = ticksFor(10_000);
/** Share of the machine's memory that the broker takes for itself, unless it is configured. */
const SHARE_OF_MACHINE = 0.6;

export interface ProcessMemoryDependencies {
  readonly budget: MemoryBudget;
  readonly ledger: Pick<MemoryLedger, 'bytes' | 'closeLargest'>;
  readonly log: Logger;
  /** `limits.processHighBytes`; 0: a share of the machine's memory. */
  readonly highBytes: number;
  readonly figures: () => ProcessFigures;
  /** Collects all garbage; null: cannot. */
  readonly collectAll: (() => void) | null;
  /** Begins a turn, in which publishers are held or released. */
  readonly begin: () => void;
}

export class ProcessMemory implements Ticked {
  private readonly dependencies: ProcessMemoryDependencies;
  private readonly highBytes: number;
  private lookAt: number;
  private collectAt: number;

  constructor(dependencies: ProcessMemoryDependencies) {
    this.dependencies = dependencies;
    this.highBytes = dependencies.highBytes === 0 ? machineBytes() * SHARE_OF_MACHINE : dependencies.highBytes;
    this.lookAt = 0;
    this.collectAt = 0;
  }

  tick(nowTick: number): void {
    if (nowTick < this.lookAt) return;
    this.lookAt = nowTick + LOOK_TICKS;
    const { budget, collectAll } = this.dependencies;
    const high = budget.processLow ? LOW : collectAll === null ? CRITICAL : HIGH;
    let used = this.used();
    if (used > high && collectAll !== null) {
      // Without a collection nothing new is learned.
      if (nowTick < this.collectAt && used <= CRITICAL) return;
      this.collectAt = nowTick + COLLECT_TICKS;
      collectAll();
      used = this.used();
    }
    this.set(used > high);
    if (used > CRITICAL) this.relieve();
  }

  /** The share that is used of what may be: of the heap, or of all, whichever is more. */
  private used(): number {
    const { heap, heapLimit, external } = this.dependencies.figures();
    return Math.max(heap / heapLimit, ((heap + external) / this.highBytes) * HIGH);
  }

  private set(low: boolean): void {
    const { budget, log, begin, figures, ledger } = this.dependencies;
    if (budget.processLow === low) return;
    budget.processLow = low;
    const details = { ...figures(), messages: budget.held, connections: ledger.bytes };
    if (low) log.error(details, 'low on memory: publishers are held, and nothing new is defined');
    else log.info(details, 'no longer low on memory');
    begin();
  }

  private relieve(): void {
    const { ledger, log } = this.dependencies;
    const bytes = ledger.closeLargest();
    if (bytes > 0) log.error({ bytes }, 'low on memory: closed the connection that held the most');
  }
}

/** The figures of this process. */
export function processFigures(): ProcessFigures {
  const { used_heap_size, heap_size_limit, external_memory } = getHeapStatistics();
  return { heap: used_heap_size, heapLimit: heap_size_limit, external: external_memory };
}

/** What the machine, or the container, gives the process. */
function machineBytes(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}
