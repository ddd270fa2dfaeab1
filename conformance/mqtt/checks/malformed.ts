// What no client may send: packets that are malformed or out of place, and properties of 5.0 twice or where they do not
// belong. The connection ends; 5.0 should say why.

import type { MqttCheck } from '../mqtt-check.ts';
import { both, MUST, SHOULD, v3, v5 } from '../mqtt-check.ts';
import { ByteWriter } from '../wire/bytes.ts';
import {
  encodeAck,
  encodeConnect,
  encodePublish,
  encodeReason,
  encodeSubscribe,
  encodeUnsubscribe,
  frame,
  LEVEL,
  type Level,
} from '../wire/packets.ts';
import { anyValue, encodeProperty, type Properties, type Property, type PropertyName } from '../wire/properties.ts';

const MALFORMED = [0x81, 0x82];
/** Of no packet. */
const NO_REASON = 0x03;

/** First bytes whose flags are not those of their packet, and bodies that would be right. */
const FLAGS: readonly (readonly [string, number, readonly number[], readonly [string, string]])[] = [
  ['puback', 0x41, [0, 1], ['2.2.2-1 2.2.2-2', '2.1.3-1']],
  ['pubrec', 0x52, [0, 1], ['2.2.2-1 2.2.2-2', '2.1.3-1']],
  ['pubrel', 0x60, [0, 1], ['3.6.1-1 2.2.2-2', '3.6.1-1 2.1.3-1']],
  ['pubcomp', 0x78, [0, 1], ['2.2.2-1 2.2.2-2', '2.1.3-1']],
  ['pingreq', 0xc1, [], ['2.2.2-1 2.2.2-2', '2.1.3-1']],
  ['disconnect', 0xe1, [], ['3.14.1-1 2.2.2-2', '3.14.1-1 2.1.3-1']],
];

/** Types that a client never sends, by their first byte. */
const OUT_OF_PLACE: readonly (readonly [string, number, readonly number[]])[] = [
  ['connack', 0x20, [0, 0]],
  ['suback', 0x90, [0, 1, 0]],
  ['unsuback', 0xb0, [0, 1]],
  ['pingresp', 0xd0, []],
];

/** Packets that are too short or too long for their type, or whose parts do not fit. */
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

/** Packets with properties, by name: how one is sent. */
const CARRIERS: Readonly<Record<string, (properties: Properties, topic: string) => Uint8Array>> = {
  publish: (properties, topic) => encodePublish(LEVEL.v5, { topic, payload: 'x', properties }),
  subscribe: (properties, filter) => encodeSubscribe(LEVEL.v5, 1, [{ filter }], properties),
  unsubscribe: (properties, filter) => encodeUnsubscribe(LEVEL.v5, 1, [filter], properties),
  puback: (properties) => encodeAck('PUBACK', 1, 0, properties),
  pubrec: (properties) => encodeAck('PUBREC', 1, 0, properties),
  pubrel: (properties) => encodeAck('PUBREL', 1, 0, properties),
  pubcomp: (properties) => encodeAck('PUBCOMP', 1, 0, properties),
  disconnect: (properties) => encodeReason('DISCONNECT', 0, properties),
};

/** Properties that may stand once in a packet, and where that is written. */
const ONCE: readonly (readonly [string, string, readonly PropertyName[]])[] = [
  [
    'publish',
    '3.3.2.3:once',
    [
      'payloadFormatIndicator',
      'messageExpiryInterval',
      'topicAlias',
      'responseTopic',
      'correlationData',
      'contentType',
    ],
  ],
  ['subscribe', '3.8.2.1.2:once', ['subscriptionIdentifier']],
  ['puback', '3.4.2.2.2:once', ['reasonString']],
  ['pubrec', '3.5.2.2.2:once', ['reasonString']],
  ['pubrel', '3.6.2.2.2:once', ['reasonString']],
  ['pubcomp', '3.7.2.2.2:once', ['reasonString']],
];

/** And in CONNECT and its will. */
const CONNECT_ONCE: readonly PropertyName[] = [
  'sessionExpiryInterval',
  'receiveMaximum',
  'maximumPacketSize',
  'topicAliasMaximum',
  'requestResponseInformation',
  'requestProblemInformation',
  'authenticationMethod',
  'authenticationData',
];
const WILL_ONCE: readonly PropertyName[] = [
  'willDelayInterval',
  'payloadFormatIndicator',
  'messageExpiryInterval',
  'contentType',
  'responseTopic',
  'correlationData',
];

/** Properties that do not belong into a packet. */
const MISPLACED: readonly (readonly [string, readonly PropertyName[]])[] = [
  ['publish', ['sessionExpiryInterval', 'willDelayInterval', 'reasonString', 'receiveMaximum', 'authenticationMethod']],
  ['subscribe', ['topicAlias', 'contentType', 'reasonString', 'sessionExpiryInterval']],
  ['unsubscribe', ['subscriptionIdentifier', 'topicAlias', 'reasonString']],
  ['puback', ['topicAlias', 'contentType', 'sessionExpiryInterval']],
  ['pubrec', ['messageExpiryInterval', 'subscriptionIdentifier']],
  ['pubrel', ['responseTopic', 'receiveMaximum']],
  ['pubcomp', ['correlationData', 'maximumQos']],
];
const CONNECT_MISPLACED: readonly PropertyName[] = [
  'assignedClientIdentifier',
  'serverKeepAlive',
  'topicAlias',
  'reasonString',
  'maximumQos',
  'willDelayInterval',
  'contentType',
];
const WILL_MISPLACED: readonly PropertyName[] = ['topicAlias', 'subscriptionIdentifier', 'sessionExpiryInterval'];

/** Flags of CONNECT that are 0 or 1. */
const CONNECT_FLAGS: readonly PropertyName[] = ['requestResponseInformation', 'requestProblemInformation'];

/** The 5.0 checks that CONNECT with these properties, or a will with those, is refused. */
function badConnect(
  id: string,
  statements: string,
  title: string,
  properties: Properties,
  will: Properties | null = null,
): readonly MqttCheck[] {
  return v5(id, statements, MUST, title, async (t) => {
    const connection = await t.dial();
    const options = will === null ? {} : { will: { topic: t.name(), payload: 'x', properties: will } };
    connection.raw(encodeConnect(LEVEL.v5, t.connectOptions({ properties, ...options })));
    await connection.expectClosed(MALFORMED);
  });
}

/** What a property that may stand once looks like twice. */
function twice(name: PropertyName): readonly Property[] {
  const one = anyValue(name);
  // Data without a method is another violation.
  const method = name === 'authenticationData' ? [anyValue('authenticationMethod')] : [];
  return [...method, one, one];
}

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
        // What is malformed is no goodbye either: the will tells.
        const client = await t.connect({ will: { topic, payload: 'will' } });
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
      const connection = await t.dial();
      const connect = encodeConnect(t.version, t.connectOptions());
      connect[0] = 0x11;
      connection.raw(connect);
      await connection.expectClosed(MALFORMED);
    },
  ),
  v5('malformed.flags.auth', '3.15.1-1', MUST, 'AUTH with flags that are not 0 ends the connection', async (t) => {
    const client = await t.connect();
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
        const client = await t.connect();
        client.raw(frame(first, Buffer.from(body)));
        await client.expectClosed(MALFORMED);
      },
    ),
  ),
  both('malformed.type0', ['4.8.0-1', '4.13.1-1'], MUST, 'a packet of type 0 ends the connection', async (t) => {
    const client = await t.connect();
    client.raw(Buffer.of(0x00, 0x00));
    await client.expectClosed(MALFORMED);
  }),
  v3('malformed.type15', '4.8.0-1', MUST, 'a packet of type 15 ends the connection', async (t) => {
    const client = await t.connect();
    client.raw(Buffer.of(0xf0, 0x00));
    await client.expectClosed();
  }),
  ...LENGTHS.map(([name, what, packet]) =>
    both(`malformed.length.${name}`, ['4.8.0-1', '4.13.1-1'], MUST, `${what} ends the connection`, async (t) => {
      const client = await t.connect();
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
      const client = await t.connect();
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
        const client = await t.connect();
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
  both('ping', ['3.12.4-1', '3.12.4-1'], MUST, 'each PINGREQ is answered with a PINGRESP', async (t) => {
    const client = await t.connect();
    for (let i = 0; i < 5; i++) client.raw(frame('PINGREQ'));
    for (let i = 0; i < 5; i++) await client.expect('PINGRESP');
  }),
  both(
    'disconnect.closed',
    ['3.14.4:closed', '3.14.4:closed'],
    SHOULD,
    'DISCONNECT is followed by the end of the connection, without a word',
    async (t) => {
      const client = await t.connect();
      await client.disconnect();
      client.expectNothing();
    },
  ),
  both(
    'disconnect.published',
    ['3.14.4:before', '3.14.4:before'],
    MUST,
    'what was sent before DISCONNECT is processed',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const client = await t.connect();
      client.raw(
        Buffer.concat([encodePublish(t.version, { topic, payload: 'last words' }), encodeReason('DISCONNECT')]),
      );
      await watcher.message('last words');
    },
  ),
  v5(
    'disconnect.long-form',
    '3.14.2.1:long-form',
    MUST,
    'DISCONNECT may say its reason and properties, or leave them out: 0x00 is a goodbye in each form',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const forms: readonly (readonly [number?, Properties?])[] = [
        [],
        [0],
        [0, []],
        [
          0,
          [
            ['reasonString', 'bye'],
            ['userProperty', ['a', 'b']],
            ['userProperty', ['a', 'b']],
          ],
        ],
      ];
      for (const [reason, properties] of forms) {
        const client = await t.connect({ will: { topic, payload: 'will' } });
        await client.disconnect(reason, properties);
      }
      await (await t.connect()).publish({ topic, payload: 'no will' });
      await watcher.message('no will');
    },
  ),
  v5(
    'disconnect.reason',
    '3.14.2-1 3.14.2-2 3.14.4-1 3.14.4-2 4.13.2-1',
    MUST,
    'a DISCONNECT of the broker has a reason that exists, no session expiry, and is the last packet',
    async (t) => {
      const clientId = t.name();
      const client = await t.resume(clientId);
      client.sendPublish({ topic: 'a/#', payload: 'x' });
      const said = await client.expectClosed();
      if (said === null) t.skip('the broker closes without DISCONNECT, as it may');
      client.expectNothing();
    },
  ),
  v5(
    'disconnect.reason.said',
    '4.13:said 3.14.2-1 3.14.4-1',
    SHOULD,
    'a broker says in DISCONNECT why it closes a connection',
    async (t) => {
      const client = await t.connect();
      client.sendPublish({ topic: 'a/#', payload: 'x' });
      await client.expectDisconnect(0x81, 0x82, 0x90);
    },
  ),
  v5(
    'disconnect.reason.malformed',
    '3.14.1-1 4.13:said',
    SHOULD,
    'to a DISCONNECT with reserved flags a broker says 0x81',
    async (t) => {
      const client = await t.connect();
      client.raw(frame(0xe1, Buffer.alloc(0)));
      await client.expectDisconnect(0x81);
    },
  ),
  ...ONCE.flatMap(([carrier, statement, names]) =>
    names.map((name) =>
      v5(
        `malformed.twice.${carrier}.${name}`,
        statement,
        MUST,
        `${carrier.toUpperCase()} with ${name} twice ends the connection`,
        async (t) => {
          const client = await t.connect();
          client.raw(CARRIERS[carrier]!(twice(name), t.name()));
          await client.expectClosed(name === 'topicAlias' ? [...MALFORMED, 0x94] : MALFORMED);
        },
      ),
    ),
  ),
  v5(
    'malformed.twice.disconnect.reasonString',
    '3.14.2.2.3:once',
    MUST,
    'DISCONNECT with a reason string twice is no goodbye: the will is published',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const client = await t.connect({ will: { topic, payload: 'will' } });
      client.raw(encodeReason('DISCONNECT', 0, twice('reasonString')));
      await client.expectClosed(MALFORMED, false);
      await watcher.message('will');
    },
  ),
  ...CONNECT_ONCE.map((name) =>
    badConnect(
      `malformed.twice.connect.${name}`,
      '3.1.2.11:once',
      `CONNECT with ${name} twice ends the connection`,
      twice(name),
    ),
  ),
  ...WILL_ONCE.map((name) =>
    badConnect(
      `malformed.twice.will.${name}`,
      '3.1.3.2:once',
      `a will with ${name} twice ends the connection`,
      [],
      twice(name),
    ),
  ),
  ...CONNECT_FLAGS.map((name) =>
    badConnect(`malformed.range.connect.${name}`, '3.1.2.11.6:range', `CONNECT with ${name} 2 ends the connection`, [
      [name, 2] as unknown as Property,
    ]),
  ),
  ...MISPLACED.flatMap(([carrier, names]) =>
    names.map((name) =>
      v5(
        `malformed.misplaced.${carrier}.${name}`,
        '2.2.2.2:misplaced',
        MUST,
        `${carrier.toUpperCase()} with ${name} ends the connection`,
        async (t) => {
          const client = await t.connect();
          client.raw(CARRIERS[carrier]!([anyValue(name)], t.name()));
          await client.expectClosed(MALFORMED);
        },
      ),
    ),
  ),
  ...CONNECT_MISPLACED.map((name) =>
    badConnect(`malformed.misplaced.connect.${name}`, '2.2.2.2:misplaced', `CONNECT with ${name} ends the connection`, [
      anyValue(name),
    ]),
  ),
  ...WILL_MISPLACED.map((name) =>
    badConnect(
      `malformed.misplaced.will.${name}`,
      '2.2.2.2:misplaced',
      `a will with ${name} ends the connection`,
      [],
      [anyValue(name)],
    ),
  ),
  badConnect(
    'malformed.property.unknown.connect',
    '2.2.2.2:unknown',
    'CONNECT with a property that does not exist ends the connection',
    [Buffer.of(0x7d, 0)],
  ),
  v5(
    'malformed.property.unknown',
    '2.2.2.2:unknown',
    MUST,
    'a message with a property that does not exist ends the connection',
    async (t) => {
      const client = await t.connect();
      client.sendPublish({ topic: t.name(), payload: 'x', properties: [Buffer.of(0x00, 0x01)] });
      await client.expectClosed(MALFORMED);
    },
  ),
  v5(
    'malformed.property.cut',
    '2.2.2-1 4.13.1-1',
    MUST,
    'a property that ends beyond the length of the properties is malformed',
    async (t) => {
      const client = await t.connect();
      const cut = encodeProperty(['contentType', 'text/plain']).subarray(0, 6);
      client.sendPublish({ topic: t.name(), payload: 'longer than it', properties: [cut] });
      await client.expectClosed(MALFORMED);
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
      const client = await t.connect();
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
      const client = await t.connect({ will: { topic, payload: 'will' } });
      client.raw(encodeReason('DISCONNECT', NO_REASON));
      await client.expectClosed(MALFORMED, false);
      await watcher.message('will');
    },
  ),
];
