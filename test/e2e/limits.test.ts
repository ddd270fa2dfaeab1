// Every bound that drops, refuses or closes is counted under its configuration key, so that an operator sees which one
// clients exceed. Each connection here exceeds one bound and is closed.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type Broker, createBroker } from '../../src/broker.ts';
import { RawAmqp } from '../../support/raw-amqp.ts';
import * as amqp from '../../support/wire/amqp.ts';
import * as mqtt from '../../support/wire/mqtt.ts';
import * as mqtt5 from '../../support/wire/mqtt5.ts';

const LIMITS = {
  amqp: { frameMaxBytes: 4096, consumersPerChannel: 1, transactionOperations: 1 },
  mqtt: {
    connectBytes: 1024,
    clientIdBytes: 30,
    topicLevels: 3,
    topicBytes: 64,
    subscriptionsPerSession: 1,
    propertyBytes: 1024,
  },
  stomp: { maxHeaders: 8, maxSubscriptions: 1, maxTransactions: 1 },
  limits: { messageBytes: 2048, queuesPerVhost: 2, unauthenticatedMs: 100 },
} as const;

let broker: Broker;
const sockets: Socket[] = [];

beforeEach(async () => {
  broker = await createBroker(LIMITS);
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await broker.stop();
});

/** The bounds exceeded so far, from a scrape of the metrics. */
async function reached(): Promise<Record<string, number>> {
  const response = await fetch(`http://127.0.0.1:${broker.ports.http}/metrics`);
  const found = (await response.text()).matchAll(/^trivium_limits_reached_total\{limit="(.*)"\} ([1-9]\d*)$/gm);
  return Object.fromEntries([...found].map(([, limit, times]) => [limit, Number(times)]));
}

/** Sends bytes and waits until the broker has closed the connection. */
async function closedAfter(port: number | null, ...parts: (Buffer | string)[]): Promise<void> {
  const socket = connect(port!, '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => {});
  socket.resume();
  for (const part of parts) socket.write(part);
  await once(socket, 'close');
}

async function opened(): Promise<RawAmqp> {
  return RawAmqp.open(broker.ports.amqp!, { frameMax: 4096 });
}

describe('a bound that was reached is counted', () => {
  it('of AMQP', async () => {
    const client = await opened();
    client.send(amqp.channelOpen(2), amqp.declareQueue(1, 'q'), amqp.consume(1, 'q', 'a', true));
    for (const method of ['channelOpenOk', 'queueDeclareOk', 'basicConsumeOk'] as const) {
      await client.expect(amqp.METHOD[method]);
    }
    // Sent to the default exchange with an unknown queue: only its size is wrong.
    client.send(amqp.publish(2, '', 'nobody', Buffer.alloc(2049)));
    await client.expectChannelClose();
    client.send(amqp.consume(1, 'q', 'b', true));
    assert.equal((await client.expectConnectionClose()).code, 530);
    client.destroy();
    assert.deepEqual(await reached(), { 'limits.messageBytes': 1, 'amqp.consumersPerChannel': 1 });
  });

  it('of AMQP: frames, channels, transactions and queues', async () => {
    const first = await opened();
    first.send(amqp.channelOpen(2048));
    await first.expectConnectionClose();
    first.destroy();
    const second = await opened();
    second.send(amqp.method(1, amqp.METHOD.txSelect));
    await second.expect(amqp.METHOD.txSelectOk);
    second.send(amqp.publish(1, '', 'q', Buffer.alloc(1)), amqp.publish(1, '', 'q', Buffer.alloc(1)));
    await second.expectChannelClose();
    second.send(amqp.frame(amqp.FRAME.body, 2, Buffer.alloc(5000)));
    await second.expectConnectionClose();
    second.destroy();
    const third = await opened();
    for (const name of ['a', 'b']) {
      third.send(amqp.declareQueue(1, name));
      await third.expect(amqp.METHOD.queueDeclareOk);
    }
    third.send(amqp.declareQueue(1, 'c'));
    await third.expectChannelClose();
    third.destroy();
    assert.deepEqual(await reached(), {
      'amqp.channelMax': 1,
      'amqp.transactionOperations': 1,
      'amqp.frameMaxBytes': 1,
      'limits.queuesPerVhost': 1,
    });
  });

  it('of MQTT', async () => {
    const { mqtt: port } = broker.ports;
    await closedAfter(port, mqtt.connect('c'.repeat(1025)));
    await closedAfter(port, mqtt.connect('c'.repeat(31)));
    await closedAfter(port, mqtt.connect('c'), mqtt.publish('a/b/c/d', Buffer.alloc(1), 0, 0));
    const subscribe = [mqtt.subscribe(1, 'a', 0), mqtt.subscribe(2, 'b', 0), mqtt.subscribe(3, 'a/b/c/d', 0)];
    await closedAfter(port, mqtt.connect('c'), ...subscribe, mqtt.publish('t'.repeat(65), Buffer.alloc(1), 0, 0));
    const properties = [mqtt5.p.user('n', 'v'.repeat(1024))];
    await closedAfter(port, mqtt5.connect5(), mqtt5.publish5('a', '', { properties }));
    assert.deepEqual(await reached(), {
      'mqtt.propertyBytes': 1,
      'mqtt.connectBytes': 1,
      'mqtt.clientIdBytes': 1,
      'mqtt.topicLevels': 2,
      'mqtt.subscriptionsPerSession': 1,
      'mqtt.topicBytes': 1,
    });
  });

  it('of STOMP', async () => {
    const { stomp: port } = broker.ports;
    const login = 'CONNECT\naccept-version:1.2\nhost:/\n\n\0';
    const headers = Array.from({ length: 9 }, (_, i) => `h${i}:x\n`).join('');
    await closedAfter(port, login, `SEND\n${headers}\n\0`);
    await closedAfter(port, login, `SEND\ndestination:/queue/q\n\n${'x'.repeat(2049)}\0`);
    await closedAfter(port, login, 'BEGIN\ntransaction:a\n\n\0', 'BEGIN\ntransaction:b\n\n\0');
    const expected = { 'stomp.maxHeaders': 1, 'limits.messageBytes': 1, 'stomp.maxTransactions': 1 };
    assert.deepEqual(await reached(), expected);
  });

  it('of connections: those without a login', async () => {
    const { amqp: amqpPort, mqtt: mqttPort, stomp: stompPort } = broker.ports;
    const silent = [closedAfter(amqpPort, amqp.PROTOCOL_HEADER), closedAfter(mqttPort), closedAfter(stompPort)];
    await Promise.all(silent);
    assert.deepEqual(await reached(), { 'limits.unauthenticatedMs': 3 });
  });

  it('of connections: their number', async () => {
    await broker.stop();
    broker = await createBroker({ limits: { connections: 1 } });
    const first = await RawAmqp.open(broker.ports.amqp!);
    await closedAfter(broker.ports.amqp);
    first.destroy();
    assert.deepEqual(await reached(), { 'limits.connections': 1 });
  });
});
