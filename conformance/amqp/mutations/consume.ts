// Mutations of delivery, acknowledgement and redelivery.

import {
  type AmqpMutation,
  altersAnswer,
  altersDelivery,
  altersRequest,
  breaks,
  losesAnswer,
  Messages,
  pretends,
  refuses,
} from './breaking.ts';
import { type AmqpPacket, methodPacket } from './packets.ts';

const WITHHOLDS = { withholds: true } as const;
const SETTLES = ['basic.ack', 'basic.nack', 'basic.reject'] as const;

export const CONSUME_MUTATIONS: readonly AmqpMutation[] = [
  breaks('deliver.swapped', 'delivers the second message before the first', () => {
    const messages = new Messages();
    let held: readonly AmqpPacket[] | null = null;
    return {
      fromBroker: (packet) =>
        messages.take(packet, ({ method, packets }) => {
          if (method.name !== 'basic.deliver') return packets;
          const first = held;
          held = first === null ? packets : null;
          return first === null ? [] : [...packets, ...first];
        }),
    };
  }),
  breaks('consume-ok.late', 'delivers before it answers consume', () => {
    const messages = new Messages();
    let held: AmqpPacket[] = [];
    return {
      fromBroker(packet) {
        if (packet.method?.name === 'basic.consume-ok') {
          held.push(packet);
          return [];
        }
        return messages.take(packet, ({ packets }) => {
          const late = held;
          held = [];
          return [...packets, ...late];
        });
      },
    };
  }),
  breaks('deliver.tags-of-connection', 'counts delivery tags for the whole connection', () => {
    let count = 0n;
    return {
      fromBroker(packet) {
        const { channel, method } = packet;
        if (method?.name !== 'basic.deliver' && method?.name !== 'basic.get-ok') return [packet];
        return [methodPacket(channel, method.name, { ...method.args, deliveryTag: ++count })];
      },
    };
  }),
  altersAnswer('deliver.consumer', 'names another consumer in a delivery', 'basic.deliver', () => ({
    consumerTag: 'another',
  })),
  altersAnswer('deliver.marked', 'marks what it delivers for the first time', 'basic.deliver', () => ({
    redelivered: true,
  })),
  altersAnswer('redelivery.unmarked', 'does not mark what it delivers again', 'basic.deliver', ({ redelivered }) => {
    return redelivered ? { redelivered: false } : null;
  }),
  altersAnswer('redelivery.same-tag', 'delivers again with the tag of the first time', 'basic.deliver', (args) => {
    return args.redelivered ? { deliveryTag: 1n } : null;
  }),
  altersAnswer('get.unmarked', 'does not mark what it hands out again', 'basic.get-ok', ({ redelivered }) => {
    return redelivered ? { redelivered: false } : null;
  }),
  altersAnswer('get-ok.count', 'counts what it has just handed out', 'basic.get-ok', ({ messageCount }) => ({
    messageCount: messageCount + 1,
  })),
  altersAnswer('get-empty.reserved', 'says something in a reserved field', 'basic.get-empty', () => ({
    reserved1: '0',
  })),
  breaks('get.swapped', 'hands out the second message before the first', (link) => {
    const messages = new Messages();
    const asked: string[] = [];
    const held = new Map<string, readonly AmqpPacket[]>();
    let first: readonly AmqpPacket[] | null = null;
    /** Sends every get twice and returns the second answer first. */
    const answer = (packets: readonly AmqpPacket[], empty: boolean): readonly AmqpPacket[] => {
      if (first === null) {
        first = packets;
        return [];
      }
      const queue = asked.shift()!;
      const before = first;
      first = null;
      if (empty) return before;
      held.set(queue, before);
      return packets;
    };
    return {
      fromClient(packet) {
        if (packet.method?.name !== 'basic.get') return [packet];
        const { queue } = packet.method.args;
        const waiting = held.get(queue);
        if (waiting === undefined) {
          asked.push(queue);
          return [packet, packet];
        }
        held.delete(queue);
        link.toClient(...waiting);
        return [];
      },
      fromBroker(packet) {
        if (packet.method?.name === 'basic.get-empty') return answer([packet], true);
        return messages.take(packet, ({ packets }) => answer(packets, false));
      },
    };
  }),

  altersAnswer('consume-ok.no-tag', 'answers with an empty consumer tag', 'basic.consume-ok', () => ({
    consumerTag: '',
  })),
  altersAnswer('consume-ok.same-tag', 'generates one consumer tag for all', 'basic.consume-ok', () => ({
    consumerTag: 'amq.ctag-1',
  })),
  pretends('consume.tag.twice', 'takes a consumer tag twice', 'basic.consume', ({ consumerTag }, { talk }) => {
    return consumerTag !== '' && talk.consumers.some(({ tag }) => tag === consumerTag);
  }),
  refuses(
    'consume.tag.global',
    'keeps consumer tags for the whole connection',
    'basic.consume',
    530,
    ({ consumerTag }, { talk }) => consumerTag !== '' && talk.consumers.some(({ tag }) => tag === consumerTag),
  ),
  refuses('consume.few', 'has room for 16 consumers of a queue', 'basic.consume', 406, (_args, { talk }) => {
    return talk.consumers.length >= 16;
  }),
  pretends('consume.first-only', 'delivers to the first consumer only', 'basic.consume', (_args, { talk }) => {
    return talk.consumers.length > 0;
  }),
  altersRequest(
    'consume.exclusive-ignored',
    'lets others consume beside an exclusive consumer',
    'basic.consume',
    ({ exclusive }) => (exclusive ? { exclusive: false } : null),
  ),
  refuses(
    'consume.exclusive-kept',
    'keeps a queue for an exclusive consumer that is gone',
    'basic.consume',
    403,
    (_args, { talk }) => talk.consumers.some(({ exclusive }) => exclusive),
  ),
  altersDelivery('consume.no-local-heeded', 'does not deliver to the connection that published', () => [], WITHHOLDS),
  altersRequest(
    'consume.no-ack-ignored',
    'waits for acknowledgements that a consumer will not send',
    'basic.consume',
    ({ noAck }) => (noAck ? { noAck: false } : null),
    WITHHOLDS,
  ),
  altersRequest('consume.acks-ignored', 'takes what it has delivered for acknowledged', 'basic.consume', () => ({
    noAck: true,
  })),
  altersRequest('consume.arguments-ignored', 'ignores the arguments of a consumer', 'basic.consume', () => ({
    arguments: {},
  })),
  pretends('cancel.not-done', 'goes on delivering after cancel-ok', 'basic.cancel'),
  breaks('cancel.requeues', 'puts back what a cancelled consumer has', () => ({
    fromClient(packet) {
      if (packet.method?.name !== 'basic.cancel') return [packet];
      return [packet, methodPacket(packet.channel, 'basic.recover-async', { requeue: true })];
    },
  })),
  refuses(
    'cancel.unknown-refused',
    'refuses to cancel a tag that is not in use',
    'basic.cancel',
    404,
    ({ consumerTag }, { talk }) => !talk.consumers.some(({ tag }) => tag === consumerTag),
  ),
  altersAnswer('cancel-ok.tag', 'names another consumer in cancel-ok', 'basic.cancel-ok', () => ({
    consumerTag: 'another',
  })),
  losesAnswer('cancel-notify.lost', 'does not tell a consumer that its queue is gone', 'basic.cancel', WITHHOLDS),
  altersAnswer('cancel-notify.tag', 'tells the wrong consumer that its queue is gone', 'basic.cancel', () => ({
    consumerTag: 'another',
  })),

  pretends('qos.ignored', 'heeds no prefetch count', 'basic.qos'),
  altersRequest(
    'qos.zero-is-some',
    'takes a prefetch count of 0 for 100',
    'basic.qos',
    ({ prefetchCount }) => (prefetchCount === 0 ? { prefetchCount: 100 } : null),
    WITHHOLDS,
  ),
  altersRequest(
    'qos.always-global',
    'takes every count for that of the channel',
    'basic.qos',
    () => ({ global: true }),
    {
      withholds: true,
    },
  ),
  altersRequest(
    'qos.never-global',
    'takes every count for that of a consumer',
    'basic.qos',
    ({ global }) => (global ? { global: false } : null),
    WITHHOLDS,
  ),
  breaks('qos.first-served', 'gives what several consumers share to the first of them', () => {
    const first = new Map<number, string>();
    return {
      fromBroker(packet) {
        const { channel, method } = packet;
        if (method?.name !== 'basic.deliver') return [packet];
        const consumerTag = first.get(channel) ?? method.args.consumerTag;
        first.set(channel, consumerTag);
        return [methodPacket(channel, 'basic.deliver', { ...method.args, consumerTag })];
      },
    };
  }),
  altersRequest('qos.size-ignored', 'takes a prefetch size for none', 'basic.qos', ({ prefetchSize }) => {
    return prefetchSize > 0 ? { prefetchSize: 0 } : null;
  }),
  breaks(
    'qos.counts-get',
    'counts what get hands out against prefetch',
    () => {
      const messages = new Messages();
      let out = 0;
      return {
        fromBroker: (packet) =>
          messages.take(packet, ({ method, packets }) => {
            if (method.name === 'basic.get-ok') out++;
            return out > 0 && method.name === 'basic.deliver' ? [] : packets;
          }),
      };
    },
    WITHHOLDS,
  ),
  altersRequest('get.no-ack-ignored', 'waits for an acknowledgement after get with no-ack', 'basic.get', (args) => {
    return args.noAck ? { noAck: false } : null;
  }),
  altersRequest('get.acks-ignored', 'takes what it has handed out for acknowledged', 'basic.get', ({ noAck }) => {
    return noAck ? null : { noAck: true };
  }),

  breaks('settle.not-done', 'does nothing on ack, nack and reject', () => ({
    fromClient: (packet) => (SETTLES.includes(packet.method?.name as 'basic.ack') ? [] : [packet]),
  })),
  altersRequest(
    'settle.multiple-ignored',
    'settles one where multiple is asked for',
    ['basic.ack', 'basic.nack'],
    (args) => {
      return args.multiple ? { multiple: false } : null;
    },
  ),
  altersRequest('settle.always-multiple', 'settles everything up to the tag', ['basic.ack', 'basic.nack'], (args) => {
    return args.multiple ? null : { multiple: true };
  }),
  altersRequest(
    'settle.always-requeues',
    'puts back what it must drop',
    ['basic.nack', 'basic.reject'],
    ({ requeue }) => (requeue ? null : { requeue: true }),
  ),
  altersRequest(
    'settle.never-requeues',
    'drops what it must put back',
    ['basic.nack', 'basic.reject'],
    ({ requeue }) => (requeue ? { requeue: false } : null),
    WITHHOLDS,
  ),
  refuses('settle.zero-refused', 'refuses tag 0 with multiple', 'basic.ack', 406, ({ deliveryTag }) => {
    return deliveryTag === 0n;
  }),
  pretends('recover.not-done', 'does not redeliver unacknowledged messages', ['basic.recover', 'basic.recover-async']),
  altersRequest('recover.always-requeues', 'takes recover without requeue for one with', 'basic.recover', (args) => {
    return args.requeue ? null : { requeue: true };
  }),
];
