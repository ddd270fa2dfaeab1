// Matches one topic filter against one routing key, for callers that have a single filter; the trie does it for many
// bindings.

import { keyWords } from './topic.ts';
import { MULTI, type PatternWord, SINGLE } from './topic-trie.ts';

const DOLLAR = 0x24;

/** Whether a filter starts with a wildcard, which does not match a topic that starts with `$` [MQTT-4.7.2-1]. */
export function startsWild(filter: readonly PatternWord[]): boolean {
  return typeof filter[0] !== 'string';
}

export function hasWildcard(filter: readonly PatternWord[]): boolean {
  return filter.some((word) => typeof word !== 'string');
}

/** Whether a filter of the MQTT dialect, as `patternWords` parses it, matches a routing key (MQTT 3.1.1 §4.7). */
export function filterSelects(filter: readonly PatternWord[], routingKey: string): boolean {
  if (routingKey.charCodeAt(0) === DOLLAR && startsWild(filter)) return false;
  const words = keyWords(routingKey);
  for (let i = 0; i < filter.length; i++) {
    const word = filter[i]!;
    // `#` is the last word by the grammar of filters. It matches its parent level, too.
    if (word === MULTI) return true;
    if (i === words.length || (word !== SINGLE && word !== words[i])) return false;
  }
  return filter.length === words.length;
}
