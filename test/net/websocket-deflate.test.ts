// Compression of WebSocket messages against RFC 7692: the negotiation, inflation at every split and within its bound,
// deflation, and the `ws` client as the peer.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { WebSocket } from 'ws';
import { MESSAGE_KIND, type MessageKind } from '../../src/net/message-kind.ts';
import { OUTBOX_DEFAULTS, Outbox } from '../../src/net/outbox.ts';
import { SlabPool } from '../../src/net/slab-pool.ts';
import { WebSocketListener } from '../../src/net/websocket.ts';
import { WebSocketReceiver } from '../../src/net/websocket-codec.ts';
import { agreeOnDeflate, DeflatingSink, Inflater } from '../../src/net/websocket-deflate.ts';
import { WebSocketFraming } from '../../src/net/websocket-framing.ts';
import { Arrivals, newContext, put, TestSink, TestTurn } from './fixtures.ts';

const BASE = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';
const KEY = [0x37, 0xfa, 0x21, 0x3d];
const MAX_INFLATED = 10_000;

function frame(first: number, payload: Buffer): Buffer {
  const { length } = payload;
  const head = length < 126 ? [first, 0x80 | length] : [first, 0xfe, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([...head, ...KEY]), Buffer.from(payload.map((byte, i) => byte ^ KEY[i & 3]!))]);
}

/** Compresses a message as a client does [RFC 7692 §7.2.1]. */
function deflated(payload: Buffer | string): Buffer {
  return deflateRawSync(payload, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);
}

describe('the agreement on compression', () => {
  const offers: readonly (readonly [string | undefined, string | null])[] = [
    [undefined, null],
    ['', null],
    ['permessage-deflate', BASE],
    ['permessage-deflate; client_max_window_bits', BASE],
    ['permessage-deflate;client_max_window_bits=10;server_no_context_takeover', BASE],
    ['permessage-deflate; server_max_window_bits=10', `${BASE}; server_max_window_bits=10`],
    ['permessage-deflate; server_max_window_bits="12"', `${BASE}; server_max_window_bits=12`],
    ['x-webkit-deflate-frame, permessage-deflate', BASE],
    ['permessage-deflate; server_max_window_bits=8, permessage-deflate', BASE],
    ['permessage-deflate; server_max_window_bits=8', null],
    ['permessage-deflate; server_max_window_bits=16', null],
    ['permessage-deflate; server_max_window_bits', null],
    ['permessage-deflate; client_max_window_bits=7', null],
    ['permessage-deflate; client_no_context_takeover=1', null],
    ['permessage-deflate; client_max_window_bits; client_max_window_bits', null],
    ['permessage-deflate; unknown', null],
    ['x-other', null],
  ];
  for (const [offer, answer] of offers) {
    it(`answers ${JSON.stringify(offer)}`, () => {
      const headers = offer === undefined ? {} : { 'sec-websocket-extensions': offer };
      assert.equal(agreeOnDeflate(headers)?.answer ?? null, answer);
    });
  }
});

/** The events of a receiver for these chunks. */
function received(chunks: readonly Buffer[]): string[] {
  const lines: string[] = [];
  const sink = {
    payload(run: Buffer, kind: MessageKind): boolean {
      const name = kind === MESSAGE_KIND.text ? 'text ' : 'binary ';
      const last = lines.length - 1;
      if (lines[last]?.startsWith(name)) lines[last] += String(run);
      else lines.push(name + String(run));
      return true;
    },
    ping: (payload: Buffer) => void lines.push(`ping ${payload}`),
    closeFrame: (code: number) => void lines.push(`close ${code}`),
    violation: (code: number, reason: string) => void lines.push(`violation ${code} ${reason}`),
  };
  const receiver = new WebSocketReceiver(sink, 1 << 20, new Inflater(MAX_INFLATED));
  for (const chunk of chunks) receiver.receive(Buffer.from(chunk));
  return lines;
}

describe('received compressed messages', () => {
  it('are inflated between plain ones, whole and in fragments, at every split', () => {
    const long = deflated('ä'.repeat(2_000));
    const conversation = Buffer.concat([
      frame(0x82, Buffer.from('plain ')),
      frame(0xc2, deflated('packed ')),
      frame(0x82, Buffer.from('plain again')),
      frame(0xc1, deflated('größe ')),
      frame(0x41, long.subarray(0, 3)),
      frame(0x89, Buffer.from('?')),
      frame(0x00, long.subarray(3)),
      frame(0x80, Buffer.alloc(0)),
      frame(0x81, Buffer.from('end')),
      frame(0xc1, deflated('')),
      frame(0x88, Buffer.from([3, 232])),
    ]);
    const expected = [
      'binary plain packed plain again',
      'text größe ',
      'ping ?',
      `text ${'ä'.repeat(2_000)}end`,
      'close 1000',
    ];
    for (let at = 1; at < conversation.length; at++) {
      assert.deepEqual(received([conversation.subarray(0, at), conversation.subarray(at)]), expected, `split at ${at}`);
    }
    assert.deepEqual(received([...conversation].map((byte) => Buffer.from([byte]))), expected);
  });

  const violations: readonly (readonly [string, Buffer, RegExp])[] = [
    ['a bomb', frame(0xc2, deflated(Buffer.alloc(MAX_INFLATED + 1))), /^violation 1009 .*10000/],
    ['more than can inflate within the bound', frame(0xc2, Buffer.alloc(MAX_INFLATED + 2_000)), /^violation 1009 /],
    ['what is no deflated data', frame(0xc2, Buffer.from([0xff, 0xff, 0xff])), /^violation 1007 .*inflated/],
    ['text that is no UTF-8', frame(0xc1, deflated(Buffer.from([0x61, 0xff]))), /^violation 1007 .*UTF-8/],
    [
      'a continuation with the bit',
      Buffer.concat([frame(0x42, deflated('a')), frame(0xc0, deflated('b'))]),
      /^violation 1002 /,
    ],
    ['a ping with the bit', frame(0xc9, Buffer.from('x')), /^violation 1002 /],
    ['another reserved bit', frame(0xe2, deflated('a')), /^violation 1002 /],
  ];
  for (const [what, bytes, expected] of violations) {
    it(`are refused if they are ${what}`, () => {
      for (const cut of [1, Math.floor(bytes.length / 2), bytes.length]) {
        const lines = received([bytes.subarray(0, cut), bytes.subarray(cut), frame(0x82, Buffer.from('after'))]);
        assert.equal(lines.length, 1);
        assert.match(lines[0]!, expected);
      }
    });
  }

  it('use memory for their content only, even if they arrive octet by octet', () => {
    const octets = 1_000_000;
    const noise = randomBytes(octets);
    const inflater = new Inflater(2 * octets);
    const compressed = deflated(noise);
    // A Buffer object takes about a hundred bytes besides its content, so no Buffer may be kept for each octet.
    const held = new Set<unknown>();
    for (let at = 0; at < compressed.length; at++) {
      inflater.add(compressed.subarray(at, at + 1));
      if (at % 100_000 === 0) for (const value of Object.values(inflater).flat()) held.add(value);
    }
    assert.ok(held.size < 50, `${held.size} buffers`);
    assert.deepEqual(inflater.finish(), noise);
  });

  it('may inflate to exactly the limit', () => {
    assert.deepEqual(received([frame(0xc2, deflated('x'.repeat(MAX_INFLATED)))]), [
      `binary ${'x'.repeat(MAX_INFLATED)}`,
    ]);
  });
});

interface Sent {
  readonly kind: number;
  readonly compressed: boolean;
  readonly payload: Buffer;
}

/** The messages in a server's frames, decoded as the RFCs define. */
function messages(output: Buffer): Sent[] {
  const all: Sent[] = [];
  let parts: Buffer[] = [];
  let first = 0;
  for (let at = 0; at < output.length; ) {
    const byte = output[at]!;
    let length = output[at + 1]!;
    at += 2;
    if (length === 126) {
      length = output.readUInt16BE(at);
      at += 2;
    } else if (length === 127) {
      length = Number(output.readBigUInt64BE(at));
      at += 8;
    }
    if ((byte & 0x0f) !== 0) first = byte;
    else assert.equal(byte & 0x70, 0, 'only the first fragment has the bit');
    parts.push(output.subarray(at, at + length));
    at += length;
    if (byte < 0x80) continue;
    const compressed = (first & 0x40) !== 0;
    const whole = Buffer.concat(parts);
    const payload = compressed
      ? inflateRawSync(Buffer.concat([whole, Buffer.from([0, 0, 255, 255])]), { finishFlush: constants.Z_SYNC_FLUSH })
      : whole;
    all.push({ kind: first & 0x0f, compressed, payload });
    parts = [];
  }
  assert.equal(parts.length, 0, 'the last message is whole');
  return all;
}

function deflatingOutbox(byteStream = false) {
  const sink = new TestSink();
  const pool = new SlabPool();
  const turn = new TestTurn(false);
  const framing = new WebSocketFraming(byteStream);
  const owner = { drained() {}, stalled() {} };
  const context = { scheduler: turn, pool, outbox: OUTBOX_DEFAULTS };
  return { outbox: new Outbox(new DeflatingSink(sink, 15), owner, context, framing), sink, pool, turn, framing };
}

/** A message too long to be gathered, followed in the same turn by one that is compressed. */
const LONG_THEN_SHORT: { length: number; ending: string }[] = [
  { length: 600_000, ending: 'go on' },
  { length: 600_000, ending: 'end message' },
  { length: 8_192, ending: 'go on' },
];

describe('sent messages', () => {
  it('are compressed if that saves bytes, with their type unchanged', () => {
    const { outbox, sink, turn, framing } = deflatingOutbox();
    put(outbox, 'short');
    turn.end();
    put(outbox, 'x'.repeat(5_000));
    outbox.endMessage();
    framing.kind = MESSAGE_KIND.text;
    put(outbox, 'y'.repeat(300));
    turn.end();
    outbox.control(9, Buffer.from('?'));
    turn.end();
    const sent = messages(sink.output);
    assert.deepEqual(
      sent.map(({ kind, compressed, payload }) => [kind, compressed, String(payload)]),
      [
        [2, false, 'short'],
        [2, true, 'x'.repeat(5_000)],
        [1, true, 'y'.repeat(300)],
        [9, false, '?'],
      ],
    );
    assert.ok(sink.output.length < 100);
  });

  it('hold every byte in order, whatever their lengths, and give their slabs back', () => {
    const write = fc.record({
      length: fc.oneof(fc.nat(400), fc.integer({ min: 7_000, max: 70_000 }), fc.constant(600_000)),
      ending: fc.constantFrom('go on', 'end message', 'end turn'),
    });
    fc.assert(
      fc.property(fc.array(write, { maxLength: 12 }), fc.boolean(), (writes, byteStream) => {
        const { outbox, sink, pool, turn } = deflatingOutbox(byteStream);
        const expected: Buffer[] = [];
        let seed = 1;
        for (const { length, ending } of writes) {
          const body = Buffer.alloc(length);
          for (let i = 0; i < length; i++)
            body[i] = (seed = (seed * 48_271) % 0x7fffffff) & (length % 2 === 0 ? 0x0f : 0xff);
          expected.push(body);
          outbox.append(body, 0, length);
          if (ending === 'end message') outbox.endMessage();
          else if (ending === 'end turn') turn.end();
        }
        turn.end();
        // Copied now, before the slabs are returned and reused.
        const output = Buffer.concat(sink.writes);
        sink.complete();
        assert.equal(pool.lentBytes, 0);
        // Not `deepEqual`: its diff of megabytes would exhaust memory.
        assert.ok(Buffer.concat(messages(output).map(({ payload }) => payload)).equals(Buffer.concat(expected)));
      }),
      { numRuns: 25, examples: [[LONG_THEN_SHORT, false]] },
    );
  });

  it('are not compressed above the maximum length that is gathered', () => {
    const { outbox, sink, turn } = deflatingOutbox();
    const body = Buffer.alloc(1_500_000, 'z');
    put(outbox, 'head');
    outbox.append(body, 0, body.length);
    put(outbox, 'tail');
    turn.end();
    const [sent] = messages(sink.output);
    assert.equal(sent!.compressed, false);
    assert.deepEqual(sent!.payload, Buffer.concat([Buffer.from('head'), body, Buffer.from('tail')]));
  });
});

describe('a WebSocket of a client that compresses', () => {
  for (const maxInflatedBytes of [null, 1_000_000]) {
    it(maxInflatedBytes === null ? 'is plain if compression is off' : 'is compressed both ways', async () => {
      const context = newContext();
      const arrivals = new Arrivals();
      const listener = new WebSocketListener(
        {
          name: 'ws',
          host: '127.0.0.1',
          port: 0,
          tls: null,
          maxConnections: 10,
          maxMessageBytes: 1_000_000,
          maxInflatedBytes,
          origins: ['same'],
          credentials: { basic: false, cookie: null },
          paths: new Map([['/', { protocols: [], optional: true, byteStream: false, accept: arrivals.accept }]]),
        },
        context,
        { refused() {}, full() {}, addressFull() {} },
      );
      try {
        const arrival = arrivals.next();
        const port = await listener.listen();
        const client = new WebSocket(`ws://127.0.0.1:${port}/`, { perMessageDeflate: { threshold: 0 } });
        await once(client, 'open');
        assert.equal(client.extensions.includes('permessage-deflate'), maxInflatedBytes !== null);
        const handler = await arrival;
        const body = Buffer.alloc(200_000, 'readings ');
        handler.onData = (chunk) => handler.transport.outbox.append(chunk, 0, chunk.length);
        const echoed: Buffer[] = [];
        let bytes = 0;
        const all = new Promise<void>((resolve) => {
          client.on('message', (data: Buffer) => {
            echoed.push(data);
            if ((bytes += data.length) === body.length) resolve();
          });
        });
        client.send(body);
        await all;
        assert.deepEqual(Buffer.concat(echoed), body);
        const { bytesRead, bytesWritten } = handler.transport;
        if (maxInflatedBytes === null) assert.ok(bytesRead > body.length && bytesWritten > body.length);
        else assert.ok(bytesRead < 10_000 && bytesWritten < 10_000, `${bytesRead} in, ${bytesWritten} out`);
        client.close();
        await once(client, 'close');
      } finally {
        await listener.close();
      }
      assert.equal(context.pool.lentBytes, 0);
      assert.deepEqual(context.handlerErrors, []);
    });
  }
});
