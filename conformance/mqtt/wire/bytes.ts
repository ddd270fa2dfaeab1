// Reads and writes the data types of MQTT (3.1.1 §1.5, 5.0 §1.5). The writer also writes illegal values; the reader
// throws on anything that a broker may not send.

/** The largest value of a variable byte integer. */
export const VARIABLE_MAX = 268_435_455;

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A string, or its bytes, which need not be valid UTF-8. */
export type Text = string | Uint8Array;

export class ByteWriter {
  private readonly parts: Buffer[];

  constructor() {
    this.parts = [];
  }

  byte(value: number): this {
    return this.append(Buffer.of(value));
  }

  short(value: number): this {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16BE(value);
    return this.append(bytes);
  }

  long(value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return this.append(bytes);
  }

  variable(value: number): this {
    return this.append(variable(value));
  }

  /** A string or binary data with its two-byte length. */
  string(value: Text): this {
    const bytes = Buffer.from(value as string);
    return this.short(bytes.length).append(bytes);
  }

  append(bytes: Uint8Array): this {
    this.parts.push(Buffer.from(bytes));
    return this;
  }

  done(): Buffer {
    return Buffer.concat(this.parts);
  }
}

/** A variable byte integer in its shortest form. */
export function variable(value: number): Buffer {
  const bytes: number[] = [];
  let left = value;
  do {
    const digit = left % 128;
    left = Math.floor(left / 128);
    bytes.push(left > 0 ? digit | 0x80 : digit);
  } while (left > 0);
  return Buffer.from(bytes);
}

export class ByteReader {
  private readonly buffer: Buffer;
  private at: number;

  constructor(buffer: Buffer) {
    this.buffer = buffer;
    this.at = 0;
  }

  get left(): number {
    return this.buffer.length - this.at;
  }

  byte(): number {
    return this.take(1)[0]!;
  }

  short(): number {
    return this.take(2).readUInt16BE();
  }

  long(): number {
    return this.take(4).readUInt32BE();
  }

  /** [MQTT-1.5.5-1]: must be in its shortest form. */
  variable(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const digit = this.byte();
      value += (digit & 0x7f) * 2 ** shift;
      if (digit < 0x80) {
        if (digit === 0 && shift > 0) throw new Error('malformed: a variable byte integer is longer than it has to be');
        return value;
      }
    }
    throw new Error('malformed: a variable byte integer of more than four bytes');
  }

  /** [MQTT-1.5.4-1], [MQTT-1.5.4-2]: well-formed, without U+0000. A byte order mark is kept [MQTT-1.5.4-3]. */
  string(): string {
    const bytes = this.binary();
    let text: string;
    try {
      text = UTF8.decode(bytes);
    } catch {
      throw new Error(`malformed: no UTF-8 in ${bytes.toString('hex')}`);
    }
    if (text.includes('\0')) throw new Error(`malformed: U+0000 in ${JSON.stringify(text)}`);
    return text;
  }

  binary(): Buffer {
    return this.take(this.short());
  }

  take(count: number): Buffer {
    if (count > this.left) throw new Error(`malformed: ${count} bytes expected where ${this.left} are left`);
    this.at += count;
    return this.buffer.subarray(this.at - count, this.at);
  }

  rest(): Buffer {
    return this.take(this.left);
  }

  end(): void {
    if (this.left > 0) throw new Error(`malformed: ${this.left} bytes too many`);
  }
}
