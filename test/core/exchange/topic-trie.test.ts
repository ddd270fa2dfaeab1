// Compares the topic trie with a match written directly from the rules, in both dialects, for any patterns. Removed
// patterns leave no nodes.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Binding } from '../../../src/core/exchange/exchange.ts';
import { TopicTrie } from '../../../src/core/exchange/topic-trie.ts';
import { DIALECTS, type Dialect, keyWords, patternWords } from '../../../src/core/message/topic-pattern.ts';
import { counted } from '../../support/work.ts';
import { Core } from '../core.ts';

const core = new Core();
const exchange = core.host.exchange('amq.topic');
const queue = core.queue('q');

function bindingOf(pattern: string, dialect: Dialect): Binding {
  return new Binding(exchange, { queue }, pattern, [], dialect);
}

function add(trie: TopicTrie, binding: Binding): void {
  trie.add(patternWords(binding.routingKey, binding.dialect), binding);
}

function remove(trie: TopicTrie, binding: Binding): void {
  trie.remove(patternWords(binding.routingKey, binding.dialect), binding);
}

function found(trie: TopicTrie, key: string, dialect: Dialect): Set<Binding> {
  const bindings = new Set<Binding>();
  const rootWildcards = dialect === 'amqp' || !key.startsWith('$');
  trie.match(keyWords(key), rootWildcards, (binding) => bindings.add(binding));
  return bindings;
}

/** The matching rules, word by word. */
function matches(pattern: string, key: string, dialect: Dialect): boolean {
  const single = dialect === 'mqtt' ? '+' : '*';
  const words = key === '' ? [] : key.split('.');
  const wanted = pattern === '' ? [] : pattern.split('.');
  // [MQTT-4.7.2-1]
  if (dialect === 'mqtt' && key.startsWith('$') && (wanted[0] === single || wanted[0] === '#')) return false;
  const from = (at: number, word: number): boolean => {
    if (at === wanted.length) return word === words.length;
    if (wanted[at] === '#') return from(at + 1, word) || (word < words.length && from(at, word + 1));
    return word < words.length && (wanted[at] === single || wanted[at] === words[word]) && from(at + 1, word + 1);
  };
  return from(0, 0);
}

const dialect = fc.constantFrom(...DIALECTS);
const word = fc.constantFrom('a', 'b', '', '$s', '*', '+', 'ü');
const pattern = fc.array(fc.oneof(word, fc.constantFrom('#', '*', '+')), { maxLength: 6 }).map((w) => w.join('.'));
const key = fc.array(word, { maxLength: 7 }).map((words) => words.join('.'));

describe('the topic trie', () => {
  it('finds what the rules match, before and after removals, and keeps no node of a removed pattern', () => {
    fc.assert(
      fc.property(
        dialect,
        fc.array(fc.tuple(pattern, fc.boolean()), { maxLength: 12 }),
        fc.array(key, { minLength: 1, maxLength: 6 }),
        (dialect, patterns, keys) => {
          const trie = new TopicTrie();
          const all = patterns.map(([text, stays]) => ({ binding: bindingOf(text, dialect), stays }));
          const check = (bindings: readonly Binding[]): void => {
            assert.equal(trie.size, bindings.length);
            for (const key of keys) {
              const expected = bindings.filter(({ routingKey }) => matches(routingKey, key, dialect));
              assert.deepEqual(found(trie, key, dialect), new Set(expected), `key '${key}'`);
            }
          };
          for (const { binding } of all) add(trie, binding);
          check(all.map(({ binding }) => binding));
          for (const { binding, stays } of all) if (!stays) remove(trie, binding);
          check(all.filter(({ stays }) => stays).map(({ binding }) => binding));
          for (const { binding, stays } of all) if (stays) remove(trie, binding);
          check([]);
          assert.equal(trie.nodes, 1);
        },
      ),
      { numRuns: 2000 },
    );
  });

  const table: readonly [Dialect, string, string, boolean][] = [
    ['amqp', '#', '', true],
    ['amqp', '*', '', false],
    ['amqp', '', '', true],
    ['amqp', '*.*', '.', true],
    ['amqp', 'a.#.b', 'a.b', true],
    ['amqp', 'a.#.b', 'a.x.y.b', true],
    ['amqp', 'a.#', 'a', true],
    ['amqp', '#.#', 'a', true],
    ['amqp', 'a*', 'ab', false],
    ['amqp', '#', '$SYS.x', true],
    ['amqp', '+', 'a', false],
    ['mqtt', '*', 'a', false],
    ['mqtt', '*', '*', true],
    ['mqtt', '+.b', 'a.b', true],
    ['mqtt', '.+', '.a', true],
    ['mqtt', 'a.#', 'a', true],
    ['mqtt', '#', '$SYS.x', false],
    ['mqtt', '+.x', '$SYS.x', false],
    ['mqtt', '$SYS.#', '$SYS.x', true],
    ['mqtt', '$SYS.+', '$SYS.x', true],
  ];
  for (const [dialect, pattern, key, expected] of table) {
    it(`${expected ? 'matches' : 'does not match'} '${key}' with ${dialect} '${pattern}'`, () => {
      const trie = new TopicTrie();
      const binding = bindingOf(pattern, dialect);
      add(trie, binding);
      assert.equal(found(trie, key, dialect).has(binding), expected);
      assert.equal(matches(pattern, key, dialect), expected);
    });
  }

  it('matches a long key against patterns with many # in time nodes × words', () => {
    const trie = new TopicTrie();
    const hostile = Array.from({ length: 40 }, (_, i) => bindingOf(`${'#.a.'.repeat(i + 2)}b`, 'amqp'));
    for (const binding of hostile) add(trie, binding);
    const plain = bindingOf('a.#', 'amqp');
    add(trie, plain);
    const miss = counted(() => found(trie, Array(128).fill('a').join('.'), 'amqp'));
    assert.deepEqual(miss.result, new Set([plain]));
    const hit = counted(() => found(trie, `${'a.'.repeat(127)}b`, 'amqp'));
    assert.equal(hit.result.size, 41);
    for (const { steps } of [miss, hit]) assert.ok(steps >= 128 && steps < trie.nodes * 128 * 5, `${steps} steps`);
    for (const binding of [...hostile, plain]) remove(trie, binding);
    assert.equal(trie.nodes, 1);
  });

  it('removes one of very many bindings to the same pattern without a search', () => {
    const trie = new TopicTrie();
    const bindings = Array.from({ length: 100_000 }, () => bindingOf('a.#', 'amqp'));
    for (const binding of bindings) add(trie, binding);
    const { steps } = counted(() => {
      for (const binding of bindings) if (binding !== bindings[5]) remove(trie, binding);
    });
    assert.ok(steps >= 100_000 && steps < 100_000 * 50, `${steps} steps`);
    assert.deepEqual(found(trie, 'a', 'amqp'), new Set([bindings[5]!]));
    // Removing a binding a second time changes nothing.
    remove(trie, bindings[4]!);
    assert.equal(trie.size, 1);
  });
});

describe('a key of 32,000 words', () => {
  it('matches as a short one does', () => {
    const trie = new TopicTrie();
    const key = Array<string>(32_000).fill('a').join('.');
    const matching = ['#', 'a.#', '#.a', '*.#', key, '#.a.*.a.#'].map((pattern) => bindingOf(pattern, 'amqp'));
    const others = ['#.b', `${key}.*`, 'a'].map((pattern) => bindingOf(pattern, 'amqp'));
    for (const binding of [...matching, ...others]) add(trie, binding);
    assert.deepEqual(found(trie, key, 'amqp'), new Set(matching));
    for (const binding of [...matching, ...others]) remove(trie, binding);
    assert.equal(trie.size, 0);
  });
});
