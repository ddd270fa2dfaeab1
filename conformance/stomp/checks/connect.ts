// Checks of connecting: CONNECT and STOMP, version negotiation, credentials, and frames sent too early.

import assert from 'node:assert/strict';
import { MUST, ONLY_1_0, ONLY_1_2, SHOULD, SINCE_1_1, stomp } from '../stomp-check.ts';
import type { Version } from '../wire/frames.ts';

const CONNECTING = 'Connecting';
const CONNECT = 'CONNECT or STOMP Frame';
const CONNECTED = 'CONNECTED Frame';
const NEGOTIATION = 'Protocol Negotiation';

/** The versions that the client offers, and the one that the broker must choose. */
const OFFERS: readonly (readonly [string, string, Version])[] = [
  ['all', '1.0,1.1,1.2', '1.2'],
  ['descending', '1.2,1.1,1.0', '1.2'],
  ['two', '1.0,1.1', '1.1'],
  ['gap', '1.0,1.2', '1.2'],
  ['newer', '1.0,1.1,2.0', '1.1'],
  ['only-old', '1.0', '1.0'],
];

export const CONNECT_CHECKS = [
  stomp('connect.connected', CONNECTING, MUST, 'CONNECT is answered with CONNECTED', async (t) => {
    const { headers, body } = await (await t.dial()).connect();
    if (t.since('1.1')) assert.equal(headers.version, t.version);
    assert.equal(body.length, 0, 'a body of CONNECTED');
  }),
  stomp(
    'connect.stomp',
    CONNECT,
    { '1.1': SHOULD, '1.2': MUST },
    'a STOMP frame is equivalent to a CONNECT frame',
    async (t) => {
      const { headers } = await (await t.dial()).connect({}, 'STOMP');
      assert.equal(headers.version, t.version);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'connect.session',
    CONNECTED,
    MUST,
    'CONNECTED has a session',
    async (t) => {
      const { headers } = await (await t.dial()).connect();
      assert.ok(headers.session !== undefined && headers.session.trim() !== '', 'no session');
    },
    { versions: ONLY_1_0 },
  ),
  stomp('connect.session.unique', CONNECTED, MUST, 'no two connections have the same session', async (t) => {
    const sessions = [];
    for (let i = 0; i < 3; i++) sessions.push((await (await t.dial()).connect()).headers.session);
    const said = sessions.filter((session) => session !== undefined);
    assert.equal(new Set(said).size, said.length);
  }),
  stomp(
    'connect.server',
    CONNECTED,
    MUST,
    'the server header of CONNECTED, if present, is a name with an optional version and comments',
    async (t) => {
      const { headers } = await (await t.dial()).connect();
      if (headers.server !== undefined) assert.match(headers.server, /^[^\s/]+(\/[^\s/]+)?( .*)?$/);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'connect.version.none',
    NEGOTIATION,
    MUST,
    'a client without accept-version speaks 1.0',
    async (t) => {
      const { headers } = await (await t.dial('1.0')).connect({ host: '/' });
      assert.ok(['1.0', undefined].includes(headers.version), `version ${headers.version}`);
    },
    { versions: ONLY_1_2 },
  ),
  ...OFFERS.map(([id, offer, version]) =>
    stomp(
      `connect.version.${id}`,
      NEGOTIATION,
      MUST,
      `of ${offer} it becomes ${version}, the highest that both know`,
      async (t) => {
        const { headers } = await (await t.dial()).connect({ 'accept-version': offer });
        assert.equal(headers.version, version);
      },
      { versions: ONLY_1_2 },
    ),
  ),
  stomp(
    'connect.version.held',
    NEGOTIATION,
    MUST,
    'the version that was agreed on is that of the session',
    async (t) => {
      const connection = await t.dial();
      await connection.connect({ 'accept-version': `1.0,${t.version}` });
      const destination = t.queue();
      await connection.subscribe(destination, { ack: 'client' });
      connection.raw(`SEND\ndestination:${destination}\nx:a\\cb\n\nbody\0`);
      const message = await connection.message('body');
      assert.equal(message.headers.x, 'a:b');
      assert.equal(message.headers.ack !== undefined, t.version === '1.2');
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'connect.version.mismatch',
    NEGOTIATION,
    { '1.1': SHOULD, '1.2': MUST },
    'versions that the broker does not know are refused with an ERROR',
    async (t) => {
      const connection = await t.dial();
      connection.sendConnect({ 'accept-version': '9.8,9.9' });
      await connection.expectError();
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'connect.version.mismatch.list',
    NEGOTIATION,
    { '1.1': SHOULD, '1.2': MUST },
    'the ERROR lists the versions that there are',
    async (t) => {
      const connection = await t.dial();
      connection.sendConnect({ 'accept-version': '9.9' });
      const { headers } = await connection.expectError();
      const versions = (headers.version ?? '').split(',');
      assert.ok(versions.includes('1.2'), `version: ${headers.version}`);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'connect.login.wrong-password',
    CONNECTING,
    SHOULD,
    'a wrong password is refused with an ERROR',
    async (t) => {
      const connection = await t.dial();
      connection.sendConnect({ passcode: 'wrong' });
      await connection.expectError();
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'connect.login.unknown-user',
    CONNECTING,
    SHOULD,
    'an unknown user is refused with an ERROR',
    async (t) => {
      const connection = await t.dial();
      connection.sendConnect({ login: t.context.name() });
      await connection.expectError();
    },
    { versions: SINCE_1_1 },
  ),
  stomp('connect.login.refused', CONNECTING, MUST, 'a refused client is not connected', async (t) => {
    const connection = await t.dial();
    connection.sendConnect({ passcode: 'wrong' });
    connection.send('SEND', { destination: t.queue(), receipt: '1' }, 'body');
    await connection.expectRefusal();
    connection.expectNone('CONNECTED');
    connection.expectNone('RECEIPT');
  }),
  stomp(
    'connect.host.unknown',
    CONNECT,
    MUST,
    'an unknown virtual host is refused, or the default one is meant',
    async (t) => {
      const connection = await t.dial();
      connection.sendConnect({ host: t.context.name() });
      await connection.until(() => connection.pending > 0 || connection.ends, 'an answer');
      if (!connection.has('CONNECTED')) await connection.expectError();
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'connect.host.separation',
    CONNECT,
    MUST,
    'virtual hosts share no destinations',
    async (t) => {
      const host = t.context.name();
      await t.context.controls.createVirtualHost!(host);
      const destination = t.queue();
      await t.fill(destination, 'here');
      const there = await t.connect({ host });
      await there.subscribe(destination);
      there.send('SEND', { destination }, 'there');
      await there.message('there');
      assert.deepEqual(await t.left(destination), ['here']);
    },
    { versions: SINCE_1_1, needs: 'createVirtualHost' },
  ),
  stomp('connect.first', CONNECTING, MUST, 'before CONNECT nothing is done', async (t) => {
    const destination = t.queue();
    const connection = await t.dial();
    connection.send('SEND', { destination, receipt: '1' }, 'early');
    await connection.until(() => connection.pending > 0 || connection.ends, 'an answer');
    connection.expectNone('RECEIPT');
    assert.deepEqual(await t.left(destination), []);
  }),
  stomp(
    'connect.first.refused',
    CONNECTING,
    SHOULD,
    'a frame before CONNECT is refused with an ERROR',
    async (t) => {
      const connection = await t.dial();
      connection.send('SUBSCRIBE', { id: '1', destination: t.queue() });
      await connection.expectError();
    },
    { versions: SINCE_1_1 },
  ),
  stomp('connect.twice', NEGOTIATION, MUST, 'a second CONNECT begins no second session', async (t) => {
    const connection = await t.connect();
    connection.sendConnect();
    await connection.until(() => connection.pending > 0 || connection.ends, 'an answer');
    connection.expectNone('CONNECTED');
  }),
  stomp('connect.lingering', 'Connection Lingering', MUST, 'clients may come and go rapidly', async (t) => {
    for (let i = 0; i < 20; i++) {
      const connection = await t.connect();
      connection.carrier.socket.destroy();
    }
    await t.connect();
  }),
].flat();
