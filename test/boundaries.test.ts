// The rules of the code base itself: import directions, no dead files, no disabled tests. Each check is also shown to
// fail on a sample that violates its rule.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  callProblems,
  circles,
  deadFiles,
  directionProblems,
  ENTRIES,
  floorProblems,
  importsOf,
  missingFiles,
  protocolNames,
  type Sources,
  sessionProblems,
  switchedOff,
  toolProblems,
  unitProblems,
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
/** Every file of the repository, by path. */
const files = globSync('{*,{src,protocols,support,test,bench,conformance,docs,.ci}/**/*}', { cwd: ROOT }).map((path) =>
  path.split(sep).join('/'),
);
/** What `npm run test:unit` runs. */
const unitTests = [
  ...read(
    ...[...JSON.parse(readFileSync(`${ROOT}/package.json`, 'utf8')).scripts['test:unit'].matchAll(/"([^"]+)"/g)].map(
      ([, pattern]) => pattern as string,
    ),
  ).keys(),
];
const everything = new Map([...product, ...read('{test,bench,conformance,support}/**/*.ts')]);

test('imports point the way of the design', () => {
  assert.deepEqual(directionProblems(product), []);
});

test('within a part a folder imports only folders below it', () => {
  assert.deepEqual(floorProblems(product), []);
});

test('no files import each other in a circle, but for the aggregate of the queue', () => {
  assert.deepEqual(circles(product), []);
});

test('front-ends and the HTTP API act through a session', () => {
  assert.deepEqual(sessionProblems(product), []);
});

test('the conformance kit and the bench import nothing of the tests', () => {
  assert.deepEqual(toolProblems(everything), []);
});

test('the core names no protocol where that does not belong', () => {
  assert.deepEqual(protocolNames(product), []);
});

test('unit tests start no processes', () => {
  assert.ok(unitTests.length > 50, `only ${unitTests.length} unit tests`);
  assert.deepEqual(unitProblems(everything, unitTests), []);
});

test('a comment, and a page for readers, names only files that are there', () => {
  assert.deepEqual(missingFiles(everything, files), []);
  const pages = new Map(
    [...read('*.md', 'docs/**/*.md')].map(([path, text]) => [path, text.replaceAll(/^/gm, '// ')] as const),
  );
  assert.ok(pages.size > 40);
  assert.deepEqual(missingFiles(pages, files), []);
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
  ['src/store/store.ts', '../core/exchange/x.ts'],
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
      'src/core/exchange/x.ts',
      'src/http/x.ts',
      'src/x.ts',
    ];
    const sources = new Map<string, string>(targets.map((target) => [target, '']));
    sources.set(path, `import { x } from '${specifier}';\n`);
    assert.equal(directionProblems(sources).length, 1);
  });
}

test('the checker refuses names of protocols in the core, but not in comments or where they are allowed', () => {
  const sources = new Map([
    ['src/core/a.ts', '// AMQP 0-9-1\nconst x = 1; // as in STOMP\n/** MQTT\n * mqtt */\n'],
    ['src/core/b.ts', "const limit = 'mqtt.topics';\nconst sameLimit = 'mqtt.topics';\n"],
    ['src/core/c.ts', 'const amqpOnly = true; // yes\n'],
    ['src/core/d.ts', "const dialect = 'stomp';\n"],
    ['protocols/mqtt/e.ts', "const own = 'mqtt';\n"],
  ]);
  const allowed = new Map([
    ['src/core/d.ts', 'a dialect'],
    ['src/core/a.ts', 'nothing'],
  ]);
  assert.deepEqual(protocolNames(sources, allowed), [
    'src/core/b.ts: names a protocol: mqtt',
    'src/core/c.ts: names a protocol: amqpOnly',
    'src/core/a.ts: may name a protocol and does not',
  ]);
});

test('the checker refuses an import up the floors, sideways on a floor, and a file in no room', () => {
  const floors = { 'src/x/': [['a.ts', 'low/'], ['left/', 'right/'], ['top.ts']] };
  const sources = (path: string, specifier: string) =>
    new Map([
      ...['a.ts', 'low/l.ts', 'left/l.ts', 'right/r.ts', 'top.ts'].map((name) => [`src/x/${name}`, ''] as const),
      [path, `import type { X } from '${specifier}';\n`],
    ]);
  assert.equal(floorProblems(sources('src/x/low/b.ts', '../left/l.ts'), floors).length, 1);
  assert.equal(floorProblems(sources('src/x/left/b.ts', '../right/r.ts'), floors).length, 1);
  assert.equal(floorProblems(sources('src/x/left/b.ts', '../top.ts'), floors).length, 1);
  assert.equal(floorProblems(sources('src/x/new.ts', './a.ts'), floors).length, 1);
  assert.deepEqual(floorProblems(sources('src/x/top.ts', './left/l.ts'), floors), []);
  assert.deepEqual(floorProblems(sources('src/x/left/b.ts', './l.ts'), floors), []);
});

test('the checker refuses what the tools may not import', () => {
  const problems = (path: string, specifier: string) =>
    toolProblems(new Map([[path, `import { x } from '${specifier}';\n`]])).length;
  assert.equal(problems('bench/a.ts', '../test/x.ts'), 1);
  assert.equal(problems('conformance/a.ts', '../bench/x.ts'), 1);
  assert.equal(problems('support/a.ts', '../conformance/x.ts'), 1);
  assert.equal(problems('conformance/mqtt/a.ts', '../../support/x.ts'), 0);
  assert.equal(problems('test/a.ts', '../bench/x.ts'), 0);
});

test('the checker finds what acts past the session', () => {
  const acts = (line: string, path = 'protocols/mqtt/a.ts') => sessionProblems(new Map([[path, line]])).length;
  for (const line of [
    'host.deleteQueue(queue);',
    'core.vhost.unbind(source, destination, key, args, dialect);',
    'entry.queue.acknowledge(entry);',
    'target.queue.accept(message, target, null, 0);',
    'queue.direct = this;',
    'consumer.queue.addConsumer(other);',
    'exchange.add(binding);',
    'queue?.purge();',
    'entry.expiresAt = NEVER_EXPIRES;',
    'core.vhost.retainer.keep(message, ring, slot);',
    'this.session.vhost.replies.open(this);',
  ]) {
    assert.equal(acts(line), 1, line);
    assert.equal(acts(line, 'src/core/session/session.ts'), 0, line);
  }
  for (const line of ['core.acknowledge(entry);', 'system.deleteQueue(host, queue);', 'if (queue.direct === this) {']) {
    assert.equal(acts(line, 'src/http/a.ts'), 0, line);
  }
});

test('the checker refuses a unit test that starts processes, however far away', () => {
  const sources = new Map([
    ['test/core/a.test.ts', "import { b } from './b.ts';\n"],
    ['test/core/b.ts', "import { spawn } from 'node:child_process';\n"],
    ['test/core/c.test.ts', "import { c } from '../../support/certificates.ts';\n"],
    ['support/certificates.ts', "import { spawnSync } from 'node:child_process';\n"],
  ]);
  assert.deepEqual(unitProblems(sources, ['test/core/a.test.ts', 'test/core/c.test.ts']), [
    'test/core/a.test.ts: is a unit test and starts processes through test/core/b.ts',
  ]);
});

test('the checker finds circles, and allows those of the queue alone', () => {
  const ring = (folder: string, other = folder) =>
    new Map([
      [`${folder}/a.ts`, "import type { B } from './b.ts';\n"],
      [`${folder}/b.ts`, "import { c } from './c.ts';\n"],
      [`${folder}/c.ts`, `import type { A } from '${other === folder ? './a.ts' : `../${other}/d.ts`}';\n`],
    ]);
  assert.deepEqual(circles(ring('src/core/exchange')), [
    ['src/core/exchange/a.ts', 'src/core/exchange/b.ts', 'src/core/exchange/c.ts'],
  ]);
  assert.deepEqual(circles(ring('src/core/queue')), []);
  const wider = ring('src/core/queue', 'vhost');
  wider.set('src/core/vhost/d.ts', "import type { A } from '../queue/a.ts';\n");
  assert.equal(circles(wider).length, 1);
});

test('the checker finds comments that name a file which is not there', () => {
  const source = [
    '// As queue.ts says, and core/queue.ts.',
    ' * See gone.ts for it.',
    `const x = 1; ${'//'} not y.md`,
    "const path = 'other.ts';",
  ].join('\n');
  assert.deepEqual(missingFiles(new Map([['src/a.ts', source]]), ['src/core/queue.ts', 'src/a.ts']), [
    'src/a.ts: names gone.ts, which is not there',
    'src/a.ts: names y.md, which is not there',
  ]);
});

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
