// Checks of malformed 5.0 properties: duplicated, misplaced, out of range or truncated. The connection must end.

import type { MqttCheck } from '../mqtt-check.ts';
import { MUST, v5 } from '../mqtt-check.ts';
import {
  encodeAck,
  encodeConnect,
  encodePublish,
  encodeReason,
  encodeSubscribe,
  encodeUnsubscribe,
  LEVEL,
} from '../wire/packets.ts';
import { anyValue, encodeProperty, type Properties, type Property, type PropertyName } from '../wire/properties.ts';

const MALFORMED = [0x81, 0x82];

/** Encoders of the packets that carry properties, by packet name. */
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

/** Packet, section of the specification, and the properties that the packet may have at most once. */
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

/** The same for CONNECT and its will. */
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

/** Packet, and the properties that are not allowed in it. */
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

/** Properties of CONNECT whose value is 0 or 1. */
const CONNECT_FLAGS: readonly PropertyName[] = ['requestResponseInformation', 'requestProblemInformation'];

/** A 5.0 check that the broker refuses a CONNECT with these properties, or with a will that has them. */
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

/** The property twice, with legal values. */
function twice(name: PropertyName): readonly Property[] {
  const one = anyValue(name);
  // Authentication data without a method would be a second violation.
  const method = name === 'authenticationData' ? [anyValue('authenticationMethod')] : [];
  return [...method, one, one];
}

export const MALFORMED_PROPERTY_CHECKS: readonly (readonly MqttCheck[])[] = [
  ...ONCE.flatMap(([carrier, statement, names]) =>
    names.map((name) =>
      v5(
        `malformed.twice.${carrier}.${name}`,
        statement,
        MUST,
        `${carrier.toUpperCase()} with ${name} twice ends the connection`,
        async (t) => {
          const client = await t.alive();
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
      const client = await t.alive({ will: { topic, payload: 'will' } });
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
          const client = await t.alive();
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
      const client = await t.alive();
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
      const client = await t.alive();
      const cut = encodeProperty(['contentType', 'text/plain']).subarray(0, 6);
      client.sendPublish({ topic: t.name(), payload: 'longer than it', properties: [cut] });
      await client.expectClosed(MALFORMED);
    },
  ),
];
