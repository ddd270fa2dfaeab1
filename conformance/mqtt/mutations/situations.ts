// Mutations that break a rule in one situation only. A broader mutation would fail every check near the rule; these
// show that one check looks at exactly this: filters confused with others, identifiers and limits at their bounds,
// retransmission.

import { LEVEL } from '../wire/packets.ts';
import { encodeProperty } from '../wire/properties.ts';
import { altersConnect, altersSubscribe, breaks, type MqttMutation, pretends } from './breaking.ts';
import {
  type Connect,
  connectIn,
  type MqttPacket,
  publishIn,
  type RawProperty,
  readAnswer,
  readable,
  readConnect,
  subscribeIn,
  without,
  writeAnswer,
  writeConnect,
  writePublish,
} from './packets.ts';

const CLEAN = 2;
const MESSAGE_EXPIRY = 0x02;
const SESSION_EXPIRY = 0x11;
const RECEIVE_MAXIMUM = 0x21;
const USER_PROPERTY = 0x26;
const MAXIMUM_PACKET_SIZE = 0x27;

const NONE = (): null => null;
const has = ({ properties }: { readonly properties: readonly RawProperty[] }, id: number): boolean => {
  return properties.some((each) => each.id === id);
};

/**
 * Name, and below the first level: the filter that the client subscribes to, and the one that the broker uses instead.
 */
const TAKEN_FOR: readonly (readonly [string, string, string])[] = [
  ['plain', 'a/b', 'a/b/#'],
  ['plus', 'a/+', 'a/#'],
  ['plus-middle', 'a/+/c', 'a/+/#'],
  ['plus-first', '+/b', '+/b/#'],
  ['plus-hash', '+/b/#', '+/#'],
  ['only-plus', '+', '#'],
  ['two-plus', '+/+', '+/#'],
  ['empty-levels', '//a', '//#'],
];

function takenFor(id: string, meant: string, taken: string): MqttMutation {
  return altersSubscribe(
    `filter.taken.${id}`,
    `takes a filter …/${meant} for …/${taken}`,
    'SUBSCRIBE',
    ({ filters }) => {
      const others = filters.map((each) => {
        const [root, ...rest] = each.filter.split('/');
        return rest.join('/') === meant ? { ...each, filter: `${root}/${taken}` } : each;
      });
      return others.some((each, at) => each !== filters[at]) ? { filters: others } : null;
    },
  );
}

/** Refuses a valid CONNECT for which `when` holds. */
function refuses(id: string, words: string, when: (connect: Connect) => boolean, code: number): MqttMutation {
  return pretends(id, words, ['CONNECT'], (packet) => {
    const connect = readable(() => readConnect(packet));
    if (connect === null || !when(connect)) return null;
    const v5 = connect.level === LEVEL.v5;
    const answer = { packetId: 0, reasons: [v5 ? code : 3], properties: [] };
    return writeAnswer('CONNACK', answer, v5 ? LEVEL.v5 : LEVEL.v3);
  });
}

/** Replaces a numeric property of CONNECT, if present; null removes it. */
function takesNumber(
  id: string,
  words: string,
  property: number,
  change: (value: number, connect: Connect) => RawProperty | null,
): MqttMutation {
  return altersConnect(id, words, (connect) => {
    const said = connect.properties.find((each) => each.id === property);
    if (said === undefined) return null;
    const other = change(said.bytes.readUIntBE(1, said.bytes.length - 1), connect);
    return { properties: [...without(connect.properties, property), ...(other === null ? [] : [other])] };
  });
}

const resumes = ({ flags }: Connect): boolean => (flags & CLEAN) === 0;

export const SITUATION_MUTATIONS: readonly MqttMutation[] = [
  ...TAKEN_FOR.map(([id, meant, taken]) => takenFor(id, meant, taken)),
  altersSubscribe(
    'filter.leading-wildcard',
    'takes a wildcard at the beginning of a filter for a letter',
    'SUBSCRIBE',
    ({ filters }) => ({
      filters: filters.map(({ filter, options }) => ({ filter: filter.replace(/^\/?[+#]/, 'x'), options })),
    }),
    { withholds: true },
  ),

  refuses(
    'client-id.22',
    'rejects client identifiers of 23 characters',
    ({ clientId }) => clientId.length === 23,
    0x85,
  ),
  refuses(
    'client-id.two',
    'rejects client identifiers of one character',
    ({ clientId }) => clientId.length === 1,
    0x85,
  ),
  refuses(
    'client-id.long-otherwise',
    'says something else of long identifiers',
    ({ clientId }) => {
      return clientId.length > 1_000;
    },
    0x97,
  ),
  refuses(
    'connect.one-user-property',
    'takes one user property in CONNECT',
    ({ properties }) => {
      return properties.filter(({ id }) => id === USER_PROPERTY).length > 1;
    },
    0x82,
  ),
  refuses(
    'connect.password-needs-user',
    'rejects a password without a user name in 5.0',
    ({ user, password }) => {
      return user === null && password !== null;
    },
    0x81,
  ),
  takesNumber('session.never-is-zero', 'takes the session expiry that means never for 0', SESSION_EXPIRY, (value) => {
    return { id: SESSION_EXPIRY, bytes: encodeProperty(['sessionExpiryInterval', value === 0xffff_ffff ? 0 : value]) };
  }),
  takesNumber('receive-maximum.by-one', 'sends one message more than the client takes', RECEIVE_MAXIMUM, (value) => {
    return { id: RECEIVE_MAXIMUM, bytes: encodeProperty(['receiveMaximum', value + 1]) };
  }),
  takesNumber(
    'receive-maximum.resumed',
    'forgets the receive maximum of who comes back',
    RECEIVE_MAXIMUM,
    (value, own) => {
      return resumes(own) ? null : { id: RECEIVE_MAXIMUM, bytes: encodeProperty(['receiveMaximum', value]) };
    },
  ),
  takesNumber('maximum-packet-size.by-one', 'sends packets one byte too large', MAXIMUM_PACKET_SIZE, (value) => {
    return { id: MAXIMUM_PACKET_SIZE, bytes: encodeProperty(['maximumPacketSize', value + 1]) };
  }),
  takesNumber(
    'maximum-packet-size.resumed',
    'forgets how much who comes back can take',
    MAXIMUM_PACKET_SIZE,
    (value, own) => {
      return resumes(own) ? null : { id: MAXIMUM_PACKET_SIZE, bytes: encodeProperty(['maximumPacketSize', value]) };
    },
  ),
  breaks('receive-maximum.until-pubrec', 'lets another message come when PUBREC does', NONE, (talk) => {
    const { link } = talk;
    return {
      fromBroker(packet) {
        if (packet.type === 'PUBREL') {
          const { packetId } = readAnswer(packet, talk.version);
          link.toBroker(writeAnswer('PUBCOMP', { packetId, reasons: [0], properties: [] }, talk.version));
        }
        return [packet];
      },
      fromClient: (packet) => (packet.type === 'PUBCOMP' ? [] : [packet]),
    };
  }),

  breaks(
    'session.lost-when-broken',
    'keeps sessions of clients that say goodbye, and no others',
    () => ({ seen: new Set<string>(), goodbyes: new Set<string>() }),
    (talk, { seen, goodbyes }) => ({
      fromClient(packet) {
        if (packet.type === 'DISCONNECT') goodbyes.add(talk.clientId);
        const connect = connectIn(packet);
        if (connect === null) return [packet];
        const lost = seen.has(connect.clientId) && !goodbyes.has(connect.clientId);
        seen.add(connect.clientId);
        return [lost ? writeConnect({ ...connect, flags: connect.flags | CLEAN }) : packet];
      },
    }),
  ),
  breaks(
    'session.not-queued',
    'keeps sessions without the messages that come while the client is away',
    NONE,
    (talk) => {
      let resumed = false;
      let subscribed = false;
      return {
        fromClient(packet) {
          if (packet.type === 'SUBSCRIBE') subscribed = true;
          const connect = connectIn(packet);
          if (connect !== null) resumed = resumes(connect);
          return [packet];
        },
        fromBroker(packet) {
          const fields = publishIn(packet, talk.version);
          return fields !== null && !fields.dup && resumed && !subscribed ? [] : [packet];
        },
      };
    },
    { withholds: true },
  ),

  breaks(
    'message.dup-as-it-came',
    'sends DUP on as it came in',
    () => ({ topics: new Set<string>() }),
    (talk, { topics }) => ({
      fromClient(packet) {
        const fields = publishIn(packet, talk.version);
        if (fields?.dup) topics.add(fields.topic);
        return [packet];
      },
      fromBroker(packet) {
        const fields = publishIn(packet, talk.version);
        if (fields === null || fields.qos === 0 || !topics.has(fields.topic)) return [packet];
        return [writePublish({ ...fields, dup: true }, talk.version)];
      },
    }),
  ),
  breaks(
    'message.impatient',
    'sends a message again that is not acknowledged, though the connection lives',
    NONE,
    (talk) => {
      let last: MqttPacket | null = null;
      return {
        fromClient(packet) {
          if (packet.type === 'PUBACK' || packet.type === 'PUBREC') last = null;
          return [packet];
        },
        fromBroker(packet) {
          const fields = publishIn(packet, talk.version);
          if (fields !== null && fields.qos > 0) last = writePublish({ ...fields, dup: true }, talk.version);
          return packet.type === 'PINGRESP' && last !== null ? [last, packet] : [packet];
        },
      };
    },
  ),
  breaks(
    'message.expired-when-sent',
    'lets a message expire that has been sent and not acknowledged',
    () => ({ topics: new Set<string>() }),
    (talk, { topics }) => ({
      fromBroker(packet) {
        const fields = publishIn(packet, talk.version);
        if (fields === null) return [packet];
        if (has(fields, MESSAGE_EXPIRY)) topics.add(fields.topic);
        return fields.dup && topics.has(fields.topic) ? [] : [packet];
      },
    }),
    { withholds: true },
  ),
  breaks(
    'pubrel.not-resent',
    'does not send PUBREL again after a reconnect',
    NONE,
    (talk) => {
      const received = new Set<number>();
      return {
        fromClient(packet) {
          if (packet.type === 'PUBREC') received.add(packet.body.readUInt16BE());
          return [packet];
        },
        fromBroker(packet) {
          return packet.type === 'PUBREL' && !received.has(readAnswer(packet, talk.version).packetId) ? [] : [packet];
        },
      };
    },
    { withholds: true },
  ),
  breaks(
    'pubcomp.of-known',
    'answers PUBREL only where this connection has brought the message',
    NONE,
    (talk) => {
      const known = new Set<number>();
      return {
        fromClient(packet) {
          const fields = publishIn(packet, talk.version);
          if (fields !== null) known.add(fields.packetId);
          return packet.type === 'PUBREL' && !known.has(packet.body.readUInt16BE()) ? [] : [packet];
        },
      };
    },
    { withholds: true },
  ),
  breaks(
    'pubcomp.expired',
    'does not answer PUBREL of a message that expires',
    NONE,
    (talk) => {
      const expiring = new Set<number>();
      return {
        fromClient(packet) {
          const fields = publishIn(packet, talk.version);
          if (fields !== null && has(fields, MESSAGE_EXPIRY)) expiring.add(fields.packetId);
          return packet.type === 'PUBREL' && expiring.has(packet.body.readUInt16BE()) ? [] : [packet];
        },
      };
    },
    { withholds: true },
  ),
  breaks('ack.short-only', 'takes acknowledgements for malformed that say their reason', NONE, ({ link }) => ({
    fromClient(packet) {
      const { type, body } = packet;
      if (type === null || !['PUBACK', 'PUBREC', 'PUBREL', 'PUBCOMP'].includes(type) || body.length < 3)
        return [packet];
      link.end();
      return [];
    },
  })),
  breaks('shared.qos0', 'sends messages of shared subscriptions at QoS 0', NONE, (talk) => {
    let shares = false;
    return {
      fromClient(packet) {
        const asked = subscribeIn(packet, talk.version);
        if (asked?.filters.some(({ filter }) => filter.startsWith('$share/'))) shares = true;
        return [packet];
      },
      fromBroker(packet) {
        const fields = shares ? publishIn(packet, talk.version) : null;
        if (fields === null || fields.qos === 0) return [packet];
        return [writePublish({ ...fields, qos: 0, dup: false }, talk.version)];
      },
    };
  }),
];
