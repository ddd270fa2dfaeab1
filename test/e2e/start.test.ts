// `trivium start` as a process: it prints its listeners, reloads certificates, exits on signals with the right code,
// and reports clearly why it cannot start.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { hasOpenssl, TestAuthority } from '../../support/certificates.ts';
import { PROTOCOL_HEADER } from '../../support/wire/amqp.ts';
import { Command, record } from '../support/command.ts';

const MAIN = fileURLToPath(new URL('../../src/entry.js', import.meta.url));
const FREE_PORTS = ['amqp', 'mqtt', 'stomp', 'ws', 'http'].flatMap((name) => [`--${name}-port`, '0']);

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'trivium-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function trivium(t: TestContext, args: readonly string[], environment: Record<string, string> = {}): Command {
  return new Command(t, process.execPath, [MAIN, ...args], { environment });
}

function start(t: TestContext, ...flags: string[]): Command {
  return trivium(t, ['start', '--host', '127.0.0.1', '--data-dir', directory(t), ...FREE_PORTS, ...flags]);
}

test('it prints the port of each listener, serves, and stops orderly on SIGTERM', async (t) => {
  const command = start(t);
  const { ports, startedInMs } = await command.line(record('ready'));
  assert.deepEqual(Object.keys(ports as object).sort(), ['amqp', 'http', 'mqtt', 'stomp', 'ws']);
  assert.ok(Number.isInteger(startedInMs));
  const { http } = ports as { http: number };
  assert.equal((await fetch(`http://127.0.0.1:${http}/health/ready`)).status, 200);
  const overview = await fetch(`http://127.0.0.1:${http}/api/overview`, {
    headers: { authorization: `Basic ${Buffer.from('guest:guest').toString('base64')}` },
  });
  assert.equal(overview.status, 200);
  command.child.kill('SIGTERM');
  const { code, stdout } = await command.finished();
  assert.equal(code, 0);
  assert.ok(record('stopped')(stdout.trimEnd().split('\n').at(-1)!));
});

test('a listener that is off is not opened, and variables and files count', async (t) => {
  const file = join(directory(t), 'trivium.yaml');
  writeFileSync(file, 'stomp:\n  port: off\nws:\n  port: off\n');
  const flags = ['--host', '127.0.0.1', '--store', 'memory', '--amqp-port', '0', '--http-port', '0', '--config', file];
  const command = trivium(t, ['start', ...flags], { TRIVIUM_MQTT_PORT: 'off' });
  const { ports, store } = await command.line(record('ready'));
  assert.deepEqual(Object.keys(ports as object).sort(), ['amqp', 'http']);
  assert.equal(store, 'memory');
  command.child.kill('SIGINT');
  assert.equal((await command.finished()).code, 0);
});

test('--port opens one port for everything beside those that are on', async (t) => {
  const off = ['amqp', 'mqtt', 'stomp', 'ws', 'http'].flatMap((name) => [`--${name}-port`, 'off']);
  const command = trivium(t, ['start', '--host', '127.0.0.1', '--store', 'memory', '--port', '0', ...off], {});
  const { ports } = await command.line(record('ready'));
  assert.deepEqual(Object.keys(ports as object), ['auto']);
  const { auto } = ports as { auto: number };
  assert.equal((await fetch(`http://127.0.0.1:${auto}/health/ready`)).status, 200);
  command.child.kill('SIGINT');
  assert.equal((await command.finished()).code, 0);
});

const NO_OPENSSL = hasOpenssl() ? false : 'openssl is not installed';

test('SIGHUP reloads the certificates of every TLS port, and a bad file changes nothing', {
  skip: NO_OPENSSL,
}, async (t) => {
  const authority = new TestAuthority('Test CA');
  t.after(() => authority.remove());
  const ca = readFileSync(authority.caFile);
  const used = authority.issue('/CN=first', 'used');
  const next = authority.issue('/CN=second', 'next');
  const ports = ['amqp', 'mqtt', 'stomp', 'ws', 'http'].flatMap((name) => [`--${name}-tls-port`, '0']);
  const files = ['--tls-certificate-file', used.certificateFile, '--tls-key-file', used.keyFile];
  const command = start(t, '--port', '0', ...ports, ...files);
  const ready = await command.line(record('ready'));
  const open = ready.ports as Record<string, number>;
  const secure = ['amqps', 'mqtts', 'stomps', 'wss', 'https', 'auto'];
  const handshake = async (name: string): Promise<TLSSocket> => {
    const socket = connectTls({ port: open[name]!, host: '127.0.0.1', ca });
    t.after(() => socket.destroy());
    await once(socket, 'secureConnect');
    return socket;
  };
  const served = async (): Promise<unknown[]> => {
    const names = [];
    for (const name of secure) names.push((await handshake(name)).getPeerCertificate().subject.CN);
    return names;
  };
  assert.deepEqual(
    await served(),
    secure.map(() => 'first'),
  );
  const early = await handshake('amqps');

  copyFileSync(next.certificateFile, used.certificateFile);
  copyFileSync(next.keyFile, used.keyFile);
  command.child.kill('SIGHUP');
  await command.line(record('TLS certificates reloaded'));
  assert.deepEqual(
    await served(),
    secure.map(() => 'second'),
  );
  early.write(PROTOCOL_HEADER);
  await once(early, 'data');

  writeFileSync(used.certificateFile, 'no certificate');
  command.child.kill('SIGHUP');
  const { reason, level } = await command.line(record('TLS certificates not reloaded: those in use stay'));
  assert.equal(level, 'error');
  assert.ok(String(reason).startsWith(`cannot use the TLS certificate file ${used.certificateFile}: `), String(reason));
  assert.deepEqual(
    await served(),
    secure.map(() => 'second'),
  );
  command.child.kill('SIGTERM');
  assert.equal((await command.finished()).code, 0);
});

test('SIGHUP without certificates changes nothing', async (t) => {
  const command = start(t);
  await command.line(record('ready'));
  command.child.kill('SIGHUP');
  await command.line(record('no TLS certificates to reload: tls.certificateFile is not set'));
  command.child.kill('SIGTERM');
  assert.equal((await command.finished()).code, 0);
});

test('at a terminal it greets a person', async (t) => {
  const command = start(t, '--log-format', 'pretty', '--mqtt-port', 'off');
  await command.line((line) => (line.includes('ready') ? line : null));
  command.child.kill('SIGTERM');
  const { stdout } = await command.finished();
  assert.match(stdout, /^Trivium \d/);
  assert.match(stdout, /AMQP 0-9-1 +127\.0\.0\.1:\d+/);
  assert.match(stdout, /MQTT +off/);
  assert.doesNotMatch(stdout, /All of them/);
  assert.match(stdout, /First login +guest \/ guest, from this machine only/);
});

test('a port that is taken is named, exit code 1', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  for (const name of ['mqtt', 'http']) {
    const { code, stdout } = await start(t, `--${name}-port`, String(port)).finished();
    assert.equal(code, 1);
    assert.match(stdout, new RegExp(`cannot start: .*${name}.*127\\.0\\.0\\.1:${port}`));
  }
});

test('a data directory that another broker uses is refused, exit code 1', async (t) => {
  const data = directory(t);
  const first = start(t, '--data-dir', data);
  await first.line(record('ready'));
  const { code, stdout } = await start(t, '--data-dir', data).finished();
  assert.equal(code, 1);
  assert.match(stdout, /cannot start: /);
  assert.ok(stdout.includes(data), 'it names the directory');
});

test('a wrong configuration is told in full, exit code 78', async (t) => {
  const { code, stderr } = await start(t, '--amqp-prot', '1', '--log-level', 'loud').finished();
  assert.equal(code, 78);
  assert.match(stderr, /did you mean --amqp-port\?/);
  assert.match(stderr, /log\.level .*allowed: one of trace/);
});

test('a command line that is not understood, exit code 2', async (t) => {
  const { code, stderr } = await trivium(t, ['strat']).finished();
  assert.equal(code, 2);
  assert.match(stderr, /did you mean start\?/);
});

test('precompile leaves nothing for the first start to compile', async (t) => {
  const cache = directory(t);
  const environment = { XDG_CACHE_HOME: cache };
  const { code, stderr } = await trivium(t, ['precompile'], environment).finished();
  assert.equal(code, 0, stderr);
  const compiled = readdirSync(cache, { recursive: true }).sort();
  assert.ok(compiled.length > 200, `${compiled.length}`);
  const broker = trivium(t, ['start', '--host', '127.0.0.1', '--data-dir', directory(t), ...FREE_PORTS], environment);
  await broker.line(record('ready'));
  broker.child.kill('SIGTERM');
  assert.equal((await broker.finished()).code, 0);
  assert.deepEqual(readdirSync(cache, { recursive: true }).sort(), compiled);
});

test('version and help', async (t) => {
  assert.match((await trivium(t, ['version']).finished()).stdout, /^trivium \d+\.\d+\.\d+ /);
  const help = await trivium(t, []).finished();
  assert.equal(help.code, 0);
  assert.match(help.stdout, /^trivium <command>/);
});
