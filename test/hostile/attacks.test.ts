// Nothing that one client sends may hurt another: each attack runs beside well-behaved clients of every protocol, which
// must not notice. Timings belong to the bench (`npm run bench -- --only hostile`); here a client may wait for as long as
// a busy machine makes it wait, and for less than the attacks cost when they were found.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ATTACKS } from '../../support/hostile/attacks.ts';
import { HostileBroker } from '../../support/hostile/hostile-broker.ts';
import { runAttack } from '../../support/hostile/run-attack.ts';
import { Watchers } from '../../support/hostile/watchers.ts';

/** Memory that the broker may have while it is attacked. At rest it has about 70 MiB. */
const MOST_RSS_ANON_MIB = 640;
/** Far above any wait on a busy machine, and below what the attacks cost once: 10 to 80 seconds. */
const LONGEST_WAIT_MS = 5_000;
const LIMIT_MS = 20_000;

let broker: HostileBroker;
let watchers: Watchers;

before(start);
after(stop);

async function start(): Promise<void> {
  broker = await HostileBroker.start();
  watchers = await Watchers.start(broker.ports);
}

async function stop(): Promise<void> {
  await watchers.end();
  await broker.stop();
}

for (const attack of ATTACKS) {
  test(`nobody notices a client that ${attack.name}`, async (context) => {
    if (watchers.failed !== null) {
      // An earlier attack, which has failed for it.
      await stop();
      await start();
    }
    const { waits, mostRssAnonMib, longestPauseMs, tookMs } = await runAttack(attack, broker, watchers, LIMIT_MS);
    context.diagnostic(
      `${Math.round(tookMs)} ms, ${Math.round(mostRssAnonMib)} MiB, longest pause ${Math.round(longestPauseMs)} ms`,
    );
    assert.ok(broker.alive, 'the broker ended');
    assert.equal(watchers.failed, null, watchers.failed?.message);
    for (const [name, { longest }] of Object.entries(waits)) {
      assert.ok(longest < LONGEST_WAIT_MS, `${name} waited for ${Math.round(longest)} ms`);
    }
    assert.ok(mostRssAnonMib < MOST_RSS_ANON_MIB, `the broker had ${Math.round(mostRssAnonMib)} MiB`);
  });
}
