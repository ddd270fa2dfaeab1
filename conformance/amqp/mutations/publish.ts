// Mutations of publish, return, confirm and commit.

import type { MethodName } from '../wire/methods.ts';
import {
  type AmqpMutation,
  altersAnswer,
  altersDelivery,
  altersPublish,
  altersRequest,
  breaks,
  losesAnswer,
  Messages,
  pretends,
  refuses,
  refusesPackets,
  withProperties,
} from './breaking.ts';
import { type AmqpPacket, methodPacket } from './packets.ts';

const DIRECT = 'amq.rabbitmq.reply-to';
const WITHHOLDS = { withholds: true } as const;

/** Removes a property, so that the broker accepts what it should refuse because of it. */
function ignoresProperty(name: 'userId' | 'expiration' | 'replyTo'): AmqpMutation {
  return altersPublish(`publish.${name}-ignored`, `does not look at ${name}`, (message) => {
    const { [name]: ignored, ...others } = message.header.properties;
    return ignored === undefined ? message.packets : withProperties(message, others);
  });
}

/** Replaces a request by another one and answers the original. */
function mistakes(id: string, words: string, asked: 'tx.commit' | 'tx.rollback', done: typeof asked): AmqpMutation {
  return breaks(id, words, () => {
    const answers: MethodName[] = [];
    return {
      fromClient(packet) {
        const name = packet.method?.name;
        if (name === asked || name === done) answers.push(`${name}-ok`);
        return [name === asked ? methodPacket(packet.channel, done) : packet];
      },
      fromBroker(packet) {
        if (packet.method?.name !== `${done}-ok`) return [packet];
        return [methodPacket(packet.channel, answers.shift()!)];
      },
    };
  });
}

export const PUBLISH_MUTATIONS: readonly AmqpMutation[] = [
  altersPublish('publish.lost', 'drops published messages', () => [], WITHHOLDS),
  altersRequest(
    'publish.exchange-ignored',
    'takes a publish to an exchange that does not exist',
    'basic.publish',
    ({ exchange }, { talk }) => (talk.hasExchange(exchange) ? null : { exchange: '' }),
  ),
  ignoresProperty('userId'),
  ignoresProperty('expiration'),
  ignoresProperty('replyTo'),
  refusesPackets('publish.user-id-refused', 'refuses a user-id, also the publisher’s own', 406, ({ header }) => {
    return header?.properties.userId !== undefined;
  }),
  altersPublish('publish.transient', 'makes persistent messages transient', (message) => {
    const { properties } = message.header;
    return properties.deliveryMode === 2
      ? withProperties(message, { ...properties, deliveryMode: 1 })
      : message.packets;
  }),
  altersRequest(
    'publish.mandatory-ignored',
    'drops mandatory messages that it cannot route',
    'basic.publish',
    ({ mandatory }) => (mandatory ? { mandatory: false } : null),
    WITHHOLDS,
  ),
  altersRequest(
    'publish.immediate-ignored',
    'takes immediate for nothing',
    'basic.publish',
    ({ immediate }) => (immediate ? { immediate: false } : null),
    WITHHOLDS,
  ),
  altersAnswer('return.code', 'returns with another code', 'basic.return', () => ({ replyCode: 313 })),
  altersAnswer('return.text', 'returns with another text', 'basic.return', () => ({ replyText: 'NO_CONSUMERS' })),

  breaks('confirm.twice', 'confirms a publish twice', () => ({
    fromBroker: (packet) => (packet.method?.name === 'basic.ack' ? [packet, packet] : [packet]),
  })),
  altersAnswer('confirm.from-zero', 'counts publishes from 0', 'basic.ack', ({ deliveryTag }) => ({
    deliveryTag: deliveryTag - 1n,
  })),
  altersAnswer('confirm.from-open', 'counts what was published before select', 'basic.ack', ({ deliveryTag }) => ({
    deliveryTag: deliveryTag + 1n,
  })),
  losesAnswer('confirm.lost', 'does not confirm', 'basic.ack', WITHHOLDS),
  altersPublish('confirm.early', 'confirms what it has not queued', ({ channel }, talk, link) => {
    link.toClient(methodPacket(channel, 'basic.ack', { deliveryTag: BigInt(talk.times('publish') + 1) }));
    return [];
  }),
  breaks('confirm.nacks', 'refuses what it has no queue for', () => ({
    fromBroker({ method, ...packet }) {
      if (method?.name !== 'basic.ack') return [{ method, ...packet }];
      return [methodPacket(packet.channel, 'basic.nack', method.args)];
    },
  })),
  breaks('confirm.acks', 'confirms what its queue has refused', () => ({
    fromBroker({ method, ...packet }) {
      if (method?.name !== 'basic.nack') return [{ method, ...packet }];
      return [methodPacket(packet.channel, 'basic.ack', method.args)];
    },
  })),
  breaks('return.after-ack', 'confirms before it returns', () => {
    const messages = new Messages();
    let held: readonly AmqpPacket[] = [];
    return {
      fromBroker(packet) {
        if (packet.method?.name === 'basic.ack') return [packet, ...held];
        return messages.take(packet, ({ packets }) => {
          held = packets;
          return [];
        });
      },
    };
  }),

  pretends('confirm.any-mode', 'lets a transacted channel confirm', 'confirm.select'),
  pretends('tx.any-mode', 'lets a confirming channel be transacted', 'tx.select'),
  pretends('tx.none-taken', 'takes a commit or rollback of no transaction', ['tx.commit', 'tx.rollback']),
  pretends('tx.at-once', 'does at once what waits for its commit', ['tx.select', 'tx.commit', 'tx.rollback']),
  refuses('tx.select.once', 'refuses a second tx.select', 'tx.select', 406, (_args, { talk }) => talk.times('tx') > 0),
  mistakes('tx.commit.rolls-back', 'commits nothing', 'tx.commit', 'tx.rollback'),
  mistakes('tx.rollback.commits', 'commits on rollback', 'tx.rollback', 'tx.commit'),
  breaks('tx.close.commits', 'commits where a channel closes', () => {
    const transacted = new Set<number>();
    const committing = new Set<number>();
    return {
      fromClient(packet) {
        const { channel, method } = packet;
        if (method?.name === 'tx.select') transacted.add(channel);
        if (method?.name !== 'channel.close' || !transacted.has(channel)) return [packet];
        committing.add(channel);
        return [methodPacket(channel, 'tx.commit'), packet];
      },
      fromBroker(packet) {
        return packet.method?.name === 'tx.commit-ok' && committing.has(packet.channel) ? [] : [packet];
      },
    };
  }),
  breaks('tx.rollback.requeues', 'requeues unacknowledged messages when a transaction is rolled back', () => ({
    fromClient(packet) {
      if (packet.method?.name !== 'tx.rollback') return [packet];
      return [packet, methodPacket(packet.channel, 'basic.recover', { requeue: true })];
    },
    fromBroker: (packet) => (packet.method?.name === 'basic.recover-ok' ? [] : [packet]),
  })),
  breaks('tx.commit.one-by-one', 'commits one operation after another, until one is refused', () => {
    const messages = new Messages();
    const transacted = new Set<number>();
    let held: (readonly AmqpPacket[])[] = [];
    let unasked = 0;
    return {
      fromClient(packet) {
        const { channel, method } = packet;
        if (method?.name === 'tx.select') transacted.add(channel);
        if (!transacted.has(channel)) return [packet];
        if (method?.name === 'tx.rollback') held = [];
        if (method?.name === 'basic.ack') {
          held.push([packet]);
          return [];
        }
        if (method?.name === 'tx.commit' && held.length > 0) {
          const operations = held;
          held = [];
          unasked += operations.length - 1;
          return operations.flatMap((packets) => [...packets, methodPacket(channel, 'tx.commit')]);
        }
        return messages.take(packet, ({ packets }) => {
          held.push(packets);
          return [];
        });
      },
      fromBroker(packet) {
        if (packet.method?.name !== 'tx.commit-ok' || unasked === 0) return [packet];
        unasked--;
        return [];
      },
    };
  }),
  altersPublish('tx.acks-only', 'commits acknowledgements and loses publishes', ({ packets }, talk) => {
    return talk.transacted ? [] : packets;
  }),

  altersDelivery('reply-to.plain', 'does not say which requester a reply is for', (message) => {
    const { properties } = message.header;
    return properties.replyTo === undefined
      ? message.packets
      : withProperties(message, { ...properties, replyTo: DIRECT });
  }),
  altersDelivery(
    'reply-to.no-return',
    'takes an address for a queue',
    (message) => {
      return message.method.name === 'basic.return' ? [] : message.packets;
    },
    WITHHOLDS,
  ),
  refuses('reply-to.undeclared', 'does not find an address by a passive declare', 'queue.declare', 404, ({ queue }) => {
    return queue.startsWith(`${DIRECT}.`);
  }),
  pretends('reply-to.always-there', 'finds requesters that are gone', 'queue.declare', ({ queue }) => {
    return queue.startsWith(`${DIRECT}.`);
  }),
  altersRequest('reply-to.acks', 'lets a reply consumer acknowledge', 'basic.consume', ({ queue, noAck }) => {
    return queue === DIRECT && !noAck ? { noAck: true } : null;
  }),
  pretends('reply-to.many', 'lets a channel have two reply consumers', 'basic.consume', ({ queue }, { talk }) => {
    return queue === DIRECT && talk.consumers.length > 0;
  }),
];
