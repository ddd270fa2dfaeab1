// Checks of a frame's body: where it ends, and that it arrives unchanged.

import assert from 'node:assert/strict';
import { MUST, ONLY_1_0, SHOULD, SINCE_1_1, type StompTest, stomp } from '../stomp-check.ts';

const LENGTH = 'Header content-length';
const TYPE = 'Header content-type';

async function refused(t: StompTest, head: string, body: string): Promise<void> {
  const connection = await t.connect();
  connection.raw(`SEND\ndestination:${t.queue()}\n${head}\n\n${body}\0`);
  await connection.expectRefusal();
}

/** Sends a body with content-length and expects the same body. */
async function passed(t: StompTest, body: Buffer): Promise<void> {
  const { connection, destination } = await t.loop();
  connection.send('SEND', { destination, 'content-length': body.length }, body);
  assert.ok((await connection.message()).body.equals(body), 'the body changed');
}

export const BODY_CHECKS = [
  stomp('body.length', LENGTH, MUST, 'content-length octets are the body, with NULs in it', (t) =>
    passed(t, Buffer.from('\0a\0\0b\0')),
  ),
  stomp('body.length.one-nul', LENGTH, MUST, 'a body may be one NUL', (t) => passed(t, Buffer.of(0))),
  stomp('body.length.zero', LENGTH, MUST, 'a content-length of 0 is an empty body', async (t) => {
    const { connection, destination } = await t.loop();
    connection.send('SEND', { destination, 'content-length': 0 });
    connection.send('SEND', { destination }, 'next');
    await connection.message('');
    await connection.message('next');
  }),
  stomp('body.length.frame-within', LENGTH, MUST, 'a frame within a body is no frame', async (t) => {
    const frame = '\0SEND\ndestination:/nowhere\n\nbody\0\n';
    await passed(t, Buffer.from(frame));
  }),
  stomp('body.no-length', LENGTH, MUST, 'without content-length the first NUL ends the body', async (t) => {
    const { connection, destination } = await t.loop();
    connection.raw(`SEND\ndestination:${destination}\n\nfirst\0SEND\ndestination:${destination}\n\nsecond\0`);
    await connection.message('first');
    await connection.message('second');
  }),
  stomp('body.no-length.empty', LENGTH, MUST, 'a body may be empty', async (t) => {
    const { connection, destination } = await t.loop();
    connection.send('SEND', { destination });
    await connection.message('');
  }),
  stomp('body.length.no-nul', LENGTH, MUST, 'content-length octets must be followed by NUL', (t) =>
    refused(t, 'content-length:3', 'four'),
  ),
  stomp('body.length.no-number', LENGTH, MUST, 'a content-length that is no number is refused', (t) =>
    refused(t, 'content-length:three', 'abc'),
  ),
  stomp('body.length.negative', LENGTH, MUST, 'a negative content-length is refused', (t) =>
    refused(t, 'content-length:-1', 'abc'),
  ),
  stomp(
    'body.length.any-frame',
    LENGTH,
    MUST,
    'any frame may say that its body is empty',
    async (t) => {
      const connection = await t.connect();
      await connection.request('BEGIN', { transaction: 't', 'content-length': '0' });
      await connection.request('COMMIT', { transaction: 't', 'content-length': '0' });
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'body.subscribe-ignored',
    'SUBSCRIBE',
    MUST,
    'the body of a SUBSCRIBE is ignored',
    async (t) => {
      const connection = await t.connect();
      const destination = t.queue();
      await connection.request('SUBSCRIBE', { destination, id: 's' }, 'a body');
      connection.send('SEND', { destination }, 'body');
      await connection.message('body');
    },
    { versions: ONLY_1_0 },
  ),
  stomp('body.octets', LENGTH, MUST, 'a body may have any octets', (t) =>
    passed(t, Buffer.from(Array.from({ length: 512 }, (_, index) => index & 0xff))),
  ),
  stomp(
    'body.utf8',
    TYPE,
    MUST,
    'a body of UTF-8 comes as it went',
    (t) => passed(t, Buffer.from('žluťoučký kůň 🐎 \u{10ffff}')),
    { versions: SINCE_1_1 },
  ),
  stomp('body.eols', LENGTH, MUST, 'line ends in a body stay', (t) => passed(t, Buffer.from('\r\n\n\ra\r\n\n'))),
  stomp('body.large', LENGTH, MUST, 'a body of a mebibyte comes as it went', async (t) => {
    const body = Buffer.alloc(1024 * 1024, 'large body ');
    await passed(t, body);
  }),
  stomp('body.message-length', LENGTH, SHOULD, 'a MESSAGE with a body has content-length', async (t) => {
    const { connection, destination } = await t.loop();
    connection.send('SEND', { destination }, 'body');
    assert.equal((await connection.message('body')).headers['content-length'], '4');
  }),
  stomp('body.message-length.nul', LENGTH, MUST, 'a MESSAGE with NULs in its body has content-length', async (t) => {
    const { connection, destination } = await t.loop();
    connection.send('SEND', { destination, 'content-length': 3 }, 'a\0b');
    assert.equal((await connection.message('a\0b')).headers['content-length'], '3');
  }),
  stomp(
    'body.message-type',
    TYPE,
    SHOULD,
    'a MESSAGE has the content-type that its SEND had',
    async (t) => {
      const { connection, destination } = await t.loop();
      const type = 'application/xml;charset=utf-8';
      connection.send('SEND', { destination, 'content-type': type }, '<a/>');
      assert.equal((await connection.message('<a/>')).headers['content-type'], type);
    },
    { versions: SINCE_1_1 },
  ),
].flat();
