// Field tables as JSON that is read back, for definitions on disk (plain-fields.ts: for what is only shown). Types survive:
// every value keeps its AMQP type letter; 64-bit integers are decimal text and bytes are base64.

import type { Field, FieldTable, FieldValue } from './field-table.ts';

type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** `[[name, type, value], …]`, in order. */
export function tableToJson(table: FieldTable): JsonValue[] {
  return table.map((field) => [field.name, field.value.type, valueToJson(field.value)]);
}

/** The inverse of `tableToJson`. Throws TypeError where the JSON was not written by it. */
export function tableFromJson(json: unknown): FieldTable {
  if (!Array.isArray(json)) throw new TypeError('a stored field table is not an array');
  return json.map((item): Field => {
    if (!Array.isArray(item) || typeof item[0] !== 'string') throw new TypeError('a stored field has no name');
    return { name: item[0], value: valueFromJson(item[1], item[2]) };
  });
}

function valueToJson(value: FieldValue): JsonValue {
  switch (value.type) {
    case 'l':
    case 'L':
    case 'T':
      return value.value.toString();
    case 'D':
      return [value.value.scale, value.value.unscaled];
    case 'S':
      return typeof value.value === 'string' ? value.value : { base64: value.value.toString('base64') };
    case 'x':
      return value.value.toString('base64');
    case 'A':
      return value.value.map((item) => [item.type, valueToJson(item)]);
    case 'F':
      return tableToJson(value.value);
    case 'f':
    case 'd':
      // JSON has neither infinities nor a negative zero.
      if (Object.is(value.value, -0)) return '-0';
      return Number.isFinite(value.value) ? value.value : String(value.value);
    default:
      return value.value;
  }
}

function valueFromJson(type: unknown, json: unknown): FieldValue {
  switch (type) {
    case 't':
      return { type, value: json === true };
    case 'b':
    case 'B':
    case 's':
    case 'u':
    case 'I':
    case 'i':
    case 'f':
    case 'd':
      return { type, value: Number(json) };
    case 'l':
    case 'L':
    case 'T':
      return { type, value: BigInt(json as string) };
    case 'D': {
      const [scale, unscaled] = json as [number, number];
      return { type, value: { scale, unscaled } };
    }
    case 'S':
      return {
        type,
        value: typeof json === 'string' ? json : Buffer.from((json as { base64: string }).base64, 'base64'),
      };
    case 'x':
      return { type, value: Buffer.from(json as string, 'base64') };
    case 'A':
      return { type, value: (json as [unknown, unknown][]).map(([itemType, item]) => valueFromJson(itemType, item)) };
    case 'F':
      return { type, value: tableFromJson(json) };
    case 'V':
      return { type, value: null };
    default:
      throw new TypeError(`a stored field has the unknown type ${String(type)}`);
  }
}
