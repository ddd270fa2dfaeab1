// Protects fairness between a flooding publisher and its consumers: the publisher pauses until the end of the turn,
// longer if its consumers are behind, and is always resumed.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import amqplib from 'amqplib';
import { type Broker, createBroker } from '../../../src/broker.ts';
import type { DrainWaiter } from '../../../src/core/queue/drain-waiters.ts';
import { PUBLISHES_A_TURN, PublisherThrottle } from '../../../src/core/session/publisher-throttle.ts';
import type { Session } from '../../../src/core/session/session.ts';
import { Turn } from '../../../src/core/turn/turn.ts';

/** A session whose last queue has as many waiting messages as the test sets. */
class StubSession {
  readonly readyCount = 10_000;
  crowdedNow = false;
  waiter: DrainWaiter | null = null;
  level = 0;

  consumersBehind(): unknown {
    return this.crowdedNow ? this : null;
  }

  whenBelow(level: number, waiter: DrainWaiter): void {
    this.level = level;
    this.waiter = waiter;
  }

  cancelWait(waiter: DrainWaiter): void {
    if (this.waiter === waiter) this.waiter = null;
  }
}

/** Enough input to throttle the publisher, even if no consumer is behind. */
function flood(throttle: PublisherThrottle, session: StubSession): void {
  throttle.afterChunk(1024 * 1024, session as unknown as Session);
}

function throttled(consumersBehind: boolean): {
  throttle: PublisherThrottle;
  session: StubSession;
  changes: boolean[];
} {
  const session = new StubSession();
  session.crowdedNow = consumersBehind;
  const changes: boolean[] = [];
  const throttle = new PublisherThrottle(new Turn({ now: () => 0 }), { throttle: (on) => changes.push(on) });
  flood(throttle, session);
  return { throttle, session, changes };
}

test('a publisher is throttled until the end of the turn', () => {
  const { throttle, changes } = throttled(false);
  assert.deepEqual(changes, [true]);
  throttle.flush();
  assert.deepEqual(changes, [true, false]);
});

test('a publisher with slow consumers is throttled until they have caught up a step', () => {
  const { throttle, session, changes } = throttled(true);
  throttle.flush();
  assert.deepEqual(changes, [true]);
  assert.ok(session.level < session.readyCount);
  session.waiter!.drained();
  assert.deepEqual(changes, [true, false]);
  assert.equal(session.waiter, null);
});

test('a publisher is resumed even if its consumers never catch up', async () => {
  const session = new StubSession();
  session.crowdedNow = true;
  const { promise, resolve } = Promise.withResolvers<void>();
  const throttle = new PublisherThrottle(new Turn({ now: () => 0 }), {
    throttle(on) {
      if (!on) resolve();
    },
  });
  flood(throttle, session);
  throttle.flush();
  await promise;
  assert.equal(session.waiter, null, 'the queue keeps nobody who waits no more');
});

test('a publisher with slow consumers is throttled after many publishes', () => {
  const session = new StubSession();
  const throttle = new PublisherThrottle(new Turn({ now: () => 0 }), { throttle() {} });
  throttle.published = PUBLISHES_A_TURN;
  throttle.afterChunk(1000, session as unknown as Session);
  assert.equal(throttle.throttled, false, 'nobody is behind');
  session.crowdedNow = true;
  throttle.afterChunk(1000, session as unknown as Session);
  assert.equal(throttle.throttled, true);
  throttle.end();
  throttle.afterChunk(1000, session as unknown as Session);
  assert.equal(throttle.throttled, false, 'it counts anew');
});

test('a publisher is throttled after much input even if no consumer is behind', () => {
  const session = new StubSession();
  const throttle = new PublisherThrottle(new Turn({ now: () => 0 }), { throttle() {} });
  for (let i = 0; i < 7; i++) throttle.afterChunk(64 * 1024, session as unknown as Session);
  assert.equal(throttle.throttled, false);
  throttle.afterChunk(64 * 1024, session as unknown as Session);
  assert.equal(throttle.throttled, true);
  throttle.end();
  throttle.afterChunk(64 * 1024, session as unknown as Session);
  assert.equal(throttle.throttled, false, 'it counts anew');
});

describe('a queue', () => {
  let broker: Broker;

  before(async () => {
    broker = await createBroker();
  });

  after(async () => {
    await broker.stop();
  });

  test('is consumersBehind when its consumers are behind, and says when deliveries have brought it below a level', async () => {
    const connection = await amqplib.connect(`amqp://127.0.0.1:${broker.ports.amqp}`);
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue('crowd');
    for (let i = 0; i < 5000; i++) channel.sendToQueue('crowd', Buffer.from('m'));
    await channel.waitForConfirms();
    const queue = broker.hosts.get('/')!.queues.get('crowd')!;
    assert.equal(queue.consumersBehind, false, 'nobody consumes: nobody is behind');
    await channel.prefetch(100);
    const told = Promise.withResolvers<number>();
    queue.whenBelow(4000, { drained: () => told.resolve(queue.readyCount) });
    let received = 0;
    await channel.consume('crowd', (message) => {
      if (++received === 1) assert.equal(queue.consumersBehind, true);
      channel.ack(message!);
    });
    assert.ok((await told.promise) < 4000);
    const closed = once(connection, 'close');
    await connection.close();
    await closed;
  });
});
