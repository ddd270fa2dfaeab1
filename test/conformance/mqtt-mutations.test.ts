// Protects the MQTT mutations against being too broad. A mutation that ignores one violation changes packets only in
// the checks of its rule. One run shows that for all of them: the judge determines the broken rule of every packet of
// every check, in front of a correct broker. And no check depends only on mutations that are named for many rules.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { type EmbeddedTarget, embeddedTarget } from '../../conformance/embedded.ts';
import { MQTT_CHECKS } from '../../conformance/mqtt/checks.ts';
import { sameBroker } from '../../conformance/mqtt/mqtt-check.ts';
import { acceptanceOf, isAcceptance, observing } from '../../conformance/mqtt/mutations/leniency.ts';
import { MQTT_MUTATIONS } from '../../conformance/mqtt/mutations/mutations.ts';
import { MQTT_FORMAT } from '../../conformance/mqtt/mutations/packets.ts';
import { startProxy } from '../../conformance/mutations/proxy.ts';
import { namedFor } from '../../conformance/mutations/set.ts';
import { OUTCOME, runCheck } from '../../conformance/runner.ts';

const PARALLEL = 16;
/** Far above the duration of any check: only the packets sent matter here. */
const TIMEOUT_MS = 30_000;
/**
 * Skips checks that restart the broker, which would disturb others, and those over WebSocket, whose packets are all
 * legal.
 */
const CHECKS = MQTT_CHECKS.filter(({ needs, webSocket }) => needs !== 'restart' && !webSocket);

/** Checks that the broker fails on purpose, with reasons. */
const KNOWN_FAILURES = (
  JSON.parse(readFileSync(new URL('../../conformance/expectations/trivium.json', import.meta.url), 'utf8')) as {
    readonly failed: Readonly<Record<string, string>>;
  }
).failed;

/** Maximum number of rules that a specific mutation is named for; retain.lost has this many. */
const RULES_MAX = 8;

let target: EmbeddedTarget;

before(async () => {
  target = await embeddedTarget();
});

after(() => target.stop());

test('a mutation that passes over a violation acts in the checks that are named for it, and in no other', async () => {
  const endpoint = target.endpoints.mqtt!;
  const acts = new Map<string, readonly string[]>();
  const open = CHECKS.values();
  const workers = Array.from({ length: PARALLEL }, async () => {
    for (const check of open) {
      const broken = new Set<string>();
      const proxy = await startProxy(MQTT_FORMAT, observing(broken), endpoint);
      await sameBroker(endpoint, proxy.endpoint);
      const { outcome, message } = await runCheck(
        check,
        { ...target, endpoints: { mqtt: proxy.endpoint } },
        TIMEOUT_MS,
      );
      await proxy.stop();
      const expected = check.id in KNOWN_FAILURES ? OUTCOME.failed : OUTCOME.passed;
      assert.equal(outcome, expected, `${check.id}: ${message}`);
      acts.set(check.id, [...broken].map(acceptanceOf).sort());
    }
  });
  await Promise.all(workers);
  const named = CHECKS.map((check) => [check.id, namedFor(MQTT_MUTATIONS, check).filter(isAcceptance).sort()]);
  assert.deepEqual(Object.fromEntries(CHECKS.map(({ id }) => [id, acts.get(id)])), Object.fromEntries(named));
});

test('every check has a mutation that is named for few rules', () => {
  const rules = new Map<string, Set<string>>();
  for (const [check, names] of Object.entries(MQTT_MUTATIONS.names)) {
    const rule = check.slice(check.indexOf('.') + 1);
    for (const name of names.split(' ')) rules.set(name, (rules.get(name) ?? new Set()).add(rule));
  }
  const broad = MQTT_CHECKS.filter((check) => {
    return namedFor(MQTT_MUTATIONS, check).every((name) => rules.get(name)!.size > RULES_MAX);
  });
  assert.deepEqual(
    broad.map(({ id }) => id),
    [],
  );
});
