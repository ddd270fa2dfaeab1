// A growing buffer with a cursor, big-endian, for the parts of a codec that are not hot: definitions, property blocks,
// handshakes. Reusable by `clear`, so that a codec keeps one. Numbers out of range throw, as they would be our own bug.

const START_BYTES = 256;
/** A writer that once held more lets go of it at `clear`. */
const MAX_KEPT_BYTES = 64 * 1024;

export class ByteWriter {
  buffer: Buffer;
  position: number;

  constructor(bytes: number = START_BYTES) {
    this.buffer = Buffer.allocUnsafeSlow(bytes);
    this.position = 0;
  }

  /** Starts anew. What `view` gave is overwritten from now on. */
  clear(): void {
    this.position = 0;
    if (this.buffer.length > MAX_KEPT_BYTES) this.buffer = Buffer.allocUnsafeSlow(START_BYTES);
  }

  uint8(value: number): void {
    this.reserve(1);
    this.position = this.buffer.writeUInt8(value, this.position);
  }

  uint16(value: number): void {
    this.reserve(2);
    this.position = this.buffer.writeUInt16BE(value, this.position);
  }

  uint32(value: number): void {
    this.reserve(4);
    this.position = this.buffer.writeUInt32BE(value, this.position);
  }

  uint64(value: number | bigint): void {
    this.reserve(8);
    this.position = this.buffer.writeBigUInt64BE(BigInt(value), this.position);
  }

  int8(value: number): void {
    this.reserve(1);
    this.position = this.buffer.writeInt8(value, this.position);
  }

  int16(value: number): void {
    this.reserve(2);
    this.position = this.buffer.writeInt16BE(value, this.position);
  }

  int32(value: number): void {
    this.reserve(4);
    this.position = this.buffer.writeInt32BE(value, this.position);
  }

  int64(value: number | bigint): void {
    this.reserve(8);
    this.position = this.buffer.writeBigInt64BE(BigInt(value), this.position);
  }

  float32(value: number): void {
    this.reserve(4);
    this.position = this.buffer.writeFloatBE(value, this.position);
  }

  float64(value: number): void {
    this.reserve(8);
    this.position = this.buffer.writeDoubleBE(value, this.position);
  }

  /** Returns how many bytes it took. */
  utf8(text: string): number {
    // No UTF-16 unit takes more than three bytes.
    this.reserve(text.length * 3);
    const written = this.buffer.write(text, this.position, 'utf8');
    this.position += written;
    return written;
  }

  latin1(text: string): number {
    this.reserve(text.length);
    this.position += this.buffer.write(text, this.position, 'latin1');
    return text.length;
  }

  bytes(source: Buffer, start: number = 0, end: number = source.length): void {
    this.reserve(end - start);
    this.position += source.copy(this.buffer, this.position, start, end);
  }

  /** Leaves room for a length that is known later, and returns where: `patchUint32(at, writer.position - at - 4)`. */
  skip(bytes: number): number {
    this.reserve(bytes);
    const at = this.position;
    this.buffer.fill(0, at, at + bytes);
    this.position += bytes;
    return at;
  }

  patchUint8(at: number, value: number): void {
    this.buffer.writeUInt8(value, at);
  }

  patchUint16(at: number, value: number): void {
    this.buffer.writeUInt16BE(value, at);
  }

  patchUint32(at: number, value: number): void {
    this.buffer.writeUInt32BE(value, at);
  }

  /** What was written, as a view that the next write may change. */
  view(): Buffer {
    return this.buffer.subarray(0, this.position);
  }

  /** What was written, in memory of its own. */
  copy(): Buffer {
    const copy = Buffer.allocUnsafeSlow(this.position);
    this.buffer.copy(copy, 0, 0, this.position);
    return copy;
  }

  reserve(bytes: number): void {
    if (this.position + bytes <= this.buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.buffer.length * 2, this.position + bytes));
    this.buffer.copy(larger, 0, 0, this.position);
    this.buffer = larger;
  }
}
