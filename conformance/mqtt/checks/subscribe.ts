// Checks of subscriptions: SUBACK and UNSUBACK codes, filter matching, replaced and overlapping subscriptions,
// UNSUBSCRIBE.

import assert from 'node:assert/strict';
import type { MqttCheck } from '../mqtt-check.ts';
import { both, MUST, v3, v5 } from '../mqtt-check.ts';
import { ByteWriter } from '../wire/bytes.ts';
import { encodeSubscribe, encodeUnsubscribe, frame, LEVEL, type Level } from '../wire/packets.ts';

/** A filter, topics below the check's root that it matches, and topics that it does not match. */
const MATCHES: readonly (readonly [string, string, readonly string[], readonly string[]])[] = [
  ['plain', 'a/b', ['a/b'], ['a', 'a/b/', '/a/b', 'a/b/c', 'A/b', 'a/bb']],
  ['hash', 'a/#', ['a', 'a/', 'a/b', 'a/b/c', 'a//'], ['b', 'ab', 'b/a']],
  ['plus', 'a/+', ['a/b', 'a/'], ['a', 'a/b/c', 'a/b/', 'b/a']],
  ['plus-middle', 'a/+/c', ['a/b/c', 'a//c'], ['a/c', 'a/b/b/c', 'a/b/c/', 'a/b']],
  ['plus-first', '+/b', ['a/b', '/b'], ['b', 'a/b/c', 'a/a/b']],
  ['plus-hash', '+/b/#', ['a/b', 'a/b/c/d', '/b'], ['a', 'a/c', 'a/a/b']],
  ['only-plus', '+', ['a', ''], ['a/b', '/']],
  ['two-plus', '+/+', ['a/b', '/'], ['a', 'a/b/c']],
  ['empty-levels', '//a', ['//a'], ['/a', 'a', '///a']],
];

/** Invalid filters. */
const BAD_FILTERS: readonly (readonly [string, string, readonly [string, string]])[] = [
  ['hash-within', 'a/#/b', ['4.7.1-2', '4.7.1-1']],
  ['hash-attached', 'a#', ['4.7.1-2', '4.7.1-1']],
  ['hash-behind-text', 'a/b#', ['4.7.1-2', '4.7.1-1']],
  ['plus-attached', 'a+', ['4.7.1-3', '4.7.1-2']],
  ['plus-before-text', '+a/b', ['4.7.1-3', '4.7.1-2']],
  ['empty', '', ['4.7.3-1', '4.7.3-1']],
];

/** A SUBSCRIBE or UNSUBSCRIBE that must end the connection. */
function violation(
  id: string,
  statements: readonly [string, string],
  title: string,
  packet: (version: Level, topic: string) => Uint8Array,
  codes: readonly number[] = [0x81, 0x82],
): readonly MqttCheck[] {
  return both(id, statements, MUST, title, async (t) => {
    const client = await t.alive();
    client.raw(packet(t.version, t.name()));
    await client.expectClosed(codes);
  });
}

/** The packet with its first byte replaced. */
function withFlags(packet: Buffer, flags: number): Buffer {
  return Buffer.concat([Buffer.of((packet[0]! & 0xf0) | flags), packet.subarray(1)]);
}

export const SUBSCRIBE_CHECKS: readonly (readonly MqttCheck[])[] = [
  both(
    'subscribe.suback',
    ['3.8.4-1 3.8.4-2 2.3.1-7', '3.8.4-1 3.8.4-2 2.2.1-6'],
    MUST,
    'SUBSCRIBE is answered with SUBACK and its identifier',
    async (t) => {
      const client = await t.connect();
      for (const packetId of [1, 256, 65_535]) {
        client.raw(encodeSubscribe(t.version, packetId, [{ filter: t.name() }]));
        await client.expectAck('SUBACK', packetId);
      }
      await client.expectSilence();
    },
  ),
  both(
    'subscribe.codes',
    ['3.8.4-4 3.8.4-5 3.9.3-1 3.9.3-2', '3.8.4-5 3.8.4-6 3.8.4-7 3.9.3-1 3.9.3-2'],
    MUST,
    'SUBACK has one code for each filter, in their order: the QoS that is granted',
    async (t) => {
      const client = await t.connect();
      const root = t.name();
      const asked = [2, 0, 1, 1, 0, 0];
      const { reasons } = await client.subscribe(asked.map((qos, at) => ({ filter: `${root}/${at}`, qos })));
      assert.equal(reasons.length, asked.length);
      for (const [at, code] of reasons.entries()) assert.ok(code <= asked[at]!, `${code} for QoS ${asked[at]}`);
      if (reasons.includes(2)) assert.deepEqual([...reasons], asked);
    },
  ),
  both(
    'subscribe.several',
    ['3.8.4-4', '3.8.4-5'],
    MUST,
    'several filters in one SUBSCRIBE are as many subscriptions',
    async (t) => {
      const [a, b, c] = [t.name(), t.name(), t.name()];
      const client = await t.connect();
      await client.subscribe([{ filter: a }, { filter: `${b}/#` }, { filter: c }]);
      const publisher = await t.connect();
      for (const topic of [a, `${b}/x`, c]) {
        await publisher.publish({ topic, payload: topic });
        assert.equal((await client.message(topic)).topic, topic);
      }
    },
  ),
  ...MATCHES.map(([id, filter, yes, no]) =>
    both(
      `subscribe.filter.${id}`,
      ['3.8.3-2 4.7.1-2 4.7.1-3 3.3.2-3 4.7.3-4', '4.7.1-1 4.7.1-2 3.3.2-3 4.7.3-4'],
      MUST,
      `'${filter}' matches ${yes.map((topic) => `'${topic}'`).join(', ')} and not ${no.map((topic) => `'${topic}'`).join(', ')}`,
      async (t) => {
        const root = t.name();
        const watcher = await t.subscriber(`${root}/${filter}`);
        const publisher = await t.connect();
        for (const topic of [...no, ...yes, ...no])
          await publisher.publish({ topic: `${root}/${topic}`, payload: topic });
        for (const topic of yes) assert.equal((await watcher.message(topic)).topic, `${root}/${topic}`);
        // Delivered after all messages before it, because order is kept.
        await publisher.publish({ topic: `${root}/${yes[0]}`, payload: 'last' });
        await watcher.message('last');
        watcher.expectNothing();
      },
    ),
  ),
  both(
    'subscribe.filter.leading-wildcard',
    ['4.7.1-2 4.7.1-3', '4.7.1-1 4.7.1-2'],
    MUST,
    "'#', '+/…' and '/+' begin with a wildcard and match",
    async (t) => {
      const root = t.name();
      const publisher = await t.connect();
      for (const [filter, topic] of [
        ['#', `${root}/a`],
        [`+/${root}`, `x/${root}`],
        [`/+/${root}`, `/x/${root}`],
      ] as const) {
        const watcher = await t.subscriber(filter);
        await publisher.publish({ topic, payload: filter });
        // Other clients may publish on this broker.
        while ((await watcher.message()).topic !== topic);
        watcher.cut();
      }
    },
  ),
  both(
    'subscribe.filter.dollar',
    ['4.7.2-1', '4.7.2-1'],
    MUST,
    'a filter that begins with a wildcard does not match a topic that begins with $',
    async (t) => {
      const root = t.name();
      const watcher = await t.connect();
      const exact = await t.connect();
      await exact.subscribe([{ filter: `$${root}/a` }]);
      await watcher.subscribe([{ filter: `+/a` }, { filter: `#` }]);
      const publisher = await t.connect();
      publisher.sendPublish({ topic: `$${root}/a`, payload: 'dollar' });
      await publisher.ping();
      await publisher.publish({ topic: `${root}/a`, payload: 'plain' });
      for (;;) {
        const { topic } = await watcher.message();
        // Other clients may publish to $ topics; this check looks only at its own topic.
        assert.notEqual(topic, `$${root}/a`);
        if (topic === `${root}/a`) break;
      }
      // A broker that accepts messages on $ topics delivers them to a filter that names the $ level.
      await exact.ping();
      if (exact.waitingMessages > 0) await exact.message('dollar');
    },
  ),
  both(
    'subscribe.filter.sys',
    ['4.7.2-1', '4.7.2-1'],
    MUST,
    '$SYS messages match filters that begin with $SYS, and not filters that begin with a wildcard',
    async (t) => {
      const witness = await t.connect();
      await witness.subscribe([{ filter: '$SYS/#' }]);
      await witness.ping();
      if (witness.waitingMessages === 0) t.skip('the broker keeps nothing below $SYS');
      const topic = t.name();
      await t.retain(topic, 'plain');
      const client = await t.connect();
      await client.subscribe([{ filter: '#' }, { filter: '+/broker/#' }]);
      // The broker may have retained messages of other clients. A message published now comes after all of them.
      await (await t.connect()).publish({ topic, payload: 'last', qos: 1 });
      for (let payload = ''; payload !== 'last'; ) {
        const message = await client.message();
        assert.ok(!message.topic.startsWith('$'), `'${message.topic}' came through a wildcard`);
        payload = message.payload.toString();
      }
      await client.ping();
      while (client.waitingMessages > 0) assert.ok(!(await client.message()).topic.startsWith('$'));
    },
  ),
  ...BAD_FILTERS.map(([id, filter, statements]) =>
    both(
      `subscribe.bad.${id}`,
      statements,
      MUST,
      `'${filter}' is not a valid filter: SUBACK has an error code, or the connection ends`,
      async (t) => {
        const client = await t.alive();
        client.sendSubscribe([{ filter }]);
        await client.until(() => client.ends || client.hasAnswer, 'SUBACK or the end');
        if (!client.hasAnswer) return;
        const { type, reasons } = await client.receive();
        assert.ok(['SUBACK', 'DISCONNECT'].includes(type), type);
        const codes = !t.v5 ? [0x80] : type === 'SUBACK' ? [0x80, 0x8f] : [0x81, 0x82, 0x8f];
        assert.ok(codes.includes(reasons[0]!), `${type} says ${reasons[0]}`);
      },
    ),
  ),
  violation(
    'subscribe.flags',
    ['3.8.1-1 2.2.2-1 2.2.2-2', '3.8.1-1 2.1.3-1'],
    'SUBSCRIBE with other flags than 0010 ends the connection',
    (version, filter) => withFlags(encodeSubscribe(version, 1, [{ filter }]), 0),
  ),
  violation('subscribe.none', ['3.8.3-3', '3.8.3-2'], 'SUBSCRIBE without a filter ends the connection', (version) =>
    encodeSubscribe(version, 1, []),
  ),
  violation(
    'subscribe.qos3',
    ['3.8.3-4', '3.8.3-5'],
    'a subscription at QoS 3 ends the connection',
    (version, filter) => encodeSubscribe(version, 1, [{ filter, options: 3 }]),
  ),
  violation(
    'subscribe.reserved',
    ['3.8.3-4', '3.8.3-5'],
    'a subscription with reserved bits set ends the connection',
    (version, filter) => encodeSubscribe(version, 1, [{ filter, options: 0x41 }]),
  ),
  violation(
    'subscribe.identifier.zero',
    ['2.3.1-1', '2.2.1-3'],
    'SUBSCRIBE with identifier 0 ends the connection',
    (version, filter) => encodeSubscribe(version, 0, [{ filter }]),
  ),
  violation(
    'subscribe.utf8',
    ['3.8.3-1 1.5.3-1', '3.8.3-1 1.5.4-1'],
    'a filter that is no UTF-8 ends the connection',
    (version) => encodeSubscribe(version, 1, [{ filter: Buffer.from([0x61, 0xff]) }]),
    [0x81, 0x82, 0x8f],
  ),
  violation(
    'subscribe.null',
    ['4.7.3-2 1.5.3-2', '4.7.3-2 1.5.4-2'],
    'a filter with U+0000 ends the connection',
    (version) => encodeSubscribe(version, 1, [{ filter: 'a\0b' }]),
    [0x81, 0x82, 0x8f],
  ),
  violation(
    'subscribe.short',
    ['4.8.0-1', '4.13.1-1'],
    'SUBSCRIBE whose last filter has no options ends the connection',
    (version, filter) => {
      const properties = version === LEVEL.v5 ? [0] : [];
      return frame('SUBSCRIBE', new ByteWriter().short(1).append(Buffer.from(properties)).string(filter).done());
    },
  ),
  both(
    'subscribe.replaced',
    ['3.8.4-3', '3.8.4-3'],
    MUST,
    'a subscription with a filter that there is replaces it: the new QoS, and one copy',
    async (t) => {
      const topic = t.name();
      const client = await t.subscriber(topic, 0);
      await t.subscribe(client, topic, 1);
      const publisher = await t.connect();
      await publisher.publish({ topic, payload: 'once', qos: 1 });
      assert.equal((await client.delivery('once')).qos, 1);
      await t.subscribe(client, topic, 0);
      await publisher.publish({ topic, payload: 'again', qos: 1 });
      assert.equal((await client.delivery('again')).qos, 0);
      await client.expectSilence();
    },
  ),
  both(
    'subscribe.replaced.nothing-lost',
    ['3.8.4-3', '3.8.4-4'],
    MUST,
    'no message is lost while a subscription is replaced',
    async (t) => {
      const topic = t.name();
      const client = await t.subscriber(topic, 1);
      const publisher = await t.connect();
      const publish = async (): Promise<void> => {
        for (let i = 0; i < 40; i++) await publisher.publish({ topic, payload: `${i}`, qos: 1 });
      };
      const replace = async (): Promise<void> => {
        for (let i = 0; i < 20; i++) await t.subscribe(client, topic, 1);
      };
      await Promise.all([publish(), replace()]);
      for (let i = 0; i < 40; i++) await client.delivery(`${i}`);
    },
  ),
  both(
    'subscribe.overlapping',
    ['3.3.5-1', '3.3.4-2'],
    MUST,
    'with overlapping filters a message comes at the highest QoS of those that match, and at most once for each',
    async (t) => {
      const root = t.name();
      const client = await t.connect();
      await t.subscribe(client, `${root}/+`, 0);
      await t.subscribe(client, `${root}/a`, 2);
      await t.subscribe(client, `${root}/#`, 1);
      const publisher = await t.connect();
      await publisher.publish({ topic: `${root}/a`, payload: 'overlap', qos: 2 });
      const copies = [await client.delivery('overlap')];
      await client.ping();
      while (client.waitingMessages > 0) copies.push(await client.delivery('overlap'));
      assert.ok(copies.length === 1 || copies.length === 3, `${copies.length} copies for three subscriptions`);
      assert.equal(Math.max(...copies.map(({ qos }) => qos)), 2);
    },
  ),
  both(
    'subscribe.each-client',
    ['4.5.0-1', '4.5.0-1'],
    MUST,
    'every client with a subscription that matches gets the message, the publisher too',
    async (t) => {
      const topic = t.name();
      const clients = [await t.subscriber(topic), await t.subscriber(`${topic}/#`, 1), await t.subscriber(topic, 1)];
      await clients[0]!.publish({ topic, payload: 'all', qos: 1 });
      for (const client of clients) await client.delivery('all');
    },
  ),
  both(
    'unsubscribe.unsuback',
    ['3.10.4-4 2.3.1-7', '3.10.4-4 3.10.4-5 2.2.1-6'],
    MUST,
    'UNSUBSCRIBE is answered with UNSUBACK and its identifier',
    async (t) => {
      const topic = t.name();
      const client = await t.subscriber(topic);
      client.raw(encodeUnsubscribe(t.version, 4_242, [topic]));
      await client.expectAck('UNSUBACK', 4_242);
    },
  ),
  both(
    'unsubscribe.none',
    ['3.10.4-5', '3.10.4-5'],
    MUST,
    'UNSUBSCRIBE from what there is no subscription to is answered with UNSUBACK',
    async (t) => {
      const { reasons } = await (await t.connect()).unsubscribe([t.name()]);
      if (t.v5) assert.deepEqual(reasons, [0x11]);
    },
  ),
  both(
    'unsubscribe.stops',
    ['3.10.4-1 3.10.4-2', '3.10.4-1 3.10.4-2'],
    MUST,
    'after UNSUBACK no message comes through the filter, and others still do',
    async (t) => {
      const root = t.name();
      const client = await t.connect();
      await client.subscribe([{ filter: `${root}/a` }, { filter: `${root}/b` }]);
      await client.unsubscribe([`${root}/a`]);
      const publisher = await t.connect();
      await publisher.publish({ topic: `${root}/a`, payload: 'gone' });
      await publisher.publish({ topic: `${root}/b`, payload: 'still' });
      await client.message('still');
      await client.expectSilence();
    },
  ),
  both(
    'unsubscribe.exact',
    ['3.10.4-1', '3.10.4-1'],
    MUST,
    'filters of UNSUBSCRIBE are compared character by character: wildcards in them match nothing',
    async (t) => {
      const root = t.name();
      const client = await t.subscriber(`${root}/+/c`);
      for (const filter of [`${root}/#`, `${root}/b/c`, `${root}/+/+`, `${root.toUpperCase()}/+/c`, `${root}/+/c/`]) {
        const { reasons } = await client.unsubscribe([filter]);
        if (t.v5) assert.deepEqual(reasons, [0x11], filter);
      }
      await (await t.connect()).publish({ topic: `${root}/b/c`, payload: 'still' });
      await client.message('still');
    },
  ),
  both(
    'unsubscribe.several',
    ['3.10.4-6', '3.10.4-6 3.11.3-1 3.11.3-2'],
    MUST,
    'several filters in one UNSUBSCRIBE get one UNSUBACK, in 5.0 with a code for each in their order',
    async (t) => {
      const root = t.name();
      const client = await t.connect();
      await client.subscribe([{ filter: `${root}/a` }, { filter: `${root}/c` }, { filter: `${root}/e` }]);
      const filters = ['a', 'b', 'c', 'd'].map((topic) => `${root}/${topic}`);
      const { reasons } = await client.unsubscribe(filters);
      if (t.v5) assert.deepEqual(reasons, [0, 0x11, 0, 0x11]);
      const publisher = await t.connect();
      for (const topic of ['a', 'b', 'c', 'd', 'e'])
        await publisher.publish({ topic: `${root}/${topic}`, payload: topic });
      await client.message('e');
      await client.expectSilence();
    },
  ),
  both(
    'unsubscribe.in-flight',
    ['3.10.4-3', '3.10.4-3'],
    MUST,
    'a message of QoS 2 that is on its way is completed after UNSUBSCRIBE',
    async (t) => {
      const [topic, clientId] = [t.name(), t.name()];
      const client = await t.resume(clientId);
      await t.subscribe(client, topic, 2);
      await (await t.connect()).publish({ topic, payload: 'started', qos: 2 });
      const { packetId } = await client.message('started');
      await client.unsubscribe([topic]);
      client.cut();
      const after = await t.resume(clientId);
      const again = await after.message('started');
      assert.deepEqual([again.packetId, again.dup], [packetId, true]);
      await after.accept(again);
    },
  ),
  violation(
    'unsubscribe.flags',
    ['3.10.1-1 2.2.2-2', '3.10.1-1 2.1.3-1'],
    'UNSUBSCRIBE with other flags than 0010 ends the connection',
    (version, filter) => withFlags(encodeUnsubscribe(version, 1, [filter]), 0),
  ),
  violation(
    'unsubscribe.empty',
    ['3.10.3-2', '3.10.3-2'],
    'UNSUBSCRIBE without a filter ends the connection',
    (version) => encodeUnsubscribe(version, 1, []),
  ),
  violation(
    'unsubscribe.utf8',
    ['3.10.3-1', '3.10.3-1'],
    'UNSUBSCRIBE with a filter that is no UTF-8 ends the connection',
    (version) => encodeUnsubscribe(version, 1, [Buffer.from([0xc0, 0x80])]),
    [0x81, 0x82, 0x8f],
  ),
  violation(
    'unsubscribe.identifier.zero',
    ['2.3.1-1', '2.2.1-3'],
    'UNSUBSCRIBE with identifier 0 ends the connection',
    (version, filter) => encodeUnsubscribe(version, 0, [filter]),
  ),
  v3(
    'subscribe.not-authorised',
    '3.9.3-2',
    MUST,
    'a subscription that the user may not make is answered with 0x80, and those beside it are made',
    async (t) => {
      const [topic, user] = [t.name(), t.name()];
      await t.context.controls.createUser!(user, 'secret', ['.*', '.*', '']);
      const client = await t.connect({ user, password: 'secret' });
      const { reasons } = await client.subscribe([{ filter: topic }]);
      assert.deepEqual(reasons, [0x80]);
    },
    { needs: 'createUser' },
  ),
  v5(
    'subscribe.not-authorised',
    '3.9.3-2 3.8.4-7',
    MUST,
    'a subscription that the user may not make is answered with 0x87',
    async (t) => {
      const [topic, user] = [t.name(), t.name()];
      await t.context.controls.createUser!(user, 'secret', ['.*', '.*', '']);
      const client = await t.connect({ user, password: 'secret' });
      assert.deepEqual((await client.subscribe([{ filter: topic }])).reasons, [0x87]);
    },
    { needs: 'createUser' },
  ),
];
