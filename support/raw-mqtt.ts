// A raw client that speaks MQTT 3.1.1 packet by packet.

import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { RawClient } from './raw-client.ts';
import * as mqtt from './wire/mqtt.ts';

function packetBytes(buffer: Buffer): number {
  let length = 0;
  for (let at = 1; at < buffer.length; at++) {
    length += (buffer[at]! & 0x7f) * 128 ** (at - 1);
    if (buffer[at]! < 0x80) return at + 1 + length;
  }
  return 0;
}

export function rawMqtt(socket: Socket): RawClient {
  return new RawClient(socket, packetBytes);
}

/** Logged in as guest; CONNACK was read. */
export async function openMqtt(
  socket: Socket,
  clientId: string,
  options: mqtt.ConnectOptions = {},
): Promise<RawClient> {
  const client = rawMqtt(socket);
  client.send(mqtt.connect(clientId, { user: 'guest', password: 'guest', ...options }));
  const connack = await client.take();
  assert.deepEqual([connack[0], connack[3]], [mqtt.PACKET.connack << 4, 0]);
  return client;
}

export interface MqttPublish {
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly topic: string;
  readonly id: number;
  readonly body: Buffer;
}

export function readMqttPublish(packet: Buffer): MqttPublish {
  assert.equal(packet[0]! >> 4, mqtt.PACKET.publish, packet.toString('hex'));
  const qos = (packet[0]! >> 1) & 3;
  let at = 1;
  while (packet[at++]! >= 0x80);
  const topicEnd = at + 2 + packet.readUInt16BE(at);
  const bodyAt = qos === 0 ? topicEnd : topicEnd + 2;
  return {
    qos,
    retain: (packet[0]! & 1) !== 0,
    dup: (packet[0]! & 8) !== 0,
    topic: packet.toString('utf8', at + 2, topicEnd),
    id: qos === 0 ? 0 : packet.readUInt16BE(topicEnd),
    body: packet.subarray(bodyAt),
  };
}
