// One topic filter against one routing key: what the trie does for many bindings, for those who hold a single filter.

import { keyWords } from './topic.ts';
import { MULTI, type PatternWord, SINGLE } from './topic-trie.ts';

const DOLLAR = 0x24;

/** Whether a filter starts with a wildcard, which takes nothing that starts with `$` [MQTT-4.7.2-1]. */
export function startsWild(filter: readonly PatternWord[]): boolean {
  return typeof filter[0] !== 'string';
}

export function hasWildcard(filter: readonly PatternWord[]): boolean {
  return filter.some((word) => typeof word !== 'string');
}

/** Whether a filter of the MQTT dialect, as `patternWords` parses it, selects a routing key (MQTT 3.1.1 §4.7). */
export function filterSelects(filter: readonly PatternWord[], routingKey: string): boolean {
  if (routingKey.charCodeAt(0) === DOLLAR && startsWild(filter)) return false;
  const words = keyWords(routingKey);
  for (let i = 0; i < filter.length; i++) {
    const word = filter[i]!;
    // The last one by the syntax of filters; it takes its parent, too.
    if (word === MULTI) return true;
    if (i === words.length || (word !== SINGLE && word !== words[i])) return false;
  }
  return filter.length === words.length;
}
