// Appends and removes that belong together: a message that moves from one queue to another (a dead letter). While there
// is space they share a transaction with everything else of the turn. On a full disk they must not be split into
// removes that succeed and appends that are refused. They must not be refused as a whole either, because the message
// was confirmed. So they wait.
//
// All moves that wait go into the next whole batch together. So it is enough to know which appends must not be refused,
// because a remove depends on them, and which removes wait with them.

import type { QueueEntry } from '../../core/queue/queue-entry.ts';

/** The operations between the beginning and the end of a group. */
class Group {
  readonly adds: QueueEntry[] = [];
  readonly removes: QueueEntry[] = [];
  /** Whether a confirmed message moves on: its confirm now depends on these appends. */
  movesOn = false;
}

/** The moves of one whole batch. */
class Moves {
  readonly adds: Set<QueueEntry> = new Set();
  /** Written entries that these moves settle. */
  readonly removes: Set<QueueEntry> = new Set();

  take({ adds, removes }: Moves | Group): void {
    for (const entry of adds) this.adds.add(entry);
    for (const entry of removes) this.removes.add(entry);
  }
}

export class MoveGroups {
  private open: Group | null;
  private pending: Moves;
  private committing: Moves;

  constructor() {
    this.open = null;
    this.pending = new Moves();
    this.committing = new Moves();
  }

  /**
   * The appends and removes of `run` are one group. A nested call belongs to the outer group. `unfinished`: its appends
   * must not be refused though nothing is removed yet.
   */
  run(run: () => void, unfinished: boolean): void {
    if (this.open !== null) {
      run();
      return;
    }
    const group = new Group();
    this.open = group;
    try {
      run();
    } finally {
      this.open = null;
      // Appends alone may be refused: nothing was confirmed for them. Removes alone need no append.
      const isPromised = group.removes.length > 0 || group.movesOn || unfinished;
      if (group.adds.length > 0 && isPromised) this.pending.take(group);
    }
  }

  appended(entry: QueueEntry): void {
    if (this.open !== null) this.open.adds.push(entry);
  }

  /** A written entry, or one that is being written, is settled. */
  removed(entry: QueueEntry): void {
    if (this.open !== null) this.open.removes.push(entry);
  }

  /** A pending entry will not be written. */
  withdrawn(entry: QueueEntry): void {
    if (this.pending.adds.delete(entry) && this.open !== null) this.open.movesOn = true;
  }

  /** All pending moves go into a whole batch. */
  gather(): void {
    this.committing = this.pending;
    this.pending = new Moves();
  }

  committed(): void {
    this.committing = new Moves();
  }

  /** The batch was not written: its moves wait for the next whole batch. Returns the entries to append again. */
  withdraw(): ReadonlySet<QueueEntry> {
    const waiting = this.committing;
    waiting.take(this.pending);
    this.pending = waiting;
    this.committing = new Moves();
    return waiting.adds;
  }

  /** An entry was settled while its batch failed: the moves that wait must not settle it again. */
  neverWritten(entry: QueueEntry): void {
    this.pending.adds.delete(entry);
    this.pending.removes.delete(entry);
  }

  /** The entries that the pending moves settle. */
  removes(): ReadonlySet<QueueEntry> {
    return this.pending.removes;
  }
}
