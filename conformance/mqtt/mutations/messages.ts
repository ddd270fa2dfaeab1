// Mutations that drop, duplicate, alter or misroute messages, acknowledge them wrongly, or retain the wrong ones.

import { LEVEL } from '../wire/packets.ts';
import { encodeProperty, type Property } from '../wire/properties.ts';
import {
  altersAnswer,
  altersMessage,
  altersPublish,
  breaks,
  losesAnswer,
  losesRequest,
  type MqttMutation,
  pretends,
  publish,
} from './breaking.ts';
import {
  type MqttPacket,
  type Publish,
  packetOf,
  publishIn,
  type RawProperty,
  readAnswer,
  readable,
  readPublish,
  subscribeIn,
  writeAnswer,
  writePublish,
} from './packets.ts';

const ACKS = ['PUBACK', 'PUBREC', 'PUBCOMP', 'SUBACK', 'UNSUBACK'] as const;

const raw = (id: number, property: Property): RawProperty => ({ id, bytes: encodeProperty(property) });

/** Drops the properties that `lost` selects from messages to clients. */
function forgets(id: string, words: string, lost: (property: RawProperty) => boolean): MqttMutation {
  return altersMessage(id, words, ({ properties }) => {
    return properties.some(lost) ? { properties: properties.filter((each) => !lost(each)) } : null;
  });
}

/** Drops the properties that `lost` selects from messages to the broker. */
function ignores(id: string, words: string, lost: (property: RawProperty) => boolean): MqttMutation {
  return altersPublish(id, words, ({ properties }) => {
    return properties.some(lost) ? { properties: properties.filter((each) => !lost(each)) } : null;
  });
}

/** Changes the last byte of one property, if it has a value. */
function garbles(id: string, words: string, property: number): MqttMutation {
  return altersMessage(id, words, ({ properties }) => {
    if (!properties.some((each) => each.id === property)) return null;
    return {
      properties: properties.map((each) => {
        if (each.id !== property) return each;
        const bytes = Buffer.from(each.bytes);
        bytes[bytes.length - 1]! ^= 1;
        return { id: each.id, bytes };
      }),
    };
  });
}

export const MESSAGE_MUTATIONS: readonly MqttMutation[] = [
  losesAnswer('puback.lost', 'does not acknowledge messages of QoS 1', 'PUBACK'),
  losesAnswer('pubrec.lost', 'does not answer messages of QoS 2', 'PUBREC'),
  losesAnswer('pubcomp.lost', 'does not answer PUBREL', 'PUBCOMP'),
  losesAnswer('pubrel.lost', 'does not answer PUBREC', 'PUBREL'),
  losesAnswer('message.lost', 'loses messages on their way out', 'PUBLISH'),
  losesRequest('publish.lost', 'loses messages that come in', 'PUBLISH'),
  altersAnswer('ack.identifier', 'answers with another identifier', ACKS, ({ packetId }) => ({
    packetId: packetId === 65_535 ? 1 : packetId + 1,
  })),
  altersAnswer(
    'ack.explained',
    'explains its answers to everybody, and at length',
    [...ACKS, 'PUBREL'],
    ({ properties }, { version }, type) => {
      if (version !== LEVEL.v5) return null;
      const property = raw(0x1f, ['reasonString', `this is your ${type} `.repeat(5)]);
      return { properties: [...properties, property] };
    },
  ),
  altersAnswer('ack.user-property', 'adds a user property to its answers', ACKS, ({ properties }, { version }) => {
    return version === LEVEL.v5 ? { properties: [...properties, raw(0x26, ['userProperty', ['a', 'b']])] } : null;
  }),
  altersAnswer(
    'ack.unknown-reason',
    'answers with a reason that does not exist',
    ['PUBACK', 'PUBREC', 'PUBCOMP'],
    (_fields, { version }) => {
      return version === LEVEL.v5 ? { reasons: [0x44] } : null;
    },
  ),
  altersAnswer('ack.refused', 'says that a message is over quota', ['PUBACK', 'PUBREC'], (_fields, { version }) => {
    return version === LEVEL.v5 ? { reasons: [0x97] } : null;
  }),
  altersAnswer(
    'ack.done',
    'says that what it refuses is done',
    ['PUBACK', 'PUBREC', 'SUBACK', 'DISCONNECT'],
    ({ reasons }, _talk, type) => {
      return type !== 'DISCONNECT' && reasons[0]! >= 0x80 ? { reasons: reasons.map(() => 0) } : null;
    },
  ),
  breaks(
    'puback.for-qos0',
    'acknowledges messages of QoS 0',
    () => null,
    ({ link, version }) => ({
      fromClient(packet) {
        if (packet.type === 'PUBLISH' && (packet.flags & 6) === 0) {
          link.toClient(writeAnswer('PUBACK', { packetId: 1, reasons: [0], properties: [] }, version));
        }
        return [packet];
      },
    }),
  ),
  breaks(
    'qos2.again',
    'takes PUBLISH of QoS 2 that comes again for another message',
    () => ({ ids: 20_000 }),
    (_talk, state) => {
      const renamed = new Map<number, number>();
      return {
        fromClient(packet) {
          if (packet.type !== 'PUBLISH' || (packet.flags & 6) !== 4) return [packet];
          const bytes = Buffer.from(packet.bytes);
          const topic = bytes.readUInt16BE(2);
          const at = 4 + topic;
          const id = bytes.readUInt16BE(at);
          renamed.set(++state.ids, id);
          bytes.writeUInt16BE(state.ids, at);
          return [packetOf(bytes)];
        },
        fromBroker(packet) {
          if (packet.type !== 'PUBREC') return [packet];
          const bytes = Buffer.from(packet.bytes);
          const id = renamed.get(bytes.readUInt16BE(2));
          if (id === undefined) return [packet];
          bytes.writeUInt16BE(id, 2);
          return [packetOf(bytes)];
        },
      };
    },
  ),
  breaks(
    'publish.same-identifier',
    'takes another message with an identifier that is free again for the same message',
    () => null,
    ({ link }) => {
      const seen = new Set<number>();
      return {
        fromClient(packet) {
          if (packet.type !== 'PUBLISH') return [packet];
          const qos = (packet.flags >> 1) & 3;
          if (qos === 0) return [packet];
          const id = packet.body.readUInt16BE(2 + packet.body.readUInt16BE(0));
          if (!seen.has(id)) {
            seen.add(id);
            return [packet];
          }
          link.toClient(
            writeAnswer(qos === 1 ? 'PUBACK' : 'PUBREC', { packetId: id, reasons: [], properties: [] }, LEVEL.v3),
          );
          return [];
        },
      };
    },
    { withholds: true },
  ),

  altersMessage('message.qos0', 'sends every message at QoS 0', ({ qos }) => (qos > 0 ? { qos: 0, dup: false } : null)),
  altersMessage('message.qos1', 'sends messages of QoS 0 at QoS 1', ({ qos }) =>
    qos === 0 ? { qos: 1, packetId: 9_999 } : null,
  ),
  altersMessage('message.dup', 'sets DUP on every message', ({ qos }) => (qos > 0 ? { dup: true } : null)),
  altersMessage('message.dup-qos0', 'sets DUP on messages of QoS 0', ({ qos }) => (qos === 0 ? { dup: true } : null)),
  altersMessage('message.no-dup', 'sends messages again without DUP', ({ dup }) => (dup ? { dup: false } : null)),
  altersMessage('message.other-identifier', 'sends messages again with another identifier', ({ dup, packetId }) => {
    return dup ? { packetId: packetId + 7 } : null;
  }),
  altersMessage('message.same-identifier', 'uses one identifier for all messages', ({ qos }) =>
    qos > 0 ? { packetId: 1 } : null,
  ),
  altersMessage('message.identifier-zero', 'sends messages with identifier 0', ({ qos }) =>
    qos > 0 ? { packetId: 0 } : null,
  ),
  breaks(
    'message.twice',
    'sends messages of QoS 0 twice, and those of QoS 1 and 2 again at QoS 0',
    () => null,
    (talk) => ({
      fromBroker(packet) {
        if (packet.type !== 'PUBLISH') return [packet];
        const again = publish(packet, talk, () => ({ qos: 0, dup: false }));
        return [packet, ...again.map(({ bytes }) => packetOf(bytes))];
      },
    }),
  ),
  breaks(
    'message.swapped',
    'sends every second message before the one in front of it',
    () => null,
    () => {
      let held: MqttPacket | null = null;
      return {
        fromBroker(packet) {
          if (packet.type !== 'PUBLISH') return [packet];
          if (held === null) {
            held = packet;
            return [];
          }
          const both = [packet, held];
          held = null;
          return both;
        },
      };
    },
  ),
  breaks(
    'message.dollar',
    'lets wildcards match topics that begin with $',
    () => ({ topic: '' }),
    (talk, state) => {
      let wild = false;
      return {
        fromClient(packet) {
          const fields = publishIn(packet, talk.version);
          if (fields?.topic.startsWith('$')) state.topic = fields.topic;
          const asked = subscribeIn(packet, talk.version);
          if (asked?.filters.some(({ filter }) => /^[+#]/.test(filter))) wild = true;
          return [packet];
        },
        fromBroker(packet) {
          if (!wild || state.topic === '' || (packet.type !== 'PUBLISH' && packet.type !== 'PINGRESP')) return [packet];
          return [writePublish({ ...deletion(state.topic), retain: false }, talk.version), packet];
        },
      };
    },
  ),
  breaks(
    'shared.held-over',
    'sends what one of them has not completed to the next who shares',
    () => ({ last: null as Publish | null }),
    (talk, state) => ({
      fromBroker(packet) {
        if (packet.type === 'PUBLISH') state.last = readable(() => readPublish(packet, talk.version));
        if (packet.type !== 'SUBACK' || state.last === null) return [packet];
        return [packet, writePublish({ ...state.last, qos: 0, dup: false }, talk.version)];
      },
    }),
  ),
  altersMessage('message.topic', 'sends messages under another topic', ({ topic }) => ({ topic: `${topic}/x` })),
  altersMessage('message.topic-folded', 'writes topics in small letters', ({ topic }) => {
    return topic === topic.toLowerCase() ? null : { topic: topic.toLowerCase() };
  }),
  altersMessage('message.topic-normalised', 'normalises topics', ({ topic }) => {
    const normal = topic.normalize('NFC').replaceAll('\ufeff', '').replace(/\/+/g, '/').trim();
    return normal === topic ? null : { topic: normal };
  }),
  altersPublish(
    'publish.topic-normalised',
    'normalises the topics of messages that come in',
    ({ topic }) => {
      const normal = topic.normalize('NFC').replaceAll('\ufeff', '').replace(/\/+/g, '/').trim();
      return normal === topic ? null : { topic: normal };
    },
    { withholds: true },
  ),
  altersMessage('message.topic-cut', 'cuts topics at 255 bytes', ({ topic }) =>
    topic.length > 255 ? { topic: topic.slice(0, 255) } : null,
  ),
  altersMessage('message.payload', 'alters payloads', ({ payload }) => ({
    payload: Buffer.concat([payload, Buffer.of(0)]),
  })),
  altersMessage('message.payload-text', 'takes payloads for text', ({ payload }) => {
    const text = Buffer.from(payload.toString());
    return text.equals(payload) ? null : { payload: text };
  }),
  altersMessage('message.retain', 'sets RETAIN on every message', ({ retain }) => (retain ? null : { retain: true })),
  altersMessage('message.no-retain', 'never sets RETAIN', ({ retain }) => (retain ? { retain: false } : null)),
  forgets('properties.lost', 'forgets all properties', ({ id }) => id !== 0x23),
  forgets('properties.content-type', 'forgets content types', ({ id }) => id === 0x03),
  garbles('properties.format-altered', 'alters the payload format', 0x01),
  garbles('properties.content-type-altered', 'alters content types', 0x03),
  garbles('properties.response-topic-altered', 'alters response topics', 0x08),
  garbles('properties.correlation-altered', 'alters correlation data', 0x09),
  altersMessage('user-properties.sorted', 'sorts user properties', ({ properties }) => {
    const sorted = [...properties].sort((a, b) => Buffer.compare(a.bytes, b.bytes));
    return sorted.every((each, at) => each === properties[at]) ? null : { properties: sorted };
  }),
  altersMessage('user-properties.unique', 'sends user properties that are twice the same once', ({ properties }) => {
    const once = properties.filter((each, at) => properties.findIndex(({ bytes }) => bytes.equals(each.bytes)) === at);
    return once.length === properties.length ? null : { properties: once };
  }),
  altersMessage('user-properties.added', 'adds a user property of its own', ({ properties }, { version }) => {
    return version === LEVEL.v5 ? { properties: [...properties, raw(0x26, ['userProperty', ['via', 'proxy']])] } : null;
  }),
  altersMessage('expiry.whole', 'sends the expiry that a message came with', ({ properties }) => {
    if (!properties.some(({ id }) => id === 0x02)) return null;
    return { properties: [...properties.filter(({ id }) => id !== 0x02), raw(0x02, ['messageExpiryInterval', 100])] };
  }),
  forgets('expiry.unsaid', 'does not say the expiry that is left', ({ id }) => id === 0x02),
  altersMessage('expiry.made-up', 'sends an expiry where there is none', ({ properties }, { version }) => {
    if (version !== LEVEL.v5 || properties.some(({ id }) => id === 0x02)) return null;
    return { properties: [...properties, raw(0x02, ['messageExpiryInterval', 1])] };
  }),
  ignores('expiry.ignored', 'lets no message expire', ({ id }) => id === 0x02),
  altersMessage('alias.unasked', 'sends aliases to clients that take none', ({ properties }, { version }) => {
    return version === LEVEL.v5 ? { properties: [...properties, raw(0x23, ['topicAlias', 3])] } : null;
  }),
  breaks(
    'alias.of-another',
    'sends an alias that has another topic',
    () => null,
    (talk) => {
      let sent = 0;
      return {
        fromBroker(packet) {
          return publish(packet, talk, ({ properties }) => {
            if (talk.version !== LEVEL.v5) return null;
            const others = [...properties.filter(({ id }) => id !== 0x23), raw(0x23, ['topicAlias', 1])];
            return ++sent > 1 ? { topic: '', properties: others } : { properties: others };
          });
        },
      };
    },
  ),
  pretends(
    'alias.lost',
    'loses messages that have an alias in place of their topic',
    ['PUBLISH'],
    (packet, { version }) => {
      const fields = readable(() => readPublish(packet, version));
      if (fields === null || fields.topic !== '') return null;
      return writeAnswer('PUBACK', { packetId: fields.packetId || 1, reasons: [0], properties: [] }, version);
    },
    { withholds: true },
  ),
  breaks(
    'alias.kept',
    'remembers aliases beyond their connection, and across clients',
    () => ({ topics: new Map<number, string>() }),
    (talk, { topics }) => ({
      fromClient: (packet) =>
        publish(packet, talk, ({ topic, properties }) => {
          const property = properties.find(({ id }) => id === 0x23);
          if (property === undefined) return null;
          const alias = property.bytes.readUInt16BE(1);
          if (topic !== '') topics.set(alias, topic);
          const known = topics.get(alias) ?? 'unknown';
          return { topic: topic === '' ? known : topic, properties: properties.filter((each) => each !== property) };
        }),
    }),
  ),
  breaks(
    'response-topic.lost',
    'does not send a response where it should',
    () => null,
    (talk) => ({
      fromBroker: (packet) =>
        publish(packet, talk, ({ properties }) => {
          const property = properties.find(({ id }) => id === 0x08);
          return property === undefined
            ? null
            : {
                properties: [
                  ...properties.filter((each) => each !== property),
                  raw(0x08, ['responseTopic', 'nowhere']),
                ],
              };
        }),
    }),
    { withholds: true },
  ),

  altersPublish('retain.lost', 'keeps no retained messages', ({ retain }) => (retain ? { retain: false } : null), {
    withholds: true,
  }),
  altersPublish('retain.always', 'keeps every message', ({ retain }) => (retain ? null : { retain: true }), {
    withholds: true,
  }),
  altersPublish('retain.undeleted', 'does not delete a retained message', ({ retain, payload }) => {
    return retain && payload.length === 0 ? { retain: false } : null;
  }),
  breaks(
    'retain.first',
    'keeps the first retained message of a topic',
    () => ({ topics: new Set<string>() }),
    (talk, { topics }) => ({
      fromClient: (packet) =>
        publish(packet, talk, ({ topic, retain }) => {
          if (!retain || !topics.has(topic)) {
            if (retain) topics.add(topic);
            return null;
          }
          return { retain: false };
        }),
    }),
  ),
  breaks(
    'retain.bound-to-client',
    'deletes retained messages when their publisher goes',
    () => ({ topics: [] as string[] }),
    (talk, { topics }) => ({
      fromClient(packet) {
        const fields = publishIn(packet, talk.version);
        if (fields?.retain) topics.push(fields.topic);
        if (packet.type !== 'DISCONNECT') return [packet];
        const deletions = topics.map((topic) => writePublish(deletion(topic), talk.version));
        return [...deletions, packet];
      },
    }),
    { withholds: true },
  ),
  breaks(
    'refusal.ignored',
    'takes a message that the client refuses for one that is still to come',
    () => null,
    ({ version }) => ({
      fromClient(packet) {
        if (packet.type !== 'PUBACK' && packet.type !== 'PUBREC') return [packet];
        const fields = readable(() => readAnswer(packet, LEVEL.v5));
        if (fields === null || (fields.reasons[0] ?? 0) < 0x80) return [packet];
        return packet.type === 'PUBACK' ? [] : [writeAnswer('PUBREC', { ...fields, reasons: [0] }, version)];
      },
    }),
  ),
];

function deletion(topic: string): Publish {
  return { topic, payload: Buffer.alloc(0), qos: 0, retain: true, dup: false, packetId: 0, properties: [] };
}
