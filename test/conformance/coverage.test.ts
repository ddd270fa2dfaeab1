// Protects the completeness of the kit: every normative statement has a check or a reason, every check has a statement,
// and ids are well-formed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Check } from '../../conformance/check.ts';
import { CHECKS } from '../../conformance/checks.ts';
import { by, type Coverage, coverageProblems, unseen } from '../../conformance/coverage.ts';
import { COVERAGES } from '../../conformance/coverages.ts';
import { SHOWN, UNSEEN } from '../../conformance/mqtt/coverage.ts';

for (const list of COVERAGES) {
  test(`every statement of ${list.protocol} is covered, and every check stands for a statement`, () => {
    assert.ok(list.statements.length > 0);
    assert.deepEqual(coverageProblems(list, CHECKS), []);
  });
}

test('missing statements and missing checks are reported', () => {
  const statements = ['a', 'b', 'c', 'd'].map((id) => ({ id, binds: 'MUST', words: id }) as const);
  const check = (id: string): Check => ({ ...CHECKS[0]!, id });
  const coverage: Record<string, Coverage> = { a: by('x.* gone'), b: unseen(''), d: unseen('of a client'), e: by('y') };
  const checks = ['amqp.x.one', 'amqp.x.two', 'amqp.y', 'amqp.z'].map(check);
  assert.deepEqual(coverageProblems({ protocol: 'amqp', statements, coverage }, checks), [
    'amqp: nothing covers the statement b',
    'amqp: nothing covers the statement c',
    'amqp: there is no statement e',
    'amqp: there is no check gone',
    'amqp: the check z stands for no statement',
  ]);
});

test('ids are unique and begin with their protocol; titles and sections are there', () => {
  assert.equal(new Set(CHECKS.map(({ id }) => id)).size, CHECKS.length);
  for (const { id, protocol, title, section } of CHECKS) {
    assert.match(id, /^[a-z]+(\.[A-Za-z0-9-]+)+$/);
    assert.ok(id.startsWith(`${protocol}.`) && title !== '' && section !== '', id);
  }
});

test('no statement of MQTT is both shown by a check and listed as unobservable', () => {
  assert.deepEqual(
    Object.keys(UNSEEN).filter((id) => SHOWN.has(id)),
    [],
  );
});
