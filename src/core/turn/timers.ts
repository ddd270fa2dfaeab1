// The broker's expiry timers: the first message of a queue expires, an unused queue expires, the session of a
// disconnected client expires, a will is due. There is one event-loop timer for the whole broker, set to the earliest
// of them, and a heap of those that are set. An object whose timer is not set costs nothing.
//
// A timer that is set only moves to an earlier time: setting a later one changes nothing. Its owner, called too early,
// finds nothing due and sets the next time. So a queue whose messages come and go does not set a timer for each of
// them.
//
// The wall clock may jump (it is set, NTP corrects it after a start, the machine wakes). The heap is ordered by a
// monotonic clock. A timer that stands for a point in time (a message's `expiresAt`) follows a jump; one that stands
// for an interval (a session's expiry interval) does not.

import { type Clock, monotonicOf } from './clock.ts';
import type { Faults } from './faults.ts';
import type { TurnWatch, Worker } from './turn-watch.ts';

/** Starts a timer that does not keep the process alive. Returns a function that cancels it. */
export type StartTimer = (delayMs: number, action: () => void) => () => void;

/** An object with one timer. */
export interface Timer extends Worker {
  /** On the monotonic clock; Infinity: not set. Maintained by `Timers`. */
  dueAt: number;
  /** Its index in the heap, or -1. Maintained by `Timers`. */
  heapIndex: number;
  /** Whether it follows a jump of the wall clock. */
  readonly followsWallClock: boolean;
  /** The time has come, or is past. It may set the next one. Called within a turn. */
  due(): void;
}

/** The parts of a turn that timers need. */
export interface TimerTurn {
  readonly now: number;
  readonly watch: TurnWatch;
  readonly faults: Faults;
  begin(): void;
}

/** Timers that one slice calls, and its time: their effects (deleting a queue with its bindings) take time. */
const FIRE_SLICE = 256;
const FIRE_SLICE_MS = 5;
/** With a longer delay Node's timers fire at once. */
const LONGEST_DELAY_MS = 0x7fffffff;
/** A smaller change of the difference between the clocks is jitter, or NTP's slow correction. */
const JUMP_MS = 10;

export class Timers {
  private readonly turn: TimerTurn;
  private readonly clock: Clock;
  private readonly monotonic: () => number;
  private readonly startTimer: StartTimer;
  /** Binary heap, the earliest first. */
  private readonly heap: Timer[];
  /** The difference between wall clock and monotonic clock, and the turn in which it was last compared. */
  private lead: number;
  private comparedAt: number;
  /** When the event loop's timer fires; Infinity: it is not set. */
  private timerAt: number;
  private stopTimer: () => void;
  private closed: boolean;

  constructor(turn: TimerTurn, clock: Clock, startTimer: StartTimer = unreferencedTimer) {
    this.turn = turn;
    this.clock = clock;
    this.startTimer = startTimer;
    this.heap = [];
    this.monotonic = monotonicOf(clock);
    this.lead = clock.now() - this.monotonic();
    this.comparedAt = Number.NEGATIVE_INFINITY;
    this.timerAt = Number.POSITIVE_INFINITY;
    this.stopTimer = () => {};
    this.closed = false;
  }

  /** Number of timers that are set. */
  get size(): number {
    return this.heap.length;
  }

  /** Sets a timer to that time (milliseconds since the epoch); if it is set to an earlier one that stays. */
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

  /** Calls the timers that are due, in slices. Called by the event loop's timer; tests call it instead of waiting. */
  fire(): void {
    this.timerAt = Number.POSITIVE_INFINITY;
    this.turn.begin();
    this.compareClocks();
    const now = this.monotonic();
    const { watch } = this.turn;
    let time = watch.now();
    const until = time + FIRE_SLICE_MS;
    try {
      for (let left = FIRE_SLICE; left > 0 && time < until; left--) {
        const first = this.heap[0];
        if (first === undefined || first.dueAt > now) break;
        this.remove(first);
        try {
          first.due();
        } catch (error) {
          this.turn.faults.report('timer', error, first);
        }
        time = watch.ended('timer', first, time);
      }
    } finally {
      this.arm();
    }
  }

  /** The broker has stopped: no timer is called any more. */
  close(): void {
    this.closed = true;
    this.disarm();
  }

  /** Moves the timers that follow the wall clock when it has jumped. */
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
