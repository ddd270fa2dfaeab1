// Reads and writes the elementary types of AMQP 0-9-1 (§4.2.5) over one buffer. Reading past the end, or leaving bytes
// unread where none may follow, throws.

export class ByteWriter {
  private readonly parts: Buffer[];
  /** Bits not yet packed into an octet. */
  private bits: number;
  private bitCount: number;

  constructor() {
    this.parts = [];
    this.bits = 0;
    this.bitCount = 0;
  }

  bit(value: boolean): void {
    if (this.bitCount === 8) this.flushBits();
    if (value) this.bits |= 1 << this.bitCount;
    this.bitCount++;
  }

  octet(value: number): void {
    this.append(Buffer.of(value));
  }

  short(value: number): void {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16BE(value);
    this.append(bytes);
  }

  long(value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    this.append(bytes);
  }

  longlong(value: bigint): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(value);
    this.append(bytes);
  }

  shortstr(value: string): void {
    const bytes = Buffer.from(value);
    this.octet(bytes.length);
    this.append(bytes);
  }

  longstr(value: string | Uint8Array): void {
    const bytes = Buffer.from(value as string);
    this.long(bytes.length);
    this.append(bytes);
  }

  append(bytes: Uint8Array): void {
    this.flushBits();
    this.parts.push(Buffer.from(bytes));
  }

  done(): Buffer {
    this.flushBits();
    return Buffer.concat(this.parts);
  }

  private flushBits(): void {
    if (this.bitCount === 0) return;
    this.parts.push(Buffer.of(this.bits));
    this.bits = 0;
    this.bitCount = 0;
  }
}

export class ByteReader {
  private readonly buffer: Buffer;
  private at: number;
  private bitsAt: number;
  private bitCount: number;

  constructor(buffer: Buffer) {
    this.buffer = buffer;
    this.at = 0;
    this.bitsAt = 0;
    this.bitCount = 8;
  }

  get left(): number {
    return this.buffer.length - this.at;
  }

  bit(): boolean {
    if (this.bitCount === 8) {
      this.bitsAt = this.at;
      this.take(1);
      this.bitCount = 0;
    }
    return ((this.buffer[this.bitsAt]! >> this.bitCount++) & 1) === 1;
  }

  octet(): number {
    return this.take(1)[0]!;
  }

  short(): number {
    return this.take(2).readUInt16BE();
  }

  long(): number {
    return this.take(4).readUInt32BE();
  }

  longlong(): bigint {
    return this.take(8).readBigUInt64BE();
  }

  shortstr(): string {
    return this.take(this.octet()).toString();
  }

  longstr(): string {
    return this.bytes().toString();
  }

  /** The content of a long string. */
  bytes(): Buffer {
    return this.take(this.long());
  }

  take(count: number): Buffer {
    this.bitCount = 8;
    if (count > this.left) throw new Error(`malformed: ${count} bytes expected where ${this.left} are left`);
    this.at += count;
    return this.buffer.subarray(this.at - count, this.at);
  }

  end(): void {
    if (this.left > 0) throw new Error(`malformed: ${this.left} bytes too many`);
  }
}
