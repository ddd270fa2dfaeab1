// Protects the records of what brokers do: each speaks of checks that there are, once, with a reason for each that fails.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { CHECKS } from '../../conformance/checks.ts';
import { readExpectations } from '../../conformance/expectations.ts';

const FOLDER = new URL('../../conformance/expectations/', import.meta.url);
const IDS = new Set(CHECKS.map(({ id }) => id));

for (const file of readdirSync(FOLDER)) {
  test(`${file} speaks of checks that there are, once, and says why one fails`, async () => {
    const { passed, failed, late = [], varies = {}, skipped } = await readExpectations(new URL(file, FOLDER));
    const named = [...passed, ...Object.keys(failed), ...Object.keys(varies), ...skipped].filter((id) => id !== '*');
    assert.deepEqual(
      named.filter((id) => !IDS.has(id)),
      [],
    );
    assert.equal(new Set(named).size, named.length);
    assert.ok(late.every((id) => id in failed));
    for (const [id, reason] of Object.entries({ ...failed, ...varies })) assert.match(reason, /^[^\n]{10,200}$/, id);
  });
}
