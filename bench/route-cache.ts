// The route cache: what a hit saves over walking the bindings, what a scan of unrepeated keys costs, and how much a
// cache still saves while subscriptions change. Run it alone (`node bench/route-cache.ts`) or with `npm run bench`.

import { Binding } from '../src/core/exchange/exchange.ts';
import { Route } from '../src/core/exchange/route.ts';
import { TopicExchange } from '../src/core/exchange/topic.ts';
import type { Message } from '../src/core/message/message.ts';
import { type Figure, printFigures } from './figure.ts';
import { messageTo, standInQueues } from './stand-ins.ts';

const BINDINGS = 100_000;
const HOT_KEYS = 1000;
const SCANNED_KEYS = 1_000_000;
const SUBSCRIBES_PER_SECOND = 1000;
/** Rate of publishes; 1,000 of them fall between two subscriptions at 1,000/s. */
const PUBLISHES_PER_SECOND = 1_000_000;
const MIN_MS = 1000;

const exchange = new TopicExchange(
  { name: 'bench', durable: false, autoDelete: false, internal: false, args: [] },
  { find: () => null, generation: 0 },
);
const queues = standInQueues(1000);
for (let i = 0; i < BINDINGS; i++)
  bind(`site.${i % 100}.device.${Math.floor(i / 100)}.${i % 7 === 0 ? '*' : 'temperature'}`);

const hot = Array.from({ length: HOT_KEYS }, (_, i) => messageTo(`site.${i % 100}.device.${i}.temperature`));
const scanned = Array.from({ length: SCANNED_KEYS }, (_, i) => messageTo(`site.${i % 100}.device.${i}.temperature`));

const walked = rate(hot, (message) => {
  const route = new Route(message);
  route.walk(exchange);
  return route.targets.length;
});
const cached = rate(hot, (message) => exchange.route(message).length);
const missed = rate(scanned, (message) => exchange.route(message).length);
let published = 0;
let subscribed = 0;
const churned = rate(hot, (message) => {
  if (++published % (PUBLISHES_PER_SECOND / SUBSCRIBES_PER_SECOND) === 0) bind(`extra.${subscribed++}.*.x`);
  return exchange.route(message).length;
});

const figures: Figure[] = [
  { title: 'route, walked', value: walked, unit: '/s', target: '' },
  { title: 'route, cached', value: cached, unit: '/s', target: '' },
  { title: 'route, 1 M distinct keys through the cache', value: missed, unit: '/s', target: '' },
  { title: 'route, cached, one subscribe in 1,000 routes', value: churned, unit: '/s', target: '' },
  {
    // How much the walks add to a publish that takes 1 µs.
    title: 'cost of 1,000 subscribes/s to 1 M publishes/s',
    value: (1 / churned - 1 / cached) * PUBLISHES_PER_SECOND * 100,
    unit: '%',
    target: '<= 20 %',
  },
];
printFigures(figures);

function bind(pattern: string): void {
  exchange.add(new Binding(exchange, { queue: queues[exchange.bindingCount % queues.length]! }, pattern, [], 'amqp'));
}

/** Routes a second, cycling over the messages for at least `MIN_MS` after a warm-up round. */
function rate(messages: readonly Message[], route: (message: Message) => number): number {
  let targets = 0;
  for (const message of messages) targets += route(message);
  let rounds = 0;
  const started = performance.now();
  let elapsed = 0;
  while (elapsed < MIN_MS) {
    for (const message of messages) targets += route(message);
    rounds++;
    elapsed = performance.now() - started;
  }
  if (targets === 0) throw new Error('no key was routed');
  return (rounds * messages.length * 1000) / elapsed;
}
