// Checks of malformed and out-of-place packets. The connection must end; in 5.0 the broker should send a reason code.

import type { MqttCheck } from '../mqtt-check.ts';
import { both, MUST, SHOULD, v3, v5 } from '../mqtt-check.ts';
import { ByteWriter } from '../wire/bytes.ts';
import { encodeConnect, encodePublish, encodeReason, frame, LEVEL, type Level } from '../wire/packets.ts';

const MALFORMED = [0x81, 0x82];
/** A code that no packet defines. */
const NO_REASON = 0x03;

/** Name, a first byte with wrong flags, a body that would be valid, and the statements. */
const FLAGS: readonly (readonly [string, number, readonly number[], readonly [string, string]])[] = [
  ['puback', 0x41, [0, 1], ['2.2.2-1 2.2.2-2', '2.1.3-1']],
  ['pubrec', 0x52, [0, 1], ['2.2.2-1 2.2.2-2', '2.1.3-1']],
  ['pubrel', 0x60, [0, 1], ['3.6.1-1 2.2.2-2', '3.6.1-1 2.1.3-1']],
  ['pubcomp', 0x78, [0, 1], ['2.2.2-1 2.2.2-2', '2.1.3-1']],
  ['pingreq', 0xc1, [], ['2.2.2-1 2.2.2-2', '2.1.3-1']],
  ['disconnect', 0xe1, [], ['3.14.1-1 2.2.2-2', '3.14.1-1 2.1.3-1']],
];

/** Name, first byte and body of packets that only a server sends. */
const OUT_OF_PLACE: readonly (readonly [string, number, readonly number[]])[] = [
  ['connack', 0x20, [0, 0]],
  ['suback', 0x90, [0, 1, 0]],
  ['unsuback', 0xb0, [0, 1]],
  ['pingresp', 0xd0, []],
];

/** Packets that are too short or too long for their type, or whose lengths contradict each other. */
const LENGTHS: readonly (readonly [string, string, (version: Level, topic: string) => Uint8Array])[] = [
  ['puback', 'PUBACK of one byte', () => Buffer.from([0x40, 1, 0])],
  ['subscribe', 'SUBSCRIBE of one byte', () => Buffer.from([0x82, 1, 0])],
  ['pingreq', 'PINGREQ with a body', () => Buffer.from([0xc0, 1, 0])],
  [
    'filter',
    'SUBSCRIBE whose filter is longer than the packet',
    (version) => {
      const properties = version === LEVEL.v5 ? Buffer.of(0) : Buffer.alloc(0);
      return frame('SUBSCRIBE', Buffer.concat([Buffer.of(0, 1), properties, Buffer.of(0, 40, 0x61, 0)]));
    },
  ],
  [
    'unsubscribe',
    'UNSUBSCRIBE whose filter is longer than the packet',
    (version) => {
      const properties = version === LEVEL.v5 ? Buffer.of(0) : Buffer.alloc(0);
      return frame('UNSUBSCRIBE', Buffer.concat([Buffer.of(0, 1), properties, Buffer.of(0, 40, 0x61)]));
    },
  ],
];

export const MALFORMED_CHECKS: readonly (readonly MqttCheck[])[] = [
  ...FLAGS.map(([name, first, body, statements]) =>
    both(
      `malformed.flags.${name}`,
      statements,
      MUST,
      `${name.toUpperCase()} with reserved flags that are not as they must be ends the connection`,
      async (t) => {
        const topic = t.name();
        const watcher = await t.subscriber(topic);
        // A malformed DISCONNECT does not discard the will.
        const client = await t.alive({ will: { topic, payload: 'will' } });
        client.raw(frame(first, Buffer.from(body)));
        await client.expectClosed(MALFORMED);
        await watcher.message('will');
      },
    ),
  ),
  both(
    'malformed.flags.connect',
    ['2.2.2-1 2.2.2-2', '2.1.3-1'],
    MUST,
    'CONNECT with reserved flags that are not 0 ends the connection',
    async (t) => {
      await t.connect();
      const connection = await t.dial();
      const connect = encodeConnect(t.version, t.connectOptions());
      connect[0] = 0x11;
      connection.raw(connect);
      await connection.expectClosed(MALFORMED);
    },
  ),
  v5('malformed.flags.auth', '3.15.1-1', MUST, 'AUTH with flags that are not 0 ends the connection', async (t) => {
    const client = await t.alive();
    client.raw(frame(0xf1, Buffer.of(0x19, 0)));
    await client.expectClosed(MALFORMED);
  }),
  ...OUT_OF_PLACE.map(([name, first, body]) =>
    both(
      `malformed.${name}`,
      ['4.8.0-1', '4.13.1-1'],
      MUST,
      `${name.toUpperCase()} of a client ends the connection`,
      async (t) => {
        const client = await t.alive();
        client.raw(frame(first, Buffer.from(body)));
        await client.expectClosed(MALFORMED);
      },
    ),
  ),
  both('malformed.type0', ['4.8.0-1', '4.13.1-1'], MUST, 'a packet of type 0 ends the connection', async (t) => {
    const client = await t.alive();
    client.raw(Buffer.of(0x00, 0x00));
    await client.expectClosed(MALFORMED);
  }),
  v3('malformed.type15', '4.8.0-1', MUST, 'a packet of type 15 ends the connection', async (t) => {
    const client = await t.alive();
    client.raw(Buffer.of(0xf0, 0x00));
    await client.expectClosed();
  }),
  ...LENGTHS.map(([name, what, packet]) =>
    both(`malformed.length.${name}`, ['4.8.0-1', '4.13.1-1'], MUST, `${what} ends the connection`, async (t) => {
      const client = await t.alive();
      client.raw(packet(t.version, t.name()));
      await client.expectClosed(MALFORMED);
    }),
  ),
  both(
    'malformed.length.five-bytes',
    ['2.2.3:four-bytes 4.8.0-1', '1.5.5:four-bytes 4.13.1-1'],
    MUST,
    'a remaining length of five bytes ends the connection',
    async (t) => {
      const client = await t.alive();
      client.raw(Buffer.of(0x30, 0xff, 0xff, 0xff, 0xff, 0x01));
      await client.expectClosed([0x81, 0x82, 0x95], false);
    },
  ),
  v5(
    'malformed.length.not-minimal',
    '1.5.5-1',
    MUST,
    'a remaining length or property length in more bytes than it takes is malformed',
    async (t) => {
      const topic = t.name();
      const body = new ByteWriter().string(topic).append(Buffer.of(0x80, 0x00)).append(Buffer.from('x')).done();
      const good = encodePublish(LEVEL.v5, { topic, payload: 'x' });
      for (const bad of [
        frame('PUBLISH', body),
        Buffer.concat([good.subarray(0, 1), Buffer.of(good[1]! | 0x80, 0x00), good.subarray(2)]),
      ]) {
        const client = await t.alive();
        client.raw(bad);
        await client.expectClosed(MALFORMED);
      }
    },
  ),
  both(
    'malformed.pieces',
    ['7.1.1-1', '4.2.0-1'],
    MUST,
    'packets that come byte by byte, or many in one piece, are the same packets',
    async (t) => {
      const topic = t.name();
      const client = await t.subscriber(topic);
      const packet = encodePublish(t.version, { topic, payload: 'whole' });
      for (const byte of packet) {
        client.line.write(Buffer.of(byte));
        await new Promise(setImmediate);
      }
      client.raw(Buffer.concat([packet, packet, packet.subarray(0, 3)]));
      client.raw(Buffer.concat([packet.subarray(3), frame('PINGREQ')]));
      await client.expect('PINGRESP');
      for (let i = 0; i < 4; i++) await client.message('whole');
    },
  ),
  v5(
    'malformed.reason.puback',
    '3.4.2-1',
    SHOULD,
    'PUBACK with a reason that does not exist ends the connection',
    async (t) => {
      const topic = t.name();
      const client = await t.subscriber(topic, 1);
      await (await t.connect()).publish({ topic, payload: 'x', qos: 1 });
      client.ack('PUBACK', (await client.message('x')).packetId, NO_REASON);
      await client.expectClosed(MALFORMED);
    },
  ),
  v5(
    'malformed.reason.pubrec',
    '3.5.2-1',
    SHOULD,
    'PUBREC with a reason that does not exist ends the connection',
    async (t) => {
      const topic = t.name();
      const client = await t.subscriber(topic, 2);
      await (await t.connect()).publish({ topic, payload: 'x', qos: 2 });
      client.ack('PUBREC', (await client.message('x')).packetId, NO_REASON);
      await client.expectClosed(MALFORMED);
    },
  ),
  v5(
    'malformed.reason.pubrel',
    '3.6.2-1',
    SHOULD,
    'PUBREL with a reason that does not exist ends the connection',
    async (t) => {
      const client = await t.alive();
      client.sendPublish({ topic: t.name(), payload: 'x', qos: 2, packetId: 5 });
      await client.expectAck('PUBREC', 5);
      client.ack('PUBREL', 5, NO_REASON);
      await client.expectClosed(MALFORMED);
    },
  ),
  v5(
    'malformed.reason.disconnect',
    '3.14.2-1',
    SHOULD,
    'DISCONNECT with a reason that does not exist is no goodbye: the will is published',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const client = await t.alive({ will: { topic, payload: 'will' } });
      client.raw(encodeReason('DISCONNECT', NO_REASON));
      await client.expectClosed(MALFORMED, false);
      await watcher.message('will');
    },
  ),
];
