// Topic permissions as in RabbitMQ: patterns over routing keys for each user, virtual host and exchange. The values of
// placeholders are matched literally, whatever names a client chooses.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ALL, Permissions } from '../../src/auth/permissions.ts';
import { RecordedDefinitions } from '../support/recorded-definitions.ts';

const ANNA = { user: 'anna', tags: [] };

function setting(write: string, read = write, definitions = new RecordedDefinitions()): Permissions {
  const permissions = new Permissions(definitions);
  permissions.put('/', 'anna', ALL);
  permissions.topics.put('/', 'anna', 'amq.topic', { write, read });
  return permissions;
}

function may(
  permissions: Permissions,
  key: string,
  clientId: string | null = null,
  access: 'write' | 'read' = 'write',
) {
  return permissions.allowsTopic(ANNA, '/', 'amq.topic', access, key, clientId);
}

test('each access has its own pattern, unanchored; the empty one matches nothing', () => {
  const permissions = setting('^a\\.', 'b');
  assert.deepEqual(
    ['a.x', 'x.b', 'x'].map((key) => [may(permissions, key), may(permissions, key, null, 'read')]),
    [
      [true, false],
      [false, true],
      [false, false],
    ],
  );
  assert.equal(may(setting(''), 'a'), false);
});

test('without topic permissions everything is allowed without a check', () => {
  const permissions = setting('^a$');
  for (const [user, vhost, exchange] of [
    ['bert', '/', 'amq.topic'],
    ['anna', 'other', 'amq.topic'],
    ['anna', '/', 'other'],
  ] as const) {
    assert.equal(permissions.restrictsTopics({ user, tags: [] }, vhost, exchange), false);
    assert.equal(permissions.allowsTopic({ user, tags: [] }, vhost, exchange, 'write', 'b', null), true);
  }
  assert.equal(permissions.restrictsTopics(ANNA, '/', 'amq.topic'), true);
});

test('placeholders stand for user, virtual host and client id', () => {
  const permissions = setting('^{username}\\.{client_id}(\\..*)?$');
  assert.equal(may(permissions, 'anna.c1.x', 'c1'), true);
  assert.equal(may(permissions, 'anna.c2.x', 'c1'), false);
  assert.equal(may(permissions, 'anna.c2.x', 'c2'), true);
  assert.equal(may(permissions, 'bert.c1.x', 'c1'), false);
  assert.equal(may(setting('^in\\.{vhost}\\.x$'), 'in./.x'), true);
});

test('for an MQTT client their values have the form that they have in a topic', () => {
  const permissions = new Permissions(new RecordedDefinitions());
  const anna = { user: 'anna@plant.example', tags: [] };
  permissions.topics.put('prod.eu', anna.user, 'amq.topic', { write: '^{vhost}\\.{username}\\.', read: '^$' });
  const allowed = (key: string, clientId: string | null) =>
    permissions.allowsTopic(anna, 'prod.eu', 'amq.topic', 'write', key, clientId);
  // Topic prod.eu/anna@plant.example/x, and prod/eu/anna@plant/example/x.
  assert.equal(allowed('prod/eu.anna@plant/example.x', 'c'), true);
  assert.equal(allowed('prod.eu.anna@plant.example.x', 'c'), false);
  assert.equal(allowed('prod.eu.anna@plant.example.x', null), true);
});

test('a client id is literal text, and none is more than one word', () => {
  const permissions = setting('^devices\\.{client_id}(\\..*)?$');
  for (const hostile of [
    '.*',
    '[a-z]+',
    '(victim)',
    'victim|x',
    'v?ictim',
    '\\w{6}',
    '^',
    '$',
    'victim.x',
    '+',
    '#',
    '*',
    '',
  ]) {
    assert.equal(may(permissions, 'devices.victim.x', hostile), false, hostile);
    assert.equal(may(permissions, 'devices.#', hostile), false, hostile);
    assert.equal(may(permissions, 'devices.+.x', hostile), false, hostile);
  }
  assert.equal(may(permissions, 'devices.a[b]{2}(c|d)-e^$\\.x', 'a[b]{2}(c|d)-e^$\\'), true);
  assert.equal(may(permissions, 'devices.{client_id}.x', '{username}'), false);
  assert.equal(may(permissions, 'devices.{client_id}.x'), false);
  // The client's name with a slash, because a routing key has a slash for the dot of a topic.
  assert.equal(may(permissions, 'devices.fw/1.x', 'fw/1'), true);
});

test('are kept as definitions, go with user and virtual host, and move the generation', () => {
  const definitions = new RecordedDefinitions();
  const permissions = setting('^a', '^b', definitions);
  const again = new Permissions(definitions);
  assert.deepEqual(
    [...again.topics.list()],
    [{ vhost: '/', user: 'anna', exchange: 'amq.topic', write: '^a', read: '^b' }],
  );
  const { generation } = again;
  again.topics.put('other', 'anna', 'x', { write: 'w', read: 'r' });
  assert.ok(again.generation > generation);
  again.removeVhost('other');
  assert.equal(again.topics.get('other', 'anna', 'x'), null);
  again.removeUser('anna');
  assert.deepEqual([...new Permissions(definitions).topics.list()], []);
  assert.equal(permissions.topics.remove('/', 'nobody', 'x'), false);
});

test('a pattern that is none is refused and changes nothing', () => {
  const permissions = setting('^a');
  for (const write of ['(', 'x'.repeat(2000)]) {
    assert.throws(() => permissions.topics.put('/', 'anna', 'amq.topic', { write, read: '' }), {
      kind: 'invalid-argument',
    });
  }
  assert.equal(permissions.topics.get('/', 'anna', 'amq.topic')?.write, '^a');
});
