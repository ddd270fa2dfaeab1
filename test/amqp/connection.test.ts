// Protects the connection's rules at the socket: handshake, scopes and codes of errors, what is ignored while closing,
// and that malformed input ends only its own connection.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Broker, createBroker } from '../../src/broker.ts';
import { RawAmqp } from '../../support/raw-amqp.ts';
import * as wire from '../../support/wire/amqp.ts';

const { METHOD } = wire;

describe('an AMQP connection', () => {
  let broker: Broker;
  let port: number;
  const clients: RawAmqp[] = [];

  before(async () => {
    broker = await createBroker();
    port = broker.ports.amqp!;
  });

  after(async () => {
    for (const client of clients) client.destroy();
    await broker.stop();
  });

  async function open(frameMax?: number): Promise<RawAmqp> {
    const client = await RawAmqp.open(port, frameMax === undefined ? {} : { frameMax });
    clients.push(client);
    return client;
  }

  async function started(): Promise<RawAmqp> {
    const client = await RawAmqp.connect(port);
    clients.push(client);
    client.send(wire.PROTOCOL_HEADER);
    await client.expect(METHOD.connectionStart);
    return client;
  }

  for (const header of ['HTTP/1.1', 'AMQP\x01\x01\x00\x0a', 'AMQP\x00\x00\x09\x02', 'A!']) {
    test(`the header ${JSON.stringify(header)} is answered with ours, and the connection closed`, async () => {
      const client = await RawAmqp.connect(port);
      clients.push(client);
      client.send(Buffer.from(header, 'latin1'));
      assert.deepEqual(await client.restBytes(), wire.PROTOCOL_HEADER);
    });
  }

  test('single bytes make the same conversation', async () => {
    const client = await RawAmqp.connect(port);
    clients.push(client);
    const bytes = Buffer.concat([
      wire.PROTOCOL_HEADER,
      wire.startOk('guest', 'guest'),
      wire.tuneOk(2047, 131072, 0),
      wire.open('/'),
      wire.channelOpen(1),
      wire.declareQueue(1, 'bytes', { exclusive: true }),
      wire.publish(1, '', 'bytes', Buffer.from('hello')),
      wire.get(1, 'bytes', true),
    ]);
    for (const octet of bytes) client.send(Buffer.from([octet]));
    for (const method of [
      METHOD.connectionStart,
      METHOD.connectionTune,
      METHOD.connectionOpenOk,
      METHOD.channelOpenOk,
      METHOD.queueDeclareOk,
      METHOD.basicGetOk,
    ]) {
      await client.expect(method);
    }
    assert.equal((await client.nextFrame())!.type, wire.FRAME.header);
    assert.equal((await client.nextFrame())!.payload.toString(), 'hello');
  });

  test('wrong credentials: the connection is closed without a method if the client lacks authentication_failure_close', async () => {
    const client = await started();
    client.send(wire.startOk('guest', 'wrong'), wire.tuneOk(2047, 131072, 0), wire.open('/'));
    const rest = await client.restBytes();
    assert.equal(rest.includes('ACCESS_REFUSED'), false);
  });

  test('wrong credentials: 403 to a client with authentication_failure_close', async () => {
    const client = await started();
    const capabilities = Buffer.from('\x1cauthentication_failure_closet\x01', 'latin1');
    const properties = Buffer.concat([wire.shortstr('capabilities'), Buffer.from('F'), wire.longstr(capabilities)]);
    client.send(
      wire.method(
        0,
        METHOD.connectionStartOk,
        wire.longstr(properties),
        wire.shortstr('PLAIN'),
        wire.longstr('\x00guest\x00wrong'),
        wire.shortstr('en_US'),
      ),
      wire.tuneOk(2047, 131072, 0),
      wire.open('/'),
    );
    let frame = await client.nextFrame();
    while (frame !== null && frame.method !== METHOD.connectionClose) frame = await client.nextFrame();
    assert.equal(
      frame!.payload.toString('latin1', 7, 7 + frame!.payload[6]!),
      'ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.',
    );
  });

  test('AMQPLAIN logs in', async () => {
    const client = await started();
    const response = wire.table({ LOGIN: 'guest', PASSWORD: 'guest' }).subarray(4);
    client.send(
      wire.method(
        0,
        METHOD.connectionStartOk,
        wire.table({}),
        wire.shortstr('AMQPLAIN'),
        wire.longstr(response),
        wire.shortstr('en_US'),
      ),
      wire.tuneOk(2047, 131072, 0),
      wire.open('/'),
    );
    await client.expect(METHOD.connectionTune);
    await client.expect(METHOD.connectionOpenOk);
  });

  test('a virtual host that is not there is 530', async () => {
    const client = await started();
    client.send(wire.startOk('guest', 'guest'), wire.tuneOk(2047, 131072, 0), wire.open('nowhere'));
    await client.expect(METHOD.connectionTune);
    const closed = await client.expectConnectionClose();
    assert.deepEqual([closed.code, closed.text], [530, 'NOT_ALLOWED - vhost nowhere not found']);
  });

  for (const [what, tuneOk, text] of [
    ['frame_max below 4096', wire.tuneOk(2047, 4095, 0), 'frame_max = 4095 is lower than the minimum'],
    ['frame_max above ours', wire.tuneOk(2047, 131073, 0), 'frame_max = 131073 is higher than the maximum'],
    ['no frame_max', wire.tuneOk(2047, 0, 0), 'frame_max = 0 is higher than the maximum'],
    ['channel_max above ours', wire.tuneOk(2048, 4096, 0), 'channel_max = 2048 is higher than the maximum'],
  ] as const) {
    test(`tuning with ${what} is refused with 530`, async () => {
      const client = await started();
      client.send(wire.startOk('guest', 'guest'), tuneOk);
      await client.expect(METHOD.connectionTune);
      const closed = await client.expectConnectionClose();
      assert.equal(closed.code, 530);
      assert.ok(closed.text.startsWith(`NOT_ALLOWED - negotiated ${text}`), closed.text);
    });
  }

  const method = (id: number, ...fields: Buffer[]): Buffer => wire.method(1, id as wire.MethodId, ...fields);

  for (const [what, bytes, code] of [
    ['a method on a channel that is not open', wire.checkQueue(2, 'q'), 504],
    ['a content frame on a channel that is not open', wire.frame(3, 2, Buffer.from('x')), 504],
    ['opening a channel twice', wire.channelOpen(1), 504],
    ['a channel above channel_max', wire.channelOpen(2048), 530],
    ['a content header without its method', wire.contentHeader(1, 5), 505],
    ['a content body without its method', wire.frame(3, 1, Buffer.from('x')), 505],
    [
      'a method between publish and its content',
      Buffer.concat([
        method(METHOD.basicPublish, wire.short(0), wire.octet(0), wire.octet(0), wire.octet(0)),
        wire.checkQueue(1, 'q'),
      ]),
      505,
    ],
    ['a frame of unknown type', wire.frame(7, 1, Buffer.alloc(4)), 501],
    ['a frame that does not end in CE', Buffer.from('01000100000004001400100000', 'hex'), 501],
    ['a frame above frame_max', Buffer.from('010001000fffff', 'hex'), 501],
    ['a heartbeat on a channel', wire.frame(8, 1, Buffer.alloc(0)), 505],
    ['an unknown class', method(0x00ff000a), 540],
    ['an unknown method', method(0x003c00ff), 540],
    ['a method that only brokers send', method(0x003c003c), 503],
    ['a connection method on a channel', method(METHOD.connectionTuneOk), 503],
    ['a channel method on channel 0', wire.channelOpen(0), 504],
    ['a second start-ok', wire.startOk('guest', 'guest'), 504],
    ['a second tune-ok', wire.tuneOk(2047, 4096, 0), 504],
    ['a second connection.open', wire.open('/'), 504],
    ['a method frame without a method', wire.frame(1, 1, Buffer.alloc(3)), 501],
    ['arguments that are cut short', method(METHOD.queueDeclare, wire.short(0), wire.octet(9)), 502],
    ['bytes behind the last argument', method(METHOD.basicQos, Buffer.alloc(8)), 502],
    ['immediate', method(METHOD.basicPublish, wire.short(0), wire.octet(0), wire.octet(0), wire.octet(2)), 540],
    ['channel.flow active=false', method(METHOD.channelFlow, wire.octet(0)), 540],
    ['an exchange of a type that is not there', wire.declareExchange(1, 'x', 'x-nothing'), 503],
    [
      'a malformed property list',
      Buffer.concat([
        method(METHOD.basicPublish, wire.short(0), wire.octet(0), wire.octet(0), wire.octet(0)),
        wire.frame(2, 1, Buffer.concat([wire.long(60 << 16), wire.longlong(0), wire.short(0x8000), wire.octet(9)])),
      ]),
      502,
    ],
  ] as const) {
    test(`${what} closes the connection with ${code}`, async () => {
      const client = await open();
      client.send(bytes);
      assert.equal((await client.expectConnectionClose()).code, code);
      client.send(wire.method(0, METHOD.connectionCloseOk));
      assert.equal((await client.restBytes()).length, 0);
    });
  }

  test('the texts of errors are those of RabbitMQ, and name the method at fault', async () => {
    const client = await open();
    client.send(wire.checkQueue(1, 'nobody'));
    assert.deepEqual(await client.expectChannelClose(), {
      code: 404,
      text: "NOT_FOUND - no queue 'nobody' in vhost '/'",
      classId: 50,
      methodId: 10,
    });
  });

  test('after channel.close everything is ignored until close-ok; then the channel opens again', async () => {
    const client = await open();
    client.send(
      wire.publish(1, 'nobody', 'k', Buffer.from('x')),
      wire.publish(1, 'nobody', 'k', Buffer.from('x')),
      wire.checkQueue(1, 'q'),
      wire.ack(1, 7, false),
      wire.frame(3, 1, Buffer.from('stray')),
    );
    const closed = await client.expectChannelClose();
    assert.deepEqual(
      [closed.code, closed.text, closed.classId, closed.methodId],
      [404, "NOT_FOUND - no exchange 'nobody' in vhost '/'", 60, 40],
    );
    client.send(wire.method(1, METHOD.channelCloseOk), wire.channelOpen(1));
    await client.expect(METHOD.channelOpenOk);
  });

  test('other channels stay open when one is closed', async () => {
    const client = await open();
    client.send(wire.channelOpen(2));
    await client.expect(METHOD.channelOpenOk);
    client.send(wire.ack(1, 1, false), wire.declareQueue(2, '', { exclusive: true }));
    const closed = await client.expectChannelClose();
    assert.deepEqual([closed.code, closed.text], [406, 'PRECONDITION_FAILED - unknown delivery tag 1']);
    await client.expect(METHOD.queueDeclareOk);
  });

  test('all 2,047 channels work at once', async () => {
    const client = await open();
    for (let channel = 2; channel <= 2047; channel++) client.send(wire.channelOpen(channel));
    for (let channel = 2; channel <= 2047; channel++) assert.equal((await client.nextFrame())!.channel, channel);
    client.send(wire.declareQueue(2047, 'far', { exclusive: true }));
    await client.expect(METHOD.queueDeclareOk);
    client.send(wire.publish(2047, '', 'far', Buffer.from('x')), wire.get(1, 'far', true));
    await client.expect(METHOD.basicGetOk);
  });

  test('control operations and publishes of one connection never overtake each other', async () => {
    const client = await open();
    const steps: Buffer[] = [];
    for (let i = 0; i < 50; i++) {
      steps.push(wire.declareQueue(1, `step-${i}`, { exclusive: true }));
      steps.push(wire.publish(1, '', `step-${i}`, Buffer.from(String(i))));
      steps.push(wire.get(1, `step-${i}`, true));
    }
    client.send(...steps);
    for (let i = 0; i < 50; i++) {
      await client.expect(METHOD.queueDeclareOk);
      await client.expect(METHOD.basicGetOk);
      await client.nextFrame();
      assert.equal((await client.nextFrame())!.payload.toString(), String(i));
    }
  });

  test('a body that is spread over frames arrives whole, in frames no larger than asked for', async () => {
    const body = Buffer.alloc(20_000, 'abcdefghij');
    const frames: Buffer[] = [];
    for (let at = 0; at < body.length; at += 777) frames.push(wire.frame(3, 1, body.subarray(at, at + 777)));
    const client = await open(4096);
    client.send(
      wire.declareQueue(1, 'large', { exclusive: true }),
      wire.method(1, METHOD.basicPublish, wire.short(0), wire.shortstr(''), wire.shortstr('large'), wire.octet(0)),
      wire.contentHeader(1, body.length),
      wire.frame(3, 1, Buffer.alloc(0)),
      ...frames,
      wire.get(1, 'large', true),
    );
    await client.expect(METHOD.queueDeclareOk);
    await client.expect(METHOD.basicGetOk);
    assert.equal((await client.nextFrame())!.type, wire.FRAME.header);
    const parts: Buffer[] = [];
    for (let bytes = 0; bytes < body.length; bytes += parts.at(-1)!.length) {
      const frame = (await client.nextFrame())!;
      assert.ok(frame.payload.length <= 4096 - 8);
      parts.push(frame.payload);
    }
    assert.deepEqual(Buffer.concat(parts), body);
  });

  test('a body longer than its header declares is 501', async () => {
    const client = await open();
    client.send(
      wire.method(1, METHOD.basicPublish, wire.short(0), wire.shortstr(''), wire.shortstr('k'), wire.octet(0)),
      wire.contentHeader(1, 3),
      wire.frame(3, 1, Buffer.from('four')),
    );
    assert.equal((await client.expectConnectionClose()).code, 501);
  });

  test('connection.close is answered, and deletes the exclusive queues of the connection', async () => {
    const client = await open();
    client.send(wire.declareQueue(1, 'mine', { exclusive: true }));
    await client.expect(METHOD.queueDeclareOk);
    const other = await open();
    other.send(wire.checkQueue(1, 'mine'));
    assert.equal((await other.expectChannelClose()).code, 405);
    client.send(wire.connectionClose());
    await client.expect(METHOD.connectionCloseOk);
    const third = await open();
    third.send(wire.checkQueue(1, 'mine'));
    assert.equal((await third.expectChannelClose()).code, 404);
  });

  for (const [when, bytes, answers] of [
    ['before start-ok', Buffer.alloc(0), [METHOD.connectionStart]],
    ['before tune-ok', wire.startOk('guest', 'guest'), [METHOD.connectionStart, METHOD.connectionTune]],
    [
      'before open',
      Buffer.concat([wire.startOk('guest', 'guest'), wire.tuneOk(2047, 131072, 0)]),
      [METHOD.connectionStart, METHOD.connectionTune],
    ],
    [
      'in the midst of content',
      Buffer.concat([
        wire.startOk('guest', 'guest'),
        wire.tuneOk(2047, 131072, 0),
        wire.open('/'),
        wire.channelOpen(1),
        wire.method(1, METHOD.basicPublish, wire.short(0), wire.shortstr(''), wire.shortstr('k'), wire.octet(0)),
        wire.contentHeader(1, 10),
      ]),
      [METHOD.connectionStart, METHOD.connectionTune, METHOD.connectionOpenOk, METHOD.channelOpenOk],
    ],
  ] as const) {
    test(`a client may close ${when}`, async () => {
      const client = await RawAmqp.connect(port);
      clients.push(client);
      client.send(wire.PROTOCOL_HEADER, bytes, wire.connectionClose());
      for (const answer of answers) await client.expect(answer);
      await client.expect(METHOD.connectionCloseOk);
      assert.equal(await client.nextFrame(), null);
    });
  }

  test('a client that closes while the broker does is answered', async () => {
    const client = await open();
    client.send(wire.checkQueue(9, 'q'), wire.connectionClose());
    assert.equal((await client.expectConnectionClose()).code, 504);
    await client.expect(METHOD.connectionCloseOk);
    assert.equal(await client.nextFrame(), null);
  });

  test('a channel that both sides close is closed once', async () => {
    const client = await open();
    client.send(wire.checkQueue(1, 'nobody'), wire.channelClose(1), wire.method(1, METHOD.channelCloseOk));
    assert.equal((await client.expectChannelClose()).code, 404);
    await client.expect(METHOD.channelCloseOk);
    client.send(wire.channelOpen(1));
    await client.expect(METHOD.channelOpenOk);
  });

  test('the broker lists its capabilities', async () => {
    const client = await RawAmqp.connect(port);
    clients.push(client);
    client.send(wire.PROTOCOL_HEADER);
    const properties = await client.expect(METHOD.connectionStart);
    for (const capability of [
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
      const field = Buffer.concat([wire.shortstr(capability), Buffer.from('t\x01')]);
      assert.ok(properties.includes(field), capability);
    }
  });

  test('update-secret is acknowledged', async () => {
    const client = await open();
    client.send(wire.method(0, 0x000a0046 as wire.MethodId, wire.longstr('secret'), wire.shortstr('expired')));
    await client.expect(0x000a0047);
  });

  test('a broker that stops closes its connections with 320', async () => {
    const leaving = await createBroker();
    const client = await RawAmqp.open(leaving.ports.amqp!);
    const stopped = leaving.stop();
    assert.equal((await client.expectConnectionClose()).code, 320);
    client.send(wire.method(0, METHOD.connectionCloseOk));
    await client.restBytes();
    await stopped;
  });
});
