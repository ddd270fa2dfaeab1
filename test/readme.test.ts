// Protects README.md: its configuration table equals the schema, and its links have targets. Protects CONTRIBUTING.md:
// its links, files and npm scripts exist.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { README, withReference } from './support/config-reference.ts';

const ROOT = dirname(README);
const readme = readFileSync(README, 'utf8');
const contributing = readFileSync(join(ROOT, 'CONTRIBUTING.md'), 'utf8');

test('the configuration table is what the schema says (npm run reference writes it)', () => {
  assert.equal(readme, withReference(readme));
});

for (const [name, text] of Object.entries({ 'README.md': readme, 'CONTRIBUTING.md': contributing })) {
  test(`every link of ${name} to a file leads somewhere`, () => {
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map((match) => match[1]!);
    assert.ok(links.length >= 4);
    assert.deepEqual(missing(links), []);
  });
}

test('every path that CONTRIBUTING.md names is there', () => {
  const paths = [...contributing.matchAll(/`((?:src|protocols|support|test|conformance|bench|docs)\/[\w./-]*)`/g)];
  assert.ok(paths.length >= 30, `only ${paths.length} paths`);
  assert.deepEqual(missing(paths.map(([, path]) => path!)), []);
});

test('every npm script that CONTRIBUTING.md calls is there', () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
  const called = [...contributing.matchAll(/npm run ([\w:]+)/g)].map((match) => match[1]!);
  assert.ok(called.length >= 5);
  assert.deepEqual(
    called.filter((name) => !(name in scripts)),
    [],
  );
});

function missing(paths: readonly string[]): string[] {
  return paths.filter((path) => !existsSync(join(ROOT, path)));
}
