// The four sources of the configuration, their precedence, and the error for a wrong value in each.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Value } from 'typebox/value';
import { ConfigError } from '../../src/config/config-error.ts';
import { embeddedConfig } from '../../src/config/embedded.ts';
import { configOf, loadConfig, type Sources } from '../../src/config/load.ts';
import { ConfigSchema } from '../../src/config/schema.ts';

function yaml(t: TestContext, content: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'trivium-config-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'trivium.yaml');
  writeFileSync(file, content);
  return file;
}

async function problems(sources: Partial<Sources>): Promise<readonly string[]> {
  try {
    await loadConfig({ flags: {}, environment: {}, ...sources });
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems;
  }
  return [];
}

test('nothing given gives the defaults, which the schema accepts', async () => {
  const config = await loadConfig({ flags: {}, environment: { HOME: '/', PATH: '/bin' } });
  assert.deepEqual(config, configOf({}));
  assert.ok(Value.Check(ConfigSchema, config));
  assert.equal(config.amqp.port, 5672);
});

test('two configurations share nothing', () => {
  configOf({}).auth.loopbackUsers.push('anna');
  assert.deepEqual(configOf({}).auth.loopbackUsers, ['guest']);
});

test('a file beats defaults, the environment beats the file, flags beat all', async (t) => {
  const file = yaml(t, 'host: from-file\nlog:\n  level: warn\namqp:\n  port: 1\nmqtt:\n  port: 1\n');
  const config = await loadConfig({
    flags: { config: file, 'amqp-port': '3' },
    environment: { TRIVIUM_AMQP_PORT: '2', TRIVIUM_MQTT_PORT: '2', TRIVIUM_LIMITS_MEMORY_HIGH_BYTES: '1GiB' },
  });
  assert.equal(config.host, 'from-file');
  assert.equal(config.log.level, 'warn');
  assert.equal(config.amqp.port, 3);
  assert.equal(config.mqtt.port, 2);
  assert.equal(config.stomp.port, 61_613);
  assert.equal(config.limits.memoryHighBytes, 1024 ** 3);
});

test('the file may be named by the environment; the flag wins', async (t) => {
  const first = yaml(t, 'host: first\n');
  const second = yaml(t, 'host: second\n');
  const environment = { TRIVIUM_CONFIG: first };
  assert.equal((await loadConfig({ flags: {}, environment })).host, 'first');
  assert.equal((await loadConfig({ flags: { config: second }, environment })).host, 'second');
});

test('an empty file and an empty section say nothing', async (t) => {
  assert.deepEqual(await loadConfig({ flags: { config: yaml(t, '') }, environment: {} }), configOf({}));
  assert.deepEqual(await loadConfig({ flags: { config: yaml(t, '# later\namqp:\n') }, environment: {} }), configOf({}));
});

test('in YAML a port is off in every spelling', async (t) => {
  for (const off of ['off', 'false', 'no']) {
    const config = await loadConfig({ flags: { config: yaml(t, `amqp:\n  port: ${off}\n`) }, environment: {} });
    assert.equal(config.amqp.port, false);
  }
});

test('a wrong value names the key, the source, the value and what is allowed', async (t) => {
  const file = yaml(t, 'log:\n  level: loud\n');
  assert.deepEqual(await problems({ flags: { config: file } }), [
    `log.level (from ${file}): "loud" is not allowed; allowed: one of trace, debug, info, warn, error, fatal, silent`,
  ]);
  assert.deepEqual(await problems({ environment: { TRIVIUM_AMQP_PORT: '70000' } }), [
    'amqp.port (from TRIVIUM_AMQP_PORT): "70000" is not allowed; allowed: 0 to 65535 or `off`',
  ]);
  assert.deepEqual(await problems({ flags: { 'tls-require-client-certificate': 'maybe' } }), [
    'tls.requireClientCertificate (from --tls-require-client-certificate): "maybe" is not allowed; allowed: true or false',
  ]);
});

test('an unknown name is an error with the nearest known one', async (t) => {
  assert.deepEqual(await problems({ flags: { 'amqp-prot': '1' } }), [
    '--amqp-prot (from the command line): unknown; did you mean --amqp-port?',
  ]);
  assert.deepEqual(await problems({ environment: { TRIVIUM_MQT_PORT: '1' } }), [
    'TRIVIUM_MQT_PORT (from the environment): unknown; did you mean TRIVIUM_MQTT_PORT?',
  ]);
  const file = yaml(t, 'stopm:\n  port: 1\namqp:\n  prot: 1\nzzzzzzzzzz: 1\n');
  assert.deepEqual(await problems({ flags: { config: file } }), [
    `stopm (from ${file}): unknown; did you mean stomp?`,
    `amqp.prot (from ${file}): unknown; did you mean amqp.port?`,
    `zzzzzzzzzz (from ${file}): unknown`,
  ]);
});

test('all problems of all sources are told at once', async () => {
  const found = await problems({
    flags: { 'amqp-port': 'x' },
    environment: { TRIVIUM_HTTP_PORT: 'y', TRIVIUM_LOG: 'z' },
  });
  assert.equal(found.length, 3);
});

test('a password is not repeated in an error', () => {
  const options = { auth: { defaultPassword: 12_345_678 } } as unknown as Parameters<typeof configOf>[0];
  assert.throws(
    () => configOf(options),
    (error: Error) => error instanceof ConfigError && !error.message.includes('12345678'),
  );
});

test('variables that Kubernetes makes for a service named trivium are not ours', async () => {
  const environment = {
    TRIVIUM_SERVICE_HOST: '10.0.0.1',
    TRIVIUM_SERVICE_PORT: '5672',
    TRIVIUM_SERVICE_PORT_AMQP: '5672',
    TRIVIUM_PORT: 'tcp://10.0.0.1:5672',
    TRIVIUM_PORT_5672_TCP: 'tcp://10.0.0.1:5672',
    TRIVIUM_PORT_5672_TCP_ADDR: '10.0.0.1',
  };
  assert.deepEqual(await problems({ environment }), []);
  assert.equal((await loadConfig({ flags: {}, environment })).port, false);
});

test('TRIVIUM_PORT is our key if its value is a port', async () => {
  assert.equal((await loadConfig({ flags: {}, environment: { TRIVIUM_PORT: '5000' } })).port, 5000);
  assert.deepEqual(await problems({ environment: { TRIVIUM_PORT: 'five' } }), [
    'port (from TRIVIUM_PORT): "five" is not allowed; allowed: 0 to 65535 or `off`',
  ]);
});

test('a file that is missing, not YAML or not a tree of keys is reported', async (t) => {
  assert.match((await problems({ flags: { config: '/nowhere/trivium.yaml' } }))[0]!, /cannot be read \(ENOENT\)/);
  assert.match((await problems({ flags: { config: yaml(t, 'a: [') } }))[0]!, /not YAML/);
  assert.match((await problems({ flags: { config: yaml(t, '- a\n') } }))[0]!, /must hold keys and values/);
  assert.match(
    (await problems({ flags: { config: yaml(t, 'amqp: 5672\n') } }))[0]!,
    /amqp .*must hold keys and values/,
  );
});

test('keys that belong together are checked together', () => {
  assert.throws(() => configOf({ tls: { certificateFile: 'a.pem' } }), /give both or none/);
  assert.throws(() => configOf({ tls: { requireClientCertificate: true } }), /needs tls\.caFile/);
  assert.throws(
    () => configOf({ limits: { memoryLowBytes: 300 * 1024 * 1024 } }),
    /must be below limits\.memoryHighBytes/,
  );
});

test('an embedded broker uses free ports on loopback and stores nothing by default', () => {
  const config = embeddedConfig({ mqtt: { port: 1883 } });
  assert.equal(config.host, '127.0.0.1');
  assert.equal(config.store, 'memory');
  assert.equal(config.mqtt.port, 1883);
  for (const section of [config.amqp, config.stomp, config.ws, config.http]) assert.equal(section.port, 0);
  assert.equal(embeddedConfig({ dataDir: '/tmp/x' }).store, 'lmdb');
  assert.equal(embeddedConfig({ dataDir: '/tmp/x', store: 'memory' }).store, 'memory');
});
