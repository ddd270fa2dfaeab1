// Protects docs/cross-protocol.md: every cell states what happens to a message between two protocols, in all sixteen
// pairs of publisher and consumer, and the tables cover every part of a message. Each row is a test; a failure shows
// the wrong cells as a difference.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type Broker, createBroker } from '../../src/broker.ts';
import { type Cell, type Row, readTable, tableNames } from './cross-protocol-page.ts';
import type { Line, TableClient, Watcher } from './table-client.ts';
import { AmqpTableClient } from './table-client-amqp.ts';
import { MqttTableClient } from './table-client-mqtt.ts';
import { Mqtt5TableClient } from './table-client-mqtt5.ts';
import { StompTableClient } from './table-client-stomp.ts';

const page = readFileSync(new URL('../../docs/cross-protocol.md', import.meta.url), 'utf8');

/** In the order of the columns. */
const PROTOCOLS = ['amqp', 'mqtt', 'mqtt5', 'stomp'] as const;
type Protocol = (typeof PROTOCOLS)[number];

const BODIES = 'body-text body-bytes body-empty body-large';
const INTEGERS = 'int8 uint8 int16 uint16 int32 uint32 int64 int64-other-letter';
const TEXTS = 'text text-empty text-escapes';
const TEXT_PROPERTIES =
  'content-type content-encoding priority correlation-id expiration timestamp type user-id app-id';

function ids(text: string, prefix = ''): string[] {
  return text.split(' ').map((id) => prefix + id);
}

/** The parts of a message that each table must have a row for. */
const ROWS: Readonly<Record<string, readonly string[]>> = {
  addresses: ids(
    'word words dot-in-topic empty-levels only-empty-levels percent spaces escapes not-ascii dollar star plus hash ' +
      'queue queue-with-slash exchange exchange-with-slash exchange-without-key',
  ),
  amqp: [
    ...ids(`bare ${BODIES} ${TEXT_PROPERTIES} delivery-mode-transient delivery-mode-persistent reply-to`),
    ...ids('message-id timestamp-largest cluster-id several-headers'),
    ...ids(`boolean ${INTEGERS} float double not-a-number decimal ${TEXTS} text-not-utf8`, 'header-'),
    ...ids('bytes bytes-utf8 timestamp void array table', 'header-'),
    ...ids('name-not-ascii name-escapes name-empty name-of-the-frame name-of-a-property', 'header-'),
    ...ids('user-id further-keys', 'header-'),
  ],
  mqtt: ids(`bare ${BODIES} qos-0 qos-1 qos-2 retain long-topic`),
  mqtt5: [
    ...ids(`bare ${BODIES} qos-0 qos-1 qos-2 retain long-topic content-type payload-format payload-format-bytes`),
    ...ids('message-expiry response-topic response-topic-of-a-queue user-properties user-property-of-a-property'),
    ...ids('text empty bytes long base64', 'correlation-data-'),
  ],
  stomp: [
    ...ids(`bare ${BODIES} ${TEXT_PROPERTIES} persistent not-persistent amqp-message-id cluster-id`),
    ...ids('queue existing-queue reply-queue topic', 'reply-to-'),
    ...ids('timestamp-that-is-none repeated-header several-headers property-too-long long-destination'),
    ...ids(`${TEXTS} number extension name-not-ascii name-escapes name-too-long of-the-frame`, 'header-'),
  ],
  again: ids('amqp mqtt mqtt5 stomp'),
  retained: ids('kept kept-at-qos-1 removed'),
};

/** Far above the time of a round trip, so that a missing message fails the test instead of hanging it. */
const PATIENCE = { timeout: 30_000 };

/**
 * The lines that name where a message was published. They are compared in the table of addresses, and elsewhere only if
 * a cell names them.
 */
const ADDRESS: readonly string[] = ['exchange', 'routing-key', 'topic', 'destination'];

/** Watches every address to which the property tables publish. */
const EVERYTHING: Readonly<Record<Protocol, readonly Line[]>> = {
  amqp: [
    ['exchange', 'amq.topic'],
    ['routing-key', 'parts.#'],
  ],
  mqtt: [['topic', 'parts/#']],
  mqtt5: [['topic', 'parts/#']],
  stomp: [['destination', '/topic/parts.#']],
};

let broker: Broker;
let clients: Readonly<Record<Protocol, TableClient>>;

before(async () => {
  broker = await createBroker();
  const { amqp, mqtt, stomp } = broker.ports;
  clients = {
    amqp: await AmqpTableClient.open(amqp!),
    mqtt: await MqttTableClient.open(mqtt!),
    mqtt5: await Mqtt5TableClient.open(mqtt!),
    stomp: await StompTableClient.open(stomp!),
  };
  const vhost = broker.hosts.get('/')!;
  for (const name of ['readings', 'plant/1']) {
    vhost.declareExchange({ name, kind: 'topic', durable: false, autoDelete: false, internal: false, args: [] });
  }
});

after(async () => {
  for (const protocol of PROTOCOLS) await clients[protocol].close();
  await broker.stop();
});

function linesOf(protocol: Protocol, cell: Cell): Line[] {
  return (cell ?? []).map((text) => clients[protocol].line(text));
}

/** What a consumer gets, without the address unless the expected cell names it. */
function compared(seen: ReadonlyMap<string, string>, expected: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries([...seen].filter(([name]) => expected.has(name) || !ADDRESS.includes(name)));
}

async function watchAll(): Promise<Record<Protocol, Watcher>> {
  const all = await Promise.all(PROTOCOLS.map((name) => clients[name].watch(EVERYTHING[name])));
  const [amqp, mqtt, mqtt5, stomp] = all;
  return { amqp: amqp!, mqtt: mqtt!, mqtt5: mqtt5!, stomp: stomp! };
}

async function closeAll(watchers: Readonly<Record<Protocol, Watcher>>): Promise<void> {
  for (const protocol of PROTOCOLS) await watchers[protocol].close();
}

/** An empty retained message deletes the retained one. */
function forgetRetained(): Promise<void> {
  return clients.mqtt.publish([
    ['retain', '1'],
    ['body', '""'],
  ]);
}

/** Compares the cells of a row with what the three watchers got. `base`: the lines of every message. */
async function check(row: Row, base: Row | null, take: (protocol: Protocol) => Promise<Map<string, string>>) {
  const seen: Record<string, unknown> = {};
  const said: Record<string, unknown> = {};
  for (const [column, protocol] of PROTOCOLS.entries()) {
    const bare = base === null ? [] : linesOf(protocol, base.cells[column + 1]!);
    const expected = new Map([['body', '"x"'], ...bare, ...linesOf(protocol, row.cells[column + 1]!)]);
    seen[protocol] = compared(await take(protocol), expected);
    said[protocol] = Object.fromEntries(expected);
  }
  assert.deepEqual(seen, said);
}

test('the page has the tables that are checked, and each of them the rows that it must have', () => {
  assert.deepEqual(tableNames(page).sort(), Object.keys(ROWS).sort());
  for (const [name, required] of Object.entries(ROWS)) {
    const found = readTable(page, name).map(({ id }) => id);
    assert.deepEqual(found.sort(), [...required].sort(), `rows of table '${name}'`);
  }
});

for (const publisher of PROTOCOLS) {
  describe(`published by ${publisher}`, () => {
    const rows = readTable(page, publisher);
    const bare = rows.find(({ id }) => id === 'bare')!;
    let watchers: Record<Protocol, Watcher>;

    before(async () => {
      watchers = await watchAll();
    });

    after(async () => {
      await closeAll(watchers);
      await forgetRetained();
    });

    for (const row of rows) {
      test(row.id, PATIENCE, async () => {
        await clients[publisher].publish(linesOf(publisher, row.cells[0]!));
        await check(row, bare, (protocol) => watchers[protocol].next());
      });
    }
  });
}

describe('delivered again', () => {
  for (const row of readTable(page, 'again')) {
    test(row.id, PATIENCE, async () => {
      const publisher = row.id as Protocol;
      const watchers = await watchAll();
      await clients[publisher].publish(linesOf(publisher, row.cells[0]!));
      await check(row, null, (protocol) => watchers[protocol].nextAgain());
      await closeAll(watchers);
    });
  }
});

describe('addresses', () => {
  for (const row of readTable(page, 'addresses')) {
    for (const [from, publisher] of PROTOCOLS.entries()) {
      const address = row.cells[from]!;
      if (address === null) continue;
      for (const [to, consumer] of PROTOCOLS.entries()) {
        const where = row.cells[to]!;
        test(`${row.id}, ${publisher} to ${consumer}`, PATIENCE, async () => {
          // A protocol without such an address gets nothing: its next message is the one published afterwards.
          const watched = where === null ? [] : linesOf(consumer, where);
          const watcher = await clients[consumer].watch(watched);
          await clients[publisher].publish(linesOf(publisher, address));
          if (where === null) {
            await clients[publisher].publish([]);
            assert.equal((await watcher.next()).get('topic'), 'parts');
          } else {
            const seen = await watcher.next();
            for (const [name, value] of watched) assert.equal(seen.get(name), value);
          }
          await watcher.close();
        });
      }
    }
  }
});

describe('retained', () => {
  for (const row of readTable(page, 'retained')) {
    test(row.id, PATIENCE, async () => {
      const published = linesOf('mqtt', row.cells[0]!);
      await clients.mqtt.publish(published);
      const watchers = await watchAll();
      // A message published now comes after the retained ones.
      await clients.mqtt.publish([['body', '"after"']]);
      for (const [column, protocol] of PROTOCOLS.entries()) {
        const cell = row.cells[column + 1]!;
        if (cell !== null) {
          const expected = new Map(linesOf(protocol, cell));
          assert.deepEqual(compared(await watchers[protocol].next(), expected), Object.fromEntries(expected));
        }
        assert.equal((await watchers[protocol].next()).get('body'), '"after"');
      }
      await closeAll(watchers);
      await forgetRetained();
    });
  }
});

test('a page with malformed tables is rejected', () => {
  const table = (row: string) => `<!-- table: t -->\n\n| id | a |\n| --- | --- |\n${row}\n\n`;
  assert.deepEqual(readTable(table('| x | `a: (b){2}` `c` |'), 't'), [{ id: 'x', cells: [['a: bb', 'c']] }]);
  assert.deepEqual(readTable(table('| x | – |'), 't'), [{ id: 'x', cells: [null] }]);
  for (const wrong of ['| x | lost |', '| x | `a` | – |', '| X | – |', '| x | – |\n| x | – |', '| x |  |']) {
    assert.throws(() => readTable(table(wrong), 't'), assert.AssertionError);
  }
  assert.throws(() => readTable(page, 'nothing'), assert.AssertionError);
});
