// Checks that a message keeps its content: every property, every field type in headers, nested tables.

import assert from 'node:assert/strict';
import type { Check } from '../../check.ts';
import { type AmqpTest, amqp, EXTENSION, MUST } from '../amqp-check.ts';
import { ByteWriter } from '../wire/bytes.ts';
import { encodeHeader, FRAME } from '../wire/frames.ts';
import type { Properties } from '../wire/methods.ts';
import { bool, encodeTable, int, list, long, type Table, table, text, type Value } from '../wire/table.ts';

/** Publishes these properties to a queue and returns those of the delivery. */
async function roundTrip(t: AmqpTest, properties: Properties): Promise<Properties> {
  const channel = await t.channel();
  const queue = await t.queue(channel);
  channel.publish({ routingKey: queue, body: 'm', properties });
  return (await channel.get(queue, { body: 'm' })).content.properties;
}

const PROPERTY_VALUES: { readonly [P in keyof Properties]-?: NonNullable<Properties[P]> } = {
  contentType: 'application/json',
  contentEncoding: 'gzip',
  headers: { a: text('b') },
  deliveryMode: 2,
  priority: 7,
  correlationId: 'correlation ☃',
  replyTo: 'reply',
  expiration: '60000',
  messageId: 'message',
  timestamp: 1_700_000_000n,
  type: 'type',
  userId: 'guest',
  appId: 'app',
  clusterId: 'cluster',
};

const FIELDS: readonly (readonly [string, string, Value])[] = [
  ['t', 'a boolean', bool(true)],
  ['t-false', 'a boolean that is false', bool(false)],
  ['b', 'a signed octet', { type: 'b', value: -128 }],
  ['B', 'an unsigned octet', { type: 'B', value: 255 }],
  ['s', 'a signed 16-bit integer', { type: 's', value: -32_768 }],
  ['u', 'an unsigned 16-bit integer', { type: 'u', value: 65_535 }],
  ['I', 'a signed 32-bit integer', int(-2_147_483_648)],
  ['i', 'an unsigned 32-bit integer', { type: 'i', value: 4_294_967_295 }],
  ['l', 'a signed 64-bit integer', long(-9_223_372_036_854_775_808n)],
  ['f', 'a 32-bit float', { type: 'f', value: 1.5 }],
  ['d', 'a 64-bit float', { type: 'd', value: Math.PI }],
  ['D', 'a decimal', { type: 'D', scale: 2, value: 12_345 }],
  ['S', 'a long string', text('☃ and more')],
  ['S-empty', 'an empty string', text('')],
  ['T', 'a timestamp', { type: 'T', value: 1_700_000_000n }],
  ['x', 'a byte array', { type: 'x', value: Buffer.from([0, 255, 254, 1]) }],
  ['V', 'no value', { type: 'V' }],
  ['A', 'an array', list(int(1), text('two'), bool(true), { type: 'V' })],
  ['A-empty', 'an empty array', list()],
  ['F', 'a table', table({ a: int(1), b: text('two') })],
  ['F-empty', 'an empty table', table({})],
];

function nested(depth: number): Value {
  return depth === 0
    ? text('bottom')
    : depth % 2 === 0
      ? table({ deeper: nested(depth - 1) })
      : list(nested(depth - 1));
}

export const CONTENT_CHECKS: readonly Check[] = [
  ...(Object.keys(PROPERTY_VALUES) as (keyof Properties)[]).map((name) =>
    amqp(`content.property.${name}`, '1.8', MUST, `property ${name} arrives as it was published, alone`, async (t) => {
      const value = name === 'userId' ? t.context.endpoint.user : PROPERTY_VALUES[name];
      assert.deepEqual(await roundTrip(t, { [name]: value }), { [name]: value });
    }),
  ),
  amqp('content.properties.all', '1.8', MUST, 'all properties arrive together', async (t) => {
    const properties = { ...PROPERTY_VALUES, userId: t.context.endpoint.user };
    assert.deepEqual(await roundTrip(t, properties), properties);
  }),
  amqp('content.properties.none', '1.8', MUST, 'a message without properties gets none', async (t) => {
    assert.deepEqual(await roundTrip(t, {}), {});
  }),
  amqp('content.properties.empty', '1.8', MUST, 'empty properties are there, and empty', async (t) => {
    const properties = { contentType: '', headers: {}, messageId: '' };
    assert.deepEqual(await roundTrip(t, properties), properties);
  }),
  amqp('content.properties.long', '4.2.5.3', MUST, 'a property may have 255 octets', async (t) => {
    const properties = { correlationId: 'x'.repeat(255), type: 'y'.repeat(255) };
    assert.deepEqual(await roundTrip(t, properties), properties);
  }),
  amqp(
    'content.properties.continuation',
    '4.2.6.1',
    MUST,
    'flags may be continued by an empty second word',
    async (t) => {
      const channel = await t.channel();
      const queue = await t.queue(channel);
      const header = new ByteWriter();
      header.append(encodeHeader(0, {}).subarray(0, 12));
      header.short(0x8001);
      header.short(0);
      header.shortstr('text/plain');
      channel.send('basic.publish', { routingKey: queue });
      channel.connection.frame(FRAME.header, 1, header.done());
      assert.deepEqual((await channel.get(queue)).content.properties, { contentType: 'text/plain' });
    },
  ),
  ...FIELDS.map(([id, title, value]) =>
    amqp(
      `content.field.${id}`,
      '4.2.5.5',
      id === 'x' || id === 'b' || id === 's' ? EXTENSION : MUST,
      `a header that is ${title} arrives as it was published`,
      async (t) => {
        const { headers } = await roundTrip(t, { headers: { field: value } });
        assert.deepEqual(headers, { field: value });
      },
    ),
  ),
  amqp('content.field.L', '4.2.5.5', EXTENSION, 'a 64-bit integer of type L arrives with its value', async (t) => {
    const { headers } = await roundTrip(t, { headers: { field: { type: 'L', value: 77n } } });
    const field = headers?.field;
    assert.ok(field?.type === 'L' || field?.type === 'l', `type ${field?.type}`);
    assert.equal(field.value, 77n);
  }),
  amqp('content.headers.order', '4.2.5.5', MUST, 'headers keep their order', async (t) => {
    const headers: Table = Object.fromEntries(['z', 'a', 'm', 'B'].map((name, index) => [name, int(index)]));
    assert.deepEqual(Object.keys((await roundTrip(t, { headers })).headers!), ['z', 'a', 'm', 'B']);
  }),
  amqp('content.headers.nested', '4.2.5.5', MUST, 'tables and arrays may nest', async (t) => {
    const headers = { nested: nested(12) };
    assert.deepEqual((await roundTrip(t, { headers })).headers, headers);
  }),
  amqp('content.headers.many', '4.2.5.5', MUST, 'a message may have hundreds of headers', async (t) => {
    const headers = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`header-${i}`, int(i)]));
    assert.deepEqual((await roundTrip(t, { headers })).headers, headers);
  }),
  amqp('content.headers.name', '4.2.5.5', MUST, 'a field name may have 128 characters', async (t) => {
    const headers = { [`n${'x'.repeat(127)}`]: int(1) };
    assert.deepEqual((await roundTrip(t, { headers })).headers, headers);
  }),
  amqp('content.headers.malformed', '4.2.5.5', MUST, 'a table that is cut short closes with 501 or 502', async (t) => {
    const channel = await t.channel();
    const fields = encodeTable({ a: text('value') });
    const header = new ByteWriter();
    header.append(encodeHeader(0, {}).subarray(0, 12));
    header.short(0x2000);
    header.longstr(fields.subarray(0, fields.length - 2));
    channel.send('queue.declare', { queue: '', exclusive: true });
    const { args } = await channel.expect('queue.declare-ok');
    channel.send('basic.publish', { routingKey: args.queue });
    channel.connection.frame(FRAME.header, 1, header.done());
    await channel.connection.expectClose([501, 502]);
  }),
  amqp('content.arguments', '4.2.5.5', MUST, 'unknown arguments may have a value of any type', async (t) => {
    const channel = await t.channel();
    const exchange = await t.exchange(channel, 'direct');
    const queue = await t.queue(channel);
    const args = Object.fromEntries(FIELDS.map(([id, , value]) => [`field-${id}`, value]));
    await channel.call('queue.bind', { queue, exchange, routingKey: 'k', arguments: args });
    channel.publish({ exchange, routingKey: 'k', body: 'm' });
    await channel.get(queue, { body: 'm' });
    await channel.call('queue.unbind', { queue, exchange, routingKey: 'k', arguments: args });
    channel.publish({ exchange, routingKey: 'k', body: 'm' });
    await channel.getEmpty(queue);
  }),
  amqp('content.same-to-all', '3.1.2', MUST, 'every receiver gets the same properties and body', async (t) => {
    const channel = await t.channel();
    const exchange = await t.exchange(channel, 'fanout');
    const queues = [await t.queue(channel), await t.queue(channel)];
    for (const queue of queues) await channel.call('queue.bind', { queue, exchange });
    const properties = { headers: { nested: nested(3) }, messageId: 'id', priority: 3 };
    channel.publish({ exchange, body: 'same', properties });
    for (const queue of queues) {
      assert.deepEqual((await channel.get(queue, { body: 'same' })).content.properties, properties);
    }
  }),
];
