// Mutations of SUBSCRIBE and UNSUBSCRIBE, and of their acknowledgements.

import { LEVEL } from '../wire/packets.ts';
import { encodeProperty } from '../wire/properties.ts';
import {
  altersAnswer,
  altersMessage,
  altersSubscribe,
  breaks,
  losesAnswer,
  type MqttMutation,
  pretends,
} from './breaking.ts';
import {
  publishIn,
  type RawProperty,
  readable,
  readSubscribe,
  type Subscribe,
  subscribeIn,
  writeAnswer,
  writePublish,
} from './packets.ts';

const SUBSCRIPTION_IDENTIFIER = 0x0b;

type Filters = Subscribe['filters'];

/** Replaces filters. */
function altersFilters(
  id: string,
  words: string,
  change: (filter: string, options: number) => string | null,
  withholds = false,
): MqttMutation {
  const alter = (filters: Filters): { filters: Filters } | null => {
    const others = filters.map((each) => ({ ...each, filter: change(each.filter, each.options) ?? each.filter }));
    return others.some(({ filter }, at) => filter !== filters[at]!.filter) ? { filters: others } : null;
  };
  return altersSubscribe(id, words, 'SUBSCRIBE', ({ filters }) => alter(filters), { withholds });
}

/** Clears some bits of the subscription options. */
function ignoresOption(id: string, words: string, mask: number, set = 0, withholds = false): MqttMutation {
  return altersSubscribe(
    id,
    words,
    'SUBSCRIBE',
    ({ filters }, { version }) => {
      if (version !== LEVEL.v5) return null;
      const others = filters.map(({ filter, options }) => ({ filter, options: (options & ~mask) | set }));
      return others.some(({ options }, at) => options !== filters[at]!.options) ? { filters: others } : null;
    },
    { withholds },
  );
}

const widened = (filter: string): string | null => {
  const [first, ...rest] = filter.split('/');
  return rest.length === 0 || first!.startsWith('$') ? null : `${first}/#`;
};

export const SUBSCRIPTION_MUTATIONS: readonly MqttMutation[] = [
  losesAnswer('suback.lost', 'does not answer SUBSCRIBE', 'SUBACK'),
  losesAnswer('unsuback.lost', 'does not answer UNSUBSCRIBE', 'UNSUBACK'),
  altersAnswer('suback.reversed', 'gives the codes of SUBACK in another order', ['SUBACK'], ({ reasons }) => {
    return reasons.length > 1 ? { reasons: [...reasons].reverse() } : null;
  }),
  altersAnswer('suback.short', 'gives one code for all filters', ['SUBACK', 'UNSUBACK'], ({ reasons }) => {
    return reasons.length > 1 ? { reasons: reasons.slice(0, 1) } : null;
  }),
  altersAnswer('suback.unknown-code', 'gives a code that does not exist', ['SUBACK'], ({ reasons }) => ({
    reasons: reasons.map(() => 0x55),
  })),
  altersAnswer('suback.more', 'grants more than was asked for', ['SUBACK'], ({ reasons }) => ({
    reasons: reasons.map((code) => (code === 0 ? 1 : code)),
  })),
  altersAnswer(
    'suback.other-refusal',
    'refuses a subscription for another reason',
    ['SUBACK'],
    ({ reasons }, { version }) => {
      if (!reasons.some((code) => code >= 0x80)) return null;
      return { reasons: reasons.map((code) => (code >= 0x80 ? (version === LEVEL.v5 ? 0x97 : 0) : code)) };
    },
  ),
  pretends(
    'unsubscribe.ignored',
    'says that a client has unsubscribed, and goes on',
    ['UNSUBSCRIBE'],
    (packet, { version }) => {
      const fields = readable(() => readSubscribe(packet, version));
      if (fields === null) return null;
      return writeAnswer(
        'UNSUBACK',
        { packetId: fields.packetId, reasons: fields.filters.map(() => 0), properties: [] },
        version,
      );
    },
  ),
  altersAnswer(
    'unsuback.success',
    'says of every filter that there was a subscription',
    ['UNSUBACK'],
    ({ reasons }) => {
      return reasons.some((code) => code !== 0) ? { reasons: reasons.map(() => 0) } : null;
    },
  ),
  altersAnswer('unsuback.none', 'says of every filter that there was no subscription', ['UNSUBACK'], ({ reasons }) => {
    return reasons.some((code) => code === 0) ? { reasons: reasons.map(() => 0x11) } : null;
  }),
  breaks(
    'unsubscribe.matching',
    'ends all subscriptions that a filter of UNSUBSCRIBE matches',
    () => ({ filters: new Set<string>() }),
    (talk, { filters }) => ({
      fromClient(packet) {
        if (packet.type !== 'SUBSCRIBE' && packet.type !== 'UNSUBSCRIBE') return [packet];
        const fields = readable(() => readSubscribe(packet, talk.version));
        if (fields === null) return [packet];
        if (packet.type === 'SUBSCRIBE') for (const { filter } of fields.filters) filters.add(filter);
        const [only] = fields.filters;
        if (packet.type === 'SUBSCRIBE' || only === undefined || filters.has(only.filter)) return [packet];
        // The proxy answers, because the request is not forwarded.
        talk.link.toClient(
          writeAnswer('UNSUBACK', { packetId: fields.packetId, reasons: [0], properties: [] }, talk.version),
        );
        return [];
      },
      fromBroker: (packet) => (packet.type === 'PUBLISH' ? [] : [packet]),
    }),
    { withholds: true },
  ),
  altersFilters('filter.widened', 'takes a filter for all that begins like it', widened),
  altersFilters(
    'filter.folded',
    'does not tell capital letters from small ones',
    (filter) => filter.toLowerCase(),
    true,
  ),
  altersFilters(
    'filter.no-wildcards',
    'takes wildcards for letters',
    (filter) => filter.replace(/[+#]$/, 'x').replaceAll('+', 'x'),
    true,
  ),
  altersFilters(
    'filter.hash-needs-level',
    'does not count the parent to what # matches',
    (filter) => {
      return filter.endsWith('/#') ? `${filter.slice(0, -1)}+/#` : null;
    },
    true,
  ),
  altersFilters(
    'filter.trimmed',
    'passes over empty levels',
    (filter) => {
      const trimmed = filter.replace(/\/+/g, '/');
      return trimmed === filter ? null : trimmed;
    },
    true,
  ),
  altersSubscribe(
    'subscribe.first',
    'subscribes to the first of several filters',
    'SUBSCRIBE',
    ({ filters }) => {
      return filters.length > 1 ? { filters: filters.map(() => filters[0]!) } : null;
    },
    { withholds: true },
  ),
  altersSubscribe('subscribe.qos2', 'subscribes at QoS 2, whatever is asked for', 'SUBSCRIBE', ({ filters }) => {
    return { filters: filters.map(({ filter, options }) => ({ filter, options: (options & ~3) | 2 })) };
  }),
  breaks(
    'subscribe.not-replaced',
    'leaves a subscription as it was when it is made again',
    () => ({ made: new Set<string>() }),
    (talk, { made }) => ({
      fromClient(packet) {
        if (packet.type !== 'SUBSCRIBE') return [packet];
        const fields = readable(() => readSubscribe(packet, talk.version));
        if (fields === null) return [packet];
        const key = JSON.stringify([talk.clientId, fields.filters.map(({ filter }) => filter)]);
        if (!made.has(key)) {
          made.add(key);
          return [packet];
        }
        const reasons = fields.filters.map(({ options }) => options & 3);
        talk.link.toClient(writeAnswer('SUBACK', { packetId: fields.packetId, reasons, properties: [] }, talk.version));
        return [];
      },
    }),
    { withholds: true },
  ),
  ignoresOption('subscribe.no-local', 'does not know no local', 0x04),
  ignoresOption('subscribe.always-no-local', 'never sends a client what it has published', 0x04, 0x04, true),
  ignoresOption('subscribe.retain-as-published', 'does not know retain as published', 0x08),
  ignoresOption('subscribe.always-as-published', 'sends RETAIN as it was published to everybody', 0x08, 0x08),
  ignoresOption('subscribe.retain-handling', 'sends retained messages whatever retain handling says', 0x30),
  ignoresOption('subscribe.no-retained', 'sends no retained messages', 0x30, 0x20, true),
  altersSubscribe('subscribe.identifier', 'forgets subscription identifiers', 'SUBSCRIBE', ({ properties }) => {
    const others = properties.filter(({ id }) => id !== SUBSCRIPTION_IDENTIFIER);
    return others.length < properties.length ? { properties: others } : null;
  }),
  altersMessage(
    'message.first-identifier',
    'sends one subscription identifier where there are several',
    ({ properties }) => {
      const ids = properties.filter(({ id }) => id === SUBSCRIPTION_IDENTIFIER);
      return ids.length > 1
        ? { properties: properties.filter((each) => each.id !== SUBSCRIPTION_IDENTIFIER || each === ids[0]) }
        : null;
    },
  ),
  altersMessage(
    'message.made-up-identifier',
    'sends a subscription identifier that nobody gave',
    ({ properties }, { version }) => {
      if (version !== LEVEL.v5) return null;
      const made: RawProperty = { id: SUBSCRIPTION_IDENTIFIER, bytes: encodeProperty(['subscriptionIdentifier', 77]) };
      return { properties: [...properties, made] };
    },
  ),
  altersFilters('shared.everybody', 'sends messages of a shared subscription to all who share it', (filter) => {
    const [share, , ...rest] = filter.split('/');
    return share === '$share' && rest.length > 0 ? rest.join('/') : null;
  }),
  altersFilters(
    'shared.one-group',
    'takes all shared subscriptions for one',
    (filter) => {
      const [share, , ...rest] = filter.split('/');
      return share === '$share' && rest.length > 0 ? ['$share', 'one', ...rest].join('/') : null;
    },
    true,
  ),
  altersFilters(
    'shared.no-wildcards',
    'takes the filter of a shared subscription for a topic',
    (filter) => {
      return filter.startsWith('$share/') ? filter.replaceAll('+', 'x') : null;
    },
    true,
  ),
  breaks(
    'shared.one-takes-all',
    'gives all messages of a shared subscription to the first who shares it',
    () => ({ first: new Map<string, string>() }),
    (talk, { first }) => ({
      fromClient(packet) {
        const fields = subscribeIn(packet, talk.version);
        const [only] = fields?.filters ?? [];
        if (fields === null || only === undefined || !only.filter.startsWith('$share/')) return [packet];
        const owner = first.get(only.filter);
        if (owner === undefined) first.set(only.filter, talk.clientId);
        if (owner === undefined || owner === talk.clientId) return [packet];
        const answer = { packetId: fields.packetId, reasons: [only.options & 3], properties: [] };
        talk.link.toClient(writeAnswer('SUBACK', answer, talk.version));
        return [];
      },
    }),
  ),
  breaks(
    'message.to-one',
    'sends a message to one client, and to no other',
    () => ({ sent: new Map<string, string>() }),
    (talk, { sent }) => ({
      fromBroker(packet) {
        const fields = publishIn(packet, talk.version);
        if (fields === null) return [packet];
        const key = fields.payload.toString('hex');
        const to = sent.get(key) ?? talk.clientId;
        sent.set(key, to);
        return to === talk.clientId ? [packet] : [];
      },
    }),
    { withholds: true },
  ),
  breaks(
    'subscribe.sys',
    'lets wildcards match what it says of itself below $SYS',
    () => null,
    (talk) => {
      let wild = false;
      return {
        fromClient(packet) {
          const asked = subscribeIn(packet, talk.version);
          if (asked?.filters.some(({ filter }) => /^[+#]/.test(filter))) wild = true;
          return [packet];
        },
        fromBroker(packet) {
          if (packet.type !== 'SUBACK' || !wild) return [packet];
          const said = { qos: 0, retain: true, dup: false, packetId: 0, properties: [] };
          const message = { topic: '$SYS/broker/version', payload: Buffer.from('1'), ...said };
          return [packet, writePublish(message, talk.version)];
        },
      };
    },
  ),
];
