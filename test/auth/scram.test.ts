// SCRAM-SHA-256 against a client written from RFC 5802: a client that knows the password logs in and can verify that
// the broker knows it too; no other client logs in.

import assert from 'node:assert/strict';
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { describe, it } from 'node:test';
import { ScramExchange, scramVerifier } from '../../src/auth/scram.ts';
import { Users } from '../../src/auth/users.ts';
import type { ExchangeStep } from '../../src/core/ports/authorization.ts';
import { RecordedDefinitions } from '../support/recorded-definitions.ts';
import { ScramClient } from '../support/scram-client.ts';

const LIMITS = { passwordHashes: 1, passwordQueue: 10, passwordQueuePerAddress: 100, passwordCost: 10 };

async function users(): Promise<Users> {
  const all = new Users(new RecordedDefinitions(), LIMITS);
  await all.put('anna', 'größe', []);
  return all;
}

function exchange(all: Users): ScramExchange {
  return new ScramExchange(
    (user) => all.scram(user),
    (user) => ({ user, tags: [] }),
  );
}

function refusal(step: ExchangeStep): string {
  assert.ok('refused' in step, 'it was not refused');
  return step.refused;
}

function dataOf(step: ExchangeStep): Buffer {
  assert.ok('data' in step, JSON.stringify(step));
  return step.data;
}

describe('SCRAM-SHA-256', () => {
  it('logs in a client that proves the password, and proves its own knowledge of it', async () => {
    const server = exchange(await users());
    const client = new ScramClient('anna', 'größe');
    const final = client.final(dataOf(await server.step(client.first())));
    const last = await server.step(final);
    assert.ok('identity' in last && last.identity?.user === 'anna');
    assert.ok(client.verifies(dataOf(last)));
    assert.match(refusal(await server.step(final)), /after the end/);
  });

  it('reads the example of RFC 7677 as the RFC does', () => {
    const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
    const salted = pbkdf2Sync('pencil', salt, 4096, 32, 'sha256');
    const clientKey = createHmac('sha256', salted).update('Client Key').digest();
    const storedKey = createHash('sha256').update(clientKey).digest();
    const first = 'n=user,r=rOprNGfwEbeRWgbNEkqO';
    const serverFirst = 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096';
    const final = 'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';
    const signature = createHmac('sha256', storedKey).update(`${first},${serverFirst},${final}`).digest();
    const proof = clientKey.map((byte, i) => byte ^ signature[i]!);
    assert.equal(Buffer.from(proof).toString('base64'), 'dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=');
  });

  it('refuses a wrong password and an unknown user alike, at the end', async () => {
    const all = await users();
    for (const [user, password] of [
      ['anna', 'wrong'],
      ['nobody', 'größe'],
    ] as const) {
      const server = exchange(all);
      const client = new ScramClient(user, password);
      const final = client.final(dataOf(await server.step(client.first())));
      assert.match(refusal(await server.step(final)), /unknown user '.*' or wrong password/);
    }
    // An unknown user always gets the same salt, as a known one does.
    const salts = new Set<string>();
    for (let i = 0; i < 3; i++) {
      const step = await exchange(all).step(new ScramClient('nobody', 'x').first());
      salts.add(/s=([^,]+)/.exec(dataOf(step).toString())![1]!);
    }
    assert.equal(salts.size, 1);
  });

  it('names a user whose password is older than its verifier', async () => {
    const definitions = new RecordedDefinitions();
    definitions.put('user', ['old'], { hash: 'scrypt$10$8$5$AA==$AA==', tags: [] });
    const server = exchange(new Users(definitions, LIMITS));
    assert.match(refusal(await server.step(new ScramClient('old', 'x').first())), /user 'old'.*set it again/);
  });

  it('keeps the verifier with the user, over a restart', async () => {
    const definitions = new RecordedDefinitions();
    await new Users(definitions, LIMITS).put('anna', 'secret', []);
    const server = exchange(new Users(definitions, LIMITS));
    const client = new ScramClient('anna', 'secret');
    const last = await server.step(client.final(dataOf(await server.step(client.first()))));
    assert.ok(client.verifies(dataOf(last)));
    assert.notEqual((await scramVerifier('secret')).salt, (await scramVerifier('secret')).salt);
  });

  it('refuses malformed messages, another nonce and a channel binding', async () => {
    const all = await users();
    for (const first of ['', 'n,,n=,r=x', 'p=tls-unique,,n=anna,r=x', 'n,,n=anna', 'x'.repeat(5000)]) {
      refusal(await exchange(all).step(Buffer.from(first)));
    }
    const changes: [RegExp, string][] = [
      [/r=[^,]+/, 'r=another'],
      [/c=biws/, `c=${Buffer.from('p=tls-unique,,').toString('base64')}`],
      [/p=.*/, 'p=AAAA'],
      [/p=.*/, ''],
    ];
    for (const [pattern, replacement] of changes) {
      const server = exchange(all);
      const client = new ScramClient('anna', 'größe');
      const final = client.final(dataOf(await server.step(client.first()))).toString();
      refusal(await server.step(Buffer.from(final.replace(pattern, replacement))));
    }
  });

  it('refuses an authorization identity and a changed header of the first message', async () => {
    const all = await users();
    const rows: [first: string, final: string, refused: RegExp | null][] = [
      ['n,,', 'n,,', null],
      ['y,,', 'y,,', null],
      ['n,a=anna,', 'n,a=anna,', null],
      ['n,a=guest,', 'n,a=guest,', /'anna' wants to act as 'guest'/],
      ['n,,', 'n,a=guest,', /channel binding/],
      ['y,,', 'n,,', /channel binding/],
      ['n,,', 'nonsense', /channel binding/],
    ];
    for (const [first, final, refused] of rows) {
      const server = exchange(all);
      const client = new ScramClient('anna', 'größe', first);
      const challenge = await server.step(client.first());
      const last = 'data' in challenge ? await server.step(client.final(challenge.data, final)) : challenge;
      if (refused === null) assert.ok(client.verifies(dataOf(last)));
      else assert.match(refusal(last), refused);
    }
  });

  it('leaves the last word to the admission', async () => {
    const all = await users();
    const server = new ScramExchange(
      (user) => all.scram(user),
      () => ({ refused: 'over loopback only' }),
    );
    const client = new ScramClient('anna', 'größe');
    const final = client.final(dataOf(await server.step(client.first())));
    assert.equal(refusal(await server.step(final)), 'over loopback only');
  });
});
