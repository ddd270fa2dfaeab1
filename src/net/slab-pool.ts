// The memory that outboxes write into: slabs in two sizes, lent until the write that carries them has ended. Small
// slabs exist because a fan-out to 10,000 quiet connections must not touch 10,000 × 64 KiB. The pool keeps a bounded
// number of free slabs; the garbage collector gets the others.

/** Size of a large slab, and the largest piece that `Outbox.reserve` gives. */
export const SLAB_BYTES = 64 * 1024;
/** A connection that sent little lately starts with a small slab. */
export const SMALL_SLAB_BYTES = 2 * 1024;

/** Free slabs that are kept: 16 MiB of large ones, 8 MiB of small ones. */
const MAX_FREE_LARGE = 256;
const MAX_FREE_SMALL = 4096;

/** Learns that a write has ended. */
export interface SlabOwner {
  sent(): void;
}

/** A piece of memory, its borrower, and the callback of the write that carries it, which is created once. */
export class Slab {
  readonly buffer: Buffer;
  /** The slab that went out before this one in the same write: a write returns the whole chain. */
  previous: Slab | null;
  owner: SlabOwner | null;
  /** Handed to the socket's write: called once the kernel has taken everything, or the socket is gone. */
  readonly sent: () => void;

  constructor(pool: SlabPool, bytes: number) {
    // Not from Node's shared 8 KiB pool, because slabs live long.
    this.buffer = Buffer.allocUnsafeSlow(bytes);
    this.previous = null;
    this.owner = null;
    this.sent = () => {
      const owner = this.owner;
      if (owner === null) return;
      pool.release(this);
      owner.sent();
    };
  }
}

export class SlabPool {
  /** Bytes of lent slabs: the memory of all outboxes, for the memory budget and for metrics. */
  lentBytes: number;
  private readonly small: Slab[];
  private readonly large: Slab[];
  private discarded: Buffer | null;

  constructor() {
    this.lentBytes = 0;
    this.small = [];
    this.large = [];
    this.discarded = null;
  }

  /** Free slabs of both sizes. */
  get free(): number {
    return this.small.length + this.large.length;
  }

  take(owner: SlabOwner, bytes: number): Slab {
    const isSmall = bytes <= SMALL_SLAB_BYTES;
    const size = isSmall ? SMALL_SLAB_BYTES : SLAB_BYTES;
    const slab = (isSmall ? this.small : this.large).pop() ?? new Slab(this, size);
    slab.owner = owner;
    this.lentBytes += size;
    return slab;
  }

  /** Takes back a slab and those before it in its chain. */
  release(last: Slab): void {
    let slab: Slab | null = last;
    while (slab !== null) {
      const previous: Slab | null = slab.previous;
      const size = slab.buffer.length;
      slab.previous = null;
      slab.owner = null;
      this.lentBytes -= size;
      const free = size === SLAB_BYTES ? this.large : this.small;
      if (free.length < (size === SLAB_BYTES ? MAX_FREE_LARGE : MAX_FREE_SMALL)) free.push(slab);
      slab = previous;
    }
  }

  /** A slab that outboxes of closed connections write into; its content is never read. */
  get bin(): Buffer {
    if (this.discarded === null) this.discarded = Buffer.allocUnsafeSlow(SLAB_BYTES);
    return this.discarded;
  }
}
