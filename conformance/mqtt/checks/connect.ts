// Checks of CONNECT and CONNACK: the first packet, protocol name and level, flags, client identifiers, credentials.

import assert from 'node:assert/strict';
import type { MqttCheck, MqttTest } from '../mqtt-check.ts';
import { both, EXTENSION, MUST, v3, v5 } from '../mqtt-check.ts';
import {
  connectBody,
  encodeConnect,
  encodePublish,
  encodeReason,
  encodeSubscribe,
  frame,
  UNKNOWN_LEVEL,
} from '../wire/packets.ts';
import { property } from '../wire/properties.ts';

/**
 * A CONNECT that must end the connection. In 3.1.1 no CONNACK may precede the end; in 5.0 a CONNACK with an error code
 * may. The check first connects with a valid CONNECT to show that the broker accepts one.
 */
function refused(
  id: string,
  statements: readonly [string, string],
  title: string,
  connect: (t: MqttTest) => Uint8Array,
): MqttCheck[] {
  return both(`connect.${id}`, statements, MUST, title, async (t) => {
    await t.connect();
    const connection = await t.dial();
    connection.raw(connect(t));
    await connection.expectClosed([0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x90]);
  });
}

/** Packets other than CONNECT, sent first. */
const FIRST: readonly (readonly [string, (t: MqttTest) => Uint8Array])[] = [
  ['pingreq', () => frame('PINGREQ')],
  ['publish', ({ version }) => encodePublish(version, { topic: 'a', payload: 'b' })],
  ['subscribe', ({ version }) => encodeSubscribe(version, 1, [{ filter: 'a' }])],
  ['disconnect', () => encodeReason('DISCONNECT')],
  ['connack', () => frame('CONNACK', Buffer.of(0, 0))],
];

/** Name, flags byte, what is wrong with it, and the statements. The payload always has a user name and a password. */
const BAD_FLAGS: readonly (readonly [string, number, string, readonly [string, string]])[] = [
  ['reserved', 0xc3, 'the reserved flag set', ['3.1.2-3 3.1.4-1', '3.1.2-3 3.1.4-1']],
  ['will-qos-without-will', 0xca, 'a will QoS but no will', ['3.1.2-11 3.1.2-13', '3.1.2-11']],
  ['will-retain-without-will', 0xe2, 'will retain but no will', ['3.1.2-11 3.1.2-15', '3.1.2-13']],
  ['user-without-flag', 0x02, 'a user name and a password that no flag speaks of', ['3.1.2-18', '3.1.2-16']],
  ['password-without-flag', 0x82, 'a password that no flag speaks of', ['3.1.2-20', '3.1.2-18']],
];

export const CONNECT_CHECKS: readonly (readonly MqttCheck[])[] = [
  both(
    'connect.accepted',
    ['3.1.4-4 3.2.0-1 7.1.1-1 7.0.0-2', '3.1.4-5 3.2.0-1 3.2.2-1 4.2.0-1'],
    MUST,
    'CONNECT is answered with CONNACK 0, before anything else',
    async (t) => {
      const { connack } = await t.connect();
      assert.equal(connack!.sessionPresent, false);
    },
  ),
  ...FIRST.map(([name, packet]) =>
    both(
      `connect.first.${name}`,
      ['3.1.0-1', '3.1.0-1 3.14.0-1'],
      MUST,
      `${name.toUpperCase()} before CONNECT ends the connection without a packet from the broker`,
      async (t) => {
        await t.connect();
        const connection = await t.dial();
        // A server that ignores the unexpected packet would accept the CONNECT that follows it.
        connection.raw(Buffer.concat([packet(t), encodeConnect(t.version, t.connectOptions())]));
        assert.equal(await connection.expectClosed(), null, 'the broker has answered');
        connection.expectNothing();
      },
    ),
  ),
  both(
    'connect.second',
    ['3.1.0-2', '3.1.0-2 3.2.0-2'],
    MUST,
    'a second CONNECT ends the connection, and is not acknowledged',
    async (t) => {
      const connection = await t.connect();
      connection.raw(encodeConnect(t.version, t.connectOptions()));
      await connection.expectClosed([0x82]);
    },
  ),
  both(
    'connect.early',
    ['3.1.4:early 3.2.0-1', '3.1.4:early 3.2.0-1'],
    MUST,
    'packets received before CONNACK is sent are processed after it',
    async (t) => {
      const topic = t.name();
      const connection = await t.dial();
      connection.raw(
        Buffer.concat([
          encodeConnect(t.version, t.connectOptions()),
          encodeSubscribe(t.version, 1, [{ filter: topic }]),
          encodePublish(t.version, { topic, payload: 'early' }),
        ]),
      );
      await connection.expectAccepted();
      await connection.expectAck('SUBACK', 1);
      await connection.message('early');
    },
  ),
  refused('name', ['3.1.2-1', '3.1.2-1'], 'another protocol name ends the connection', (t) =>
    encodeConnect(t.version, t.connectOptions({ name: 'MQTX' })),
  ),
  refused('name.case', ['3.1.2-1', '3.1.2-1'], 'a protocol name in lower case ends the connection', (t) =>
    encodeConnect(t.version, t.connectOptions({ name: 'mqtt' })),
  ),
  v3(
    'connect.level',
    '3.1.2-2 3.2.2-4 3.2.2-5',
    MUST,
    'an unknown protocol level is answered with CONNACK 1 (in the format of 5.0: 0x84), and the end',
    async (t) => {
      const connection = await t.dial();
      connection.raw(encodeConnect(t.version, t.connectOptions({ level: UNKNOWN_LEVEL })));
      await connection.expectRefused(1, 0x84);
    },
  ),
  v5(
    'connect.level',
    '3.1.2-2 3.2.2-7',
    MUST,
    'an unknown protocol level ends the connection, possibly after a CONNACK with that reason',
    async (t) => {
      const connection = await t.dial();
      connection.raw(encodeConnect(t.version, t.connectOptions({ level: UNKNOWN_LEVEL })));
      await connection.until(() => connection.ends || connection.connack !== null, 'CONNACK or the end');
      // A server cannot know the CONNACK format of a future version.
      if (connection.connack !== null) await connection.expectRefused(0x84, 1);
    },
  ),
  ...BAD_FLAGS.map(([id, flags, what, statements]) =>
    refused(`flags.${id}`, statements, `a CONNECT with ${what} ends the connection`, (t) =>
      encodeConnect(t.version, t.connectOptions({ user: 'u', password: 'p', flags })),
    ),
  ),
  refused(
    'flags.user-missing',
    ['3.1.2-19 3.1.4-1', '3.1.2-17 3.1.4-1'],
    'a CONNECT whose user name is missing ends the connection',
    (t) => encodeConnect(t.version, t.connectOptions({ user: null, password: null, flags: 0x82 })),
  ),
  refused(
    'flags.password-missing',
    ['3.1.2-21 3.1.4-1', '3.1.2-19 3.1.4-1'],
    'a CONNECT whose password is missing ends the connection',
    (t) => encodeConnect(t.version, t.connectOptions({ user: 'u', password: null, flags: 0xc2 })),
  ),
  v3(
    'connect.flags.password-without-user',
    '3.1.2-22 3.1.4-1',
    MUST,
    'a CONNECT with a password but no user name ends the connection',
    async (t) => {
      await t.connect();
      const connection = await t.dial();
      connection.raw(encodeConnect(t.version, t.connectOptions({ user: null, password: 'p' })));
      await connection.expectClosed();
    },
  ),
  v5(
    'connect.flags.password-without-user',
    '3.1.2.9:password-alone',
    MUST,
    'a password without a user name is legal: it is accepted or refused as any other',
    async (t) => {
      const connection = await t.begin({ user: null, password: 'p' });
      const [reason] = (await connection.expect('CONNACK')).reasons;
      assert.ok([0x00, 0x86, 0x87].includes(reason!), `CONNACK says ${reason}`);
    },
  ),
  refused(
    'flags.will-missing',
    ['3.1.2-9 3.1.4-1', '3.1.2-9 3.1.4-1'],
    'a CONNECT whose will is missing ends the connection',
    (t) => encodeConnect(t.version, t.connectOptions({ user: null, password: null, flags: 0x06 })),
  ),
  refused('flags.will-qos', ['3.1.2-14', '3.1.2-12'], 'a CONNECT with will QoS 3 ends the connection', (t) => {
    const will = { topic: t.name(), payload: 'will' };
    return encodeConnect(t.version, t.connectOptions({ user: null, password: null, will, flags: 0x1e }));
  }),
  refused(
    'client-id.missing',
    ['3.1.3-3 3.1.4-1', '3.1.3-3 3.1.4-1'],
    'a CONNECT without a client identifier ends the connection',
    (t) => {
      const body = connectBody(t.version, { clientId: '' });
      return frame('CONNECT', body.subarray(0, body.length - 2));
    },
  ),
  refused(
    'client-id.utf8',
    ['3.1.3-4 1.5.3-1', '3.1.3-4 1.5.4-1'],
    'a client identifier that is no UTF-8 ends the connection',
    (t) => encodeConnect(t.version, t.connectOptions({ clientId: Buffer.from([0x61, 0xc3, 0x28]) })),
  ),
  refused('client-id.null', ['1.5.3-2', '1.5.4-2'], 'a client identifier with U+0000 ends the connection', (t) =>
    encodeConnect(t.version, t.connectOptions({ clientId: 'a\0b' })),
  ),
  refused('user.utf8', ['3.1.3-11', '3.1.3-12'], 'a user name that is no UTF-8 ends the connection', (t) =>
    encodeConnect(t.version, t.connectOptions({ user: Buffer.from([0xff, 0xfe]), password: 'p' })),
  ),
  refused('will-topic.utf8', ['3.1.3-10', '3.1.3-11'], 'a will topic that is no UTF-8 ends the connection', (t) =>
    encodeConnect(t.version, t.connectOptions({ will: { topic: Buffer.from([0xed, 0xa0, 0x80]), payload: '' } })),
  ),
  refused('will-topic.wildcard', ['4.7.1-1', '4.7.0-1'], 'a will topic with a wildcard ends the connection', (t) =>
    encodeConnect(t.version, t.connectOptions({ will: { topic: `${t.name()}/#`, payload: '' } })),
  ),
  refused('short', ['3.1.4-1', '3.1.4-1'], 'a CONNECT that ends within its keep alive ends the connection', (t) =>
    frame('CONNECT', connectBody(t.version, { clientId: 'a' }).subarray(0, 9)),
  ),
  refused('long', ['3.1.4-1', '3.1.4-1'], 'a CONNECT with bytes behind its payload ends the connection', (t) =>
    frame('CONNECT', Buffer.concat([connectBody(t.version, t.connectOptions()), Buffer.from('more')])),
  ),
  both(
    'connect.payload-order',
    ['3.1.3-1 3.1.2-9', '3.1.3-1 3.1.2-9'],
    MUST,
    'client identifier, will topic, will message, user name and password are read in this order',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const watcher = await t.subscriber(topic);
      const client = await t.connect({ clientId, will: { topic, payload: 'the will' } });
      // A second connection with the assigned identifier takes the first one over.
      await t.connect({ clientId });
      await client.expectClosed([0x8e]);
      await watcher.message('the will');
    },
  ),
  both(
    'connect.client-id.allowed',
    ['3.1.3-5', '3.1.3-5'],
    MUST,
    'identifiers of 1 to 23 digits and letters are accepted',
    async (t) => {
      const unique = t.name().slice(-6);
      for (const id of ['0123456789abcdefg', 'hijklmnopqrstuvwx', 'yzABCDEFGHIJKLMNO', 'PQRSTUVWXYZ']) {
        await t.connect({ clientId: unique + id });
      }
      await t.connect({ clientId: (unique + t.name()).padEnd(23, 'z').slice(0, 23) });
      await t.connect({ clientId: 'Z' });
    },
  ),
  both(
    'connect.client-id.long',
    ['3.1.3-9', '3.1.3-8'],
    MUST,
    'an identifier of 60,000 bytes is accepted, or refused as one that is not valid, and the end',
    async (t) => {
      const connection = await t.begin({ clientId: t.name().padEnd(60_000, 'x') });
      const [reason] = (await connection.expect('CONNACK')).reasons;
      if (reason === 0) return;
      assert.equal(reason, t.v5 ? 0x85 : 2, 'the code of CONNACK');
      await connection.expectEnd();
    },
  ),
  v3(
    'connect.client-id.empty',
    '3.1.3-6',
    MUST,
    'clients without an identifier get one each: none ends the other',
    async (t) => {
      const [one, other] = [await t.connect({ clientId: '' }), await t.connect({ clientId: '' })];
      await one.ping();
      await other.ping();
    },
  ),
  v3(
    'connect.client-id.empty.unclean',
    '3.1.3-8 3.2.2-4 3.2.2-5',
    MUST,
    'no identifier and clean session 0 is answered with CONNACK 2, and the end',
    async (t) => {
      const connection = await t.begin({ clientId: '', clean: false });
      await connection.expectRefused(2);
    },
  ),
  v5(
    'connect.client-id.assigned',
    '3.1.3-6 3.1.3-7 3.2.2-16',
    MUST,
    'a client without an identifier gets a unique one in CONNACK, which identifies its session',
    async (t) => {
      const clients = [await t.connect({ clientId: '' }), await t.connect({ clientId: '' })];
      const ids = clients.map(({ connack }) => property(connack!.properties, 'assignedClientIdentifier'));
      assert.ok(ids[0] && ids[1], 'CONNACK without an assigned client identifier');
      assert.notEqual(ids[0], ids[1]);
      await t.connect({ clientId: ids[0] });
      await clients[0]!.expectClosed([0x8e]);
      await clients[1]!.ping();
    },
  ),
  v5(
    'connect.client-id.assigned.unclean',
    '3.1.3-6 3.2.2-16',
    MUST,
    'a client without an identifier may ask for a session that is kept, and find it by the assigned one',
    async (t) => {
      const client = await t.resume('');
      const clientId = property(client.connack!.properties, 'assignedClientIdentifier');
      assert.ok(clientId);
      await client.disconnect();
      assert.equal((await t.resume(clientId)).connack!.sessionPresent, true);
    },
  ),
  v5(
    'connect.client-id.not-assigned',
    '3.2.2.3.7:given',
    MUST,
    'a client with an identifier is assigned none',
    async (t) => {
      const { connack } = await t.connect();
      assert.equal(property(connack!.properties, 'assignedClientIdentifier'), undefined);
    },
  ),
  both(
    'connect.rejected.ignored',
    ['3.1.4-5', '3.1.4-6'],
    MUST,
    'packets after a refused CONNECT are not processed',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const connection = await t.dial();
      connection.raw(
        Buffer.concat([
          encodeConnect(t.version, t.connectOptions({ level: UNKNOWN_LEVEL })),
          encodePublish(t.version, { topic, payload: 'refused' }),
        ]),
      );
      await connection.until(() => connection.ends || connection.connack !== null, 'CONNACK or the end');
      if (connection.connack !== null) await connection.expectRefused(1, 0x84);
      await (await t.connect()).publish({ topic, payload: 'accepted' });
      await watcher.message('accepted');
    },
  ),
  both(
    'connect.login.wrong-password',
    ['3.2.2-4 3.2.2-5', '3.1.4-2 3.2.2-6 3.2.2-7 3.2.2-8 4.13.2-1'],
    MUST,
    'a wrong password is refused with that reason code and session present 0, and the connection ends',
    async (t) => {
      const connection = await t.begin({ password: 'wrong' });
      const connack = await connection.expect('CONNACK');
      if (connack.reasons[0] === 0) t.skip('the broker asks for no password');
      assert.ok((t.v5 ? [0x86, 0x87] : [4, 5]).includes(connack.reasons[0]!), `CONNACK says ${connack.reasons[0]}`);
      assert.equal(connack.sessionPresent, false);
      await connection.expectEnd();
    },
  ),
  both(
    'connect.in-pieces',
    ['7.1.1-1', '4.2.0-1'],
    MUST,
    'a CONNECT that comes byte by byte is a CONNECT',
    async (t) => {
      const connection = await t.dial();
      for (const byte of encodeConnect(t.version, t.connectOptions())) {
        connection.line.write(Buffer.of(byte));
        await new Promise(setImmediate);
      }
      await connection.expectAccepted();
    },
  ),
  v3('connect.will-topic.empty', '4.7.3-1', MUST, 'a will without a topic ends the connection', async (t) => {
    await t.connect();
    const connection = await t.dial();
    connection.raw(encodeConnect(t.version, t.connectOptions({ will: { topic: '', payload: 'x' } })));
    await connection.expectClosed();
  }),
  both(
    'connect.extension.utf8-client-id',
    ['3.1.3:any-id', '3.1.3:any-id'],
    EXTENSION,
    'identifiers may have any characters, and find their sessions',
    async (t) => {
      const clientId = `${t.name()} größe/日本 🚀`;
      await (await t.resume(clientId)).disconnect();
      assert.equal((await t.resume(clientId)).connack!.sessionPresent, true);
    },
  ),
];
