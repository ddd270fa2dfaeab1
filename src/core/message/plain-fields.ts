// The plain form of fields: JSON values without types, and text. For readers whose form has no types: the management API,
// and MQTT 5 and STOMP, whose headers are text. Nothing is read back from it; what has to be is written with its types
// (field-table-json.ts).
//
// A number is a JSON number where that holds it exactly, else text. Bytes are text where they are UTF-8, else base64. Of
// repeated names the first counts, as wherever fields are looked up.

import type { FieldTable, FieldValue } from './field-table.ts';

export type PlainValue = string | number | boolean | null | readonly PlainValue[] | PlainTable;
export interface PlainTable {
  readonly [name: string]: PlainValue;
}

/** A table as a JSON object. */
export function plainTable(table: FieldTable): PlainTable {
  // Without a prototype: a field may be called `__proto__`.
  const object: Record<string, PlainValue> = Object.create(null);
  for (const { name, value } of table) if (!(name in object)) object[name] = plainValue(value);
  return object;
}

/** A value as header text: numbers, booleans and timestamps (seconds) as they are written, tables and arrays as JSON, void as nothing. */
export function fieldText(value: FieldValue): string {
  switch (value.type) {
    case 'S':
    case 'x':
      return bytesText(value.value);
    case 'A':
    case 'F':
      return JSON.stringify(plainValue(value));
    case 'D':
      return decimalText(value.value.unscaled, value.value.scale);
    case 'V':
      return '';
    default:
      return String(value.value);
  }
}

function plainValue(value: FieldValue): PlainValue {
  switch (value.type) {
    case 't':
    case 'b':
    case 'B':
    case 's':
    case 'u':
    case 'I':
    case 'i':
    case 'V':
      return value.value;
    case 'f':
    case 'd':
      // JSON has no word for what is not a number.
      return Number.isFinite(value.value) ? value.value : String(value.value);
    case 'l':
    case 'L':
    case 'T':
      return Number.isSafeInteger(Number(value.value)) ? Number(value.value) : String(value.value);
    case 'D':
      // The nearest double: it is written with the same digits, of which a decimal has ten at most.
      return Number(decimalText(value.value.unscaled, value.value.scale));
    case 'S':
    case 'x':
      return bytesText(value.value);
    case 'A':
      return value.value.map(plainValue);
    case 'F':
      return plainTable(value.value);
    default:
      return value satisfies never;
  }
}

function bytesText(value: string | Buffer): string {
  if (typeof value === 'string') return value;
  const text = value.toString('utf8');
  return Buffer.from(text, 'utf8').equals(value) ? text : value.toString('base64');
}

function decimalText(unscaled: number, scale: number): string {
  if (scale === 0) return String(unscaled);
  const digits = String(Math.abs(unscaled)).padStart(scale + 1, '0');
  return `${unscaled < 0 ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}
