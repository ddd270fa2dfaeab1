// Which routing keys an MQTT filter selects (MQTT 3.1.1 §4.7). Routing keys have `.` where topics have `/`.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { filterSelects, hasWildcard, patternWords } from '../../../src/core/message/topic-pattern.ts';

const SELECTED: readonly [filter: string, ...keys: string[]][] = [
  ['#', 'a', 'a.b', '.', 'a.'],
  ['a.#', 'a', 'a.b', 'a.b.c', 'a.'],
  ['+', 'a'],
  ['+.+', 'a.b', '.', 'a.', '.b'],
  ['a.+', 'a.b', 'a.'],
  ['a.*', 'a.*'],
  ['$SYS.#', '$SYS', '$SYS.broker'],
  ['a.b', 'a.b'],
];

const PASSED_BY: readonly [filter: string, ...keys: string[]][] = [
  ['#', '$SYS', '$SYS.broker'],
  ['+.broker', '$SYS.broker'],
  ['+', 'a.b', '.'],
  ['a.+', 'a', 'a.b.c'],
  ['a.#', 'b', 'ab'],
  ['a.*', 'a.b'],
  ['a.b', 'a', 'a.b.c', 'a.c'],
];

describe('a topic filter', () => {
  for (const [filter, ...keys] of SELECTED) {
    it(`${filter} selects ${keys.join(' ')}`, () => {
      for (const key of keys) assert.equal(filterSelects(patternWords(filter, 'mqtt'), key), true, key);
    });
  }

  for (const [filter, ...keys] of PASSED_BY) {
    it(`${filter} does not select ${keys.join(' ')}`, () => {
      for (const key of keys) assert.equal(filterSelects(patternWords(filter, 'mqtt'), key), false, key);
    });
  }

  it('has a wildcard in its own dialect only', () => {
    assert.equal(hasWildcard(patternWords('a.+', 'mqtt')), true);
    assert.equal(hasWildcard(patternWords('a.*', 'mqtt')), false);
    assert.equal(hasWildcard(patternWords('a.*', 'amqp')), true);
    assert.equal(hasWildcard(patternWords('a.+', 'amqp')), false);
    assert.equal(hasWildcard(patternWords('a.#', 'mqtt')), true);
  });
});
