// Brokers that lose the will of a client in one situation, and publish every other.

import { LEVEL } from '../wire/packets.ts';
import { breaks, type MqttMutation } from './breaking.ts';
import { Judge } from './judge.ts';
import { type Connect, readAnswer, readable, readConnect, readPublish, type Will } from './packets.ts';

/** A connection with a will, and how it has gone on. */
interface Life {
  readonly connect: Connect;
  readonly will: Will;
  /** A later connection of the same client: whether it began a new session; null where there is none. */
  successor: 'resumed' | 'clean' | null;
  violated: boolean;
  /** The reason of DISCONNECT, or null. */
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
          const connect = packet.type === 'CONNECT' ? readable(() => readConnect(packet)) : null;
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
          const fields = packet.type === 'PUBLISH' ? readable(() => readPublish(packet, talk.version)) : null;
          if (fields === null) return [packet];
          const life = lives.find(({ will }) => will.topic === fields.topic && will.payload.equals(fields.payload));
          return life !== undefined && when(life) ? [] : [packet];
        },
      };
    },
    { withholds: true },
  );
}

export const WILL_MUTATIONS: readonly MqttMutation[] = [
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
