// The ready entries of a queue with priorities (RabbitMQ's x-max-priority): a window for each priority in use, the
// highest first. To the store a lane is a queue of its own, whose id is the queue's plus the priority: its records have
// the same form as those of any queue, and a restart finds the lanes by trying each id (docs/decisions/0011).
//
// A message's lane is decided once, by its priority when it arrives.

import type { Queue } from './queue.ts';
import type { QueueEntry } from './queue-entry.ts';
import { QueueWindow, type WindowDependencies } from './queue-window.ts';
import type { ReadyEntries } from './ready-entries.ts';

export class PriorityLanes implements ReadyEntries {
  private readonly queue: Queue;
  private readonly dependencies: WindowDependencies;
  private readonly highest: number;
  private readonly byLane: (QueueWindow | null)[];
  /** Windows in use, the highest priority first. */
  private readonly used: QueueWindow[];

  constructor(queue: Queue, dependencies: WindowDependencies, highest: number) {
    this.queue = queue;
    this.dependencies = dependencies;
    this.highest = highest;
    this.byLane = new Array(highest + 1).fill(null);
    this.used = [];
  }

  get length(): number {
    let sum = 0;
    for (let i = 0; i < this.used.length; i++) sum += this.used[i]!.length;
    return sum;
  }

  get bodyBytes(): number {
    let sum = 0;
    for (let i = 0; i < this.used.length; i++) sum += this.used[i]!.bodyBytes;
    return sum;
  }

  get pagedLength(): number {
    let sum = 0;
    for (let i = 0; i < this.used.length; i++) sum += this.used[i]!.pagedLength;
    return sum;
  }

  of(lane: number): QueueWindow {
    return this.byLane[lane] ?? this.open(lane);
  }

  lanes(): readonly QueueWindow[] {
    return this.used;
  }

  recover(): void {
    for (let lane = 0; lane <= this.highest; lane++) {
      if (this.dependencies.store.recover(this.queue.id + lane) !== null) this.open(lane).recover();
    }
  }

  append(entry: QueueEntry): void {
    this.of(entry.lane).append(entry);
  }

  hold(entry: QueueEntry, holder: object): void {
    this.of(entry.lane).hold(entry, holder);
  }

  endHold(entry: QueueEntry): void {
    this.of(entry.lane).endHold(entry);
  }

  insert(entries: readonly QueueEntry[]): void {
    for (const window of this.used) {
      const own = entries.filter(({ lane }) => lane === window.lane);
      if (own.length > 0) window.insert(own);
    }
  }

  /** If the first lane that is not empty must be read back, lower lanes wait for it. */
  peek(): QueueEntry | null {
    return this.first()?.peek() ?? null;
  }

  take(): QueueEntry {
    return this.first()!.take();
  }

  takeExpired(now: number): QueueEntry | null {
    for (let i = 0; i < this.used.length; i++) {
      const entry = this.used[i]!.takeExpired(now);
      if (entry !== null) return entry;
    }
    return null;
  }

  nextExpiry(): number {
    return Math.min(...this.used.map((window) => window.nextExpiry()));
  }

  whenReadBack(): Promise<void> | null {
    return this.first()?.whenReadBack() ?? null;
  }

  release(entry: QueueEntry): void {
    this.of(entry.lane).release(entry);
  }

  unload(entry: QueueEntry): void {
    this.of(entry.lane).unload(entry);
  }

  putBack(entries: readonly QueueEntry[]): void {
    for (const window of this.used) {
      const own = entries.filter(({ lane }) => lane === window.lane);
      if (own.length > 0) window.putBack(own);
    }
  }

  committed(entry: QueueEntry): void {
    this.of(entry.lane).committed();
  }

  withdrawn(entry: QueueEntry): void {
    this.of(entry.lane).withdrawn(entry);
  }

  clear(): number {
    let dropped = 0;
    for (const window of this.used) dropped += window.clear();
    return dropped;
  }

  private first(): QueueWindow | null {
    for (let i = 0; i < this.used.length; i++) if (this.used[i]!.length > 0) return this.used[i]!;
    return null;
  }

  private open(lane: number): QueueWindow {
    const window = new QueueWindow(this.queue, this.dependencies, lane);
    this.byLane[lane] = window;
    let at = 0;
    while (at < this.used.length && this.used[at]!.lane > lane) at++;
    this.used.splice(at, 0, window);
    this.queue.mark?.laneOpened(window);
    return window;
  }
}
