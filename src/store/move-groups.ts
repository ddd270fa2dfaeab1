// Appends and removes that belong together: a message that moves from one queue to another (a dead letter). While there
// is space they share a transaction like everything of a turn. On a full disk they must neither be split into removes
// that are done and appends that are refused, nor be refused, because the message was promised: they wait whole.

import type { QueueEntry } from '../core/queue-entry.ts';

interface Group {
  adds: QueueEntry[];
  /** Written entries that are settled. */
  removes: QueueEntry[];
  /** Groups whose appends this one takes back while they are pending: they become one. */
  joined: Group[];
}

export class MoveGroups {
  private open: Group | null;
  private pending: Group[];
  private committing: Group[];
  /** The group in which an entry that is not committed was appended. */
  private readonly groupOf: Map<QueueEntry, Group>;

  constructor() {
    this.open = null;
    this.pending = [];
    this.committing = [];
    this.groupOf = new Map();
  }

  /** What `run` appends and removes is one group. Inside of another it belongs to that one. */
  run(run: () => void): void {
    if (this.open !== null) {
      run();
      return;
    }
    const group: Group = { adds: [], removes: [], joined: [] };
    this.open = group;
    try {
      run();
    } finally {
      this.open = null;
      if (group.adds.length > 0) this.end(group);
    }
  }

  appended(entry: QueueEntry): void {
    if (this.open !== null) this.open.adds.push(entry);
  }

  /** A written entry, or one that is being written, is settled. */
  removed(entry: QueueEntry): void {
    if (this.open !== null) this.open.removes.push(entry);
  }

  /** A pending entry will not be written: where it had moved and moves on, both moves are one. */
  withdrawn(entry: QueueEntry): void {
    if (this.open === null) return;
    const group = this.groupOf.get(entry);
    if (group !== undefined) this.open.joined.push(group);
  }

  /** The pending groups go into a whole batch. */
  gather(): void {
    this.committing = this.pending;
    this.pending = [];
  }

  committed(): void {
    for (const { adds } of this.committing) for (const entry of adds) this.groupOf.delete(entry);
    this.committing = [];
  }

  /** The batch was not written: its groups wait for the next whole one, in front. Returns the entries they append. */
  withdraw(): ReadonlySet<QueueEntry> {
    const adds = new Set(this.committing.flatMap((group) => group.adds));
    this.pending = [...this.committing, ...this.pending];
    this.committing = [];
    return adds;
  }

  /**
   * An entry was settled while its batch failed: a group that waits must not settle it again. Where it had moved there and
   * moves on, both moves are one: what the first settles must not be gone before what the second appends is there.
   */
  neverWritten(entry: QueueEntry): void {
    const before = this.groupOf.get(entry);
    for (const group of this.pending) {
      if (!group.removes.includes(entry)) continue;
      group.removes = group.removes.filter((removed) => removed !== entry);
      if (before === undefined || before === group) continue;
      this.merge(group, before);
      for (const added of group.adds) this.groupOf.set(added, group);
    }
  }

  /** What the pending groups settle. */
  removes(): QueueEntry[] {
    return this.pending.flatMap((group) => group.removes);
  }

  private end(group: Group): void {
    for (const other of new Set(group.joined)) this.merge(group, other);
    group.joined = [];
    // Appends alone may be refused: nobody was told anything of them yet.
    if (group.removes.length === 0) {
      for (const entry of group.adds) this.groupOf.delete(entry);
      return;
    }
    for (const entry of group.adds) this.groupOf.set(entry, group);
    this.pending.push(group);
  }

  /** One group takes the other's part. */
  private merge(group: Group, other: Group): void {
    group.adds.push(...other.adds);
    group.removes.push(...other.removes);
    this.pending = this.pending.filter((each) => each !== other);
  }
}
