// Mutations of opening and closing connections and channels.

import { CAPABILITIES } from '../wire/connection.ts';
import { FRAME, PROTOCOL_HEADER } from '../wire/frames.ts';
import { METHODS } from '../wire/methods.ts';
import { bool, int, type Table, table } from '../wire/table.ts';
import {
  type AmqpMutation,
  altersAnswer,
  altersRequest,
  breaks,
  losesAnswer,
  pretends,
  Refusals,
  refuses,
} from './breaking.ts';
import { methodPacket, opening } from './packets.ts';

/** The protocol header that AMQP 0-8 brokers sent. */
const OTHER_HEADER = Buffer.from([0x41, 0x4d, 0x51, 0x50, 1, 1, 8, 0]);

function without(table: Table, name: string): Table {
  return Object.fromEntries(Object.entries(table).filter(([each]) => each !== name));
}

export const CONNECTION_MUTATIONS: readonly AmqpMutation[] = [
  breaks('header.any', 'takes any eight bytes for its protocol header', () => ({
    fromClient: (packet) => [packet.type === 0 ? opening(PROTOCOL_HEADER) : packet],
  })),
  breaks('header.refused-silently', 'ends without the protocol header that it speaks', () => ({
    fromBroker: (packet) => (packet.type === 0 ? [] : [packet]),
  })),
  breaks('header.refused-otherwise', 'answers a wrong protocol header with another one than its own', () => ({
    fromBroker: (packet) => [packet.type === 0 ? opening(OTHER_HEADER) : packet],
  })),
  breaks('header.first-chunk', 'looks for the protocol header in the first chunk only', (link) => {
    let first = true;
    return {
      clientChunk(chunk) {
        if (!first) return chunk;
        first = false;
        if (chunk.length >= PROTOCOL_HEADER.length) return chunk;
        link.toClient(opening(PROTOCOL_HEADER));
        link.end();
        return null;
      },
    };
  }),

  altersAnswer('start.version', 'proposes version 0-8', 'connection.start', () => ({ versionMinor: 8 })),
  altersAnswer('start.no-platform', 'does not say its platform', 'connection.start', ({ serverProperties }) => ({
    serverProperties: without(serverProperties, 'platform'),
  })),
  altersAnswer(
    'start.copyright',
    'gives a number for its copyright',
    'connection.start',
    ({ serverProperties: properties }) => ({
      serverProperties: { ...properties, copyright: int(2007) },
    }),
  ),
  altersAnswer(
    'start.capability',
    'does not say one of its capabilities',
    'connection.start',
    ({ serverProperties }) => {
      const { capabilities } = serverProperties;
      if (capabilities?.type !== 'F') return null;
      const value = { ...capabilities.value, per_consumer_qos: bool(false) };
      return { serverProperties: { ...serverProperties, capabilities: table(value) } };
    },
  ),
  altersAnswer('start.mechanisms', 'lists its mechanisms with commas', 'connection.start', ({ mechanisms }) => ({
    mechanisms: mechanisms.replaceAll(' ', ','),
  })),
  altersAnswer('start.locales', 'does not offer en_US', 'connection.start', () => ({ locales: 'en_GB' })),

  altersRequest('login.plain-refused', 'does not know PLAIN', 'connection.start-ok', ({ mechanism }) =>
    mechanism === 'PLAIN' ? { mechanism: 'NONE' } : null,
  ),
  altersRequest('login.amqplain-refused', 'does not know AMQPLAIN', 'connection.start-ok', ({ mechanism }) =>
    mechanism === 'AMQPLAIN' ? { mechanism: 'NONE' } : null,
  ),
  breaks('login.anybody', 'lets everybody in as its administrator', (_link, _talk, { user, password }) => ({
    fromClient(packet) {
      if (packet.method?.name !== 'connection.start-ok') return [packet];
      const response = `\0${user}\0${password}`;
      return [methodPacket(0, 'connection.start-ok', { ...packet.method.args, mechanism: 'PLAIN', response })];
    },
  })),
  altersRequest(
    'capabilities.assumed',
    'takes every client for one that knows all extensions',
    'connection.start-ok',
    () => ({ clientProperties: CAPABILITIES }),
  ),
  refuses(
    'start-ok.bounded',
    'takes no start-ok beyond 2,048 octets',
    'connection.start-ok',
    501,
    ({ clientProperties }) => JSON.stringify(clientProperties).length > 2_048,
  ),
  refuses(
    'start-ok.texts-only',
    'takes no client properties but texts',
    'connection.start-ok',
    502,
    ({ clientProperties }) => clientProperties.nested !== undefined,
  ),

  altersAnswer('tune.frame-max-small', 'offers a frame-max below 4,096', 'connection.tune', () => ({
    frameMax: 2_048,
  })),
  breaks('tune-ok.corrected', 'takes its own offer for what the client asks for', () => {
    let offer = { channelMax: 0, frameMax: 0 };
    return {
      fromBroker(packet) {
        if (packet.method?.name === 'connection.tune') offer = packet.method.args;
        return [packet];
      },
      fromClient(packet) {
        if (packet.method?.name !== 'connection.tune-ok') return [packet];
        const { channelMax, frameMax } = offer;
        return [methodPacket(0, 'connection.tune-ok', { ...packet.method.args, channelMax, frameMax })];
      },
    };
  }),
  refuses('tune-ok.lower-refused', 'refuses less than it offers', 'connection.tune-ok', 530, ({ channelMax }) => {
    return channelMax < 2_047;
  }),
  altersRequest('open.any-host', 'takes every virtual host for /', 'connection.open', () => ({ virtualHost: '/' })),
  altersAnswer('open-ok.reserved', 'says something in a reserved field', 'connection.open-ok', () => ({
    reserved1: 'host-2:5672',
  })),
  breaks('order.open-first', 'opens a connection that has not logged in', (link) => {
    let tuned = false;
    return {
      fromClient(packet) {
        const name = packet.method?.name;
        if (name === 'connection.tune-ok') tuned = true;
        if (name === 'connection.open' && !tuned) link.toClient(methodPacket(0, 'connection.open-ok'));
        if (name === 'channel.open' && !tuned) link.toClient(methodPacket(packet.channel, 'channel.open-ok'));
        return [packet];
      },
    };
  }),
  breaks('order.channel-first', 'opens channels of a connection that is not open', (link) => {
    let open = false;
    return {
      fromClient(packet) {
        const name = packet.method?.name;
        if (name === 'connection.open') open = true;
        if (name === 'channel.open' && !open) link.toClient(methodPacket(packet.channel, 'channel.open-ok'));
        return [packet];
      },
    };
  }),

  losesAnswer('close-ok.lost', 'ends without close-ok', 'connection.close-ok'),
  breaks('close.goes-on', 'does what it is asked after it has said close', (link) => {
    let closed = false;
    return {
      fromBroker(packet) {
        closed ||= packet.method?.name === 'connection.close';
        return [packet];
      },
      fromClient(packet) {
        if (!closed || packet.method?.name !== 'channel.open') return [packet];
        link.toClient(methodPacket(packet.channel, 'channel.open-ok'));
        return [];
      },
    };
  }),
  altersAnswer('close.nameless', 'does not say which method made it close', 'connection.close', () => ({
    classId: 0,
    methodId: 0,
  })),
  altersAnswer('close.code', 'closes the connection with another code', 'connection.close', () => ({ replyCode: 541 })),
  altersAnswer('close.text', 'closes the connection with a text of its own', 'connection.close', () => ({
    replyText: 'closed',
  })),
  breaks('close.silent', 'ends the connection without close', (link) => ({
    fromBroker(packet) {
      if (packet.method?.name !== 'connection.close') return [packet];
      link.end();
      return [];
    },
  })),
  refuses('update-secret.unknown', 'does not know update-secret', 'connection.update-secret', 540),

  losesAnswer('blocked.untold', 'does not say that it holds a publisher', 'connection.blocked', { withholds: true }),
  altersAnswer('blocked.no-reason', 'does not say why it holds a publisher', 'connection.blocked', () => ({
    reason: '',
  })),
  losesAnswer('unblocked.untold', 'does not say that it lets a publisher go on', 'connection.unblocked', {
    withholds: true,
  }),
  {
    id: 'blocked.consumers-too',
    breaks: 'takes no consumers while it holds publishers',
    withholds: true,
    begin() {
      let blocked = false;
      return () => ({
        fromBroker(packet) {
          const name = packet.method?.name;
          if (name === 'connection.blocked') blocked = true;
          if (name === 'connection.unblocked') blocked = false;
          return blocked && name === 'basic.consume-ok' ? [] : [packet];
        },
      });
    },
  },

  breaks('blocked.confirms', 'confirms publishes on a blocked connection', (link) => {
    let blocked = false;
    return {
      fromBroker(packet) {
        const name = packet.method?.name;
        if (name === 'connection.blocked') blocked = true;
        if (name === 'connection.unblocked') blocked = false;
        return [packet];
      },
      fromClient(packet) {
        if (blocked && packet.method?.name === 'basic.publish') {
          link.toClient(methodPacket(packet.channel, 'basic.ack', { deliveryTag: 2n }));
        }
        return [packet];
      },
    };
  }),

  altersAnswer('channel.open-ok.reserved', 'says something in a reserved field', 'channel.open-ok', () => ({
    reserved1: '1',
  })),
  breaks('channel.open.again', 'opens a channel that is open', (link) => {
    const open = new Set<number>();
    return {
      fromClient(packet) {
        if (packet.method?.name !== 'channel.open') return [packet];
        if (!open.has(packet.channel)) {
          open.add(packet.channel);
          return [packet];
        }
        link.toClient(methodPacket(packet.channel, 'channel.open-ok'));
        return [];
      },
    };
  }),
  refuses('channel.open.low-numbers', 'takes low channel numbers only', 'channel.open', 504, (_args, { channel }) => {
    return channel > 1_000;
  }),
  refuses('channel.open.few', 'opens fewer channels than it has offered', 'channel.open', 506, (_args, { talk }) => {
    return talk.times('open') >= 1_000;
  }),
  breaks('channel.open.unasked', 'opens a channel that is used without', (link) => {
    const open = new Set<number>();
    const opened = new Set<number>();
    return {
      fromClient(packet) {
        const { channel, method, type } = packet;
        if (type === FRAME.method && method?.name === 'channel.open') open.add(channel);
        if (channel === 0 || open.has(channel)) return [packet];
        open.add(channel);
        opened.add(channel);
        link.toBroker(methodPacket(channel, 'channel.open'));
        return [packet];
      },
      fromBroker: (packet) => {
        return packet.method?.name === 'channel.open-ok' && opened.delete(packet.channel) ? [] : [packet];
      },
    };
  }),
  losesAnswer('channel.close-ok.lost', 'does not answer channel.close', 'channel.close-ok', { withholds: true }),
  breaks('channel.close-ok.twice', 'answers channel.close twice', () => ({
    fromBroker: (packet) => (packet.method?.name === 'channel.close-ok' ? [packet, packet] : [packet]),
  })),
  pretends('channel.close.half', 'answers channel.close and leaves the channel open', 'channel.close'),
  breaks('channel.close.number-spent', 'does not open a number again that was closed', (link) => {
    const spent = new Set<number>();
    const refusals = new Refusals(link);
    return {
      fromClient(packet) {
        if (packet.method?.name === 'channel.close') spent.add(packet.channel);
        if (packet.method?.name !== 'channel.open' || !spent.has(packet.channel)) return [packet];
        refusals.refuse(packet, 504);
        return [];
      },
    };
  }),
  breaks('channel.close.goes-on', 'does what it is asked on a channel after it has said close', (link) => {
    const closed = new Set<number>();
    return {
      fromClient(packet) {
        const { channel, method } = packet;
        if (method?.name === 'queue.declare' && method.args.passive && !closed.has(channel)) {
          closed.add(channel);
          const { classId, methodId } = METHODS[method.name];
          const close = { replyCode: 404, replyText: 'NOT_FOUND', classId, methodId };
          link.toClient(methodPacket(channel, 'channel.close', close));
          return [];
        }
        if (!closed.has(channel)) return [packet];
        if (method?.name === 'channel.close-ok') return [];
        if (method?.name === 'channel.open') {
          link.toClient(methodPacket(channel, 'channel.open-ok'));
          return [];
        }
        return [packet];
      },
    };
  }),
  breaks('channel.close.crossing', 'takes a close that crosses its own for an error', (link) => {
    const closing = new Set<number>();
    const refusals = new Refusals(link);
    return {
      fromBroker(packet) {
        if (packet.method?.name === 'channel.close') closing.add(packet.channel);
        return refusals.swallowsBroker(packet) || packet.method?.name === 'channel.close-ok' ? [] : [packet];
      },
      fromClient(packet) {
        // A pipelining client has sent it before it could know of the close; held until the broker has closed.
        if (packet.method?.name === 'channel.close') refusals.refuse(packet, 504);
        return refusals.swallowsClient(packet) ? [] : [packet];
      },
    };
  }),
  altersAnswer('channel.close.nameless', 'does not say which method made it close', 'channel.close', () => ({
    classId: 0,
    methodId: 0,
  })),
  altersAnswer('channel.close.code', 'closes the channel with another code', 'channel.close', () => ({
    replyCode: 541,
  })),
  altersAnswer('channel.close.text', 'closes the channel with a text of its own', 'channel.close', () => ({
    replyText: 'closed',
  })),
  breaks('channel.close.takes-all', 'closes the connection where an error is of one channel', (link) => ({
    fromBroker(packet) {
      if (packet.method?.name !== 'channel.close') return [packet];
      link.toClient(methodPacket(0, 'connection.close', packet.method.args));
      link.end();
      return [];
    },
  })),
  altersAnswer('channel.flow-ok.inverted', 'confirms the contrary of what flow asks for', 'channel.flow-ok', (args) => {
    return { active: !args.active };
  }),
];
