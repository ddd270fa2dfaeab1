// The package as its users get it: packed, installed into an empty project, embedded from JavaScript, type-checked from
// TypeScript, and started by its command. It needs the npm registry (or npm's cache) for the dependencies.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Command, type Finished, record } from '../support/command.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const UNREACHABLE = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|ENOTCACHED/;

const EMBED = `
import { connect } from 'node:net';
import { createBroker } from 'trivium';

const broker = await createBroker();
const socket = connect(broker.ports.amqp, '127.0.0.1', () => socket.write('AMQP\\0\\0\\x09\\x01'));
socket.once('data', async (start) => {
  console.log(JSON.stringify({ frame: start[0], ports: broker.ports }));
  socket.destroy();
  await broker.stop();
});
`;

const TYPED = `
import { createBroker } from 'trivium';

const broker = await createBroker({ mqtt: { port: false }, limits: { connections: 10 } });
export const port: number | null = broker.ports.amqp;
// @ts-expect-error: a port is a number or false
await createBroker({ mqtt: { port: 'x' } });
await broker.stop();
`;

const project = mkdtempSync(join(tmpdir(), 'trivium-package-'));
let tarball = '';
/** Why the package could not be installed here, or null. */
let unreachable: string | null = null;

before(async (t) => {
  const packed = await run(t as TestContext, 'npm', ['pack', '--json', '--pack-destination', project], ROOT);
  assert.equal(packed.code, 0, `${packed.stdout}${packed.stderr}`);
  // What prepack prints comes first.
  const [description] = JSON.parse(packed.stdout.slice(packed.stdout.indexOf('[\n')));
  tarball = description.filename;
  contents = description.files.map((file: { path: string }) => file.path);
  writeFileSync(join(project, 'package.json'), '{ "name": "empty", "private": true, "type": "module" }\n');
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--fetch-retries=1'];
  const installed = await run(t as TestContext, 'npm', ['install', ...flags, join(project, tarball)], project);
  if (installed.code !== 0 && UNREACHABLE.test(installed.stderr)) unreachable = 'the npm registry is not reachable';
  else assert.equal(installed.code, 0, installed.stderr);
});

after(() => rmSync(project, { recursive: true, force: true }));

let contents: string[] = [];

test('the package carries JavaScript, types, licence and README, and no sources or tests', () => {
  for (const path of ['dist/src/entry.js', 'dist/src/broker.js', 'dist/src/broker.d.ts', 'LICENSE', 'README.md']) {
    assert.ok(contents.includes(path), path);
  }
  const strangers = contents.filter(
    (path) => !/^(dist\/(src|protocols)\/.*\.(js|d\.ts)|LICENSE|README\.md|package\.json)$/.test(path),
  );
  assert.deepEqual(strangers, []);
});

test('a program embeds a broker, and ends when it has stopped it', async (t) => {
  if (unreachable !== null) return t.skip(unreachable);
  writeFileSync(join(project, 'embed.js'), EMBED);
  const { code, stdout, stderr } = await run(t, process.execPath, ['embed.js'], project);
  assert.equal(code, 0, stderr);
  const { frame, ports } = JSON.parse(stdout);
  assert.equal(frame, 1, 'connection.start is a method frame');
  assert.ok(ports.mqtt > 0 && ports.http > 0);
});

test('the types describe it', async (t) => {
  if (unreachable !== null) return t.skip(unreachable);
  mkdirSync(join(project, 'typed'), { recursive: true });
  writeFileSync(join(project, 'typed', 'use.ts'), TYPED);
  const flags = [
    '--noEmit',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2024',
    '--skipLibCheck',
    '--types',
    'node',
  ];
  const types = ['--typeRoots', join(ROOT, 'node_modules', '@types')];
  const tsc = join(ROOT, 'node_modules', '.bin', 'tsc');
  const { code, stdout } = await run(t, tsc, [...flags, ...types, '--ignoreConfig', join('typed', 'use.ts')], project);
  assert.equal(code, 0, stdout);
});

test('its command says its version, starts and stops', async (t) => {
  if (unreachable !== null) return t.skip(unreachable);
  const trivium = join(project, 'node_modules', '.bin', 'trivium');
  assert.match((await run(t, trivium, ['version'], project)).stdout, /^trivium \d+\.\d+\.\d+ /);
  const ports = ['amqp', 'mqtt', 'stomp', 'ws', 'http'].flatMap((name) => [`--${name}-port`, '0']);
  const data = join(project, 'data');
  const command = new Command(t, trivium, ['start', '--host', '127.0.0.1', '--data-dir', data, ...ports], {
    cwd: project,
  });
  const ready = await command.line(record('ready'));
  const { http } = ready.ports as { http: number };
  assert.equal((await fetch(`http://127.0.0.1:${http}/health/ready`)).status, 200);
  command.child.kill('SIGTERM');
  assert.equal((await command.finished()).code, 0);
});

function run(t: TestContext, file: string, args: readonly string[], cwd: string): Promise<Finished> {
  return new Command(t, file, args, { cwd }).finished();
}
