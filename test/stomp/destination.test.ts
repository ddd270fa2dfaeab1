// Parsing and formatting of destinations.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatDestination, parseDestination, replyToHeader, replyToName } from '../../protocols/stomp/destination.ts';
import { StompError } from '../../protocols/stomp/stomp-error.ts';

/** text, kind, exchange, routing key */
const VALID: readonly (readonly [string, string, string, string])[] = [
  ['/queue/orders', 'queue', '', 'orders'],
  ['/queue/a%2Fb', 'queue', '', 'a/b'],
  ['/queue/a%2fb%25', 'queue', '', 'a/b%'],
  ['/queue/50%', 'queue', '', '50%'],
  ['orders', 'queue', '', 'orders'],
  ['a%2Fb', 'queue', '', 'a/b'],
  ['/topic/a.b.*', 'topic', 'amq.topic', 'a.b.*'],
  ['/exchange/logs', 'exchange', 'logs', ''],
  ['/exchange/logs/info.x', 'exchange', 'logs', 'info.x'],
  ['/exchange/a%2Fb/c%2Fd', 'exchange', 'a/b', 'c/d'],
  ['/exchange/logs/', 'exchange', 'logs', ''],
  ['/amq/queue/amq.gen-1', 'amq-queue', '', 'amq.gen-1'],
  ['/temp-queue/answers', 'temp-queue', '', 'answers'],
  ['/reply-queue/with/slash', 'reply-queue', '', 'with/slash'],
];

const INVALID = [
  '',
  'queue/x',
  '/queue',
  '/queue/',
  '/queue/a/b',
  '/topic/',
  '/topic/a/b',
  '/exchange/',
  '/exchange//k',
  `/topic/${'k'.repeat(4097)}`,
  `/exchange/x/${'a.'.repeat(128)}a`,
];

describe('destinations', () => {
  for (const [text, kind, exchange, routingKey] of VALID) {
    it(`reads ${text}`, () => assert.deepEqual(parseDestination(text), { kind, exchange, routingKey, text }));
  }
  for (const text of [...INVALID, '/exchange/e/k/k', '/amq/queue/', '/reply-queue/', '/nowhere/x']) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => parseDestination(text), StompError));
  }
  it('names where a message was published so that a SEND to it goes there again', () => {
    fc.assert(
      fc.property(fc.constantFrom('', 'amq.topic', 'logs', 'a/b%2F'), fc.string({ minLength: 1 }), (exchange, key) => {
        const { exchange: again, routingKey } = parseDestination(formatDestination(exchange, key));
        assert.deepEqual([again, routingKey], [exchange, key]);
      }),
    );
  });
  it('formats a message of an exchange without a key', () => {
    assert.equal(formatDestination('logs', ''), '/exchange/logs');
  });
  it('turns reply-to into a bare queue name and back into a destination', () => {
    assert.equal(replyToName('/reply-queue/amq.gen-x'), 'amq.gen-x');
    assert.equal(replyToName('/queue/a%2Fb'), 'a/b');
    assert.equal(replyToName('/topic/a.b'), '/topic/a.b');
    assert.equal(replyToHeader('amq.gen-x'), '/reply-queue/amq.gen-x');
    assert.equal(replyToHeader('/topic/a.b'), '/topic/a.b');
  });
});
