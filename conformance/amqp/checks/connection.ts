// Checks of the connection handshake: protocol header, start, login, tune, open.

import assert from 'node:assert/strict';
import type { Check } from '../../check.ts';
import { amqp, EXTENSION, MUST, SHOULD } from '../amqp-check.ts';
import { encodeFrame, encodeMethod, FRAME, PROTOCOL_HEADER } from '../wire/frames.ts';
import { encodeTable, int, type Table, table, text } from '../wire/table.ts';

const VERSIONS: readonly (readonly [string, string, readonly number[]])[] = [
  ['newer', 'a protocol header of a newer version is answered with AMQP 0-9-1, and the end', [0, 2, 0, 0]],
  ['protocol-id', 'a protocol header of AMQP 1.0 with SASL is answered with AMQP 0-9-1, and the end', [3, 9, 9, 9]],
];

export const CONNECTION_CHECKS: readonly Check[] = [
  ...VERSIONS.map(([id, title, version]) =>
    amqp(`connection.header.${id}`, '4.2.2', MUST, title, async (t) => {
      const connection = await t.dial();
      connection.raw(Buffer.from([0x41, 0x4d, 0x51, 0x50, ...version]));
      await connection.expectBytesAndEnd(PROTOCOL_HEADER);
    }),
  ),
  amqp(
    'connection.header.other-protocol',
    '4.2.2',
    MUST,
    'bytes of another protocol are answered with AMQP 0-9-1, and the end',
    async (t) => {
      const connection = await t.dial();
      connection.raw(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
      await connection.expectBytesAndEnd(PROTOCOL_HEADER);
    },
  ),
  amqp(
    'connection.header.in-pieces',
    '4.2.2',
    MUST,
    'a protocol header that comes byte by byte is a protocol header',
    async (t) => {
      const connection = await t.dial();
      await t.sendInPieces(
        connection,
        [...PROTOCOL_HEADER].map((byte) => Buffer.of(byte)),
      );
      await connection.expect(0, 'connection.start');
    },
  ),
  amqp('connection.start.version', '1.4.2.1', MUST, 'start proposes version 0-9', async (t) => {
    const { versionMajor, versionMinor } = await (await t.dial()).start();
    assert.deepEqual([versionMajor, versionMinor], [0, 9]);
  }),
  amqp(
    'connection.start.server-properties',
    '1.4.2.1.3',
    SHOULD,
    'start has product, version, platform and information',
    async (t) => {
      const { serverProperties } = await (await t.dial()).start();
      for (const name of ['product', 'version', 'platform', 'information']) {
        assert.equal(serverProperties[name]?.type, 'S', name);
      }
    },
  ),
  amqp('connection.start.copyright', '1.4.2.1.3', SHOULD, 'the copyright in start, if present, is text', async (t) => {
    const { serverProperties } = await (await t.dial()).start();
    assert.ok(['S', undefined].includes(serverProperties.copyright?.type));
    assert.ok(Object.keys(serverProperties).length > 0, 'no properties at all');
  }),
  amqp(
    'connection.start.capabilities',
    'RabbitMQ: Server capabilities',
    EXTENSION,
    'start lists extensions in capabilities, with the value true',
    async (t) => {
      const { serverProperties } = await (await t.dial()).start();
      const { capabilities } = serverProperties;
      assert.equal(capabilities?.type, 'F', 'no table of capabilities');
      for (const name of [
        'publisher_confirms',
        'exchange_exchange_bindings',
        'basic.nack',
        'consumer_cancel_notify',
        'connection.blocked',
        'consumer_priorities',
        'authentication_failure_close',
        'per_consumer_qos',
        'direct_reply_to',
      ]) {
        assert.deepEqual((capabilities as { value: Table }).value[name], { type: 't', value: true }, name);
      }
    },
  ),
  amqp('connection.start.mechanisms', '1.4.2.1.4', MUST, 'start offers PLAIN, in a list with spaces', async (t) => {
    const { mechanisms } = await (await t.dial()).start();
    assert.ok(mechanisms.split(' ').includes('PLAIN'), mechanisms);
  }),
  amqp('connection.start.locales', '1.4.2.1.5', MUST, 'start offers the locale en_US', async (t) => {
    const { locales } = await (await t.dial()).start();
    assert.ok(locales.split(' ').includes('en_US'), locales);
  }),
  amqp('connection.login.plain', '2.2.4', MUST, 'PLAIN logs in', async (t) => {
    await t.connect({ mechanism: 'PLAIN' });
  }),
  amqp('connection.login.amqplain', 'RabbitMQ: Access control', EXTENSION, 'AMQPLAIN logs in', async (t) => {
    const { user, password } = t.context.endpoint;
    const response = encodeTable({ LOGIN: text(user), PASSWORD: text(password) });
    await t.connect({ mechanism: 'AMQPLAIN', response });
  }),
  amqp(
    'connection.login.wrong-password',
    'RabbitMQ: Authentication failure',
    EXTENSION,
    'a wrong password is answered with close 403 if the client has the capability authentication_failure_close',
    async (t) => {
      const connection = await t.dial();
      await connection.start();
      connection.sendStartOk({ password: 'wrong' });
      const { classId, methodId } = await connection.expectClose(403, /^ACCESS_REFUSED - Login was refused/);
      assert.deepEqual([classId, methodId], [0, 0]);
    },
  ),
  amqp(
    'connection.login.wrong-password-silent',
    '2.2.4',
    MUST,
    'a wrong password ends the connection without close if the client lacks the capability authentication_failure_close',
    async (t) => {
      const connection = await t.dial();
      await connection.start();
      connection.sendStartOk({ password: 'wrong', clientProperties: {} });
      await connection.expectEnd();
    },
  ),
  amqp(
    'connection.login.unknown-user',
    'RabbitMQ: Authentication failure',
    EXTENSION,
    'an unknown user gets the same reply as a wrong password',
    async (t) => {
      const connection = await t.dial();
      await connection.start();
      connection.sendStartOk({ user: t.context.name() });
      await connection.expectClose(403, /^ACCESS_REFUSED - Login was refused/);
    },
  ),
  amqp(
    'connection.login.unknown-mechanism',
    '1.4.2.2.2',
    MUST,
    'a mechanism that was not offered ends the connection, with an error at the most',
    async (t) => {
      const connection = await t.dial();
      await connection.start();
      connection.sendStartOk({ mechanism: 'CERTAINLY-NOT' });
      await connection.expectRefusal(503);
    },
  ),
  amqp(
    'connection.login.malformed-response',
    'RabbitMQ: Access control',
    EXTENSION,
    'a response that is no PLAIN response refuses the login',
    async (t) => {
      const connection = await t.dial();
      await connection.start();
      connection.sendStartOk({ response: 'guest' });
      await connection.expectRefusal(502);
    },
  ),
  amqp('connection.start-ok.large', '1.4.2.5.2', MUST, 'start-ok may be a frame of 4,096 octets', async (t) => {
    const { user, password } = t.context.endpoint;
    const startOk = (note: string): Buffer =>
      encodeMethod('connection.start-ok', {
        clientProperties: { note: text(note) },
        mechanism: 'PLAIN',
        response: `\0${user}\0${password}`,
        locale: 'en_US',
      });
    const connection = await t.dial();
    await connection.start();
    const payload = startOk('x'.repeat(4096 - 8 - startOk('').length));
    assert.equal(payload.length, 4088);
    connection.frame(FRAME.method, 0, payload);
    await connection.expect(0, 'connection.tune');
  }),
  amqp('connection.start-ok.properties', '1.4.2.2.1', MUST, 'client properties of any type are welcome', async (t) => {
    const clientProperties = {
      product: text('x'),
      nested: table({ deep: table({ n: int(1) }) }),
      nothing: { type: 'V' },
    } as const;
    await t.connect({ clientProperties });
  }),
  amqp('connection.tune.values', '1.4.2.5', MUST, 'tune offers a frame-max of 0 or at least 4,096', async (t) => {
    const { frameMax } = await (await t.dial()).login();
    assert.ok(frameMax === 0 || frameMax >= 4096, `${frameMax}`);
  }),
  amqp('connection.tune.lower', '1.4.2.6', MUST, 'a client may ask for less in tune-ok', async (t) => {
    const connection = await t.connect({ tune: { channelMax: 1, frameMax: 4096, heartbeat: 0 } });
    await t.channel(connection, 1);
  }),
  amqp(
    'connection.tune.channel-max',
    '1.4.2.6.1',
    MUST,
    'a channel beyond the agreed channel-max is refused with 530',
    async (t) => {
      const connection = await t.connect({ tune: { channelMax: 3 } });
      await t.channel(connection, 3);
      connection.send(4, 'channel.open');
      await connection.expectClose(530);
    },
  ),
  amqp(
    'connection.tune.channel-count',
    '1.4.2.6.1',
    MUST,
    'more channels than the agreed channel-max are refused with 530',
    async (t) => {
      const connection = await t.connect({ tune: { channelMax: 3 } });
      for (const number of [1, 2, 3]) await t.channel(connection, number);
      connection.send(4, 'channel.open');
      await connection.expectClose(530, /^NOT_ALLOWED - /);
    },
  ),
  amqp(
    'connection.tune.channel-max-raised',
    '1.4.2.6.1',
    MUST,
    'a channel-max above the offered one closes the connection',
    async (t) => {
      const connection = await t.dial();
      const offered = await connection.login();
      assert.ok(offered.channelMax > 0, 'no limit is offered');
      connection.send(0, 'connection.tune-ok', { ...offered, channelMax: offered.channelMax + 1 });
      connection.send(0, 'connection.open', { virtualHost: '/' });
      await connection.expectRefusal(530);
    },
  ),
  amqp(
    'connection.tune.frame-max-raised',
    '1.4.2.6.2',
    MUST,
    'a frame-max above the offered one closes the connection',
    async (t) => {
      const connection = await t.dial();
      const offered = await connection.login();
      assert.ok(offered.frameMax > 0, 'no limit is offered');
      connection.send(0, 'connection.tune-ok', { ...offered, frameMax: offered.frameMax + 1 });
      connection.send(0, 'connection.open', { virtualHost: '/' });
      await connection.expectRefusal(530);
    },
  ),
  amqp(
    'connection.tune.frame-max-minimum',
    '1.4.2.6.2',
    MUST,
    'a frame-max below 4,096 closes the connection',
    async (t) => {
      const connection = await t.dial();
      const offered = await connection.login();
      connection.send(0, 'connection.tune-ok', { ...offered, frameMax: 4095 });
      connection.send(0, 'connection.open', { virtualHost: '/' });
      await connection.expectRefusal(530);
    },
  ),
  amqp(
    'connection.tune.unlimited',
    'RabbitMQ: connection tuning',
    EXTENSION,
    'a frame-max of 0 asks for no limit, which is above the offered one',
    async (t) => {
      const connection = await t.dial();
      const offered = await connection.login();
      assert.ok(offered.frameMax > 0, 'no limit is offered');
      connection.send(0, 'connection.tune-ok', { ...offered, frameMax: 0 });
      connection.send(0, 'connection.open', { virtualHost: '/' });
      await connection.expectRefusal(530);
    },
  ),
  amqp('connection.open.unknown-host', '1.4.2.7', MUST, 'an unknown virtual host is refused with 530', async (t) => {
    const connection = await t.dial();
    const offered = await connection.login();
    connection.send(0, 'connection.tune-ok', offered);
    connection.send(0, 'connection.open', { virtualHost: t.context.name() });
    await connection.expectClose(530, /vhost .* not found/);
  }),
  amqp(
    'connection.open.no-permission',
    '1.4.2.7.1',
    SHOULD,
    'a user without permissions in the virtual host is refused with 530',
    async (t) => {
      const user = t.context.name();
      await t.context.controls.createUser!(user, 'secret', null);
      const connection = await t.dial();
      const offered = await connection.login({ user, password: 'secret' });
      connection.send(0, 'connection.tune-ok', offered);
      connection.send(0, 'connection.open', { virtualHost: '/' });
      await connection.expectClose(530, /access to vhost '\/' refused for user/);
    },
    { needs: 'createUser' },
  ),
  amqp(
    'connection.open.separation',
    '1.4.2.7.1',
    MUST,
    'virtual hosts share neither queues nor exchanges',
    async (t) => {
      const virtualHost = t.context.name();
      await t.context.controls.createVirtualHost!(virtualHost);
      const here = await t.channel();
      const queue = await t.sharedQueue(here);
      const exchange = await t.exchange(here, 'fanout');
      const there = await t.connect({ virtualHost });
      const other = await t.channel(there, 1);
      other.send('queue.declare', { queue, passive: true });
      await other.expectClose(404);
      const another = await t.channel(there, 2);
      another.send('exchange.declare', { exchange, passive: true });
      await another.expectClose(404);
    },
    { needs: 'createVirtualHost' },
  ),
  amqp('connection.open.reserved', '1.4.2.8', MUST, 'the reserved field of open-ok is empty', async (t) => {
    const connection = await t.dial();
    const offered = await connection.login();
    connection.send(0, 'connection.tune-ok', offered);
    connection.send(0, 'connection.open', { virtualHost: '/' });
    assert.equal((await connection.expect(0, 'connection.open-ok')).args.reserved1, '');
  }),
  amqp(
    'connection.order.open-first',
    '2.2.4',
    MUST,
    'open before start-ok closes the connection with 503',
    async (t) => {
      const connection = await t.dial();
      await connection.start();
      connection.send(0, 'connection.open', { virtualHost: '/' });
      await connection.expectRefusal(503);
    },
  ),
  amqp(
    'connection.order.channel-first',
    '2.2.4',
    MUST,
    'a channel cannot be opened before the connection is',
    async (t) => {
      const connection = await t.dial();
      const offered = await connection.login();
      connection.send(0, 'connection.tune-ok', offered);
      connection.raw(encodeFrame(FRAME.method, 1, encodeMethod('channel.open', {})));
      await connection.until(() => connection.ends || connection.has(0), 'an end or a close');
      assert.ok(!connection.has(1), 'the channel was opened');
    },
  ),
];
