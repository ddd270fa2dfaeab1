// The code base keeps its own rules: imports point one way, nothing is dead, nothing is switched off. Each check is also
// shown to fail on a sample that breaks its rule.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  callProblems,
  deadFiles,
  directionProblems,
  ENTRIES,
  importsOf,
  type Sources,
  switchedOff,
  withoutParagraph,
} from './support/boundaries.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

function read(...patterns: string[]): Sources {
  const paths = globSync(patterns, { cwd: ROOT });
  return new Map(
    paths.map((path) => [path.split(sep).join('/'), readFileSync(`${ROOT}/${path}`, 'utf8')] as const).sort(),
  );
}

const product = read('src/**/*.{ts,js}', 'protocols/**/*.ts');
const everything = new Map([...product, ...read('test/**/*.ts', 'bench/**/*.ts', 'conformance/**/*.ts')]);

test('imports point the way of the design', () => {
  assert.deepEqual(directionProblems(product), []);
});

test('every source file is reached from an entry', () => {
  assert.deepEqual(deadFiles(product, ENTRIES), []);
});

test('sources write to the log, read the configuration and leave ending the process to the command', () => {
  assert.deepEqual(callProblems(product), []);
});

test('no test is switched off', () => {
  assert.deepEqual(switchedOff(everything), []);
});

test('every file begins by saying what it is', () => {
  assert.deepEqual(withoutParagraph(everything), []);
});

test('the checker finds imports however they are written', () => {
  const source = [
    "import a from './a.ts';",
    "import type { B } from './b.ts';",
    "import {\n  c,\n  type D,\n} from './c.ts';",
    "export { e } from './e.ts';",
    "import './f.ts';",
    "const g = await import('./g.ts');",
    "const text = 'not an import';",
  ].join('\n');
  assert.deepEqual(importsOf(source), ['./a.ts', './b.ts', './c.ts', './e.ts', './f.ts', './g.ts']);
});

for (const [path, specifier] of [
  ['src/core/queue/queue.ts', '../store/x.ts'],
  ['src/core/queue/queue.ts', '../../protocols/amqp/x.ts'],
  ['src/core/queue/queue.ts', 'node:net'],
  ['src/core/queue/queue.ts', 'lmdb'],
  ['src/net/outbox.ts', '../core/x.ts'],
  ['src/config/load.ts', '../core/x.ts'],
  ['src/auth/users.ts', '../store/x.ts'],
  ['src/http/server.ts', '../store/x.ts'],
  ['src/store/store.ts', '../http/x.ts'],
  ['protocols/amqp/channel.ts', '../mqtt/x.ts'],
  ['protocols/mqtt/session/session.ts', '../../src/store/x.ts'],
  ['protocols/stomp/frame.ts', '../../src/x.ts'],
  ['src/elsewhere.ts', './missing.ts'],
  ['other/file.ts', './x.ts'],
] as const) {
  test(`the checker refuses ${path} importing ${specifier}`, () => {
    const targets = [
      'src/store/x.ts',
      'protocols/amqp/x.ts',
      'protocols/mqtt/x.ts',
      'src/core/x.ts',
      'src/http/x.ts',
      'src/x.ts',
    ];
    const sources = new Map<string, string>(targets.map((target) => [target, '']));
    sources.set(path, `import { x } from '${specifier}';\n`);
    assert.equal(directionProblems(sources).length, 1);
  });
}

test('the checker finds dead files, forbidden calls, tests that are off and files without a paragraph', () => {
  const sources = new Map([
    ['src/main.ts', "// Used.\nimport './used.ts';\n"],
    ['src/used.ts', '// Used.\n'],
    ['src/dead.ts', "import './used.ts';\nconsole.log(process.env.HOME); process.exit(1); // TODO\n"],
    ['test/off.test.ts', `// Off.\ntest.${'only'}('x', () => {});\n`],
  ]);
  assert.deepEqual(deadFiles(sources, ['src/main.ts']), ['src/dead.ts', 'test/off.test.ts']);
  assert.equal(callProblems(sources).length, 4);
  assert.equal(switchedOff(sources).length, 1);
  assert.equal(withoutParagraph(sources).length, 1);
});
