// What well-behaved clients notice of each attack in support/hostile: the 99th percentile of their waits, by protocol the
// worst, and its ratio to the same without an attack. Run it alone (`node bench/hostile.ts`) or with `npm run bench`.

import { setTimeout as delay } from 'node:timers/promises';
import { ATTACKS } from '../support/hostile/attacks.ts';
import { HostileBroker } from '../support/hostile/hostile-broker.ts';
import { runAttack } from '../support/hostile/run-attack.ts';
import { Watchers } from '../support/hostile/watchers.ts';
import { type Figure, printFigures } from './figure.ts';

const QUIET_MS = 3_000;
const LIMIT_MS = 60_000;
const MOST_P99_MS = 100;
const MOST_TIMES = 5;
/** Without an attack most waits are below a millisecond, and five times that says nothing. */
const LEAST_MS = 4;

const broker = await HostileBroker.start();
const watchers = await Watchers.start(broker.ports);
await delay(QUIET_MS);
watchers.take();
await delay(QUIET_MS);
const unloaded = watchers.take();
const figures: Figure[] = [];
for (const attack of ATTACKS) {
  const { waits, mostRssAnonMib, longestPauseMs } = await runAttack(attack, broker, watchers, LIMIT_MS);
  let worst = { name: '', p99: 0, times: 0 };
  for (const [name, { p99 }] of Object.entries(waits)) {
    const times = p99 / Math.max(unloaded[name]?.p99 ?? 0, LEAST_MS);
    if (times >= worst.times) worst = { name, p99, times };
  }
  const title = attack.name.length > 60 ? `${attack.name.slice(0, 57)}...` : attack.name;
  const target = `<= ${MOST_P99_MS}, ${MOST_TIMES} x: ${worst.times.toFixed(1)} x (${worst.name})`;
  figures.push({ title: `p99: ${title}`, value: worst.p99, unit: 'ms', target });
  figures.push({ title: '  longest pause of the event loop', value: longestPauseMs, unit: 'ms', target: '<= 50' });
  figures.push({ title: '  RssAnon', value: mostRssAnonMib, unit: 'MiB', target: '' });
}
await watchers.end();
await broker.stop();
printFigures(figures);
