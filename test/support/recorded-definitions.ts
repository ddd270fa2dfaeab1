// A DefinitionStore over a map, for tests of its users.

import type { DefinitionKind, DefinitionStore, DefinitionValue } from '../../src/core/ports/definitions.ts';

export class RecordedDefinitions implements DefinitionStore {
  readonly records: Map<string, { kind: DefinitionKind; name: readonly string[]; value: DefinitionValue }>;

  constructor() {
    this.records = new Map();
  }

  *all(kind: DefinitionKind): IterableIterator<{ name: readonly string[]; value: DefinitionValue }> {
    for (const record of this.records.values()) if (record.kind === kind) yield record;
  }

  put(kind: DefinitionKind, name: readonly string[], value: DefinitionValue): void {
    this.records.set(JSON.stringify([kind, ...name]), { kind, name, value });
  }

  remove(kind: DefinitionKind, name: readonly string[]): void {
    this.records.delete(JSON.stringify([kind, ...name]));
  }
}
