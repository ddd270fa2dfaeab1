// The bindings from one exchange to one destination with the same key: they differ in arguments or dialect. A client may
// make thousands of them with large arguments, so they are found by a digest of the arguments and not one by one.

import { createHash, type Hash } from 'node:crypto';
import { type FieldTable, type FieldValue, integerOf } from '../message/field-table.ts';
import type { Dialect } from '../message/topic-pattern.ts';

/** A binding, as its siblings see it. */
export interface Sibling {
  readonly args: FieldTable;
  readonly dialect: Dialect;
}

export class SiblingBindings<B extends Sibling> {
  private readonly byArguments: Map<string, B>;

  /** With its first two members, which differ. */
  constructor(first: B, second: B) {
    this.byArguments = new Map();
    this.add(first);
    this.add(second);
  }

  get size(): number {
    return this.byArguments.size;
  }

  add(binding: B): void {
    this.byArguments.set(keyOf(binding.args, binding.dialect), binding);
  }

  remove(binding: B): void {
    this.byArguments.delete(keyOf(binding.args, binding.dialect));
  }

  /** The binding with equal arguments (`sameTable`) and that dialect, or null. */
  find(args: FieldTable, dialect: Dialect): B | null {
    return this.byArguments.get(keyOf(args, dialect)) ?? null;
  }

  values(): IterableIterator<B> {
    return this.byArguments.values();
  }
}

/** Equal for tables that are equal by `sameTable`: integers by value, text as bytes, fields in any order. */
function keyOf(args: FieldTable, dialect: Dialect): string {
  if (args.length === 0) return dialect;
  const hash = createHash('sha256');
  addTable(hash, args);
  return dialect + hash.digest('base64');
}

function addTable(hash: Hash, table: FieldTable): void {
  hash.update(`F${table.length} `);
  const ordered = [...table].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  for (const { name, value } of ordered) {
    hash.update(`${name.length} ${name}`);
    addValue(hash, value);
  }
}

function addValue(hash: Hash, value: FieldValue): void {
  if (integerOf(value) !== null) {
    hash.update(`i${value.value} `);
    return;
  }
  switch (value.type) {
    case 'S':
    case 'x': {
      const bytes = typeof value.value === 'string' ? Buffer.from(value.value) : value.value;
      hash.update(`S${bytes.length} `).update(bytes);
      return;
    }
    case 'A':
      hash.update(`A${value.value.length} `);
      for (const item of value.value) addValue(hash, item);
      return;
    case 'F':
      addTable(hash, value.value);
      return;
    case 'D':
      hash.update(`D${value.value.scale} ${value.value.unscaled} `);
      return;
    case 'f':
    case 'd':
      // Zero and negative zero are the same number.
      hash.update(`d${value.value === 0 ? 0 : value.value} `);
      return;
    default:
      hash.update(`${value.type}${value.value} `);
  }
}
