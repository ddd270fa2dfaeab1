// Checks of frames: line ends, commands, headers, and frames split over or sharing writes.

import assert from 'node:assert/strict';
import { MUST, ONLY_1_2, SINCE_1_1, type StompTest, stomp, UNTIL_1_1 } from '../stomp-check.ts';
import { encodeFrame } from '../wire/frames.ts';

const SECTION = 'STOMP Frames';
const GRAMMAR = 'Augmented BNF';

/** A malformed frame must end the connection, possibly after an ERROR. */
async function refused(t: StompTest, bytes: string | Buffer): Promise<void> {
  const connection = await t.connect();
  connection.raw(bytes);
  await connection.expectRefusal();
}

export const FRAME_CHECKS = [
  stomp('frame.structure', SECTION, MUST, 'command, headers, an empty line, body and NUL are a frame', async (t) => {
    const { connection, destination } = await t.loop();
    connection.raw(`SEND\ndestination:${destination}\nx:1\n\nbody\0`);
    assert.equal((await connection.message('body')).headers.x, '1');
  }),
  stomp('frame.no-headers', SECTION, MUST, 'a frame may have no headers at all', async (t) => {
    const connection = await t.connect();
    connection.raw('DISCONNECT\n\n\0');
    await connection.expectEnd(1);
  }),
  stomp('frame.eols', SECTION, MUST, 'any number of line feeds may follow a frame', async (t) => {
    const { connection, destination } = await t.loop();
    const frame = `SEND\ndestination:${destination}\n\nbody\0`;
    connection.raw(`\n\n${frame}\n${frame}\n\n\n${frame}${frame}`);
    for (let i = 0; i < 4; i++) await connection.message('body');
  }),
  stomp('frame.eols.before-connect', SECTION, MUST, 'line feeds may come before CONNECT', async (t) => {
    const connection = await t.dial();
    connection.raw('\n\n');
    await connection.connect();
  }),
  stomp(
    'frame.crlf',
    SECTION,
    MUST,
    'lines may end in CR LF',
    async (t) => {
      const { connection, destination } = await t.loop();
      connection.raw(`SEND\r\ndestination:${destination}\r\nx:1\r\n\r\n\r\nbody\0`);
      assert.equal((await connection.message('\r\nbody')).headers.x, '1');
    },
    { versions: ONLY_1_2 },
  ),
  stomp(
    'frame.crlf.connect',
    SECTION,
    MUST,
    'the lines of CONNECT may end in CR LF',
    async (t) => {
      const connection = await t.dial();
      const lines = Object.entries(connection.connectLines()).map(([name, value]) => `${name}:${value}\r\n`);
      connection.raw(`CONNECT\r\n${lines.join('')}\r\n\0`);
      await connection.expect('CONNECTED');
    },
    { versions: ONLY_1_2 },
  ),
  stomp(
    'frame.crlf.mixed',
    SECTION,
    MUST,
    'one line may end in CR LF and the next in LF',
    async (t) => {
      const { connection, destination } = await t.loop();
      connection.raw(`SEND\ndestination:${destination}\r\nx:1\ny:2\r\n\nbody\0`);
      const { headers } = await connection.message('body');
      assert.deepEqual([headers.x, headers.y], ['1', '2']);
    },
    { versions: ONLY_1_2 },
  ),
  stomp(
    'frame.crlf.between',
    SECTION,
    MUST,
    'CR LF may follow a frame',
    async (t) => {
      const { connection, destination } = await t.loop();
      const frame = `SEND\ndestination:${destination}\n\nbody\0`;
      connection.raw(`${frame}\r\n\n\r\n${frame}\r\n`);
      for (let i = 0; i < 2; i++) await connection.message('body');
    },
    { versions: ONLY_1_2 },
  ),
  stomp(
    'frame.cr.value',
    GRAMMAR,
    MUST,
    'only LF ends a line: a CR in front of it belongs to the header value',
    async (t) => {
      const { connection, destination } = await t.loop();
      connection.raw(`SEND\ndestination:${destination}\nx:1\r\n\nbody\0`);
      assert.equal((await connection.message('body')).headers.x, '1\r');
    },
    { versions: UNTIL_1_1 },
  ),
  stomp(
    'frame.cr.within',
    GRAMMAR,
    MUST,
    'a CR that is no part of an end of line is no header',
    (t) => refused(t, 'SEND\ndestination:/queue/none\nx:a\rb\n\nbody\0'),
    { versions: ONLY_1_2 },
  ),
  stomp('frame.case.command', SECTION, MUST, 'commands are case sensitive: send is not SEND', async (t) => {
    const { connection, destination } = await t.loop();
    connection.raw(`send\ndestination:${destination}\nreceipt:1\n\nbody\0`);
    await connection.until(() => connection.ends || connection.pending > 0, 'an answer');
    connection.expectNone('MESSAGE');
    connection.expectNone('RECEIPT');
  }),
  stomp('frame.case.connect', SECTION, MUST, 'commands are case sensitive: Connect is not CONNECT', async (t) => {
    const connection = await t.dial();
    connection.sendConnect({}, 'Connect');
    await connection.expectRefusal();
  }),
  stomp('frame.case.header', SECTION, MUST, 'header names are case sensitive: Destination names none', async (t) => {
    await refused(t, 'SEND\nDestination:/queue/none\n\nbody\0');
  }),
  stomp('frame.command.unknown', 'Client Frames', MUST, 'a command that is none is not taken for one', async (t) => {
    const connection = await t.connect();
    connection.send('SHOUT', { destination: t.queue(), receipt: '1' }, 'body');
    await connection.until(() => connection.ends || connection.pending > 0, 'an answer');
    connection.expectNone('RECEIPT');
  }),
  stomp('frame.command.server', GRAMMAR, MUST, 'a command of servers is none that a client may give', async (t) => {
    await refused(t, encodeFrame(t.version, 'MESSAGE', { destination: '/queue/none' }, 'body'));
  }),
  stomp('frame.command.none', GRAMMAR, MUST, 'bytes without a command are no frame', (t) => refused(t, ':\n\n\0')),
  stomp('frame.header.no-colon', GRAMMAR, MUST, 'a header line has a colon', async (t) => {
    await refused(t, 'SEND\ndestination:/queue/none\nnothing\n\nbody\0');
  }),
  stomp('frame.header.no-name', GRAMMAR, MUST, 'a header has a name', async (t) => {
    await refused(t, 'SEND\ndestination:/queue/none\n:value\n\nbody\0');
  }),
  stomp(
    'frame.header.empty-value',
    GRAMMAR,
    MUST,
    'the value of a header may be empty',
    async (t) => {
      const { connection, destination } = await t.loop();
      connection.send('SEND', { destination, x: '' }, 'body');
      assert.equal((await connection.message('body')).headers.x, '');
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'frame.header.colon',
    GRAMMAR,
    MUST,
    'a header value may have colons',
    async (t) => {
      const { connection, destination } = await t.loop();
      connection.raw(`SEND\ndestination:${destination}\nx:a:b::c\n\nbody\0`);
      assert.equal((await connection.message('body')).headers.x, 'a:b::c');
    },
    { versions: ['1.0'] },
  ),
  stomp('frame.split.bytes', SECTION, MUST, 'a frame may come octet by octet', async (t) => {
    const { connection, destination } = await t.loop();
    const frame = encodeFrame(t.version, 'SEND', { destination, 'content-length': 5 }, 'a\0b\0c');
    await t.sendInPieces(
      connection,
      Array.from(frame, (octet) => Buffer.of(octet)),
    );
    await connection.message('a\0b\0c');
  }),
  stomp('frame.split.halves', SECTION, MUST, 'a frame may come in two pieces, wherever it is cut', async (t) => {
    const { connection, destination } = await t.loop();
    const frame = encodeFrame(t.version, 'SEND', { destination, 'content-length': 3 }, 'a\0b');
    const cuts = Array.from({ length: frame.length - 1 }, (_, index) => index + 1);
    await t.sendInPieces(
      connection,
      cuts.flatMap((cut) => [frame.subarray(0, cut), frame.subarray(cut)]),
    );
    for (const _ of cuts) await connection.message('a\0b');
  }),
  stomp('frame.joined', SECTION, MUST, 'many frames may come at once', async (t) => {
    const { connection, destination } = await t.loop();
    const bodies = Array.from({ length: 200 }, (_, index) => `${index}`);
    connection.raw(Buffer.concat(bodies.map((body) => encodeFrame(t.version, 'SEND', { destination }, body))));
    for (const body of bodies) await connection.message(body);
  }),
  stomp('frame.joined.connect', SECTION, MUST, 'frames may come with CONNECT, before its answer', async (t) => {
    const connection = await t.dial();
    const connect = encodeFrame(t.version, 'CONNECT', connection.connectLines());
    const destination = t.queue();
    const subscribe = encodeFrame(t.version, 'SUBSCRIBE', { id: 's', destination, receipt: '1' });
    const send = encodeFrame(t.version, 'SEND', { destination }, 'body');
    connection.raw(Buffer.concat([connect, subscribe, send]));
    await connection.expect('CONNECTED');
    await connection.expectReceipt('1');
    await connection.message('body');
  }),
].flat();
