// Mutations of expiry, dead letters, priorities and queue types.

import { int, type Table, text, type Value } from '../wire/table.ts';
import {
  type AmqpMutation,
  altersDelivery,
  altersPublish,
  altersRequest,
  breaks,
  type Message,
  refuses,
  withProperties,
} from './breaking.ts';
import { type AmqpPacket, methodPacket } from './packets.ts';

const WITHHOLDS = { withholds: true } as const;

/** Removes some arguments of a queue. */
function ignoresArguments(id: string, words: string, names: readonly string[], options = {}): AmqpMutation {
  return altersRequest(
    id,
    words,
    'queue.declare',
    (args) => {
      if (!names.some((name) => name in args.arguments)) return null;
      const others = Object.entries(args.arguments).filter(([name]) => !names.includes(name));
      return { arguments: Object.fromEntries(others) };
    },
    options,
  );
}

/** Replaces the headers of a dead letter. */
function altersDeath(id: string, words: string, change: (headers: Table, deaths: Table[]) => Table): AmqpMutation {
  return altersDelivery(id, words, (message: Message): readonly AmqpPacket[] => {
    const { headers, ...others } = message.header.properties;
    const field = headers?.['x-death'];
    if (headers === undefined || field?.type !== 'A') return message.packets;
    const deaths = field.value.map((each) => (each as Extract<Value, { type: 'F' }>).value);
    return withProperties(message, { ...others, headers: change(headers, deaths) });
  });
}

/** The deaths as an x-death header. */
function history(headers: Table, deaths: readonly Table[]): Table {
  return { ...headers, 'x-death': { type: 'A', value: deaths.map((value) => ({ type: 'F', value })) } };
}

export const QUEUE_KIND_MUTATIONS: readonly AmqpMutation[] = [
  altersPublish(
    'expiry.message-never',
    'heeds no expiration of a message',
    (message) => {
      const { expiration, ...others } = message.header.properties;
      return expiration === undefined ? message.packets : withProperties(message, others);
    },
    WITHHOLDS,
  ),
  ignoresArguments('expiry.queue-never', 'heeds no x-message-ttl', ['x-message-ttl'], WITHHOLDS),
  altersRequest('expiry.one-for-all', 'lets a message expire in all queues at once', 'queue.declare', (args) => {
    const ttl = args.arguments['x-message-ttl'];
    return ttl === undefined ? null : { arguments: { ...args.arguments, 'x-message-ttl': int(20) } };
  }),
  altersPublish('expiry.transient-only', 'forgets the expiration of persistent messages', (message) => {
    const { expiration, deliveryMode, ...others } = message.header.properties;
    if (expiration === undefined || deliveryMode !== 2) return message.packets;
    return withProperties(message, { ...others, deliveryMode });
  }),
  breaks('expiry.unacked-too', 'expires unacknowledged messages', () => ({
    fromClient({ method, ...packet }) {
      if (method?.name !== 'basic.ack') return [{ method, ...packet }];
      const { deliveryTag, multiple } = method.args;
      return [methodPacket(packet.channel, 'basic.nack', { deliveryTag, multiple, requeue: false })];
    },
  })),
  ignoresArguments('queue.expires.ignored', 'heeds no x-expires', ['x-expires']),
  breaks('queue.expires.anyway', 'lets a queue expire that is used', () => {
    const expiring = new Set<string>();
    return {
      fromClient(packet) {
        const { channel, method } = packet;
        if (method?.name !== 'queue.declare' && method?.name !== 'basic.consume') return [packet];
        const { queue } = method.args;
        const used = expiring.has(queue);
        if ('x-expires' in method.args.arguments) expiring.add(queue);
        return used ? [packet, methodPacket(channel, 'queue.delete', { queue, noWait: true })] : [packet];
      },
    };
  }),

  ignoresArguments(
    'dead-letter.never',
    'knows no dead letters',
    ['x-dead-letter-exchange', 'x-dead-letter-routing-key'],
    WITHHOLDS,
  ),
  ignoresArguments(
    'dead-letter.own-key',
    'ignores the key that a queue has for its dead letters',
    ['x-dead-letter-routing-key'],
    WITHHOLDS,
  ),
  refuses('dead-letter.must-exist', 'wants the exchange before the queue', 'queue.declare', 404, (args, { talk }) => {
    const exchange = args.arguments['x-dead-letter-exchange'];
    return exchange?.type === 'S' && !talk.hasExchange(exchange.value);
  }),
  altersDeath('dead-letter.reason', 'gives another reason for a death', (headers, deaths) => {
    return history(
      headers,
      deaths.map((death) => ({ ...death, reason: text('died') })),
    );
  }),
  altersDeath('dead-letter.count', 'does not count deaths', (headers, deaths) => {
    return history(
      headers,
      deaths.map((death) => ({ ...death, count: { type: 'l', value: 0n } })),
    );
  }),
  altersDeath('dead-letter.no-time', 'does not say when a message died', (headers, deaths) => {
    return history(
      headers,
      deaths.map(({ time: _time, ...death }) => death),
    );
  }),
  altersDeath('dead-letter.keys', 'does not say by which keys a message came', (headers, deaths) => {
    return history(
      headers,
      deaths.map((death) => ({ ...death, 'routing-keys': { type: 'A', value: [] } })),
    );
  }),
  altersDeath('dead-letter.order', 'tells deaths from the first to the last', (headers, deaths) => {
    return history(headers, [...deaths].reverse());
  }),
  altersDeath('dead-letter.last-only', 'tells the last death only', (headers, deaths) => {
    return history(headers, deaths.slice(0, 1));
  }),
  altersDeath('dead-letter.no-first', 'does not say how a message died first', (headers) => {
    return Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith('x-first-death')));
  }),
  altersDelivery('dead-letter.expires-again', 'leaves its expiration to a dead letter', (message) => {
    const { properties } = message.header;
    if (properties.headers?.['x-death'] === undefined) return message.packets;
    return withProperties(message, { ...properties, expiration: '20' });
  }),
  altersDelivery('deliver.twice', 'delivers a message twice', ({ packets }) => [...packets, ...packets]),

  ignoresArguments('priority.ignored', 'knows no priorities', ['x-max-priority']),
  ignoresArguments('single-active.ignored', 'lets all consumers be active', ['x-single-active-consumer']),
  refuses('quorum.unknown', 'knows no quorum queues', 'queue.declare', 406, (args) => 'x-queue-type' in args.arguments),
  ignoresArguments('quorum.is-classic', 'makes a classic queue of a quorum queue', ['x-queue-type']),
  ignoresArguments('quorum.no-limit', 'heeds no delivery limit', ['x-delivery-limit']),
];
