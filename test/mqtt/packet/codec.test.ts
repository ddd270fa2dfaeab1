// PUBLISH, acknowledgements and the control packets against bytes built from the specification's tables.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DEFAULT_MQTT_LIMITS } from '../../../protocols/mqtt/limits.ts';
import { ConnectReader, type ConnectRequest, NEVER_ENDS } from '../../../protocols/mqtt/packet/connect-packet.ts';
import { ControlPackets } from '../../../protocols/mqtt/packet/control.ts';
import { connack, LEVEL } from '../../../protocols/mqtt/packet/packet-types.ts';
import { PropertyScanner } from '../../../protocols/mqtt/packet/properties.ts';
import {
  headerBytes,
  PublishReader,
  publishLength,
  readPacketId,
  writeAck,
  writePublishHead,
} from '../../../protocols/mqtt/packet/publish-packet.ts';
import { CONNECT_CODE, REASON } from '../../../protocols/mqtt/packet/reason-codes.ts';
import { ack, type ConnectFields, connect, packet, publish, subscribe, text, u16, unsubscribe } from '../bytes.ts';

const scanner = new PropertyScanner(DEFAULT_MQTT_LIMITS.propertyBytes);
const control = new ControlPackets(scanner, DEFAULT_MQTT_LIMITS);
const connects = new ConnectReader({ topicBytes: 4096, topicLevels: 128 }, scanner);

/** Offset of a packet's content. */
function bodyOf(bytes: Buffer): number {
  let at = 1;
  while (bytes[at++]! > 127);
  return at;
}

function readConnect(bytes: Buffer): ConnectRequest {
  return connects.read(bytes, bodyOf(bytes), bytes.length);
}

describe('PUBLISH', () => {
  const reader = new PublishReader();
  const read = (bytes: Buffer): void => reader.read(bytes, bytes[0]!, bodyOf(bytes), bytes.length);

  it('is read where it lies', () => {
    const bytes = publish('a/b', 'hello', 1, 258, 9);
    read(bytes);
    assert.deepEqual(
      { ...reader },
      { qos: 1, retain: true, duplicate: true, topicStart: 4, topicLength: 3, packetId: 258, payloadStart: 9 },
    );
    read(publish('a/b', 'hello'));
    assert.deepEqual(
      { ...reader },
      { qos: 0, retain: false, duplicate: false, topicStart: 4, topicLength: 3, packetId: 0, payloadStart: 7 },
    );
    read(publish('t', '', 2, 65_535));
    assert.equal(reader.qos, 2);
    assert.equal(reader.packetId, 65_535);
  });

  it('is refused with QoS 3, DUP at QoS 0, packet id 0 or fields beyond its end', () => {
    const bad = [
      packet(0x36, text('a'), u16(1)),
      packet(0x38, text('a')),
      packet(0x32, text('a'), u16(0)),
      packet(0x32, text('a')),
      packet(0x32, text('a'), Buffer.from([1])),
      packet(0x30),
      packet(0x30, Buffer.from([0])),
      packet(0x30, u16(3), Buffer.from('ab')),
    ];
    for (const bytes of bad) assert.throws(() => read(bytes), { name: 'MalformedPacket' }, bytes.toString('hex'));
  });

  it('is written as the specification draws it', () => {
    const lengths = [0, 1, 15, 16, 120, 121, 128, 16_370, 16_380, 16_384, 2_097_140, 2_097_152];
    fc.assert(
      fc.property(
        fc.string({ minLength: 1, maxLength: 40 }),
        fc.oneof(fc.constantFrom(...lengths), fc.nat(300)),
        fc.constantFrom(0, 1),
        fc.integer({ min: 1, max: 65_535 }),
        (topic, bodyBytes, qos, packetId) => {
          const body = Buffer.alloc(bodyBytes, 7);
          const expected = publish(topic, body, qos, packetId);
          const topicBytes = Buffer.from(topic);
          const length = publishLength(topicBytes.length, bodyBytes, qos);
          const target = Buffer.alloc(expected.length + 3);
          const at = writePublishHead(target, 3, 0x30 | (qos << 1), topicBytes, qos === 0 ? 0 : packetId, length);
          assert.equal(at + bodyBytes, 3 + headerBytes(length) + length);
          body.copy(target, at);
          assert.ok(target.subarray(3).equals(expected));
        },
      ),
    );
  });
});

describe('acknowledgements', () => {
  it('are four bytes with a packet id', () => {
    const target = Buffer.alloc(5);
    assert.equal(writeAck(target, 1, 0x40, 0x1234), 5);
    assert.ok(target.subarray(1).equals(ack(0x40, 0x1234)));
    assert.equal(readPacketId(target, 3, 5), 0x1234);
  });

  it('are refused with packet id 0 or another length', () => {
    assert.throws(() => readPacketId(Buffer.from([0, 0]), 0, 2), { name: 'MalformedPacket' });
    assert.throws(() => readPacketId(Buffer.from([0, 1]), 0, 1), { name: 'MalformedPacket' });
    assert.throws(() => readPacketId(Buffer.from([0, 1, 0]), 0, 3), { name: 'MalformedPacket' });
  });
});

/** Fields that only MQTT 5 has, as a CONNECT of 3.1.1 decodes them. */
const V4 = {
  level: 4,
  bridge: false,
  receiveMaximum: 65_535,
  maximumPacketBytes: Number.POSITIVE_INFINITY,
  topicAliasMaximum: 0,
  wantsResponseInformation: false,
  wantsProblems: false,
  authenticationMethod: null,
  authenticationData: null,
};

describe('CONNECT', () => {
  it('with every field is read', () => {
    const request = readConnect(
      connect({
        clientId: 'Gerät',
        keepAlive: 60,
        will: { topic: 'gone/ü', payload: 'bye' },
        user: 'vhost:user',
        password: 'secret',
        flags: 0xc4 | 0x08 | 0x20,
      }),
    );
    assert.deepEqual(request, {
      ...V4,
      clientId: 'Gerät',
      cleanStart: false,
      expirySeconds: NEVER_ENDS,
      keepAliveSeconds: 60,
      user: 'vhost:user',
      password: 'secret',
      will: {
        topic: 'gone/ü',
        payload: Buffer.from('bye'),
        qos: 1,
        retain: true,
        block: Buffer.alloc(0),
        delaySeconds: 0,
        expirationMs: -1,
      },
    });
  });

  it('with the least is read', () => {
    assert.deepEqual(readConnect(connect({ clientId: '' })), {
      ...V4,
      clientId: '',
      cleanStart: true,
      expirySeconds: 0,
      keepAliveSeconds: 0,
      user: null,
      password: null,
      will: null,
    });
  });

  it('of MQTT 3.1 is read', () => {
    assert.equal(readConnect(connect({ name: 'MQIsdp', level: 3 })).level, 3);
  });

  it('of another version is answered with return code 1', () => {
    for (const [name, level] of [
      ['MQTT', 6],
      ['MQTT', 3],
      ['MQTT', 0x85],
      ['MQTT', 0x83],
      ['MQIsdp', 4],
      ['MQTT', 0],
    ] as const) {
      assert.throws(() => readConnect(connect({ name, level })), { reason: REASON.unsupportedVersion });
    }
    // The rest of the packet belongs to that version.
    assert.throws(() => readConnect(connect({ level: 6, flags: 1 })), { name: 'ConnectRefused' });
  });

  it('is refused at every breach of its form', () => {
    const will = { topic: 'w', payload: 'p' };
    const bad: [why: string, fields: ConnectFields | Buffer][] = [
      ['unknown name', { name: 'MQTX' }],
      ['reserved flag', { flags: 0x03 }],
      ['will QoS 3', { will, flags: 0x1e }],
      ['will QoS without will', { flags: 0x0a }],
      ['will retain without will', { flags: 0x22 }],
      ['password without user', { password: 'p', flags: 0x42 }],
      ['U+0000 in the client id', { clientId: 'a\u0000' }],
      ['client id is not UTF-8', { clientId: Buffer.from([0xff]) }],
      ['surrogate in the user', { user: Buffer.from([0xed, 0xa0, 0x80]) }],
      ['will topic with a wildcard', { will: { topic: 'a/+', payload: '' } }],
      ['empty will topic', { will: { topic: '', payload: '' } }],
      ['bytes after the end', packet(0x10, text('MQTT'), Buffer.from([4, 2, 0, 0]), text('c'), Buffer.from([0]))],
      ['user flag without user', { flags: 0x82 }],
      ['will flag without will', { flags: 0x06 }],
      ['no client id', packet(0x10, text('MQTT'), Buffer.from([4, 2, 0, 0]))],
      ['short keep alive', packet(0x10, text('MQTT'), Buffer.from([4, 2, 0]))],
      ['nothing', packet(0x10)],
    ];
    for (const [why, fields] of bad) {
      const bytes = Buffer.isBuffer(fields) ? fields : connect(fields);
      assert.throws(() => readConnect(bytes), { name: 'MalformedPacket' }, why);
    }
  });

  it('cut short anywhere is refused', () => {
    const whole = connect({ will: { topic: 'w', payload: 'p' }, user: 'u', password: 'p' });
    for (let length = bodyOf(whole); length < whole.length; length++) {
      assert.throws(() => connects.read(whole, bodyOf(whole), length), { name: 'MalformedPacket' });
    }
    // The reader keeps no state: the next packet is read.
    assert.equal(readConnect(whole).user, 'u');
  });
});

describe('CONNACK', () => {
  it('says session present only when it accepts [MQTT-3.2.2-4]', () => {
    assert.deepEqual([...connack(CONNECT_CODE.accepted, true)], [0x20, 2, 1, 0]);
    assert.deepEqual([...connack(CONNECT_CODE.accepted, false)], [0x20, 2, 0, 0]);
    assert.deepEqual([...connack(CONNECT_CODE.notAuthorized, true)], [0x20, 2, 0, 5]);
  });
});

/** A subscription without options. */
const PLAIN = { noLocal: false, retainAsPublished: false, retainHandling: 0, identifier: 0 };

describe('SUBSCRIBE and UNSUBSCRIBE', () => {
  const readSubscribe = (bytes: Buffer) => control.subscribe(bytes, 0, bodyOf(bytes), bytes.length, LEVEL.v3_1_1);
  const readUnsubscribe = (bytes: Buffer) => control.unsubscribe(bytes, 0, bodyOf(bytes), bytes.length, LEVEL.v3_1_1);

  it('are read', () => {
    assert.deepEqual(readSubscribe(subscribe(10, ['a/+', 0], ['ü/#', 2])), {
      packetId: 10,
      subscriptions: [
        { ...PLAIN, filter: 'a/+', qos: 0 },
        { ...PLAIN, filter: 'ü/#', qos: 2 },
      ],
    });
    assert.deepEqual(readUnsubscribe(unsubscribe(65_535, 'a/+', '#')), { packetId: 65_535, filters: ['a/+', '#'] });
  });

  it('are refused at every breach of their form', () => {
    const bad: Buffer[] = [
      subscribe(0, ['a', 0]),
      subscribe(1),
      subscribe(1, ['a', 3]),
      subscribe(1, ['a', 4]),
      subscribe(1, ['a', 0x80]),
      subscribe(1, ['', 0]),
      subscribe(1, ['a#', 0]),
      subscribe(1, ['a', 0], ['b+', 0]),
      subscribe(1, ['nul\u0000', 0]),
      subscribe(1, [Buffer.from([0xff]), 0]),
      packet(0x80, u16(1), text('a'), Buffer.from([0])),
      packet(0x82, u16(1), text('a')),
      packet(0x82, u16(1), u16(5), Buffer.from('abc')),
      packet(0x82, Buffer.from([1])),
      packet(0x82),
    ];
    for (const bytes of bad)
      assert.throws(() => readSubscribe(bytes), { name: 'MalformedPacket' }, bytes.toString('hex'));
    const badToo: Buffer[] = [
      unsubscribe(0, 'a'),
      unsubscribe(1),
      unsubscribe(1, ''),
      unsubscribe(1, 'a/#/b'),
      unsubscribe(1, Buffer.from([0xc3])),
      packet(0xa0, u16(1), text('a')),
      packet(0xa2, u16(1), text('a'), Buffer.from([0])),
      packet(0xa2, u16(1), u16(2), Buffer.from('a')),
    ];
    for (const bytes of badToo) {
      assert.throws(() => readUnsubscribe(bytes), { name: 'MalformedPacket' }, bytes.toString('hex'));
    }
    assert.equal(readSubscribe(subscribe(3, ['a', 1])).packetId, 3);
  });
});

describe('DISCONNECT and AUTH', () => {
  const readDisconnect = (...bytes: number[]) => control.disconnect(Buffer.from(bytes), 0, 2, bytes.length, LEVEL.v5);
  const readAuth = (...bytes: number[]) => control.auth(Buffer.from(bytes), 0, 2, bytes.length);

  it('are read without the fields that may be left out', () => {
    assert.deepEqual(readDisconnect(0xe0, 0), { reason: REASON.success, expirySeconds: null });
    assert.deepEqual(readDisconnect(0xe0, 1, 0x04), { reason: REASON.disconnectWithWill, expirySeconds: null });
    assert.deepEqual(readAuth(0xf0, 0), { reason: REASON.success, method: null, data: null });
    assert.deepEqual(readAuth(0xf0, 1, 0x18), { reason: REASON.continueAuthentication, method: null, data: null });
  });

  it('are refused with reserved flags [MQTT-3.14.1-1] [MQTT-3.15.1-1]', () => {
    for (const flags of [1, 2, 4, 8, 15]) {
      assert.throws(() => readDisconnect(0xe0 | flags, 0), { name: 'MalformedPacket' }, `DISCONNECT ${flags}`);
      assert.throws(() => readAuth(0xf0 | flags, 0), { name: 'MalformedPacket' }, `AUTH ${flags}`);
    }
  });
});
