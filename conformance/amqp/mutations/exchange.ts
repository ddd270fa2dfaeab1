// Mutations of declaring, finding and deleting exchanges.

import { type AmqpMutation, altersRequest, breaks, pretends, Refusals, refuses } from './breaking.ts';
import { methodPacket } from './packets.ts';

const KINDS = ['direct', 'fanout', 'topic', 'headers'] as const;

function plainText(text: string): boolean {
  return /^[ -~]*$/.test(text);
}

export const EXCHANGE_MUTATIONS: readonly AmqpMutation[] = [
  ...KINDS.map((kind) =>
    refuses(
      `exchange.type.${kind}`,
      `has no exchanges of type ${kind}`,
      'exchange.declare',
      503,
      ({ type }) => type === kind,
    ),
  ),
  ...[...KINDS, 'match'].map((kind) =>
    refuses(
      `exchange.predeclared.${kind}`,
      `does not have amq.${kind} from the start`,
      'exchange.declare',
      404,
      ({ exchange }) => exchange === `amq.${kind}`,
    ),
  ),
  ...KINDS.map((kind) =>
    refuses(
      `exchange.predeclared.${kind}-unbindable`,
      `binds nothing to amq.${kind}`,
      'queue.bind',
      404,
      ({ exchange }) => exchange === `amq.${kind}`,
    ),
  ),
  altersRequest('exchange.type.any', 'takes an unknown type for direct', 'exchange.declare', ({ type }) => {
    return type !== '' && !KINDS.includes(type as 'direct') ? { type: 'direct' } : null;
  }),
  refuses(
    'exchange.declare.once',
    'refuses to declare an exchange again',
    'exchange.declare',
    406,
    (args, { talk }) => {
      return !args.passive && talk.exchanges.has(args.exchange);
    },
  ),
  altersRequest(
    'exchange.declare.any-equivalent',
    'takes any declare of an exchange that exists for equivalent',
    'exchange.declare',
    ({ exchange }, { talk }) => (talk.exchanges.has(exchange) ? { passive: true } : null),
  ),
  altersRequest('exchange.declare.transient', 'makes all exchanges transient', 'exchange.declare', ({ durable }) => {
    return durable ? { durable: false } : null;
  }),
  altersRequest('exchange.declare.passive-ignored', 'creates on a passive declare', 'exchange.declare', (args) => {
    return args.passive ? { passive: false, type: args.type || 'direct' } : null;
  }),
  breaks('exchange.passive.creates', 'refuses a passive declare, and creates', (link, talk) => {
    const refusals = new Refusals(link);
    return {
      fromClient(packet) {
        if (refusals.swallowsClient(packet)) return [];
        const { channel, method } = packet;
        if (method?.name !== 'exchange.declare' || !method.args.passive || talk.times('passive') > 0) return [packet];
        link.toBroker(methodPacket(channel, 'exchange.declare', { ...method.args, passive: false, noWait: true }));
        refusals.refuse(packet, 404);
        return [];
      },
      fromBroker: (packet) => (refusals.swallowsBroker(packet) ? [] : [packet]),
    };
  }),
  altersRequest(
    'names.reserved-allowed',
    'gives reserved names away',
    ['exchange.declare', 'queue.declare'],
    (args) => {
      if ('exchange' in args && /^amq\.conf/.test(args.exchange)) return { exchange: args.exchange.slice(4) };
      if ('queue' in args && /^amq\.conf/.test(args.queue)) return { queue: args.queue.slice(4) };
      return null;
    },
  ),
  refuses(
    'exchange.reserved.refused',
    'refuses reserved names also of what is there',
    'exchange.declare',
    403,
    ({ exchange }) => exchange.startsWith('amq.'),
  ),
  pretends('exchange.reserved.deletes', 'deletes predeclared exchanges', 'exchange.delete', ({ exchange }) => {
    return exchange.startsWith('amq.');
  }),
  pretends(
    'exchange.default.open',
    'lets clients declare, delete and bind the default exchange',
    ['exchange.declare', 'exchange.delete', 'exchange.bind', 'queue.bind'],
    (args) => ('destination' in args ? args.destination === '' : args.exchange === ''),
  ),
  refuses(
    'names.ascii-only',
    'takes names of ASCII only',
    ['exchange.declare', 'queue.declare'],
    406,
    (args) => !plainText('exchange' in args ? args.exchange : args.queue),
  ),
  refuses('names.short', 'takes names of up to 100 octets', 'queue.declare', 406, ({ queue }) => queue.length > 100),
  refuses('exchange.declare.few', 'has room for 16 exchanges', 'exchange.declare', 406, (_args, { talk }) => {
    return talk.exchanges.size >= 16;
  }),
  altersRequest(
    'exchange.declare.arguments-ignored',
    'ignores the arguments of an exchange',
    'exchange.declare',
    (args) => (Object.keys(args.arguments).length > 0 ? { arguments: {} } : null),
  ),
  refuses(
    'exchange.alternate.must-exist',
    'refuses an alternate exchange that does not exist',
    'exchange.declare',
    404,
    (args, { talk }) => {
      const alternate = args.arguments['alternate-exchange'];
      return alternate?.type === 'S' && !talk.hasExchange(alternate.value);
    },
  ),
  pretends('exchange.delete.not-done', 'keeps an exchange that it has deleted', 'exchange.delete'),
  refuses(
    'exchange.delete.missing-refused',
    'refuses to delete an exchange that does not exist',
    'exchange.delete',
    404,
    ({ exchange }, { talk }) => !talk.hasExchange(exchange),
  ),
  altersRequest('exchange.delete.if-unused-ignored', 'deletes a bound exchange', 'exchange.delete', ({ ifUnused }) => {
    return ifUnused ? { ifUnused: false } : null;
  }),
  breaks('exchange.delete.refused-and-done', 'refuses to delete a bound exchange, and deletes it', (link) => {
    const refusals = new Refusals(link);
    return {
      fromClient(packet) {
        if (refusals.swallowsClient(packet)) return [];
        const { channel, method } = packet;
        if (method?.name !== 'exchange.delete' || !method.args.ifUnused) return [packet];
        link.toBroker(methodPacket(channel, 'exchange.delete', { ...method.args, ifUnused: false, noWait: true }));
        refusals.refuse(packet, 406, `PRECONDITION_FAILED - exchange '${method.args.exchange}' in vhost '/' in use`);
        return [];
      },
      fromBroker: (packet) => (refusals.swallowsBroker(packet) ? [] : [packet]),
    };
  }),
  altersRequest('exchange.auto-delete.ignored', 'keeps auto-delete exchanges', 'exchange.declare', ({ autoDelete }) => {
    return autoDelete ? { autoDelete: false } : null;
  }),
  breaks('exchange.auto-delete.eager', 'deletes an auto-delete exchange at its first unbind', () => ({
    fromClient(packet) {
      const { channel, method } = packet;
      if (method?.name !== 'queue.unbind') return [packet];
      const { exchange } = method.args;
      return [packet, methodPacket(channel, 'exchange.delete', { exchange, noWait: true })];
    },
  })),
  altersRequest(
    'exchange.internal.ignored',
    'lets clients publish to internal exchanges',
    'exchange.declare',
    ({ internal }) => (internal ? { internal: false } : null),
  ),

  // For all requests with no-wait.
  breaks('no-wait.answered', 'answers a request that asks for no answer', () => ({
    fromClient(packet) {
      const { channel, method } = packet;
      if (method === null || !('noWait' in method.args) || !method.args.noWait) return [packet];
      return [methodPacket(channel, method.name, { ...method.args, noWait: false })];
    },
  })),
  breaks(
    'no-wait.not-done',
    'does not do what asks for no answer',
    () => ({
      fromClient({ method, ...packet }) {
        return method !== null && 'noWait' in method.args && method.args.noWait ? [] : [{ method, ...packet }];
      },
    }),
    { withholds: true },
  ),
];
