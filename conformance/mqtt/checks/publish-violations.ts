// Checks of PUBLISH packets that violate the protocol: the connection must end and no subscriber may get the message.

import type { MqttCheck } from '../mqtt-check.ts';
import { both, MUST, v5 } from '../mqtt-check.ts';
import { ByteWriter } from '../wire/bytes.ts';
import { encodePublish, frame, type Level } from '../wire/packets.ts';
import { encodeProperties } from '../wire/properties.ts';

/** A PUBLISH that must end the connection and reach no subscriber. */
function violation(
  id: string,
  statements: readonly [string, string],
  title: string,
  packet: (topic: string, version: Level) => Uint8Array,
  codes: readonly number[] = [0x81, 0x82, 0x90],
): readonly MqttCheck[] {
  return both(`publish.${id}`, statements, MUST, title, async (t) => {
    const topic = t.name();
    const watcher = await t.subscriber(`${topic}/#`);
    const client = await t.alive();
    client.raw(packet(topic, t.version));
    await client.expectClosed(codes);
    await (await t.connect()).publish({ topic, payload: 'good' });
    await watcher.message('good');
  });
}

const BAD_TEXT: readonly (readonly [string, readonly number[], string, readonly [string, string]])[] = [
  ['utf8.ill-formed', [0xc3, 0x28], 'bytes that are no UTF-8', ['3.3.2-1 1.5.3-1', '3.3.2-1 1.5.4-1']],
  ['utf8.overlong', [0xc0, 0xaf], 'an overlong form', ['1.5.3-1', '1.5.4-1']],
  ['utf8.surrogate', [0xed, 0xa0, 0x80], 'a surrogate (U+D800)', ['1.5.3-1', '1.5.4-1']],
  ['utf8.too-high', [0xf4, 0x90, 0x80, 0x80], 'a code point beyond U+10FFFF', ['1.5.3-1', '1.5.4-1']],
  ['utf8.null', [0x00], 'U+0000', ['1.5.3-2 4.7.3-2', '1.5.4-2 4.7.3-2']],
];

export const PUBLISH_VIOLATION_CHECKS: readonly (readonly MqttCheck[])[] = [
  violation(
    'qos3',
    ['3.3.1-4 4.8.0-1', '3.3.1-4 4.13.1-1'],
    'a message of QoS 3 ends the connection',
    (topic, version) => encodePublish(version, { topic, qos: 3, packetId: 1 }),
    [0x81, 0x82],
  ),
  violation(
    'dup-qos0',
    ['3.3.1-2', '3.3.1-2'],
    'a message with DUP at QoS 0 ends the connection',
    (topic, version) => encodePublish(version, { topic, dup: true }),
    [0x81, 0x82],
  ),
  violation(
    'identifier.zero',
    ['2.3.1-1', '2.2.1-3'],
    'a message of QoS 1 with identifier 0 ends the connection',
    (topic, version) => encodePublish(version, { topic, qos: 1, packetId: 0 }),
    [0x81, 0x82],
  ),
  violation(
    'identifier.missing',
    ['2.3.1-1', '2.2.1-3'],
    'a message of QoS 1 that ends before its identifier ends the connection',
    (topic) => frame('PUBLISH', new ByteWriter().string(topic).byte(1).done(), 2),
    [0x81, 0x82],
  ),
  violation(
    'topic.missing',
    ['3.3.2-1', '3.3.2-1'],
    'a PUBLISH without a topic ends the connection',
    () => frame('PUBLISH', Buffer.alloc(0), 0),
    [0x81, 0x82],
  ),
  violation(
    'topic.short',
    ['3.3.2-1', '3.3.2-1'],
    'a PUBLISH whose topic is longer than the packet ends the connection',
    () => frame('PUBLISH', Buffer.from([0x00, 0x20, 0x61, 0x62]), 0),
    [0x81, 0x82],
  ),
  violation(
    'topic.empty',
    ['4.7.3-1', '4.7.3-1 3.3.2.3.4:empty-topic'],
    'a message with an empty topic ends the connection',
    (_topic, version) => encodePublish(version, { topic: '', payload: 'x' }),
  ),
  violation(
    'topic.plus',
    ['3.3.2-2 4.7.1-1', '3.3.2-2 4.7.0-1'],
    'a message with + in its topic ends the connection',
    (topic, version) => encodePublish(version, { topic: `${topic}/+`, payload: 'x' }),
  ),
  violation(
    'topic.hash',
    ['3.3.2-2 4.7.1-1', '3.3.2-2 4.7.0-1'],
    'a message with # in its topic ends the connection',
    (topic, version) => encodePublish(version, { topic: `${topic}/#`, payload: 'x' }),
  ),
  ...BAD_TEXT.map(([id, bytes, what, statements]) =>
    violation(`topic.${id}`, statements, `a message with ${what} in its topic ends the connection`, (topic, version) =>
      encodePublish(version, { topic: Buffer.concat([Buffer.from(`${topic}/`), Buffer.from(bytes)]), payload: 'x' }),
    ),
  ),
  v5('publish.properties-missing', '2.2.2-1', MUST, 'a PUBLISH without a property length is malformed', async (t) => {
    const client = await t.alive();
    client.raw(frame('PUBLISH', new ByteWriter().string(t.name()).done()));
    await client.expectClosed([0x81, 0x82]);
  }),
  v5(
    'publish.properties-short',
    '2.2.2-1 4.13.1-1',
    MUST,
    'a PUBLISH whose properties are longer than the packet is malformed',
    async (t) => {
      const client = await t.alive();
      const body = new ByteWriter()
        .string(t.name())
        .append(encodeProperties(Buffer.of(40)))
        .append(Buffer.from('x'));
      client.raw(frame('PUBLISH', body.done()));
      await client.expectClosed([0x81, 0x82]);
    },
  ),
];
