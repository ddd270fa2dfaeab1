// Appends and removes that belong together: a message that moves from one queue to another (a dead letter). While there
// is space they share a transaction like everything of a turn. On a full disk they must neither be split into removes
// that are done and appends that are refused, nor be refused, because the message was promised: they wait.
//
// All that waits goes into the next whole batch together. So it need not be known which belongs to which, only which
// appends are promised, because something was settled for them, and which removes wait with them.

import type { QueueEntry } from '../../core/queue/queue-entry.ts';

/** What was done between the beginning and the end of a group. */
class Group {
  readonly adds: QueueEntry[] = [];
  readonly removes: QueueEntry[] = [];
  /** Whether a message that was promised moves on: what it was promised for counts for these appends now. */
  movesOn = false;
}

/** What goes into one whole batch. */
class Moves {
  readonly adds: Set<QueueEntry> = new Set();
  /** Written entries that are settled. */
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
   * What `run` appends and removes is one group. Inside of another it belongs to that one. `unfinished`: its appends are
   * promised though nothing is removed yet.
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
      // Appends alone may be refused: nobody was told anything of them yet. Removes alone need nothing to be there.
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

  /** All that is pending goes into a whole batch. */
  gather(): void {
    this.committing = this.pending;
    this.pending = new Moves();
  }

  committed(): void {
    this.committing = new Moves();
  }

  /** The batch was not written: its moves wait for the next whole one. Returns the entries that are to be appended. */
  withdraw(): ReadonlySet<QueueEntry> {
    const waiting = this.committing;
    waiting.take(this.pending);
    this.pending = waiting;
    this.committing = new Moves();
    return waiting.adds;
  }

  /** An entry was settled while its batch failed: what waits must not settle it again. */
  neverWritten(entry: QueueEntry): void {
    this.pending.adds.delete(entry);
    this.pending.removes.delete(entry);
  }

  /** What the pending moves settle. */
  removes(): ReadonlySet<QueueEntry> {
    return this.pending.removes;
  }
}
