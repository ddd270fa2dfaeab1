// Protects the MQTT checks against demands that no other broker meets: the fast checks give the results recorded for
// aedes, which is a development dependency and speaks 3.1 and 3.1.1. peers.test.ts runs the brokers that are installed.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { Aedes } from 'aedes';
import { readExpectations, unexpected } from '../../conformance/expectations.ts';
import { MQTT_CHECKS } from '../../conformance/mqtt/checks.ts';
import { runChecks } from '../../conformance/runner.ts';

/** The installed version, read from the file because aedes does not export its package.json. */
const { version } = JSON.parse(
  readFileSync(new URL('../../node_modules/aedes/package.json', import.meta.url), 'utf8'),
) as { version: string };

test('aedes gives the results recorded for its version', async (t) => {
  const broker = await Aedes.createBroker();
  const server = createServer(broker.handle).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    await new Promise<void>((closed) => broker.close(closed));
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const mqtt = { host: '127.0.0.1', port, user: 'guest', password: 'guest' };
  const checks = MQTT_CHECKS.filter(({ fast }) => fast);
  const results = await runChecks(checks, { endpoints: { mqtt }, controls: {} });
  const record = new URL(`../../conformance/expectations/aedes-${version}.json`, import.meta.url);
  assert.deepEqual(unexpected(results, await readExpectations(record)), []);
});
