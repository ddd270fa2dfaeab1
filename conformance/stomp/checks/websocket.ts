// Checks of STOMP over WebSocket: the handshake, and that messages form a byte stream, split anywhere, as in RabbitMQ's
// Web STOMP and RFC 6455.

import assert from 'node:assert/strict';
import { OPCODE, type RawFrame, upgrade } from '../../websocket.ts';
import { EXTENSION, MUST, ONLY_1_2, type StompTest, stomp, subprotocolOf } from '../stomp-check.ts';
import type { StompConnection } from '../wire/connection.ts';
import { encodeFrame } from '../wire/frames.ts';

const ONE = { versions: ONLY_1_2, over: ['ws'] } as const;
const EACH = { over: ['ws'] } as const;
const WEB_STOMP = 'RabbitMQ: Web STOMP';

/** A WebSocket connection that receives what it sends. */
async function loop(t: StompTest): Promise<{ connection: StompConnection; send: Buffer }> {
  const { connection, destination } = await t.loop();
  return { connection, send: encodeFrame(t.version, 'SEND', { destination }, 'zwölf') };
}

/** Frames that violate WebSocket must end the connection with this code [RFC 6455 §7.4.1]. */
async function closedWith(t: StompTest, code: number, ...frames: RawFrame[]): Promise<void> {
  const { connection } = await t.loop();
  for (const frame of frames) connection.webSocket.frame(frame);
  await connection.expectEnd();
  assert.equal(connection.webSocket.closeCode, code, 'the status code of Close');
}

export const WEBSOCKET_CHECKS = [
  stomp(
    'websocket.subprotocol',
    WEB_STOMP,
    EXTENSION,
    'the subprotocol of the version is accepted',
    async (t) => {
      const connection = await t.dialWebSocket({ subprotocols: [subprotocolOf(t.version)] });
      assert.equal(connection.webSocket.subprotocol, subprotocolOf(t.version));
      await connection.connect();
    },
    EACH,
  ),
  stomp(
    'websocket.subprotocol.several',
    'RFC 6455 §4.2.2',
    MUST,
    'of several subprotocols one is chosen that was offered',
    async (t) => {
      const subprotocols = ['v10.stomp', 'v11.stomp', 'v12.stomp'];
      const connection = await t.dialWebSocket({ subprotocols });
      assert.ok(
        subprotocols.includes(connection.webSocket.subprotocol!),
        `chosen: ${connection.webSocket.subprotocol}`,
      );
      await connection.connect();
    },
    ONE,
  ),
  stomp(
    'websocket.subprotocol.none',
    WEB_STOMP,
    EXTENSION,
    'a client may offer no subprotocol, and gets none',
    async (t) => {
      const connection = await t.dialWebSocket({ headers: { 'Sec-WebSocket-Protocol': null } });
      assert.equal(connection.webSocket.subprotocol, null);
      await connection.connect();
    },
    ONE,
  ),
  stomp(
    'websocket.subprotocol.unknown',
    'RFC 6455 §4.2.2',
    MUST,
    'a subprotocol that was not offered is not chosen',
    async (t) => {
      const { status, headers } = await upgrade(t.context, { subprotocols: ['no-such.protocol'] });
      if (status === 101) assert.equal(headers['sec-websocket-protocol'], undefined);
      else assert.ok(status >= 400 && status < 500, `status ${status}`);
    },
    ONE,
  ),
  stomp(
    'websocket.accept',
    'RFC 6455 §4.2.2',
    MUST,
    'the handshake is answered with the digest of its key',
    async (t) => {
      const answer = await upgrade(t.context, { subprotocols: ['v12.stomp'] });
      assert.equal(answer.status, 101);
      assert.equal(answer.headers['sec-websocket-accept'], answer.accept);
      assert.equal(answer.headers.upgrade?.toLowerCase(), 'websocket');
      assert.equal(answer.headers.connection?.toLowerCase(), 'upgrade');
    },
    ONE,
  ),
  stomp(
    'websocket.version',
    'RFC 6455 §4.4',
    MUST,
    'another version of WebSocket is answered with 426 and 13, or with 400',
    async (t) => {
      const { status, headers } = await upgrade(t.context, { headers: { 'Sec-WebSocket-Version': '99' } });
      assert.ok([400, 426].includes(status), `status ${status}`);
      if (status === 426) assert.equal(headers['sec-websocket-version'], '13');
    },
    ONE,
  ),
  stomp(
    'websocket.no-key',
    'RFC 6455 §4.2.1',
    MUST,
    'a handshake without key is refused',
    async (t) => {
      const { status } = await upgrade(t.context, { headers: { 'Sec-WebSocket-Key': null } });
      assert.ok(status >= 400 && status < 500, `status ${status}`);
    },
    ONE,
  ),
  stomp(
    'websocket.text',
    WEB_STOMP,
    EXTENSION,
    'frames may come in text messages',
    async (t) => {
      const { connection, send } = await loop(t);
      connection.webSocket.message('text', send);
      await connection.message('zwölf');
    },
    EACH,
  ),
  stomp(
    'websocket.binary',
    WEB_STOMP,
    EXTENSION,
    'frames may come in binary messages',
    async (t) => {
      const connection = await t.dial();
      connection.webSocket.kind = 'binary';
      await connection.connect();
      const { destination } = await connection.subscribe(t.queue());
      connection.send('SEND', { destination }, 'zwölf');
      await connection.message('zwölf');
    },
    EACH,
  ),
  stomp(
    'websocket.text.answered',
    WEB_STOMP,
    EXTENSION,
    'a client that sends text messages gets text messages',
    async (t) => {
      const { connection, send } = await loop(t);
      connection.raw(send);
      await connection.message('zwölf');
      assert.deepEqual([...new Set(connection.webSocket.messages.map(({ kind }) => kind))], ['text']);
    },
    ONE,
  ),
  stomp(
    'websocket.text.binary-body',
    'RFC 6455 §5.6',
    MUST,
    'a body that is no UTF-8 does not come in a text message',
    async (t) => {
      const { connection, destination } = await t.loop();
      const body = Buffer.of(0xff, 0, 0xfe, 0x80);
      const sender = await t.connect();
      sender.send('SEND', { destination, 'content-length': body.length }, body);
      assert.ok((await connection.message()).body.equals(body), 'the body changed');
    },
    ONE,
  ),
  stomp(
    'websocket.many-frames',
    WEB_STOMP,
    EXTENSION,
    'one message may hold several frames',
    async (t) => {
      const { connection, send } = await loop(t);
      connection.webSocket.message('text', Buffer.concat([send, send, Buffer.from('\n'), send]));
      for (let i = 0; i < 3; i++) await connection.message('zwölf');
    },
    ONE,
  ),
  stomp(
    'websocket.many-messages',
    WEB_STOMP,
    EXTENSION,
    'one frame may come in several messages',
    async (t) => {
      const { connection, send } = await loop(t);
      const text = send.toString();
      for (const piece of [text.slice(0, 3), text.slice(3, 20), text.slice(20, -4), text.slice(-4)]) {
        connection.webSocket.message('text', piece);
      }
      await connection.message('zwölf');
    },
    ONE,
  ),
  stomp(
    'websocket.mixed',
    WEB_STOMP,
    EXTENSION,
    'one frame may come in text and binary messages',
    async (t) => {
      const { connection, send } = await loop(t);
      const text = send.toString();
      connection.webSocket.message('text', text.slice(0, 9));
      connection.webSocket.message('binary', text.slice(9));
      await connection.message('zwölf');
    },
    ONE,
  ),
  stomp(
    'websocket.empty',
    WEB_STOMP,
    EXTENSION,
    'an empty message is nothing',
    async (t) => {
      const { connection, send } = await loop(t);
      connection.webSocket.message('text', '');
      connection.webSocket.message('binary', send.subarray(0, 5));
      connection.webSocket.message('binary', '');
      connection.webSocket.message('binary', send.subarray(5));
      await connection.message('zwölf');
    },
    ONE,
  ),
  stomp(
    'websocket.fragments',
    'RFC 6455 §5.4',
    MUST,
    'a message may come in fragments, cut anywhere',
    async (t) => {
      const { connection, send } = await loop(t);
      for (let cut = 0; cut <= send.length; cut += 3) {
        connection.webSocket.message('text', send.subarray(0, cut), '', send.subarray(cut));
        await connection.message('zwölf');
      }
      // Split within a two-octet character.
      const within = send.length - 4;
      connection.webSocket.message('text', send.subarray(0, within), send.subarray(within));
      await connection.message('zwölf');
    },
    ONE,
  ),
  stomp(
    'websocket.fragments.ping',
    'RFC 6455 §5.4',
    MUST,
    'a ping may come between fragments',
    async (t) => {
      const { connection, send } = await loop(t);
      const { webSocket } = connection;
      webSocket.frame({ opcode: OPCODE.text, payload: send.subarray(0, 8), fin: false });
      webSocket.frame({ opcode: OPCODE.ping, payload: 'between' });
      webSocket.frame({ opcode: OPCODE.continuation, payload: send.subarray(8) });
      await connection.message('zwölf');
      await connection.until(() => webSocket.pongs.length > 0, 'a pong');
      assert.equal(webSocket.pongs[0]!.toString(), 'between');
    },
    ONE,
  ),
  stomp(
    'websocket.large',
    'RFC 6455 §5.2',
    MUST,
    'lengths of 16 and of 64 bits are lengths',
    async (t) => {
      const { connection, destination } = await t.loop();
      for (const length of [200, 70_000]) {
        const body = 'x'.repeat(length);
        connection.send('SEND', { destination, 'content-length': length }, body);
        await connection.message(body);
      }
    },
    ONE,
  ),
  stomp(
    'websocket.ping',
    'RFC 6455 §5.5.2',
    MUST,
    'a ping is answered with its payload',
    async (t) => {
      const connection = await t.connect();
      const { webSocket } = connection;
      webSocket.frame({ opcode: OPCODE.ping, payload: 'are you there' });
      await connection.until(() => webSocket.pongs.length > 0, 'a pong');
      assert.equal(webSocket.pongs[0]!.toString(), 'are you there');
    },
    ONE,
  ),
  stomp(
    'websocket.pong',
    'RFC 6455 §5.5.3',
    MUST,
    'an unsolicited pong is ignored',
    async (t) => {
      const connection = await t.connect();
      connection.webSocket.frame({ opcode: OPCODE.pong, payload: 'unasked' });
      await connection.roundTrip();
    },
    ONE,
  ),
  stomp(
    'websocket.close',
    'RFC 6455 §5.5.1',
    MUST,
    'a Close is answered with a Close, and the end',
    async (t) => {
      const connection = await t.connect();
      connection.webSocket.close(1000);
      await connection.expectEnd(1);
      assert.equal(connection.webSocket.closeCode, 1000);
    },
    ONE,
  ),
  stomp(
    'websocket.closed-in-order',
    'RFC 6455 §7.1.1',
    MUST,
    'a broker that ends the connection sends Close first',
    async (t) => {
      const connection = await t.connect();
      connection.send('DISCONNECT');
      await connection.expectEnd();
      assert.notEqual(connection.webSocket.closeCode, null, 'no Close');
    },
    ONE,
  ),
  stomp(
    'websocket.requeues',
    'ACK',
    MUST,
    'messages not acknowledged when the WebSocket closed are not consumed',
    async (t) => {
      const { connection, destination } = await t.loop({ ack: 'client' });
      connection.send('SEND', { destination, persistent: 'true' }, 'body');
      await connection.message('body');
      connection.webSocket.close(1001);
      await connection.expectEnd();
      const next = await t.connect();
      await next.subscribe(destination);
      await next.message('body');
    },
    ONE,
  ),
  stomp(
    'websocket.bad.utf8',
    'RFC 6455 §8.1',
    MUST,
    'a text message that is no UTF-8 ends the WebSocket with 1007',
    (t) => closedWith(t, 1007, { opcode: OPCODE.text, payload: Buffer.from('SEND\nx:\xff\n\n\0', 'latin1') }),
    ONE,
  ),
  stomp(
    'websocket.bad.unmasked',
    'RFC 6455 §5.1',
    MUST,
    'a frame without mask ends the WebSocket',
    async (t) => {
      const { connection, send } = await loop(t);
      connection.webSocket.frame({ opcode: OPCODE.text, payload: send, masked: false });
      await connection.expectEnd();
      connection.expectNone('MESSAGE');
    },
    ONE,
  ),
  stomp(
    'websocket.bad.reserved-bit',
    'RFC 6455 §5.2',
    MUST,
    'a reserved bit ends the WebSocket',
    async (t) => {
      const { connection, send } = await loop(t);
      connection.webSocket.frame({ opcode: OPCODE.text, payload: send, reserved: 2 });
      await connection.expectEnd();
      connection.expectNone('MESSAGE');
    },
    ONE,
  ),
  stomp(
    'websocket.bad.opcode',
    'RFC 6455 §5.2',
    MUST,
    'an opcode that is none ends the WebSocket',
    async (t) => {
      const connection = await t.connect();
      connection.webSocket.frame({ opcode: 3, payload: 'x' });
      await connection.expectEnd();
    },
    ONE,
  ),
  stomp(
    'websocket.bad.continuation',
    'RFC 6455 §5.4',
    MUST,
    'the continuation of no message is none',
    async (t) => {
      const { connection, send } = await loop(t);
      connection.webSocket.frame({ opcode: OPCODE.continuation, payload: send });
      await connection.expectEnd();
      connection.expectNone('MESSAGE');
    },
    ONE,
  ),
  stomp(
    'websocket.bad.interleaved',
    'RFC 6455 §5.4',
    MUST,
    'a message within the fragments of another is none',
    async (t) => {
      const { connection, send } = await loop(t);
      connection.webSocket.frame({ opcode: OPCODE.text, payload: send.subarray(0, 8), fin: false });
      connection.webSocket.frame({ opcode: OPCODE.text, payload: send });
      await connection.expectEnd();
      connection.expectNone('MESSAGE');
    },
    ONE,
  ),
  stomp(
    'websocket.bad.control-fragment',
    'RFC 6455 §5.5',
    MUST,
    'a ping in fragments ends the WebSocket',
    async (t) => {
      const connection = await t.connect();
      connection.webSocket.frame({ opcode: OPCODE.ping, payload: 'x', fin: false });
      await connection.expectEnd();
      assert.equal(connection.webSocket.pongs.length, 0);
    },
    ONE,
  ),
  stomp(
    'websocket.bad.control-long',
    'RFC 6455 §5.5',
    MUST,
    'a ping of more than 125 octets ends the WebSocket',
    async (t) => {
      const connection = await t.connect();
      connection.webSocket.frame({ opcode: OPCODE.ping, payload: 'x'.repeat(126) });
      await connection.expectEnd();
      assert.equal(connection.webSocket.pongs.length, 0);
    },
    ONE,
  ),
  stomp(
    'websocket.beside-tcp',
    WEB_STOMP,
    EXTENSION,
    'a destination is one over WebSocket and TCP',
    async (t) => {
      const { connection, destination } = await t.loop();
      const other = await t.dialTcp();
      await other.connect();
      other.send('SEND', { destination }, 'body');
      await connection.message('body');
    },
    ONE,
  ),
].flat();
