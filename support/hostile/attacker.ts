// Raw clients of the attacking users, which accept whatever the broker answers: a refusal and a closed connection are
// right answers, silence is not.

import type { Socket } from 'node:net';
import { methodOf, RawAmqp } from '../raw-amqp.ts';
import { RawClient, tcp } from '../raw-client.ts';
import { rawMqtt } from '../raw-mqtt.ts';
import * as amqp from '../wire/amqp.ts';
import * as mqtt from '../wire/mqtt.ts';
import { connect5, type Property } from '../wire/mqtt5.ts';
import * as stomp from '../wire/stomp.ts';
import type { Attacker } from './users.ts';

/** Logged in over AMQP, with the channels 1 to `channels` open. */
export async function attackAmqp(port: number, user: Attacker, channels = 1): Promise<RawAmqp> {
  const client = await RawAmqp.connect(port);
  client.send(amqp.PROTOCOL_HEADER);
  await client.expect(amqp.METHOD.connectionStart);
  client.send(amqp.startOk(user, user));
  await client.expect(amqp.METHOD.connectionTune);
  client.send(amqp.tuneOk(2047, 131_072, 0), amqp.open('/'));
  await client.expect(amqp.METHOD.connectionOpenOk);
  for (let channel = 1; channel <= channels; channel++) client.send(amqp.channelOpen(channel));
  for (let channel = 1; channel <= channels; channel++) await client.expect(amqp.METHOD.channelOpenOk);
  return client;
}

/** Sends a request that is answered after all that was sent before, and waits for its answer or the connection's end. */
export async function answeredAmqp(client: RawAmqp): Promise<void> {
  client.send(amqp.qos(1, 0));
  await untilMethod(client, amqp.METHOD.basicQosOk);
}

/** Reads up to the method. A client whose channel or connection the broker closes is done: its socket is destroyed. */
export async function untilMethod(client: RawAmqp, method: number): Promise<void> {
  for (let frame = await client.next(); frame !== null; frame = await client.next()) {
    const got = methodOf(frame);
    if (got === method) return;
    if (got === amqp.METHOD.channelClose || got === amqp.METHOD.connectionClose) await client.close();
  }
}

/** Logged in over MQTT 3.1.1, or 5 if there are properties for CONNECT. */
export async function attackMqtt(
  port: number,
  user: Attacker,
  clientId: string,
  properties?: readonly Property[],
): Promise<RawClient> {
  const client = rawMqtt(await tcp(port));
  client.send(
    properties === undefined
      ? mqtt.connect(clientId, { user, password: user })
      : connect5({ clientId, user, password: user, properties, clean: false }),
  );
  await client.take();
  return client;
}

/** Reads up to the packet of that type, or to the connection's end. Returns it, or null. */
export async function untilPacket(client: RawClient, type: number): Promise<Buffer | null> {
  for (let packet = await client.next(); packet !== null; packet = await client.next()) {
    if (packet[0]! >> 4 === type) return packet;
  }
  return null;
}

/** Logged in over STOMP 1.2. */
export async function attackStomp(port: number, user: Attacker): Promise<RawClient> {
  const client = new RawClient(await tcp(port));
  client.send(stomp.connect(user, user));
  await client.take();
  return client;
}

/** Sends a request with a receipt, and waits for the answer or the connection's end. */
export async function answeredStomp(client: RawClient): Promise<void> {
  client.send(stomp.frame('SEND', { destination: '/topic/eve.receipt', receipt: 'answered' }));
  let received = '';
  for (let bytes = await client.next(); bytes !== null; bytes = await client.next()) {
    received = received.slice(-1024) + bytes.toString('latin1');
    if (received.includes('receipt-id:answered') || received.startsWith('ERROR')) return;
  }
}

/** Opens `count` connections, some at a time. Those that the broker refuses are closed. */
export async function openMany(count: number, open: () => Promise<Socket>): Promise<Socket[]> {
  const AT_A_TIME = 64;
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const batch = Array.from({ length: Math.min(AT_A_TIME, count - sockets.length) }, open);
    for (const socket of await Promise.all(batch)) {
      socket.on('error', () => {});
      socket.resume();
      sockets.push(socket);
    }
  }
  return sockets;
}
