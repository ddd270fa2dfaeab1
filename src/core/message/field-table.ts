// Typed name-value tables: message headers and the arguments of exchanges, queues, bindings and consumers.
// The types are those of an AMQP 0-9-1 field table (§4.2.5), the widest of the three protocols, so that nothing is
// lost on the way through. A table is an array because order and repeated names survive in MQTT 5 and STOMP.

/** AMQP DECIMAL: `unscaled / 10^scale`. */
export interface Decimal {
  readonly scale: number;
  readonly unscaled: number;
}

/**
 * One value, tagged with its AMQP type octet as RabbitMQ writes it:
 * `t` boolean, `b`/`B` int8/uint8, `s`/`u` int16/uint16, `I`/`i` int32/uint32, `l`/`L` int64 (both signed, as
 * RabbitMQ), `f`/`d` float/double, `D` decimal, `S` long string (a Buffer where it is not UTF-8), `x` bytes,
 * `A` array, `T` timestamp in seconds (u64), `F` nested table, `V` void.
 */
export type FieldValue =
  | { readonly type: 't'; readonly value: boolean }
  | { readonly type: 'b' | 'B' | 's' | 'u' | 'I' | 'i' | 'f' | 'd'; readonly value: number }
  | { readonly type: 'l' | 'L' | 'T'; readonly value: bigint }
  | { readonly type: 'D'; readonly value: Decimal }
  | { readonly type: 'S'; readonly value: string | Buffer }
  | { readonly type: 'x'; readonly value: Buffer }
  | { readonly type: 'A'; readonly value: readonly FieldValue[] }
  | { readonly type: 'F'; readonly value: FieldTable }
  | { readonly type: 'V'; readonly value: null };

export interface Field {
  readonly name: string;
  readonly value: FieldValue;
}

/** Fields in the order in which they were sent. */
export type FieldTable = readonly Field[];

export const EMPTY_TABLE: FieldTable = Object.freeze([]);

/** The first field of that name (repeated names: the first wins, as in STOMP), or null. */
export function findField(table: FieldTable, name: string): FieldValue | null {
  for (let i = 0; i < table.length; i++) {
    const field = table[i]!;
    if (field.name === name) return field.value;
  }
  return null;
}

/**
 * From this number of fields on a map is used: a client may send tens of thousands and have them compared with as many.
 */
const INDEX_FROM = 16;

/** `findField` for a table in which many names are looked up. */
export function fieldFinder(table: FieldTable): (name: string) => FieldValue | null {
  if (table.length < INDEX_FROM) return (name) => findField(table, name);
  const index = new Map<string, FieldValue>();
  for (const { name, value } of table) if (!index.has(name)) index.set(name, value);
  return (name) => index.get(name) ?? null;
}

/** A text field. */
export function textField(name: string, value: string): Field {
  return { name, value: { type: 'S', value } };
}

/** RabbitMQ's names of the field types. */
export const FIELD_TYPE_NAMES: Readonly<Record<FieldValue['type'], string>> = {
  t: 'bool',
  b: 'byte',
  B: 'unsignedbyte',
  s: 'short',
  u: 'unsignedshort',
  I: 'signedint',
  i: 'unsignedint',
  l: 'long',
  L: 'long',
  f: 'float',
  d: 'double',
  D: 'decimal',
  S: 'longstr',
  x: 'binary',
  A: 'array',
  T: 'timestamp',
  F: 'table',
  V: 'void',
};

/**
 * The value as a number if it is an integer of any width, else null. RabbitMQ compares numeric arguments by value, not
 * by width, so that `x-max-length` sent as `l` equals one sent as `I`.
 */
export function integerOf(value: FieldValue | null): number | null {
  if (value === null) return null;
  switch (value.type) {
    case 'b':
    case 'B':
    case 's':
    case 'u':
    case 'I':
    case 'i':
      return value.value;
    case 'l':
    case 'L':
      return Number(value.value);
    default:
      return null;
  }
}

/** The value as text if it is a long string, else null. */
export function textOf(value: FieldValue | null): string | null {
  return value !== null && value.type === 'S' && typeof value.value === 'string' ? value.value : null;
}

/** Equality for the equivalence of exchanges and queues: integers by value, everything else by type and content. */
export function sameValue(a: FieldValue, b: FieldValue): boolean {
  const x = integerOf(a);
  const y = integerOf(b);
  if (x !== null && y !== null) {
    if (typeof a.value === 'bigint' && typeof b.value === 'bigint') return a.value === b.value;
    return x === y;
  }
  switch (a.type) {
    case 'S':
    case 'x':
      if (b.type !== 'S' && b.type !== 'x') return false;
      if (typeof a.value === 'string' && typeof b.value === 'string') return a.value === b.value;
      return asBytes(a.value).equals(asBytes(b.value));
    case 'D':
      return b.type === 'D' && a.value.scale === b.value.scale && a.value.unscaled === b.value.unscaled;
    case 'A': {
      if (b.type !== 'A' || a.value.length !== b.value.length) return false;
      const other = b.value;
      return a.value.every((item, i) => sameValue(item, other[i]!));
    }
    case 'F':
      return b.type === 'F' && sameTable(a.value, b.value);
    case 'f':
    case 'd':
      if (b.type !== 'f' && b.type !== 'd') return false;
      return a.value === b.value || (Number.isNaN(a.value) && Number.isNaN(b.value));
    default:
      return a.type === b.type && a.value === b.value;
  }
}

/** Equality of tables whatever the order of their fields. */
export function sameTable(a: FieldTable, b: FieldTable): boolean {
  if (a.length !== b.length) return false;
  const ordered = byName(b);
  return byName(a).every((field, i) => field.name === ordered[i]!.name && sameValue(field.value, ordered[i]!.value));
}

/** Fields of the same name keep their order. */
function byName(table: FieldTable): FieldTable {
  return [...table].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function asBytes(value: string | Buffer): Buffer {
  return typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
}
