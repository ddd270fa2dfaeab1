// Building blocks of the STOMP mutations: alter, drop or duplicate a frame of the broker, alter a client's frame,
// answer a frame without forwarding it, or refuse a legal frame.

import type { Endpoint } from '../../check.ts';
import type { Hooks, Link, Mutation } from '../../mutations/mutation.ts';
import { framePacket, headerOf, type Line, type StompPacket } from './packets.ts';

export type StompMutation = Mutation<StompPacket>;
export type StompLink = Link<StompPacket>;
export type StompHooks = Hooks<StompPacket>;

export interface Options {
  readonly withholds?: boolean;
}

/** State shared by the connections of one run, for rules about several frames. */
export class Talk {
  readonly links: StompLink[];
  private readonly known: Map<string, string>;

  constructor() {
    this.links = [];
    this.known = new Map();
  }

  /** Returns the first value stored under a name, and stores this one if there is none. */
  first(name: string, value: string): string {
    const before = this.known.get(name);
    if (before !== undefined) return before;
    this.known.set(name, value);
    return value;
  }

  has(name: string): boolean {
    return this.known.has(name);
  }

  forget(name: string): void {
    this.known.delete(name);
  }

  /** How often this key was counted before. */
  times(name: string): number {
    const count = Number(this.known.get(name) ?? '0');
    this.known.set(name, `${count + 1}`);
    return count;
  }
}

/** Builds a mutation from its hooks. */
export function breaks(
  id: string,
  words: string,
  hooks: (link: StompLink, talk: Talk, endpoint: Endpoint) => StompHooks,
  options: Options = {},
): StompMutation {
  return {
    id,
    breaks: words,
    withholds: options.withholds ?? false,
    begin(endpoint) {
      const talk = new Talk();
      return (link) => {
        talk.links.push(link);
        return hooks(link, talk, endpoint);
      };
    },
  };
}

type Change = (lines: readonly Line[], packet: StompPacket, talk: Talk) => readonly Line[];

function changed(packet: StompPacket, commands: readonly string[], talk: Talk, change: Change): StompPacket {
  if (!commands.includes(packet.command) || packet.malformed) return packet;
  const lines = change(packet.lines, packet, talk);
  const same = lines.length === packet.lines.length && lines.every((line, index) => line === packet.lines[index]);
  return same ? packet : framePacket(packet.command, lines, packet.body);
}

/** The client receives altered headers. */
export function altersFrame(
  id: string,
  words: string,
  commands: string,
  change: Change,
  options: Options = {},
): StompMutation {
  const hooks = (_link: StompLink, talk: Talk): StompHooks => ({
    fromBroker: (packet) => [changed(packet, commands.split(' '), talk, change)],
  });
  return breaks(id, words, hooks, options);
}

/** The broker receives altered headers. */
export function altersRequest(
  id: string,
  words: string,
  commands: string,
  change: Change,
  options: Options = {},
): StompMutation {
  const hooks = (_link: StompLink, talk: Talk): StompHooks => ({
    fromClient: (packet) => [changed(packet, commands.split(' '), talk, change)],
  });
  return breaks(id, words, hooks, options);
}

/** The client receives an altered body. */
export function altersBody(
  id: string,
  words: string,
  command: string,
  change: (body: Buffer) => Buffer,
): StompMutation {
  return breaks(id, words, () => ({
    fromBroker(packet) {
      if (packet.command !== command) return [packet];
      const body = change(packet.body);
      return body.equals(packet.body) ? [packet] : [framePacket(command, packet.lines, body)];
    },
  }));
}

type When = (packet: StompPacket, talk: Talk, link: StompLink) => boolean;

/** The frame is dropped, and the proxy sends its receipt. A check that expects a refusal detects it by timeout. */
export function pretends(id: string, words: string, when: When, options: Options = { withholds: true }): StompMutation {
  const hooks = (link: StompLink, talk: Talk): StompHooks => ({
    fromClient(packet) {
      if (!when(packet, talk, link)) return [packet];
      const receipt = headerOf(packet, 'receipt');
      if (receipt !== null) link.toClient(receiptPacket(receipt));
      return [];
    },
  });
  return breaks(id, words, hooks, options);
}

/** Refuses a legal frame. */
export function refuses(id: string, words: string, when: When): StompMutation {
  const hooks = (link: StompLink, talk: Talk): StompHooks => ({
    fromClient(packet) {
      if (!when(packet, talk, link)) return [packet];
      link.toClient(errorPacket('refused'));
      link.end();
      return [];
    },
  });
  return breaks(id, words, hooks);
}

/** Frames of the broker are dropped. */
export function loses(
  id: string,
  words: string,
  when: (packet: StompPacket, talk: Talk) => boolean,
  options: Options = {},
): StompMutation {
  const hooks = (_link: StompLink, talk: Talk): StompHooks => ({
    fromBroker: (packet) => (when(packet, talk) ? [] : [packet]),
  });
  return breaks(id, words, hooks, options);
}

export function receiptPacket(id: string): StompPacket {
  return framePacket('RECEIPT', [['receipt-id', id]]);
}

export function errorPacket(message: string): StompPacket {
  return framePacket('ERROR', [['message', message]]);
}

export const without =
  (...names: readonly string[]) =>
  (lines: readonly Line[]): readonly Line[] =>
    lines.filter(([name]) => !names.includes(name));

/** Replaces the value of every header with this name. */
export const altered =
  (name: string, value: (before: string) => string) =>
  (lines: readonly Line[]): readonly Line[] =>
    lines.map((line) => {
      if (line[0] !== name) return line;
      const after = value(line[1]);
      return after === line[1] ? line : [name, after];
    });

/** Sets the header to this value, adding it if absent. */
export const set =
  (name: string, value: string) =>
  (lines: readonly Line[]): readonly Line[] => [...lines.filter(([each]) => each !== name), [name, value]];

export const isCommand = (packet: StompPacket, ...commands: readonly string[]): boolean =>
  commands.includes(packet.command);

export const lacks = (packet: StompPacket, name: string): boolean => headerOf(packet, name) === null;
