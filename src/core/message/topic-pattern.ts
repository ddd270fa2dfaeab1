// Topic patterns: binding keys of topic exchanges and MQTT topic filters, parsed into words, and the match of one pattern
// with one routing key. The topic exchange matches many at once in a trie (topic-trie.ts); retained messages are searched
// by a single filter. A leaf: the store uses it, too.

/**
 * How a topic binding's key is read. `amqp`: words between dots, `*` one word, `#` zero or more. `mqtt`: an MQTT topic
 * filter with `/` and `.` swapped, `+` one word, `#` (last) zero or more, `*` literal, and a leading wildcard does not
 * match a topic that starts with `$` [MQTT-4.7.2-1].
 */
export const DIALECTS = ['amqp', 'mqtt'] as const;
export type Dialect = (typeof DIALECTS)[number];
/** That of bindings which do not say. */
export const DEFAULT_DIALECT: Dialect = 'amqp';

/** A word of a pattern: text, or one of the two wildcards. */
export const SINGLE = Symbol('one word');
export const MULTI = Symbol('any number of words');
export type PatternWord = string | typeof SINGLE | typeof MULTI;

const DOLLAR = 0x24;

/** The words of a routing key. The empty key has no words, as in RabbitMQ: `#` matches it, `*` does not. */
export function keyWords(routingKey: string): string[] {
  return routingKey === '' ? [] : routingKey.split('.');
}

/** The words of a binding key. Adjacent `#` are one: `#.#` matches what `#` matches. */
export function patternWords(bindingKey: string, dialect: Dialect): PatternWord[] {
  const single = dialect === 'mqtt' ? '+' : '*';
  const words: PatternWord[] = [];
  for (const word of keyWords(bindingKey)) {
    if (word === single) words.push(SINGLE);
    else if (word !== '#') words.push(word);
    else if (words[words.length - 1] !== MULTI) words.push(MULTI);
  }
  return words;
}

/** A binding key as topic permissions see it: their patterns know `*` for one word, in all dialects. */
export function permissionKey(bindingKey: string, dialect: Dialect): string {
  return dialect === 'mqtt' ? bindingKey.replace(/(^|\.)\+(?=\.|$)/g, '$1*') : bindingKey;
}

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
