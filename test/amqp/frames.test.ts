// Protects the frame parser: any split of the bytes gives the same frames, no frame above the limit is buffered, and a
// suspended parser continues at the next frame.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FrameParser, type FrameSink } from '../../protocols/amqp/frames.ts';

function frame(type: number, channel: number, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(payload.length + 8);
  bytes[0] = type;
  bytes.writeUInt16BE(channel, 1);
  bytes.writeUInt32BE(payload.length, 3);
  payload.copy(bytes, 7);
  bytes[bytes.length - 1] = 0xce;
  return bytes;
}

const CONVERSATION = Buffer.concat([
  frame(1, 0, Buffer.from('000a000b', 'hex')),
  frame(8, 0, Buffer.alloc(0)),
  frame(1, 1, Buffer.from('publish')),
  frame(2, 1, Buffer.from('header')),
  frame(3, 1, Buffer.alloc(100, 0xce)),
  frame(3, 2047, Buffer.from('x')),
]);

class Recorder implements FrameSink {
  readonly seen: string[] = [];
  onFrame: (() => void) | null = null;

  frame(type: number, channel: number, buffer: Buffer, at: number, end: number): number {
    this.seen.push(`${type}/${channel}/${buffer.toString('hex', at, end)}`);
    this.onFrame?.();
    return end + 1;
  }
}

function parse(chunks: readonly Buffer[], maxPayloadBytes = 4096): string[] {
  const recorder = new Recorder();
  const parser = new FrameParser(recorder, maxPayloadBytes);
  for (const chunk of chunks) parser.feed(chunk);
  return recorder.seen;
}

const WHOLE = parse([CONVERSATION]);

test('a chunk of whole frames gives them all', () => {
  assert.equal(WHOLE.length, 6);
  assert.equal(WHOLE[1], '8/0/');
});

test('every cut into two gives the same frames', () => {
  for (let cut = 0; cut <= CONVERSATION.length; cut++) {
    assert.deepEqual(parse([CONVERSATION.subarray(0, cut), CONVERSATION.subarray(cut)]), WHOLE, `cut at ${cut}`);
  }
});

test('every cut into three gives the same frames', () => {
  const bytes = CONVERSATION.subarray(0, 60);
  const whole = parse([bytes]);
  for (let a = 0; a <= bytes.length; a++) {
    for (let b = a; b <= bytes.length; b++) {
      assert.deepEqual(parse([bytes.subarray(0, a), bytes.subarray(a, b), bytes.subarray(b)]), whole);
    }
  }
});

test('single bytes give the same frames', () => {
  assert.deepEqual(parse(Array.from(CONVERSATION, (octet) => Buffer.from([octet]))), WHOLE);
});

test('a parser suspended at any frame continues with the next one', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(40), { maxLength: 30 }), fc.array(fc.boolean(), { maxLength: 6 }), (sizes, stops) => {
      const recorder = new Recorder();
      const parser = new FrameParser(recorder, 4096);
      recorder.onFrame = () => {
        if (stops[recorder.seen.length - 1]) parser.suspend();
      };
      let at = 0;
      for (const size of [...sizes, CONVERSATION.length]) {
        const before = recorder.seen.length;
        parser.feed(CONVERSATION.subarray(at, at + size));
        at += size;
        const stopped = stops.slice(before, recorder.seen.length).indexOf(true);
        if (stopped >= 0) assert.equal(recorder.seen.length, before + stopped + 1);
        if (size % 2 === 0) parser.resume();
      }
      for (let i = 0; i <= WHOLE.length; i++) parser.resume();
      assert.deepEqual(recorder.seen, WHOLE);
    }),
  );
});

test('a frame that is larger than the maximum is refused before its payload arrives', () => {
  const header = Buffer.from('01000100001001', 'hex');
  assert.throws(() => parse([header], 4096), { code: 501 });
  assert.throws(() => parse([header.subarray(0, 6), header.subarray(6)], 4096), { code: 501 });
  assert.deepEqual(parse([header], 4097), []);
});

test('a frame that does not end in CE is refused', () => {
  const bytes = frame(1, 0, Buffer.from('abcd'));
  bytes[bytes.length - 1] = 0xcd;
  for (let cut = 0; cut <= bytes.length; cut++) {
    assert.throws(() => parse([bytes.subarray(0, cut), bytes.subarray(cut)]), { code: 501 });
  }
});

test('a stopped parser emits no frames', () => {
  const recorder = new Recorder();
  const parser = new FrameParser(recorder, 4096);
  recorder.onFrame = () => parser.stop();
  parser.feed(CONVERSATION);
  parser.feed(CONVERSATION);
  assert.equal(recorder.seen.length, 1);
});
