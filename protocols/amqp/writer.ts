// Builds frames and property lists of any size: a growing buffer that knows AMQP's elementary types (§4.2.1). For
// control methods; deliveries and confirms are written straight into the outbox (delivery.ts, channel.ts).

import { cutUtf8 } from './short-string.ts';

const FIRST_CAPACITY = 128;
const SHORT_STRING_MAX_BYTES = 255;

export class Writer {
  private buffer: Buffer;
  private at: number;
  /** Where the octet of the current bits is, and how many of them were written (0: none is open). */
  private bitsAt: number;
  private bitsUsed: number;

  constructor(capacity: number = FIRST_CAPACITY) {
    this.buffer = Buffer.allocUnsafe(capacity);
    this.at = 0;
    this.bitsAt = 0;
    this.bitsUsed = 0;
  }

  get length(): number {
    return this.at;
  }

  octet(value: number): void {
    const at = this.grow(1);
    this.buffer[at] = value;
  }

  short(value: number): void {
    const at = this.grow(2);
    this.buffer.writeUInt16BE(value, at);
  }

  signedShort(value: number): void {
    const at = this.grow(2);
    this.buffer.writeInt16BE(value, at);
  }

  long(value: number): void {
    const at = this.grow(4);
    this.buffer.writeUInt32BE(value, at);
  }

  signedLong(value: number): void {
    const at = this.grow(4);
    this.buffer.writeInt32BE(value, at);
  }

  /** A whole number below 2^53. */
  longLong(value: number): void {
    const at = this.grow(8);
    this.buffer.writeUInt32BE(Math.floor(value / 0x100000000), at);
    this.buffer.writeUInt32BE(value % 0x100000000, at + 4);
  }

  /** Any 64 bits; negative numbers in two's complement. */
  bigLongLong(value: bigint): void {
    const at = this.grow(8);
    this.buffer.writeBigUInt64BE(BigInt.asUintN(64, value), at);
  }

  float(value: number): void {
    const at = this.grow(4);
    this.buffer.writeFloatBE(value, at);
  }

  double(value: number): void {
    const at = this.grow(8);
    this.buffer.writeDoubleBE(value, at);
  }

  /** Consecutive bits share an octet, lowest first; anything else that is written ends it. */
  bit(value: boolean): void {
    if (this.bitsUsed === 0 || this.bitsUsed === 8) {
      this.bitsAt = this.grow(1);
      this.buffer[this.bitsAt] = 0;
    }
    if (value) this.buffer[this.bitsAt]! |= 1 << this.bitsUsed;
    this.bitsUsed++;
  }

  /** Cut at a character boundary where it is longer than a short string can be. */
  shortString(value: string): void {
    const bytes = cutUtf8(value, SHORT_STRING_MAX_BYTES);
    this.octet(bytes.length);
    this.bytes(bytes);
  }

  longString(value: string | Buffer): void {
    const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
    this.long(bytes.length);
    this.bytes(bytes);
  }

  bytes(source: Buffer): void {
    const at = this.grow(source.length);
    source.copy(this.buffer, at);
  }

  /** Overwrites four bytes that were written before: a length that is known only now. */
  patchLong(at: number, value: number): void {
    this.buffer.writeUInt32BE(value, at);
  }

  /** Overwrites two bytes that were written before. */
  patchShort(at: number, value: number): void {
    this.buffer.writeUInt16BE(value, at);
  }

  /** What was written. The writer must not be used afterwards. */
  finish(): Buffer {
    return this.buffer.subarray(0, this.at);
  }

  /** Makes room and returns where it is. It may replace `buffer`, so it is never called within an expression on it. */
  private grow(bytes: number): number {
    const at = this.at;
    if (at + bytes > this.buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, at + bytes));
      this.buffer.copy(larger, 0, 0, at);
      this.buffer = larger;
    }
    this.at = at + bytes;
    this.bitsUsed = 0;
    return at;
  }
}
