// Checks of MQTT 5.0 enhanced authentication (§4.12) with SCRAM-SHA-256. Skipped if the broker does not offer it.

import assert from 'node:assert/strict';
import type { MqttCheck, MqttTest } from '../mqtt-check.ts';
import { MUST, v5 } from '../mqtt-check.ts';
import type { MqttConnection } from '../wire/connection.ts';
import { encodeReason, frame, type Packet } from '../wire/packets.ts';
import { type Property, property } from '../wire/properties.ts';
import { ScramClient } from '../wire/scram.ts';

const METHOD = 'SCRAM-SHA-256';
const CONTINUE = 0x18;
const AGAIN = 0x19;

/** Asserts an AUTH packet with reason 0x18 (continue authentication) and returns its challenge. */
function challengeOf(auth: Packet): Uint8Array {
  assert.equal(auth.type, 'AUTH');
  assert.deepEqual(auth.reasons, [CONTINUE]);
  assert.equal(property(auth.properties, 'authenticationMethod'), METHOD);
  const challenge = property(auth.properties, 'authenticationData');
  assert.ok(challenge !== undefined, 'AUTH without a challenge');
  return challenge;
}

function sendAuth(client: MqttConnection, reason: number, data: Uint8Array, method = METHOD): void {
  client.raw(
    encodeReason('AUTH', reason, [
      ['authenticationMethod', method],
      ['authenticationData', data],
    ]),
  );
}

interface Exchange {
  readonly client: MqttConnection;
  readonly scram: ScramClient;
}

/** Sends CONNECT with the method and waits for the server's challenge. */
async function challenged(
  t: MqttTest,
  password: string,
  properties: readonly Property[] = [],
): Promise<Exchange & { readonly challenge: Uint8Array }> {
  const scram = new ScramClient(t.context.endpoint.user, password);
  const client = await t.begin({
    user: null,
    password: null,
    properties: [...properties, ['authenticationMethod', METHOD], ['authenticationData', scram.first()]],
  });
  await client.until(() => client.ends || client.hasAnswer, 'AUTH');
  if (client.connack !== null || client.ends) t.skip(`the broker does not offer ${METHOD}`);
  return { client, scram, challenge: challengeOf(await client.receive()) };
}

/** Answers the challenge. The server's decision (CONNACK or an error) has not been read yet. */
async function answered(t: MqttTest, password: string): Promise<Exchange> {
  const { client, scram, challenge } = await challenged(t, password);
  sendAuth(client, CONTINUE, scram.final(challenge));
  return { client, scram };
}

async function authenticated(t: MqttTest): Promise<MqttConnection> {
  const { client, scram } = await answered(t, t.context.endpoint.password);
  const { properties } = await client.expectAccepted();
  assert.equal(property(properties, 'authenticationMethod'), METHOD);
  assert.ok(scram.isProof(property(properties, 'authenticationData')), 'CONNACK without the proof of the server');
  return client;
}

export const AUTH_CHECKS: readonly (readonly MqttCheck[])[] = [
  v5(
    'auth.accepted',
    '4.12.0-2 4.12.0-5 3.15.2-1',
    MUST,
    'the broker sends AUTH 0x18, and CONNACK after a correct response, both with the method of CONNECT',
    async (t) => {
      const client = await authenticated(t);
      await client.ping();
    },
  ),
  v5(
    'auth.wrong',
    '4.12.0-4',
    MUST,
    'a wrong response ends the connection, possibly after CONNACK 0x86 or 0x87',
    async (t) => {
      const { client } = await answered(t, 'wrong');
      await client.expectClosed([0x86, 0x87]);
    },
  ),
  v5(
    'auth.small',
    '3.15.2-2 3.15.2-3',
    MUST,
    'AUTH fits what the client takes: what explains it is left out',
    async (t) => {
      await challenged(t, t.context.endpoint.password, [['maximumPacketSize', 200]]);
    },
  ),
  v5('auth.interrupted', '3.1.2-30 4.12.0-4', MUST, 'another packet during authentication is refused', async (t) => {
    const { client, scram, challenge } = await challenged(t, t.context.endpoint.password);
    client.raw(frame('PINGREQ'));
    sendAuth(client, CONTINUE, scram.final(challenge));
    await client.expectClosed([0x81, 0x82, 0x83, 0x87]);
  }),
  v5(
    'auth.other-reason',
    '4.12.0-3 3.15.2-1',
    MUST,
    'a response with another reason than 0x18 is refused',
    async (t) => {
      for (const reason of [0x00, AGAIN]) {
        const { client, scram, challenge } = await challenged(t, t.context.endpoint.password);
        sendAuth(client, reason, scram.final(challenge));
        await client.expectClosed([0x81, 0x82, 0x83, 0x87]);
      }
    },
  ),
  v5('auth.other-method', '4.12.0-5', MUST, 'a response with another method is refused', async (t) => {
    const { client, scram, challenge } = await challenged(t, t.context.endpoint.password);
    sendAuth(client, CONTINUE, scram.final(challenge), 'CONFORMANCE-NONE');
    await client.expectClosed([0x82, 0x83, 0x87, 0x8c]);
  }),
  v5(
    'auth.again',
    '4.12.0-5 3.15.2-1',
    MUST,
    'a connected client may re-authenticate: AUTH 0x18 is the challenge, AUTH 0x00 the success',
    async (t) => {
      const client = await authenticated(t);
      const scram = new ScramClient(t.context.endpoint.user, t.context.endpoint.password);
      sendAuth(client, AGAIN, scram.first());
      sendAuth(client, CONTINUE, scram.final(challengeOf(await client.receive())));
      const { type, reasons, properties } = await client.receive();
      assert.deepEqual([type, ...reasons], ['AUTH', 0x00]);
      assert.equal(property(properties, 'authenticationMethod'), METHOD);
      await client.ping();
    },
  ),
  v5('auth.again.wrong', '4.12.1-2', MUST, 'a client that fails to re-authenticate is disconnected', async (t) => {
    const client = await authenticated(t);
    const scram = new ScramClient(t.context.endpoint.user, 'wrong');
    sendAuth(client, AGAIN, scram.first());
    sendAuth(client, CONTINUE, scram.final(challengeOf(await client.receive())));
    await client.expectClosed([0x87, 0x82, 0x83]);
  }),
  v5(
    'auth.again.other-method',
    '4.12.1-1',
    MUST,
    're-authentication with another method ends the connection',
    async (t) => {
      const client = await authenticated(t);
      sendAuth(client, AGAIN, Buffer.from('x'), 'CONFORMANCE-NONE');
      await client.expectClosed([0x82, 0x83, 0x87, 0x8c]);
    },
  ),
];
