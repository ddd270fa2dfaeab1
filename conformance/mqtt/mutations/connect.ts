// Mutations of CONNECT, CONNACK, keep alive, session state and the end of a connection.

import { frame, LEVEL, UNKNOWN_LEVEL } from '../wire/packets.ts';
import { encodeProperty } from '../wire/properties.ts';
import {
  altersAnswer,
  altersConnect,
  breaks,
  losesAnswer,
  losesRequest,
  type MqttMutation,
  pretends,
} from './breaking.ts';
import {
  connectIn,
  packetOf,
  type RawProperty,
  readAnswer,
  readable,
  readConnect,
  without,
  writeAnswer,
  writeConnect,
} from './packets.ts';

const CLEAN = 2;
const SESSION_EXPIRY = 0x11;
const RECEIVE_MAXIMUM = 0x21;
const MAXIMUM_PACKET_SIZE = 0x27;

const long = (id: number, name: 'sessionExpiryInterval', value: number): RawProperty => {
  return { id, bytes: encodeProperty([name, value]) };
};

/** Drops one property from CONNECT. */
function forgets(id: string, words: string, property: number): MqttMutation {
  return altersConnect(id, words, ({ properties }) => {
    return properties.some((each) => each.id === property) ? { properties: without(properties, property) } : null;
  });
}

export const CONNECT_MUTATIONS: readonly MqttMutation[] = [
  breaks(
    'connect.refused-silently',
    'ends without the CONNACK that says why',
    () => null,
    ({ link }) => ({
      fromBroker(packet) {
        if (packet.type !== 'CONNACK' || packet.body[1] === 0) return [packet];
        link.end();
        return [];
      },
    }),
  ),
  altersAnswer(
    'connack.refused-otherwise',
    'refuses with a code that says something else',
    ['CONNACK'],
    ({ reasons }, { version }) => {
      return reasons[0] === 0 ? null : { reasons: [version === LEVEL.v5 ? 0x97 : 3] };
    },
  ),
  altersAnswer(
    'connack.refused-with-session',
    'says session present 1 where it refuses',
    ['CONNACK'],
    ({ reasons }) => {
      return reasons[0] === 0 ? null : { packetId: 1 };
    },
  ),
  breaks(
    'connect.refused-heard',
    'processes what comes behind a CONNECT that it refuses',
    () => null,
    ({ link }) => {
      let refused: Buffer | null = null;
      return {
        fromClient(packet) {
          if (packet.type !== 'CONNECT' || packet.body[6] !== UNKNOWN_LEVEL) return [packet];
          // The keep alive is followed by the client identifier's length (3.1.1) or the properties' length (5.0).
          const level = packet.body.readUInt16BE(10) === 0 ? LEVEL.v5 : LEVEL.v3;
          refused = frame('CONNACK', level === LEVEL.v5 ? Buffer.of(0, 0x84, 0) : Buffer.of(0, 1));
          const body = Buffer.from(packet.body);
          body[6] = level;
          return [packetOf(frame('CONNECT', body))];
        },
        fromBroker(packet) {
          if (packet.type !== 'CONNACK' || refused === null) return [packet];
          link.toClient(packetOf(refused));
          link.end();
          return [];
        },
      };
    },
  ),
  breaks(
    'connack.second',
    'sends CONNACK twice',
    () => null,
    () => ({ fromBroker: (packet) => (packet.type === 'CONNACK' ? [packet, packet] : [packet]) }),
  ),
  breaks(
    'connack.late',
    'sends a PINGRESP before CONNACK',
    () => null,
    () => ({ fromBroker: (packet) => (packet.type === 'CONNACK' ? [packetOf(frame('PINGRESP')), packet] : [packet]) }),
  ),
  altersAnswer('connack.flags', 'sets a reserved bit in CONNACK', ['CONNACK'], ({ packetId }) => ({
    packetId: packetId | 2,
  })),
  altersAnswer(
    'connack.session-present',
    'says session present 1 where there is no session',
    ['CONNACK'],
    ({ packetId, reasons }) => {
      return packetId === 0 && reasons[0] === 0 ? { packetId: 1 } : null;
    },
  ),
  altersAnswer('connack.no-session', 'says session present 0 where there is one', ['CONNACK'], ({ packetId }) => {
    return packetId === 1 ? { packetId: 0 } : null;
  }),
  altersAnswer('connack.not-assigned', 'does not say which identifier it assigns', ['CONNACK'], ({ properties }) => {
    return properties.some(({ id }) => id === 0x12) ? { properties: without(properties, 0x12) } : null;
  }),
  altersAnswer(
    'connack.assigned',
    'assigns an identifier to a client that has one',
    ['CONNACK'],
    ({ properties }, { version, clientId }) => {
      if (version !== LEVEL.v5 || clientId === '') return null;
      return {
        properties: [...properties, { id: 0x12, bytes: encodeProperty(['assignedClientIdentifier', 'other']) }],
      };
    },
  ),
  altersAnswer(
    'connack.response-information',
    'sends response information that was not asked for',
    ['CONNACK'],
    ({ properties }, { version }) => {
      if (version !== LEVEL.v5) return null;
      return {
        properties: [...properties, { id: 0x1a, bytes: encodeProperty(['responseInformation', 'replies/here']) }],
      };
    },
  ),
  altersAnswer(
    'connack.same-response-information',
    'gives everybody the same response information',
    ['CONNACK'],
    ({ properties }) => {
      if (!properties.some(({ id }) => id === 0x1a)) return null;
      const same = { id: 0x1a, bytes: encodeProperty(['responseInformation', 'responses']) };
      return { properties: [...without(properties, 0x1a), same] };
    },
  ),
  altersAnswer(
    'connack.authentication-method',
    'sends an authentication method that was not asked for',
    ['CONNACK'],
    ({ properties }, { version }) => {
      if (version !== LEVEL.v5) return null;
      return { properties: [...properties, { id: 0x15, bytes: encodeProperty(['authenticationMethod', 'NONE']) }] };
    },
  ),
  altersAnswer(
    'connack.maximum-qos',
    'says maximum QoS 0, and grants more',
    ['CONNACK'],
    ({ properties }, { version }) => {
      if (version !== LEVEL.v5) return null;
      return { properties: [...properties, { id: 0x24, bytes: encodeProperty(['maximumQos', 0]) }] };
    },
  ),
  altersAnswer(
    'connack.explained',
    'explains a refusal at length, whatever the client takes',
    ['CONNACK'],
    ({ reasons, properties }, { version }) => {
      if (version !== LEVEL.v5 || reasons[0] === 0) return null;
      return { properties: [...properties, { id: 0x1f, bytes: encodeProperty(['reasonString', 'no '.repeat(50)]) }] };
    },
  ),

  altersAnswer('auth.unknown-reason', 'asks for more with a reason that is not the one for it', ['AUTH'], () => ({
    reasons: [0x19],
  })),
  altersAnswer('auth.other-method', 'goes on with another authentication method', ['AUTH'], ({ properties }) => ({
    properties: [{ id: 0x15, bytes: encodeProperty(['authenticationMethod', 'OTHER']) }, ...without(properties, 0x15)],
  })),
  altersAnswer(
    'auth.method-unsaid',
    'does not say in CONNACK by which method it has accepted',
    ['CONNACK'],
    ({ properties }) => {
      return properties.some(({ id }) => id === 0x15) ? { properties: without(properties, 0x15) } : null;
    },
  ),
  altersAnswer('auth.unproved', 'does not prove that it knows the password', ['CONNACK'], ({ properties }) => {
    return properties.some(({ id }) => id === 0x16) ? { properties: without(properties, 0x16) } : null;
  }),
  altersAnswer('auth.explained', 'explains AUTH at length, whatever the client takes', ['AUTH'], ({ properties }) => ({
    properties: [...properties, { id: 0x1f, bytes: encodeProperty(['reasonString', 'more '.repeat(50)]) }],
  })),
  breaks(
    'auth.again.anybody',
    'accepts every answer to its challenge once it has accepted a client',
    () => null,
    ({ link }) => {
      let accepted = false;
      return {
        fromClient(packet) {
          const fields = packet.type === 'AUTH' && accepted ? readable(() => readAnswer(packet, LEVEL.v5)) : null;
          if (fields?.reasons[0] !== 0x18) return [packet];
          const properties = fields.properties.filter(({ id }) => id === 0x15);
          link.toClient(writeAnswer('AUTH', { packetId: 0, reasons: [0], properties }, LEVEL.v5));
          return [];
        },
        fromBroker(packet) {
          accepted ||= packet.type === 'CONNACK';
          return [packet];
        },
      };
    },
  ),
  pretends('auth.anybody', 'accepts every answer to its challenge', ['AUTH'], (_packet, { version }) => {
    return writeAnswer('CONNACK', { packetId: 0, reasons: [0], properties: [] }, version);
  }),
  altersConnect('login.administrator', 'lets everybody do what its administrator may', (_fields, { endpoint }) => ({
    user: endpoint.user,
    password: endpoint.password,
  })),
  altersConnect(
    'client-id.folded',
    'does not tell capital letters from small ones in client identifiers',
    ({ clientId }) => {
      return { clientId: clientId.toLowerCase() };
    },
  ),
  altersConnect('client-id.cut', 'looks at the first 15 characters of a client identifier only', ({ clientId }) => {
    return clientId === '' ? null : { clientId: clientId.slice(0, 15) };
  }),
  altersConnect('client-id.one', 'takes all clients without an identifier for one', ({ clientId }) => {
    return clientId === '' ? { clientId: 'nobody' } : null;
  }),
  pretends('connack.refused-always', 'refuses everybody', ['CONNECT'], ({ body }) => {
    return writeAnswer(
      'CONNACK',
      { packetId: 0, reasons: [body[6] === 5 ? 0x80 : 3], properties: [] },
      body[6] === 5 ? LEVEL.v5 : LEVEL.v3,
    );
  }),
  breaks(
    'takeover.ignored',
    'lets two connections of one client live side by side',
    () => ({ seen: 0 }),
    (_talk, state) => ({
      fromClient(packet) {
        const connect = connectIn(packet);
        if (connect === null || connect.clientId === '') return [packet];
        return [writeConnect({ ...connect, clientId: `${connect.clientId}${state.seen++}` })];
      },
    }),
  ),
  altersAnswer(
    'takeover.other-reason',
    'says another reason than that the session was taken over',
    ['DISCONNECT'],
    ({ reasons }) => {
      return reasons[0] === 0x8e ? { reasons: [0x98] } : null;
    },
  ),
  altersConnect(
    'session.lost',
    'keeps no sessions',
    ({ flags, properties }) => {
      if ((flags & CLEAN) !== 0 && !properties.some(({ id }) => id === SESSION_EXPIRY)) return null;
      return { flags: flags | CLEAN, properties: without(properties, SESSION_EXPIRY) };
    },
    { withholds: true },
  ),
  altersConnect(
    'session.kept',
    'keeps every session, and resumes it whatever the client wants',
    ({ level, flags, clientId, properties }) => {
      if (clientId === '') return null;
      const kept =
        level === LEVEL.v5
          ? [...without(properties, SESSION_EXPIRY), long(SESSION_EXPIRY, 'sessionExpiryInterval', 100)]
          : [];
      return { flags: flags & ~CLEAN, properties: kept };
    },
  ),
  altersConnect('session.expiry-ignored', 'lets every session live for 100 s', ({ level, clientId, properties }) => {
    if (level !== LEVEL.v5 || clientId === '') return null;
    return { properties: [...without(properties, SESSION_EXPIRY), long(SESSION_EXPIRY, 'sessionExpiryInterval', 100)] };
  }),
  breaks(
    'session.dropped-on-subscribe',
    'ends the connection of whoever has been quiet, and with it the session',
    () => null,
    ({ link }) => ({
      fromBroker(packet) {
        if (packet.type === 'SUBACK') link.end();
        return [packet];
      },
    }),
  ),
  breaks(
    'keep-alive.hasty',
    'disconnects a client with a keep alive at once',
    () => null,
    ({ link }) => {
      let keepAlive = 0;
      return {
        fromClient(packet) {
          if (packet.type === 'CONNECT') keepAlive = readable(() => readConnect(packet))?.keepAlive ?? 0;
          return [packet];
        },
        fromBroker(packet) {
          if (packet.type === 'CONNACK' && keepAlive > 0) link.end();
          return [packet];
        },
      };
    },
  ),
  altersConnect(
    'keep-alive.ignored',
    'waits for silent clients for ever',
    ({ keepAlive }) => (keepAlive > 0 ? { keepAlive: 0 } : null),
    { withholds: true },
  ),
  breaks(
    'keep-alive.by-ping-only',
    'counts no packet but PINGREQ, and disconnects who sends others',
    () => null,
    ({ link }) => ({
      fromClient(packet) {
        if (packet.type === 'PUBLISH') link.end();
        return [packet];
      },
    }),
  ),
  breaks(
    'keep-alive.never-off',
    'disconnects a client that was silent, though its keep alive is 0',
    () => null,
    ({ link }) => ({
      fromClient(packet) {
        if (packet.type === 'PINGREQ') link.end();
        return packet.type === 'PINGREQ' ? [] : [packet];
      },
    }),
  ),
  breaks(
    'pieces.first',
    'reads a packet from the first piece of it only',
    () => null,
    ({ link }) => ({
      clientChunk(chunk) {
        if (chunk.length > 1) return chunk;
        link.end();
        return null;
      },
    }),
  ),
  breaks(
    'pieces.one-each',
    'reads one packet of each piece, and forgets the rest',
    () => null,
    () => ({
      clientChunk(chunk) {
        const size = chunk.length < 2 || chunk[1]! >= 0x80 ? chunk.length : chunk[1]! + 2;
        return size < chunk.length ? chunk.subarray(0, size) : chunk;
      },
    }),
    { withholds: true },
  ),

  losesRequest('disconnect.unheard', 'does not hear DISCONNECT', 'DISCONNECT'),
  breaks(
    'disconnect.broken',
    'takes DISCONNECT for a connection that breaks',
    () => null,
    ({ link }) => ({
      fromClient(packet) {
        if (packet.type !== 'DISCONNECT') return [packet];
        link.end();
        return [];
      },
    }),
  ),
  breaks(
    'disconnect.tidied',
    'takes every DISCONNECT for a goodbye, whatever is in it',
    () => null,
    () => ({
      fromClient: (packet) => {
        const goodbye = packet.type === 'DISCONNECT' && packet.bytes.length + packet.flags > 2;
        return [goodbye ? packetOf(frame('DISCONNECT')) : packet];
      },
    }),
    { withholds: true },
  ),
  breaks(
    'disconnect.hasty',
    'forgets what came before DISCONNECT',
    () => null,
    () => {
      const held: ReturnType<typeof packetOf>[] = [];
      return {
        fromClient(packet) {
          if (packet.type === 'DISCONNECT') return [packet];
          if (packet.type === 'PUBLISH') held.push(packet);
          return packet.type === 'PUBLISH' ? [] : [packet];
        },
      };
    },
    { withholds: true },
  ),
  breaks(
    'disconnect.answered',
    'answers DISCONNECT before it ends the connection',
    () => null,
    ({ link }) => ({
      fromClient(packet) {
        if (packet.type === 'DISCONNECT') link.toClient(packetOf(frame('PINGRESP')));
        return [packet];
      },
    }),
  ),
  altersAnswer('disconnect.unknown-reason', 'gives a reason that does not exist', ['DISCONNECT'], () => ({
    reasons: [0xf0],
  })),
  altersAnswer('disconnect.other-reason', 'sends a reason that does not match the violation', ['DISCONNECT'], () => ({
    reasons: [0x97],
  })),
  altersAnswer(
    'disconnect.session-expiry',
    'sends a session expiry in DISCONNECT',
    ['DISCONNECT'],
    ({ properties }) => {
      return { properties: [...properties, long(SESSION_EXPIRY, 'sessionExpiryInterval', 1)] };
    },
  ),
  altersAnswer(
    'disconnect.explained',
    'explains DISCONNECT at length, whatever the client takes',
    ['DISCONNECT'],
    ({ properties }) => {
      return {
        properties: [...properties, { id: 0x1f, bytes: encodeProperty(['reasonString', 'because '.repeat(20)]) }],
      };
    },
  ),
  breaks(
    'disconnect.not-last',
    'goes on sending after DISCONNECT',
    () => null,
    () => ({
      fromBroker: (packet) => (packet.type === 'DISCONNECT' ? [packet, packetOf(frame('PINGRESP'))] : [packet]),
    }),
  ),
  breaks(
    'disconnect.unsaid',
    'closes without saying why',
    () => null,
    () => ({ fromBroker: (packet) => (packet.type === 'DISCONNECT' ? [] : [packet]) }),
  ),
  losesAnswer('pingresp.lost', 'does not answer PINGREQ', 'PINGRESP'),
  forgets('receive-maximum.ignored', 'sends as many messages as there are', RECEIVE_MAXIMUM),
  forgets('maximum-packet-size.ignored', 'sends packets of any size', MAXIMUM_PACKET_SIZE),
];
