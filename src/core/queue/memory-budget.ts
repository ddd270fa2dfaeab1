// How many bytes of messages the queues hold in memory. Queues report what they take and give back; backpressure and
// paging read the sum. Windows shrink long before publishers are held: a backlog that nobody consumes never frees its
// window, so the windows of however many queues must stay below the mark at which publishing goes on.

/** What an entry and its message cost beside their bytes: objects, ring slots, tags. Measured with 1 M entries. */
export const ENTRY_OVERHEAD_BYTES = 320;

export class MemoryBudget {
  /** Bytes held now. */
  held: number;
  /** Above this queues shrink their windows, the more the closer `held` comes to the next mark. */
  private readonly pagingBytes: number;
  /** From here on windows take nothing in. */
  private readonly fullBytes: number;

  constructor(highBytes: number) {
    this.held = 0;
    this.pagingBytes = highBytes / 2;
    this.fullBytes = (highBytes * 5) / 8;
  }

  /** How much of its window a queue may fill now, from 0 to 1. */
  get share(): number {
    if (this.held <= this.pagingBytes) return 1;
    // Above `fullBytes` nothing is left of it.
    return Math.max(0, (this.fullBytes - this.held) / (this.fullBytes - this.pagingBytes));
  }
}
