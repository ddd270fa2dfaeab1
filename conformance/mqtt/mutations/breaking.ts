// The ways in which the mutations of MQTT break a rule: a packet of a client is taken for another one, an answer or a
// message is altered, lost, doubled or made up, a violation is passed over.

import type { Endpoint } from '../../check.ts';
import type { Hooks, Link, Mutation } from '../../mutations/mutation.ts';
import { LEVEL, type Level, type TypeName } from '../wire/packets.ts';
import {
  type Answer,
  type Connect,
  type MqttPacket,
  type Publish,
  readAnswer,
  readable,
  readConnect,
  readPublish,
  readSubscribe,
  type Subscribe,
  writeAnswer,
  writeConnect,
  writePublish,
  writeSubscribe,
  writeUnsubscribe,
} from './packets.ts';

export type MqttMutation = Mutation<MqttPacket>;
export type MqttHooks = Hooks<MqttPacket>;

/** One connection, with what its CONNECT has said. */
export interface Talk {
  readonly link: Link<MqttPacket>;
  /** Of the broker behind. */
  readonly endpoint: Endpoint;
  version: Level;
  clientId: string;
}

export interface Options {
  readonly withholds?: boolean;
}

type HooksOf<S> = (talk: Talk, state: S) => MqttHooks;

/** A mutation from its hooks; `state` is shared by the connections of a run. */
export function breaks<S>(
  id: string,
  words: string,
  begin: () => S,
  hooks: HooksOf<S>,
  options: Options = {},
): MqttMutation {
  return {
    id,
    breaks: words,
    withholds: options.withholds ?? false,
    begin(endpoint) {
      const state = begin();
      return (link) => {
        const talk: Talk = { link, endpoint, version: LEVEL.v3, clientId: '' };
        const { fromClient, ...others } = hooks(talk, state);
        return {
          ...others,
          fromClient(packet) {
            if (packet.type === 'CONNECT') {
              const connect = readable(() => readConnect(packet));
              if (connect?.level === LEVEL.v5) talk.version = LEVEL.v5;
              talk.clientId = connect?.clientId ?? '';
            }
            return fromClient === undefined ? [packet] : fromClient(packet);
          },
        };
      };
    },
  };
}

/** The fields with others where `change` gives some; null leaves them. */
type Change<T> = (fields: T, talk: Talk) => Partial<T> | null;

function changed<T>(
  packet: MqttPacket,
  fields: T | null,
  change: (fields: T) => Partial<T> | null,
  write: (fields: T) => MqttPacket,
): readonly MqttPacket[] {
  if (fields === null) return [packet];
  const others = change(fields);
  return [others === null ? packet : write({ ...fields, ...others })];
}

const NONE = (): null => null;

/** The broker takes a CONNECT for another one. */
export function altersConnect(id: string, words: string, change: Change<Connect>, options: Options = {}): MqttMutation {
  const hooks = (talk: Talk): MqttHooks => ({
    fromClient(packet) {
      if (packet.type !== 'CONNECT') return [packet];
      return changed(
        packet,
        readable(() => readConnect(packet)),
        (fields) => change(fields, talk),
        writeConnect,
      );
    },
  });
  return breaks(id, words, NONE, hooks, options);
}

/** The broker takes a message for another one. */
export function altersPublish(id: string, words: string, change: Change<Publish>, options: Options = {}): MqttMutation {
  const hooks = (talk: Talk): MqttHooks => ({ fromClient: (packet) => publish(packet, talk, change) });
  return breaks(id, words, NONE, hooks, options);
}

/** The broker sends a message other than it must be. */
export function altersMessage(id: string, words: string, change: Change<Publish>, options: Options = {}): MqttMutation {
  const hooks = (talk: Talk): MqttHooks => ({ fromBroker: (packet) => publish(packet, talk, change) });
  return breaks(id, words, NONE, hooks, options);
}

export function publish(packet: MqttPacket, talk: Talk, change: Change<Publish>): readonly MqttPacket[] {
  if (packet.type !== 'PUBLISH') return [packet];
  const fields = readable(() => readPublish(packet, talk.version));
  return changed(
    packet,
    fields,
    (each) => change(each, talk),
    (each) => writePublish(each, talk.version),
  );
}

/** The broker takes a SUBSCRIBE or UNSUBSCRIBE for another one. */
export function altersSubscribe(
  id: string,
  words: string,
  type: 'SUBSCRIBE' | 'UNSUBSCRIBE',
  change: Change<Subscribe>,
  options: Options = {},
): MqttMutation {
  const write = type === 'SUBSCRIBE' ? writeSubscribe : writeUnsubscribe;
  const hooks = (talk: Talk): MqttHooks => ({
    fromClient(packet) {
      if (packet.type !== type) return [packet];
      const fields = readable(() => readSubscribe(packet, talk.version));
      return changed(
        packet,
        fields,
        (each) => change(each, talk),
        (each) => write(each, talk.version),
      );
    },
  });
  return breaks(id, words, NONE, hooks, options);
}

/** The broker answers something else. */
export function altersAnswer(
  id: string,
  words: string,
  types: readonly TypeName[],
  change: (fields: Answer, talk: Talk, type: TypeName) => Partial<Answer> | null,
  options: Options = {},
): MqttMutation {
  const hooks = (talk: Talk): MqttHooks => ({
    fromBroker(packet) {
      const { type } = packet;
      if (type === null || !types.includes(type)) return [packet];
      const fields = readable(() => readAnswer(packet, talk.version));
      return changed(
        packet,
        fields,
        (each) => change(each, talk, type),
        (each) => writeAnswer(type, each, talk.version),
      );
    },
  });
  return breaks(id, words, NONE, hooks, options);
}

/** The broker does not say what it must. */
export function losesAnswer(id: string, words: string, ...types: TypeName[]): MqttMutation {
  const hooks = (): MqttHooks => ({
    fromBroker: (packet) => (packet.type !== null && types.includes(packet.type) ? [] : [packet]),
  });
  return breaks(id, words, NONE, hooks, { withholds: true });
}

/** The broker does not hear what it is told. */
export function losesRequest(id: string, words: string, ...types: TypeName[]): MqttMutation {
  const hooks = (): MqttHooks => ({
    fromClient: (packet) => (packet.type !== null && types.includes(packet.type) ? [] : [packet]),
  });
  return breaks(id, words, NONE, hooks, { withholds: true });
}

/** The broker does not do what it is asked, and answers at once as if it had. */
export function pretends(
  id: string,
  words: string,
  types: readonly TypeName[],
  answer: (packet: MqttPacket, talk: Talk) => MqttPacket | null,
  options: Options = {},
): MqttMutation {
  const hooks = (talk: Talk): MqttHooks => ({
    fromClient(packet) {
      if (packet.type === null || !types.includes(packet.type)) return [packet];
      const done = answer(packet, talk);
      if (done === null) return [packet];
      talk.link.toClient(done);
      return [];
    },
  });
  return breaks(id, words, NONE, hooks, options);
}
