// Protects the kit's claim to be whole: every normative statement has a check or a reason, every check has a statement,
// and ids are what they seem.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COVERAGE } from '../../conformance/amqp/coverage.ts';
import { STATEMENTS } from '../../conformance/amqp/statements.ts';
import { CHECKS } from '../../conformance/checks.ts';

const IDS = CHECKS.filter(({ protocol }) => protocol === 'amqp').map(({ id }) => id.slice('amqp.'.length));

/** The checks that a name of the coverage list means. */
function named(name: string): string[] {
  return IDS.filter((id) => (name.endsWith('*') ? id.startsWith(name.slice(0, -1)) : id === name));
}

test('every statement is covered by checks, or says why no client can see it', () => {
  const bare = STATEMENTS.filter(({ id }) => {
    const coverage = COVERAGE[id];
    if (coverage === undefined) return true;
    return ('checks' in coverage ? coverage.checks : coverage.unseen).trim() === '';
  });
  assert.deepEqual(bare, []);
});

test('the coverage list knows no statement that is none', () => {
  const ids = new Set(STATEMENTS.map(({ id }) => id));
  assert.equal(ids.size, STATEMENTS.length);
  assert.deepEqual(
    Object.keys(COVERAGE).filter((id) => !ids.has(id)),
    [],
  );
});

test('the checks that it names exist, and every check stands for a statement', () => {
  const names = Object.values(COVERAGE).flatMap((coverage) => ('checks' in coverage ? coverage.checks.split(' ') : []));
  assert.deepEqual(
    names.filter((name) => named(name).length === 0),
    [],
  );
  const covered = new Set(names.flatMap(named));
  assert.deepEqual(
    IDS.filter((id) => !covered.has(id)),
    [],
  );
});

test('ids are unique and begin with their protocol; titles and sections are there', () => {
  assert.equal(new Set(CHECKS.map(({ id }) => id)).size, CHECKS.length);
  for (const { id, protocol, title, section } of CHECKS) {
    assert.match(id, /^[a-z]+(\.[A-Za-z0-9-]+)+$/);
    assert.ok(id.startsWith(`${protocol}.`) && title !== '' && section !== '', id);
  }
});
