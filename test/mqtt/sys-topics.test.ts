// The broker's statistics below $SYS: published to subscribers at an interval, and by no client.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Load } from '../../protocols/mqtt/sys-topics.ts';
import { textField } from '../../src/core/message/field-table.ts';
import { subscribe5 } from '../../support/wire/mqtt5.ts';
import { publish, subscribe } from './bytes.ts';
import { type Client, Harness } from './harness.ts';

function start(): Harness {
  return new Harness({ options: { sysIntervalSeconds: 10 } }).restartFrontEnd();
}

/** Topics and values of the QoS 0 packets that came, with their retain flag. */
function heard(client: Client): Map<string, string> {
  const values = new Map<string, string>();
  for (const packet of client.take()) {
    const bytes = Buffer.from(packet, 'hex');
    if (bytes[0]! >> 4 !== 3) continue;
    const topicAt = bytes[1]! > 127 ? 5 : 4;
    const topic = bytes.toString('utf8', topicAt, topicAt + bytes.readUInt16BE(topicAt - 2));
    values.set(
      topic,
      `${bytes[0]! & 1 ? 'retained ' : ''}${bytes.toString('utf8', topicAt + Buffer.byteLength(topic))}`,
    );
  }
  return values;
}

describe('$SYS', () => {
  it('is there for a subscription, and what changes comes at the interval', async () => {
    const broker = start();
    const client = await broker.connect('c');
    client.send(subscribe(1, ['$SYS/#', 0]));
    await broker.settle();
    const first = heard(client);
    assert.equal(first.size, 53);
    // CONNECT and SUBSCRIBE, and CONNACK. The answers to SUBSCRIBE are not counted yet.
    assert.equal(first.get('$SYS/broker/messages/received'), 'retained 2');
    assert.equal(first.get('$SYS/broker/version'), 'retained trivium version test');
    assert.equal(first.get('$SYS/broker/clients/connected'), 'retained 1');
    assert.equal(first.get('$SYS/broker/subscriptions/count'), 'retained 1');
    client.send(publish('a', 'abc', 0, 0));
    await broker.settle();
    assert.equal(heard(client).size, 0);
    broker.tick(20);
    await broker.settle();
    const second = heard(client);
    assert.equal(second.get('$SYS/broker/publish/messages/received'), '1');
    assert.equal(second.get('$SYS/broker/publish/bytes/received'), '3');
    assert.equal(second.get('$SYS/broker/messages/received'), '3');
    // CONNACK, SUBACK and the retained values.
    assert.equal(second.get('$SYS/broker/messages/sent'), String(2 + first.size));
    assert.equal(second.get('$SYS/broker/load/messages/received/1min'), (18 * (1 - Math.exp(-10 / 60))).toFixed(2));
    broker.tick(20);
    await broker.settle();
    assert.equal(heard(client).has('$SYS/broker/publish/messages/received'), false);
  });

  it('counts what is sent at each QoS to either version, and what was dropped for want of room', async () => {
    const broker = new Harness({
      options: { sysIntervalSeconds: 10 },
      limits: { sessionMessages: 2 },
    }).restartFrontEnd();
    const away = await broker.connect('away', {}, false);
    away.send(subscribe(1, ['a', 1]));
    await broker.settle();
    away.drop();
    const old = await broker.connect('old');
    old.send(subscribe(1, ['a', 0]));
    const young = await broker.connect5('young');
    young.send(subscribe5(1, [], ['a', 0]));
    const publisher = await broker.connect('pub');
    publisher.send(...[1, 2, 3].map((id) => publish('a', 'x', 1, id)));
    await broker.settle();
    const client = await broker.connect('c');
    client.send(subscribe(1, ['$SYS/broker/messages/sent', 0], ['$SYS/broker/publish/messages/#', 0]));
    await broker.settle();
    const values = heard(client);
    assert.equal(values.get('$SYS/broker/publish/messages/sent'), 'retained 6');
    // Five CONNACKs, three SUBACKs, three PUBACKs, and those.
    assert.equal(values.get('$SYS/broker/messages/sent'), 'retained 17');
    assert.equal(values.get('$SYS/broker/publish/messages/dropped'), 'retained 1');
  });

  it('is not selected by wildcards in front, in MQTT or in AMQP', async () => {
    const broker = start();
    const client = await broker.connect('c');
    client.send(subscribe(1, ['#', 0], ['+/broker/version', 0]));
    const amqp = await broker.session();
    const queue = { durable: true, exclusive: false, autoDelete: false, args: [] };
    await amqp.declareQueue({ name: 'all', ...queue });
    await amqp.declareQueue({ name: 'asks', ...queue });
    const binding = { exchange: 'amq.topic', args: [textField('x', 'y')] };
    await amqp.bindQueue({ queue: 'all', routingKey: '#', ...binding });
    await amqp.bindQueue({ queue: 'asks', routingKey: '$SYS.broker.version', ...binding });
    broker.tick(20);
    await broker.settle();
    assert.equal(heard(client).size, 0);
    assert.equal((await amqp.checkQueue('all')).messageCount, 0);
    assert.equal((await amqp.checkQueue('asks')).messageCount, 1);
  });

  it('is read-only: a publish is acknowledged and dropped, as by Mosquitto', async () => {
    const broker = start();
    const client = await broker.connect('c');
    client.send(subscribe(1, ['$SYS/broker/version', 0]));
    await broker.settle();
    client.take();
    client.send(publish('$SYS/broker/version', 'mine', 1, 7));
    await broker.settle();
    assert.deepEqual(client.take(), ['40020007']);
    assert.equal(client.closed, false);
  });

  it('is not there where the interval is 0', async () => {
    const broker = new Harness({ options: { sysIntervalSeconds: 0 } }).restartFrontEnd();
    const client = await broker.connect('c');
    client.send(subscribe(1, ['$SYS/#', 0]));
    broker.tick(50);
    await broker.settle();
    assert.equal(heard(client).size, 0);
  });

  it('averages loads a minute, the longer ones slower', () => {
    const load = new Load();
    load.sample(100, 10);
    const close = (at: number, expected: number) => assert.ok(Math.abs(load.averages[at]! - expected) < 0.01);
    // 100 in 10 s are 600 a minute; an average of 1 minute takes 1 - e^(-1/6) of it.
    close(0, 600 * (1 - Math.exp(-10 / 60)));
    close(1, 600 * (1 - Math.exp(-10 / 300)));
    close(2, 600 * (1 - Math.exp(-10 / 900)));
    for (let i = 2; i < 1_000; i++) load.sample(100 * i, 10);
    close(0, 600);
    load.sample(100 * 999, 10);
    close(0, 600 * Math.exp(-10 / 60));
  });
});
