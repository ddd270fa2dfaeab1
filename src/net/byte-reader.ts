// A bounds-checked cursor over bytes that a peer sent, big-endian, for the parts of a codec that are not hot. Reading
// past the end throws a ReadError, which the codec answers as malformed input of its protocol; it never reads beyond
// `end`, even where the buffer is longer.

/** The peer's bytes ended where more were promised, or hold a number that no count can be. */
export class ReadError extends RangeError {
  constructor(message: string) {
    super(message);
    this.name = 'ReadError';
  }
}

export class ByteReader {
  readonly buffer: Buffer;
  position: number;
  readonly end: number;

  constructor(buffer: Buffer, start: number, end: number) {
    if (start < 0 || end > buffer.length || start > end) throw new RangeError(`no range ${start} to ${end}`);
    this.buffer = buffer;
    this.position = start;
    this.end = end;
  }

  get remaining(): number {
    return this.end - this.position;
  }

  uint8(): number {
    return this.buffer[this.advance(1)]!;
  }

  uint16(): number {
    return this.buffer.readUInt16BE(this.advance(2));
  }

  uint32(): number {
    return this.buffer.readUInt32BE(this.advance(4));
  }

  uint64(): bigint {
    return this.buffer.readBigUInt64BE(this.advance(8));
  }

  /** A 64-bit count. What a number does not hold exactly (above 2^53) is refused. */
  safeUint64(): number {
    const value = this.uint64();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ReadError(`${value} is no count`);
    return Number(value);
  }

  int8(): number {
    return this.buffer.readInt8(this.advance(1));
  }

  int16(): number {
    return this.buffer.readInt16BE(this.advance(2));
  }

  int32(): number {
    return this.buffer.readInt32BE(this.advance(4));
  }

  int64(): bigint {
    return this.buffer.readBigInt64BE(this.advance(8));
  }

  float32(): number {
    return this.buffer.readFloatBE(this.advance(4));
  }

  float64(): number {
    return this.buffer.readDoubleBE(this.advance(8));
  }

  /** Invalid UTF-8 becomes U+FFFD; a codec that must refuse it looks at `bytes` with `isUtf8`. */
  utf8(length: number): string {
    const start = this.advance(length);
    return this.buffer.toString('utf8', start, start + length);
  }

  latin1(length: number): string {
    const start = this.advance(length);
    return this.buffer.toString('latin1', start, start + length);
  }

  /** A view, not a copy. */
  bytes(length: number): Buffer {
    const start = this.advance(length);
    return this.buffer.subarray(start, start + length);
  }

  /** A reader of the next `length` bytes, which this one skips. */
  sub(length: number): ByteReader {
    const start = this.advance(length);
    return new ByteReader(this.buffer, start, start + length);
  }

  skip(length: number): void {
    this.advance(length);
  }

  /** Returns where the `length` bytes begin. */
  private advance(length: number): number {
    const start = this.position;
    // A negative length would read backwards.
    if (length < 0 || length > this.end - start) {
      throw new ReadError(`${length} bytes were promised, ${this.end - start} are left`);
    }
    this.position = start + length;
    return start;
  }
}
