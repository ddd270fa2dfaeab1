// Users: login by password, no second hash for a reconnect, and changes that take effect at once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Users } from '../../src/auth/users.ts';
import { BrokerError } from '../../src/core/errors.ts';
import type { LoginOrigin } from '../../src/core/ports/authorization.ts';
import { RecordedDefinitions } from '../support/recorded-definitions.ts';

const HERE: LoginOrigin = { loopback: true, address: '127.0.0.1', gone: false };
const LIMITS = { passwordHashes: 2, passwordQueue: 100, passwordQueuePerAddress: 100, passwordCost: 10 };

test('the right password is accepted, a wrong one and an unknown user are not', async () => {
  const users = new Users(new RecordedDefinitions(), LIMITS);
  await users.put('anna', 'secret', ['monitoring']);
  assert.equal(await users.verify('anna', 'secret', HERE), 'accepted');
  assert.equal(await users.verify('anna', 'Secret', HERE), 'wrong');
  assert.equal(await users.verify('anna', '', HERE), 'wrong');
  assert.equal(await users.verify('nobody', 'secret', HERE), 'wrong');
  assert.deepEqual(users.get('anna')?.tags, ['monitoring']);
});

test('users outlive the process, their passwords do not appear in the records', async () => {
  const definitions = new RecordedDefinitions();
  await new Users(definitions, LIMITS).put('anna', 'secret', ['administrator']);
  assert.ok(!JSON.stringify([...definitions.records.values()]).includes('secret'));
  const again = new Users(definitions, LIMITS);
  assert.equal(await again.verify('anna', 'secret', HERE), 'accepted');
  assert.deepEqual([...again.list()], [{ name: 'anna', tags: ['administrator'] }]);
});

test('a changed password replaces the remembered one at once', async () => {
  const users = new Users(new RecordedDefinitions(), LIMITS);
  await users.put('anna', 'old', []);
  assert.equal(await users.verify('anna', 'old', HERE), 'accepted');
  await users.put('anna', 'new', []);
  assert.equal(await users.verify('anna', 'old', HERE), 'wrong');
  assert.equal(await users.verify('anna', 'new', HERE), 'accepted');
});

test('a removed user is not let in by a remembered password', async () => {
  const users = new Users(new RecordedDefinitions(), LIMITS);
  await users.put('anna', 'secret', []);
  assert.equal(await users.verify('anna', 'secret', HERE), 'accepted');
  assert.equal(users.remove('anna'), true);
  assert.equal(users.remove('anna'), false);
  assert.equal(await users.verify('anna', 'secret', HERE), 'wrong');
});

test('a user that is removed while its password is checked is not let in', async () => {
  const definitions = new RecordedDefinitions();
  await new Users(definitions, LIMITS).put('anna', 'secret', []);
  const users = new Users(definitions, LIMITS);
  const verdict = users.verify('anna', 'secret', HERE);
  users.remove('anna');
  assert.equal(await verdict, 'wrong');
});

test('many concurrent logins with one password need one hash', async () => {
  const definitions = new RecordedDefinitions();
  await new Users(definitions, LIMITS).put('anna', 'secret', []);
  const users = new Users(definitions, {
    passwordHashes: 1,
    passwordQueue: 0,
    passwordQueuePerAddress: 100,
    passwordCost: 10,
  });
  const storm = await Promise.all(Array.from({ length: 1000 }, () => users.verify('anna', 'secret', HERE)));
  assert.deepEqual(new Set(storm), new Set(['accepted']));
});

test('past the bound on waiting logins more are refused, and remembered ones still get in', async () => {
  const users = new Users(new RecordedDefinitions(), {
    passwordHashes: 1,
    passwordQueue: 1,
    passwordQueuePerAddress: 100,
    passwordCost: 10,
  });
  await users.put('anna', 'secret', []);
  assert.equal(await users.verify('anna', 'secret', HERE), 'accepted');
  const guesses = ['a', 'b', 'c'].map((guess) => users.verify('anna', guess, HERE), HERE);
  assert.equal(await users.verify('anna', 'secret', HERE), 'accepted');
  assert.deepEqual(await Promise.all(guesses), ['wrong', 'wrong', 'busy']);
});

test('names and passwords have bounds', async () => {
  const users = new Users(new RecordedDefinitions(), LIMITS);
  await assert.rejects(users.put('', 'x', []), BrokerError);
  await assert.rejects(users.put('n'.repeat(256), 'x', []), BrokerError);
  await assert.rejects(users.put('anna', '', []), BrokerError);
  await assert.rejects(users.put('anna', 'p'.repeat(1025), []), BrokerError);
  assert.equal(await users.verify('anna', 'p'.repeat(10_000_000), HERE), 'wrong');
});
