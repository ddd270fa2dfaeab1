// Mutations that publish a will wrongly, drop it or alter it. Some drop the will in one situation and publish all
// others.

import { LEVEL } from '../wire/packets.ts';
import { encodeProperty } from '../wire/properties.ts';
import { altersConnect, breaks, type MqttMutation } from './breaking.ts';
import { Judge } from './judge.ts';
import {
  type Connect,
  connectIn,
  publishIn,
  readAnswer,
  readable,
  type Will,
  without,
  writeConnect,
} from './packets.ts';

/** A connection with a will, and how it ended. */
interface Life {
  readonly connect: Connect;
  readonly will: Will;
  /** Whether a later connection of the client resumed or replaced the session; null without a later connection. */
  successor: 'resumed' | 'clean' | null;
  violated: boolean;
  /** The reason code of DISCONNECT; null without DISCONNECT. */
  goodbye: number | null;
}

const CLEAN = 2;
const SESSION_EXPIRY = 0x11;
const WILL_DELAY = 0x18;

function seconds({ properties }: Pick<Connect, 'properties'>, id: number): number {
  return properties.find((each) => each.id === id)?.bytes.readUInt32BE(1) ?? 0;
}

const delayed = ({ will }: Life): boolean => seconds(will, WILL_DELAY) > 0;

function losesWill(id: string, words: string, when: (life: Life) => boolean): MqttMutation {
  return breaks(
    id,
    words,
    () => ({ lives: [] as Life[] }),
    (talk, { lives }) => {
      const judge = new Judge();
      let own: Life | null = null;
      return {
        fromClient(packet) {
          const connect = connectIn(packet);
          for (const life of lives.filter((each) => each.connect.clientId === connect?.clientId)) {
            life.successor = (connect!.flags & CLEAN) !== 0 ? 'clean' : 'resumed';
          }
          if (connect?.will != null) {
            own = { connect, will: connect.will, successor: null, violated: false, goodbye: null };
            lives.push(own);
          }
          if (own !== null && judge.client(packet) !== null) own.violated = true;
          if (own !== null && packet.type === 'DISCONNECT') {
            own.goodbye = readable(() => readAnswer(packet, LEVEL.v5))?.reasons[0] ?? 0;
          }
          return [packet];
        },
        fromBroker(packet) {
          const fields = publishIn(packet, talk.version);
          if (fields === null) return [packet];
          const life = lives.find(({ will }) => will.topic === fields.topic && will.payload.equals(fields.payload));
          return life !== undefined && when(life) ? [] : [packet];
        },
      };
    },
    { withholds: true },
  );
}

/** The broker receives a CONNECT with an altered will. */
function altersWill(
  id: string,
  words: string,
  change: (will: NonNullable<Connect['will']>) => object | null,
  withholds = false,
): MqttMutation {
  return altersConnect(
    id,
    words,
    ({ will }) => {
      const others = will === null ? null : change(will);
      return others === null ? null : { will: { ...will!, ...others } };
    },
    { withholds },
  );
}

export const WILL_MUTATIONS: readonly MqttMutation[] = [
  altersConnect('will.lost', 'forgets wills', ({ will }) => (will === null ? null : { will: null }), {
    withholds: true,
  }),
  altersWill('will.topic', 'publishes the will under another topic', ({ topic }) => ({ topic: `${topic}x` }), true),
  altersWill('will.payload', 'publishes another will', ({ payload }) => ({ payload: Buffer.from(`${payload}x`) })),
  altersWill('will.qos', 'publishes every will at QoS 0', () => ({ qos: 0 })),
  altersWill('will.retained', 'keeps every will', () => ({ retain: true })),
  altersWill('will.not-retained', 'keeps no will', ({ retain }) => (retain ? { retain: false } : null), true),
  altersWill('will.properties', 'forgets the properties of wills', ({ properties }) =>
    properties.length > 0 ? { properties: [] } : null,
  ),
  altersWill('will.user-properties', 'sorts the user properties of wills', ({ properties }) => ({
    properties: [...properties].sort((a, b) => Buffer.compare(a.bytes, b.bytes)),
  })),
  altersWill('will.delay', 'publishes wills at once', ({ properties }) => ({
    properties: without(properties, WILL_DELAY),
  })),
  altersWill('will.expiry', 'lets a will begin to expire when it is given', ({ properties }) => {
    const expiry = properties.find(({ id }) => id === 0x02);
    return expiry === undefined
      ? null
      : {
          properties: [
            ...without(properties, 0x02),
            { id: 0x02, bytes: encodeProperty(['messageExpiryInterval', 98]) },
          ],
        };
  }),
  breaks(
    'will.kept',
    'publishes an old will of a client again',
    () => ({ wills: new Map<string, NonNullable<Connect['will']>>() }),
    (_talk, { wills }) => ({
      fromClient(packet) {
        const connect = connectIn(packet);
        if (connect === null) return [packet];
        const old = wills.get(connect.clientId);
        if (connect.will !== null) wills.set(connect.clientId, connect.will);
        return [connect.will === null && old !== undefined ? writeConnect({ ...connect, will: old }) : packet];
      },
    }),
  ),
  losesWill('will.lost-at-takeover', 'forgets the will of a connection that is taken over', ({ successor }) => {
    return successor !== null;
  }),
  losesWill('will.lost-to-silence', 'forgets the will of a client that was silent for too long', ({ connect }) => {
    return connect.keepAlive > 0;
  }),
  losesWill('will.lost-to-violation', 'forgets the will of a client that has broken a rule', (life) => life.violated),
  losesWill('will.empty-lost', 'forgets wills that are empty', ({ will }) => will.payload.length === 0),
  losesWill('will.lost-to-goodbye-with-will', 'takes DISCONNECT 0x04 for a goodbye', ({ goodbye }) => goodbye === 4),
  losesWill('will.lost-to-error', 'takes DISCONNECT with an error for a goodbye', ({ goodbye }) => goodbye! >= 0x80),
  losesWill('will.lost-with-connection', 'forgets a delayed will whose session ends with its connection', (life) => {
    return delayed(life) && life.successor === null && seconds(life.connect, SESSION_EXPIRY) === 0;
  }),
  losesWill('will.lost-with-session', 'forgets a delayed will whose session expires', (life) => {
    return delayed(life) && life.successor === null && seconds(life.connect, SESSION_EXPIRY) > 0;
  }),
  losesWill('will.lost-to-new-session', 'forgets a delayed will when its client begins a new session', (life) => {
    return delayed(life) && life.successor === 'clean';
  }),
];
