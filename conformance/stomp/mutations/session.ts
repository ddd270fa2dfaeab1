// Mutations of frame encoding and decoding, and of connecting.

import {
  altered,
  altersBody,
  altersFrame,
  altersRequest,
  breaks,
  errorPacket,
  isCommand,
  lacks,
  loses,
  pretends,
  receiptPacket,
  refuses,
  type StompMutation,
  set,
  without,
} from './breaking.ts';
import { bytesPacket, framePacket, headerOf, isEol, type Line, type StompPacket } from './packets.ts';

/** Headers of the frame itself; all others belong to the message. */
const FRAME_HEADERS = ['subscription', 'message-id', 'destination', 'ack', 'content-length', 'redelivered'];

const text = (packet: StompPacket): string => packet.bytes.toString('utf8');
const inHeaders = (packet: StompPacket, pattern: RegExp): boolean =>
  packet.lines.some(([name, value]) => pattern.test(name) || pattern.test(value));
const everyPart =
  (change: (part: string) => string) =>
  (lines: readonly Line[]): readonly Line[] =>
    lines.map((line) => {
      const [name, value] = [change(line[0]), change(line[1])];
      return name === line[0] && value === line[1] ? line : [name, value];
    });

const UNDEFINED = /\\(?![nc\\r])|\\\\?$/;
const undefinedEscape = (packet: StompPacket): boolean =>
  packet.command !== 'CONNECT' && inHeaders(packet, new RegExp(`${UNDEFINED.source}|\\\\r`));

export const SESSION_MUTATIONS: readonly StompMutation[] = [
  altersFrame('connected.version', 'says another version than it takes', 'CONNECTED', (lines) =>
    set('version', lines.find(([name]) => name === 'version')?.[1] === '1.2' ? '1.1' : '1.2')(lines),
  ),
  altersBody('connected.body', 'gives CONNECTED a body', 'CONNECTED', () => Buffer.from('welcome')),
  altersFrame('connected.session.same', 'gives every connection the same session', 'CONNECTED', set('session', 'one')),
  altersFrame('connected.session.none', 'does not say a session', 'CONNECTED', without('session')),
  altersFrame('connected.server', 'says nothing of itself but a slash', 'CONNECTED', set('server', '/')),
  altersFrame('connected.heart-beat', 'says in words how often it beats', 'CONNECTED', set('heart-beat', 'often')),
  refuses('connect.stomp-unknown', 'does not know STOMP', (packet) => packet.command === 'STOMP'),
  altersRequest(
    'connect.any-version',
    'takes any version for its own',
    'CONNECT',
    (lines) => lines.map((line) => (line[0] === 'accept-version' && line[1].startsWith('9') ? [line[0], '1.2'] : line)),
    { withholds: true },
  ),
  altersFrame('error.version-none', 'does not say which versions there are', 'ERROR', without('version')),
  breaks(
    'login.anybody',
    'lets everybody in as its administrator',
    (_link, _talk, { user, password }) => ({
      fromClient(packet) {
        if (packet.command !== 'CONNECT') return [packet];
        const lines = set('login', user)(set('passcode', password)(packet.lines));
        return [framePacket('CONNECT', lines)];
      },
    }),
    { withholds: true },
  ),
  altersRequest(
    'host.any',
    'takes every virtual host for /',
    'CONNECT',
    altered('host', () => '/'),
  ),
  pretends('host.silent', 'does not answer to who asks for another virtual host', (packet) => {
    return packet.command === 'CONNECT' && ![null, '/'].includes(headerOf(packet, 'host'));
  }),
  breaks(
    'connect.later',
    'takes frames before CONNECT',
    (link) => {
      let connected = false;
      return {
        fromClient(packet) {
          if (packet.command === 'CONNECT') connected = true;
          if (connected || isEol(packet)) return [packet];
          const receipt = headerOf(packet, 'receipt');
          if (receipt !== null) link.toClient(receiptPacket(receipt));
          return [];
        },
      };
    },
    { withholds: true },
  ),
  breaks('connect.twice', 'begins a second session', (link) => {
    let connected = false;
    return {
      fromClient(packet) {
        if (packet.command !== 'CONNECT') return [packet];
        if (connected)
          link.toClient(framePacket('CONNECTED', [['version', headerOf(packet, 'accept-version') ?? '1.0']]));
        connected = true;
        return [packet];
      },
    };
  }),
  refuses('connect.few', 'takes no more than ten connections', (packet, talk) => {
    return packet.command === 'CONNECT' && talk.times('connections') >= 10;
  }),

  refuses('frame.no-headers', 'refuses a frame without headers', ({ command, lines }) => {
    return command !== '' && lines.length === 0;
  }),
  refuses('eols.refused', 'takes an end of line between frames for a frame', isEol),
  refuses(
    'eols.crlf',
    'takes CR LF between frames for a frame',
    (packet) => isEol(packet) && text(packet).includes('\r'),
  ),
  refuses('crlf.refused', 'does not know CR LF', (packet) => {
    return packet.command !== '' && /^[^\0]*?\r\n/.test(text(packet));
  }),
  altersFrame(
    'cr.taken',
    'takes a CR for the end of the line',
    'MESSAGE',
    everyPart((part) => part.replace('\r', '')),
  ),
  pretends('malformed.ignored', 'looks away where bytes are no frame', ({ malformed }) => malformed),
  breaks(
    'case.ignored',
    'does not look at the case of commands and header names',
    () => ({
      fromClient(packet) {
        if (packet.command === '') return [packet];
        const command = packet.command.toUpperCase();
        const lines = packet.lines.map(([name, value]): Line => [name.toLowerCase(), value]);
        const same = command === packet.command && lines.every(([name], index) => name === packet.lines[index]![0]);
        return [same ? packet : framePacket(command, lines, packet.body)];
      },
    }),
    { withholds: true },
  ),
  pretends('command.any', 'gives a receipt for a command that is none', (packet) => {
    return packet.malformed && !lacks(packet, 'receipt');
  }),
  altersFrame('header.empty', 'drops headers without value', 'MESSAGE', (lines) =>
    lines.filter(([, value]) => value !== ''),
  ),
  altersFrame('header.colon', 'cuts a value at its first colon', 'MESSAGE', (lines) =>
    lines.map((line) => (line[0] === 'x' ? ['x', line[1].split(':')[0]!] : line)),
  ),
  breaks('split.refused', 'takes a chunk for a frame', (link) => ({
    clientChunk(chunk) {
      const last = chunk.at(-1);
      if (last === 0 || last === 0x0a) return chunk;
      link.toClient(errorPacket('no frame'));
      link.end();
      return null;
    },
  })),
  breaks(
    'joined.first',
    'looks at the first frame of a chunk only',
    () => ({
      clientChunk(chunk) {
        const end = chunk.indexOf(0);
        return end < 0 || end === chunk.length - 1 ? chunk : chunk.subarray(0, end + 1);
      },
    }),
    { withholds: true },
  ),

  altersFrame(
    'utf8.lost',
    'writes headers in ASCII',
    'MESSAGE',
    everyPart((part) => part.replaceAll(/[^\0-\x7f]/g, '?')),
  ),
  altersRequest(
    'utf8.subscribe',
    'reads the destination of SUBSCRIBE as ASCII',
    'SUBSCRIBE',
    altered('destination', (value) => value.replaceAll(/[^\0-\x7f]/g, '?')),
    { withholds: true },
  ),
  altersFrame(
    'escapes.doubled',
    'escapes what is escaped already',
    'MESSAGE RECEIPT',
    everyPart((part) => part.replaceAll('\\', '\\\\')),
  ),
  altersFrame(
    'escapes.none',
    'writes headers without escapes',
    'MESSAGE',
    everyPart((part) => part.replaceAll('\\c', ':').replaceAll('\\\\', '\\')),
  ),
  altersRequest(
    'escapes.not-read',
    'reads a destination without its escapes',
    'SEND',
    altered('destination', (value) => value.replaceAll('\\', '\\\\')),
    { withholds: true },
  ),
  altersFrame(
    'escapes.read',
    'reads escapes in 1.0',
    'MESSAGE',
    altered('x', (value) => value.replaceAll('\\', '')),
  ),
  pretends('escapes.any', 'takes an undefined escape for something', undefinedEscape),
  refuses('escapes.connect', 'reads escapes in CONNECT', (packet) => {
    return packet.command === 'CONNECT' && inHeaders(packet, /\\/);
  }),
  altersFrame(
    'spaces.trimmed',
    'trims headers',
    'MESSAGE RECEIPT',
    everyPart((part) => part.trim()),
  ),
  altersRequest(
    'spaces.names',
    'trims names of headers',
    'SEND',
    (lines) => lines.map((line) => (line[0] === line[0].trim() ? line : [line[0].trim(), line[1]])),
    { withholds: true },
  ),
  breaks('repeated.last', 'takes the last of repeated headers', () => ({
    fromClient(packet) {
      const names = packet.lines.map(([name]) => name);
      if (new Set(names).size === names.length) return [packet];
      return [
        framePacket(
          packet.command,
          packet.lines.filter(([name], at) => names.lastIndexOf(name) === at),
          packet.body,
        ),
      ];
    },
  })),

  altersBody('body.first-nul', 'ends a body at its first NUL', 'MESSAGE', (body) => {
    const end = body.indexOf(0);
    return end < 0 ? body : body.subarray(0, end);
  }),
  altersBody('body.padded', 'adds a line feed to bodies', 'MESSAGE', (body) =>
    Buffer.concat([body, Buffer.from('\n')]),
  ),
  pretends(
    'body.empty',
    'drops messages without body',
    (packet) => packet.command === 'SEND' && packet.body.length === 0,
  ),
  refuses('length.send-only', 'refuses a content-length of any frame but SEND', (packet) => {
    return packet.command !== 'SEND' && !lacks(packet, 'content-length');
  }),
  refuses('subscribe.body', 'refuses a SUBSCRIBE with a body', ({ command, body }) => {
    return command === 'SUBSCRIBE' && body.length > 0;
  }),
  altersFrame('message.length-none', 'does not say how long a body is', 'MESSAGE', without('content-length')),
  altersFrame('message.type-none', 'does not say of which type a body is', 'MESSAGE', without('content-type')),

  loses('error.lost', 'ends without the ERROR that says why', ({ command }) => command === 'ERROR'),
  altersFrame('error.message-none', 'does not say what was wrong', 'ERROR', without('message')),
  breaks('error.goes-on', 'goes on after an ERROR', () => ({
    fromBroker: (packet) => (packet.command === 'ERROR' ? [packet, receiptPacket('behind it')] : [packet]),
  })),
  altersFrame('error.receipt-id-none', 'does not say which frame an ERROR is about', 'ERROR', without('receipt-id')),
  altersFrame('error.receipt-id-wrong', 'says that an ERROR is about another frame', 'ERROR', set('receipt-id', 'r1')),
  altersFrame('error.length-none', 'does not say how long the body of an ERROR is', 'ERROR', without('content-length')),
  altersFrame(
    'error.type-none',
    'does not say of which type the body of an ERROR is',
    'ERROR',
    without('content-type'),
  ),
  breaks('error.receipt-too', 'gives a receipt for what it refuses', () => ({
    fromBroker(packet) {
      const receipt = packet.command === 'ERROR' ? headerOf(packet, 'receipt-id') : null;
      return receipt === null ? [packet] : [receiptPacket(receipt), packet];
    },
  })),
  breaks('error.ends-all', 'ends every connection with the ERROR of one', (own, talk) => ({
    fromBroker(packet) {
      if (packet.command === 'ERROR') for (const link of talk.links) if (link !== own) link.end();
      return [packet];
    },
  })),

  altersRequest('heart-beat.any', 'takes any words for numbers', 'CONNECT', without('heart-beat'), { withholds: true }),
  altersRequest(
    'heart-beat.off',
    'wants no beats',
    'CONNECT',
    altered('heart-beat', () => '0,0'),
    { withholds: true },
  ),
  altersFrame('heart-beat.unwilling', 'says that it wants no beats', 'CONNECTED', set('heart-beat', '0,0')),
  loses('beats.lost', 'does not beat', isEol, { withholds: true }),
  breaks('beats.unwanted', 'sends heart-beats that were not requested', (link) => ({
    fromClient(packet) {
      if (isEol(packet)) link.toClient(bytesPacket(Buffer.from('\n')));
      return [packet];
    },
  })),
  refuses('beats.refused', 'gives up a client that beats', isEol),
  refuses('beats.only', 'takes nothing but beats for a sign of life', (packet, talk) => {
    return packet.command === 'SEND' && talk.times('sends') >= 2;
  }),
  pretends('send.pretended', 'keeps no message and gives the receipt', (packet) => isCommand(packet, 'SEND')),
  altersFrame('message.headers-lost', 'drops user-defined headers', 'MESSAGE', (lines) =>
    lines.filter(([name]) => FRAME_HEADERS.includes(name)),
  ),
];
