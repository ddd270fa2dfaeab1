// Short strings (§4.2.5.3): UTF-8, up to 255 bytes. Exchange names and routing keys repeat, so their strings and their
// bytes come from caches: a fresh string for each message would cost more than the rest of its parsing.

/** `value` as UTF-8, cut at a character boundary where it is longer than `maxBytes`. */
export function cutUtf8(value: string, maxBytes: number): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  if (bytes.length <= maxBytes) return bytes;
  let end = maxBytes;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}

const SLOTS = 1024;
/** Longer names are decoded afresh each time. */
const CACHED_BYTES = 128;

/**
 * Bytes → string, direct-mapped: a name that collides evicts the other. One a process; its size is fixed.
 */
export class ShortStringCache {
  private readonly bytes: Uint8Array;
  private readonly lengths: Uint8Array;
  private readonly strings: string[];

  constructor() {
    this.bytes = new Uint8Array(SLOTS * CACHED_BYTES);
    this.lengths = new Uint8Array(SLOTS);
    this.strings = new Array<string>(SLOTS).fill('');
  }

  /** The string that `buffer[at, at + length)` encodes. */
  get(buffer: Buffer, at: number, length: number): string {
    if (length === 0) return '';
    if (length > CACHED_BYTES) return buffer.toString('utf8', at, at + length);
    let hash = length;
    for (let i = 0; i < length; i++) hash = (Math.imul(hash, 31) + buffer[at + i]!) | 0;
    const slot = (hash ^ (hash >>> 10) ^ (hash >>> 20)) & (SLOTS - 1);
    const base = slot * CACHED_BYTES;
    const bytes = this.bytes;
    if (this.lengths[slot] === length) {
      let i = 0;
      while (i < length && bytes[base + i] === buffer[at + i]) i++;
      if (i === length) return this.strings[slot]!;
    }
    const text = buffer.toString('utf8', at, at + length);
    for (let i = 0; i < length; i++) bytes[base + i] = buffer[at + i]!;
    this.lengths[slot] = length;
    this.strings[slot] = text;
    return text;
  }
}

const MAX_ENCODED = 4096;
const MAX_BYTES = 255;

/** String → its short string bytes with the length octet in front. Emptied when it is full. One a process. */
export class ShortStringEncoder {
  private readonly encoded: Map<string, Buffer>;

  constructor() {
    this.encoded = new Map();
  }

  get(text: string): Buffer {
    const known = this.encoded.get(text);
    if (known !== undefined) return known;
    const bytes = cutUtf8(text, MAX_BYTES);
    const result = Buffer.allocUnsafeSlow(bytes.length + 1);
    result[0] = bytes.length;
    bytes.copy(result, 1);
    if (this.encoded.size >= MAX_ENCODED) this.encoded.clear();
    this.encoded.set(text, result);
    return result;
  }
}
