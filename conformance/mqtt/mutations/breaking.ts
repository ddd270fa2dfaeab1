// Building blocks of the MQTT mutations. A mutation changes a client's packet before the broker sees it, alters, drops,
// duplicates or invents an answer or a message, or ignores a violation.

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

/** One proxied connection, with the version and identifier of its CONNECT. */
export interface Talk {
  readonly link: Link<MqttPacket>;
  /** The real broker that the proxy forwards to. */
  readonly endpoint: Endpoint;
  version: Level;
  clientId: string;
}

export interface Options {
  readonly withholds?: boolean;
}

type HooksOf<S> = (talk: Talk, state: S) => MqttHooks;

/** Builds a mutation from its hooks; `state` is shared by all connections of a run. */
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

/** Returns replacement fields, or null to leave the packet as it is. */
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

/** The broker receives an altered CONNECT. */
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

/** The broker receives an altered PUBLISH. */
export function altersPublish(id: string, words: string, change: Change<Publish>, options: Options = {}): MqttMutation {
  const hooks = (talk: Talk): MqttHooks => ({ fromClient: (packet) => publish(packet, talk, change) });
  return breaks(id, words, NONE, hooks, options);
}

/** The client receives an altered PUBLISH. */
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

/** The broker receives an altered SUBSCRIBE or UNSUBSCRIBE. */
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

/** The client receives an altered answer. */
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

/** Packets of these types from the broker are dropped. */
export function losesAnswer(id: string, words: string, ...types: TypeName[]): MqttMutation {
  const hooks = (): MqttHooks => ({
    fromBroker: (packet) => (packet.type !== null && types.includes(packet.type) ? [] : [packet]),
  });
  return breaks(id, words, NONE, hooks, { withholds: true });
}

/** Packets of these types from the client are dropped. */
export function losesRequest(id: string, words: string, ...types: TypeName[]): MqttMutation {
  const hooks = (): MqttHooks => ({
    fromClient: (packet) => (packet.type !== null && types.includes(packet.type) ? [] : [packet]),
  });
  return breaks(id, words, NONE, hooks, { withholds: true });
}

/** The request is dropped, and the proxy answers at once as if the broker had performed it. */
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
