// Protects the native form of AMQP properties: flags and list as in the grammar, and refusal of malformed ones.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AmqpError } from '../../protocols/amqp/amqp-error.ts';
import {
  amqpProperties,
  encodeProperties,
  INVALID_EXPIRATION,
  PropertyScanner,
} from '../../protocols/amqp/properties.ts';
import { NEVER } from '../../src/core/message/message.ts';
import { NO_PROPERTIES, type Properties } from '../../src/core/message/properties.ts';
import { anyProperties } from './arbitraries.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const decode = (bytes: Buffer): Properties => amqpProperties.decode(bytes, 0, bytes.length);

test('all fourteen properties stand in the order of the specification', () => {
  const bytes = hex(
    'fffc 0163 0165 00000007 01 68 49 00000007' + '02 09 0169 0172 0136 016d 000000000000002a 0174 0175 0161 017a',
  );
  const properties: Properties = {
    contentType: 'c',
    contentEncoding: 'e',
    headers: [{ name: 'h', value: { type: 'I', value: 7 } }],
    deliveryMode: 2,
    priority: 9,
    correlationId: 'i',
    replyTo: 'r',
    expiration: '6',
    messageId: 'm',
    timestamp: 42n,
    type: 't',
    userId: 'u',
    appId: 'a',
    clusterId: 'z',
  };
  assert.deepEqual(encodeProperties(properties), bytes);
  assert.deepEqual(decode(bytes), properties);
  const scanner = new PropertyScanner();
  scanner.scan(bytes, 0, bytes.length);
  assert.deepEqual([scanner.persistent, scanner.priority, scanner.expirationMs, scanner.special], [true, 9, 6, true]);
});

test('a message without properties is two bytes of flags', () => {
  assert.deepEqual(encodeProperties(NO_PROPERTIES), hex('0000'));
  assert.equal(decode(hex('0000')), NO_PROPERTIES);
});

test('any properties survive the round trip, and the scanner agrees with the decoder', () => {
  const scanner = new PropertyScanner();
  fc.assert(
    fc.property(anyProperties, (properties) => {
      const bytes = encodeProperties(properties);
      assert.deepEqual(decode(bytes), properties);
      scanner.scan(bytes, 0, bytes.length);
      assert.equal(scanner.persistent, properties.deliveryMode === 2);
      assert.equal(scanner.priority, properties.priority ?? 0);
      assert.equal(scanner.expirationMs, properties.expiration === null ? NEVER : Number(properties.expiration));
      if (properties.userId !== null) assert.ok(scanner.special);
    }),
  );
});

test('a further word of flags is read over', () => {
  const bytes = hex('0801 0000 05');
  new PropertyScanner().scan(bytes, 0, bytes.length);
  assert.equal(decode(bytes).priority, 5);
});

test('a list that is cut, or longer than its flags, is refused with 502 and never crashes', () => {
  const scanner = new PropertyScanner();
  const refused = (bytes: Buffer): boolean => {
    try {
      scanner.scan(bytes, 0, bytes.length);
      return false;
    } catch (error) {
      assert.ok(error instanceof AmqpError && error.code === 502, String(error));
      return true;
    }
  };
  fc.assert(
    fc.property(anyProperties, fc.nat(), (properties, cut) => {
      const bytes = encodeProperties(properties);
      assert.ok(refused(bytes.subarray(0, cut % bytes.length)));
      assert.ok(refused(Buffer.concat([bytes, Buffer.alloc(1)])));
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (random) => {
      const bytes = Buffer.from(random);
      if (!refused(bytes)) decode(bytes);
    }),
  );
});

test('an expiration that is no number of milliseconds is recognised', () => {
  const scanner = new PropertyScanner();
  for (const text of ['', 'abc', '-1', '1.5', ' 1', '315360000001']) {
    const bytes = encodeProperties({ ...NO_PROPERTIES, expiration: text });
    scanner.scan(bytes, 0, bytes.length);
    assert.equal(scanner.expirationMs, INVALID_EXPIRATION, text);
  }
});
