// Who may log in: password, loopback-only users, virtual host, and the administrator of a new broker.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ensureFirstUsers, PasswordAuthenticator } from '../../src/auth/password-authenticator.ts';
import { Permissions } from '../../src/auth/permissions.ts';
import { Users } from '../../src/auth/users.ts';
import { RecordedDefinitions } from '../support/recorded-definitions.ts';

const FIRST = { vhost: '/', administrator: 'guest', password: 'guest', anonymous: 'anonymous' };

async function brokerWithGuest() {
  const definitions = new RecordedDefinitions();
  const users = new Users(definitions, {
    passwordHashes: 2,
    passwordQueue: 10,
    passwordQueuePerAddress: 100,
    passwordCost: 10,
  });
  const permissions = new Permissions(definitions);
  const made = await ensureFirstUsers(users, permissions, FIRST);
  return { users, permissions, made, authenticator: new PasswordAuthenticator(users, permissions, ['guest']) };
}

const HERE = { loopback: true, address: '127.0.0.1', gone: false };
const AWAY = { loopback: false, address: '192.0.2.1', gone: false };
const GUEST = { user: 'guest', password: 'guest', vhost: '/', origin: HERE };

test('a new broker has an administrator that may do everything on the first virtual host', async () => {
  const { authenticator, permissions, made } = await brokerWithGuest();
  assert.equal(made, true);
  const identity = await authenticator.authenticate(GUEST);
  assert.deepEqual(identity, { user: 'guest', tags: ['administrator'] });
  assert.equal(permissions.allows({ user: 'guest', tags: [] }, '/', 'configure', 'anything'), true);
});

test('a new broker has a user for clients without a name, with the rights of a device and no password', async () => {
  const { authenticator, permissions, users } = await brokerWithGuest();
  const identity = { user: 'anonymous', tags: [] };
  assert.deepEqual(authenticator.certified('anonymous', false), identity);
  for (const password of ['', 'anonymous', 'guest']) {
    const answer = await authenticator.authenticate({ ...GUEST, user: 'anonymous', password });
    assert.match(refusal(answer), /wrong password/);
  }
  const may = (permission: 'configure' | 'write' | 'read', name: string) =>
    permissions.allows(identity, '/', permission, name);
  for (const queue of ['mqtt-subscription-cqos1', 'stomp-subscription-1']) {
    assert.ok(may('configure', queue) && may('write', queue) && may('read', queue));
  }
  assert.ok(may('write', 'amq.topic') && may('read', 'amq.topic') && !may('configure', 'amq.topic'));
  for (const name of ['q', 'amq.topical', 'xamq.topic', 'amq-topic', 'my-mqtt-subscription-c', 'amq.default', '']) {
    assert.ok(!may('configure', name) && !may('write', name) && !may('read', name), name);
  }
  assert.equal(users.get('anonymous')!.tags.length, 0);
});

test('the anonymous user may be the administrator, where that is asked for', async () => {
  const { users, permissions } = await brokerWithGuest();
  for (const name of ['guest', 'anonymous']) users.remove(name);
  await ensureFirstUsers(users, permissions, { ...FIRST, anonymous: 'guest' });
  assert.deepEqual(users.get('guest')!.tags, ['administrator']);
  assert.equal(users.size, 1);
});

test('a broker that has a user gets no other one: a removed guest stays away', async () => {
  const { users, permissions } = await brokerWithGuest();
  await users.put('anna', 'secret', []);
  users.remove('guest');
  assert.equal(await ensureFirstUsers(users, permissions, FIRST), false);
  assert.equal(users.get('guest'), null);
});

test('guest comes from this machine only, others from anywhere', async () => {
  const { authenticator, users, permissions } = await brokerWithGuest();
  await users.put('anna', 'secret', []);
  permissions.put('/', 'anna', { configure: '', write: '', read: '' });
  const away = { ...GUEST, origin: AWAY };
  assert.match(refusal(await authenticator.authenticate(away)), /loopback/);
  assert.equal(refusal(await authenticator.authenticate({ ...away, user: 'anna', password: 'secret' })), '');
});

test('the error does not reveal which users are loopback only', async () => {
  const { authenticator } = await brokerWithGuest();
  const reason = refusal(await authenticator.authenticate({ ...GUEST, password: 'guess', origin: AWAY }));
  assert.doesNotMatch(reason, /loopback/);
});

test('a virtual host that was not granted is refused', async () => {
  const { authenticator } = await brokerWithGuest();
  assert.match(refusal(await authenticator.authenticate({ ...GUEST, vhost: 'other' })), /vhost/);
});

test('reasons never repeat the password', async () => {
  const { authenticator } = await brokerWithGuest();
  assert.ok(!refusal(await authenticator.authenticate({ ...GUEST, password: 'hunter2' })).includes('hunter2'));
});

function refusal(answer: object): string {
  return 'refused' in answer ? String(answer.refused) : '';
}
