// Topics, filters and routing keys: the tables of MQTT 3.1.1 §4.7.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  filterLimit,
  filterMatches,
  filterProblem,
  swapSeparators,
  topicOfKey,
  topicProblem,
} from '../../../protocols/mqtt/topic/topics.ts';

const LIMITS = { topicBytes: 4096, topicLevels: 128 };
const topicText = fc
  .string({
    unit: fc.oneof(
      fc.constantFrom('/', '.', '*', 'a', 'b', 'ü', '$'),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
    ),
    minLength: 1,
  })
  .filter((text) => topicProblem(text, LIMITS) === null && text.isWellFormed());

describe('topic and routing key', () => {
  it('are the same words with / and . swapped', () => {
    assert.equal(swapSeparators('a/b.c'), 'a.b/c');
    assert.equal(swapSeparators('/a//b/'), '.a..b.');
    assert.equal(swapSeparators('plain'), 'plain');
    assert.equal(swapSeparators('fw/1.2'), 'fw.1/2');
  });

  it('survive the round trip, whatever the topic', () => {
    fc.assert(
      fc.property(topicText, (topic) => assert.equal(topicOfKey(swapSeparators(topic)), topic)),
      { numRuns: 2000 },
    );
  });

  it('keys that make no legal topic have none', () => {
    for (const key of ['', 'a.+.b', '#', 'a.#', 'nul\u0000', '\ud800', 'x'.repeat(65_536)]) {
      assert.equal(topicOfKey(key), null, JSON.stringify(key.slice(0, 10)));
    }
    assert.equal(topicOfKey('a.*.b'), 'a/*/b');
    assert.equal(topicOfKey('.'), '/');
  });
});

describe('a topic filter', () => {
  it('has + as a whole level and # as the whole last one', () => {
    const legal = [
      'a',
      '/',
      '//',
      '+',
      '#',
      '+/+',
      '/+',
      '+/',
      'a/#',
      'a/+/b',
      '+/#',
      '$SYS/#',
      'a b',
      '*',
      'a.b',
      'ü/+',
    ];
    for (const filter of legal) assert.equal(filterProblem(filter), null, filter);
    const illegal = ['', 'a#', 'a/#/b', '#/a', 'a+', '+a', 'a/b+', 'a/+b/c', '##', '++', 'a/##', 'nul\u0000'];
    for (const filter of illegal) assert.notEqual(filterProblem(filter), null, filter);
  });

  it('is within the limits', () => {
    assert.equal(filterLimit('a/+/#', LIMITS), null);
    assert.equal(filterLimit('/'.repeat(128), LIMITS), 'mqtt.topicLevels');
    assert.equal(filterLimit('x'.repeat(4097), LIMITS), 'mqtt.topicBytes');
  });

  it('matches as §4.7 says', () => {
    const rows: [filter: string, topic: string, matches: boolean][] = [
      ['sport/tennis/player1/#', 'sport/tennis/player1', true],
      ['sport/tennis/player1/#', 'sport/tennis/player1/ranking', true],
      ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
      ['sport/#', 'sport', true],
      ['sport/#', 'sports', false],
      ['sport/tennis/+', 'sport/tennis/player1', true],
      ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
      ['sport/+', 'sport', false],
      ['sport/+', 'sport/', true],
      ['+/+', '/finance', true],
      ['/+', '/finance', true],
      ['+', '/finance', false],
      ['#', 'anything/at/all', true],
      ['#', '$SYS/x', false],
      ['+/x', '$SYS/x', false],
      ['$SYS/#', '$SYS/x', true],
      ['$SYS/+', '$SYS/x', true],
      ['a/$b/#', 'a/$b/c', true],
      ['a', 'A', false],
      ['*', 'a', false],
      ['a/+/c', 'a//c', true],
      ['a/+', 'a', false],
      ['+/#', 'a', true],
    ];
    for (const [filter, topic, matches] of rows) {
      assert.equal(filterMatches(filter, topic), matches, `${filter} ~ ${topic}`);
    }
  });

  it('matches as a naive oracle does', () => {
    const level = fc.constantFrom('', 'a', 'b', '$x');
    const topic = fc.array(level, { minLength: 1, maxLength: 5 }).map((levels) => levels.join('/'));
    const filter = fc
      .tuple(fc.array(fc.oneof(level, fc.constant('+')), { maxLength: 4 }), fc.boolean())
      .map(([levels, rest]) => [...levels, ...(rest || levels.length === 0 ? ['#'] : [])].join('/'));
    const oracle = (f: string[], t: string[]): boolean => {
      if (f.length === 0) return t.length === 0;
      if (f[0] === '#') return true;
      return t.length > 0 && (f[0] === '+' || f[0] === t[0]) && oracle(f.slice(1), t.slice(1));
    };
    fc.assert(
      fc.property(filter, topic, (f, t) => {
        fc.pre(t.length > 0 && f.length > 0);
        const expected = !(t.startsWith('$') && /^[+#]/.test(f)) && oracle(f.split('/'), t.split('/'));
        assert.equal(filterMatches(f, t), expected);
      }),
      { numRuns: 5000 },
    );
  });
});
