// Protects heartbeats: the broker sends one after half an interval without output, and closes the connection after two
// intervals without input, but only while it reads the connection.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Heartbeat } from '../../protocols/amqp/heartbeat.ts';
import { type Broker, createBroker } from '../../src/broker.ts';
import { TICK_MS, type Ticked, Ticker, ticksFor } from '../../src/net/ticker.ts';
import { RawAmqp } from '../../support/raw-amqp.ts';
import * as wire from '../../support/wire/amqp.ts';

const { FRAME, METHOD } = wire;

const SECONDS = 4;
const TICKS = (SECONDS * 1000) / TICK_MS;

test('a silent connection sends a heartbeat each half interval', () => {
  const heartbeat = new Heartbeat(SECONDS);
  const due = Array.from({ length: TICKS }, () => heartbeat.isDue(0));
  assert.deepEqual(
    due.flatMap((is, tick) => (is ? [tick + 1] : [])),
    [TICKS / 2, TICKS],
  );
});

test('a connection that writes sends none', () => {
  const heartbeat = new Heartbeat(SECONDS);
  for (let tick = 1; tick <= 4 * TICKS; tick++) assert.equal(heartbeat.isDue(tick), false);
});

test('a peer is dead after two silent intervals, and not before', () => {
  const heartbeat = new Heartbeat(SECONDS);
  let ticks = 1;
  while (!heartbeat.isDead(0, true)) ticks++;
  assert.ok(ticks >= 2 * TICKS && ticks <= 2 * TICKS + 1, String(ticks));
});

test('a peer that sends anything, or is not being read, is alive', () => {
  const heartbeat = new Heartbeat(SECONDS);
  for (let tick = 1; tick <= 4 * TICKS; tick++) assert.equal(heartbeat.isDead(tick, true), false);
  for (let tick = 1; tick <= 4 * TICKS; tick++) assert.equal(heartbeat.isDead(0, false), false);
});

test('an interval of 0 is none', () => {
  const heartbeat = new Heartbeat(0);
  for (let tick = 1; tick <= 1000; tick++) {
    assert.equal(heartbeat.isDue(0), false);
    assert.equal(heartbeat.isDead(0, true), false);
  }
});

/** A ticker that the test advances. */
class ManualTicker extends Ticker {
  override add(member: Ticked): void {
    super.add(member);
    this.close();
  }

  /** Advances the time; resolves when everything that the broker sent in it was written. */
  async pass(ms: number): Promise<void> {
    for (let ticks = ticksFor(ms); ticks > 0; ticks--) {
      this.advance();
      await nextTurn();
      await nextTurn();
    }
  }
}

describe('over a connection', () => {
  let broker: Broker;
  let ticker: ManualTicker;

  before(async () => {
    ticker = new ManualTicker((error) => {
      throw error;
    });
    broker = await createBroker({}, { ticker });
  });

  after(async () => {
    await broker.stop();
  });

  test('a client gets the heartbeats that it asked for, and is closed when it sends none', async () => {
    const client = await RawAmqp.open(broker.ports.amqp!, { heartbeatSeconds: 10 });
    await ticker.pass(21_000);
    let heartbeats = 0;
    for (let frame = await client.nextFrame(); frame !== null; frame = await client.nextFrame()) {
      assert.equal(frame.type, FRAME.heartbeat);
      heartbeats++;
    }
    assert.ok(heartbeats >= 3 && heartbeats <= 5, String(heartbeats));
  });

  test('a client that asked for none gets none and may be silent', async () => {
    const client = await RawAmqp.open(broker.ports.amqp!, { heartbeatSeconds: 0 });
    await ticker.pass(120_000);
    client.send(wire.declareQueue(1, 'silent', { exclusive: true }));
    await client.expect(METHOD.queueDeclareOk);
    client.destroy();
  });

  for (const [what, bytes, answers] of [
    ['says nothing', Buffer.alloc(0), 0],
    ['says half a protocol header', wire.PROTOCOL_HEADER.subarray(0, 5), 0],
    ['never logs in', wire.PROTOCOL_HEADER, 1],
    ['never opens', Buffer.concat([wire.PROTOCOL_HEADER, wire.startOk('guest', 'guest')]), 2],
  ] as const) {
    test(`a client that ${what} is closed in time`, async () => {
      const client = await RawAmqp.connect(broker.ports.amqp!);
      client.send(bytes);
      for (let i = 0; i < answers; i++) assert.ok((await client.nextFrame()) !== null);
      await ticker.pass(11_000);
      assert.equal(await client.nextFrame(), null);
    });
  }

  test('a client that never answers connection.close is closed in time', async () => {
    const client = await RawAmqp.open(broker.ports.amqp!, { heartbeatSeconds: 0 });
    client.send(wire.checkQueue(9, 'q'));
    await client.expectConnectionClose();
    await ticker.pass(4000);
    assert.equal(await client.nextFrame(), null);
  });
});
