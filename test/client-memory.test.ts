// What clients hold beside messages in queues is counted, and a client that holds too much is closed with its protocol's
// error, before and after its login; the others go on.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Broker, createBroker } from '../src/broker.ts';
import { RawAmqp } from '../support/raw-amqp.ts';
import { RawClient, tcp } from '../support/raw-client.ts';
import { openMqtt, rawMqtt } from '../support/raw-mqtt.ts';
import { expectStomp, openStomp } from '../support/raw-stomp.ts';
import * as amqp from '../support/wire/amqp.ts';
import { connect5, packet } from '../support/wire/mqtt5.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const TX_SELECT = 0x005a000a;
const TX_SELECT_OK = 0x005a000b;
const BODY = Buffer.alloc(64 * KIB, 'x');
const CLOSE_OK = amqp.method(0, amqp.METHOD.connectionCloseOk);

describe('the memory of clients', () => {
  let broker: Broker;

  before(async () => {
    broker = await createBroker({
      limits: { connectionBytes: MIB, userBytes: 4 * MIB, unauthenticatedBytes: MIB, slowReaderTimeoutMs: 0 },
    });
  });

  after(() => broker.stop());

  const hits = (limit: 'connectionBytes' | 'userBytes' | 'unauthenticatedBytes'): number =>
    broker.meters.limitHits[`limits.${limit}`];

  async function transaction(bodies: number): Promise<RawAmqp> {
    const client = await RawAmqp.open(broker.ports.amqp!);
    client.send(amqp.method(1, TX_SELECT as amqp.MethodId));
    await client.expect(TX_SELECT_OK);
    for (let i = 0; i < bodies; i++) client.send(amqp.publish(1, 'amq.topic', 'k', BODY));
    return client;
  }

  it('of an open transaction ends an AMQP connection with 506', async () => {
    const client = await transaction(17);
    const closed = await client.expectConnectionClose();
    assert.equal(closed.code, 506);
    assert.match(closed.text, /too much memory/);
    assert.equal(hits('connectionBytes'), 1);
    client.send(CLOSE_OK);
    assert.equal(await client.next(), null);
  });

  it('of an unfinished SEND ends a STOMP connection with an ERROR', async () => {
    const client = await openStomp(await tcp(broker.ports.stomp!));
    client.send(Buffer.from('SEND\ndestination:/topic/a\n\n'));
    for (let i = 0; i < 20; i++) client.send(BODY);
    const error = await expectStomp(client, 'ERROR');
    assert.match(error.body.toString(), /too much memory/);
    assert.equal(hits('connectionBytes'), 2);
  });

  it('of an unfinished PUBLISH ends an MQTT connection with 0x97', async () => {
    const client = rawMqtt(await tcp(broker.ports.mqtt!));
    client.send(connect5({ clientId: 'c', user: 'guest', password: 'guest' }));
    assert.equal((await client.next())![3], 0);
    client.send(packet(0x30, Buffer.alloc(2 * MIB)).subarray(0, 1_500_000));
    const disconnect = await client.next();
    assert.deepEqual([disconnect![0], disconnect![2]], [0xe0, 0x97]);
    assert.equal(hits('connectionBytes'), 3);
  });

  it('of all connections of a user ends those that hold the most', async () => {
    const small = await transaction(3);
    const large = [await transaction(14)];
    while (hits('userBytes') === 0) {
      const client = await transaction(12);
      // In order on the connection: what it has published is counted when this is answered.
      client.send(amqp.channelOpen(2));
      large.push(client);
      await client.next();
    }
    assert.equal((await large[0]!.expectConnectionClose()).code, 506, 'the largest');
    small.send(amqp.channelOpen(2));
    await small.expect(amqp.METHOD.channelOpenOk);
    for (const client of [small, ...large]) client.destroy();
  });

  it('before the login is bounded for all, and a small client still logs in', async () => {
    const whole = connect5({ clientId: 'hostile', will: { topic: 't', payload: 'w'.repeat(60 * KIB), qos: 0 } });
    const hostile: RawClient[] = [];
    while (hits('unauthenticatedBytes') === 0) {
      const client = await RawClient.connect(broker.ports.mqtt!);
      client.send(whole.subarray(0, -1));
      hostile.push(client);
      const honest = await openMqtt(await tcp(broker.ports.mqtt!), 'honest');
      honest.destroy();
    }
    assert.ok(hostile.length > 8, 'each holds its part of a CONNECT, and no more');
    for (const client of hostile) client.destroy();
  });

  it('is given back when connections end', async () => {
    const client = await transaction(3);
    client.send(amqp.connectionClose());
    await client.expect(amqp.METHOD.connectionCloseOk);
    const gone = (): boolean => broker.connections.size === 0;
    while (!gone()) await new Promise((resolve) => setImmediate(resolve));
    const body = await (await fetch(`http://127.0.0.1:${broker.ports.http}/metrics`)).text();
    assert.match(body, /^trivium_client_memory_bytes 0$/m);
    assert.match(body, /^trivium_unauthenticated_memory_bytes 0$/m);
  });
});
