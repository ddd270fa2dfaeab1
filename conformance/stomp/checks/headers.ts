// Checks of header names and values: encoding, escapes by version, repeated headers, no trimming.

import assert from 'node:assert/strict';
import { MUST, ONLY_1_0, ONLY_1_1, ONLY_1_2, SHOULD, SINCE_1_1, type StompTest, stomp } from '../stomp-check.ts';
import type { StompConnection } from '../wire/connection.ts';
import type { Version } from '../wire/frames.ts';

const ENCODING = 'Value Encoding';
const REPEATED = 'Repeated Header Entries';

/** Sends a header as these bytes and returns the lines of the message with its name. */
async function passed(t: StompTest, line: string, name: string): Promise<string | undefined> {
  const { connection, destination } = await t.loop();
  connection.raw(`SEND\ndestination:${destination}\n${line}\n\nbody\0`);
  return (await connection.message('body')).headers[name];
}

/** Sends to an escaped destination in the rule's version, and subscribes in 1.0, which has no escapes. */
async function decoded(t: StompTest, escaped: string, plain: string): Promise<void> {
  const destination = t.queue();
  const receiver = await t.connect({}, '1.0');
  receiver.raw(`SUBSCRIBE\nid:1\ndestination:${destination}${plain}\nreceipt:1\n\n\0`);
  await receiver.expectReceipt('1');
  const sender = await t.connect();
  sender.raw(`SEND\ndestination:${destination}${escaped}\n\nbody\0`);
  await receiver.message('body');
}

/** Sends a header in 1.0, which has no escapes, and returns its line in the rule's version. */
async function encoded(t: StompTest, value: string): Promise<string | undefined> {
  const { connection, destination } = await t.loop();
  const sender = await t.connect({}, '1.0');
  sender.raw(`SEND\ndestination:${destination}\nx:${value}\n\nbody\0`);
  return (await connection.message('body')).lines.find((line) => line.startsWith('x:'));
}

/** An undefined escape must end the connection, possibly after an ERROR. `lines` are of a SEND with a receipt. */
async function undefinedEscape(t: StompTest, lines: string): Promise<void> {
  const connection = await t.connect();
  connection.raw(`SEND\ndestination:${t.queue()}\nreceipt:1\n${lines}\n\nbody\0`);
  await fatal(connection);
}

async function fatal(connection: StompConnection): Promise<void> {
  await connection.until(() => connection.ends || connection.pending > 0, 'an answer');
  connection.expectNone('RECEIPT');
  await connection.expectRefusal();
}

const DEFINED: readonly (readonly [string, string, string, string, readonly Version[]])[] = [
  ['n', '\\n', 'a line feed', '\n', SINCE_1_1],
  ['c', '\\c', 'a colon', ':', SINCE_1_1],
  ['backslash', '\\\\', 'a backslash', '\\', SINCE_1_1],
  ['r', '\\r', 'a carriage return', '\r', ONLY_1_2],
];

export const HEADER_CHECKS = [
  stomp(
    'header.utf8',
    ENCODING,
    MUST,
    'header names and values are UTF-8',
    async (t) => {
      assert.equal(await passed(t, 'größe:žluťoučký 🐎 中', 'größe'), 'žluťoučký 🐎 中');
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.utf8.destination',
    ENCODING,
    MUST,
    'a destination is UTF-8',
    async (t) => {
      const connection = await t.connect();
      const destination = `${t.queue()}-žluťoučký-🐎`;
      await connection.subscribe(destination, { 'auto-delete': 'true', durable: 'false' });
      connection.send('SEND', { destination }, 'body');
      await connection.message('body');
    },
    { versions: SINCE_1_1 },
  ),
  ...DEFINED.flatMap(([id, escaped, words, plain, versions]) => [
    stomp(
      `header.escape.${id}.value`,
      ENCODING,
      MUST,
      `${escaped} is ${words} in a header value`,
      async (t) => assert.equal(await passed(t, `x:a${escaped}b`, 'x'), `a${plain}b`),
      { versions },
    ),
    stomp(
      `header.escape.${id}.name`,
      ENCODING,
      MUST,
      `${escaped} is ${words} in a header name`,
      async (t) => assert.equal(await passed(t, `a${escaped}b:x`, `a${plain}b`), 'x'),
      { versions },
    ),
    stomp(
      `header.escape.${id}.receipt`,
      ENCODING,
      MUST,
      `${escaped} comes back in a receipt`,
      async (t) => {
        const connection = await t.connect();
        connection.raw(`BEGIN\ntransaction:t\nreceipt:a${escaped}b\n\n\0`);
        await connection.expectReceipt(`a${plain}b`);
      },
      { versions },
    ),
  ]),
  stomp(
    'header.escape.decoded.colon',
    ENCODING,
    MUST,
    'a destination with \\c is that with a colon',
    (t) => decoded(t, 'a\\cb', 'a:b'),
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.escape.decoded.backslash',
    ENCODING,
    MUST,
    'a destination with \\\\ is that with one backslash',
    (t) => decoded(t, 'a\\\\nb', 'a\\nb'),
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.escape.encoded.colon',
    ENCODING,
    MUST,
    'a colon in a value leaves the broker as \\c',
    async (t) => assert.equal(await encoded(t, 'a:b'), 'x:a\\cb'),
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.escape.encoded.backslash',
    ENCODING,
    MUST,
    'a backslash in a value leaves the broker as \\\\',
    async (t) => assert.equal(await encoded(t, 'a\\nb'), 'x:a\\\\nb'),
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.escape.subscription',
    ENCODING,
    MUST,
    'the id of a subscription comes back as it was meant',
    async (t) => {
      const { connection, destination, id } = await t.loop({ id: 'a:b\\c\nd' });
      connection.send('SEND', { destination }, 'body');
      assert.equal((await connection.message('body')).headers.subscription, id);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.escape.none',
    'STOMP 1.0',
    MUST,
    'a backslash is a backslash in 1.0',
    async (t) => assert.equal(await passed(t, 'x:a\\nb\\c\\\\\\t', 'x'), 'a\\nb\\c\\\\\\t'),
    { versions: ONLY_1_0 },
  ),
  stomp(
    'header.escape.undefined.value',
    ENCODING,
    MUST,
    'an undefined escape in a value is a fatal error',
    (t) => undefinedEscape(t, 'x:a\\tb'),
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.escape.undefined.name',
    ENCODING,
    MUST,
    'an undefined escape in a name is a fatal error',
    (t) => undefinedEscape(t, 'a\\tb:x'),
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.escape.undefined.destination',
    ENCODING,
    MUST,
    'an undefined escape in a destination is a fatal error',
    async (t) => {
      const connection = await t.connect();
      connection.raw(`SEND\ndestination:${t.queue()}\\t\nreceipt:1\n\nbody\0`);
      await fatal(connection);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.escape.undefined.last',
    ENCODING,
    MUST,
    'a backslash at the end of a header is a fatal error',
    (t) => undefinedEscape(t, 'x:a\\'),
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.escape.undefined.receipt',
    ENCODING,
    MUST,
    'an undefined escape in a receipt is a fatal error',
    async (t) => {
      const connection = await t.connect();
      connection.raw('BEGIN\ntransaction:t\nreceipt:a\\tb\n\n\0');
      await fatal(connection);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.escape.undefined.unused',
    ENCODING,
    MUST,
    'an undefined escape is a fatal error even in an unused header',
    async (t) => {
      const connection = await t.connect();
      connection.raw('BEGIN\ntransaction:t\nreceipt:1\nx:a\\tb\n\n\0');
      await fatal(connection);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.escape.undefined.r',
    ENCODING,
    MUST,
    '\\r is undefined in 1.1, and a fatal error',
    (t) => undefinedEscape(t, 'x:a\\rb'),
    { versions: ONLY_1_1 },
  ),
  stomp(
    'header.escape.connect',
    ENCODING,
    MUST,
    'CONNECT is not escaped: a backslash in it is a backslash',
    async (t) => {
      const connection = await t.dial();
      const lines = Object.entries(connection.connectLines()).map(([name, value]) => `${name}:${value}\n`);
      connection.raw(`CONNECT\n${lines.join('')}x:a\\tb:c\n\n\0`);
      await connection.expect('CONNECTED');
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.spaces.value',
    ENCODING,
    MUST,
    'the value of a header is not trimmed or padded',
    async (t) => assert.equal(await passed(t, 'x:  a b  ', 'x'), '  a b  '),
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.spaces.name',
    ENCODING,
    MUST,
    'the name of a header is not trimmed or padded',
    async (t) => assert.equal(await passed(t, ' x :a', ' x '), 'a'),
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.spaces.destination',
    ENCODING,
    MUST,
    'a name with a space in front is another name',
    async (t) => {
      const connection = await t.connect();
      connection.send('SEND', { ' destination': t.queue() }, 'body');
      await connection.expectError();
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.spaces.receipt',
    ENCODING,
    MUST,
    'a receipt comes back with its spaces',
    async (t) => {
      const connection = await t.connect();
      connection.send('BEGIN', { transaction: 't', receipt: '  1 ' });
      await connection.expectReceipt('  1 ');
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.repeated.destination',
    REPEATED,
    SHOULD,
    'of repeated destinations the first is meant',
    async (t) => {
      const { connection, destination } = await t.loop();
      connection.send(
        'SEND',
        [
          ['destination', destination],
          ['destination', '/nowhere'],
        ],
        'body',
      );
      await connection.message('body');
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.repeated.receipt',
    REPEATED,
    SHOULD,
    'of repeated receipts the first is meant',
    async (t) => {
      const connection = await t.connect();
      connection.send('BEGIN', [
        ['transaction', 't'],
        ['receipt', '1'],
        ['receipt', '2'],
      ]);
      await connection.expectReceipt('1');
      await connection.roundTrip();
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.repeated.user',
    REPEATED,
    SHOULD,
    'of repeated headers of a message the first one counts',
    async (t) => assert.equal(await passed(t, 'x:1\nx:2\nx:3', 'x'), '1'),
    { versions: SINCE_1_1 },
  ),
  stomp(
    'header.repeated.connect',
    REPEATED,
    SHOULD,
    'of repeated headers of CONNECT the first is meant',
    async (t) => {
      const connection = await t.dial();
      connection.send('CONNECT', [...Object.entries(connection.connectLines()), ['passcode', 'wrong']]);
      await connection.expect('CONNECTED');
    },
    { versions: SINCE_1_1 },
  ),
].flat();
