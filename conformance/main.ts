// `npm run conformance`: black-box checks of the protocols, against a fresh broker of our own or any other one:
//
//   npm run conformance
//   npm run conformance -- --amqp amqp://guest:guest@localhost:5672
//   npm run conformance -- --stomp stomp://localhost:61613 --stomp-ws ws://localhost:15674/ws
//   npm run conformance -- --only amqp.queue --junit report.xml
//
// Exit code 0: no check failed; 1: a check failed; 2: wrong arguments.

import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { type Check, type Endpoint, PROTOCOLS, type Protocol, type WebSocketAddress } from './check.ts';
import { CHECKS } from './checks.ts';
import { embeddedTarget } from './embedded.ts';
import { readExpectations, record, unexpected } from './expectations.ts';
import { allPairs, namedPairs, pairReport, runPairs, unnoticed } from './mutations/pairs.ts';
import { MUTATION_SETS } from './mutations.ts';
import { counts, json, junit, report } from './report.ts';
import { CHECK_TIMEOUT_MS, OUTCOME, runChecks, type Target } from './runner.ts';

const USAGE = `npm run conformance -- [options]

  --amqp URL, --mqtt URL, --stomp URL   run against a broker there; without any: against a fresh one of our own
  --amqp-ws URL, --mqtt-ws URL, --stomp-ws URL   where that broker speaks it over WebSocket (ws://host:port/path)
  --only PREFIX      only checks whose id begins so (amqp, amqp.queue, …); may be given more than once
  --fast             only the checks that take no time to speak of
  --expect FILE      results that are known: fails on any other, in either direction
  --record FILE      write the results there as known; reasons in it stay
  --junit FILE       write the results as JUnit's XML
  --json FILE        write the results as JSON
  --timeout-ms N     time that a check has (${CHECK_TIMEOUT_MS})
  --mutations named  run each check against brokers that break its rule, and fail on one that does not notice;
                     all: run each check under every mutation, and say which of them fail it
  --list             print the checks and run none
`;

const PORTS: Readonly<Record<Protocol, number>> = { amqp: 5672, mqtt: 1883, stomp: 61_613 };

/** Rules that Trivium does not keep yet. */
const OURS = new URL('expectations/trivium.json', import.meta.url);

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      amqp: { type: 'string' },
      mqtt: { type: 'string' },
      stomp: { type: 'string' },
      'amqp-ws': { type: 'string' },
      'mqtt-ws': { type: 'string' },
      'stomp-ws': { type: 'string' },
      only: { type: 'string', multiple: true },
      fast: { type: 'boolean' },
      expect: { type: 'string' },
      record: { type: 'string' },
      junit: { type: 'string' },
      json: { type: 'string' },
      'timeout-ms': { type: 'string' },
      mutations: { type: 'string' },
      list: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (!['named', 'all', undefined].includes(values.mutations)) throw new Error('--mutations takes named or all');
  const given = PROTOCOLS.filter((protocol) => values[protocol] !== undefined);
  const wanted = values.only ?? (given.length > 0 ? given : ['']);
  const checks = CHECKS.filter(
    ({ id, fast }) => wanted.some((prefix) => id.startsWith(prefix)) && (fast || !values.fast),
  );
  if (checks.length === 0) throw new Error(`no check begins with ${wanted.join(' or ')}`);
  if (values.list) {
    for (const { id, level, section, title } of checks) process.stdout.write(`${id}\t${level}\t${section}\t${title}\n`);
    return 0;
  }
  const timeoutMs = Number(values['timeout-ms'] ?? CHECK_TIMEOUT_MS);
  if (!(timeoutMs > 0)) throw new Error('--timeout-ms takes a number');
  const endpoints = Object.fromEntries(given.map((protocol) => [protocol, endpointOf(protocol, values[protocol]!)]));
  for (const protocol of PROTOCOLS) {
    const url = values[`${protocol}-ws`];
    if (url === undefined) continue;
    const endpoint = endpoints[protocol];
    if (endpoint === undefined) throw new Error(`--${protocol}-ws goes with --${protocol}`);
    endpoints[protocol] = { ...endpoint, webSocket: webSocketOf(url) };
  }
  const embedded = given.length > 0 ? null : await embeddedTarget();
  const target: Target = embedded ?? { endpoints, controls: {} };
  if (values.mutations !== undefined) {
    const status = await runMutations(checks, target, values.mutations === 'all');
    await embedded?.stop();
    return status;
  }
  const results = await runChecks(checks, target, { timeoutMs });
  await embedded?.stop();

  process.stdout.write(report(results));
  if (values.junit !== undefined) await writeFile(values.junit, junit(results));
  if (values.json !== undefined) await writeFile(values.json, json(results));
  if (values.record !== undefined) {
    const known = record(results, await readExpectations(values.record));
    await writeFile(values.record, `${JSON.stringify(known, null, 2)}\n`);
  }
  const expected = values.expect ?? (embedded === null ? null : OURS);
  if (expected === null) return counts(results).failed === 0 ? 0 : 1;
  const expectations = await readExpectations(expected);
  for (const { check, outcome } of results) {
    const reason = outcome === OUTCOME.failed ? expectations.failed[check.id] : undefined;
    if (reason !== undefined) process.stdout.write(`known to fail: ${check.id}: ${reason}\n`);
  }
  const differences = unexpected(results, expectations);
  for (const difference of differences) process.stdout.write(`${difference}\n`);
  return differences.length === 0 ? 0 : 1;
}

/** Prints the mutations that fail each check. Returns 1 if a mutation does not fail a check that it is named for. */
async function runMutations(checks: readonly Check[], target: Target, all: boolean): Promise<number> {
  let problems = 0;
  for (const set of MUTATION_SETS) {
    const pairs = all ? allPairs(set, checks) : namedPairs(set, checks);
    if (pairs.length === 0) continue;
    const results = await runPairs(set, pairs, target);
    process.stdout.write(pairReport(results));
    if (all) continue;
    for (const problem of unnoticed(results)) {
      process.stdout.write(`${problem}\n`);
      problems++;
    }
  }
  return problems === 0 ? 0 : 1;
}

function endpointOf(protocol: Protocol, text: string): Endpoint {
  const url = new URL(text);
  if (url.protocol !== `${protocol}:`) throw new Error(`--${protocol} takes ${protocol}://host:port, not ${text}`);
  return {
    host: hostOf(url),
    port: Number(url.port) || PORTS[protocol],
    user: decodeURIComponent(url.username) || 'guest',
    password: decodeURIComponent(url.password) || 'guest',
  };
}

function webSocketOf(text: string): WebSocketAddress {
  const url = new URL(text);
  if (url.protocol !== 'ws:') throw new Error(`a WebSocket has ws://host:port/path, not ${text}`);
  return { host: hostOf(url), port: Number(url.port) || 80, path: `${url.pathname}${url.search}` };
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n\n${USAGE}`);
  process.exitCode = 2;
}
