// Field tables on the wire (§4.2.5.5, with the type letters that RabbitMQ uses, which differ from the specification's
// for `b B s u I i l L`):
//
//   field-table  = long-uint *( short-string field-value )       the length counts bytes
//   field-value  = 't' boolean   | 'b' int8    | 'B' uint8  | 's' int16  | 'u' uint16 | 'I' int32 | 'i' uint32
//                | 'l' int64     | 'L' int64   | 'f' float  | 'd' double | 'D' uint8 int32
//                | 'S' long-string | 'x' long-string | 'A' field-array | 'T' uint64 | 'F' field-table | 'V'
//   field-array  = long-uint *field-value
//
// The unscaled part of a decimal is signed: the grammar and the text of §4.2.5 disagree, and clients that write decimals
// (Java's, pika) follow the text.
//
// Depth is bounded here, size by the frame that holds the table. Encoding what was decoded gives the same bytes, but
// for a boolean other than 0 or 1 and for field names that are not UTF-8.

import { isUtf8 } from 'node:buffer';
import type { Field, FieldTable, FieldValue } from '../../src/core/message/field-table.ts';
import { AmqpError, REPLY } from './amqp-error.ts';
import type { Writer } from './writer.ts';

/** Nesting of tables and arrays. Deeper ones are refused. */
export const MAX_TABLE_DEPTH = 64;

const TRUE: FieldValue = Object.freeze({ type: 't', value: true });
const FALSE: FieldValue = Object.freeze({ type: 't', value: false });
const VOID: FieldValue = Object.freeze({ type: 'V', value: null });

/** Decodes the fields in `buffer[at, end)` (behind the length). Strings and bytes are copied out of the buffer. */
export function decodeTable(buffer: Buffer, at: number, end: number): FieldTable {
  return new TableDecoder(buffer, at, end).table(end, 0);
}

/** Checks the fields in `buffer[at, end)` without decoding them; throws what `decodeTable` would throw. */
export function checkTable(buffer: Buffer, at: number, end: number): void {
  checkFields(buffer, at, end, 0, true);
}

/** Writes the table with its length before it. Field names that are too long are cut. */
export function encodeTable(writer: Writer, table: FieldTable): void {
  const start = writer.length;
  writer.long(0);
  for (const field of table) {
    writer.shortString(field.name);
    encodeValue(writer, field.value);
  }
  writer.patchLong(start, writer.length - start - 4);
}

class TableDecoder {
  private readonly buffer: Buffer;
  private at: number;
  private end: number;

  constructor(buffer: Buffer, at: number, end: number) {
    this.buffer = buffer;
    this.at = at;
    this.end = end;
  }

  table(end: number, depth: number): FieldTable {
    if (depth > MAX_TABLE_DEPTH) throw tooDeep();
    const outer = this.end;
    this.end = end;
    const fields: Field[] = [];
    while (this.at < end) {
      const length = this.buffer[this.take(1)]!;
      const at = this.take(length);
      const name = this.buffer.toString('utf8', at, at + length);
      fields.push({ name, value: this.value(depth) });
    }
    this.end = outer;
    return fields;
  }

  private value(depth: number): FieldValue {
    const { buffer } = this;
    switch (buffer[this.take(1)]) {
      case 0x74: // t
        return buffer[this.take(1)] === 0 ? FALSE : TRUE;
      case 0x62: // b
        return { type: 'b', value: buffer.readInt8(this.take(1)) };
      case 0x42: // B
        return { type: 'B', value: buffer[this.take(1)]! };
      case 0x73: // s
        return { type: 's', value: buffer.readInt16BE(this.take(2)) };
      case 0x75: // u
        return { type: 'u', value: buffer.readUInt16BE(this.take(2)) };
      case 0x49: // I
        return { type: 'I', value: buffer.readInt32BE(this.take(4)) };
      case 0x69: // i
        return { type: 'i', value: buffer.readUInt32BE(this.take(4)) };
      case 0x6c: // l
        return { type: 'l', value: buffer.readBigInt64BE(this.take(8)) };
      case 0x4c: // L
        return { type: 'L', value: buffer.readBigInt64BE(this.take(8)) };
      case 0x66: // f
        return { type: 'f', value: buffer.readFloatBE(this.take(4)) };
      case 0x64: // d
        return { type: 'd', value: buffer.readDoubleBE(this.take(8)) };
      case 0x44: {
        // D
        const at = this.take(5);
        return { type: 'D', value: { scale: buffer[at]!, unscaled: buffer.readInt32BE(at + 1) } };
      }
      case 0x53: {
        // S
        const bytes = this.longString();
        return { type: 'S', value: isUtf8(bytes) ? bytes.toString('utf8') : Buffer.from(bytes) };
      }
      case 0x78: // x
        return { type: 'x', value: Buffer.from(this.longString()) };
      case 0x54: // T
        return { type: 'T', value: buffer.readBigUInt64BE(this.take(8)) };
      case 0x46: {
        // F
        const length = buffer.readUInt32BE(this.take(4));
        const end = this.within(length);
        return { type: 'F', value: this.table(end, depth + 1) };
      }
      case 0x41: {
        // A
        const length = buffer.readUInt32BE(this.take(4));
        return { type: 'A', value: this.array(this.within(length), depth + 1) };
      }
      case 0x56: // V
        return VOID;
      default:
        throw unknownType();
    }
  }

  private array(end: number, depth: number): FieldValue[] {
    if (depth > MAX_TABLE_DEPTH) throw tooDeep();
    const outer = this.end;
    this.end = end;
    const values: FieldValue[] = [];
    while (this.at < end) values.push(this.value(depth));
    this.end = outer;
    return values;
  }

  private longString(): Buffer {
    const length = this.buffer.readUInt32BE(this.take(4));
    const at = this.take(length);
    return this.buffer.subarray(at, at + length);
  }

  private take(bytes: number): number {
    const at = this.at;
    if (this.end - at < bytes) throw truncated();
    this.at = at + bytes;
    return at;
  }

  private within(length: number): number {
    if (this.end - this.at < length) throw truncated();
    return this.at + length;
  }
}

/** The fields of a table (`named`) or the values of an array. */
function checkFields(buffer: Buffer, start: number, end: number, depth: number, named: boolean): void {
  if (depth > MAX_TABLE_DEPTH) throw tooDeep();
  let at = start;
  while (at < end) {
    if (named) at += 1 + buffer[at]!;
    if (at >= end) throw truncated();
    const type = buffer[at++]!;
    const fixed = FIXED_BYTES[type]!;
    if (fixed === UNKNOWN) throw unknownType();
    if (fixed !== MEASURED) {
      at += fixed;
      continue;
    }
    if (end - at < 4) throw truncated();
    const length = buffer.readUInt32BE(at);
    at += 4;
    if (end - at < length) throw truncated();
    if (type === 0x46) checkFields(buffer, at, at + length, depth + 1, true);
    else if (type === 0x41) checkFields(buffer, at, at + length, depth + 1, false);
    at += length;
  }
  if (at !== end) throw truncated();
}

const UNKNOWN = -1;
/** The value starts with its length in four bytes. */
const MEASURED = -2;

/** Size of a value after its type octet. */
const FIXED_BYTES = new Int8Array(256).fill(UNKNOWN);
for (const [letters, bytes] of [
  ['V', 0],
  ['tbB', 1],
  ['su', 2],
  ['Iif', 4],
  ['D', 5],
  ['lLdT', 8],
  ['SxAF', MEASURED],
] as const) {
  for (const letter of letters) FIXED_BYTES[letter.charCodeAt(0)] = bytes;
}

function encodeValue(writer: Writer, field: FieldValue): void {
  writer.octet(field.type.charCodeAt(0));
  switch (field.type) {
    case 't':
      writer.octet(field.value ? 1 : 0);
      break;
    case 'b':
    case 'B':
      writer.octet(field.value & 0xff);
      break;
    case 's':
      writer.signedShort(field.value);
      break;
    case 'u':
      writer.short(field.value);
      break;
    case 'I':
      writer.signedLong(field.value);
      break;
    case 'i':
      writer.long(field.value);
      break;
    case 'l':
    case 'L':
    case 'T':
      writer.bigLongLong(field.value);
      break;
    case 'f':
      writer.float(field.value);
      break;
    case 'd':
      writer.double(field.value);
      break;
    case 'D':
      writer.octet(field.value.scale);
      writer.signedLong(field.value.unscaled);
      break;
    case 'S':
    case 'x':
      writer.longString(field.value);
      break;
    case 'F':
      encodeTable(writer, field.value);
      break;
    case 'A': {
      const start = writer.length;
      writer.long(0);
      for (const item of field.value) encodeValue(writer, item);
      writer.patchLong(start, writer.length - start - 4);
      break;
    }
    case 'V':
      break;
    default:
      field satisfies never;
  }
}

function truncated(): AmqpError {
  return new AmqpError(REPLY.syntaxError, 'field table is longer than its frame, or a field than its table');
}

function tooDeep(): AmqpError {
  return new AmqpError(REPLY.syntaxError, `field table is nested deeper than ${MAX_TABLE_DEPTH} levels`);
}

function unknownType(): AmqpError {
  return new AmqpError(REPLY.syntaxError, 'unknown field type in field table');
}
