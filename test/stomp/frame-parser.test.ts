// The frame parser accepts the grammar at every split, and refuses everything else with a reason.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { COMMAND, commandName } from '../../protocols/stomp/command.ts';
import { FrameParser } from '../../protocols/stomp/frame-parser.ts';
import { STOMP_LIMITS, type StompLimits } from '../../protocols/stomp/limits.ts';
import { StompError } from '../../protocols/stomp/stomp-error.ts';
import { STOMP_VERSION, type StompVersion, versionName } from '../../protocols/stomp/version.ts';
import { frame } from './frames.ts';

interface Seen {
  command: string;
  headers: [string, string][];
  destination: string | null;
  receipt: string | null;
  body: string;
}

/** All events of the parser for each frame. A repeated SEND has the headers of the SEND before it. */
function parse(
  chunks: readonly Buffer[],
  version: StompVersion = STOMP_VERSION.v1_2,
  limits = STOMP_LIMITS,
  seen: Seen[] = [],
): Seen[] {
  const parser = new FrameParser(limits);
  parser.version = version;
  let sendHeaders: [string, string][] = [];
  for (const chunk of chunks) {
    parser.push(chunk);
    while (parser.next()) {
      const { start: at, buffer } = parser;
      const value = (start: number, end: number): string | null =>
        start < 0 ? null : parser.decode(at + start, at + end);
      const headers: [string, string][] = [];
      for (let i = 0; i < parser.lineCount; i++) {
        const name = parser.decode(parser.nameStart(i), parser.nameEnd(i));
        headers.push([name, parser.decode(parser.valueStart(i), parser.valueEnd(i))]);
      }
      const destination = value(parser.destinationStart, parser.destinationEnd);
      const receipt = value(parser.receiptStart, parser.receiptEnd);
      const bodyAt = at + parser.bodyStart;
      if (parser.command === COMMAND.send) {
        if (!parser.repeated) sendHeaders = headers;
        else {
          const now: Record<string, string | null> = {
            destination,
            receipt,
            'content-length': String(parser.bodyLength),
          };
          const first = new Set<string>();
          for (const [name, old] of sendHeaders) {
            headers.push([name, first.has(name) ? old : (now[name] ?? old)]);
            first.add(name);
          }
        }
      }
      seen.push({
        command: commandName(parser.command),
        headers,
        destination,
        receipt,
        body: buffer.toString('latin1', bodyAt, bodyAt + parser.bodyLength),
      });
    }
  }
  return seen;
}

/** The frames before the first malformed one, and whether there is a malformed one. */
function outcome(chunks: readonly Buffer[], version: StompVersion): { seen: Seen[]; failed: boolean } {
  const seen: Seen[] = [];
  try {
    parse(chunks, version, STOMP_LIMITS, seen);
    return { seen, failed: false };
  } catch (error) {
    assert.ok(error instanceof StompError, String(error));
    return { seen, failed: true };
  }
}

function refused(
  bytes: Buffer,
  expected: RegExp,
  version: StompVersion = STOMP_VERSION.v1_2,
  limits?: StompLimits,
): void {
  for (const chunks of [[bytes], [...bytes].map((byte) => Buffer.from([byte]))]) {
    assert.throws(
      () => {
        const seen = parse(chunks, version, limits);
        assert.fail(`parsed ${JSON.stringify(seen)}`);
      },
      (error: unknown) => error instanceof StompError && expected.test(error.message),
    );
  }
}

const CONVERSATION = Buffer.concat([
  frame('CONNECT', ['accept-version:1.2', 'host:/', 'login:a:b']),
  Buffer.from('\n\r\n\n'),
  frame('SUBSCRIBE', ['id:0', 'destination:/topic/a.*']),
  frame('SEND', ['destination:/topic/a.b', 'content-length:5', 'receipt:r1', 'x:1'], 'hello'),
  frame('SEND', ['destination:/topic/a.b', 'content-length:11', 'receipt:r22', 'x:1'], 'h\0llo world'),
  frame('SEND', ['destination:/topic/a.cde', 'content-length:0', 'receipt:', 'x:1'], ''),
  Buffer.from('\n'),
  frame('SEND', ['destination:/topic/a.b', 'content-length:2', 'receipt:r3', 'x:2'], 'xx'),
  frame('SEND', ['destination:/queue/q'], 'until NUL'),
  frame('SEND', ['destination:/queue/q'], 'and again'),
  frame('SEND', ['destination:/queue/q', 'destination:/queue/second', 'receipt:1', 'receipt:2'], 'repeated'),
  frame('SEND', ['destination:/queue/q', 'destination:/queue/second', 'receipt:3', 'receipt:2'], 'names'),
  frame('ACK', ['id:1-2']),
  Buffer.from('SEND\r\ndestination:/queue/cr\r\ncontent-length:3\r\n\r\nabc\0'),
  Buffer.from('SEND\r\ndestination:/queue/cr\r\ncontent-length:3\r\n\r\nabd\0'),
  frame('DISCONNECT', ['receipt:bye']),
]);

const EXPECTED: Seen[] = [
  {
    command: 'CONNECT',
    headers: [
      ['accept-version', '1.2'],
      ['host', '/'],
      ['login', 'a:b'],
    ],
    destination: null,
    receipt: null,
    body: '',
  },
  {
    command: 'SUBSCRIBE',
    headers: [
      ['id', '0'],
      ['destination', '/topic/a.*'],
    ],
    destination: '/topic/a.*',
    receipt: null,
    body: '',
  },
  ...[
    ['/topic/a.b', '5', 'r1', '1', 'hello'],
    ['/topic/a.b', '11', 'r22', '1', 'h\0llo world'],
    ['/topic/a.cde', '0', '', '1', ''],
    ['/topic/a.b', '2', 'r3', '2', 'xx'],
  ].map(
    ([destination, length, receipt, x, body]): Seen => ({
      command: 'SEND',
      headers: [
        ['destination', destination!],
        ['content-length', length!],
        ['receipt', receipt!],
        ['x', x!],
      ],
      destination: destination!,
      receipt: receipt!,
      body: body!,
    }),
  ),
  ...['until NUL', 'and again'].map(
    (body): Seen => ({
      command: 'SEND',
      headers: [['destination', '/queue/q']],
      destination: '/queue/q',
      receipt: null,
      body,
    }),
  ),
  ...[
    ['1', 'repeated'],
    ['3', 'names'],
  ].map(
    ([receipt, body]): Seen => ({
      command: 'SEND',
      headers: [
        ['destination', '/queue/q'],
        ['destination', '/queue/second'],
        ['receipt', receipt!],
        ['receipt', '2'],
      ],
      destination: '/queue/q',
      receipt: receipt!,
      body: body!,
    }),
  ),
  { command: 'ACK', headers: [['id', '1-2']], destination: null, receipt: null, body: '' },
  ...['abc', 'abd'].map(
    (body): Seen => ({
      command: 'SEND',
      headers: [
        ['destination', '/queue/cr'],
        ['content-length', '3'],
      ],
      destination: '/queue/cr',
      receipt: null,
      body,
    }),
  ),
  { command: 'DISCONNECT', headers: [['receipt', 'bye']], destination: null, receipt: 'bye', body: '' },
];

describe('frame parser', () => {
  it('reads a conversation that comes in one chunk', () => {
    assert.deepEqual(parse([CONVERSATION]), EXPECTED);
  });

  it('reads it at every split in two', () => {
    for (let at = 1; at < CONVERSATION.length; at++) {
      const chunks = [CONVERSATION.subarray(0, at), CONVERSATION.subarray(at)];
      assert.deepEqual(parse(chunks), EXPECTED, `split at ${at}`);
    }
  });

  it('reads it byte by byte', () => {
    assert.deepEqual(parse([...CONVERSATION].map((byte) => Buffer.from([byte]))), EXPECTED);
  });

  it('reads it in chunks of any sizes', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 90 }), { maxLength: 40 }), (sizes) => {
        const chunks: Buffer[] = [];
        let at = 0;
        for (const size of sizes) {
          chunks.push(CONVERSATION.subarray(at, at + size));
          at += size;
        }
        chunks.push(CONVERSATION.subarray(at));
        assert.deepEqual(parse(chunks), EXPECTED);
      }),
    );
  });

  for (const version of Object.values(STOMP_VERSION)) {
    it(`says the same of any bytes at every split, in ${versionName(version)}`, () => {
      const mutation = fc.record({
        at: fc.nat(CONVERSATION.length - 1),
        remove: fc.nat(3),
        insert: fc.array(fc.constantFrom(0, 10, 13, 58, 92, 99, 110, 114, 48, 57, 255), { maxLength: 3 }),
      });
      fc.assert(
        fc.property(fc.array(mutation, { maxLength: 4 }), (mutations) => {
          let bytes = CONVERSATION;
          for (const { at, remove, insert } of mutations) {
            bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(insert), bytes.subarray(at + remove)]);
          }
          const whole = outcome([bytes], version);
          for (let at = 1; at < bytes.length; at++) {
            assert.deepEqual(outcome([bytes.subarray(0, at), bytes.subarray(at)], version), whole, `split at ${at}`);
          }
        }),
        { numRuns: 10, examples: [[[]]] },
      );
    });
  }

  it('takes chunks that arrive while frames are still unread', () => {
    const parser = new FrameParser(STOMP_LIMITS);
    const half = CONVERSATION.length >> 1;
    parser.push(CONVERSATION.subarray(0, half));
    assert.ok(parser.next());
    parser.push(CONVERSATION.subarray(half, half + 7));
    parser.push(CONVERSATION.subarray(half + 7));
    let frames = 1;
    while (parser.next()) frames++;
    assert.equal(frames, EXPECTED.length);
  });

  it('carries any body through content-length and any split', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 2000 }), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 700 }),
        (bodies, size) => {
          const bytes = Buffer.concat(
            bodies.map((body) =>
              frame('SEND', ['destination:/queue/q', `content-length:${body.length}`], Buffer.from(body)),
            ),
          );
          const chunks: Buffer[] = [];
          for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
          assert.deepEqual(
            parse(chunks).map(({ body }) => body),
            bodies.map((body) => Buffer.from(body).toString('latin1')),
          );
        },
      ),
    );
  });

  it('notices where a SEND repeats the header block before it', () => {
    const parser = new FrameParser(STOMP_LIMITS);
    const repeated: [boolean, boolean][] = [];
    parser.push(CONVERSATION);
    while (parser.next()) {
      if (parser.command === COMMAND.send) repeated.push([parser.repeated, parser.repeated && parser.sameDestination]);
    }
    assert.deepEqual(repeated.slice(0, 6), [
      [false, false],
      [true, true],
      [true, false],
      [false, false],
      [false, false],
      [true, true],
    ]);
  });

  it('refuses what is no frame', () => {
    refused(Buffer.from('GET / HTTP/1.1\r\n'), /Unknown command/);
    refused(Buffer.from('MESSAGE\n\n\0'), /Unknown command/);
    refused(Buffer.from('send\n\n\0'), /Unknown command/);
    refused(Buffer.from([0x16, 3, 1, 0, 0xa5, 1, 0, 0, 0xa1, 3, 3, 1, 2, 3, 4]), /NUL inside/);
    refused(Buffer.from('SEND\ndestination\n\n\0'), /no colon/);
    refused(Buffer.from('SEND\n:value\n\n\0'), /no name/);
    refused(Buffer.from('SEND\ndestination:/q\0\n\n\0'), /NUL inside/);
    refused(Buffer.from('SEND\ndestination:/queue/q\ncontent-length:3\n\nabcd\0'), /no NUL/);
    refused(Buffer.from('SEND\ncontent-length:-3\n\nabc\0'), /content-length/);
    refused(Buffer.from('SEND\ncontent-length:\n\n\0'), /content-length/);
    refused(Buffer.from('SEND\ncontent-length:1e3\n\n\0'), /content-length/);
    refused(Buffer.from('ACK\nid:1\n\nbody\0'), /no NUL/);
    refused(Buffer.from('ACK\nid:1\ncontent-length:4\n\nbody\0'), /only SEND/);
  });

  it('names the limit that a frame exceeds', () => {
    const limits = { ...STOMP_LIMITS, maxHeaders: 4, maxHeaderBytes: 100, maxBodyBytes: 20 };
    const many = ['a:1', 'b:2', 'c:3', 'd:4'];
    assert.equal(parse([frame('SEND', many, 'x'.repeat(20))], STOMP_VERSION.v1_2, limits).length, 1);
    refused(frame('SEND', [...many, 'e:5']), /maxHeaders is 4/, STOMP_VERSION.v1_2, limits);
    refused(frame('SEND', [`a:${'1'.repeat(100)}`]), /maxHeaderBytes is 100/, STOMP_VERSION.v1_2, limits);
    refused(Buffer.from(`SEND\n${'a'.repeat(200)}`), /maxHeaderBytes is 100/, STOMP_VERSION.v1_2, limits);
    refused(
      frame('SEND', ['content-length:21'], 'x'.repeat(21)),
      /limits\.messageBytes is 20/,
      STOMP_VERSION.v1_2,
      limits,
    );
    refused(Buffer.from('SEND\ncontent-length:21\n\n'), /limits\.messageBytes is 20/, STOMP_VERSION.v1_2, limits);
    refused(frame('SEND', [], 'x'.repeat(21)), /limits\.messageBytes is 20/, STOMP_VERSION.v1_2, limits);
    // Also after a cached header block.
    const repeated = Buffer.concat([
      frame('SEND', ['content-length:1'], 'x'),
      frame('SEND', ['content-length:21'], 'x'.repeat(21)),
    ]);
    refused(repeated, /limits\.messageBytes is 20/, STOMP_VERSION.v1_2, limits);
  });

  it('leaves CR to the value before 1.2, and refuses a CR within a line in 1.2', () => {
    const bytes = Buffer.from('SEND\nx:1\r\n\nbody\0');
    assert.deepEqual(parse([bytes], STOMP_VERSION.v1_1)[0]!.headers, [['x', '1\r']]);
    assert.deepEqual(parse([bytes], STOMP_VERSION.v1_2)[0]!.headers, [['x', '1']]);
    refused(Buffer.from('SEND\nx:1\r2\n\nbody\0'), /CR inside/);
  });

  it('ignores the body of any frame in 1.0, where each may have one, within the bound of bodies', () => {
    const bytes = Buffer.concat([frame('ACK', ['id:1'], 'ignored'), frame('ACK', ['id:2', 'content-length:1'], '\0')]);
    assert.deepEqual(
      parse([bytes], STOMP_VERSION.v1_0).map(({ headers }) => headers[0]),
      [
        ['id', '1'],
        ['id', '2'],
      ],
    );
    refused(bytes, /no NUL/, STOMP_VERSION.v1_1);
    refused(frame('ACK', ['id:1'], 'x'.repeat(21)), /messageBytes is 20/, STOMP_VERSION.v1_0, {
      ...STOMP_LIMITS,
      maxBodyBytes: 20,
    });
  });

  it('reads a frame whose command ends in CR LF with CR LF throughout, in every version', () => {
    const bytes = Buffer.from('SEND\r\ndestination:/queue/q\r\nx:1\r\n\r\nbody\r\n\0\r\nSEND\nx:2\r\n\nb\0');
    for (const version of [STOMP_VERSION.v1_0, STOMP_VERSION.v1_1]) {
      const [first, second] = parse([bytes], version);
      assert.deepEqual(first!.headers.at(-1), ['x', '1']);
      assert.equal(first!.destination, '/queue/q');
      assert.equal(first!.body, 'body\r\n');
      assert.deepEqual(second!.headers, [['x', '2\r']]);
    }
  });
});
