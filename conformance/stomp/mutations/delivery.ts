// Mutations of SEND, SUBSCRIBE, ACK and COMMIT, and of RabbitMQ's extensions.

import {
  altered,
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
  type StompLink,
  type StompMutation,
  set,
  type Talk,
  without,
} from './breaking.ts';
import { framePacket, headerOf, type Line, type StompPacket } from './packets.ts';

const WITHHOLDS = { withholds: true } as const;

/** A prefix that the checks' queues and topics do not have. */
const isInvalid = (destination: string | null): boolean => {
  return destination !== null && /^\/(nowhere\/|queue\/([^/]*\/|$)|exchange\/$|temp-queue\/)/.test(destination);
};

/** Key of a subscription or a transaction of one connection. */
const own = (link: StompLink, talk: Talk, what: string): string => `${talk.links.indexOf(link)} ${what}`;

/** The subscription or transaction that a frame begins or ends, so that a later frame can be out of place. */
function misplaced(packet: StompPacket, talk: Talk, link: StompLink): 'unknown' | 'twice' | null {
  const { command } = packet;
  const transaction = headerOf(packet, 'transaction');
  const id = headerOf(packet, 'id');
  const name = isCommand(packet, 'SUBSCRIBE', 'UNSUBSCRIBE') ? `subscription ${id}` : `transaction ${transaction}`;
  const key = own(link, talk, name);
  switch (command) {
    case 'SUBSCRIBE':
    case 'BEGIN':
      if (talk.has(key)) return 'twice';
      talk.first(key, '');
      return null;
    case 'UNSUBSCRIBE':
    case 'COMMIT':
    case 'ABORT':
      if (!talk.has(key)) return 'unknown';
      talk.forget(key);
      return null;
    default:
      return null;
  }
}

const swapped: Readonly<Record<string, string>> = { '*': '#', '#': '*' };

/** The header by which an ACK names its message. */
function namesOf(message: StompPacket): readonly Line[] {
  const id = headerOf(message, 'ack');
  if (id !== null) return [['id', id]];
  const lines: Line[] = [];
  for (const name of ['message-id', 'subscription']) {
    const value = headerOf(message, name);
    if (value !== null) lines.push([name, value]);
  }
  return lines;
}

/** The unique id of a MESSAGE, or of the message that an ACK names. */
const nameOf = (packet: StompPacket): string => {
  return headerOf(packet, 'ack') ?? headerOf(packet, 'id') ?? headerOf(packet, 'message-id') ?? '';
};

const named = ({ lines }: StompPacket, names: readonly Line[]): boolean =>
  names.every(([name, value]) => lines.some((line) => line[0] === name && line[1] === value));

export const DELIVERY_MUTATIONS: readonly StompMutation[] = [
  loses('message.lost', 'hands out nothing', ({ command }) => command === 'MESSAGE', WITHHOLDS),
  breaks('message.doubled', 'hands out everything twice', () => ({
    fromBroker: (packet) => (packet.command === 'MESSAGE' ? [packet, packet] : [packet]),
  })),
  breaks('message.swapped', 'hands out the second before the first', () => {
    let held: StompPacket | null = null;
    return {
      fromBroker(packet) {
        if (packet.command !== 'MESSAGE') return [packet];
        if (held === null) {
          held = packet;
          return [];
        }
        const packets = [packet, held];
        held = null;
        return packets;
      },
    };
  }),
  breaks('message.headers-stick', 'keeps a header of the message before', () => {
    let before: Line | undefined;
    return {
      fromBroker(packet) {
        if (packet.command !== 'MESSAGE') return [packet];
        const stuck = before;
        before = packet.lines.find(([name]) => name === 'a') ?? before;
        const lost = stuck !== undefined && lacks(packet, 'a');
        return [lost ? framePacket('MESSAGE', [...packet.lines, stuck], packet.body) : packet];
      },
    };
  }),
  altersFrame(
    'message.destination-none',
    'does not say where a message was sent to',
    'MESSAGE',
    without('destination'),
  ),
  altersFrame(
    'message.destination-other',
    'spells a destination in its own way',
    'MESSAGE',
    altered('destination', (value) => `queue:/${value}`),
  ),
  altersFrame('message.id-none', 'does not name a message', 'MESSAGE', without('message-id')),
  altersFrame('message.id-same', 'gives every message the same name', 'MESSAGE', set('message-id', 'm')),
  altersFrame(
    'message.subscription-other',
    'names another subscription',
    'MESSAGE',
    altered('subscription', () => 'other'),
  ),
  altersFrame('message.ack-none', 'does not say how to acknowledge a message', 'MESSAGE', without('ack')),
  altersFrame('message.ack-same', 'gives every message the same ack', 'MESSAGE', set('ack', 'a')),
  altersFrame(
    'message.ack-senders',
    'takes the ack header from who sent the message',
    'MESSAGE',
    altered('ack', () => 'mine'),
  ),
  altersFrame(
    'message.redelivered',
    'marks nothing that comes again',
    'MESSAGE',
    altered('redelivered', () => 'false'),
  ),

  pretends(
    'send.no-destination',
    'takes a SEND to nowhere',
    (packet) => packet.command === 'SEND' && lacks(packet, 'destination'),
  ),
  pretends('destination.any', 'takes any text for a destination', (packet) => {
    return isCommand(packet, 'SEND', 'SUBSCRIBE') && isInvalid(headerOf(packet, 'destination'));
  }),
  pretends('destination.missing', 'accepts a destination that does not exist', (packet) => {
    return /^\/(exchange\/conformance|amq\/queue\/conformance)/.test(headerOf(packet, 'destination') ?? '');
  }),
  breaks('send.one-destination', 'sends everything where the first subscription is', (_link, talk) => ({
    fromClient(packet) {
      const destination = headerOf(packet, 'destination');
      if (destination === null) return [packet];
      if (packet.command === 'SUBSCRIBE') talk.first('destination', destination);
      if (packet.command !== 'SEND' || !talk.has('destination')) return [packet];
      const first = talk.first('destination', destination);
      return [
        first === destination ? packet : framePacket('SEND', set('destination', first)(packet.lines), packet.body),
      ];
    },
  })),
  breaks(
    'send.fiftieth',
    'loses one message of fifty',
    (_link, talk) => ({
      fromClient: (packet) => (packet.command === 'SEND' && talk.times('sends') % 50 === 49 ? [] : [packet]),
    }),
    WITHHOLDS,
  ),
  breaks('send.topic-kept', 'stores topic messages without a subscriber', () => {
    let early: StompPacket | null = null;
    return {
      fromClient(packet) {
        if (packet.command === 'SEND') early ??= packet;
        if (packet.command !== 'SUBSCRIBE' || early === null) return [packet];
        return [packet, framePacket('SEND', without('receipt')(early.lines), early.body)];
      },
    };
  }),

  pretends('subscribe.no-destination', 'subscribes to nowhere', (packet) => {
    return packet.command === 'SUBSCRIBE' && lacks(packet, 'destination');
  }),
  pretends(
    'subscribe.no-id',
    'subscribes without id',
    (packet) => packet.command === 'SUBSCRIBE' && lacks(packet, 'id'),
  ),
  refuses('subscribe.id-needed', 'wants an id in every version', (packet) => {
    return packet.command === 'SUBSCRIBE' && lacks(packet, 'id');
  }),
  pretends('subscribe.twice', 'subscribes twice with one id', (packet, talk, link) => {
    return packet.command === 'SUBSCRIBE' && misplaced(packet, talk, link) === 'twice';
  }),
  refuses('subscribe.id-global', 'takes an id for one of all connections', (packet, talk) => {
    const key = `id ${headerOf(packet, 'id')}`;
    if (packet.command !== 'SUBSCRIBE') return false;
    if (talk.has(key)) return true;
    talk.first(key, '');
    return false;
  }),
  pretends('subscribe.any-ack', 'takes any word for an ack mode', (packet) => {
    return (
      ![null, 'auto', 'client', 'client-individual'].includes(headerOf(packet, 'ack')) && packet.command === 'SUBSCRIBE'
    );
  }),
  altersRequest('subscribe.auto-is-client', 'takes auto for client', 'SUBSCRIBE', (lines) =>
    lines.some(([name, value]) => name === 'ack' && value !== 'auto') ? lines : set('ack', 'client')(lines),
  ),
  altersRequest('subscribe.client-is-auto', 'takes client for auto', 'SUBSCRIBE', without('ack'), WITHHOLDS),
  altersRequest(
    'subscribe.client-is-individual',
    'takes client for client-individual',
    'SUBSCRIBE',
    altered('ack', (mode) => (mode === 'client' ? 'client-individual' : mode)),
  ),
  altersRequest(
    'subscribe.individual-is-client',
    'takes client-individual for client',
    'SUBSCRIBE',
    altered('ack', (mode) => (mode === 'client-individual' ? 'client' : mode)),
  ),
  pretends(
    'unsubscribe.pretended',
    'goes on with a subscription that has ended',
    ({ command }) => command === 'UNSUBSCRIBE',
    {},
  ),
  breaks(
    'unsubscribe.all',
    'ends every subscription with one',
    () => {
      let ended = false;
      return {
        fromClient(packet) {
          if (packet.command === 'UNSUBSCRIBE') ended = true;
          return [packet];
        },
        fromBroker: (packet) => (ended && packet.command === 'MESSAGE' ? [] : [packet]),
      };
    },
    WITHHOLDS,
  ),
  pretends('unsubscribe.no-id', 'ends no subscription where none is named', (packet) => {
    return packet.command === 'UNSUBSCRIBE' && lacks(packet, 'id') && lacks(packet, 'destination');
  }),
  pretends('unsubscribe.unknown', 'ends a subscription that is none', (packet, talk, link) => {
    return misplaced(packet, talk, link) === 'unknown' && packet.command === 'UNSUBSCRIBE';
  }),

  pretends(
    'ack.pretended',
    'takes no notice of ACK',
    (packet) => packet.command === 'ACK' && lacks(packet, 'transaction'),
    {},
  ),
  pretends('nack.pretended', 'takes no notice of NACK', ({ command }) => command === 'NACK'),
  pretends(
    'ack.in-transaction',
    'takes no notice of ACK in transactions',
    (packet) => {
      return packet.command === 'ACK' && !lacks(packet, 'transaction');
    },
    {},
  ),
  pretends('ack.no-id', 'takes an ACK or NACK of nothing', (packet) => {
    return isCommand(packet, 'ACK', 'NACK') && lacks(packet, 'id') && lacks(packet, 'message-id');
  }),
  pretends('ack.by-message-id', 'takes the message-id for the ack of a message', (packet) => {
    return isCommand(packet, 'ACK') && lacks(packet, 'id');
  }),
  pretends('ack.unknown', 'takes an ACK or NACK of a message that never was', (packet) => {
    return isCommand(packet, 'ACK', 'NACK') && packet.lines.some(([, value]) => value === 'no-such-message');
  }),
  breaks('ack.across', 'acknowledges what every subscription got before', () => {
    const messages: StompPacket[] = [];
    return {
      fromBroker(packet) {
        if (packet.command === 'MESSAGE') messages.push(packet);
        return [packet];
      },
      fromClient(packet) {
        if (packet.command !== 'ACK') return [packet];
        const before = messages.slice(
          0,
          messages.findIndex((message) => named(packet, namesOf(message))),
        );
        return [...before.map((message) => framePacket('ACK', namesOf(message))), packet];
      },
    };
  }),
  breaks('ack.anywhere', 'lets any connection acknowledge', (own, talk) => ({
    fromBroker(packet) {
      if (packet.command === 'MESSAGE') talk.first(`message ${nameOf(packet)}`, `${talk.links.indexOf(own)}`);
      return [packet];
    },
    fromClient(packet) {
      if (packet.command !== 'ACK') return [packet];
      const of = talk.first(`message ${nameOf(packet)}`, '');
      const link = of === '' ? undefined : talk.links[Number(of)];
      if (link === undefined || link === own) return [packet];
      link.toBroker(packet);
      return [];
    },
  })),

  altersRequest(
    'transaction.ignored',
    'does at once what is to be done with the transaction',
    'SEND ACK NACK',
    without('transaction'),
    WITHHOLDS,
  ),
  pretends('transaction.unnamed', 'takes a transaction without name', (packet) => {
    return isCommand(packet, 'BEGIN', 'COMMIT', 'ABORT') && lacks(packet, 'transaction');
  }),
  pretends('transaction.unknown', 'ends a transaction that is none', (packet, talk, link) => {
    return misplaced(packet, talk, link) === 'unknown' && isCommand(packet, 'COMMIT', 'ABORT');
  }),
  pretends('transaction.twice', 'begins a transaction that is open', (packet, talk, link) => {
    return misplaced(packet, talk, link) === 'twice' && packet.command === 'BEGIN';
  }),
  pretends('commit.lost', 'forgets what it commits', ({ command }) => command === 'COMMIT'),
  breaks('commit.one-by-one', 'commits one operation after another, until one is refused', (link) => {
    const held = new Map<string, StompPacket[]>();
    return {
      fromClient(packet) {
        const name = headerOf(packet, 'transaction');
        if (name === null || packet.malformed) return [packet];
        const before = held.get(name) ?? [];
        if (packet.command === 'COMMIT' || packet.command === 'ABORT') {
          held.delete(name);
          return packet.command === 'COMMIT' ? [...before, packet] : [packet];
        }
        if (!isCommand(packet, 'SEND', 'ACK', 'NACK')) return [packet];
        const receipt = headerOf(packet, 'receipt');
        if (receipt !== null) link.toClient(receiptPacket(receipt));
        const lines = packet.lines.filter(([header]) => header !== 'transaction' && header !== 'receipt');
        held.set(name, [...before, framePacket(packet.command, lines, packet.body)]);
        return [];
      },
    };
  }),
  breaks('commit.empty', 'refuses to commit nothing', (link) => {
    let sends = 0;
    return {
      fromClient(packet) {
        if (packet.command === 'SEND') sends++;
        if (packet.command !== 'COMMIT' || sends > 0) return [packet];
        link.toClient(errorPacket('nothing to commit'));
        return [];
      },
    };
  }),

  altersFrame(
    'receipt.other',
    'gives another receipt',
    'RECEIPT',
    altered('receipt-id', (value) => `${value}'`),
  ),
  breaks('receipt.body', 'gives a receipt a body', () => ({
    fromBroker: (packet) => [packet.command === 'RECEIPT' ? framePacket('RECEIPT', packet.lines, 'received') : packet],
  })),
  loses(
    'receipt.once',
    'gives a receipt once',
    (packet, talk) => {
      return packet.command === 'RECEIPT' && talk.times(headerOf(packet, 'receipt-id') ?? '') > 0;
    },
    WITHHOLDS,
  ),
  breaks('receipt.unasked', 'gives a receipt for every frame', (link) => ({
    fromClient(packet) {
      if (packet.command === 'SEND' && lacks(packet, 'receipt')) link.toClient(receiptPacket('none'));
      return [packet];
    },
  })),
  breaks('disconnect.chatty', 'goes on after the receipt of DISCONNECT', () => {
    let leaving: string | null = null;
    return {
      fromClient(packet) {
        if (packet.command === 'DISCONNECT') leaving = headerOf(packet, 'receipt');
        return [packet];
      },
      fromBroker(packet) {
        const last = packet.command === 'RECEIPT' && headerOf(packet, 'receipt-id') === leaving;
        return last ? [packet, receiptPacket('one more')] : [packet];
      },
    };
  }),
  breaks('disconnect.answered', 'answers a DISCONNECT that asks for no receipt', (link) => ({
    fromClient(packet) {
      if (packet.command === 'DISCONNECT' && lacks(packet, 'receipt')) link.toClient(receiptPacket(''));
      return [packet];
    },
  })),

  altersRequest(
    'topic.patterns',
    'takes * for # and # for *',
    'SUBSCRIBE',
    altered('destination', (value) => value.replaceAll(/[*#]/g, (word) => swapped[word]!)),
  ),
  altersFrame(
    'reply-to.kept',
    'hands out the name that only its connection knows',
    'MESSAGE',
    altered('reply-to', () => '/temp-queue/mine'),
  ),
  altersFrame('reply-to.fresh', 'makes a queue for each question', 'MESSAGE', (lines, _packet, talk) =>
    altered('reply-to', (value) => `${value}${talk.times('replies')}`)(lines),
  ),
  altersFrame(
    'reply-to.same',
    'has one queue for all who ask',
    'MESSAGE',
    (lines, _packet, talk) => altered('reply-to', (value) => talk.first('reply-to', value))(lines),
    WITHHOLDS,
  ),
  altersRequest(
    'durable.ignored',
    'does not know durable subscriptions',
    'SUBSCRIBE',
    without('durable', 'auto-delete'),
    WITHHOLDS,
  ),
  pretends('durable.no-id', 'accepts a durable subscription without an id', (packet) => {
    return packet.command === 'SUBSCRIBE' && headerOf(packet, 'durable') === 'true' && lacks(packet, 'id');
  }),
  altersRequest('unsubscribe.not-durable', 'keeps a durable subscription for ever', 'UNSUBSCRIBE', without('durable')),
  altersRequest(
    'unsubscribe.durable',
    'ends a durable subscription with any UNSUBSCRIBE',
    'UNSUBSCRIBE',
    set('durable', 'true'),
    WITHHOLDS,
  ),
  altersRequest('queue-name.ignored', 'names queues itself', 'SUBSCRIBE', without('x-queue-name'), WITHHOLDS),
  altersRequest('prefetch.ignored', 'hands out without bound', 'SUBSCRIBE', without('prefetch-count'), WITHHOLDS),
  altersRequest('requeue.always', 'requeues whatever is nacked', 'NACK', without('requeue'), WITHHOLDS),
  altersRequest(
    'property.ignored',
    'does not look at the properties of a message',
    'SEND',
    without('user-id', 'priority', 'expiration'),
    WITHHOLDS,
  ),
  altersRequest(
    'arguments.ignored',
    'declares every queue alike',
    'SUBSCRIBE',
    (lines) => lines.filter(([name]) => !/^(durable|auto-delete|exclusive|x-.*)$/.test(name)),
    WITHHOLDS,
  ),
  altersRequest('persistent.ignored', 'keeps nothing', 'SEND', without('persistent')),
  altersRequest('persistent.always', 'keeps everything', 'SEND', set('persistent', 'true')),
];
