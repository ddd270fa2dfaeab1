// The message expiry that a subscriber of MQTT 5 is told, wherever the clock has jumped between publish and delivery.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PublishEncoder5, WRITTEN } from '../../../protocols/mqtt/packet/encoder-v5.ts';
import { KeyTopics } from '../../../protocols/mqtt/packet/topic-cache.ts';
import { Message } from '../../../src/core/message/message.ts';
import { NO_CODEC } from '../../../src/core/message/properties.ts';
import type { Outbox } from '../../../src/net/outbox.ts';

const RECEIVED_AT = 1_700_000_000_000;
const LONGEST_S = 0xffff_ffff;
const YEAR_MS = 365 * 86_400_000;
const NOTHING = Buffer.alloc(0);

/** PUBLISH, QoS 0: first byte and length, topic (u16 and "t"), length of the properties, message expiry, seconds. */
const HEAD = Buffer.from([0x30, 9, 0, 1, 0x74, 5, 2]);

/** The expiry in seconds that is written when the clock has moved by that much since the publish. */
function toldAfter(expirySeconds: number, clockMovedMs: number): number {
  const message = new Message(
    'amq.topic',
    't',
    NOTHING,
    0,
    0,
    NOTHING,
    0,
    0,
    NO_CODEC,
    false,
    0,
    expirySeconds * 1000,
    RECEIVED_AT,
  );
  const encoder = new PublishEncoder5(new KeyTopics(), 'amq.topic');
  let written = NOTHING;
  const append = (source: Buffer, start: number, end: number): void => {
    written = Buffer.concat([written, source.subarray(start, end)]);
  };
  const outbox = { append } as unknown as Outbox;
  assert.equal(encoder.write(outbox, message, 0x30, 0, [], null, RECEIVED_AT + clockMovedMs, 1000), WRITTEN.written);
  assert.deepEqual(written.subarray(0, HEAD.length), HEAD);
  assert.equal(written.length, HEAD.length + 4);
  return written.readUInt32BE(HEAD.length);
}

describe('the message expiry of a delivery', () => {
  /** expiry at publish in seconds, how far the clock moved in ms, expiry that the subscriber is told */
  const table: readonly (readonly [number, number, number])[] = [
    [60, 0, 60],
    [60, 1500, 59],
    [60, -1500, 60],
    [60, -50 * YEAR_MS, 60],
    [60, 50 * YEAR_MS, 1],
    [0, -1500, 0],
    [LONGEST_S, 0, LONGEST_S],
    [LONGEST_S, 1000, LONGEST_S - 1],
    [LONGEST_S, -1, LONGEST_S],
    [LONGEST_S, -1500, LONGEST_S],
    [LONGEST_S, -50 * YEAR_MS, LONGEST_S],
    [LONGEST_S, 200 * YEAR_MS, 1],
  ];
  for (const [expirySeconds, movedMs, told] of table) {
    it(`${expirySeconds} s is told as ${told} s after the clock moved by ${movedMs} ms`, () => {
      assert.equal(toldAfter(expirySeconds, movedMs), told);
    });
  }
});
