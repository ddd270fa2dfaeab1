// Memory does not grow with a durable backlog, and a restart does not wait for it: 50,000 messages here, a million with
// CI_LONG, where the rates are asserted too.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runBacklog } from './backlog.ts';

const LONG = process.env.CI_LONG !== undefined;
const MESSAGES = LONG ? 1_000_000 : 50_000;
const READY_MS = 2000;
const RSS_ANON_MIB = 300;
/** The least that a backlog may be consumed at, in rates of a queue that fits into memory. */
const SHARE_OF_SHORT = 0.5;

test(`${MESSAGES} persistent messages of 1 KiB survive SIGKILL and come back in order`, async (t) => {
  const figures = await runBacklog(MESSAGES);
  const { readyMs, mostRssAnonMib, consumedPerS, shortConsumedPerS } = figures;
  t.diagnostic(
    `published ${thousands(figures.publishedPerS)}/s with confirms, ready again after ${readyMs.toFixed(0)} ms, ` +
      `consumed ${thousands(consumedPerS)}/s (a short queue ${thousands(shortConsumedPerS)}/s), ` +
      `RssAnon at most ${mostRssAnonMib.toFixed(0)} MiB`,
  );
  assert.equal(figures.recovered, MESSAGES, 'every confirmed message is there');
  assert.ok(readyMs <= READY_MS, `ready after ${readyMs} ms`);
  assert.ok(mostRssAnonMib < RSS_ANON_MIB, `RssAnon reached ${mostRssAnonMib} MiB`);
  if (LONG) assert.ok(consumedPerS >= shortConsumedPerS * SHARE_OF_SHORT, `${consumedPerS} of ${shortConsumedPerS}/s`);
});

function thousands(rate: number): string {
  return Math.round(rate).toLocaleString('en');
}
