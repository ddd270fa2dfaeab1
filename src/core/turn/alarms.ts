// When something has to be looked at though nothing happens: the first message of a queue expires, or the queue itself.
// One timer for the whole broker, set to the earliest alarm; a heap of those who have one. Who has none is not here, so
// idle queues cost nothing. An alarm is only ever moved forwards in time by ringing: setting a later one is no change,
// and who is alarmed too early looks, finds nothing, and sets the next one. So a queue whose messages come and go sets no
// timer for each of them.

/** Starts a timer that does not keep the process alive. Returns what ends it. */
export type StartTimer = (delayMs: number, action: () => void) => () => void;

/** Somebody who can have one alarm. */
export interface Alarmed {
  /** Milliseconds since the epoch; Infinity: none. Kept by `Alarms`. */
  alarmAt: number;
  /** The place in the heap, or -1. Kept by `Alarms`. */
  alarmPlace: number;
  /** The time has come, or is past. It may set the next alarm. Runs within a turn. */
  alarm(): void;
}

/** A turn, as alarms need it. */
export interface AlarmTurn {
  readonly now: number;
  begin(): void;
}

/** How many are alarmed at once: what an alarm leads to, a queue that is deleted, takes time. */
const RING_SLICE = 256;
/** Longer delays make Node's timers fire at once. */
const LONGEST_DELAY_MS = 0x7fffffff;

export class Alarms {
  private readonly turn: AlarmTurn;
  private readonly startTimer: StartTimer;
  /** Binary heap, the earliest first. */
  private readonly heap: Alarmed[];
  /** What the timer is set to; Infinity: it is not. */
  private timerAt: number;
  private stopTimer: () => void;
  private closed: boolean;

  constructor(turn: AlarmTurn, startTimer: StartTimer = unreferencedTimer) {
    this.turn = turn;
    this.startTimer = startTimer;
    this.heap = [];
    this.timerAt = Number.POSITIVE_INFINITY;
    this.stopTimer = () => {};
    this.closed = false;
  }

  get size(): number {
    return this.heap.length;
  }

  /** Alarms `who` at that time, or at the one that was set before where it is earlier. */
  set(who: Alarmed, at: number): void {
    if (at >= who.alarmAt) return;
    who.alarmAt = at;
    if (who.alarmPlace < 0) {
      who.alarmPlace = this.heap.length;
      this.heap.push(who);
    }
    this.rise(who);
    if (who.alarmPlace === 0) this.arm();
  }

  clear(who: Alarmed): void {
    if (who.alarmPlace < 0) return;
    this.take(who);
    if (this.heap.length === 0) this.disarm();
  }

  /** Alarms those whose time has come; where they are many the rest have their turn behind others. Called by the timer; tests call it instead of waiting. */
  ring(): void {
    this.timerAt = Number.POSITIVE_INFINITY;
    this.turn.begin();
    const { now } = this.turn;
    for (let left = RING_SLICE; left > 0; left--) {
      const first = this.heap[0];
      if (first === undefined || first.alarmAt > now) break;
      this.take(first);
      first.alarm();
    }
    this.arm();
  }

  /** The broker has stopped: nothing rings any more. */
  close(): void {
    this.closed = true;
    this.disarm();
  }

  private arm(): void {
    const first = this.heap[0];
    if (first === undefined || this.closed || first.alarmAt >= this.timerAt) return;
    this.stopTimer();
    this.timerAt = first.alarmAt;
    const delay = Math.min(Math.max(Math.ceil(first.alarmAt - this.turn.now), 1), LONGEST_DELAY_MS);
    this.stopTimer = this.startTimer(delay, () => this.ring());
  }

  private disarm(): void {
    this.timerAt = Number.POSITIVE_INFINITY;
    this.stopTimer();
  }

  private take(who: Alarmed): void {
    const { heap } = this;
    const place = who.alarmPlace;
    who.alarmAt = Number.POSITIVE_INFINITY;
    who.alarmPlace = -1;
    const last = heap.pop()!;
    if (last === who) return;
    last.alarmPlace = place;
    heap[place] = last;
    this.sink(last);
    this.rise(last);
  }

  private rise(who: Alarmed): void {
    const { heap } = this;
    let place = who.alarmPlace;
    while (place > 0) {
      const above = (place - 1) >>> 1;
      const parent = heap[above]!;
      if (parent.alarmAt <= who.alarmAt) break;
      heap[place] = parent;
      parent.alarmPlace = place;
      place = above;
    }
    heap[place] = who;
    who.alarmPlace = place;
  }

  private sink(who: Alarmed): void {
    const { heap } = this;
    let place = who.alarmPlace;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && heap[below + 1]!.alarmAt < heap[below]!.alarmAt) below++;
      const child = heap[below]!;
      if (child.alarmAt >= who.alarmAt) break;
      heap[place] = child;
      child.alarmPlace = place;
      place = below;
    }
    heap[place] = who;
    who.alarmPlace = place;
  }
}

function unreferencedTimer(delayMs: number, action: () => void): () => void {
  const timer = setTimeout(action, delayMs).unref();
  return () => clearTimeout(timer);
}
