// Checks of an open connection: takeover by a second connection of the client, keep alive, and in 5.0 the properties of
// CONNACK and those that CONNECT asks for.

import assert from 'node:assert/strict';
import type { MqttCheck } from '../mqtt-check.ts';
import { both, EXTENSION, MUST, SHOULD, v5 } from '../mqtt-check.ts';
import { ByteWriter } from '../wire/bytes.ts';
import type { MqttConnection } from '../wire/connection.ts';
import { encodeReason, frame } from '../wire/packets.ts';
import { property } from '../wire/properties.ts';

export const CONNECTION_CHECKS: readonly (readonly MqttCheck[])[] = [
  both(
    'connect.takeover',
    ['3.1.4-2', '3.1.4-3'],
    MUST,
    'a second connection of a client ends the first',
    async (t) => {
      const clientId = t.name();
      const first = await t.connect({ clientId });
      const second = await t.connect({ clientId });
      await first.expectClosed([0x8e]);
      await second.ping();
    },
  ),
  v5(
    'connect.takeover.reason',
    '3.1.4-3',
    SHOULD,
    'the first connection is told that its session was taken over',
    async (t) => {
      const clientId = t.name();
      const first = await t.connect({ clientId });
      await t.connect({ clientId });
      assert.deepEqual((await first.expect('DISCONNECT')).reasons, [0x8e]);
      await first.expectEnd();
    },
  ),
  both(
    'connect.takeover.session',
    ['3.1.2-4 3.2.2-2 4.1.0-2', '3.1.2-5 3.2.2-3 4.1.0-1'],
    MUST,
    'the second connection takes the session over with its subscriptions',
    async (t) => {
      const [clientId, topic] = [t.name(), t.name()];
      const first = await t.resume(clientId);
      await t.subscribe(first, topic, 1);
      const second = await t.resume(clientId);
      assert.equal(second.connack!.sessionPresent, true);
      await (await t.connect()).publish({ topic, payload: 'taken', qos: 1 });
      await second.delivery('taken');
    },
  ),
  both(
    'connect.keep-alive',
    ['3.1.2-24', '3.1.2-22 3.2.2-22'],
    MUST,
    'a client that is silent for one and a half times its keep alive is disconnected, and not before',
    async (t) => {
      // From before CONNECT to after the end: never less than what the broker has waited, however slow this machine is.
      const began = performance.now();
      const client = await t.connect({ keepAlive: 1 });
      const server = property(client.connack!.properties, 'serverKeepAlive') ?? 1;
      if (server > 1) t.skip(`the broker asks for a keep alive of ${server} s`);
      await client.expectEnd();
      const seconds = (performance.now() - began) / 1000;
      assert.ok(seconds > 0.95, `closed after ${seconds.toFixed(2)} s`);
    },
    { slow: true },
  ),
  both(
    'connect.keep-alive.kept',
    ['3.1.2-24', '3.1.2-22'],
    MUST,
    'any packet within the keep alive keeps the connection',
    async (t) => {
      const client = await t.connect({ keepAlive: 1 });
      const topic = t.name();
      for (let i = 0; i < 3; i++) {
        await t.pause(700);
        client.sendPublish({ topic, payload: 'here' });
      }
      await client.ping();
    },
    { slow: true },
  ),
  both(
    'connect.keep-alive.zero',
    ['3.1.2.10:zero', '3.1.2.10:zero'],
    MUST,
    'with keep alive 0 a client may be silent',
    async (t) => {
      const client = await t.connect({ keepAlive: 0 });
      await t.pause(2_000);
      await client.ping();
    },
    { slow: true },
  ),
  v5('connect.user-properties', '3.1.2.11.8:any', MUST, 'CONNECT may have any number of user properties', async (t) => {
    const properties = Array.from({ length: 20 }, (_, i) => ['userProperty', ['same', `${i}`]] as const);
    await t.connect({ properties });
  }),
  v5(
    'connect.properties-missing',
    '2.2.2-1',
    MUST,
    'a CONNECT of level 5 without a property length is malformed',
    async (t) => {
      const connection = await t.dial();
      const body = new ByteWriter().string('MQTT').byte(5).byte(2).short(0).done();
      connection.raw(frame('CONNECT', body));
      await connection.expectClosed([0x81, 0x82]);
    },
  ),
  v5(
    'connect.response-information',
    '3.1.2-28',
    MUST,
    'a client that does not ask for response information gets none',
    async (t) => {
      for (const properties of [[], [['requestResponseInformation', 0] as const]]) {
        const { connack } = await t.connect({ properties });
        assert.equal(property(connack!.properties, 'responseInformation'), undefined);
      }
    },
  ),
  v5(
    'connect.response-information.asked',
    '3.1.2.11.6:asked',
    EXTENSION,
    'a client that asks for response information gets what begins topics of its own for responses',
    async (t) => {
      const informed = (): Promise<MqttConnection> => t.connect({ properties: [['requestResponseInformation', 1]] });
      const [one, other] = [await informed(), await informed()];
      const root = property(one.connack!.properties, 'responseInformation');
      if (root === undefined) return t.skip('the broker gives no response information');
      assert.notEqual(root, property(other.connack!.properties, 'responseInformation'));
      await t.subscribe(one, `${root}/#`, 1);
      await other.publish({ topic: `${root}/reply`, payload: 'a response', qos: 1 });
      await one.delivery('a response');
    },
  ),
  v5(
    'connect.auth.unknown-method',
    '4.12.0-1 4.12.0-4',
    MUST,
    'an unknown authentication method ends the connection, possibly after a CONNACK with that reason',
    async (t) => {
      const connection = await t.begin({ properties: [['authenticationMethod', 'CONFORMANCE-NONE']] });
      await connection.expectClosed([0x8c, 0x87]);
    },
  ),
  v5(
    'connect.auth.unknown-method.code',
    '4.12.0-1',
    SHOULD,
    'an unknown authentication method is refused with CONNACK 0x8C or 0x87',
    async (t) => {
      const connection = await t.begin({ properties: [['authenticationMethod', 'CONFORMANCE-NONE']] });
      await connection.expectRefused(0x8c, 0x87);
    },
  ),
  v5(
    'connect.auth.data-alone',
    '3.1.2.11.10:method',
    MUST,
    'authentication data without a method is a protocol error',
    async (t) => {
      const connection = await t.begin({ properties: [['authenticationData', Buffer.from('x')]] });
      await connection.expectClosed([0x80, 0x81, 0x82, 0x83]);
    },
  ),
  v5(
    'connect.auth.none',
    '4.12.0-6',
    MUST,
    'a client without an authentication method gets neither AUTH nor a method in CONNACK',
    async (t) => {
      const { connack } = await t.connect();
      assert.equal(property(connack!.properties, 'authenticationMethod'), undefined);
    },
  ),
  v5(
    'connect.auth.unasked',
    '4.12.0-7 4.13.1-1',
    MUST,
    'AUTH from a client that gave no method is a protocol error',
    async (t) => {
      const connection = await t.alive();
      connection.raw(encodeReason('AUTH', 0x19, [['authenticationMethod', 'x']]));
      await connection.expectClosed([0x82, 0x83, 0x8c]);
    },
  ),
  v5(
    'connect.problem-information',
    '3.1.2-29',
    MUST,
    'a client that wants no problem information finds no reason string and no user property in acknowledgements',
    async (t) => {
      const client = await t.connect({ properties: [['requestProblemInformation', 0]] });
      const topic = t.name();
      const answers = [
        await client.publish({ topic, qos: 1, payload: 'nobody' }),
        await client.publish({ topic, qos: 2, payload: 'nobody' }),
        await client.subscribe([{ filter: topic }, { filter: '$share/conformance/a' }, { filter: '$SYS/none' }]),
        await client.unsubscribe([topic, 'never/subscribed']),
      ];
      client.ack('PUBREL', 999);
      answers.push(await client.expect('PUBCOMP'));
      for (const { type, properties } of answers.filter((answer) => answer !== null)) {
        assert.deepEqual(properties, [], `the properties of ${type}`);
      }
    },
  ),
  v5(
    'connect.qos-of-server',
    '3.2.2-9 3.2.2-10',
    MUST,
    'a server with a maximum QoS accepts subscriptions at any QoS',
    async (t) => {
      const client = await t.connect();
      const maximum = property(client.connack!.properties, 'maximumQos');
      const { reasons } = await client.subscribe([{ filter: t.name(), qos: 2 }]);
      assert.ok(reasons[0]! <= (maximum ?? 2), `SUBACK says ${reasons[0]} where the maximum QoS is ${maximum}`);
      if (maximum === undefined) await client.publish({ topic: t.name(), payload: 'two', qos: 2 });
    },
  ),
  v5(
    'connect.properties-small',
    '3.2.2-19 3.2.2-20',
    MUST,
    "a CONNACK that refuses omits what would exceed the client's maximum packet size",
    async (t) => {
      const connection = await t.begin({
        properties: [
          ['maximumPacketSize', 20],
          ['authenticationMethod', 'CONFORMANCE-NONE'],
        ],
      });
      await connection.expectClosed([0x8c, 0x87]);
    },
  ),
];
