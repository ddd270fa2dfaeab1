// Protects the recorded results of brokers: each names existing checks, once, with a reason for each failure, and a new
// record keeps earlier reasons.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { CHECKS } from '../../conformance/checks.ts';
import { type Expectations, readExpectations, record, unexpected } from '../../conformance/expectations.ts';
import type { Outcome, Result } from '../../conformance/runner.ts';

const FOLDER = new URL('../../conformance/expectations/', import.meta.url);
const IDS = new Set(CHECKS.map(({ id }) => id));

for (const file of readdirSync(FOLDER)) {
  test(`${file} names existing checks, each once, with a reason for each failure`, async () => {
    const { passed, failed, late = [], varies = {}, skipped } = await readExpectations(new URL(file, FOLDER));
    const named = [...passed, ...Object.keys(failed), ...Object.keys(varies), ...skipped].filter((id) => id !== '*');
    assert.deepEqual(
      named.filter((id) => !IDS.has(id)),
      [],
    );
    assert.equal(new Set(named).size, named.length);
    assert.ok(late.every((id) => id in failed || id in varies));
    for (const [id, reason] of Object.entries({ ...failed, ...varies })) assert.match(reason, /^[^\n]{10,200}$/, id);
  });
}

test('a new record keeps reasons and the results of checks not run, and marks failures by timeout', () => {
  const result = (id: string, outcome: Outcome, timedOut = false): Result => ({
    check: { ...CHECKS[0]!, id },
    outcome,
    message: `${id} ${outcome}`,
    notes: [],
    timedOut,
    durationMs: 1,
  });
  const before: Expectations = {
    peer: 'peer',
    version: '1',
    failed: { a: 'known', gone: 'not run' },
    late: ['gone', 'b', 'v'],
    varies: { v: 'a race' },
    skipped: [],
    passed: ['c', 'elsewhere'],
  };
  const results = [
    result('a', 'failed'),
    result('b', 'passed'),
    result('c', 'failed', true),
    result('v', 'failed', true),
    result('s', 'skipped'),
  ];
  const after = record(results, before);
  assert.deepEqual(after, {
    peer: 'peer',
    version: '1',
    failed: { gone: 'not run', a: 'known', c: 'c failed' },
    late: ['gone', 'v', 'c'],
    varies: { v: 'a race' },
    skipped: ['s'],
    passed: ['elsewhere', 'b'],
  });
  assert.deepEqual(unexpected(results, after), []);
  assert.equal(unexpected(results, before).length, 3);
});
