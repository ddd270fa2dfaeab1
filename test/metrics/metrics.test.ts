// The metrics of a scrape equal the broker's counters at that moment.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AMQP_COUNTED_LIMITS } from '../../protocols/amqp/limits.ts';
import { MQTT_COUNTED_LIMITS } from '../../protocols/mqtt/limits.ts';
import { STOMP_COUNTED_LIMITS } from '../../protocols/stomp/limits.ts';
import { ConfigSchema } from '../../src/config/schema.ts';
import { CORE_COUNTED_LIMITS, registerLimits } from '../../src/core/ports/limit-hits.ts';
import { newMeters } from '../../src/core/ports/meters.ts';
import { TurnWatch } from '../../src/core/turn/turn-watch.ts';
import { Metrics } from '../../src/metrics/metrics.ts';
import { connection, declare, registry } from '../support/registry.ts';

async function scrape(metrics: Metrics): Promise<Map<string, number>> {
  const { contentType, body } = await metrics.scrape();
  assert.match(contentType, /^text\/plain/);
  const samples = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    samples.map((line) => {
      const space = line.lastIndexOf(' ');
      return [line.slice(0, space), Number(line.slice(space + 1))];
    }),
  );
}

test('counters follow the meters, also between two scrapes', async () => {
  const core = registry();
  const metrics = new Metrics({ ...core, store: { uncommittedBytes: 7 }, version: '1.2.3' });
  core.meters.published = 3;
  assert.equal((await scrape(metrics)).get('trivium_messages_published_total'), 3);
  core.meters.published = 5;
  const samples = await scrape(metrics);
  assert.equal(samples.get('trivium_messages_published_total'), 5);
  assert.equal(samples.get('trivium_store_uncommitted_bytes'), 7);
  assert.equal(samples.get('trivium_build_info{version="1.2.3"}'), 1);
});

test('those who ask at the same time share a scrape, and nobody gets an earlier one', async () => {
  const core = registry();
  let walks = 0;
  const hosts = {
    *[Symbol.iterator]() {
      walks++;
      yield* core.hosts;
    },
  };
  const metrics = new Metrics({ ...core, hosts, store: { uncommittedBytes: 0 }, version: '1' });
  core.meters.published = 1;
  const together = Array.from({ length: 100 }, () => scrape(metrics));
  core.meters.published = 2;
  for (const samples of await Promise.all(together)) assert.equal(samples.get('trivium_messages_published_total'), 2);
  assert.equal(walks, 1);
  core.meters.published = 3;
  assert.equal((await scrape(metrics)).get('trivium_messages_published_total'), 3);
});

test('memory is exposed, by what holds it', async () => {
  const core = registry();
  const metrics = new Metrics({ ...core, store: { uncommittedBytes: 0 }, version: '1' });
  const account = core.ledger.open({ exceeded() {} }, '127.0.0.1');
  account.update(1000);
  core.memory.held = 77;
  declare(core.hosts, '/', 'q');
  core.memory.processLow = true;
  const samples = await scrape(metrics);
  const expected = {
    trivium_client_memory_bytes: 1000,
    trivium_unauthenticated_memory_bytes: 1000,
    trivium_message_memory_bytes: 77,
    trivium_memory_low: 1,
    nodejs_heap_used_bytes: 1,
    nodejs_heap_limit_bytes: 2,
    nodejs_external_memory_bytes: 3,
    'trivium_definition_memory_bytes{vhost="/"}': core.hosts.get('/')!.definitionBytes,
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(samples.get(name), value, name);
  assert.ok(core.hosts.get('/')!.definitionBytes > 1000);
});

test('every meter is exposed', async () => {
  const core = registry();
  const metrics = new Metrics({ ...core, store: { uncommittedBytes: 0 }, version: '1' });
  const names = Object.keys(newMeters()).filter((name) => name !== 'limitHits') as (keyof typeof core.meters)[];
  for (const [index, name] of names.entries()) Object.assign(core.meters, { [name]: 1_000_000 + index });
  const values = new Set((await scrape(metrics)).values());
  for (const [index, name] of names.entries()) assert.ok(values.has(1_000_000 + index), name);
});

const PROTOCOL_LIMITS = [...AMQP_COUNTED_LIMITS, ...MQTT_COUNTED_LIMITS, ...STOMP_COUNTED_LIMITS];

test('every bound that was reached is exposed under its key in the configuration', async () => {
  const core = registry();
  const metrics = new Metrics({ ...core, store: { uncommittedBytes: 0 }, version: '1' });
  const hits = registerLimits(core.meters.limitHits, PROTOCOL_LIMITS);
  const limits = [...CORE_COUNTED_LIMITS, ...PROTOCOL_LIMITS];
  assert.deepEqual(Object.values(hits), Array(limits.length).fill(0));
  for (const [index, limit] of limits.entries()) hits[limit] = index + 1;
  const samples = await scrape(metrics);
  const { properties } = ConfigSchema;
  for (const [index, limit] of limits.entries()) {
    assert.equal(samples.get(`trivium_limits_reached_total{limit="${limit}"}`), index + 1);
    const [section, key] = limit.split('.') as ['limits', string];
    assert.ok(key in properties[section].properties, limit);
  }
});

/** Numeric keys of the configuration that are not counted limits, and one that is. */
const UNCOUNTED = new Map([
  ['amqp.heartbeatSeconds', 'offered'],
  ['stomp.minHeartBeatMs', 'offered'],
  ['mqtt.receiveMaximum', 'makes a delivery wait'],
  ['limits.unackedPerChannel', 'makes a delivery wait'],
  ['limits.slowWorkMs', 'counted by work_slow'],
  ['limits.outboxHighBytes', 'makes a delivery wait'],
  ['limits.outboxLowBytes', 'makes a delivery wait'],
  ['limits.memoryHighBytes', 'counted by publishers_blocked'],
  ['limits.processHighBytes', 'counted by publishers_blocked'],
  ['limits.memoryLowBytes', 'the end of that'],
  ['limits.uncommittedHighBytes', 'counted by publishers_blocked'],
  ['limits.uncommittedLowBytes', 'the end of that'],
  ['limits.queueWindowEntries', 'counted by messages_paged_out'],
  ['limits.queueWindowBytes', 'counted by messages_paged_out'],
  ['mqtt.sessionMessages', 'counted by messages_overflowed'],
  ['mqtt.sessionBytes', 'counted by messages_overflowed'],
  ['mqtt.sessionExpirySeconds', 'shortens what a client asks for, and says so'],
  ['mqtt.keepAliveSeconds', 'shortens what a client asks for, and says so'],
  ['http.pageSizeMax', 'a longer page is refused, and its reader told'],
  ['mqtt.sysIntervalSeconds', 'no bound'],
  ['limits.passwordHashes', 'makes a login wait'],
  ['limits.passwordCost', 'no bound'],
  ['ws.inflatedBytes', 'its client is told with close code 1009'],
]);

test('a new limit is counted, or listed with a reason', () => {
  interface Section {
    readonly properties?: Record<string, { readonly type?: string }>;
  }
  const sections = ConfigSchema.properties as unknown as Readonly<Record<string, Section>>;
  const numbers = Object.entries(sections).flatMap(([section, { properties = {} }]) =>
    Object.entries(properties)
      .filter(([, { type }]) => type === 'integer' || type === 'number')
      .map(([key]) => `${section}.${key}`),
  );
  assert.deepEqual(numbers.sort(), [...CORE_COUNTED_LIMITS, ...PROTOCOL_LIMITS, ...UNCOUNTED.keys()].sort());
});

test('the longest and the slow pieces of work are exposed by kind', async () => {
  let now = 0;
  const watch = new TurnWatch(() => now, 50);
  const metrics = new Metrics({ ...registry(), watch, store: { uncommittedBytes: 0 }, version: '1' });
  now = 60;
  watch.ended('input', { describeWork: () => ({ work: 'a test' }) }, 0);
  const samples = await scrape(metrics);
  assert.equal(samples.get('trivium_work_longest_seconds{kind="input"}'), 0.06);
  assert.equal(samples.get('trivium_work_slow_total{kind="input"}'), 1);
  assert.equal(samples.get('trivium_work_slow_total{kind="task"}'), 0);
});

test('queues are summed by virtual host, without deleted ones', async () => {
  const core = registry();
  const metrics = new Metrics({ ...core, store: { uncommittedBytes: 0 }, version: '1' });
  core.hosts.create('b');
  declare(core.hosts, '/', 'one');
  declare(core.hosts, 'b', 'two');
  declare(core.hosts, 'b', 'three');
  const before = await scrape(metrics);
  assert.equal(before.get('trivium_queues{vhost="/"}'), 1);
  assert.equal(before.get('trivium_queues{vhost="b"}'), 2);
  assert.equal(before.get('trivium_messages_ready{vhost="b"}'), 0);
  const host = core.hosts.get('b')!;
  host.deleteQueue(host.queues.get('two')!);
  assert.equal((await scrape(metrics)).get('trivium_queues{vhost="b"}'), 1);
});

test('connections are counted by protocol', async () => {
  const core = registry();
  const metrics = new Metrics({ ...core, store: { uncommittedBytes: 0 }, version: '1' });
  const amqp = connection(1, {});
  core.connections.add(amqp);
  core.connections.add(connection(2, { protocol: 'MQTT 3.1.1' }));
  core.connections.add(connection(3, { protocol: 'MQTT 3.1.1' }));
  const samples = await scrape(metrics);
  assert.equal(samples.get('trivium_connections{protocol="AMQP 0-9-1"}'), 1);
  assert.equal(samples.get('trivium_connections{protocol="MQTT 3.1.1"}'), 2);
  core.connections.remove(amqp);
  assert.equal((await scrape(metrics)).has('trivium_connections{protocol="AMQP 0-9-1"}'), false);
});
