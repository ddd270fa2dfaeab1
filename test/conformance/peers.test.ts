// Protects the recorded results of other brokers: the checks give the recorded results for the recorded package
// version. This detects a check that was changed to fit only Trivium. Each run takes a fixed part of the checks;
// CI_LONG=1 runs all.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { Check, Endpoint } from '../../conformance/check.ts';
import { CHECKS } from '../../conformance/checks.ts';
import { type Expectations, readExpectations, unexpected } from '../../conformance/expectations.ts';
import { runChecks, type Target } from '../../conformance/runner.ts';
import { type Endpoints, installed, PEERS, type PeerName, startPeer } from '../../support/peers.ts';

const LONG = process.env.CI_LONG === '1';

/** The user for logging in: RabbitMQ has it by default, other brokers accept any. */
const USER = { host: '127.0.0.1', user: 'guest', password: 'guest' };
/** Fewer concurrent checks than against Trivium: a peer's queues may be processes, and it syncs its disk more often. */
const PARALLEL = 8;
/**
 * Slow checks, and those that repeat over another transport what a TCP check shows; checks that end by timeout are slow
 * too.
 */
const NOT_EACH_TIME = /^(amqp\.(expiry|queue\.expires|dead-letter)|stomp\.(v10|v11|ws)|mqtt\.(v31|ws))\./;

/** The version of the Debian package, or null if it is not installed. */
function versionOf(name: PeerName): string | null {
  try {
    const wanted = name === 'rabbitmq' ? 'rabbitmq-server' : name;
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a placeholder of dpkg-query.
    return execFileSync('dpkg-query', ['-W', '-f', '${Version}', wanted], { encoding: 'utf8', stdio: 'pipe' });
  } catch {
    return null;
  }
}

function recordOf(name: PeerName, version: string | null): URL {
  return new URL(`../../conformance/expectations/${name}-${version}.json`, import.meta.url);
}

/** Why a peer is skipped, or false. */
function reason(name: PeerName): string | false {
  if (!installed(name)) return `${name} is not installed`;
  const version = versionOf(name);
  if (version === null) return `${name} is installed, and not from a Debian package`;
  return existsSync(recordOf(name, version)) ? false : `nothing is recorded of ${name} ${version}`;
}

function target({ amqp, mqtt, webMqtt, stomp, webStomp, webStompPath }: Endpoints): Target {
  const endpoints: Record<string, Endpoint> = {};
  for (const [protocol, port] of Object.entries({ amqp, mqtt, stomp })) {
    if (port !== undefined) endpoints[protocol] = { ...USER, port };
  }
  if (webMqtt !== undefined) {
    endpoints.mqtt = { ...endpoints.mqtt!, webSocket: { host: USER.host, port: webMqtt, path: '/mqtt' } };
  }
  if (webStomp !== undefined && webStompPath !== undefined) {
    endpoints.stomp = { ...endpoints.stomp!, webSocket: { host: USER.host, port: webStomp, path: webStompPath } };
  }
  return { endpoints, controls: {} };
}

/** Checks of the protocols that have recorded results. */
function recorded({ passed, failed, skipped }: Expectations): Check[] {
  const ids = [...passed, ...skipped, ...Object.keys(failed)];
  return CHECKS.filter(({ protocol }) => ids.some((id) => id.startsWith(`${protocol}.`)));
}

for (const name of PEERS) {
  describe(`${name} as it is recorded`, { skip: reason(name) }, () => {
    test('gives the results that are recorded', async (t) => {
      const expectations = await readExpectations(recordOf(name, versionOf(name)));
      const { late = [] } = expectations;
      const eachTime = ({ id, fast }: Check): boolean => fast && !NOT_EACH_TIME.test(id) && !late.includes(id);
      const checks = recorded(expectations).filter((check) => LONG || eachTime(check));
      assert.ok(checks.length > 0);
      const peer = await startPeer(name);
      t.after(() => peer.stop());
      const results = await runChecks(checks, target(peer.endpoints), { parallel: PARALLEL });
      assert.deepEqual(unexpected(results, expectations), []);
    });
  });
}
