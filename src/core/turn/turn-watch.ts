// Measures how long each piece of work keeps the event loop: a chunk of input, a slice of a task, a timer, a completion
// that was awaited, and the turn as a whole. Nobody else gets an answer meanwhile. It keeps the longest of each kind for
// the metrics, counts those that are longer than a threshold, and logs them with the name of the work and of its client.
//
// The clock is read once for each piece of work and never for each message. The work describes itself, and only if it
// is to be logged.

import { type Logger, SILENT } from '../logger.ts';

export const WORK_KINDS = ['input', 'task', 'timer', 'completion', 'turn'] as const;
export type WorkKind = (typeof WORK_KINDS)[number];

/** What is logged of a piece of work: its name, and on whose behalf it is done. */
export interface WorkDescription {
  readonly work: string;
  readonly [detail: string]: unknown;
}

/** Something that does work, and tells what it does. */
export interface Worker {
  describeWork(): WorkDescription;
}

/** The figures of one kind of work. */
export interface WorkFigures {
  /** Pieces of work that were longer than the threshold. */
  readonly slow: number;
  /** Milliseconds of the longest piece of work in the last one to two minutes. */
  readonly longestMs: number;
}

/** Longer work is counted and logged. */
export const SLOW_WORK_MS = 50;
/** One line for each kind of work in this time. */
const LOG_INTERVAL_MS = 10_000;
/** The longest work is of this interval and the one before. */
const LONGEST_INTERVAL_MS = 60_000;

class Figures implements WorkFigures {
  slow: number;
  longest: number;
  longestBefore: number;
  /** When the next line may be logged, and how many were left out since the last one. */
  silentUntil: number;
  unlogged: number;

  constructor() {
    this.slow = 0;
    this.longest = 0;
    this.longestBefore = 0;
    this.silentUntil = Number.NEGATIVE_INFINITY;
    this.unlogged = 0;
  }

  get longestMs(): number {
    return Math.max(this.longest, this.longestBefore);
  }
}

export class TurnWatch {
  /** Milliseconds of a clock that never jumps. */
  readonly now: () => number;
  /** Whether slow work is neither counted nor logged: while the broker starts nobody waits. */
  paused: boolean;
  private readonly slowMs: number;
  private readonly log: Logger;
  private readonly input: Figures;
  private readonly task: Figures;
  private readonly timer: Figures;
  private readonly completion: Figures;
  private readonly turn: Figures;
  private intervalEndsAt: number;
  /** When the current turn began, and the longest piece of work in it. */
  turnBegan: number;
  private longestInTurn: number;
  private longestWorker: Worker | null;

  constructor(now: () => number, slowMs = SLOW_WORK_MS, log: Logger = SILENT) {
    this.now = now;
    this.paused = false;
    this.slowMs = slowMs;
    this.log = log;
    this.input = new Figures();
    this.task = new Figures();
    this.timer = new Figures();
    this.completion = new Figures();
    this.turn = new Figures();
    this.intervalEndsAt = now() + LONGEST_INTERVAL_MS;
    this.turnBegan = 0;
    this.longestInTurn = 0;
    this.longestWorker = null;
  }

  /** The figures of one kind of work. */
  figures(kind: WorkKind): WorkFigures {
    this.nextInterval(this.now());
    return this[kind];
  }

  /** A turn begins. */
  turnBegins(): void {
    this.turnBegan = this.now();
    this.longestInTurn = 0;
    this.longestWorker = null;
  }

  /** A turn ends. */
  turnEnds(): void {
    const now = this.now();
    const took = now - this.turnBegan;
    if (took > this.turn.longest) this.turn.longest = took;
    if (took > this.slowMs) this.turnWasSlow(took, now);
    if (now >= this.intervalEndsAt) this.nextInterval(now);
  }

  /** A piece of work that began at `began` has ended. Returns the time. */
  ended(kind: WorkKind, worker: Worker, began: number): number {
    const now = this.now();
    const took = now - began;
    if (took > this.longestInTurn) {
      this.longestInTurn = took;
      this.longestWorker = worker;
    }
    const figures = this[kind];
    if (took > figures.longest) figures.longest = took;
    if (took > this.slowMs) this.wasSlow(kind, took, now, worker.describeWork());
    return now;
  }

  private turnWasSlow(took: number, now: number): void {
    const longest = this.longestWorker === null ? null : this.longestWorker.describeWork();
    this.wasSlow('turn', took, now, { work: 'turn', longest, longestMs: Math.round(this.longestInTurn) });
  }

  private wasSlow(kind: WorkKind, took: number, now: number, description: WorkDescription): void {
    if (this.paused) return;
    const figures = this[kind];
    figures.slow++;
    if (now < figures.silentUntil) {
      figures.unlogged++;
      return;
    }
    figures.silentUntil = now + LOG_INTERVAL_MS;
    const { unlogged } = figures;
    figures.unlogged = 0;
    this.log.warn({ kind, ms: Math.round(took), ...description, unlogged }, 'work held the event loop for too long');
  }

  private nextInterval(now: number): void {
    if (now < this.intervalEndsAt) return;
    const missed = now >= this.intervalEndsAt + LONGEST_INTERVAL_MS;
    for (const kind of WORK_KINDS) {
      const figures = this[kind];
      figures.longestBefore = missed ? 0 : figures.longest;
      figures.longest = 0;
    }
    this.intervalEndsAt = now + LONGEST_INTERVAL_MS;
  }
}
