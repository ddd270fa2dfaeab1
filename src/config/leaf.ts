// One value of the configuration: reading it from text or YAML, and describing the allowed values. The schema has a
// closed set of leaf types, so this is three switches. TypeBox's own checker does not read text and costs 35 ms of
// every start; this file's test uses it as the oracle.

/** The parts of a TypeBox leaf that are used here. */
export interface Leaf {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly const?: unknown;
  readonly anyOf?: readonly Leaf[];
  readonly items?: Leaf;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly default?: unknown;
  readonly description?: string;
  /** `bytes` takes sizes such as `64MiB`. */
  readonly unit?: string;
  readonly secret?: boolean;
}

const UNITS: Readonly<Record<string, number>> = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** What `read` returns for a value that is not allowed. */
export const REFUSED: unique symbol = Symbol('refused');

/** The value in the schema's type, or REFUSED. Text is accepted if it has one meaning. */
export function read(leaf: Leaf, value: unknown): unknown {
  if (leaf.anyOf !== undefined) {
    for (const option of leaf.anyOf) {
      const result = read(option, value);
      if (result !== REFUSED) return result;
    }
    return REFUSED;
  }
  if (leaf.enum !== undefined) return typeof value === 'string' && leaf.enum.includes(value) ? value : REFUSED;
  if (leaf.const !== undefined) return readBoolean(value) === leaf.const ? leaf.const : REFUSED;
  switch (leaf.type) {
    case 'integer': {
      const number = typeof value === 'string' ? readNumber(value, leaf.unit === 'bytes') : value;
      const fits =
        Number.isSafeInteger(number) && (number as number) >= leaf.minimum! && (number as number) <= leaf.maximum!;
      return fits ? number : REFUSED;
    }
    case 'boolean':
      return readBoolean(value);
    case 'string':
      return typeof value === 'string' && value.length >= (leaf.minLength ?? 0) ? value : REFUSED;
    case 'null':
      return value === null || value === '' ? null : REFUSED;
    case 'array':
      return readList(leaf.items!, value);
    default:
      throw new Error(`no reader for a leaf of type ${leaf.type}`);
  }
}

/** The allowed values, in words. */
export function allowed(leaf: Leaf): string {
  if (leaf.anyOf !== undefined) return leaf.anyOf.map(allowed).join(' or ');
  if (leaf.enum !== undefined) return `one of ${leaf.enum.join(', ')}`;
  if (leaf.const === false) return '`off`';
  switch (leaf.type) {
    case 'integer': {
      const range = `${written(leaf, leaf.minimum)} to ${written(leaf, leaf.maximum)}`;
      return leaf.unit === 'bytes' ? `bytes, ${range}` : range;
    }
    case 'boolean':
      return 'true or false';
    case 'string':
      return 'text';
    case 'null':
      return 'nothing';
    case 'array':
      return 'a list of text (in flags and variables separated by commas)';
    default:
      throw new Error(`no words for a leaf of type ${leaf.type}`);
  }
}

/** A value as a user would write it. */
export function written(leaf: Leaf, value: unknown): string {
  if (value === null) return '';
  if (value === false && leaf.anyOf !== undefined) return 'off';
  if (Array.isArray(value)) return value.join(',');
  if (leaf.unit === 'bytes' && typeof value === 'number') {
    for (const unit of ['GiB', 'MiB', 'KiB']) {
      if (value !== 0 && value % UNITS[unit]! === 0) return `${value / UNITS[unit]!}${unit}`;
    }
  }
  return String(value);
}

function readNumber(text: string, sizes: boolean): number | typeof REFUSED {
  const match = /^(\d{1,16})(KiB|MiB|GiB)?$/.exec(text);
  if (match === null || (match[2] !== undefined && !sizes)) return REFUSED;
  return Number(match[1]) * (match[2] === undefined ? 1 : UNITS[match[2]]!);
}

function readBoolean(value: unknown): boolean | typeof REFUSED {
  if (typeof value === 'boolean') return value;
  if (value === 'true' || value === 'on' || value === 'yes') return true;
  if (value === 'false' || value === 'off' || value === 'no') return false;
  return REFUSED;
}

function readList(items: Leaf, value: unknown): unknown {
  const list = typeof value === 'string' ? value.split(',').map((item) => item.trim()) : value;
  if (!Array.isArray(list)) return REFUSED;
  if (list.length === 1 && list[0] === '') return [];
  const result = list.map((item) => read(items, item));
  return result.includes(REFUSED) ? REFUSED : result;
}
