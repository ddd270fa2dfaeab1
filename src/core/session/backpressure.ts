// Holds publishers back. There are two limits: bytes that wait for their commit (a publisher that is faster than the
// disk, with or without confirms), and bytes of messages in memory. Above a limit the sockets of all publishers stop
// being read. Consumers continue, which brings the numbers down. Each limit has a lower mark at which publishing
// continues, so that it does not alternate quickly.

import { invariant } from '../invariant.ts';
import type { CoreLimits } from '../limits.ts';
import type { Meters } from '../ports/meters.ts';
import type { MemoryBudget } from '../queue/memory-budget.ts';
import type { ClientConnections, Hold } from './client-connection.ts';

const FULL_DISK: Hold = Object.freeze({ reason: 'low on disk', alarm: true, disk: true });
const MEMORY: Hold = Object.freeze({ reason: 'low on memory', alarm: true, disk: false });
const DISK: Hold = Object.freeze({ reason: 'waiting for the disk', alarm: false, disk: true });

/** The store's bytes that are not committed yet. */
export interface Uncommitted {
  readonly uncommittedBytes: number;
}

export class Backpressure {
  private readonly limits: CoreLimits;
  private readonly connections: ClientConnections;
  private readonly memory: MemoryBudget;
  private readonly store: Uncommitted;
  private readonly meters: Meters;
  private byDisk: boolean;
  private byMemory: boolean;
  private byFullDisk: boolean;

  constructor(
    limits: CoreLimits,
    connections: ClientConnections,
    memory: MemoryBudget,
    store: Uncommitted,
    meters: Meters,
  ) {
    this.limits = limits;
    this.connections = connections;
    this.memory = memory;
    this.store = store;
    this.meters = meters;
    this.byDisk = false;
    this.byMemory = false;
    this.byFullDisk = false;
  }

  /** The disk is full, or accepts writes again. */
  fullDisk(full: boolean): void {
    this.byFullDisk = full;
    this.update();
  }

  /** Checks the limits: at the end of each turn and of each commit. */
  update(): void {
    const uncommitted = this.store.uncommittedBytes;
    const { limits } = this;
    invariant(uncommitted >= 0, 'no less than nothing waits for a commit');
    invariant(this.memory.held >= 0, 'queues give back no more memory than they took');
    this.byDisk = uncommitted > (this.byDisk ? limits.uncommittedLowBytes : limits.uncommittedHighBytes);
    const { held, processLow } = this.memory;
    this.byMemory = processLow || held > (this.byMemory ? limits.memoryLowBytes : limits.memoryHighBytes);
    const next = this.hold();
    const now = this.connections.held;
    if (next === now) return;
    if (now === null) this.meters.publishersBlocked++;
    this.connections.hold(next);
  }

  private hold(): Hold | null {
    if (this.byFullDisk) return FULL_DISK;
    if (this.byMemory) return MEMORY;
    return this.byDisk ? DISK : null;
  }
}
