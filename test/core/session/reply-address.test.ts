// Reply addresses that name an exchange and key instead of a queue: each pair survives encoding and decoding, other
// addresses are left unchanged, and a publish to the default exchange with such an address is routed to that pair.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatReplyAddress, parseReplyAddress } from '../../../src/core/session/reply-address.ts';

const text = fc.string({ minLength: 1, maxLength: 12, unit: fc.constantFrom('a', '/', '%', '.', '2', 'F', 'ü', ' ') });

describe('a reply address', () => {
  it('round-trips', () => {
    fc.assert(
      fc.property(fc.oneof(fc.constant('amq.topic'), text), text, (exchange, routingKey) => {
        assert.deepEqual(parseReplyAddress(formatReplyAddress({ exchange, routingKey })), { exchange, routingKey });
      }),
    );
  });

  it('has the form of a STOMP destination', () => {
    assert.equal(formatReplyAddress({ exchange: 'amq.topic', routingKey: 'a.b/c' }), '/topic/a.b%2Fc');
    assert.equal(formatReplyAddress({ exchange: 'x/y', routingKey: 'k' }), '/exchange/x%2Fy/k');
  });

  it('is not recognised in any other form', () => {
    for (const none of ['', 'orders', '/topic/', '/topic/a/b', '/exchange//k', '/exchange/x', '/queue/q', 'topic/a']) {
      assert.equal(parseReplyAddress(none), null, none);
    }
  });
});
