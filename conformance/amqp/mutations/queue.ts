// Mutations of declaring, finding, locking, purging and deleting queues.

import { randomUUID } from 'node:crypto';
import { type AmqpMutation, altersAnswer, altersRequest, breaks, pretends, Refusals, refuses } from './breaking.ts';
import { methodPacket } from './packets.ts';

const BY_NAME = ['queue.bind', 'queue.unbind', 'queue.purge', 'queue.delete', 'basic.consume', 'basic.get'] as const;

export const QUEUE_MUTATIONS: readonly AmqpMutation[] = [
  altersAnswer('queue.declare-ok.count', 'counts a message too many', 'queue.declare-ok', ({ messageCount }) => {
    return { messageCount: messageCount + 1 };
  }),
  altersAnswer('queue.declare-ok.consumers', 'counts no consumers', 'queue.declare-ok', () => ({ consumerCount: 0 })),
  altersAnswer('queue.declare-ok.name', 'answers with another name', 'queue.declare-ok', ({ queue }) => ({
    queue: `${queue}-1`.slice(-127),
  })),
  altersRequest(
    'names.line-feeds',
    'takes line feeds in names for other characters',
    ['queue.declare', 'exchange.declare'],
    (args) => {
      const mark = (name: string): string => name.replaceAll('\n', '_');
      return 'queue' in args ? { queue: mark(args.queue) } : { exchange: mark(args.exchange) };
    },
  ),
  breaks('queue.server-named.same', 'gives all queues without a name one', () => {
    const name = `unnamed-${randomUUID()}`;
    return {
      fromClient(packet) {
        const { channel, method } = packet;
        if (method?.name !== 'queue.declare' || method.args.queue !== '') return [packet];
        return [methodPacket(channel, 'queue.declare', { ...method.args, queue: name })];
      },
    };
  }),
  refuses('queue.last.forgotten', 'does not know which queue was declared last', BY_NAME, 404, ({ queue }) => {
    return queue === '';
  }),
  breaks('queue.last.key-kept', 'keeps an empty key where the queue name is empty', () => {
    let last = '';
    return {
      fromBroker(packet) {
        if (packet.method?.name === 'queue.declare-ok') last = packet.method.args.queue;
        return [packet];
      },
      fromClient(packet) {
        const { channel, method } = packet;
        if (method?.name !== 'queue.bind' || method.args.queue !== '') return [packet];
        return [methodPacket(channel, 'queue.bind', { ...method.args, queue: last })];
      },
    };
  }),
  pretends('queue.none.taken', 'does as if there were a queue without a name', BY_NAME, ({ queue }) => queue === ''),
  breaks('queue.missing.created', 'creates a queue that is missing where it is used', (link, talk) => ({
    fromClient(packet) {
      const { channel, method } = packet;
      if (method === null || !BY_NAME.includes(method.name as 'queue.bind') || !('queue' in method.args))
        return [packet];
      const { queue } = method.args;
      if (queue !== '' && !talk.queues.has(queue)) {
        link.toBroker(methodPacket(channel, 'queue.declare', { queue, exclusive: true, noWait: true }));
      }
      return [packet];
    },
  })),
  refuses('queue.declare.once', 'refuses to declare a queue again', 'queue.declare', 406, (args, { talk }) => {
    return !args.passive && talk.queues.has(args.queue);
  }),
  altersRequest(
    'queue.declare.any-equivalent',
    'takes any declare of a queue that exists for equivalent',
    'queue.declare',
    ({ queue }, { talk }) => (talk.queues.has(queue) ? { passive: true } : null),
  ),
  refuses(
    'queue.declare.types-compared',
    'takes a number of another type for another number',
    'queue.declare',
    406,
    (args) => Object.values(args.arguments).some(({ type }) => type === 'b'),
  ),
  altersRequest(
    'queue.declare.arguments-ignored',
    'ignores the arguments of a queue',
    'queue.declare',
    (args) => (Object.keys(args.arguments).length > 0 ? { arguments: {} } : null),
    { withholds: true },
  ),
  altersRequest('queue.declare.transient', 'makes all queues transient', 'queue.declare', ({ durable }) => {
    return durable ? { durable: false } : null;
  }),
  altersRequest('queue.declare.durable', 'makes all queues durable', 'queue.declare', ({ durable }) => {
    return durable ? null : { durable: true };
  }),
  refuses('queue.declare.few', 'has room for 256 queues', 'queue.declare', 406, (_args, { talk }) => {
    return talk.times('declare') >= 256;
  }),
  altersRequest(
    'queue.default-binding.none',
    'does not bind queues to the default exchange',
    'basic.publish',
    (args) => {
      return args.exchange === '' ? { exchange: 'amq.direct' } : null;
    },
  ),
  altersRequest('queue.declare.passive-ignored', 'creates on a passive declare', 'queue.declare', ({ passive }) => {
    return passive ? { passive: false } : null;
  }),
  altersRequest('queue.exclusive.ignored', 'locks no queue', 'queue.declare', ({ exclusive }) => {
    return exclusive ? { exclusive: false } : null;
  }),
  refuses(
    'queue.exclusive.by-channel',
    'locks a queue for its channel, not for its connection',
    'queue.declare',
    405,
    ({ queue }, { talk, channel }) => talk.queues.has(queue) && talk.queues.get(queue) !== channel,
  ),
  altersRequest('queue.auto-delete.ignored', 'keeps auto-delete queues', 'queue.declare', ({ autoDelete }) => {
    return autoDelete ? { autoDelete: false } : null;
  }),
  breaks('queue.auto-delete.eager', 'deletes an auto-delete queue that had no consumer', (_link, talk) => ({
    fromClient(packet) {
      if (packet.method?.name !== 'channel.close') return [packet];
      const [queue = ''] = [...talk.queues.keys()].slice(-1);
      return [methodPacket(packet.channel, 'queue.delete', { queue, noWait: true }), packet];
    },
  })),
  breaks('queue.auto-delete.first', 'deletes an auto-delete queue with its first consumer', (_link, talk) => ({
    fromClient(packet) {
      if (packet.method?.name !== 'basic.cancel') return [packet];
      const [queue = ''] = [...talk.queues.keys()].slice(-1);
      return [packet, methodPacket(packet.channel, 'queue.delete', { queue, noWait: true })];
    },
  })),
  altersAnswer('queue.purge-ok.count', 'counts wrong what it purges', 'queue.purge-ok', ({ messageCount }) => ({
    messageCount: messageCount + 1,
  })),
  pretends('queue.purge.not-done', 'keeps what it has purged', 'queue.purge', () => true, {
    answer: () => ({ messageCount: 3 }),
  }),
  breaks('queue.purge.unacked-too', 'purges unacknowledged messages', () => {
    let purged = false;
    return {
      fromClient(packet) {
        const { channel, method } = packet;
        purged ||= method?.name === 'queue.purge';
        if (!purged || method?.name !== 'basic.reject') return [packet];
        return [methodPacket(channel, 'basic.reject', { ...method.args, requeue: false })];
      },
    };
  }),
  altersAnswer('queue.delete-ok.count', 'does not count what it deletes', 'queue.delete-ok', ({ messageCount }) => ({
    messageCount: messageCount === 0 ? 1 : 0,
  })),
  pretends('queue.delete.not-done', 'keeps a queue that it has deleted', 'queue.delete', () => true, {
    answer: () => ({ messageCount: 2 }),
  }),
  refuses(
    'queue.delete.missing-refused',
    'refuses to delete a queue that does not exist',
    'queue.delete',
    404,
    ({ queue }, { talk }) => !talk.queues.has(queue),
  ),
  altersRequest('queue.delete.if-ignored', 'deletes a queue that is used or not empty', 'queue.delete', (args) => {
    return args.ifUnused || args.ifEmpty ? { ifUnused: false, ifEmpty: false } : null;
  }),
  breaks('queue.delete.refused-and-done', 'refuses to delete a queue, and deletes it', (link) => {
    const refusals = new Refusals(link);
    return {
      fromClient(packet) {
        if (refusals.swallowsClient(packet)) return [];
        const { channel, method } = packet;
        if (method?.name !== 'queue.delete' || !(method.args.ifUnused || method.args.ifEmpty)) return [packet];
        const { queue, ifEmpty } = method.args;
        link.toBroker(methodPacket(channel, 'queue.delete', { queue, noWait: true }));
        const state = ifEmpty ? 'not empty' : 'in use';
        refusals.refuse(packet, 406, `PRECONDITION_FAILED - queue '${queue}' in vhost '/' ${state}`);
        return [];
      },
      fromBroker: (packet) => (refusals.swallowsBroker(packet) ? [] : [packet]),
    };
  }),
];
