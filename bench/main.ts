// `npm run bench`: starts Trivium in a process of its own, runs every row of the table against it and against the peers
// that were asked for, one broker at a time, and prints rates, ratios and targets side by side.
//
//   npm run bench -- --against rabbitmq,mosquitto,activemq --only amqp --seconds 5 --json figures.json
//   npm run bench -- --ports amqp=5672,mqtt=1883,stomp=61613,ws=15674      a broker that runs already

import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { runBacklog } from '../support/backlog.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { type Endpoints, installed, PEERS, type PeerName, startPeer } from '../support/peers.ts';
import { type Figure, formatted, rounded, table } from './figure.ts';
import { runLoad } from './load/runner.ts';
import type { LoadResult } from './load/workload.ts';
import { LATENCY_P99_MS, ROWS, type Row } from './rows.ts';

const MICRO = [
  'topic-trie',
  'route-cache',
  'core',
  'queue',
  'amqp-codec',
  'mqtt-codec',
  'stomp-codec',
  'net',
  'store',
  'hostile',
] as const;
const REST_MS = 2000;
const START_TARGET_S = 0.5;
const REST_TARGET_MIB = 120;
const BACKLOG = 1_000_000;
const RESTART_TARGET_S = 2;
const SHARE_OF_SHORT = 0.5;
const BACKLOG_TARGET_MIB = 300;

const options = parseArgs({
  options: {
    against: { type: 'string', default: '' },
    only: { type: 'string', default: '' },
    seconds: { type: 'string', default: '3' },
    ports: { type: 'string' },
    json: { type: 'string' },
  },
}).values;

const seconds = Number(options.seconds);
if (!(seconds > 0)) throw new Error(`--seconds takes a positive number, not ${options.seconds}`);
const peers = options.against.split(',').filter((name) => name !== '') as PeerName[];
for (const peer of peers) {
  if (!PEERS.includes(peer)) throw new Error(`--against takes ${PEERS.join(', ')}, not ${peer}`);
}

/** Results by broker, then by the title of the row. */
const results: Record<string, Record<string, LoadResult | { readonly error: string }>> = {};
const figures: Figure[] = [];

const rows = ROWS.filter((row) => chosen(row.group, row.title));
if (options.ports !== undefined) {
  await measure('trivium', portsOf(options.ports));
} else if (rows.length > 0 || chosen('start')) {
  const broker = await BrokerProcess.start();
  try {
    if (chosen('start')) figures.push(...(await startFigures(broker)));
    await measure('trivium', broker.endpoints);
  } finally {
    await broker.end();
  }
}
for (const name of peers) {
  if (!installed(name)) {
    process.stderr.write(`${name} is not installed\n`);
    continue;
  }
  const peer = await startPeer(name);
  try {
    await measure(name, peer.endpoints);
  } finally {
    await peer.stop();
  }
}
if (options.ports === undefined && chosen('backlog')) figures.push(...(await backlogFigures()));
for (const name of MICRO) if (chosen('micro', name)) figures.push(...(await micro(name)));

report();
if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify({ results, figures }, null, 2)}\n`);

function chosen(...names: string[]): boolean {
  return options.only === '' || names.some((name) => name.includes(options.only));
}

function portsOf(text: string): Endpoints {
  const ports = Object.fromEntries(text.split(',').map((pair) => pair.split('=')));
  const port = (name: string) =>
    ports[name] === undefined ? {} : { [name === 'ws' ? 'webStomp' : name]: Number(ports[name]) };
  return { ...port('amqp'), ...port('mqtt'), ...port('stomp'), ...port('ws'), webStompPath: '/stomp' };
}

async function measure(name: string, endpoints: Endpoints): Promise<void> {
  const found: Record<string, LoadResult | { readonly error: string }> = {};
  results[name] = found;
  for (const row of rows) {
    process.stderr.write(`${name}: ${row.title}\n`);
    try {
      const result = await runLoad(row.workload, endpoints, seconds);
      if (result !== null) found[row.title] = result;
    } catch (error) {
      found[row.title] = { error: (error as Error).message };
    }
  }
}

/** Measures the second start: the first one on a machine fills the compile cache. */
async function startFigures(broker: BrokerProcess): Promise<Figure[]> {
  await broker.stop();
  await broker.restart();
  await new Promise((resolve) => setTimeout(resolve, REST_MS));
  return [
    { title: 'start to listening', value: broker.startMs / 1000, unit: 's', target: `<= ${START_TARGET_S} s` },
    { title: 'RSS at rest', value: await broker.statusMib('VmRSS'), unit: 'MiB', target: `<= ${REST_TARGET_MIB} MiB` },
  ];
}

/**
 * Fills a durable queue with a million messages of 1 KiB, kills the broker with SIGKILL, and consumes after the
 * restart.
 */
async function backlogFigures(): Promise<Figure[]> {
  process.stderr.write('backlog\n');
  const { publishedPerS, readyMs, consumedPerS, shortConsumedPerS, mostRssAnonMib } = await runBacklog(BACKLOG);
  const share = consumedPerS / shortConsumedPerS;
  return [
    { title: 'backlog of 1 M x 1 KiB: published with confirms', value: publishedPerS, unit: '/s', target: '' },
    { title: 'ready after SIGKILL', value: readyMs / 1000, unit: 's', target: `<= ${RESTART_TARGET_S} s` },
    { title: 'consumed', value: consumedPerS, unit: '/s', target: '' },
    { title: 'share of the rate of a short queue', value: share, unit: '', target: `>= ${SHARE_OF_SHORT}` },
    { title: 'most RssAnon', value: mostRssAnonMib, unit: 'MiB', target: `<= ${BACKLOG_TARGET_MIB} MiB` },
  ];
}

/** Runs in its own process, so that its millions of bindings do not slow down later measurements. */
async function micro(name: (typeof MICRO)[number]): Promise<Figure[]> {
  process.stderr.write(`${name}\n`);
  const file = fileURLToPath(new URL(`./${name}.ts`, import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ['--max-old-space-size=4096', file, '--json']);
  return JSON.parse(stdout) as Figure[];
}

function report(): void {
  const brokers = Object.keys(results);
  if (rows.length > 0) {
    const head = ['messages/s, 100 B unless said', ...brokers, 'ratio', 'target'];
    const body = rows.map((row) => [row.title, ...brokers.map((name) => cell(row, name)), ...ratio(row)]);
    process.stdout.write(`${table([head, ...body])}\n`);
  }
  if (figures.length > 0) {
    process.stdout.write(`\n${table(figures.map((figure) => [figure.title, formatted(figure), figure.target]))}\n`);
  }
  for (const [name, found] of Object.entries(results)) {
    for (const [title, result] of Object.entries(found)) {
      if ('error' in result) process.stdout.write(`\n${name}, ${title}: ${result.error}\n`);
    }
  }
}

function cell(row: Row, broker: string): string {
  const result = results[broker]?.[row.title];
  if (result === undefined) return '–';
  if ('error' in result) return 'failed';
  if (result.p50 === null) return rounded(result.received);
  return `p50 ${rounded(result.p50)} p99 ${rounded(result.p99!)} ms`;
}

function ratio(row: Row): [string, string] {
  if (row.workload.rate > 0) return ['', `p99 <= ${LATENCY_P99_MS} ms`];
  if (row.target === null) return ['', ''];
  const { peer, times } = row.target;
  const target = `>= ${times} × ${peer}`;
  const ours = results.trivium?.[row.title];
  const theirs = results[peer]?.[row.title];
  if (ours === undefined || theirs === undefined || 'error' in ours || 'error' in theirs) return ['', target];
  return [`${rounded(ours.received / theirs.received)} ×`, target];
}
