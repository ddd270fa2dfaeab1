// Caches of topics, because topics repeat: from topic bytes of a PUBLISH to routing keys, without checking and decoding them
// again, and from routing keys to topic bytes, without encoding them again. Both have a fixed size and are shared by all
// connections.

import { isUtf8 } from 'node:buffer';
import { ByteCache } from '../../../src/core/message/byte-cache.ts';
import { ownUtf8 } from '../../../src/core/message/own-bytes.ts';
import { type TopicLimits, topicOfKey } from '../topic/topics.ts';
import { MalformedPacket } from './errors.ts';
import { REASON } from './reason-codes.ts';

/** Topics in the cache. */
const SLOTS = 8192;
/** Longer topics are converted each time. */
const LONGEST_CACHED_BYTES = 128;
/** Routing keys in each of two generations: a full young generation replaces the old one, so eviction costs nothing. */
const KEYS_PER_GENERATION = 4096;

const SLASH = 0x2f;
const DOT = 0x2e;
const PLUS = 0x2b;
const HASH = 0x23;

/** From topic bytes to routing keys. Cached topics are valid. */
export class TopicKeys {
  private readonly limits: TopicLimits;
  private readonly known: ByteCache<string>;
  private readonly scratch: Buffer;

  constructor(limits: TopicLimits) {
    this.limits = limits;
    this.known = new ByteCache(SLOTS, LONGEST_CACHED_BYTES);
    this.scratch = Buffer.allocUnsafeSlow(limits.topicBytes);
  }

  /** The routing key of the topic in [start, start + length). Throws MalformedPacket if it is no legal topic. */
  keyOf(buffer: Buffer, start: number, length: number): string {
    const known = this.known.get(buffer, start, length);
    if (known !== null) return known;
    const key = this.convert(buffer, start, length);
    this.known.keep(buffer, start, length, key);
    return key;
  }

  /** Checks and converts in one pass over the bytes; '/' and '.' are ASCII, so they are never part of a character. */
  private convert(buffer: Buffer, start: number, length: number): string {
    const { scratch, limits } = this;
    if (length === 0) throw new MalformedPacket('an empty topic [MQTT-4.7.3-1]', REASON.topicNameInvalid);
    if (length > limits.topicBytes) {
      throw new MalformedPacket('a topic over the length limit', REASON.topicNameInvalid, 'mqtt.topicBytes');
    }
    let high = 0;
    let levels = 1;
    for (let i = 0; i < length; i++) {
      const byte = buffer[start + i]!;
      scratch[i] = byte;
      high |= byte;
      switch (byte) {
        case SLASH:
          scratch[i] = DOT;
          levels++;
          break;
        case DOT:
          scratch[i] = SLASH;
          break;
        case PLUS:
        case HASH:
          throw new MalformedPacket('a topic with a wildcard [MQTT-3.3.2-2]', REASON.topicNameInvalid);
        case 0:
          throw new MalformedPacket('a topic with U+0000 [MQTT-1.5.3-2]');
      }
    }
    if (levels > limits.topicLevels) {
      throw new MalformedPacket(
        `a topic of ${levels} levels is over the limit`,
        REASON.topicNameInvalid,
        'mqtt.topicLevels',
      );
    }
    if (high < 128) return scratch.toString('latin1', 0, length);
    if (!isUtf8(buffer.subarray(start, start + length))) {
      throw new MalformedPacket('a topic that is not UTF-8 [MQTT-1.5.3-1]');
    }
    return scratch.toString('utf8', 0, length);
  }
}

const NO_TOPIC = Buffer.alloc(0);

/** From routing keys to topic bytes. */
export class KeyTopics {
  private lastKey: string;
  private lastTopic: Buffer;
  private young: Map<string, Buffer>;
  private old: Map<string, Buffer>;

  constructor() {
    this.lastKey = '';
    this.lastTopic = NO_TOPIC;
    this.young = new Map();
    this.old = new Map();
  }

  /** The topic's bytes; length 0 if the key is no legal topic. */
  topicOf(routingKey: string): Buffer {
    if (routingKey === this.lastKey) return this.lastTopic;
    let topic = this.young.get(routingKey);
    if (topic === undefined) {
      topic = this.old.get(routingKey) ?? encodeTopic(routingKey);
      if (routingKey.length <= LONGEST_CACHED_BYTES) {
        if (this.young.size === KEYS_PER_GENERATION) {
          this.old = this.young;
          this.young = new Map();
        }
        this.young.set(routingKey, topic);
      }
    }
    this.lastKey = routingKey;
    this.lastTopic = topic;
    return topic;
  }
}

function encodeTopic(routingKey: string): Buffer {
  const topic = topicOfKey(routingKey);
  return topic === null ? NO_TOPIC : ownUtf8(topic);
}
