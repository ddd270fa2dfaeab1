// Credentials in HTTP headers: which ones are accepted and which ones are ignored.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { basicCredentials, credentialsOf } from '../../src/net/http-credentials.ts';

const BOTH = { basic: true, cookie: 'broker' };
const encoded = (text: string, encoding: 'base64' | 'base64url' = 'base64') => Buffer.from(text).toString(encoding);

describe('Basic credentials', () => {
  it('are a name without a colon and any password, in UTF-8', () => {
    for (const [user, password] of [
      ['guest', 'guest'],
      ['größe', 'a:b: c'],
      ['', ''],
    ]) {
      assert.deepEqual(basicCredentials(`Basic ${encoded(`${user}:${password}`)}`), { user, password });
      assert.deepEqual(basicCredentials(`bAsIc  ${encoded(`${user}:${password}`)} `), { user, password });
    }
  });

  it('are ignored if the header has another scheme or is malformed', () => {
    for (const header of [
      undefined,
      '',
      'Basic',
      'Basic ',
      `Bearer ${encoded('a:b')}`,
      'Basic a:b',
      'Basic Z3Vlc3Q=',
    ]) {
      assert.equal(basicCredentials(header), null, header);
    }
  });
});

describe('credentials of an upgrade', () => {
  it('are read only if so configured', () => {
    const headers = { authorization: `Basic ${encoded('a:b')}`, cookie: `broker=${encoded('c:d')}` };
    assert.equal(credentialsOf(headers, { basic: false, cookie: null }), null);
    assert.deepEqual(credentialsOf(headers, { basic: false, cookie: 'broker' }), { user: 'c', password: 'd' });
    assert.deepEqual(credentialsOf(headers, { basic: true, cookie: null }), { user: 'a', password: 'b' });
    assert.deepEqual(credentialsOf(headers, BOTH), { user: 'a', password: 'b' });
  });

  it('are found among other cookies, quoted or in the letters of a URL', () => {
    const value = encoded('c:d?>~', 'base64url');
    const expected = { user: 'c', password: 'd?>~' };
    for (const cookie of [`x=1; broker=${value}; y=2`, `broker="${value}"`, `broker=${value};broker=Zzp6`]) {
      assert.deepEqual(credentialsOf({ cookie }, BOTH), expected, cookie);
    }
    for (const cookie of ['', 'broker', 'broker=', 'broker=%%', `xbroker=${value}`, `BROKER=${value}`]) {
      assert.equal(credentialsOf({ cookie }, BOTH), null, cookie);
    }
  });
});
