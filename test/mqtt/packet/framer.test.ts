// The framer emits whole packets for any chunks, in bounded memory, and stops on request.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NEXT, type Next, PacketFramer } from '../../../protocols/mqtt/packet/framer.ts';
import { connect, DISCONNECT, PINGREQ, packet, publish, subscribe } from '../bytes.ts';

function framer(maxPacketBytes = 1 << 20): { framer: PacketFramer; seen: string[]; answers: Next[] } {
  const seen: string[] = [];
  const answers: Next[] = [];
  const handler = {
    packet(buffer: Buffer, start: number, body: number, end: number): Next {
      const next = answers.shift() ?? NEXT.goOn;
      if (next !== NEXT.retry) seen.push(`${buffer[start]!.toString(16)}:${buffer.toString('hex', body, end)}`);
      return next;
    },
  };
  return { framer: new PacketFramer(handler, maxPacketBytes), seen, answers };
}

const CONVERSATION = [
  connect({ user: 'guest', password: 'guest' }),
  subscribe(1, ['a/+', 1], ['#', 0]),
  publish('a/b', 'x'.repeat(130)),
  publish('a/b', 'y', 1, 7),
  PINGREQ,
  publish('a', ''),
  DISCONNECT,
];
const STREAM = Buffer.concat(CONVERSATION);
const EXPECTED = CONVERSATION.map((bytes) => {
  let body = 1;
  while (bytes[body++]! > 127);
  return `${bytes[0]!.toString(16)}:${bytes.toString('hex', body)}`;
});

describe('the framer', () => {
  it('finds the same packets at every split into two', () => {
    for (let split = 0; split <= STREAM.length; split++) {
      const { framer: f, seen } = framer();
      f.push(STREAM.subarray(0, split));
      f.push(STREAM.subarray(split));
      assert.deepEqual(seen, EXPECTED, `split at ${split}`);
      assert.equal(f.midPacket, false);
    }
  });

  it('finds the same packets in chunks of every size', () => {
    for (let size = 1; size < STREAM.length; size++) {
      const { framer: f, seen } = framer();
      for (let at = 0; at < STREAM.length; at += size) f.push(STREAM.subarray(at, at + size));
      assert.deepEqual(seen, EXPECTED, `chunks of ${size}`);
    }
  });

  it('gathers a large packet from many chunks', () => {
    const body = Buffer.alloc(300_000, 'abc');
    const bytes = publish('big', body);
    const { framer: f, seen } = framer();
    for (let at = 0; at < bytes.length; at += 7001) f.push(bytes.subarray(at, at + 7001));
    assert.equal(seen.length, 1);
    assert.ok(seen[0]!.endsWith(body.toString('hex')));
  });

  it('reserves little for a packet that is only announced', () => {
    const { framer: f } = framer(268_435_455);
    f.push(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1]));
    const reserved = (f as unknown as { partial: Buffer }).partial.length;
    assert.ok(reserved <= 16 * 1024, `${reserved} bytes`);
  });

  it('pauses after a packet, keeps the rest and whatever still arrives, and resumes', () => {
    for (let size = 1; size <= STREAM.length; size++) {
      const { framer: f, seen, answers } = framer();
      answers.push(NEXT.goOn, NEXT.pause);
      for (let at = 0; at < STREAM.length; at += size) f.push(STREAM.subarray(at, at + size));
      assert.deepEqual(seen, EXPECTED.slice(0, 2), `chunks of ${size}`);
      f.resume();
      assert.deepEqual(seen, EXPECTED);
    }
  });

  it('offers a packet again that could not be taken', () => {
    for (let size = 1; size <= STREAM.length; size++) {
      const { framer: f, seen, answers } = framer();
      answers.push(NEXT.goOn, NEXT.goOn, NEXT.retry, NEXT.retry);
      for (let at = 0; at < STREAM.length; at += size) f.push(STREAM.subarray(at, at + size));
      assert.deepEqual(seen, EXPECTED.slice(0, 2), `chunks of ${size}`);
      f.resume();
      assert.deepEqual(seen, EXPECTED.slice(0, 2));
      f.resume();
      assert.deepEqual(seen, EXPECTED);
    }
  });

  it('drops everything after a stop', () => {
    const { framer: f, seen, answers } = framer();
    answers.push(NEXT.stop);
    f.push(STREAM);
    f.push(STREAM);
    f.resume();
    assert.equal(seen.length, 1);
  });

  it('refuses remaining lengths of five bytes, not in shortest form, or over the limit, at every split', () => {
    const bad = [
      [0x30, 0x80, 0x80, 0x80, 0x80, 1],
      [0x30, 0x80, 0],
      [0x30, 0x81, 0x80, 0],
      [0x30, 0xe9, 7],
    ];
    for (const bytes of bad.map((b) => Buffer.from([...b, 0]))) {
      for (let split = 0; split < bytes.length; split++) {
        const { framer: f } = framer(1000);
        assert.throws(
          () => {
            f.push(bytes.subarray(0, split));
            f.push(bytes.subarray(split));
          },
          { name: 'MalformedPacket' },
          `${bytes.toString('hex')} split at ${split}`,
        );
      }
    }
    const { framer: f, seen } = framer(1000);
    f.push(packet(0x30, Buffer.alloc(1000)));
    assert.equal(seen.length, 1);
  });
});
