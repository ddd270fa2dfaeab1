// Checks of ERROR: its headers, that it is the last frame, and limits, which cause one.

import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { MUST, ONLY_1_2, SHOULD, SINCE_1_1, type StompTest, stomp } from '../stomp-check.ts';
import type { StompConnection } from '../wire/connection.ts';
import type { Received, Version } from '../wire/frames.ts';

const ERROR = 'ERROR';
const LIMITS = 'Size Limits';

/** A broker that has sent no ERROR by then is assumed to accept the size and to wait for the rest of the body. */
const LIMIT_MS = 1_000;

async function provoked(t: StompTest, receipt?: string): Promise<Received<'ERROR'>> {
  const connection = await t.connect();
  connection.send('SEND', receipt === undefined ? {} : { receipt }, 'body');
  return connection.expectError();
}

/**
 * A broker with a limit sends ERROR and closes; a broker without one accepts the frame. Anything else fails, and other
 * connections must not be affected.
 */
async function limited(t: StompTest, bytes: Buffer | string, accepted: string): Promise<void> {
  const connection = await t.connect();
  connection.raw(bytes);
  await connection.until(() => connection.ends || connection.pending > 0, 'an answer');
  if (connection.has('RECEIPT')) await connection.expectReceipt(accepted);
  else await connection.expectError();
  await (await t.connect()).roundTrip();
}

/** Frames that cause an ERROR, and the versions in which the connection must end after it. */
const CLOSING: readonly (readonly [
  string,
  readonly Version[],
  string,
  (connection: StompConnection, t: StompTest) => Promise<void>,
])[] = [
  [
    'send',
    SINCE_1_1,
    'a SEND that cannot be processed',
    async (connection) => {
      await connection.connect();
      connection.send('SEND', {}, 'body');
    },
  ],
  [
    'subscribe',
    SINCE_1_1,
    'a subscription that cannot be created',
    async (connection) => {
      await connection.connect();
      connection.send('SUBSCRIBE', { id: '1' });
    },
  ],
  ['login', ONLY_1_2, 'a login that was refused', async (connection) => connection.sendConnect({ passcode: 'wrong' })],
  [
    'version',
    ONLY_1_2,
    'versions that the broker does not know',
    async (connection) => connection.sendConnect({ 'accept-version': '9.9' }),
  ],
  [
    'transaction',
    ONLY_1_2,
    'a transaction that is none',
    async (connection) => {
      await connection.connect();
      connection.send('COMMIT', { transaction: 'none' });
    },
  ],
  [
    'acknowledgement',
    ONLY_1_2,
    'an ACK that names no message',
    async (connection) => {
      await connection.connect();
      connection.send('ACK');
    },
  ],
  [
    'frame',
    ONLY_1_2,
    'bytes that are no frame',
    async (connection) => {
      await connection.connect();
      connection.raw('SEND\nno colon\n\nbody\0');
    },
  ],
];

export const ERROR_CHECKS = [
  stomp('error.message', ERROR, SHOULD, 'an ERROR has a message header', async (t) => {
    assert.ok((await provoked(t)).headers.message, 'no message header');
  }),
  ...CLOSING.map(([id, versions, what, provoke]) =>
    stomp(
      `error.closes.${id}`,
      ERROR,
      MUST,
      `the connection ends after the ERROR about ${what}`,
      async (t) => {
        const connection = await t.dial();
        await provoke(connection, t);
        // The connection may end without an ERROR.
        await connection.expectRefusal();
        if (connection.has('ERROR')) await connection.expectLastError();
      },
      { versions },
    ),
  ),
  stomp(
    'error.last',
    ERROR,
    MUST,
    'no frame follows an ERROR',
    async (t) => {
      const { connection, destination } = await t.loop();
      connection.send('SEND', {}, 'body');
      for (let i = 0; i < 20; i++) connection.send('SEND', { destination, receipt: `${i}` }, 'body');
      await connection.expectLastError();
    },
    { versions: ONLY_1_2 },
  ),
  stomp(
    'error.receipt-id',
    ERROR,
    SHOULD,
    'the ERROR about a frame with a receipt has its receipt-id',
    async (t) => {
      assert.equal((await provoked(t, 'the one')).headers['receipt-id'], 'the one');
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'error.receipt-id.none',
    ERROR,
    SHOULD,
    'the ERROR about a frame without receipt names no other',
    async (t) => {
      const connection = await t.connect();
      await connection.request('BEGIN', { transaction: 't' });
      connection.send('SEND', {}, 'body');
      assert.equal((await connection.expectError()).headers['receipt-id'], undefined);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'error.receipt-id.subscribe',
    ERROR,
    SHOULD,
    'the ERROR about a SUBSCRIBE with a receipt has its receipt-id',
    async (t) => {
      const connection = await t.connect();
      connection.send('SUBSCRIBE', { id: '1', receipt: 'the one' });
      await connection.expectError('the one');
    },
    { versions: SINCE_1_1 },
  ),
  stomp('error.content-length', ERROR, SHOULD, 'an ERROR with a body has content-length', async (t) => {
    const { headers, body } = await provoked(t);
    if (body.length > 0) assert.equal(headers['content-length'], `${body.length}`);
  }),
  stomp(
    'error.content-type',
    ERROR,
    SHOULD,
    'an ERROR with a body has content-type',
    async (t) => {
      const { headers, body } = await provoked(t);
      if (body.length > 0) assert.match(headers['content-type'] ?? '', /^[a-z]+\/[a-z]/);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'error.gives-back',
    ERROR,
    MUST,
    'unacknowledged messages are redelivered after their connection ended in an ERROR',
    async (t) => {
      const { connection, destination } = await t.loop({ ack: 'client' });
      connection.send('SEND', { destination, persistent: 'true' }, 'body');
      await connection.message('body');
      connection.send('SEND', {}, 'wrong');
      await connection.expectRefusal();
      connection.carrier.socket.destroy();
      const next = await t.connect();
      await next.subscribe(destination);
      await next.message('body');
    },
  ),
  stomp(
    'limit.headers',
    LIMITS,
    SHOULD,
    'too many headers are refused with an ERROR',
    async (t) => {
      const lines = Array.from({ length: 2_000 }, (_, index) => `h${index}:1\n`);
      await limited(t, `SEND\ndestination:${t.queue()}\nreceipt:1\n${lines.join('')}\nbody\0`, '1');
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'limit.header-line',
    LIMITS,
    SHOULD,
    'a header that is too long is refused with an ERROR',
    async (t) => {
      await limited(t, `SEND\ndestination:${t.queue()}\nreceipt:1\nx:${'x'.repeat(256 * 1024)}\n\nbody\0`, '1');
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'limit.command',
    LIMITS,
    SHOULD,
    'a command that is too long is refused with an ERROR',
    async (t) => {
      const connection = await t.connect();
      connection.raw(`${'X'.repeat(256 * 1024)}\n\n\0`);
      await connection.expectError();
      await (await t.connect()).roundTrip();
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'limit.body',
    LIMITS,
    SHOULD,
    'a body that no memory holds is refused with an ERROR, or awaited, and others go on',
    async (t) => {
      const connection = await t.connect();
      connection.raw(`SEND\ndestination:${t.queue()}\ncontent-length:1000000000000000\n\nbody`);
      await Promise.race([connection.expectError(), delay(LIMIT_MS)]);
      await (await t.connect()).roundTrip();
    },
    { versions: SINCE_1_1, slow: true },
  ),
].flat();
