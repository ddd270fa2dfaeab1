// Bytes of messages that all queues hold in memory. Queues add and subtract; backpressure and paging read the sum.
// Windows shrink long before publishers are held back: a backlog without consumers never frees its window, so the
// windows of any number of queues must stay below the mark at which publishing continues.

/** Memory of an entry and its message beside their bytes: objects, ring slots, tags. Measured with 1 M entries. */
export const ENTRY_OVERHEAD_BYTES = 320;

export class MemoryBudget {
  /** Bytes held now. */
  held: number;
  /** Above this, queues shrink their windows; the closer `held` is to `fullBytes`, the more. */
  private readonly pagingBytes: number;
  /** From here on windows take nothing in. */
  private readonly fullBytes: number;
  /** The process is short of memory, whoever holds it: publishers are held, and nothing new is defined. */
  processLow: boolean;

  constructor(highBytes: number) {
    this.held = 0;
    this.processLow = false;
    this.pagingBytes = highBytes / 2;
    this.fullBytes = (highBytes * 5) / 8;
  }

  /** The share of its window that a queue may fill now, from 0 to 1. */
  get share(): number {
    if (this.processLow) return 0;
    if (this.held <= this.pagingBytes) return 1;
    // 0 above `fullBytes`.
    return Math.max(0, (this.fullBytes - this.held) / (this.fullBytes - this.pagingBytes));
  }
}
