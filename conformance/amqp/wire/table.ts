// Field tables with an explicit type for every value (§4.2.5.5, and the types that RabbitMQ and its clients use), so
// that a check can choose the type that it sends and see the type that it gets.

import { ByteReader, ByteWriter } from './bytes.ts';

export type Value =
  | { readonly type: 't'; readonly value: boolean }
  | { readonly type: 'b' | 'B' | 's' | 'u' | 'I' | 'i' | 'f' | 'd'; readonly value: number }
  | { readonly type: 'l' | 'L' | 'T'; readonly value: bigint }
  | { readonly type: 'D'; readonly scale: number; readonly value: number }
  | { readonly type: 'S'; readonly value: string }
  | { readonly type: 'x'; readonly value: Buffer }
  | { readonly type: 'A'; readonly value: readonly Value[] }
  | { readonly type: 'F'; readonly value: Table }
  | { readonly type: 'V' };
export type Table = { readonly [name: string]: Value };

export const bool = (value: boolean): Value => ({ type: 't', value });
/** A signed 32-bit integer. */
export const int = (value: number): Value => ({ type: 'I', value });
/** A signed 64-bit integer. */
export const long = (value: bigint): Value => ({ type: 'l', value });
export const text = (value: string): Value => ({ type: 'S', value });
export const list = (...value: Value[]): Value => ({ type: 'A', value });
export const table = (value: Table): Value => ({ type: 'F', value });

export function encodeTable(fields: Table): Buffer {
  const out = new ByteWriter();
  for (const [name, value] of Object.entries(fields)) {
    out.shortstr(name);
    writeValue(out, value);
  }
  return out.done();
}

export function decodeTable(bytes: Buffer): Table {
  const input = new ByteReader(bytes);
  const fields: Record<string, Value> = {};
  while (input.left > 0) {
    const name = input.shortstr();
    if (name in fields) throw new Error(`malformed: two fields '${name}' in one table`);
    fields[name] = readValue(input);
  }
  return fields;
}

function writeValue(out: ByteWriter, field: Value): void {
  out.octet(field.type.charCodeAt(0));
  switch (field.type) {
    case 't':
      out.octet(field.value ? 1 : 0);
      break;
    case 'b':
    case 'B':
      out.octet(field.value & 0xff);
      break;
    case 's':
    case 'u':
      out.short(field.value & 0xffff);
      break;
    case 'I':
    case 'i':
      out.long(field.value >>> 0);
      break;
    case 'l':
    case 'L':
    case 'T':
      out.longlong(BigInt.asUintN(64, field.value));
      break;
    case 'f': {
      const bytes = Buffer.alloc(4);
      bytes.writeFloatBE(field.value);
      out.append(bytes);
      break;
    }
    case 'd': {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleBE(field.value);
      out.append(bytes);
      break;
    }
    case 'D':
      out.octet(field.scale);
      out.long(field.value >>> 0);
      break;
    case 'S':
    case 'x':
      out.longstr(field.value);
      break;
    case 'A': {
      const items = new ByteWriter();
      for (const item of field.value) writeValue(items, item);
      out.longstr(items.done());
      break;
    }
    case 'F':
      out.longstr(encodeTable(field.value));
      break;
    case 'V':
      break;
    default:
      field satisfies never;
  }
}

function readValue(input: ByteReader): Value {
  const kind = String.fromCharCode(input.octet()) as Value['type'];
  switch (kind) {
    case 't':
      return { type: kind, value: input.octet() !== 0 };
    case 'b':
      return { type: kind, value: input.take(1).readInt8() };
    case 'B':
      return { type: kind, value: input.octet() };
    case 's':
      return { type: kind, value: input.take(2).readInt16BE() };
    case 'u':
      return { type: kind, value: input.short() };
    case 'I':
      return { type: kind, value: input.take(4).readInt32BE() };
    case 'i':
      return { type: kind, value: input.long() };
    case 'l':
      return { type: kind, value: input.take(8).readBigInt64BE() };
    case 'L':
    case 'T':
      return { type: kind, value: input.longlong() };
    case 'f':
      return { type: kind, value: input.take(4).readFloatBE() };
    case 'd':
      return { type: kind, value: input.take(8).readDoubleBE() };
    case 'D':
      return { type: kind, scale: input.octet(), value: input.long() };
    case 'S':
      return { type: kind, value: input.longstr() };
    case 'x':
      return { type: kind, value: input.bytes() };
    case 'A': {
      const items = new ByteReader(input.bytes());
      const value: Value[] = [];
      while (items.left > 0) value.push(readValue(items));
      return { type: kind, value };
    }
    case 'F':
      return { type: kind, value: decodeTable(input.bytes()) };
    case 'V':
      return { type: kind };
    default:
      kind satisfies never;
      throw new Error(`malformed: field type '${String(kind)}'`);
  }
}
