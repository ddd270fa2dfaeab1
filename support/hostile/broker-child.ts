// The broker that attacks are run against, as a process of its own, with the users of users.ts. Its parent can move its
// clock. It reports its ports, and the longest pause of its event loop.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { type Broker, createBroker } from '../../src/broker.ts';
import { NEWCOMERS } from './users.ts';

/** What the parent asks for. */
export type Request = { readonly moveClockMs: number } | { readonly longestPause: true } | { readonly stop: true };
/** What it is told. `ready` comes first, without a request. */
export type Report =
  | { readonly ready: Broker['ports'] }
  | { readonly clockMoved: true }
  | { readonly longestPauseMs: number };

const NS_PER_MS = 1e6;
const dataDir = mkdtempSync(join(tmpdir(), 'trivium-hostile-'));
process.on('exit', () => rmSync(dataDir, { recursive: true, force: true }));

let clockMs = 0;
const systemTime = Date.now;
Date.now = () => systemTime() + clockMs;

const broker = await createBroker({ dataDir, mqtt: { port: 0 }, ws: { port: 0 }, http: { port: 0 } });
await broker.users.put('alice', 'alice', []);
broker.permissions.put('/', 'alice', { configure: '.*', write: '.*', read: '.*' });
await broker.users.put('eve', 'eve', []);
broker.permissions.put('/', 'eve', {
  configure: '^eve-',
  write: '^(eve-.*|amq\\.topic|amq\\.default)$',
  read: '^(eve-.*|amq\\.topic)$',
});
broker.permissions.topics.put('/', 'eve', 'amq.topic', { write: '^eve\\.', read: '^eve\\.' });
await broker.users.put('bob', 'bob', []);
broker.permissions.put('/', 'bob', { configure: '', write: '', read: '' });

await Promise.all(
  NEWCOMERS.map(async (name) => {
    await broker.users.put(name, name, []);
    broker.permissions.put('/', name, { configure: '', write: '', read: '' });
  }),
);

const pauses = monitorEventLoopDelay({ resolution: 5 });
pauses.enable();
process.on('message', (request: Request) => {
  if ('moveClockMs' in request) {
    clockMs += request.moveClockMs;
    tell({ clockMoved: true });
  } else if ('longestPause' in request) {
    tell({ longestPauseMs: pauses.max / NS_PER_MS });
    pauses.reset();
  } else void broker.stop().then(() => process.disconnect());
});
process.once('disconnect', () => process.exit());
tell({ ready: broker.ports });

function tell(report: Report): void {
  process.send!(report);
}
