// A cache from bytes on the wire to their decoded value: a topic, a destination or a name that repeats costs one hash
// and one comparison instead of decoding and checking. It has a fixed size and is shared by all connections. It is
// two-way associative: with one slot for each hash, a thousand topics evicted each other so often that parsing took
// twice as long (bench/mqtt-codec.ts).

export class ByteCache<V> {
  private readonly maxKeyBytes: number;
  private readonly mask: number;
  private readonly keys: Uint8Array;
  private readonly lengths: Uint16Array;
  private readonly values: (V | null)[];
  /** Where the last key that was not found belongs, and which of the two slots is evicted next. */
  private missed: number;
  private turn: number;

  /** `slots` is a power of two. Keys longer than `maxKeyBytes`, and the empty key, are not cached. */
  constructor(slots: number, maxKeyBytes: number) {
    this.maxKeyBytes = maxKeyBytes;
    this.mask = slots - 2;
    this.keys = new Uint8Array(slots * maxKeyBytes);
    this.lengths = new Uint16Array(slots);
    this.values = new Array<V | null>(slots).fill(null);
    this.missed = 0;
    this.turn = 0;
  }

  /** The value of the key [start, start + length), or null. */
  get(buffer: Buffer, start: number, length: number): V | null {
    if (length > this.maxKeyBytes || length === 0) return null;
    let hash = length;
    for (let i = start, end = start + length; i < end; i++) hash = (Math.imul(hash, 31) + buffer[i]!) | 0;
    const place = (hash ^ (hash >>> 13)) & this.mask;
    if (this.holds(place, buffer, start, length)) return this.values[place]!;
    if (this.holds(place + 1, buffer, start, length)) return this.values[place + 1]!;
    this.missed = place;
    return null;
  }

  /** Stores a value for the key that `get` has just not found. */
  keep(buffer: Buffer, start: number, length: number, value: V): void {
    if (length > this.maxKeyBytes || length === 0) return;
    this.turn ^= 1;
    const slot = this.missed + this.turn;
    const { keys } = this;
    const at = slot * this.maxKeyBytes;
    // A loop: creating a view of the key costs more than copying its bytes.
    for (let i = 0; i < length; i++) keys[at + i] = buffer[start + i]!;
    this.lengths[slot] = length;
    this.values[slot] = value;
  }

  private holds(slot: number, buffer: Buffer, start: number, length: number): boolean {
    if (this.lengths[slot] !== length) return false;
    const { keys } = this;
    const at = slot * this.maxKeyBytes;
    let i = 0;
    while (i < length && keys[at + i] === buffer[start + i]) i++;
    return i === length;
  }
}
