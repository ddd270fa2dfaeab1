// The topic exchange without its route cache: a million bindings and a million distinct keys, each walked once. Run it
// alone (`node bench/topic-trie.ts`) or with `npm run bench`.

import { Binding } from '../src/core/exchange/exchange.ts';
import { Route } from '../src/core/exchange/route.ts';
import { TopicExchange } from '../src/core/exchange/topic.ts';
import type { Dialect } from '../src/core/message/topic-pattern.ts';
import { type Figure, printFigures } from './figure.ts';
import { messageTo, standInQueues } from './stand-ins.ts';

const SITES = 100;
const DEVICES = 2500;
const METRICS = ['temperature', 'humidity', 'pressure', 'battery'] as const;
const BINDINGS = 1_000_000;
const ROUTES_TARGET = 300_000;
/** Bindings added and removed to measure the cost of a subscription at that size. */
const CHURN = 100_000;

const figures: Figure[] = [];
for (const dialect of ['amqp', 'mqtt'] as const) figures.push(...measure(dialect));
printFigures(figures);

function measure(dialect: Dialect): Figure[] {
  const exchange = new TopicExchange(
    { name: 'bench', durable: false, autoDelete: false, internal: false, args: [] },
    { find: () => null, generation: 0 },
  );
  const queues = standInQueues(1000);
  const heapBefore = process.memoryUsage().heapUsed;
  const started = performance.now();
  for (let i = 0; i < BINDINGS; i++) {
    exchange.add(new Binding(exchange, { queue: queues[i % queues.length]! }, pattern(i, dialect), [], dialect));
  }
  const bound = performance.now();
  const heapMib = (process.memoryUsage().heapUsed - heapBefore) / 1024 / 1024;

  const messages = keys().map(messageTo);
  let targets = 0;
  const routing = performance.now();
  for (const message of messages) {
    const route = new Route(message);
    route.walk(exchange);
    targets += route.targets.length;
  }
  const routed = performance.now();
  if (targets < messages.length) throw new Error(`${messages.length} keys found only ${targets} targets`);

  const extra = Array.from({ length: CHURN }, (_, i) => {
    return new Binding(exchange, { queue: queues[i % queues.length]! }, `extra.${i}.${single(dialect)}.x`, [], dialect);
  });
  const churning = performance.now();
  for (const binding of extra) exchange.add(binding);
  for (const binding of extra) exchange.remove(binding);
  const churned = performance.now();

  const perSecond = (count: number, ms: number) => (count / ms) * 1000;
  return [
    {
      title: `topic trie, ${dialect}: bind to 1 M`,
      value: perSecond(BINDINGS, bound - started),
      unit: '/s',
      target: '',
    },
    { title: `topic trie, ${dialect}: heap for 1 M bindings`, value: heapMib, unit: 'MiB', target: '' },
    {
      title: `topic trie, ${dialect}: routes, 1 M distinct keys, uncached`,
      value: perSecond(messages.length, routed - routing),
      unit: '/s',
      target: `>= ${ROUTES_TARGET.toLocaleString('en')} /s`,
    },
    {
      title: `topic trie, ${dialect}: bind and unbind at 1 M`,
      value: perSecond(CHURN, churned - churning),
      unit: '/s',
      target: '',
    },
  ];
}

/**
 * Mostly exact keys, as devices subscribe to. One in ten follows all topics of a device, some a metric of a site, few
 * everything.
 */
function pattern(i: number, dialect: Dialect): string {
  const site = i % SITES;
  const device = Math.floor(i / SITES) % DEVICES;
  const metric = METRICS[Math.floor(i / SITES / DEVICES) % METRICS.length]!;
  const one = single(dialect);
  if (i % 10 === 7) return `site.${site}.device.${device}.${one}`;
  if (i % 1000 === 3) return `site.${site}.${one}.${device}.#`;
  if (i % 10_000 === 5) return `${one}.${site}.device.${device}.${metric}`;
  if (i % 100_000 === 1) return `site.${site}.#`;
  return `site.${site}.device.${device}.${metric}`;
}

function single(dialect: Dialect): string {
  return dialect === 'mqtt' ? '+' : '*';
}

function keys(): string[] {
  const all: string[] = [];
  for (let device = 0; device < DEVICES; device++) {
    for (let site = 0; site < SITES; site++) {
      for (const metric of METRICS) all.push(`site.${site}.device.${device}.${metric}`);
    }
  }
  return all;
}
