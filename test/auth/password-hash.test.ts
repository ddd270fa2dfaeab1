// A stored password hash matches only its password; a damaged record matches none.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashPassword, hashThatNeverMatches, verifyPassword } from '../../src/auth/password-hash.ts';

test('a hash matches its password only', async () => {
  const hash = await hashPassword('pässword', 14);
  assert.equal(await verifyPassword('pässword', hash), true);
  assert.equal(await verifyPassword('password', hash), false);
  assert.equal(await verifyPassword('', hash), false);
});

test('two hashes of one password differ, and neither holds it', async () => {
  const [a, b] = await Promise.all([hashPassword('secret', 10), hashPassword('secret', 10)]);
  assert.notEqual(a, b);
  assert.ok(!a.includes('secret') && !a.includes(Buffer.from('secret').toString('base64')));
});

test('a hash with other parameters is still understood', async () => {
  // Computed with Python: hashlib.scrypt(b'x', salt=b'0123456789abcdef', n=1024, r=8, p=1, dklen=32)
  const stored = 'scrypt$10$8$1$MDEyMzQ1Njc4OWFiY2RlZg==$jWwWyOwrJADy0pa0WcIVwTF1kiRjSUD1WO0knZ38XAg=';
  assert.equal(await verifyPassword('x', stored), true);
  assert.equal(await verifyPassword('y', stored), false);
});

test('the dummy hash for unknown users matches no password', async () => {
  for (const password of ['', 'guest', '\0'])
    assert.equal(await verifyPassword(password, hashThatNeverMatches(10)), false);
});

for (const damaged of ['', 'plain', 'bcrypt$1$2$3$AAAA$AAAA', 'scrypt$14$8$5$AAAA', 'scrypt$14$8$5$AAAA$']) {
  test(`a damaged hash matches nothing: ${JSON.stringify(damaged)}`, async () => {
    assert.equal(await verifyPassword('', damaged), false);
  });
}
