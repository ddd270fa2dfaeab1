// Retained messages of all three protocols survive a SIGKILL of the broker, with their properties.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import amqplib from 'amqplib';
import mqtt, { type IPublishPacket } from 'mqtt';
import { BrokerProcess } from '../../support/broker-process.ts';

test('acknowledged retained messages, and their acknowledged deletion, survive a SIGKILL', async () => {
  const broker = await BrokerProcess.start();
  try {
    const url = () => `mqtt://127.0.0.1:${broker.endpoints.mqtt}`;
    const options = { protocolVersion: 5, reconnectPeriod: 0 } as const;
    const publisher = await mqtt.connectAsync(url(), options);
    publisher.on('error', () => {});
    const properties = { contentType: 'text/plain', userProperties: { a: ['1', '2'] } };
    await publisher.publishAsync('plant/1/state', 'on', { qos: 2, retain: true, properties });
    await publisher.publishAsync('plant/2/state', 'off', { qos: 1, retain: true });
    await publisher.publishAsync('plant/2/state', '', { qos: 1, retain: true });
    const amqp = await amqplib.connect(`amqp://127.0.0.1:${broker.endpoints.amqp}`);
    amqp.on('error', () => {});
    const channel = await amqp.createConfirmChannel();
    const headers = { 'x-mqtt-retain': true };
    channel.publish('amq.topic', 'plant.3.state', Buffer.from('amqp'), { headers, type: 'reading' });
    channel.publish('amq.topic', 'plant.4.state', Buffer.from('not kept'));
    await channel.waitForConfirms();
    await broker.kill();
    await broker.restart();
    const client = await mqtt.connectAsync(url(), options);
    const kept: IPublishPacket[] = [];
    const both = new Promise<void>((resolve) => {
      client.on('message', (_topic, _payload, packet) => {
        kept.push(packet);
        if (kept.length === 2) resolve();
      });
    });
    await client.subscribeAsync('plant/+/state', { qos: 2 });
    await both;
    await client.endAsync();
    // At QoS 2 the client emits a message when it is released.
    kept.sort((a, b) => (a.topic < b.topic ? -1 : 1));
    assert.deepEqual(
      kept.map(({ topic, payload, retain, qos }) => [topic, String(payload), retain, qos]),
      [
        ['plant/1/state', 'on', true, 2],
        ['plant/3/state', 'amqp', true, 0],
      ],
    );
    assert.equal(kept[0]!.properties?.contentType, 'text/plain');
    assert.deepEqual({ ...kept[0]!.properties?.userProperties }, { a: ['1', '2'] });
  } finally {
    await broker.end();
  }
});
