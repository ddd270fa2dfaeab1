// Which heads of MESSAGE frames are kept: only short ones, because a kept head is copied into one slab of the outbox.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { MessageHead } from '../../protocols/stomp/message-head.ts';
import { STOMP_VERSION } from '../../protocols/stomp/version.ts';
import { Message, NEVER } from '../../src/core/message/message.ts';
import { NO_CODEC } from '../../src/core/message/properties.ts';

const NOTHING = Buffer.alloc(0);

/** Whether the head is kept when messages with that address and those header bytes come twice in a row. */
function isKept(exchange: string, routingKey: string, headers: Buffer, subscription = 's'): boolean {
  const head = new MessageHead(subscription, 'T-1-', true, STOMP_VERSION.v1_2);
  const message = new Message(exchange, routingKey, NOTHING, 0, 0, NOTHING, 0, 0, NO_CODEC, false, 0, NEVER, 0);
  assert.equal(head.repeats(message, headers, headers.length), false, 'the first message repeats nothing');
  return head.repeats(message, headers, headers.length);
}

it('a short head is kept from its second time on', () => {
  assert.equal(isKept('amq.topic', 'a.b', NOTHING), true);
  assert.equal(isKept('amq.topic', 'a.b', Buffer.from('x:y\n')), true);
});

/** One part of the head is larger than a slab; exchange, routing key, header bytes, subscription. */
const LONG = 65_380;
const tooLong: readonly (readonly [string, string, string, Buffer, string])[] = [
  ['exchange', 'e'.repeat(LONG), 'k', NOTHING, 's'],
  ['routing key', 'amq.topic', 'k'.repeat(LONG), NOTHING, 's'],
  ['routing key that is short before it is escaped', 'amq.topic', '%'.repeat(1000), NOTHING, 's'],
  ['header block', 'amq.topic', 'k', Buffer.alloc(LONG, 'h'), 's'],
  ['subscription', 'amq.topic', 'k', NOTHING, 's'.repeat(LONG)],
];
for (const [part, exchange, routingKey, headers, subscription] of tooLong) {
  it(`a head with a long ${part} is never kept`, () => {
    assert.equal(isKept(exchange, routingKey, headers, subscription), false);
  });
}
