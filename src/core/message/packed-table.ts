// Field tables that are kept for long: the arguments of exchanges, queues, bindings and consumers. A field that takes 3
// bytes on the wire takes a hundred as objects, and a client may define as many as it likes. So a table of many values is
// kept as text and read again by those who ask, who are few: the management API, and whoever declares the same thing.

import type { FieldTable, FieldValue } from './field-table.ts';
import { tableFromJson, tableToJson } from './field-table-json.ts';
import { ownUtf8 } from './own-bytes.ts';

/** A table as it is, or its JSON. */
export type PackedTable = FieldTable | Buffer;

/** Values, with those inside of tables and arrays, up to which a table stays as it is. */
const FEW_VALUES = 16;

export function packTable(table: FieldTable): PackedTable {
  return isSmall(table) ? table : ownUtf8(JSON.stringify(tableToJson(table)));
}

export function unpackTable(packed: PackedTable): FieldTable {
  return Buffer.isBuffer(packed) ? tableFromJson(JSON.parse(packed.toString())) : packed;
}

function isSmall(table: FieldTable): boolean {
  const left: FieldValue[] = [];
  let count = table.length;
  if (count > FEW_VALUES) return false;
  for (const { value } of table) left.push(value);
  for (let value = left.pop(); value !== undefined; value = left.pop()) {
    if (value.type !== 'A' && value.type !== 'F') continue;
    count += value.value.length;
    if (count > FEW_VALUES) return false;
    for (const item of value.value) left.push('name' in item ? item.value : item);
  }
  return true;
}
