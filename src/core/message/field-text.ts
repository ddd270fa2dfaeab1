// Header values as text, for protocols whose headers are text: numbers, booleans and timestamps (seconds) as they are
// written, nested tables and arrays as JSON, octets that are no UTF-8 as base64, void as nothing.

import type { FieldTable, FieldValue } from './field-table.ts';

/** A header value as text. */
export function fieldText(value: FieldValue): string {
  switch (value.type) {
    case 'S':
    case 'x':
      return bytesText(value.value);
    case 'A':
    case 'F':
      return JSON.stringify(plain(value));
    case 'D':
      return decimalText(value.value.unscaled, value.value.scale);
    case 'V':
      return '';
    default:
      return String(value.value);
  }
}

function plain(value: FieldValue): unknown {
  switch (value.type) {
    case 'A':
      return value.value.map(plain);
    case 'F':
      return plainTable(value.value);
    case 'V':
      return null;
    case 't':
      return value.value;
    case 'b':
    case 'B':
    case 's':
    case 'u':
    case 'I':
    case 'i':
      return value.value;
    case 'f':
    case 'd':
      // JSON has no word for what is not a number.
      return Number.isFinite(value.value) ? value.value : String(value.value);
    case 'l':
    case 'L':
    case 'T':
      // JSON readers lose what a double does not hold, so that travels as text.
      return Number.isSafeInteger(Number(value.value)) ? Number(value.value) : String(value.value);
    case 'D':
    case 'S':
    case 'x':
      return fieldText(value);
    default:
      return value satisfies never;
  }
}

function plainTable(table: FieldTable): Record<string, unknown> {
  const object: Record<string, unknown> = Object.create(null);
  for (const field of table) if (!(field.name in object)) object[field.name] = plain(field.value);
  return object;
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
