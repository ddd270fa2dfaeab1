// Protects the numbers of MQTT's statements: they are those of appendix B of each specification, none missing and none
// invented. The test compares them with the number of the last statement in each section.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Statement } from '../../conformance/coverage.ts';
import { V3_STATEMENTS } from '../../conformance/mqtt/statements-v3.ts';
import { V5_STATEMENTS } from '../../conformance/mqtt/statements-v5.ts';

/** By section, the number of its last statement; the first is 1. */
const V3: Readonly<Record<string, number>> = {
  '1.5.3': 3,
  '2.2.2': 2,
  '2.3.1': 7,
  '3.1.0': 2,
  '3.1.2': 24,
  '3.1.3': 11,
  '3.1.4': 5,
  '3.2.0': 1,
  '3.2.2': 6,
  '3.3.1': 12,
  '3.3.2': 3,
  '3.3.4': 1,
  '3.3.5': 2,
  '3.6.1': 1,
  '3.8.1': 1,
  '3.8.3': 4,
  '3.8.4': 6,
  '3.9.3': 2,
  '3.10.1': 1,
  '3.10.3': 2,
  '3.10.4': 6,
  '3.12.4': 1,
  '3.14.1': 1,
  '3.14.4': 3,
  '4.1.0': 2,
  '4.3.1': 1,
  '4.3.2': 2,
  '4.3.3': 2,
  '4.4.0': 1,
  '4.5.0': 2,
  '4.6.0': 6,
  '4.7.1': 3,
  '4.7.2': 1,
  '4.7.3': 4,
  '4.8.0': 2,
  '6.0.0': 4,
  '7.0.0': 2,
  '7.1.1': 1,
  '7.1.2': 1,
};
const V5: Readonly<Record<string, number>> = {
  '1.5.4': 3,
  '1.5.5': 1,
  '1.5.7': 1,
  '2.1.3': 1,
  '2.2.1': 6,
  '2.2.2': 1,
  '3.1.0': 2,
  '3.1.2': 30,
  '3.1.3': 12,
  '3.1.4': 6,
  '3.2.0': 2,
  '3.2.2': 22,
  '3.3.1': 13,
  '3.3.2': 20,
  '3.3.4': 10,
  '3.4.2': 3,
  '3.5.2': 3,
  '3.6.1': 1,
  '3.6.2': 3,
  '3.7.2': 3,
  '3.8.1': 1,
  '3.8.3': 5,
  '3.8.4': 8,
  '3.9.2': 2,
  '3.9.3': 2,
  '3.10.1': 1,
  '3.10.3': 2,
  '3.10.4': 6,
  '3.11.2': 2,
  '3.11.3': 2,
  '3.12.4': 1,
  '3.14.0': 1,
  '3.14.1': 1,
  '3.14.2': 4,
  '3.14.4': 3,
  '3.15.1': 1,
  '3.15.2': 3,
  '4.1.0': 2,
  // The specification's text calls it 4.2-1; its appendix has this number.
  '4.2.0': 1,
  '4.3.1': 1,
  '4.3.2': 5,
  '4.3.3': 13,
  '4.4.0': 2,
  '4.5.0': 2,
  '4.6.0': 6,
  '4.7.0': 1,
  '4.7.1': 2,
  '4.7.2': 1,
  '4.7.3': 4,
  '4.8.2': 6,
  '4.9.0': 3,
  '4.12.0': 7,
  '4.12.1': 2,
  '4.13.1': 1,
  '4.13.2': 1,
  '6.0.0': 4,
};
/** The appendix of 5.0 omits it. */
const ABSENT = new Set(['v5 2.2.1-1']);

function numbers(version: string, sections: Readonly<Record<string, number>>): string[] {
  return Object.entries(sections).flatMap(([section, last]) => {
    const ids = Array.from({ length: last }, (_, at) => `${version} ${section}-${at + 1}`);
    return ids.filter((id) => !ABSENT.has(id));
  });
}

for (const [version, sections, statements, count] of [
  ['v3', V3, V3_STATEMENTS, 141],
  ['v5', V5, V5_STATEMENTS, 251],
] as const satisfies readonly (readonly [string, Readonly<Record<string, number>>, readonly Statement[], number])[]) {
  test(`the numbered statements of ${version} are the ${count} of the appendix, in their order`, () => {
    const ids = statements.map(({ id }) => id).filter((id) => !id.includes(':'));
    assert.deepEqual(ids, numbers(version, sections));
    assert.equal(ids.length, count);
  });
}
