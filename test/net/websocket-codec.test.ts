// The WebSocket codec against RFC 6455. The tests build frames byte by byte, independently of the code under test, and
// parse each valid conversation at every split.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MESSAGE_KIND, type MessageKind } from '../../src/net/message-kind.ts';
import { unmask, WebSocketReceiver } from '../../src/net/websocket-codec.ts';
import { WebSocketFraming } from '../../src/net/websocket-framing.ts';
import { newOutbox, put } from './fixtures.ts';

const KEY = [0x37, 0xfa, 0x21, 0x3d];

/** A masked frame, as a client sends it: `first` has FIN, reserved bits and opcode. */
function frame(first: number, payload: Buffer | string, key = KEY): Buffer {
  const plain = Buffer.from(payload);
  const length = plain.length;
  const head =
    length < 126
      ? [first, 0x80 | length]
      : length < 65536
        ? [first, 0xfe, length >> 8, length & 0xff]
        : [first, 0xff, 0, 0, 0, 0, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff];
  return Buffer.concat([Buffer.from([...head, ...key]), Buffer.from(plain.map((byte, i) => byte ^ key[i & 3]!))]);
}

/** Records a receiver's events; consecutive payloads of one kind are joined. */
class Notes {
  readonly lines: string[];
  stop: boolean;

  constructor() {
    this.lines = [];
    this.stop = false;
  }

  payload(run: Buffer, kind: MessageKind): boolean {
    const name = kind === MESSAGE_KIND.text ? 'text ' : 'binary ';
    const last = this.lines.length - 1;
    if (this.lines[last]?.startsWith(name)) this.lines[last] += run.toString('latin1');
    else this.lines.push(name + run.toString('latin1'));
    return !this.stop;
  }

  ping(payload: Buffer): void {
    this.lines.push(`ping ${payload}`);
  }

  closeFrame(code: number): void {
    this.lines.push(`close ${code}`);
  }

  violation(code: number, reason: string): void {
    this.lines.push(`violation ${code} ${reason}`);
  }

  /** All payload bytes, without the other events. */
  get bytes(): string {
    return this.lines
      .filter((line) => line.startsWith('text ') || line.startsWith('binary '))
      .map((line) => line.slice(line.indexOf(' ') + 1))
      .join('');
  }
}

function receive(chunks: Buffer[], maxMessageBytes = 1 << 20): string[] {
  const notes = new Notes();
  const receiver = new WebSocketReceiver(notes, maxMessageBytes);
  // Copies, because a receiver unmasks its chunks in place.
  for (const chunk of chunks) receiver.receive(Buffer.from(chunk));
  return notes.lines;
}

describe('unmasking', () => {
  it('equals the definition for every length, place and key', () => {
    for (const key of [0, 0x3d21fa37, -1, 0x000000ff]) {
      for (const shift of [0, 1, 2, 6, 8]) {
        for (let length = 0; length < 200; length += 1 + (length >> 3)) {
          for (let from = 8; from < 12; from++) {
            const chunk = Buffer.from(Array.from({ length: 256 }, (_, i) => (i * 7) & 0xff));
            const expected = Buffer.from(chunk.subarray(from, from + length)).map(
              (b, i) => b ^ (key >>> ((i & 3) * 8)),
            );
            unmask(chunk, from, from - shift, length, key);
            assert.deepEqual([...chunk.subarray(from - shift, from - shift + length)], [...expected]);
          }
        }
      }
    }
  });
});

describe('received frames', () => {
  it('are parsed the same at every split', () => {
    const conversation = Buffer.concat([
      frame(0x81, 'hello'),
      frame(0x81, ''),
      frame(0x89, 'are you there'),
      frame(0x01, 'grö'.slice(0, 2)),
      frame(0x8a, 'unasked pong'),
      frame(0x00, Buffer.from('öß').subarray(0, 1)),
      frame(0x89, ''),
      frame(0x80, Buffer.from('öß').subarray(1)),
      frame(0x82, Buffer.from([0xff, 0xfe, 0x00])),
      frame(0x81, 'x'.repeat(126), [0, 0, 0, 0]),
      frame(0x82, 'y'.repeat(300)),
      frame(0x88, Buffer.from([0x03, 0xe8, 0x62, 0x79, 0x65])),
      frame(0x81, 'nobody listens any more'),
    ]);
    const whole = receive([conversation]);
    assert.equal(whole.at(-1), 'close 1000');
    const bytes = notesOf(whole).bytes;
    assert.equal(bytes, `hello${Buffer.from('größ').toString('latin1')}\xff\xfe\0${'x'.repeat(126)}${'y'.repeat(300)}`);
    for (let split = 1; split < conversation.length; split++) {
      const lines = receive([conversation.subarray(0, split), conversation.subarray(split)]);
      assert.equal(notesOf(lines).bytes, bytes, `split at ${split}`);
      assert.deepEqual(lines.filter(isControl), whole.filter(isControl), `split at ${split}`);
    }
    const single = receive(Array.from(conversation, (_, i) => conversation.subarray(i, i + 1)));
    assert.equal(notesOf(single).bytes, bytes);
    assert.deepEqual(single.filter(isControl), whole.filter(isControl));
  });

  it('reach the front-end once a chunk if they are of one type', () => {
    let calls = 0;
    const receiver = new WebSocketReceiver(
      Object.assign(new Notes(), {
        payload(run: Buffer): boolean {
          calls++;
          assert.equal(run.toString(), 'abc'.repeat(1000));
          return true;
        },
      }),
      1000,
    );
    receiver.receive(Buffer.concat(Array.from({ length: 1000 }, () => frame(0x82, 'abc'))));
    assert.equal(calls, 1);
  });

  it('stop between types if the front-end pauses, and resume there', () => {
    const notes = new Notes();
    notes.stop = true;
    const receiver = new WebSocketReceiver(notes, 1000);
    const rest = receiver.receive(Buffer.concat([frame(0x81, 'text'), frame(0x82, 'binary'), frame(0x89, 'ping')]));
    assert.deepEqual(notes.lines, ['text text']);
    assert.equal(receiver.kind, MESSAGE_KIND.text);
    receiver.receive(rest!);
    assert.deepEqual(notes.lines, ['text text', 'ping ping', 'binary binary']);
    assert.equal(receiver.kind, MESSAGE_KIND.binary);
  });

  it('may carry a message of megabytes in any chunks', () => {
    const body = Buffer.alloc(3_000_000, 'mega');
    const whole = frame(0x82, body);
    const chunks = [];
    for (let at = 0; at < whole.length; at += 65_536) chunks.push(whole.subarray(at, at + 65_536));
    assert.equal(notesOf(receive(chunks, 3_000_000)).bytes, body.toString());
  });

  const unmasked = Buffer.from([0x81, 0x01, 0x61]);
  const violations: [string, Buffer, number][] = [
    ['an unmasked frame', unmasked, 1002],
    ['an unmasked ping', Buffer.from([0x89, 0x00]), 1002],
    ['reserved bit 1, as compression would set', frame(0xc1, 'a'), 1002],
    ['reserved bit 2', frame(0xa1, 'a'), 1002],
    ['reserved bit 3', frame(0x91, 'a'), 1002],
    ['reserved data opcode 3', frame(0x83, 'a'), 1002],
    ['reserved control opcode 11', frame(0x8b, 'a'), 1002],
    ['a ping of 126 bytes', frame(0x89, 'p'.repeat(126)), 1002],
    ['a fragmented ping', frame(0x09, 'p'), 1002],
    ['a continuation of nothing', frame(0x80, 'a'), 1002],
    ['a new message within a message', Buffer.concat([frame(0x01, 'a'), frame(0x81, 'b')]), 1002],
    ['a length of 5 in 16 bits', Buffer.from([0x81, 0xfe, 0, 5, ...KEY, 0, 0, 0, 0, 0]), 1002],
    ['a length of 126 in 64 bits', Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 126, ...KEY]), 1002],
    ['a length with its highest bit set', Buffer.from([0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, ...KEY]), 1009],
    ['a message above the bound', frame(0x82, Buffer.alloc(2000)), 1009],
    [
      'fragments above the bound',
      Buffer.concat([frame(0x02, Buffer.alloc(900)), frame(0x80, Buffer.alloc(101))]),
      1009,
    ],
    ['text that is no UTF-8', frame(0x81, Buffer.from([0x61, 0xc3, 0x28])), 1007],
    ['text that begins within a character', frame(0x81, Buffer.from([0x80])), 1007],
    ['text that ends within a character', frame(0x81, Buffer.from([0x61, 0xc3])), 1007],
    [
      'a character split over two messages',
      Buffer.concat([frame(0x81, Buffer.from([0xc3])), frame(0x81, Buffer.from([0xa4]))]),
      1007,
    ],
    [
      'a fragmented text that ends within a character',
      Buffer.concat([frame(0x01, Buffer.from([0x61, 0xe2, 0x82])), frame(0x80, '')]),
      1007,
    ],
    ['a surrogate in UTF-8', frame(0x81, Buffer.from([0xed, 0xa0, 0x80])), 1007],
    ['a Close frame with one byte', frame(0x88, 'x'), 1002],
    ['a Close frame with code 999', frame(0x88, Buffer.from([0x03, 0xe7])), 1002],
    ['a Close frame with code 1005', frame(0x88, Buffer.from([0x03, 0xed])), 1002],
    ['a Close frame with code 1006', frame(0x88, Buffer.from([0x03, 0xee])), 1002],
    ['a Close frame with code 5000', frame(0x88, Buffer.from([0x13, 0x88])), 1002],
    ['a Close frame whose reason is no UTF-8', frame(0x88, Buffer.from([0x03, 0xe8, 0xff])), 1007],
  ];

  for (const [what, bytes, code] of violations) {
    it(`are refused with ${code} for ${what}, at every split`, () => {
      const before = frame(0x82, 'before');
      const after = frame(0x82, 'after');
      const conversation = Buffer.concat([before, bytes, after]);
      for (let split = 0; split < before.length + bytes.length; split++) {
        const lines = receive([conversation.subarray(0, split), conversation.subarray(split)], 1000);
        const violation = lines.filter((line) => line.startsWith('violation'));
        assert.equal(violation.length, 1, `split at ${split}: ${lines}`);
        assert.match(violation[0]!, new RegExp(`^violation ${code} `), `split at ${split}`);
        assert.ok(notesOf(lines).bytes.startsWith('before'));
        assert.ok(!notesOf(lines).bytes.includes('after'));
        assert.equal(lines.at(-1), violation[0]);
      }
    });
  }

  it('without a code in Close are answered with Close without a code', () => {
    assert.deepEqual(receive([frame(0x88, '')]), ['close 1005']);
    assert.deepEqual(receive([frame(0x88, Buffer.from([0x0f, 0xa0]))]), ['close 4000']);
  });
});

describe('sent output', () => {
  /** Splits output into unmasked frames, as the RFC defines them. */
  function frames(output: Buffer): { first: number; payload: Buffer }[] {
    const all = [];
    for (let at = 0; at < output.length; ) {
      const first = output[at]!;
      let length = output[at + 1]!;
      at += 2;
      assert.ok(length < 128, 'a server does not mask');
      if (length === 126) {
        length = output.readUInt16BE(at);
        assert.ok(length > 125, 'the shortest form of a length');
        at += 2;
      } else if (length === 127) {
        length = Number(output.readBigUInt64BE(at));
        assert.ok(length > 65535, 'the shortest form of a length');
        at += 8;
      }
      assert.ok(at + length <= output.length, 'the output ends with a frame');
      all.push({ first, payload: output.subarray(at, at + length) });
      at += length;
    }
    return all;
  }

  /** Joins fragments into messages and asserts that they are in order. */
  function messages(output: Buffer): { kind: number; payload: string }[] {
    const all: { kind: number; payload: string }[] = [];
    let open: { kind: number; payload: string } | null = null;
    for (const { first, payload } of frames(output)) {
      const opcode = first & 0x0f;
      assert.equal(first & 0x70, 0);
      if (opcode >= 8) {
        all.push({ kind: opcode, payload: payload.toString('latin1') });
        continue;
      }
      assert.equal(opcode === 0, open !== null, 'a continuation stands within a message and nowhere else');
      const message: { kind: number; payload: string } = open ?? { kind: opcode, payload: '' };
      message.payload += payload.toString('latin1');
      open = first >= 0x80 ? null : message;
      if (open === null) all.push(message);
    }
    assert.equal(open, null, 'the last message is whole');
    return all;
  }

  it('is one message a turn', () => {
    const framing = new WebSocketFraming(false);
    framing.kind = MESSAGE_KIND.text;
    const { outbox, sink, turn } = newOutbox({}, framing);
    put(outbox, 'one');
    put(outbox, 'two');
    turn.end();
    put(outbox, 'three');
    turn.end();
    assert.equal(sink.output.toString('latin1'), '\x81\x06onetwo\x81\x05three');
  });

  it('is one message for each frame if the front-end chooses so', () => {
    const { outbox, sink, turn } = newOutbox({}, new WebSocketFraming(false));
    for (const length of [1, 125, 126, 127, 2000]) {
      put(outbox, 'm'.repeat(length));
      outbox.endMessage();
      outbox.endMessage();
    }
    turn.end();
    assert.deepEqual(
      messages(sink.output).map(({ payload }) => payload.length),
      [1, 125, 126, 127, 2000],
    );
  });

  it('holds every byte in order, whatever its lengths, as frames and as a byte stream', () => {
    for (const byteStream of [false, true]) {
      for (const flushBytes of [1, 100_000, 10_000_000]) {
        const { outbox, sink, turn, pool } = newOutbox({ flushBytes }, new WebSocketFraming(byteStream));
        const expected: string[] = [];
        for (let i = 0; i < 300; i++) {
          const length = (i * i * 7919) % (i % 10 === 0 ? 90_000 : 300);
          const body = Buffer.alloc(length, 97 + (i % 26));
          put(outbox, `<${i}>`);
          outbox.append(body, 0, length);
          if (i % 3 === 0) put(outbox, '.');
          outbox.endMessage();
          expected.push(`<${i}>${body}${i % 3 === 0 ? '.' : ''}`);
          if (i % 50 === 0) turn.end();
        }
        turn.end();
        const got = messages(sink.output);
        assert.equal(got.map(({ payload }) => payload).join(''), expected.join(''));
        if (!byteStream)
          assert.deepEqual(
            got.map(({ payload }) => payload),
            expected,
          );
        sink.complete();
        assert.equal(pool.lentBytes, 0);
      }
    }
  });

  it('ends a message at the end of the turn even if its last part was sent early', () => {
    const { outbox, sink, turn } = newOutbox({ flushBytes: 1 }, new WebSocketFraming(false));
    const body = Buffer.alloc(100_000, 'b');
    outbox.append(body, 0, body.length);
    turn.end();
    assert.deepEqual(messages(sink.output), [{ kind: 2, payload: String(body) }]);
  });

  it('puts control frames between messages', () => {
    const { outbox, sink, turn } = newOutbox({}, new WebSocketFraming(false));
    outbox.control(10, Buffer.from('before'));
    put(outbox, 'message');
    outbox.control(10, Buffer.alloc(125, 'p'));
    outbox.control(9, Buffer.alloc(0));
    put(outbox, 'another');
    turn.end();
    outbox.control(8, Buffer.from([3, 232]));
    turn.end();
    assert.deepEqual(
      messages(sink.output).map(({ kind, payload }) => `${kind} ${payload}`),
      ['10 before', '2 message', `10 ${'p'.repeat(125)}`, '9 ', '2 another', '8 \x03\xe8'],
    );
  });

  it('is empty if nothing was written', () => {
    const { outbox, sink, turn, pool } = newOutbox({}, new WebSocketFraming(false));
    outbox.reserve(10);
    outbox.endMessage();
    turn.end();
    outbox.endMessage();
    turn.end();
    assert.equal(sink.output.length, 0);
    assert.equal(pool.lentBytes, 0);
  });
});

function isControl(line: string): boolean {
  return line.startsWith('ping') || line.startsWith('close');
}

function notesOf(lines: string[]): Notes {
  const notes = new Notes();
  notes.lines.push(...lines);
  return notes;
}
