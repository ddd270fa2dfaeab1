// Memory does not grow with a durable backlog, and a SIGKILL loses nothing of it: 50,000 messages here, a million with
// CI_LONG. The bench measures the speed (`--only backlog`).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runBacklog } from '../../support/backlog.ts';

const MESSAGES = process.env.CI_LONG === undefined ? 50_000 : 1_000_000;
const RSS_ANON_MIB = 300;

test(`${MESSAGES} persistent messages of 1 KiB survive SIGKILL and come back in order`, async (t) => {
  const { recovered, mostRssAnonMib } = await runBacklog(MESSAGES);
  t.diagnostic(`RssAnon at most ${mostRssAnonMib.toFixed(0)} MiB`);
  assert.equal(recovered, MESSAGES, 'every confirmed message is there');
  assert.ok(mostRssAnonMib < RSS_ANON_MIB, `RssAnon reached ${mostRssAnonMib} MiB`);
});
