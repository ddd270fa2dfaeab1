// Topic names, topic filters and routing keys. A topic and its routing key are the same words with '/' and '.'
// swapped, so that every topic survives the way into the core and back: `a/b.c` is the key `a.b/c`.
//
//   topic name    1 to 65,535 bytes of UTF-8 without U+0000, '+' and '#'              MQTT 3.1.1 §4.7.3, §3.3.2.1
//   topic filter  the same with wildcards: '+' fills a level, '#' fills the last one  §4.7.1

import { isBrokerTopic } from '../../../src/core/exchange/retainer.ts';
import { sharedFilter, sharedFilterProblem } from './shared-filter.ts';

const SLASH = 0x2f;
const DOT = 0x2e;
const PLUS = 0x2b;
const HASH = 0x23;

/** The longest topic that MQTT can carry, in bytes. */
export const LONGEST_TOPIC_BYTES = 65_535;

/** Swaps '/' and '.'; its own inverse. */
export function swapSeparators(text: string): string {
  let swapped = '';
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code !== SLASH && code !== DOT) continue;
    swapped += text.slice(from, i) + (code === SLASH ? '.' : '/');
    from = i + 1;
  }
  return from === 0 ? text : swapped + text.slice(from);
}

/** Whether a filter can select only topics below `$SYS`, which the broker alone publishes to. */
export function selectsBrokerTopics(filter: string): boolean {
  return isBrokerTopic(swapSeparators(filter));
}

/** The topic of a routing key, or null if it is no legal topic (empty, too long, or with + # U+0000). */
export function topicOfKey(routingKey: string): string | null {
  if (routingKey.length === 0 || routingKey.length > LONGEST_TOPIC_BYTES) return null;
  for (let i = 0; i < routingKey.length; i++) {
    const code = routingKey.charCodeAt(i);
    if (code === PLUS || code === HASH || code === 0) return null;
  }
  if (!routingKey.isWellFormed()) return null;
  if (Buffer.byteLength(routingKey) > LONGEST_TOPIC_BYTES) return null;
  return swapSeparators(routingKey);
}

export interface TopicLimits {
  readonly topicBytes: number;
  readonly topicLevels: number;
}

/** Why text that is valid UTF-8 is no topic name, or null where it is one. */
export function topicProblem(topic: string, limits: TopicLimits): string | null {
  if (topic.length === 0) return 'an empty topic [MQTT-4.7.3-1]';
  let levels = 1;
  for (let i = 0; i < topic.length; i++) {
    const code = topic.charCodeAt(i);
    if (code === PLUS || code === HASH) return 'a topic with a wildcard [MQTT-3.3.2-2]';
    if (code === 0) return 'a topic with U+0000 [MQTT-1.5.3-2]';
    if (code === SLASH) levels++;
  }
  if (levels > limits.topicLevels) return `a topic of ${levels} levels is over the limit`;
  if (Buffer.byteLength(topic) > limits.topicBytes) return 'a topic over the length limit';
  return null;
}

/** Why text that is valid UTF-8 breaks the syntax of filters, or null. The limits are judged by `filterLimit`. */
export function filterProblem(filter: string): string | null {
  if (filter.length === 0) return 'an empty topic filter [MQTT-4.7.3-1]';
  for (let i = 0; i < filter.length; i++) {
    const code = filter.charCodeAt(i);
    if (code === 0) return 'a topic filter with U+0000 [MQTT-1.5.3-2]';
    if (code !== PLUS && code !== HASH) continue;
    const startsLevel = i === 0 || filter.charCodeAt(i - 1) === SLASH;
    const endsFilter = i === filter.length - 1;
    if (code === HASH && !(startsLevel && endsFilter)) return "'#' that is not the whole last level [MQTT-4.7.1-2]";
    if (code === PLUS && !(startsLevel && (endsFilter || filter.charCodeAt(i + 1) === SLASH))) {
      return "'+' that is not a whole level [MQTT-4.7.1-3]";
    }
  }
  const shared = sharedFilter(filter);
  return shared === null ? null : sharedFilterProblem(shared);
}

/** The bound that a legal filter breaks, or null; if it does, its subscription is refused and nothing else happens. */
export function filterLimit(filter: string, limits: TopicLimits): 'mqtt.topicLevels' | 'mqtt.topicBytes' | null {
  let levels = 1;
  for (let i = 0; i < filter.length; i++) if (filter.charCodeAt(i) === SLASH) levels++;
  if (levels > limits.topicLevels) return 'mqtt.topicLevels';
  return Buffer.byteLength(filter) > limits.topicBytes ? 'mqtt.topicBytes' : null;
}

/**
 * Whether a filter selects a topic (§4.7): '+' one level, '#' all the rest and its parent too, and a leading wildcard
 * nothing that starts with '$' [MQTT-4.7.2-1]. For retained messages; live ones are routed by the core's trie.
 */
export function filterMatches(filter: string, topic: string): boolean {
  const first = filter.charCodeAt(0);
  if (topic.charCodeAt(0) === 0x24 && (first === PLUS || first === HASH)) return false;
  let f = 0;
  let t = 0;
  while (f < filter.length) {
    const code = filter.charCodeAt(f);
    if (code === HASH) return true;
    if (code === PLUS) {
      while (t < topic.length && topic.charCodeAt(t) !== SLASH) t++;
      f++;
      continue;
    }
    if (t === topic.length) {
      // `a/#` selects `a` as well.
      return code === SLASH && f === filter.length - 2 && filter.charCodeAt(f + 1) === HASH;
    }
    if (topic.charCodeAt(t) !== code) return false;
    f++;
    t++;
  }
  return t === topic.length;
}
