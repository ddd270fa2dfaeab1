// Protects the properties that AMQP consumers get of messages from other protocols: complete, within AMQP's limits.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nativeOf, nativeWithoutHeaders } from '../../protocols/amqp/foreign-properties.ts';
import { amqpProperties, PropertyScanner } from '../../protocols/amqp/properties.ts';
import { MqttForms } from '../../protocols/mqtt/packet/property-codec.ts';
import { findField } from '../../src/core/message/field-table.ts';
import { Message, NEVER } from '../../src/core/message/message.ts';
import { NO_CODEC, NO_PROPERTIES, type Properties, type PropertyCodec } from '../../src/core/message/properties.ts';

function foreign(properties: Partial<Properties>, routingKey = 'k', persistent = true): Message {
  const codec: PropertyCodec = { id: 99, retainHeader: true, decode: () => ({ ...NO_PROPERTIES, ...properties }) };
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

test('a value too long for a short string becomes a header', () => {
  const long = 'ü'.repeat(200);
  const properties = seen(foreign({ correlationId: long, contentType: 'text/plain' }));
  assert.equal(properties.correlationId, null);
  assert.equal(properties.contentType, 'text/plain');
  assert.deepEqual(findField(properties.headers, 'x-correlation-id'), { type: 'S', value: long });
});

test('a routing key that is too long is truncated, and a header has the whole topic', () => {
  const key = `${'a.'.repeat(200)}b/c`;
  const topic = findField(seen(foreign({}, key)).headers, 'x-mqtt-topic');
  assert.deepEqual(topic, { type: 'S', value: `${'a/'.repeat(200)}b.c` });
});

for (const [name, codec] of [
  ['no codec', NO_CODEC],
  ...new MqttForms('amq.topic').codecs.slice(1, 4).map((each) => [`MQTT form ${each.id}`, each] as const),
] as const) {
  for (const persistent of [true, false]) {
    const nothing = Buffer.alloc(0);
    const of = (key: string) =>
      new Message('amq.topic', key, nothing, 0, 0, nothing, 0, 0, codec, persistent, 0, NEVER, 0);

    test(`a ${persistent ? 'persistent' : 'transient'} message of MQTT 3.1.1 (${name}) has one block for all`, () => {
      // Flags: only the delivery mode, bit 12; AMQP 0-9-1 §4.2.6.1.
      const expected = Buffer.from([0x10, 0x00, persistent ? 2 : 1]);
      for (const key of ['', 'k', 'k'.repeat(255), 'ü'.repeat(127)]) assert.deepEqual(nativeOf(of(key)), expected);
      assert.equal(nativeOf(of('a')), nativeOf(of('b')));
    });

    test(`and a topic over 255 bytes makes its own (${name}, ${persistent ? 'persistent' : 'transient'})`, () => {
      for (const key of ['k'.repeat(256), 'ü'.repeat(128)]) {
        const { headers, deliveryMode } = seen(of(key));
        assert.deepEqual(findField(headers, 'x-mqtt-topic'), { type: 'S', value: key });
        assert.equal(deliveryMode, persistent ? 2 : 1);
      }
    });
  }
}

test('a message without properties keeps the frame that another protocol made for it', () => {
  const nothing = Buffer.alloc(0);
  const message = new Message('amq.topic', 'k', nothing, 0, 0, nothing, 0, 0, NO_CODEC, false, 0, NEVER, 0);
  const frame = Buffer.from('frame');
  message.wire = frame;
  message.wireKind = 32;
  nativeOf(message);
  assert.deepEqual([message.wire, message.wireKind], [frame, 32]);
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
