// Compares the readers of control packets and the writers of answers with mqtt-packet, an independent codec. Both
// decode generated packets of every version to the same values, and refuse the same mutated ones, except for the
// differences listed here, in which the specification agrees with our codec.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { generate, type Packet, parser } from 'mqtt-packet';
import { DEFAULT_MQTT_LIMITS } from '../../../protocols/mqtt/limits.ts';
import {
  acceptedConnack,
  auth,
  type ConnackProperties,
  disconnect,
  refusedConnack,
  subscriptionAnswer,
} from '../../../protocols/mqtt/packet/answers.ts';
import { ConnectReader, type ConnectRequest, NEVER_ENDS } from '../../../protocols/mqtt/packet/connect-packet.ts';
import { ControlPackets } from '../../../protocols/mqtt/packet/control.ts';
import { ConnectRefused, MalformedPacket } from '../../../protocols/mqtt/packet/errors.ts';
import { FIRST_BYTE, PACKET } from '../../../protocols/mqtt/packet/packet-types.ts';
import { PropertyScanner } from '../../../protocols/mqtt/packet/properties.ts';
import { connectCodeOf, REASON } from '../../../protocols/mqtt/packet/reason-codes.ts';
import { packet, text, u16 } from '../bytes.ts';

type Version = 3 | 4 | 5;
type Values = Record<string, unknown>;
/** The values of a packet, or the reason for its refusal. */
type Outcome = { readonly values: Values } | { readonly refusal: string };

const SEED = 63;
const RUNS = 1500;
const NO_LIMIT = Number.POSITIVE_INFINITY;

const scanner = new PropertyScanner(DEFAULT_MQTT_LIMITS.propertyBytes);
const control = new ControlPackets(scanner, DEFAULT_MQTT_LIMITS);
const connects = new ConnectReader(DEFAULT_MQTT_LIMITS, scanner);

/**
 * Packets that mqtt-packet accepts and we refuse: our message (numbers as #), the section that forbids it, and an
 * example.
 */
const STRICTER: readonly (readonly [message: string, section: string, version: Version, bytes: Buffer])[] = [
  ['packet id # [MQTT-#.#.#-#]', '3.1.1 §2.3.1', 4, packet(0x82, u16(0), text('a'), Buffer.from([0]))],
  ['no topic filter at all [MQTT-#.#.#-#] [MQTT-#.#.#-#]', '3.1.1 §3.8.3', 4, packet(0x82, u16(1))],
  ['an empty topic filter [MQTT-#.#.#-#]', '§4.7.3', 4, packet(0xa2, u16(1), text(''))],
  ["'+' that is not a whole level [MQTT-#.#.#-#]", '§4.7.1.3', 4, packet(0xa2, u16(1), text('a+'))],
  ["'#' that is not the whole last level [MQTT-#.#.#-#]", '§4.7.1.2', 4, packet(0xa2, u16(1), text('#/a'))],
  [
    'a topic filter that is not UTF-# text [MQTT-#.#.#-#]',
    '§1.5.3',
    4,
    packet(0xa2, u16(1), text(Buffer.from([0xff]))),
  ],
  ['a client id that is not UTF-# text [MQTT-#.#.#-#]', '§1.5.3', 4, connectBytes(4, 2, text('a\0'))],
  ['a user name that is not UTF-# text [MQTT-#.#.#-#]', '§1.5.3', 4, connectBytes(4, 0x82, text('c'), text('\0'))],
  [
    'a will topic that is not UTF-# text [MQTT-#.#.#-#]',
    '§1.5.3',
    4,
    connectBytes(4, 6, text('c'), text('\0'), text('')),
  ],
  [
    'in the will: a topic with a wildcard [MQTT-#.#.#-#]',
    '§3.3.2.1',
    4,
    connectBytes(4, 6, text('c'), text('#'), text('')),
  ],
  ['in the will: an empty topic [MQTT-#.#.#-#]', '§4.7.3', 4, connectBytes(4, 6, text('c'), text(''), text(''))],
  [
    'in the response topic: a topic with a wildcard [MQTT-#.#.#-#]',
    '§3.3.2.3.5',
    5,
    connectBytes(5, 6, block(), text('c'), block(8, 0, 1, 0x23), text('w'), text('')),
  ],
  [
    'in the response topic: an empty topic [MQTT-#.#.#-#]',
    '§4.7.3',
    5,
    connectBytes(5, 6, block(), text('c'), block(8, 0, 0), text('w'), text('')),
  ],
  ['a password without a user name [MQTT-#.#.#-#]', '3.1.1 §3.1.2.9', 4, connectBytes(4, 0x42, text('c'), text('p'))],
  ['a will with QoS # [MQTT-#.#.#-#]', '§3.1.2.6', 4, connectBytes(4, 0x1e, text('c'), text('w'), text(''))],
  ['bytes after the end of CONNECT', '§3.1.3', 4, connectBytes(4, 2, text('c'), Buffer.from([0]))],
  ['protocol MQTT level # is not spoken here', '§3.1.2.2', 5, connectBytes(0x85, 2, block(), text('c'))],
  ['a packet with content that has none', '3.1.1 §3.14', 4, packet(0xe0, Buffer.from([0]))],
  ['reason code # in DISCONNECT', '§3.14.2.1: only from a server', 5, packet(0xe0, Buffer.from([0x8b]))],
  ['reason code # in AUTH', '§3.15.2.1: only from a server', 5, packet(0xf0, Buffer.from([0]), block())],
  ['bytes after the properties', '§3.14', 5, packet(0xe0, Buffer.from([0]), block(), Buffer.from([0]))],
  ['property # does not belong here', '§2.2.2.2', 5, packet(0xe0, Buffer.from([0]), block(1, 0))],
  ['property # stands twice', '§3.14.2.2.2', 5, packet(0xe0, Buffer.from([0]), block(17, 0, 0, 0, 1, 17, 0, 0, 0, 1))],
  ['property # is #', '§3.1.2.11.7', 5, connectBytes(5, 2, block(23, 2), text('c'))],
  ['property # is cut off', '§2.2.2', 5, packet(0xe0, Buffer.from([0]), block(17, 31))],
  [
    'property # is not UTF-# text [MQTT-#.#.#-#] [MQTT-#.#.#-#]',
    '§1.5.4',
    5,
    packet(0xe0, Buffer.from([0]), block(31, 0, 1, 0)),
  ],
  ['a variable byte integer is not in its shortest form', '§1.5.5', 5, packet(0xe0, Buffer.from([0, 0x80, 0]))],
  ['a variable byte integer that does not end', '§1.5.5', 5, packet(0xe0, Buffer.from([0, 0x80]))],
  ['receive maximum #', '§3.1.2.11.3', 5, connectBytes(5, 2, block(33, 0, 0), text('c'))],
  ['maximum packet size #', '§3.1.2.11.4', 5, connectBytes(5, 2, block(39, 0, 0, 0, 0), text('c'))],
  ['authentication data without a method', '§3.1.2.11.10', 5, connectBytes(5, 2, block(22, 0, 0), text('c'))],
  ['subscription identifier #', '§3.8.2.1.2', 5, packet(0x82, u16(1), block(11, 0), text('a'), Buffer.from([0]))],
  [
    'a shared subscription with no-local [MQTT-#.#.#-#]',
    '§3.8.3.1',
    5,
    packet(0x82, u16(1), block(), text('$share/g/a'), Buffer.from([4])),
  ],
];

/** Packets that we accept and mqtt-packet refuses: its message, the section that allows it, and an example. */
const MORE_LENIENT: readonly (readonly [message: string, section: string, version: Version, bytes: Buffer])[] = [
  ['Invalid auth reason code', '§3.15.2.1: reason code 0 may be left out', 5, packet(0xf0)],
];

/** A CONNECT built byte by byte; the properties of MQTT 5 come first in `parts`. */
function connectBytes(level: number, flags: number, ...parts: Buffer[]): Buffer {
  return packet(0x10, text('MQTT'), Buffer.from([level, flags, 0, 0]), ...parts);
}

/** A short property block. */
function block(...bytes: number[]): Buffer {
  return Buffer.from([bytes.length, ...bytes]);
}

function bodyOf(bytes: Buffer): number {
  let at = 1;
  while (bytes[at++]! > 127);
  return at;
}

/** The result of our reader. */
function ours(bytes: Buffer, version: Version): Outcome {
  try {
    return { values: read(bytes, version) };
  } catch (error) {
    if (!(error instanceof MalformedPacket || error instanceof ConnectRefused)) throw error;
    return { refusal: error.message.replaceAll(/\d+/g, '#') };
  }
}

function read(bytes: Buffer, version: Version): Values {
  const body = bodyOf(bytes);
  const end = bytes.length;
  switch (bytes[0]! >> 4) {
    case PACKET.connect:
      return comparable(connects.read(bytes, body, end));
    case PACKET.subscribe:
      return { ...control.subscribe(bytes, 0, body, end, version) };
    case PACKET.unsubscribe:
      return { ...control.unsubscribe(bytes, 0, body, end, version) };
    case PACKET.disconnect:
      return { ...control.disconnect(bytes, 0, body, end, version) };
    default:
      return { ...control.auth(bytes, 0, body, end) };
  }
}

/** The will's block is compared by its properties, as mqtt-packet reads them from a PUBLISH. */
function comparable(request: ConnectRequest): Values {
  const { will } = request;
  if (will === null || request.level !== 5) return { ...request };
  const length = packet(0, will.block).subarray(1);
  const [publish] = decode(packet(0x30, text('t'), length), 5);
  return { ...request, will: { ...will, block: plain(publish?.properties) } };
}

// biome-ignore lint/suspicious/noExplicitAny: its types do not tell the packets of the versions apart.
type Decoded = any;

/** Packets decoded by mqtt-packet. Throws the error that it emits. */
function decode(bytes: Buffer, version: Version): Decoded[] {
  const packets: Packet[] = [];
  let failure: Error | null = null;
  const decoder = parser({ protocolVersion: version });
  decoder.on('packet', (decoded) => packets.push(decoded));
  decoder.on('error', (error: Error) => {
    failure ??= error;
  });
  decoder.parse(bytes);
  if (failure !== null) throw failure;
  if (packets.length === 0) throw new Error('no packet');
  return packets;
}

/** The result of mqtt-packet, converted to our terms. */
function theirs(bytes: Buffer, version: Version): Outcome {
  let decoded: Decoded;
  try {
    [decoded] = decode(bytes, version);
  } catch (error) {
    return { refusal: (error as Error).message };
  }
  const properties = decoded.properties ?? {};
  switch (decoded.cmd) {
    case 'connect':
      return { values: theirConnect(decoded, properties) };
    case 'subscribe':
      return { values: theirSubscribe(decoded, properties) };
    case 'unsubscribe':
      return { values: { packetId: decoded.messageId, filters: decoded.unsubscriptions } };
    case 'disconnect':
      return { values: { reason: decoded.reasonCode ?? 0, expirySeconds: properties.sessionExpiryInterval ?? null } };
    default: {
      const { authenticationMethod: method = null, authenticationData: data = null } = properties;
      return { values: { reason: decoded.reasonCode, method, data } };
    }
  }
}

function theirConnect(decoded: Decoded, properties: Decoded): Values {
  const v5 = decoded.protocolVersion === 5;
  const { will } = decoded;
  const { willDelayInterval = 0, ...rest } = will?.properties ?? {};
  return {
    level: decoded.protocolVersion,
    bridge: decoded.bridgeMode ?? false,
    clientId: decoded.clientId,
    cleanStart: decoded.clean,
    keepAliveSeconds: decoded.keepalive,
    user: decoded.username ?? null,
    password: decoded.password?.toString('utf8') ?? null,
    expirySeconds: v5 ? (properties.sessionExpiryInterval ?? 0) : decoded.clean ? 0 : NEVER_ENDS,
    receiveMaximum: properties.receiveMaximum ?? 65_535,
    maximumPacketBytes: properties.maximumPacketSize ?? NO_LIMIT,
    topicAliasMaximum: properties.topicAliasMaximum ?? 0,
    wantsResponseInformation: properties.requestResponseInformation ?? false,
    wantsProblems: properties.requestProblemInformation ?? v5,
    authenticationMethod: properties.authenticationMethod ?? null,
    authenticationData: properties.authenticationData ?? null,
    will:
      will === undefined
        ? null
        : {
            topic: will.topic,
            payload: will.payload,
            qos: will.qos,
            retain: will.retain,
            block: v5 ? plain(rest) : Buffer.alloc(0),
            delaySeconds: willDelayInterval,
            expirationMs: rest.messageExpiryInterval === undefined ? -1 : rest.messageExpiryInterval * 1000,
          },
  };
}

function theirSubscribe(decoded: Decoded, properties: Decoded): Values {
  const subscriptions = decoded.subscriptions.map(({ topic, qos, nl, rap, rh }: Decoded) => ({
    filter: topic,
    qos,
    noLocal: nl ?? false,
    retainAsPublished: rap ?? false,
    retainHandling: rh ?? 0,
    identifier: properties.subscriptionIdentifier ?? 0,
  }));
  return { packetId: decoded.messageId, subscriptions };
}

/** Its properties without their prototypes. */
function plain(properties: object = {}): Values {
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [name, name === 'userProperties' ? { ...value } : value]),
  );
}

/** The difference between the two, or null. */
function difference(bytes: Buffer, version: Version): string | null {
  const mine = ours(bytes, version);
  const other = theirs(bytes, version);
  if ('refusal' in mine) return 'refusal' in other ? null : `stricter: ${mine.refusal}`;
  if ('refusal' in other) return `more lenient: ${other.refusal}`;
  assert.deepEqual(mine.values, other.values, bytes.toString('hex'));
  return null;
}

// Generated packets. Undefined properties are omitted from the packet.

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u16s = fc.integer({ min: 0, max: 65_535 });
const packetIds = fc.integer({ min: 1, max: 65_535 });
const texts = fc.string({ unit: 'binary', maxLength: 12 }).filter((value) => !value.includes('\0'));
const words = fc.string({ unit: fc.constantFrom('a', 'b', 'ü', '/', '.', '$'), minLength: 1, maxLength: 8 });
const filters = fc.oneof(words, fc.constantFrom('#', '+', 'a/+/b', '+/#', '$share/g/a/#', '/', 'ü/#'));
const bytesOf = fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes));
const userProperties = fc.dictionary(
  fc.string({ unit: fc.constantFrom('k', 'ä', '-'), minLength: 1, maxLength: 3 }),
  fc.oneof(words, fc.array(words, { minLength: 2, maxLength: 3 })),
  { minKeys: 1, maxKeys: 3, noNullPrototype: true },
);
const versions = fc.constantFrom<Version>(3, 4, 5);

function some<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<Partial<T>> {
  return fc.record(model, { requiredKeys: [] }) as fc.Arbitrary<Partial<T>>;
}

const connectProperties = fc.oneof(
  some({
    sessionExpiryInterval: u32,
    receiveMaximum: packetIds,
    maximumPacketSize: u32.map((value) => value || 1),
    topicAliasMaximum: u16s,
    requestResponseInformation: fc.boolean(),
    requestProblemInformation: fc.boolean(),
    userProperties,
  }),
  fc.record({ authenticationMethod: texts, authenticationData: bytesOf }),
);
const willProperties = some({
  willDelayInterval: u32,
  payloadFormatIndicator: fc.boolean(),
  messageExpiryInterval: u32,
  contentType: texts,
  responseTopic: words,
  correlationData: bytesOf,
  userProperties,
});

const connectPackets = fc
  .record({
    version: versions,
    clean: fc.boolean(),
    keepalive: u16s,
    clientId: words,
    user: fc.option(words),
    password: fc.option(bytesOf.filter((bytes) => bytes.length > 0)),
    will: fc.option(
      fc.record({ topic: words, payload: bytesOf, qos: fc.integer({ min: 0, max: 2 }), retain: fc.boolean() }),
    ),
    properties: connectProperties,
    willProperties,
  })
  .map(({ version, user, password, will, ...fields }): Decoded => {
    const v5 = version === 5;
    return {
      cmd: 'connect',
      protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
      protocolVersion: version,
      clean: fields.clean,
      keepalive: fields.keepalive,
      clientId: fields.clientId,
      ...(user === null ? {} : { username: user }),
      ...(password === null || user === null ? {} : { password }),
      ...(will === null ? {} : { will: v5 ? { ...will, properties: fields.willProperties } : will }),
      ...(v5 ? { properties: fields.properties } : {}),
    };
  });

const subscribePackets = fc.record({
  cmd: fc.constant('subscribe'),
  messageId: packetIds,
  subscriptions: fc.array(
    fc.record({
      topic: filters,
      qos: fc.integer({ min: 0, max: 2 }),
      nl: fc.boolean(),
      rap: fc.boolean(),
      rh: fc.integer({ min: 0, max: 2 }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  properties: some({ subscriptionIdentifier: fc.integer({ min: 1, max: 268_435_455 }), userProperties }),
});
const unsubscribePackets = fc.record({
  cmd: fc.constant('unsubscribe'),
  messageId: packetIds,
  unsubscriptions: fc.array(filters, { minLength: 1, maxLength: 4 }),
  properties: some({ userProperties }),
});
const disconnectPackets = fc.record({
  cmd: fc.constant('disconnect'),
  reasonCode: fc.constantFrom(0, 4, 0x80, 0x81, 0x82, 0x93, 0x99),
  properties: some({ sessionExpiryInterval: u32, reasonString: texts, userProperties }),
});
const authPackets = fc.record({
  cmd: fc.constant('auth'),
  reasonCode: fc.constantFrom(0x18, 0x19),
  properties: some({ authenticationMethod: texts, authenticationData: bytesOf, reasonString: texts, userProperties }),
});

/** A version and a packet of it, as mqtt-packet encodes it. */
const encoded = fc
  .tuple(versions, fc.oneof(connectPackets, subscribePackets, unsubscribePackets, disconnectPackets, authPackets))
  .map(([drawn, model]: [Version, Decoded]) => {
    const version: Version = model.cmd === 'connect' ? model.protocolVersion : model.cmd === 'auth' ? 5 : drawn;
    return { version, bytes: generate(model, { protocolVersion: version }) };
  });

/** Bytes of a packet's content to replace, insert or remove at `at`, a fraction of its length. */
const mutations = fc.array(
  fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    removed: fc.integer({ min: 0, max: 3 }),
    added: fc.uint8Array({ maxLength: 3 }),
  }),
  { minLength: 1, maxLength: 2 },
);

describe('the readers and mqtt-packet', () => {
  it('decode valid packets to the same values', () => {
    fc.assert(
      fc.property(encoded, ({ version, bytes }) => {
        const found = difference(bytes, version);
        // The one rule between fields that the generator does not keep.
        if (found !== 'stricter: a shared subscription with no-local [MQTT-#.#.#-#]') assert.equal(found, null);
      }),
      { seed: SEED, numRuns: RUNS },
    );
  });

  it('read a password without a user name in MQTT 5 (§3.1.2.9)', () => {
    const bytes = connectBytes(5, 0x42, block(), text('c'), text('p'));
    assert.equal(difference(bytes, 5), null);
    assert.equal(read(bytes, 5).password, 'p');
  });

  it('judge mutated packets alike, but for what is listed', () => {
    const known = new Set([
      ...STRICTER.map(([message]) => `stricter: ${message}`),
      ...MORE_LENIENT.map(([message]) => `more lenient: ${message}`),
    ]);
    const unknown = new Map<string, string>();
    fc.assert(
      fc.property(encoded, mutations, ({ version, bytes }, changes) => {
        let content = bytes.subarray(bodyOf(bytes));
        for (const { at, removed, added } of changes) {
          const from = Math.floor(at * content.length);
          content = Buffer.concat([content.subarray(0, from), added, content.subarray(from + removed)]);
        }
        const mutated = packet(bytes[0]!, content);
        const found = difference(mutated, version);
        if (found !== null && !known.has(found)) unknown.set(found, mutated.toString('hex'));
      }),
      { seed: SEED, numRuns: RUNS * 4 },
    );
    assert.deepEqual([...unknown], []);
  });

  for (const [message, section, version, bytes] of STRICTER) {
    it(`we refuse and it accepts: ${message} (${section})`, () => {
      assert.equal(difference(bytes, version), `stricter: ${message}`);
    });
  }

  for (const [message, section, version, bytes] of MORE_LENIENT) {
    it(`we accept and it refuses: ${message} (${section})`, () => {
      assert.equal(difference(bytes, version), `more lenient: ${message}`);
    });
  }
});

describe('our answers, decoded by mqtt-packet', () => {
  const reasons = fc.constantFrom(...Object.values(REASON).filter((reason) => reason >= 0x80));
  const run = { seed: SEED, numRuns: 300 };

  it('CONNACK that accepts', () => {
    const properties = some<ConnackProperties>({
      receiveMaximum: u16s,
      topicAliasMaximum: u16s,
      maximumPacketSize: u32,
      sessionExpiryInterval: u32,
      assignedClientIdentifier: texts,
      serverKeepAlive: u16s,
      responseInformation: texts,
      authenticationMethod: texts,
      authenticationData: bytesOf,
    });
    const check = fc.property(fc.boolean(), properties, (present, given) => {
      const [decoded] = decode(acceptedConnack(present, given), 5);
      assert.equal(decoded.cmd, 'connack');
      assert.equal(decoded.sessionPresent, present);
      assert.equal(decoded.reasonCode, 0);
      assert.deepEqual(plain(decoded.properties), { ...given });
    });
    fc.assert(check, run);
  });

  it('CONNACK that refuses', () => {
    const check = fc.property(
      fc.boolean(),
      reasons,
      texts,
      fc.integer({ min: 5, max: 40 }),
      (v5, reason, why, most) => {
        const bytes = refusedConnack(v5, reason, why, most);
        const [decoded] = decode(bytes, v5 ? 5 : 4);
        assert.equal(decoded.cmd, 'connack');
        assert.equal(decoded.sessionPresent, false);
        assert.ok(bytes.length <= most);
        if (!v5) assert.equal(decoded.returnCode, connectCodeOf(reason));
        else assert.equal(decoded.reasonCode, reason);
        const fits = v5 && 5 + 3 + Buffer.byteLength(why) <= most;
        assert.deepEqual(plain(decoded.properties), fits ? { reasonString: why } : {});
      },
    );
    fc.assert(check, run);
  });

  it('SUBACK and UNSUBACK', () => {
    const codes = fc.array(fc.constantFrom(0, 0x80, 0x87), { minLength: 1, maxLength: 200 });
    const check = fc.property(
      versions,
      packetIds,
      fc.constantFrom<'suback' | 'unsuback'>('suback', 'unsuback'),
      codes,
      (version, id, cmd, given) => {
        const v5 = version === 5;
        const sent = v5 ? given : cmd === 'unsuback' ? [] : given.map((code) => (code === 0 ? 0 : 0x80));
        const [decoded] = decode(subscriptionAnswer(v5, FIRST_BYTE[cmd], id, sent), version);
        assert.equal(decoded.cmd, cmd);
        assert.equal(decoded.messageId, id);
        assert.deepEqual(decoded.granted ?? [], sent);
      },
    );
    fc.assert(check, run);
  });

  it('DISCONNECT', () => {
    // Those of §3.14.2.1 that the broker uses.
    const ends = fc.constantFrom(
      REASON.malformed,
      REASON.protocolError,
      REASON.shuttingDown,
      REASON.sessionTakenOver,
      REASON.packetTooLarge,
      REASON.useAnotherServer,
    );
    const check = fc.property(
      ends,
      fc.option(texts),
      fc.option(texts),
      fc.integer({ min: 3, max: 60 }),
      (reason, why, server, most) => {
        const bytes = disconnect(reason, why, server, most);
        assert.ok(bytes.length <= most);
        const [decoded] = decode(bytes, 5);
        assert.equal(decoded.cmd, 'disconnect');
        assert.equal(decoded.reasonCode, reason);
        const reference = server === null ? {} : { serverReference: server };
        const whole = why === null ? reference : { reasonString: why, ...reference };
        const size = (properties: object): number =>
          Object.values(properties).reduce((sum: number, value) => sum + 3 + Buffer.byteLength(value as string), 4);
        const expected = size(whole) <= most ? whole : size(reference) <= most ? reference : {};
        assert.deepEqual(plain(decoded.properties), expected);
      },
    );
    fc.assert(check, run);
  });

  it('AUTH', () => {
    const check = fc.property(
      fc.constantFrom(REASON.success, REASON.continueAuthentication),
      texts,
      bytesOf,
      (reason, method, data) => {
        const [decoded] = decode(auth(reason, method, data), 5);
        assert.equal(decoded.cmd, 'auth');
        assert.equal(decoded.reasonCode, reason);
        assert.deepEqual(plain(decoded.properties), { authenticationMethod: method, authenticationData: data });
      },
    );
    fc.assert(check, run);
  });

  it('a long reason string is cut at a character', () => {
    const [decoded] = decode(disconnect(REASON.malformed, `${'x'.repeat(511)}😀`, null, NO_LIMIT), 5);
    assert.equal(decoded.properties.reasonString, `${'x'.repeat(511)}\ufffd`);
  });
});
