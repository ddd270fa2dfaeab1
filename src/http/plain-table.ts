// Field tables in the management API: plain JSON without types, as RabbitMQ shows them. They are not read back.

import type { FieldTable, FieldValue } from '../core/message/field-table.ts';

export type PlainValue = string | number | boolean | null | PlainValue[] | { [name: string]: PlainValue };

export function plainTable(table: FieldTable): { [name: string]: PlainValue } {
  return Object.fromEntries(table.map((field) => [field.name, plainValue(field.value)]));
}

function plainValue(value: FieldValue): PlainValue {
  switch (value.type) {
    case 'l':
    case 'L':
    case 'T': {
      const number = Number(value.value);
      return Number.isSafeInteger(number) ? number : value.value.toString();
    }
    case 'f':
    case 'd':
      return Number.isFinite(value.value) ? value.value : String(value.value);
    case 'D':
      return value.value.unscaled / 10 ** value.value.scale;
    case 'S':
    case 'x':
      return typeof value.value === 'string' ? value.value : value.value.toString('utf8');
    case 'A':
      return value.value.map(plainValue);
    case 'F':
      return plainTable(value.value);
    default:
      return value.value;
  }
}
