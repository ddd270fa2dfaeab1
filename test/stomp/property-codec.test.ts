// SEND headers are kept as native bytes, decode to AMQP properties, and return as MESSAGE headers without loss.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FrameParser } from '../../protocols/stomp/frame-parser.ts';
import { STOMP_LIMITS } from '../../protocols/stomp/limits.ts';
import { encodeHeaders, STOMP_CODEC } from '../../protocols/stomp/property-codec.ts';
import { readSendHeaders, type SendHeaders } from '../../protocols/stomp/send-headers.ts';
import { StompError } from '../../protocols/stomp/stomp-error.ts';
import { STOMP_VERSION, type StompVersion } from '../../protocols/stomp/version.ts';
import type { FieldTable } from '../../src/core/message/field-table.ts';
import { NEVER } from '../../src/core/message/message.ts';
import { NO_PROPERTIES, type Properties } from '../../src/core/message/properties.ts';
import { frame } from './frames.ts';

function sent(lines: readonly string[], version: StompVersion = STOMP_VERSION.v1_2): SendHeaders {
  const parser = new FrameParser(STOMP_LIMITS);
  parser.version = version;
  parser.push(frame('SEND', lines));
  assert.ok(parser.next());
  return readSendHeaders(parser, null);
}

function decoded(bytes: Buffer): Properties {
  return STOMP_CODEC.decode(bytes, 0, bytes.length);
}

function headers(properties: Partial<Properties>, version: StompVersion = STOMP_VERSION.v1_2): string {
  return encodeHeaders({ ...NO_PROPERTIES, ...properties }, false, version).toString();
}

describe('SEND headers', () => {
  it('keeps what travels with the message and drops what belongs to the frame', () => {
    const lines = ['destination:/queue/q', 'receipt:1', 'content-length:0', 'x:1', 'message-id:m', 'ack:a', 'type:t'];
    assert.equal(
      sent([...lines, 'subscription:s', 'redelivered:true', 'receipt-id:r']).native.toString(),
      'x:1\ntype:t\n',
    );
    assert.equal(sent(lines.slice(0, 3)).native.length, 0);
  });

  it('keeps the first of repeated headers, and their order', () => {
    assert.equal(sent(['b:1', 'a:2', 'b:3', 'a:4', 'c:5']).native.toString(), 'b:1\na:2\nc:5\n');
  });

  it('keeps native bytes in the escaping of 1.2 whatever the publisher speaks', () => {
    assert.equal(sent(['a\\cb:c\\nd\\r', 'plain:x']).native.toString(), 'a\\cb:c\\nd\\r\nplain:x\n');
    assert.equal(sent(['time:12:30:00']).native.toString(), 'time:12\\c30\\c00\n');
    assert.equal(sent(['x:a\\cb', 'y:1\r'], STOMP_VERSION.v1_1).native.toString(), 'x:a\\cb\ny:1\\r\n');
    assert.equal(sent(['x: a\\b'], STOMP_VERSION.v1_0).native.toString(), 'x:a\\\\b\n');
  });

  it('finds the properties that the core needs at once', () => {
    const read = sent([
      'persistent:true',
      'priority:7',
      'expiration:60000',
      'transaction:t1',
      'reply-to:/temp-queue/a',
    ]);
    assert.equal(read.persistent, true);
    assert.equal(read.priority, 7);
    assert.equal(read.expirationMs, 60_000);
    assert.equal(read.transaction, 't1');
    assert.equal(read.replyTo, '/temp-queue/a');
    const none = sent(['x:1']);
    assert.deepEqual(
      [none.persistent, none.priority, none.expirationMs, none.transaction, none.replyTo],
      [false, 0, NEVER, null, null],
    );
  });

  it('refuses values that cannot be meant', () => {
    for (const line of ['priority:high', 'priority:256', 'priority:-1', 'expiration:1s', 'expiration:4294967296']) {
      assert.throws(() => sent([line]), StompError, line);
    }
    assert.throws(() => sent(['x:\\t']), StompError);
    const parser = new FrameParser(STOMP_LIMITS);
    parser.push(Buffer.concat([Buffer.from('SEND\nx:'), Buffer.from([0xc3, 0x28]), Buffer.from('\n\n\0')]));
    assert.ok(parser.next());
    assert.throws(() => readSendHeaders(parser, null), /UTF-8/);
  });
});

describe('STOMP property codec', () => {
  it('decodes AMQP properties and message headers', () => {
    const { native } = sent([
      'content-type:application/json',
      'content-encoding:gzip',
      'persistent:true',
      'priority:3',
      'correlation-id:c\\c1',
      'reply-to:/reply-queue/amq.gen-1',
      'expiration:100',
      'amqp-message-id:m1',
      'timestamp:1700000000',
      'type:reading',
      'user-id:guest',
      'app-id:app',
      'grüße:€\\n',
      'x-number:5',
    ]);
    assert.deepEqual(decoded(native), {
      contentType: 'application/json',
      contentEncoding: 'gzip',
      headers: [
        { name: 'grüße', value: { type: 'S', value: '€\n' } },
        { name: 'x-number', value: { type: 'S', value: '5' } },
      ],
      deliveryMode: 2,
      priority: 3,
      correlationId: 'c:1',
      replyTo: 'amq.gen-1',
      expiration: '100',
      messageId: 'm1',
      timestamp: 1_700_000_000n,
      type: 'reading',
      userId: 'guest',
      appId: 'app',
      clusterId: null,
    });
  });

  it('decodes no headers as no properties', () => {
    assert.deepEqual(decoded(Buffer.alloc(0)), { ...NO_PROPERTIES });
  });

  it('keeps a timestamp that is none as a message header', () => {
    const properties = decoded(Buffer.from('timestamp:yesterday\n'));
    assert.equal(properties.timestamp, null);
    assert.deepEqual(properties.headers, [{ name: 'timestamp', value: { type: 'S', value: 'yesterday' } }]);
  });

  it('writes AMQP properties as headers', () => {
    const text = headers({
      contentType: 'text/plain',
      contentEncoding: 'identity',
      deliveryMode: 2,
      priority: 0,
      correlationId: 'a:b',
      replyTo: 'answers',
      expiration: '10',
      messageId: 'm',
      timestamp: 12n,
      type: 't',
      userId: 'u',
      appId: 'a',
      clusterId: 'c',
    });
    assert.equal(
      text,
      'content-type:text/plain\ncontent-encoding:identity\npersistent:true\npriority:0\ncorrelation-id:a\\cb\n' +
        'reply-to:/reply-queue/answers\nexpiration:10\namqp-message-id:m\ntimestamp:12\ntype:t\nuser-id:u\napp-id:a\n' +
        'cluster-id:c\n',
    );
    assert.equal(headers({ deliveryMode: 1 }), '');
  });

  it('writes typed headers as text', () => {
    const table: FieldTable = [
      { name: 'bool', value: { type: 't', value: true } },
      { name: 'int', value: { type: 'I', value: -5 } },
      { name: 'long', value: { type: 'l', value: 9007199254740993n } },
      { name: 'double', value: { type: 'd', value: 1.5 } },
      { name: 'time', value: { type: 'T', value: 1_700_000_000n } },
      { name: 'decimal', value: { type: 'D', value: { scale: 2, unscaled: -5 } } },
      { name: 'text', value: { type: 'S', value: 'ü:\n' } },
      { name: 'utf8', value: { type: 'S', value: Buffer.from('€') } },
      { name: 'octets', value: { type: 'x', value: Buffer.from([0xff, 0]) } },
      { name: 'void', value: { type: 'V', value: null } },
      {
        name: 'array',
        value: {
          type: 'A',
          value: [
            { type: 'I', value: 1 },
            { type: 'F', value: [{ name: 'k', value: { type: 'l', value: 2n } }] },
            { type: 'V', value: null },
            { type: 'd', value: Number.NaN },
          ],
        },
      },
    ];
    assert.equal(
      headers({ headers: table }),
      'bool:true\nint:-5\nlong:9007199254740993\ndouble:1.5\ntime:1700000000\ndecimal:-0.05\ntext:ü\\c\\n\nutf8:€\n' +
        'octets:/wA=\nvoid:\narray:[1,{"k"\\c2},null,"NaN"]\n',
    );
  });

  it('lets no message header take the place of one of the frame or of a property, and drops none', () => {
    const names = ['subscription', 'message-id', 'content-length', 'destination', 'ack', 'priority', 'type', ''];
    const table: FieldTable = names.map((name) => ({ name, value: { type: 'S', value: 'h' } }));
    assert.equal(
      headers({ headers: table, priority: 1 }),
      'priority:1\nx-subscription:h\nx-message-id:h\nx-content-length:h\nx-destination:h\nx-ack:h\nx-priority:h\n' +
        'type:h\nx-:h\n',
    );
  });

  it('says that a user sent it only where the broker knows', () => {
    const table: FieldTable = [{ name: 'user-id', value: { type: 'S', value: 'admin' } }];
    assert.equal(headers({ headers: table }), 'x-user-id:admin\n');
    assert.equal(headers({ headers: table, userId: 'guest' }), 'user-id:guest\nx-user-id:admin\n');
  });

  it('writes the first of repeated headers, however many there are', () => {
    const table: FieldTable = Array.from({ length: 40_000 }, (_, i) => ({
      name: `h${i % 20_000}`,
      value: { type: 'I', value: i },
    }));
    const lines = headers({ headers: table }).trimEnd().split('\n');
    assert.equal(lines.length, 20_000);
    assert.equal(lines.at(-1), 'h19999:19999');
  });

  it('keeps text headers through encode and decode', () => {
    const text = fc.string({ unit: 'grapheme' }).filter((value) => !value.includes('\0'));
    const name = text.filter((value) => value !== '' && !/^(persistent|priority|timestamp|reply-to)$/.test(value));
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(name, text), { selector: ([key]) => key }), (pairs) => {
        const table: FieldTable = pairs.map(([key, value]) => ({ name: key, value: { type: 'S', value } }));
        const bytes = encodeHeaders({ ...NO_PROPERTIES, headers: table }, false, STOMP_VERSION.v1_2);
        assert.deepEqual([...decoded(bytes).headers], [...table]);
      }),
    );
  });
});
