// Bodies that have begun and not ended: who may not publish makes the broker gather nothing, and the bodies on all
// channels of a connection have one bound.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Broker, createBroker } from '../../src/broker.ts';
import { RawAmqp } from '../../support/raw-amqp.ts';
import * as wire from '../../support/wire/amqp.ts';

const { METHOD } = wire;
const MIB = 1024 * 1024;
const PART = Buffer.alloc(100_000, 'a');

describe('a body that has begun', () => {
  let broker: Broker;
  let client: RawAmqp;

  before(async () => {
    broker = await createBroker({ limits: { messageBytes: 2 * MIB }, amqp: { unfinishedBytes: 2 * MIB } });
  });

  after(() => broker.stop());

  /** Method and header of a publish; its body has not begun. */
  function begin(channel: number, exchange: string, bodyBytes: number): Buffer[] {
    const { short, shortstr, octet } = wire;
    return [
      wire.method(channel, METHOD.basicPublish, short(0), shortstr(exchange), shortstr('k'), octet(0)),
      wire.contentHeader(channel, bodyBytes),
    ];
  }

  async function open(channels: number): Promise<void> {
    client = await RawAmqp.open(broker.ports.amqp!);
    for (let channel = 2; channel <= channels; channel++) {
      client.send(wire.channelOpen(channel));
      await client.expect(METHOD.channelOpenOk);
    }
  }

  test('is refused before its end, without permission', async () => {
    broker.permissions.put('/', 'guest', { configure: '.*', write: '^allowed', read: '.*' });
    await open(1);
    client.send(...begin(1, 'amq.topic', MIB));
    const closed = await client.expectChannelClose();
    assert.equal(closed.code, 403);
    assert.match(closed.text, /write access to exchange 'amq.topic' in vhost '\/' refused for user 'guest'/);
    broker.permissions.put('/', 'guest', { configure: '.*', write: '.*', read: '.*' });
    // The body that the client had sent by then is ignored.
    client.send(wire.frame(wire.FRAME.body, 1, PART), wire.method(1, METHOD.channelCloseOk), wire.channelOpen(1));
    await client.expect(METHOD.channelOpenOk);
    client.destroy();
  });

  test('is refused before its end, where there is no such exchange', async () => {
    await open(1);
    client.send(...begin(1, 'nowhere', MIB));
    assert.equal((await client.expectChannelClose()).code, 404);
    client.destroy();
  });

  test('ends its connection if all those of the connection take too much', async () => {
    await open(40);
    for (let channel = 1; channel <= 40; channel++) {
      client.send(...begin(channel, 'amq.topic', MIB), wire.frame(wire.FRAME.body, channel, PART));
    }
    const closed = await client.expectConnectionClose();
    assert.equal(closed.code, 506);
    assert.match(closed.text, /amqp\.unfinishedBytes, which is 2097152/);
    assert.equal(broker.meters.limitHits['amqp.unfinishedBytes' as 'limits.connections'], 1);
    client.destroy();
  });

  test('may take as much as a message may, beside others that are finished', async () => {
    await open(2);
    client.send(wire.confirmSelect(1), wire.confirmSelect(2));
    for (const _ of [1, 2]) await client.expect(METHOD.confirmSelectOk);
    for (let round = 0; round < 3; round++) {
      client.send(...begin(1, 'amq.topic', 20 * PART.length));
      for (let part = 0; part < 20; part++) client.send(wire.frame(wire.FRAME.body, 1, PART));
      await client.expect(METHOD.basicAck);
    }
    client.destroy();
  });
});
