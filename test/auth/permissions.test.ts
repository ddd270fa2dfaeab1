// Permissions are RabbitMQ's: three unanchored patterns for each user and virtual host.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ALL, Permissions } from '../../src/auth/permissions.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { PERMISSIONS } from '../../src/core/ports/authorization.ts';
import { RecordedDefinitions } from '../support/recorded-definitions.ts';

const ANNA = { user: 'anna', tags: [] };

function granting(configure: string, write = configure, read = configure): Permissions {
  const permissions = new Permissions(new RecordedDefinitions());
  permissions.put('/', 'anna', { configure, write, read });
  return permissions;
}

test('each permission has its own pattern', () => {
  const permissions = granting('^c', '^w', '^r');
  for (const permission of PERMISSIONS) {
    for (const name of ['cx', 'wx', 'rx']) {
      assert.equal(permissions.allows(ANNA, '/', permission, name), permission[0] === name[0], `${permission} ${name}`);
    }
  }
});

test('a pattern is not anchored', () => {
  const permissions = granting('queue');
  assert.equal(permissions.allows(ANNA, '/', 'read', 'my-queue-1'), true);
  assert.equal(permissions.allows(ANNA, '/', 'read', 'my-exchange'), false);
});

test('the empty pattern matches nothing that has a name', () => {
  const permissions = granting('');
  for (const name of ['a', 'amq.topic', '']) assert.equal(permissions.allows(ANNA, '/', 'write', name), false, name);
});

test('the default exchange is called amq.default', () => {
  assert.equal(granting('^amq\\.default$').allows(ANNA, '/', 'write', ''), true);
  assert.equal(granting('^readings$').allows(ANNA, '/', 'write', ''), false);
});

test('a user without a record has no access', () => {
  const permissions = granting('.*');
  assert.equal(permissions.mayEnter('anna', '/'), true);
  assert.equal(permissions.mayEnter('anna', 'other'), false);
  assert.equal(permissions.mayEnter('bert', '/'), false);
  assert.equal(permissions.allows({ user: 'bert', tags: ['administrator'] }, '/', 'read', 'q'), false);
});

test('every change moves the generation, so that sessions ask again', () => {
  const permissions = granting('.*');
  const before = permissions.generation;
  permissions.put('/', 'anna', { ...ALL, write: '^$' });
  assert.ok(permissions.generation > before);
  assert.equal(permissions.allows(ANNA, '/', 'write', 'q'), false);
  const changed = permissions.generation;
  assert.equal(permissions.remove('/', 'anna'), true);
  assert.ok(permissions.generation > changed);
  assert.equal(permissions.remove('/', 'anna'), false);
  assert.equal(permissions.mayEnter('anna', '/'), false);
});

test('permissions outlive the process', () => {
  const definitions = new RecordedDefinitions();
  new Permissions(definitions).put('/', 'anna', { configure: '^c', write: '^w', read: '^r' });
  const again = new Permissions(definitions);
  assert.deepEqual([...again.list()], [{ vhost: '/', user: 'anna', configure: '^c', write: '^w', read: '^r' }]);
  assert.equal(again.allows(ANNA, '/', 'read', 'r1'), true);
});

test('removing a user or a virtual host takes its permissions away', () => {
  const definitions = new RecordedDefinitions();
  const permissions = new Permissions(definitions);
  for (const vhost of ['/', 'b']) for (const user of ['anna', 'bert']) permissions.put(vhost, user, ALL);
  permissions.removeUser('anna');
  permissions.removeVhost('b');
  assert.deepEqual(
    [...permissions.list()].map(({ vhost, user }) => [vhost, user]),
    [['/', 'bert']],
  );
  assert.equal(definitions.records.size, 1);
});

test('a pattern that is none or too long is refused and changes nothing', () => {
  const permissions = granting('^q');
  for (const write of ['(', 'x'.repeat(1025)]) {
    assert.throws(() => permissions.put('/', 'anna', { ...ALL, write }), BrokerError);
  }
  assert.equal(permissions.get('/', 'anna')?.write, '^q');
});
