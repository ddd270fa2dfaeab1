// Field tables of AMQP 0-9-1 (§4.2.5) between bytes and a notation for people, for tests that must not trust the
// broker's own codec:
//
//   value = t true | b -5 | B 200 | s -300 | u 60000 | I -5 | i 5 | l -5 | L -5 | f 1.5 | d 0.1 | D -5e-2 | T 1700000000
//         | S "text" | S hex ff00 | x ff00 | V | A [value, …] | F {"name": value, …}

import { isUtf8 } from 'node:buffer';

const NUMBERS = {
  b: [1, 'Int8'],
  B: [1, 'UInt8'],
  s: [2, 'Int16BE'],
  u: [2, 'UInt16BE'],
  I: [4, 'Int32BE'],
  i: [4, 'UInt32BE'],
  l: [8, 'BigInt64BE'],
  L: [8, 'BigInt64BE'],
  T: [8, 'BigUInt64BE'],
  f: [4, 'FloatBE'],
  d: [8, 'DoubleBE'],
} as const;

/** A table in the notation of `F`, encoded with its length. */
export function encodeTable(notation: string): Buffer {
  const reader = new Notation(notation);
  const table = reader.table();
  reader.end();
  return table;
}

/** One value with its type octet. */
export function encodeField(notation: string): Buffer {
  const reader = new Notation(notation);
  const field = reader.value();
  reader.end();
  return field;
}

class Notation {
  private readonly text: string;
  private at: number;

  constructor(text: string) {
    this.text = text;
    this.at = 0;
  }

  value(): Buffer {
    const type = this.match(/[a-zA-Z]/y);
    return Buffer.concat([Buffer.from(type), this.content(type)]);
  }

  table(): Buffer {
    const fields: Buffer[] = [];
    this.list('{', '}', () => {
      const name = Buffer.from(JSON.parse(this.match(/"(?:[^"\\]|\\.)*"/y)) as string);
      this.match(/:/y);
      fields.push(Buffer.from([name.length]), name, this.value());
    });
    return sized(Buffer.concat(fields));
  }

  end(): void {
    this.match(/$/y);
  }

  private content(type: string): Buffer {
    if (type in NUMBERS) {
      const [bytes, kind] = NUMBERS[type as keyof typeof NUMBERS];
      const text = this.match(/[-+.\w]+/y);
      const buffer = Buffer.alloc(bytes);
      if (kind.startsWith('Big')) buffer[`write${kind as 'BigInt64BE'}`](BigInt(text));
      else buffer[`write${kind as 'Int8'}`](Number(text));
      return buffer;
    }
    switch (type) {
      case 't':
        return Buffer.from([this.match(/true|false/y) === 'true' ? 1 : 0]);
      case 'D': {
        const [unscaled, scale] = this.match(/-?\d+e-\d+/y).split('e-');
        const buffer = Buffer.alloc(5);
        buffer[0] = Number(scale);
        buffer.writeInt32BE(Number(unscaled), 1);
        return buffer;
      }
      case 'S': {
        const text = this.match(/"(?:[^"\\]|\\.)*"|hex [0-9a-f]*/y);
        return sized(text.startsWith('hex') ? Buffer.from(text.slice(4), 'hex') : Buffer.from(JSON.parse(text)));
      }
      case 'x':
        return sized(Buffer.from(this.match(/[0-9a-f]*/y), 'hex'));
      case 'V':
        return Buffer.alloc(0);
      case 'A': {
        const items: Buffer[] = [];
        this.list('[', ']', () => items.push(this.value()));
        return sized(Buffer.concat(items));
      }
      case 'F':
        return this.table();
      default:
        throw new SyntaxError(`no field type '${type}' in ${this.text}`);
    }
  }

  private list(open: string, close: string, item: () => void): void {
    this.match(new RegExp(`\\${open}`, 'y'));
    for (let first = true; !this.peek(close); first = false) {
      if (!first) this.match(/,/y);
      item();
    }
    this.match(new RegExp(`\\${close}`, 'y'));
  }

  private peek(text: string): boolean {
    while (this.text[this.at] === ' ') this.at++;
    return this.text.startsWith(text, this.at);
  }

  private match(pattern: RegExp): string {
    while (this.text[this.at] === ' ') this.at++;
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) throw new SyntaxError(`${pattern.source} expected at ${this.at} of ${this.text}`);
    this.at += found[0].length;
    return found[0];
  }
}

/** The fields of a table without its length: names and values in notation, in order. */
export function readFields(table: Buffer): [string, string][] {
  const fields: [string, string][] = [];
  const cursor = { buffer: table, at: 0 };
  while (cursor.at < table.length) {
    const length = cursor.buffer[cursor.at++]!;
    const name = takeBytes(cursor, length).toString('utf8');
    fields.push([name, readValue(cursor)]);
  }
  return fields;
}

interface Cursor {
  readonly buffer: Buffer;
  at: number;
}

function readValue(cursor: Cursor): string {
  const type = String.fromCharCode(cursor.buffer[cursor.at++]!);
  if (type in NUMBERS) {
    const [bytes, kind] = NUMBERS[type as keyof typeof NUMBERS];
    return `${type} ${takeBytes(cursor, bytes)[`read${kind as 'Int8'}`]()}`;
  }
  switch (type) {
    case 't':
      return `t ${takeBytes(cursor, 1)[0] === 1}`;
    case 'D': {
      const bytes = takeBytes(cursor, 5);
      return `D ${bytes.readInt32BE(1)}e-${bytes[0]}`;
    }
    case 'S': {
      const bytes = takeSized(cursor);
      return isUtf8(bytes) ? `S ${JSON.stringify(bytes.toString())}` : `S hex ${bytes.toString('hex')}`;
    }
    case 'x':
      return `x ${takeSized(cursor).toString('hex')}`;
    case 'V':
      return 'V';
    case 'A': {
      const items: string[] = [];
      const inner = { buffer: takeSized(cursor), at: 0 };
      while (inner.at < inner.buffer.length) items.push(readValue(inner));
      return `A [${items.join(', ')}]`;
    }
    case 'F': {
      const fields = readFields(takeSized(cursor)).map(([name, value]) => `${JSON.stringify(name)}: ${value}`);
      return `F {${fields.join(', ')}}`;
    }
    default:
      throw new SyntaxError(`no field type '${type}'`);
  }
}

function takeBytes(cursor: Cursor, bytes: number): Buffer {
  const taken = cursor.buffer.subarray(cursor.at, cursor.at + bytes);
  cursor.at += bytes;
  return taken;
}

function takeSized(cursor: Cursor): Buffer {
  const length = takeBytes(cursor, 4).readUInt32BE(0);
  return takeBytes(cursor, length);
}

function sized(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
