// Protects fairness between a flooding publisher and its consumers: it rests until the turn's end, longer where its
// consumers are behind, and never for good.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import amqplib from 'amqplib';
import { type Broker, createBroker } from '../../../src/broker.ts';
import type { DrainWaiter } from '../../../src/core/queue/drain-waiters.ts';
import { PUBLISHES_A_TURN, PublisherRest } from '../../../src/core/session/publisher-throttle.ts';
import type { Session } from '../../../src/core/session/session.ts';
import { Turn } from '../../../src/core/turn/turn.ts';

/** A session whose last queue is as crowded as the test says. */
class StubSession {
  readonly readyCount = 10_000;
  crowdedNow = false;
  waiter: DrainWaiter | null = null;
  level = 0;

  crowded(): unknown {
    return this.crowdedNow ? this : null;
  }

  whenBelow(level: number, waiter: DrainWaiter): void {
    this.level = level;
    this.waiter = waiter;
  }

  waitNoMore(waiter: DrainWaiter): void {
    if (this.waiter === waiter) this.waiter = null;
  }
}

function resting(crowded: boolean): { rest: PublisherRest; session: StubSession; changes: boolean[] } {
  const session = new StubSession();
  session.crowdedNow = crowded;
  const changes: boolean[] = [];
  const rest = new PublisherRest(new Turn({ now: () => 0 }), () => changes.push(rest.resting));
  rest.begin(session as unknown as Session);
  return { rest, session, changes };
}

test('a publisher rests until the end of the turn', () => {
  const { rest, changes } = resting(false);
  assert.deepEqual(changes, [true]);
  rest.flush();
  assert.deepEqual(changes, [true, false]);
});

test('where its consumers are behind it rests until they have caught up a step', () => {
  const { rest, session, changes } = resting(true);
  rest.flush();
  assert.deepEqual(changes, [true]);
  assert.ok(session.level < session.readyCount);
  session.waiter!.drained();
  assert.deepEqual(changes, [true, false]);
  assert.equal(session.waiter, null);
});

test('it goes on even where they never do', async () => {
  const session = new StubSession();
  session.crowdedNow = true;
  const { promise, resolve } = Promise.withResolvers<void>();
  const rest = new PublisherRest(new Turn({ now: () => 0 }), () => {
    if (!rest.resting) resolve();
  });
  rest.begin(session as unknown as Session);
  rest.flush();
  await promise;
  assert.equal(session.waiter, null, 'the queue keeps nobody who waits no more');
});

test('it rests once it has published much while its consumers are behind', () => {
  const session = new StubSession();
  const rest = new PublisherRest(new Turn({ now: () => 0 }), () => {});
  rest.published = PUBLISHES_A_TURN;
  rest.afterChunk(1000, session as unknown as Session);
  assert.equal(rest.resting, false, 'nobody is behind');
  session.crowdedNow = true;
  rest.afterChunk(1000, session as unknown as Session);
  assert.equal(rest.resting, true);
  rest.end();
  rest.afterChunk(1000, session as unknown as Session);
  assert.equal(rest.resting, false, 'it counts anew');
});

test('it rests after much input whoever is behind', () => {
  const session = new StubSession();
  const rest = new PublisherRest(new Turn({ now: () => 0 }), () => {});
  for (let i = 0; i < 7; i++) rest.afterChunk(64 * 1024, session as unknown as Session);
  assert.equal(rest.resting, false);
  rest.afterChunk(64 * 1024, session as unknown as Session);
  assert.equal(rest.resting, true);
  rest.end();
  rest.afterChunk(64 * 1024, session as unknown as Session);
  assert.equal(rest.resting, false, 'it counts anew');
});

describe('a queue', () => {
  let broker: Broker;

  before(async () => {
    broker = await createBroker();
  });

  after(async () => {
    await broker.stop();
  });

  test('is crowded when its consumers are behind, and says when deliveries have brought it below a level', async () => {
    const connection = await amqplib.connect(`amqp://127.0.0.1:${broker.ports.amqp}`);
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue('crowd');
    for (let i = 0; i < 5000; i++) channel.sendToQueue('crowd', Buffer.from('m'));
    await channel.waitForConfirms();
    const queue = broker.hosts.get('/')!.queues.get('crowd')!;
    assert.equal(queue.crowded, false, 'nobody consumes: nobody is behind');
    await channel.prefetch(100);
    const told = Promise.withResolvers<number>();
    queue.whenBelow(4000, { drained: () => told.resolve(queue.readyCount) });
    let received = 0;
    await channel.consume('crowd', (message) => {
      if (++received === 1) assert.equal(queue.crowded, true);
      channel.ack(message!);
    });
    assert.ok((await told.promise) < 4000);
    const closed = once(connection, 'close');
    await connection.close();
    await closed;
  });
});
