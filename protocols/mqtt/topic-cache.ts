// Topics repeat, so what they turn into is remembered: topic bytes become a routing key without decoding or checking
// them again, and routing keys become topic bytes without encoding them again. Both caches have a fixed size and are
// shared by all connections.

import { MalformedPacket } from './errors.ts';
import { type TopicLimits, topicOfKey, topicProblem } from './topics.ts';
import { isMqttText } from './utf8.ts';

/** Slots of the direct-mapped table of topics; a power of two. */
const SLOTS = 4096;
/** Longer topics are converted each time. */
const LONGEST_CACHED_BYTES = 128;
/** Routing keys that are remembered, twice: two generations take turns, so that eviction costs nothing. */
const KEYS_PER_GENERATION = 4096;

/**
 * From topic bytes to routing keys. Each slot holds the last topic that fell into it; what is found there was valid
 * when it was put there, so that a hit costs one hash and one comparison: about 45 ns for 20 bytes against 400 ns for
 * a check and a conversion (bench/mqtt-codec.ts).
 */
export class TopicKeys {
  private readonly limits: TopicLimits;
  private readonly topics: Uint8Array;
  private readonly lengths: Uint8Array;
  private readonly keys: string[];

  constructor(limits: TopicLimits) {
    this.limits = limits;
    this.topics = new Uint8Array(SLOTS * LONGEST_CACHED_BYTES);
    this.lengths = new Uint8Array(SLOTS);
    this.keys = new Array(SLOTS).fill('');
  }

  /** The routing key of the topic in [start, start + length). Throws MalformedPacket where that is no topic. */
  keyOf(buffer: Buffer, start: number, length: number): string {
    if (length > LONGEST_CACHED_BYTES || length === 0) return this.convert(buffer, start, length);
    let hash = length;
    for (let i = start, end = start + length; i < end; i++) hash = (Math.imul(hash, 31) + buffer[i]!) | 0;
    const slot = (hash ^ (hash >>> 13)) & (SLOTS - 1);
    const topics = this.topics;
    const at = slot * LONGEST_CACHED_BYTES;
    if (this.lengths[slot] === length) {
      let i = 0;
      while (i < length && topics[at + i] === buffer[start + i]) i++;
      if (i === length) return this.keys[slot]!;
    }
    const key = this.convert(buffer, start, length);
    for (let i = 0; i < length; i++) topics[at + i] = buffer[start + i]!;
    this.lengths[slot] = length;
    this.keys[slot] = key;
    return key;
  }

  private convert(buffer: Buffer, start: number, length: number): string {
    const end = start + length;
    if (!isMqttText(buffer, start, end)) throw new MalformedPacket('a topic that is not UTF-8 text [MQTT-1.5.3-1]');
    // Swapped as bytes: '/' and '.' are ASCII, so they are never part of a longer character.
    const key = Buffer.allocUnsafe(length);
    buffer.copy(key, 0, start, end);
    for (let i = 0; i < length; i++) {
      if (key[i] === 0x2f) key[i] = 0x2e;
      else if (key[i] === 0x2e) key[i] = 0x2f;
    }
    const problem = topicProblem(buffer.toString('utf8', start, end), this.limits);
    if (problem !== null) throw new MalformedPacket(problem);
    return key.toString('utf8');
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

  /** The topic's bytes, or none (length 0) where the key makes no legal topic. */
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
  return topic === null ? NO_TOPIC : Buffer.from(topic, 'utf8');
}
