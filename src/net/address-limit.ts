// How many connections each address has, over all listeners, so that one machine cannot take all of them.

export class AddressLimit {
  private readonly most: number;
  private readonly counts: Map<string, number>;

  constructor(most: number) {
    this.most = most;
    this.counts = new Map();
  }

  /** Addresses that have connections. */
  get size(): number {
    return this.counts.size;
  }

  /** Counts a connection. False if its address has more than it may; it is counted, too, until `remove`. */
  add(address: string): boolean {
    const count = (this.counts.get(address) ?? 0) + 1;
    this.counts.set(address, count);
    return count <= this.most;
  }

  /** A counted connection was closed. */
  remove(address: string): void {
    const count = (this.counts.get(address) ?? 0) - 1;
    if (count > 0) this.counts.set(address, count);
    else this.counts.delete(address);
  }
}
