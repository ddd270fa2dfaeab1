// Protects what AMQP consumers see of messages that other protocols published: everything, within AMQP's bounds.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nativeOf, nativeWithoutHeaders } from '../../protocols/amqp/foreign-properties.ts';
import { amqpProperties, PropertyScanner } from '../../protocols/amqp/properties.ts';
import { findField } from '../../src/core/message/field-table.ts';
import { Message, NEVER } from '../../src/core/message/message.ts';
import { NO_PROPERTIES, type Properties, type PropertyCodec } from '../../src/core/message/properties.ts';

function foreign(properties: Partial<Properties>, routingKey = 'k', persistent = true): Message {
  const codec: PropertyCodec = { id: 99, protocol: 'other', decode: () => ({ ...NO_PROPERTIES, ...properties }) };
  const nothing = Buffer.alloc(0);
  return new Message('amq.topic', routingKey, nothing, 0, 0, nothing, 0, 0, codec, persistent, 0, NEVER, 0);
}

function seen(message: Message): Properties {
  const native = nativeOf(message);
  new PropertyScanner().scan(native, 0, native.length);
  return amqpProperties.decode(native, 0, native.length);
}

test('the delivery mode tells whether the message is persistent', () => {
  assert.equal(seen(foreign({}, 'k', true)).deliveryMode, 2);
  assert.equal(seen(foreign({}, 'k', false)).deliveryMode, 1);
});

test('what is too long for a short string travels as a header', () => {
  const long = 'ü'.repeat(200);
  const properties = seen(foreign({ correlationId: long, contentType: 'text/plain' }));
  assert.equal(properties.correlationId, null);
  assert.equal(properties.contentType, 'text/plain');
  assert.deepEqual(findField(properties.headers, 'x-correlation-id'), { type: 'S', value: long });
});

test('a routing key that is too long leaves its whole topic in a header', () => {
  const key = `${'a.'.repeat(200)}b/c`;
  const topic = findField(seen(foreign({}, key)).headers, 'x-mqtt-topic');
  assert.deepEqual(topic, { type: 'S', value: `${'a/'.repeat(200)}b.c` });
});

test('the native bytes are made once for all receivers', () => {
  const message = foreign({ appId: 'a' });
  assert.equal(nativeOf(message), nativeOf(message));
});

test('without headers the rest is bounded whatever the headers were', () => {
  const headers = [{ name: 'h', value: { type: 'S', value: 'x'.repeat(200_000) } }] as const;
  const native = nativeWithoutHeaders(foreign({ headers, appId: 'a' }));
  const properties = amqpProperties.decode(native, 0, native.length);
  assert.deepEqual([properties.headers, properties.appId], [[], 'a']);
});
