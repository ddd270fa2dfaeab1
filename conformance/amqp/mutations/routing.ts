// Mutations of binding and routing.

import { type Table, text } from '../wire/table.ts';
import {
  type AmqpMutation,
  altersAnswer,
  altersDelivery,
  altersPublish,
  altersRequest,
  breaks,
  pretends,
  refuses,
  withProperties,
} from './breaking.ts';
import { headerPacket, methodPacket } from './packets.ts';
import { bindingOf, keyOf } from './talk.ts';

const EITHER = ['queue.bind', 'exchange.bind'] as const;
const UNBINDS = ['queue.unbind', 'exchange.unbind'] as const;

/** Replaces the key of bindings and publishes to a named exchange. */
function altersKey(
  id: string,
  words: string,
  name: 'queue.bind' | 'basic.publish',
  change: (key: string) => string,
): AmqpMutation {
  return altersRequest(id, words, name, ({ exchange, routingKey }) => {
    const key = change(routingKey);
    return exchange === '' || key === routingKey ? null : { routingKey: key };
  });
}

/** Replaces the arguments of bindings. */
function altersMatch(id: string, words: string, change: (binding: Table) => Table): AmqpMutation {
  return altersRequest(id, words, 'queue.bind', (args) => ({ arguments: change(args.arguments) }));
}

/** Renames a header, so that the broker does not recognise it. */
function ignoresHeader(name: string): AmqpMutation {
  const words = `does not know ${name}`;
  const id = `publish.${name.toLowerCase()}-ignored`;
  return altersPublish(id, words, (message) => {
    const { headers, ...others } = message.header.properties;
    if (headers?.[name] === undefined) return message.packets;
    const entries = Object.entries(headers).map(([each, value]) => [each === name ? `x-${name}` : each, value]);
    return withProperties(message, { ...others, headers: Object.fromEntries(entries) });
  });
}

export const ROUTING_MUTATIONS: readonly AmqpMutation[] = [
  altersKey('routing.case-folded', 'routes without regard to case', 'basic.publish', (key) => key.toLowerCase()),
  altersKey('routing.key-ignored', 'routes by an empty key', 'basic.publish', () => ''),
  altersRequest('routing.fanout-by-key', 'routes by key in a fanout exchange', 'exchange.declare', ({ type }) => {
    return type === 'fanout' ? { type: 'direct' } : null;
  }),
  pretends('routing.first-queue', 'routes to the first queue that was bound', EITHER, (args, { talk }) => {
    return 'exchange' in args && talk.times(args.exchange) > 0;
  }),
  altersKey('routing.star-is-hash', 'takes a star for any number of words', 'queue.bind', (key) =>
    key.replaceAll('*', '#'),
  ),
  altersKey('routing.hash-is-star', 'takes a hash for one word', 'queue.bind', (key) => key.replaceAll('#', '*')),
  altersKey('routing.prefix', 'routes by the first words of a pattern', 'queue.bind', (key) => `${key}.#`),
  altersKey('routing.empty-is-all', 'takes an empty pattern for all keys', 'queue.bind', (key) => key || '#'),

  altersMatch('headers.all-is-any', 'takes all for any', (binding) => ({ ...binding, 'x-match': text('any') })),
  altersMatch('headers.any-is-all', 'takes any for all', (binding) => ({ ...binding, 'x-match': text('all') })),
  altersMatch('headers.ignored', 'matches whatever the headers', () => ({})),
  altersMatch('headers.void-compared', 'compares a value that is none', (binding) =>
    Object.fromEntries(
      Object.entries(binding).map(([name, value]) => [name, value.type === 'V' ? text('') : value] as const),
    ),
  ),
  altersMatch('headers.x-compared', 'compares headers that begin with x-', (binding) =>
    Object.fromEntries(Object.entries(binding).map(([name, value]) => [name.replace('x-other', 'other'), value])),
  ),
  altersMatch('headers.texts-compared', 'compares values as texts', (binding) =>
    Object.fromEntries(
      Object.entries(binding).map(([name, value]) => {
        const number = value.type === 'S' && /^\d+$/.test(value.value);
        return [name, number ? { type: 'I' as const, value: Number(value.value) } : value];
      }),
    ),
  ),
  breaks('headers.exact', 'matches no message with further headers', () => {
    let bound = Number.POSITIVE_INFINITY;
    return {
      fromClient(packet) {
        const { channel, method, header } = packet;
        if (method?.name === 'queue.bind') {
          bound = Object.keys(method.args.arguments).filter((name) => !name.startsWith('x-')).length;
        }
        const { headers = {}, ...others } = header?.properties ?? {};
        if (header === null || Object.keys(headers).length <= bound) return [packet];
        return [headerPacket(channel, header.bodySize, others)];
      },
    };
  }),

  altersPublish('routing.twice', 'routes a message once for each way to a queue', ({ packets }) => {
    return [...packets, ...packets];
  }),
  altersRequest('publish.returned', 'returns what was not published as mandatory', 'basic.publish', ({ mandatory }) => {
    return mandatory ? null : { mandatory: true };
  }),
  pretends('queue.unbind.not-done', 'keeps a binding that it has removed', 'queue.unbind'),
  altersRequest(
    'queue.bind.arguments-ignored',
    'does not tell bindings apart by their arguments',
    ['queue.bind', 'queue.unbind'],
    () => ({ arguments: {} }),
  ),
  altersRequest('queue.unbind.arguments-lost', 'does not find a binding by its arguments', 'queue.unbind', () => ({
    arguments: {},
  })),
  refuses(
    'queue.bind.durable-only',
    'binds durable queues to durable exchanges only',
    'queue.bind',
    406,
    ({ exchange }) => !exchange.startsWith('amq.'),
  ),
  refuses(
    'queue.bind.few',
    'binds a queue four times',
    'queue.bind',
    406,
    (_args, { talk }) => talk.bindings.size >= 4,
  ),
  pretends('bind.anything', 'binds what does not exist', EITHER, (args, { talk }) => {
    if ('exchange' in args) return !talk.hasExchange(args.exchange);
    return !talk.hasExchange(args.destination) || !talk.hasExchange(args.source);
  }),
  refuses(
    'unbind.missing-refused',
    'refuses to remove a binding that does not exist',
    UNBINDS,
    404,
    (args, { talk }) => {
      const ends = 'exchange' in args ? [args.queue, args.exchange] : [args.destination, args.source];
      return !talk.bindings.has(bindingOf(ends[0]!, ends[1]!, args.routingKey));
    },
  ),
  breaks('queue.unbind.all', 'removes all bindings of a queue where one is meant', (_link, talk) => {
    let extra = 0;
    return {
      fromClient(packet) {
        const { channel, method } = packet;
        if (method?.name !== 'queue.unbind') return [packet];
        const { queue, exchange } = method.args;
        const all = [...talk.bindings].map(keyOf).map((routingKey) => {
          return methodPacket(channel, 'queue.unbind', { queue, exchange, routingKey });
        });
        extra = all.length;
        return [packet, ...all];
      },
      fromBroker: (packet) => (packet.method?.name === 'queue.unbind-ok' && --extra >= 0 ? [] : [packet]),
    };
  }),

  pretends('exchange.bind.not-done', 'does not bind exchanges to exchanges', 'exchange.bind'),
  pretends('exchange.unbind.not-done', 'keeps a binding of exchanges that it has removed', 'exchange.unbind'),
  refuses('exchange.bind.no-cycles', 'refuses exchanges in a circle', 'exchange.bind', 406, (args, { talk }) => {
    return [...talk.bindings].some((binding) => binding.startsWith(JSON.stringify([args.source]).slice(0, -1)));
  }),
  ...(['basic.deliver', 'basic.get-ok', 'basic.return'] as const).flatMap((name) => [
    altersAnswer(`${name}.exchange`, 'names the last exchange on the way of a message', name, () => ({
      exchange: 'amq.fanout',
    })),
    altersAnswer(`${name}.key`, 'names another routing key than that of the publish', name, ({ routingKey }) => ({
      routingKey: `${routingKey}.1`.slice(-200),
    })),
  ]),
  breaks('publish.always-returned', 'returns mandatory messages that were routed', (link) => ({
    fromClient(packet) {
      const { channel, method } = packet;
      if (method?.name !== 'basic.publish' || !method.args.mandatory) return [packet];
      const { exchange, routingKey } = method.args;
      const args = { replyCode: 312, replyText: 'NO_ROUTE', exchange, routingKey };
      link.toClient(methodPacket(channel, 'basic.return', args), headerPacket(channel, 0, {}));
      return [packet];
    },
  })),

  ignoresHeader('CC'),
  ignoresHeader('BCC'),
  altersDelivery('publish.cc-hidden', 'hides CC from receivers', (message) => {
    const { headers, ...others } = message.header.properties;
    if (headers?.CC === undefined) return message.packets;
    const { CC: _hidden, ...shown } = headers;
    return withProperties(message, { ...others, headers: shown });
  }),
  altersDelivery('publish.bcc-shown', 'shows BCC to receivers', (message) => {
    const { headers, ...others } = message.header.properties;
    return withProperties(message, { ...others, headers: { ...headers, BCC: text('somebody') } });
  }),
];
