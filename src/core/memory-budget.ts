// How many bytes of messages the queues hold in memory. Queues report what they take and give back; backpressure and
// paging read the sum.

/** What an entry and its message cost beside their bytes: objects, ring slots, tags. Measured with 1 M entries. */
export const ENTRY_OVERHEAD_BYTES = 320;

export class MemoryBudget {
  /** Bytes held now. */
  held: number;
  /** Above this queues shrink their windows. */
  readonly pagingBytes: number;

  constructor(highBytes: number) {
    this.held = 0;
    this.pagingBytes = highBytes / 2;
  }

  get pressed(): boolean {
    return this.held > this.pagingBytes;
  }
}
