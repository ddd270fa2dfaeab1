// Checks of MQTT over WebSocket (chapter 6): subprotocol, binary messages only, packets split over or sharing messages.

import assert from 'node:assert/strict';
import type { MqttCheck, MqttTest } from '../mqtt-check.ts';
import { both, MUST } from '../mqtt-check.ts';
import { dialWebSocket, type WebSocketLine } from '../wire/line.ts';
import { encodeConnect, encodePublish, encodeSubscribe, frame } from '../wire/packets.ts';

async function dial(t: MqttTest, protocols = ['mqtt']): Promise<WebSocketLine> {
  const { host, port, path } = t.context.endpoint.webSocket!;
  return dialWebSocket(t.context, `ws://${host.includes(':') ? `[${host}]` : host}:${port}${path}`, protocols);
}

export const WEBSOCKET_CHECKS: readonly (readonly MqttCheck[])[] = [
  both(
    'websocket.subprotocol',
    ['6.0.0-4', '6.0.0-4'],
    MUST,
    'the broker selects the subprotocol mqtt, even among others',
    async (t) => {
      for (const offered of [['mqtt'], ['chat', 'mqtt']]) {
        const line = await dial(t, offered);
        assert.equal(line.protocol, 'mqtt');
        await t.connect({}, line);
      }
    },
    { webSocket: true },
  ),
  both(
    'websocket.binary',
    ['6.0.0-1', '6.0.0-1'],
    MUST,
    'packets come in binary messages, at each QoS',
    async (t) => {
      const topic = t.name();
      const client = await t.connect({}, await dial(t));
      await t.subscribe(client, topic, 2);
      const publisher = await t.connect();
      for (const qos of [0, 1, 2] as const) {
        await publisher.publish({ topic, payload: `${qos}`, qos });
        await client.delivery(`${qos}`);
        await client.publish({ topic, payload: `own ${qos}`, qos });
        await client.delivery(`own ${qos}`);
      }
    },
    { webSocket: true },
  ),
  both(
    'websocket.text',
    ['6.0.0-1', '6.0.0-1'],
    MUST,
    'a message of text ends the connection, though its bytes are a packet',
    async (t) => {
      const line = await dial(t);
      const client = await t.connect({}, line);
      line.text(encodePublish(t.version, { topic: 'a', payload: 'text' }).toString('latin1'));
      await client.expectClosed();
    },
    { webSocket: true },
  ),
  both(
    'websocket.split',
    ['6.0.0-2', '6.0.0-2'],
    MUST,
    'a packet may come in many messages',
    async (t) => {
      const topic = t.name();
      const client = await t.dial(await dial(t));
      const packets = [
        encodeConnect(t.version, t.connectOptions()),
        encodeSubscribe(t.version, 1, [{ filter: topic }]),
        encodePublish(t.version, { topic, payload: 'split' }),
      ];
      for (const byte of Buffer.concat(packets)) client.line.write(Buffer.of(byte));
      await client.expectAccepted();
      await client.expectAck('SUBACK', 1);
      await client.message('split');
    },
    { webSocket: true },
  ),
  both(
    'websocket.joined',
    ['6.0.0-2', '6.0.0-2'],
    MUST,
    'one message may have many packets, and the beginning of another',
    async (t) => {
      const topic = t.name();
      const client = await t.connect({}, await dial(t));
      const packet = encodePublish(t.version, { topic, payload: 'joined' });
      const subscribe = encodeSubscribe(t.version, 1, [{ filter: topic }]);
      client.raw(Buffer.concat([subscribe, packet, packet, packet.subarray(0, 5)]));
      client.raw(Buffer.concat([packet.subarray(5), frame('PINGREQ')]));
      await client.expectAck('SUBACK', 1);
      await client.expect('PINGRESP');
      for (let i = 0; i < 3; i++) await client.message('joined');
    },
    { webSocket: true },
  ),
  both(
    'websocket.will',
    ['6.0.0-2 3.1.2-8', '6.0.0-2 3.1.2-8'],
    MUST,
    'a WebSocket that breaks is a connection that breaks: the will is published',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const client = await t.connect({ will: { topic, payload: 'will' } }, await dial(t));
      client.cut();
      await watcher.message('will');
    },
    { webSocket: true },
  ),
];
