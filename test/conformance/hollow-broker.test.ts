// Protects the MQTT checks against passing without evidence: in front of a fake broker only the checks about its few
// answers pass. A check that expects the end of a connection, or no packet, must first have seen an open connection and
// a packet.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { MQTT_CHECKS } from '../../conformance/mqtt/checks.ts';
import {
  type Answer,
  MQTT_FORMAT,
  type MqttPacket,
  publishIn,
  readable,
  readSubscribe,
  writeAnswer,
} from '../../conformance/mqtt/mutations/packets.ts';
import { frame, LEVEL, type Level, type TypeName } from '../../conformance/mqtt/wire/packets.ts';
import { OUTCOME, runChecks } from '../../conformance/runner.ts';

/** The fake broker answers at once; a check that times out on a busy machine has not passed. */
const TIMEOUT_MS = 1_000;
const PARALLEL = 64;

/** Checks about CONNACK, or only about the end of the connection. */
const OF_CONNECT = [
  ...['connect.accepted', 'connect.in-pieces', 'connect.user-properties', 'connack.reserved', 'disconnect.closed'],
  ...['pingreq', 'publish', 'subscribe', 'disconnect', 'connack'].map((type) => `connect.first.${type}`),
  ...['allowed', 'long', 'empty', 'not-assigned', '23'].map((which) => `connect.client-id.${which}`),
  ...['connect.flags.password-without-user', 'connect.response-information', 'connect.auth.none'],
];
/** Checks only about acknowledgements. */
const OF_ANSWERS = [
  ...['subscribe.suback', 'subscribe.codes', 'subscribe.user-properties', 'unsubscribe.unsuback', 'unsubscribe.none'],
  ...['publish.pubrel.unknown', 'publish.pubrel.reconnected', 'publish.no-subscriber', 'receive-maximum.in', 'ping'],
  ...['connect.problem-information', 'connect.qos-of-server'],
];

type Answers = (packet: MqttPacket, version: Level) => Buffer | null;

/** Accepts every CONNECT and answers every other packet with `answer`; null ends the connection. */
async function hollow(answers: Answers) {
  const serve = (socket: Socket): void => {
    const packets = MQTT_FORMAT.client();
    let version: Level = LEVEL.v3;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      for (const packet of packets.split(chunk)) {
        if (packet.type === 'CONNECT' && packet.body[6] === LEVEL.v5) version = LEVEL.v5;
        const answer = packet.type === 'CONNECT' ? said('CONNACK', 0, version) : answers(packet, version);
        if (answer === null) socket.end();
        else socket.write(answer);
      }
    });
  };
  const server = createServer(serve).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function said(type: TypeName, packetId: number, version: Level, reasons: Answer['reasons'] = [0]): Buffer {
  return writeAnswer(type, { packetId, reasons, properties: [] }, version).bytes;
}

/** Answers that report success. */
function agreeing(packet: MqttPacket, version: Level): Buffer | null {
  const { type, body } = packet;
  const packetId = body.length < 2 ? 1 : body.readUInt16BE();
  const { filters } = readable(() => readSubscribe(packet, version)) ?? { filters: [] };
  switch (type) {
    case 'SUBSCRIBE':
      return said(
        'SUBACK',
        packetId,
        version,
        filters.map(({ options }) => options & 3),
      );
    case 'UNSUBSCRIBE':
      return said(
        'UNSUBACK',
        packetId,
        version,
        filters.map(() => 0),
      );
    case 'PUBLISH': {
      const { qos, packetId: id } = publishIn(packet, version) ?? { qos: 0, packetId: 0 };
      return qos === 0 ? Buffer.alloc(0) : said(qos === 1 ? 'PUBACK' : 'PUBREC', id, version);
    }
    case 'PUBREL':
      return said('PUBCOMP', packetId, version);
    case 'PINGREQ':
      return frame('PINGRESP');
    case 'DISCONNECT':
      return null;
    default:
      return Buffer.alloc(0);
  }
}

for (const [words, answers, allowed] of [
  ['ends at whatever comes behind CONNECT', () => null, OF_CONNECT],
  ['acknowledges everything and delivers nothing', agreeing, [...OF_CONNECT, ...OF_ANSWERS]],
] as const satisfies readonly (readonly [string, Answers, readonly string[]])[]) {
  test(`no check that asks for more passes against a broker that ${words}`, async (t) => {
    const server = await hollow(answers);
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    const mqtt = { host: '127.0.0.1', port, user: 'guest', password: 'guest' };
    const checks = MQTT_CHECKS.filter(({ fast }) => fast);
    const target = { endpoints: { mqtt }, controls: {} };
    const results = await runChecks(checks, target, { timeoutMs: TIMEOUT_MS, parallel: PARALLEL });
    const passed = results.filter(({ outcome }) => outcome === OUTCOME.passed).map(({ check }) => check.id);
    const rules = new Set(passed.map((id) => id.split('.').slice(2).join('.')));
    assert.ok(rules.size > 0);
    assert.deepEqual(
      [...rules].filter((rule) => !allowed.includes(rule)),
      [],
    );
  });
}
