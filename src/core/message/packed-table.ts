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

/** Memory that a packed table takes: measured 60 to 110 bytes for a small field. */
export function packedBytes(packed: PackedTable): number {
  return Buffer.isBuffer(packed) ? packed.length : tableBytes(packed);
}

const FIELD_BYTES = 112;

function tableBytes(table: FieldTable): number {
  let bytes = 0;
  for (const { name, value } of table) bytes += name.length + valueBytes(value);
  return bytes;
}

/** No recursion deeper than a table that was read: its depth is bounded by the codec. */
function valueBytes(value: FieldValue): number {
  switch (value.type) {
    case 'S':
    case 'x':
      return FIELD_BYTES + value.value.length;
    case 'A':
      return value.value.reduce((sum, item) => sum + valueBytes(item), FIELD_BYTES);
    case 'F':
      return FIELD_BYTES + tableBytes(value.value);
    default:
      return FIELD_BYTES;
  }
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
