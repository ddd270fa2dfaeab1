// The bound of routing keys that no protocol bounds by itself.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { routingKeyFault } from '../../src/core/routing-key.ts';

test('a routing key has at most 4,096 bytes of UTF-8', () => {
  assert.equal(routingKeyFault(''), null);
  assert.equal(routingKeyFault('k'.repeat(4096)), null);
  assert.match(routingKeyFault('k'.repeat(4097))!, /4096 bytes/);
  assert.match(routingKeyFault('ä'.repeat(2049))!, /4096 bytes/);
});

test('a routing key has at most 128 words', () => {
  assert.equal(routingKeyFault(Array(128).fill('').join('.')), null);
  assert.match(routingKeyFault(Array(129).fill('').join('.'))!, /128 words/);
});
