// The buffers of a published content: a large body that arrived in its own buffer stays there, with a copy of its
// properties; everything else references the input chunk until the turn copies it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContentParser } from '../../protocols/amqp/content-parser.ts';
import { PropertyScanner } from '../../protocols/amqp/properties.ts';
import { ShortStringCache } from '../../protocols/amqp/short-string.ts';
import type { Message } from '../../src/core/message/message.ts';
import { Turn } from '../../src/core/turn/turn.ts';

const METHOD = Buffer.from([0, 0, 0, 1, 0x6b, 0]);
/** property-flags: content-type; property-list: its text. */
const PROPERTIES = Buffer.concat([Buffer.from([0x80, 0, 4]), Buffer.from('text')]);

function parser(published: Message[], unfinished = { bytes: 0 }): ContentParser {
  return new ContentParser(
    {
      number: 1,
      turn: new Turn({ now: () => 0 }),
      names: new ShortStringCache(),
      scanner: new PropertyScanner(),
      maxPayloadBytes: 131_064,
      maxMessageBytes: 1 << 20,
      unfinished,
      unfinishedBytes: 1 << 20,
    },
    {
      publish: (message) => published.push(message),
      publishSpecial: () => assert.fail('nothing special was published'),
      admits: () => true,
      refuse: (why) => assert.fail(why),
      overflowed: () => assert.fail('too many bytes are unfinished'),
    },
  );
}

/** class-id, weight, body size, properties. */
function header(bodyBytes: number): Buffer {
  const fixed = Buffer.alloc(12);
  fixed.writeUInt16BE(60, 0);
  fixed.writeUInt32BE(bodyBytes, 8);
  return Buffer.concat([fixed, PROPERTIES]);
}

/** Header and body frame come in separate buffers; the body's buffer is one that the frame parser assembled. */
function publish(bodyBytes: number, spareBytes: number): { message: Message; head: Buffer; frame: Buffer } {
  const published: Message[] = [];
  const content = parser(published);
  const head = header(bodyBytes);
  const frame = Buffer.alloc(7 + bodyBytes + 1 + spareBytes, 0x78);
  content.publish(METHOD, 0, METHOD.length, METHOD.length);
  content.header(head, 0, head.length);
  content.body(frame, 7, 7 + bodyBytes);
  assert.equal(published.length, 1);
  return { message: published[0]!, head, frame };
}

function native(message: Message): Buffer {
  return message.native.subarray(message.nativeOffset, message.nativeOffset + message.nativeLength);
}

test('a large body in its own buffer is kept without a copy, and its properties are copied', () => {
  const { message, head, frame } = publish(8 * 1024, 0);
  assert.equal(message.owned, true);
  assert.equal(message.body, frame, 'no copy of the body');
  head.fill(0xff);
  assert.deepEqual(native(message), PROPERTIES);
});

test('a large body in a buffer with other frames is not kept there: it would pin them', () => {
  const { message } = publish(8 * 1024, 1);
  assert.equal(message.owned, false);
});

test('a small body is not kept in its own buffer, because a slab wastes less memory', () => {
  const { message } = publish(8 * 1024 - 1, 0);
  assert.equal(message.owned, false);
});

test('a body in several frames counts as unfinished until its last frame, or until its channel closes', () => {
  const unfinished = { bytes: 0 };
  const published: Message[] = [];
  const content = parser(published, unfinished);
  const head = header(200_000);
  const frame = Buffer.alloc(100_000, 0x78);
  const begin = (): void => {
    content.publish(METHOD, 0, METHOD.length, METHOD.length);
    content.header(head, 0, head.length);
    content.body(frame, 0, frame.length);
  };
  begin();
  assert.ok(unfinished.bytes >= frame.length, `${unfinished.bytes} bytes`);
  content.body(frame, 0, frame.length);
  assert.equal(published.length, 1);
  assert.equal(unfinished.bytes, 0);
  begin();
  content.close();
  assert.equal(unfinished.bytes, 0);
});
