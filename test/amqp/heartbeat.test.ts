// Protects heartbeats: one goes out after half an interval of our silence, and two intervals of the peer's silence end
// the connection, but only while we are listening.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Heartbeat } from '../../protocols/amqp/heartbeat.ts';
import { createBroker } from '../../src/broker.ts';
import { TICK_MS } from '../../src/net/ticker.ts';
import { FRAME } from '../support/wire/amqp.ts';
import { RawClient } from './raw-client.ts';

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

test('a peer that sends anything, or that we do not listen to, is alive', () => {
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

test('a client gets the heartbeats that it asked for, and is closed when it sends none', async (t) => {
  const broker = await createBroker();
  t.after(() => broker.stop());
  const client = await RawClient.open(broker.ports.amqp!, 131072, 1);
  let heartbeats = 0;
  for (let frame = await client.next(); frame !== null; frame = await client.next()) {
    assert.equal(frame.type, FRAME.heartbeat);
    heartbeats++;
  }
  assert.ok(heartbeats >= 2);
});
