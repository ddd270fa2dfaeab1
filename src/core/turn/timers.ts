// The broker's expiry timers: the first message of a queue expires, a queue that nobody uses, the session of a client that
// is away, a will is due. One timer of the event loop for the whole broker, set to the earliest of them, and a heap of
// those that are set; whoever has none set is not here and costs nothing.
//
// A timer that is set moves to an earlier time only: to set a later one changes nothing. Who is called too early looks,
// finds nothing due, and sets the next time. So a queue whose messages come and go sets no timer for each of them.
//
// The wall clock may jump (somebody sets it, NTP corrects it after a start, the machine wakes). The heap is in the order
// of a clock that never does. A timer that stands for a moment (a message's `expiresAt`) follows a jump, one that
// stands for a time that passes (a session's expiry interval) does not.

import type { Clock } from './clock.ts';

/** Starts a timer that does not keep the process alive. Returns what ends it. */
export type StartTimer = (delayMs: number, action: () => void) => () => void;

/** Somebody who can have one timer set. */
export interface Timer {
  /** On the monotonic clock; Infinity: not set. Kept by `Timers`. */
  dueAt: number;
  /** Its place in the heap, or -1. Kept by `Timers`. */
  heapIndex: number;
  /** Whether it follows a wall clock that jumps. */
  readonly followsWallClock: boolean;
  /** The time has come, or is past. It may set the next one. Runs within a turn. */
  due(): void;
}

/** A turn, as timers need it. */
export interface TimerTurn {
  readonly now: number;
  begin(): void;
}

/** How many are called at once: what one leads to, a queue that is deleted, takes time. */
const FIRE_SLICE = 256;
/** Longer delays make Node's timers fire at once. */
const LONGEST_DELAY_MS = 0x7fffffff;
/** Below it the wall clock's lead over the monotonic one is jitter, and corrections by NTP that add up. */
const JUMP_MS = 10;

export class Timers {
  private readonly turn: TimerTurn;
  private readonly clock: Clock;
  private readonly startTimer: StartTimer;
  /** Binary heap, the earliest first. */
  private readonly heap: Timer[];
  /** The wall clock's lead over the monotonic one, and the turn in which it was last compared. */
  private lead: number;
  private comparedAt: number;
  /** What the event loop's timer is set to; Infinity: it is not. */
  private timerAt: number;
  private stopTimer: () => void;
  private closed: boolean;

  constructor(turn: TimerTurn, clock: Clock, startTimer: StartTimer = unreferencedTimer) {
    this.turn = turn;
    this.clock = clock;
    this.startTimer = startTimer;
    this.heap = [];
    this.lead = clock.now() - this.monotonic();
    this.comparedAt = Number.NEGATIVE_INFINITY;
    this.timerAt = Number.POSITIVE_INFINITY;
    this.stopTimer = () => {};
    this.closed = false;
  }

  /** How many are set. */
  get size(): number {
    return this.heap.length;
  }

  /** Sets a timer to that time (milliseconds since the epoch); where it was set to an earlier one it stays. */
  set(timer: Timer, at: number): void {
    if (this.turn.now !== this.comparedAt) this.compareClocks();
    const dueAt = at - this.lead;
    if (dueAt >= timer.dueAt) return;
    timer.dueAt = dueAt;
    if (timer.heapIndex < 0) {
      timer.heapIndex = this.heap.length;
      this.heap.push(timer);
    }
    this.rise(timer);
    if (timer.heapIndex === 0) this.arm();
  }

  clear(timer: Timer): void {
    if (timer.heapIndex < 0) return;
    this.remove(timer);
    if (this.heap.length === 0) this.disarm();
  }

  /** Calls those that are due; where they are many the rest have their turn behind others. Called by the event loop's timer; tests call it instead of waiting. */
  fire(): void {
    this.timerAt = Number.POSITIVE_INFINITY;
    this.turn.begin();
    this.compareClocks();
    const now = this.monotonic();
    try {
      for (let left = FIRE_SLICE; left > 0; left--) {
        const first = this.heap[0];
        if (first === undefined || first.dueAt > now) break;
        this.remove(first);
        first.due();
      }
    } finally {
      this.arm();
    }
  }

  /** The broker has stopped: nothing is called any more. */
  close(): void {
    this.closed = true;
    this.disarm();
  }

  private monotonic(): number {
    return this.clock.monotonic === undefined ? this.clock.now() : this.clock.monotonic();
  }

  /** Moves what follows the wall clock where that has jumped. */
  private compareClocks(): void {
    this.comparedAt = this.turn.now;
    const lead = this.clock.now() - this.monotonic();
    const jump = lead - this.lead;
    if (Math.abs(jump) < JUMP_MS) return;
    this.lead = lead;
    const { heap } = this;
    for (const timer of heap) if (timer.followsWallClock) timer.dueAt -= jump;
    heap.sort((a, b) => a.dueAt - b.dueAt);
    for (let i = 0; i < heap.length; i++) heap[i]!.heapIndex = i;
    this.arm();
  }

  private arm(): void {
    const first = this.heap[0];
    if (first === undefined || this.closed || first.dueAt >= this.timerAt) return;
    this.stopTimer();
    this.timerAt = first.dueAt;
    const delay = Math.min(Math.max(Math.ceil(first.dueAt - this.monotonic()), 1), LONGEST_DELAY_MS);
    this.stopTimer = this.startTimer(delay, () => this.fire());
  }

  private disarm(): void {
    this.timerAt = Number.POSITIVE_INFINITY;
    this.stopTimer();
  }

  private remove(timer: Timer): void {
    const { heap } = this;
    const index = timer.heapIndex;
    timer.dueAt = Number.POSITIVE_INFINITY;
    timer.heapIndex = -1;
    const last = heap.pop()!;
    if (last === timer) return;
    last.heapIndex = index;
    heap[index] = last;
    this.sink(last);
    this.rise(last);
  }

  private rise(timer: Timer): void {
    const { heap } = this;
    let index = timer.heapIndex;
    while (index > 0) {
      const above = (index - 1) >>> 1;
      const parent = heap[above]!;
      if (parent.dueAt <= timer.dueAt) break;
      heap[index] = parent;
      parent.heapIndex = index;
      index = above;
    }
    heap[index] = timer;
    timer.heapIndex = index;
  }

  private sink(timer: Timer): void {
    const { heap } = this;
    let index = timer.heapIndex;
    for (;;) {
      let below = 2 * index + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && heap[below + 1]!.dueAt < heap[below]!.dueAt) below++;
      const child = heap[below]!;
      if (child.dueAt >= timer.dueAt) break;
      heap[index] = child;
      child.heapIndex = index;
      index = below;
    }
    heap[index] = timer;
    timer.heapIndex = index;
  }
}

function unreferencedTimer(delayMs: number, action: () => void): () => void {
  const timer = setTimeout(action, delayMs).unref();
  return () => clearTimeout(timer);
}
