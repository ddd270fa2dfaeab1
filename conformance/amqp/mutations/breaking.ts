// Building blocks of the AMQP 0-9-1 mutations: alter or drop an answer or a request, refuse a legal request, answer a
// request without forwarding it, drop, duplicate or alter a message.

import type { Endpoint } from '../../check.ts';
import type { Hooks, Link, Mutation } from '../../mutations/mutation.ts';
import type { ContentHeader } from '../wire/frames.ts';
import { type Args, METHODS, type MethodName, type Properties } from '../wire/methods.ts';
import { type AmqpPacket, bodyPacket, headerPacket, type Method, methodPacket } from './packets.ts';
import { Talk } from './talk.ts';

export type AmqpMutation = Mutation<AmqpPacket>;
export type AmqpLink = Link<AmqpPacket>;
export type AmqpHooks = Hooks<AmqpPacket>;

export interface Options {
  readonly withholds?: boolean;
}

/** Builds a mutation from its hooks; `talk` records what clients have declared and bound in the run. */
export function breaks(
  id: string,
  words: string,
  hooks: (link: AmqpLink, talk: Talk, endpoint: Endpoint) => AmqpHooks,
  options: Options = {},
): AmqpMutation {
  return {
    id,
    breaks: words,
    withholds: options.withholds ?? false,
    begin(endpoint) {
      const talk = new Talk();
      return (link) => {
        const { fromClient, ...others } = hooks(link, talk, endpoint);
        return {
          ...others,
          fromClient(packet) {
            const packets = fromClient === undefined ? [packet] : fromClient(packet);
            if (packet.method !== null) talk.heard(packet.channel, packet.method);
            return packets;
          },
        };
      };
    },
  };
}

/** The channel and connection of a method, for predicates that need more than its fields. */
export interface Place {
  readonly channel: number;
  readonly talk: Talk;
}

/** The fields of a method of one of these names. */
type Asked<N extends MethodName> = N extends MethodName ? Args<N> : never;
type Change<N extends MethodName> = (args: Asked<N>, place: Place) => Partial<Asked<N>> | null;

/** Returns replacement fields; null or no fields leave the method unchanged. */
function changed<N extends MethodName>(packet: AmqpPacket, name: N, talk: Talk, change: Change<N>): AmqpPacket {
  if (packet.method?.name !== name) return packet;
  const args = packet.method.args as Asked<N>;
  const fields = change(args, { channel: packet.channel, talk });
  return fields === null ? packet : methodPacket(packet.channel, name, { ...args, ...fields } as Args<N>);
}

/** The client receives an altered method. */
export function altersAnswer<N extends MethodName>(
  id: string,
  words: string,
  name: N,
  change: Change<N>,
  options: Options = {},
): AmqpMutation {
  const hooks = (_link: AmqpLink, talk: Talk): AmqpHooks => ({
    fromBroker: (packet) => [changed(packet, name, talk, change)],
  });
  return breaks(id, words, hooks, options);
}

/** The broker receives an altered method. */
export function altersRequest<N extends MethodName>(
  id: string,
  words: string,
  names: N | readonly N[],
  change: Change<N>,
  options: Options = {},
): AmqpMutation {
  const hooks = (_link: AmqpLink, talk: Talk): AmqpHooks => ({
    fromClient: (packet) => [[names].flat().reduce((each, name) => changed(each, name as N, talk, change), packet)],
  });
  return breaks(id, words, hooks, options);
}

/** Methods of the broker are dropped. */
export function losesAnswer(id: string, words: string, name: MethodName, options: Options = {}): AmqpMutation {
  const hooks = (): AmqpHooks => ({ fromBroker: (packet) => (packet.method?.name === name ? [] : [packet]) });
  return breaks(id, words, hooks, options);
}

type When<N extends MethodName> = (args: Asked<N>, place: Place) => boolean;

function matches<N extends MethodName>(
  packet: AmqpPacket,
  names: readonly N[],
  talk: Talk,
  when: When<N>,
): Method | null {
  const { method, channel } = packet;
  if (method === null || !names.includes(method.name as N)) return null;
  return when(method.args as Asked<N>, { channel, talk }) ? method : null;
}

/** The request is dropped, and the proxy answers as if the broker had performed it. */
export function pretends<N extends MethodName>(
  id: string,
  words: string,
  names: N | readonly N[],
  when: When<N> = () => true,
  options: Options & { readonly answer?: (args: Asked<N>) => object } = {},
): AmqpMutation {
  const hooks = (link: AmqpLink, talk: Talk): AmqpHooks => ({
    fromClient(packet) {
      const method = matches(packet, [names].flat() as N[], talk, when);
      if (method === null) return [packet];
      const silent = 'noWait' in method.args && method.args.noWait;
      const args = options.answer?.(method.args as Asked<N>) ?? {};
      if (!silent) link.toClient(...answers(packet.channel, method, args));
      return [];
    },
  });
  return breaks(id, words, hooks, options);
}

/** The `-ok` answer of a method; nothing for a method without an answer. */
function answers(channel: number, { name, args }: Method, fields: object): AmqpPacket[] {
  switch (name) {
    case 'basic.get':
      return [methodPacket(channel, 'basic.get-empty')];
    case 'queue.declare':
      return [methodPacket(channel, 'queue.declare-ok', { queue: args.queue, ...fields })];
    case 'basic.consume':
    case 'basic.cancel':
      return [methodPacket(channel, `${name}-ok`, { consumerTag: args.consumerTag, ...fields })];
    default:
      return `${name}-ok` in METHODS ? [methodPacket(channel, `${name}-ok` as MethodName, fields)] : [];
  }
}

/** Codes that close the connection; any other code closes the channel. */
const HARD: ReadonlySet<number> = new Set([320, 402, 501, 502, 503, 504, 505, 506, 530, 540, 541]);

/** Refusals by the proxy. Everything on a refused channel is dropped until the client has sent close-ok. */
export class Refusals {
  private readonly link: AmqpLink;
  /** Channels for which the client has not sent close-ok yet. */
  private readonly closing: Set<number>;
  /** Channels that the proxy asked the broker to close. */
  private readonly swallowed: Set<number>;
  private over: boolean;

  constructor(link: AmqpLink) {
    this.link = link;
    this.closing = new Set();
    this.swallowed = new Set();
    this.over = false;
  }

  /** Closes the channel because of this method, or the connection if the code is a hard error. */
  refuse(packet: AmqpPacket, code: number, text = 'REFUSED - by a mutation'): void {
    const name = packet.method?.name;
    const { classId, methodId } = name === undefined ? { classId: 0, methodId: 0 } : METHODS[name];
    const close = { replyCode: code, replyText: text, classId, methodId };
    if (HARD.has(code)) {
      this.over = true;
      this.link.toClient(methodPacket(0, 'connection.close', close));
      this.link.end();
      return;
    }
    this.closing.add(packet.channel);
    this.swallowed.add(packet.channel);
    this.link.toClient(methodPacket(packet.channel, 'channel.close', close));
    this.link.toBroker(methodPacket(packet.channel, 'channel.close', { replyCode: 200 }));
  }

  /** Whether a client's packet must not reach the broker. */
  swallowsClient({ channel, method }: AmqpPacket): boolean {
    if (this.over) return true;
    if (!this.closing.has(channel)) return false;
    if (method?.name === 'channel.close') this.link.toClient(methodPacket(channel, 'channel.close-ok'));
    if (method?.name === 'channel.close-ok') this.closing.delete(channel);
    return true;
  }

  /** Whether a broker's packet must not reach the client. */
  swallowsBroker({ channel, method }: AmqpPacket): boolean {
    if (!this.swallowed.has(channel)) return this.over;
    if (method?.name === 'channel.close-ok') this.swallowed.delete(channel);
    return true;
  }
}

/** Refuses a legal method. `when` may count: it is called once for each such method. */
export function refuses<N extends MethodName>(
  id: string,
  words: string,
  names: N | readonly N[],
  code: number,
  when: When<N> = () => true,
  options: Options = {},
): AmqpMutation {
  return refusesPackets(
    id,
    words,
    code,
    (packet, talk) => matches(packet, [names].flat() as N[], talk, when) !== null,
    options,
  );
}

/** Refuses a legal packet, of a method or not. */
export function refusesPackets(
  id: string,
  words: string,
  code: number,
  when: (packet: AmqpPacket, talk: Talk) => boolean,
  options: Options = {},
): AmqpMutation {
  const hooks = (link: AmqpLink, talk: Talk): AmqpHooks => {
    const refusals = new Refusals(link);
    return {
      fromClient(packet) {
        if (refusals.swallowsClient(packet)) return [];
        if (!when(packet, talk)) return [packet];
        refusals.refuse(packet, code);
        return [];
      },
      fromBroker: (packet) => (refusals.swallowsBroker(packet) ? [] : [packet]),
    };
  };
  return breaks(id, words, hooks, options);
}

/** A method with its content. */
export interface Message {
  readonly channel: number;
  readonly method: Method;
  readonly header: ContentHeader;
  /** Its packets as they arrived. */
  readonly packets: readonly AmqpPacket[];
}

/** Assembles the messages of one direction; all other packets pass at once. */
export class Messages {
  private readonly open: Map<number, AmqpPacket[]>;

  constructor() {
    this.open = new Map();
  }

  take(packet: AmqpPacket, whole: (message: Message) => readonly AmqpPacket[]): readonly AmqpPacket[] {
    const { channel, method } = packet;
    if (method !== null && METHODS[method.name].content) {
      this.open.set(channel, [packet]);
      return [];
    }
    const packets = this.open.get(channel);
    if (packets === undefined) return [packet];
    packets.push(packet);
    const header = packets[1]?.header;
    if (header != null) {
      const size = packets.slice(2).reduce((sum, { payload }) => sum + BigInt(payload.length), 0n);
      if (size < header.bodySize) return [];
      this.open.delete(channel);
      return whole({ channel, method: packets[0]!.method!, header, packets });
    }
    // Not a message: a check breaks the order of frames on purpose.
    this.open.delete(channel);
    return packets;
  }
}

type Whole = (message: Message, talk: Talk, link: AmqpLink) => readonly AmqpPacket[];

/** Replaces published messages on their way to the broker. */
export function altersPublish(id: string, words: string, change: Whole, options: Options = {}): AmqpMutation {
  const hooks = (link: AmqpLink, talk: Talk): AmqpHooks => {
    const messages = new Messages();
    return { fromClient: (packet) => messages.take(packet, (message) => change(message, talk, link)) };
  };
  return breaks(id, words, hooks, options);
}

/** Replaces delivered, returned or got messages on their way to the client. */
export function altersDelivery(id: string, words: string, change: Whole, options: Options = {}): AmqpMutation {
  const hooks = (link: AmqpLink, talk: Talk): AmqpHooks => {
    const messages = new Messages();
    return { fromBroker: (packet) => messages.take(packet, (message) => change(message, talk, link)) };
  };
  return breaks(id, words, hooks, options);
}

/** The message with other properties. */
export function withProperties({ channel, header, packets }: Message, properties: Properties): AmqpPacket[] {
  return [packets[0]!, headerPacket(channel, header.bodySize, properties), ...packets.slice(2)];
}

/** The message with another body, in one frame. */
export function withBody({ channel, header, packets }: Message, body: Buffer): AmqpPacket[] {
  const frames = body.length === 0 ? [] : [bodyPacket(channel, body)];
  return [packets[0]!, headerPacket(channel, body.length, header.properties), ...frames];
}
