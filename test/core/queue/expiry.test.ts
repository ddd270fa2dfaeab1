// Protects expiry: of messages by their own TTL and by their queue's, at the head of the queue, by timer and at the
// latest when the queue is used; and of unused queues. Without consumers, with consumers, and after a restart.

import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { FieldTable } from '../../../src/core/message/field-table.ts';
import { Consumer } from '../../../src/core/queue/consumer.ts';
import { ConfirmRing } from '../../../src/core/turn/confirms.ts';
import { VirtualHost } from '../../../src/core/vhost/virtual-host.ts';
import { FakeStore } from '../../support/fake-store.ts';
import { Core, consumeOptions, message, RecordingSink, turns } from '../core.ts';

const integer = (name: string, value: number): FieldTable => [{ name, value: { type: 'I', value } }];
const ttl = (ms: number): FieldTable => integer('x-message-ttl', ms);

let core: Core;

beforeEach(() => {
  core = new Core();
});

function consume(core: Core, name: string, noAck = false, prefetch = 0): RecordingSink {
  const queue = core.host.queues.get(name)!;
  const sink = new RecordingSink();
  const consumer = new Consumer(queue, sink, consumeOptions({ noAck, prefetch }));
  queue.addConsumer(consumer);
  consumer.start();
  return sink;
}

describe('a message with an expiration', () => {
  it('is removed by a timer without access to the queue', async () => {
    const queue = core.queue('q');
    core.publish({ key: 'q', body: 'a', expirationMs: 100, persistent: true });
    await turns();
    assert.equal(core.timer, 100);
    await core.pass(99);
    assert.equal(queue.readyCount, 1);
    await core.pass(1);
    assert.equal(queue.readyCount, 0);
    assert.equal(core.memory.held, 0);
    assert.equal(core.store.committed.get(queue.id)!.size, 0);
    assert.equal(core.turn.timers.size, 0);
  });

  it('is not delivered after its expiry, even before the timer fires', async () => {
    core.queue('q');
    core.publish({ key: 'q', body: 'late', expirationMs: 100 });
    core.publish({ key: 'q', body: 'kept' });
    await turns();
    core.time = 100;
    const sink = consume(core, 'q', true);
    await turns();
    assert.deepEqual(sink.bodies, ['kept']);
  });

  it('is not returned by a get after its expiry', async () => {
    const queue = core.queue('q');
    core.publish({ key: 'q', body: 'late', expirationMs: 100 });
    core.publish({ key: 'q', body: 'kept' });
    await turns();
    core.time = 100;
    core.turn.begin();
    assert.equal(queue.takeNext(true)!.message.bodyBytes().toString(), 'kept');
    assert.equal(queue.takeNext(true), null);
    assert.equal(queue.whenReadBack(), null);
  });

  it('behind a message that expires later stays: only the head expires', async () => {
    const queue = core.queue('q');
    core.publish({ key: 'q', body: 'long' });
    core.publish({ key: 'q', body: 'short', expirationMs: 10 });
    await turns();
    await core.pass(1000);
    assert.equal(queue.readyCount, 2);
    assert.equal(queue.takeNext(true)!.message.bodyBytes().toString(), 'long');
    await core.pass(0);
    await core.pass(1);
    assert.equal(queue.readyCount, 0);
  });

  it('is delivered to a ready consumer, however short its expiration', async () => {
    core.queue('q');
    const sink = consume(core, 'q');
    core.publish({ key: 'q', body: 'at once', expirationMs: 0 });
    assert.deepEqual(sink.bodies, ['at once']);
  });

  it('of 0 is removed in the same turn if no consumer is ready, and confirmed', async () => {
    const queue = core.queue('q');
    const confirmed: boolean[] = [];
    const ring = new ConfirmRing({ confirmed: (_ring, _from, _to, ok) => confirmed.push(ok) }, core.turn);
    core.store.hold();
    const slot = ring.open();
    core.publish({ key: 'q', body: 'gone', expirationMs: 0, persistent: true }, ring, slot);
    ring.settle(slot);
    await turns(1);
    assert.equal(queue.readyCount, 0);
    assert.deepEqual(confirmed, [true]);
    assert.equal(core.store.inFlight.length, 0, 'it is never written');
  });

  it('is redelivered before its expiry, and not after it', async () => {
    const queue = core.queue('q');
    const sink = consume(core, 'q', false, 1);
    core.publish({ key: 'q', body: 'a', expirationMs: 100 });
    const [entry] = sink.take();
    core.time = 50;
    core.turn.begin();
    queue.requeue([entry!]);
    await turns();
    assert.deepEqual(sink.bodies, ['a']);
    core.time = 100;
    const again = sink.take();
    core.turn.begin();
    queue.requeue(again);
    await turns();
    assert.deepEqual(sink.bodies, []);
    assert.equal(queue.readyCount + queue.unackedCount, 0);
  });

  it('needs a timer only in queues that had such a message', async () => {
    core.queue('q');
    for (let i = 0; i < 100; i++) core.put(core.host.queues.get('q')!, `${i}`, true);
    await turns();
    assert.equal(core.turn.timers.size, 0);
    assert.equal(core.timer, null);
  });
});

describe('a queue with x-message-ttl', () => {
  it("uses the smaller of the queue's and the message's TTL", async () => {
    const queue = core.queue('q', { args: ttl(100) });
    core.publish({ key: 'q', body: 'own', expirationMs: 50 });
    core.publish({ key: 'q', body: "the queue's", expirationMs: 500 });
    core.publish({ key: 'q', body: 'none' });
    await turns();
    await core.pass(50);
    assert.equal(queue.readyCount, 2);
    await core.pass(50);
    assert.equal(queue.readyCount, 0);
  });

  it('may give one message different expiry times in two queues', async () => {
    core.exchange('x', 'fanout');
    for (const [name, ms] of [
      ['short', 10],
      ['long', 1000],
    ] as const) {
      core.host.bind(core.host.exchange('x'), { queue: core.queue(name, { args: ttl(ms) }) }, '', [], 'amqp');
    }
    core.publish({ exchange: 'x', body: 'a' });
    await turns();
    await core.pass(10);
    assert.equal(core.host.queues.get('short')!.readyCount, 0);
    assert.equal(core.host.queues.get('long')!.readyCount, 1);
  });

  it('sets one timer for all messages', async () => {
    const queue = core.queue('q', { args: ttl(100) });
    for (let i = 0; i < 50; i++) {
      core.publish({ key: 'q', body: `${i}` });
      await core.pass(1);
    }
    assert.equal(core.turn.timers.size, 1);
    await core.pass(75);
    assert.equal(queue.readyCount, 24);
    await core.pass(24);
    assert.equal(queue.readyCount, 0);
  });

  it('expires a backlog in slices, from disk too', async () => {
    const small = new Core(new FakeStore({ automatic: true, entriesPerLoad: 7 }), { queueWindowEntries: 10 });
    const queue = small.queue('q', { args: ttl(100) });
    for (let i = 0; i < 2000; i++) small.publish({ key: 'q', body: `${i}`, persistent: true });
    await turns();
    assert.ok(queue.pagedCount > 0);
    await small.pass(100);
    await turns(20);
    assert.equal(queue.readyCount, 0);
    assert.equal(small.memory.held, 0);
    assert.equal(small.store.committed.get(queue.id)!.size, 0);
  });

  it('answers a get while thousands of expired messages are still being removed', async () => {
    const queue = core.queue('q');
    for (let i = 0; i < 1000; i++) core.publish({ key: 'q', body: `${i}`, expirationMs: 10 });
    core.publish({ key: 'q', body: 'last' });
    await turns();
    core.time = 10;
    core.turn.begin();
    let tries = 0;
    let got = queue.takeNext(true);
    for (; got === null && tries < 100; tries++) {
      const more = queue.whenReadBack();
      assert.ok(more !== null, 'it does not look empty');
      await more;
      got = queue.takeNext(true);
    }
    assert.equal(got!.message.bodyBytes().toString(), 'last');
  });
});

describe('after a restart', () => {
  const restarted = (): VirtualHost => {
    const host = new VirtualHost('/', core.dependencies);
    host.recover();
    return host;
  };
  /** Writes the queue's meta record, as a shutdown would, for the next start. */
  const leave = (name: string): void => {
    const queue = core.host.queues.get(name)!;
    const entries = [...core.store.committed.get(queue.id)!.values()];
    const bytes = entries.reduce((sum, entry) => sum + entry.message.bodyLength, 0);
    const nextSeq = Math.max(...entries.map(({ seq }) => seq)) + 1;
    core.store.metas.set(queue.id, { count: entries.length, bytes, nextSeq, floor: 1, deliveredTo: 0 });
  };

  it('messages with an expiration leave a queue without access to it', async () => {
    core.queue('q');
    core.publish({ key: 'q', body: 'a', expirationMs: 100, persistent: true });
    core.publish({ key: 'q', body: 'b', expirationMs: 300, persistent: true });
    await turns();
    leave('q');
    core.time = 200;
    const queue = restarted().queues.get('q')!;
    assert.equal(queue.readyCount, 2);
    await turns();
    assert.equal(queue.readyCount, 1);
    await core.pass(100);
    assert.equal(queue.readyCount, 0);
  });

  it('also if a transient one came first, or a full disk refused the first', async () => {
    for (const isRefused of [true, false]) {
      core = new Core();
      core.queue('q');
      await turns();
      if (isRefused) core.store.hold();
      core.publish({ key: 'q', body: 'a', expirationMs: 300, persistent: isRefused });
      await turns();
      if (isRefused) {
        core.store.fail();
        core.store.definitions.put('queue', ['/', 'q'], {
          id: core.host.queues.get('q')!.id,
          autoDelete: false,
          args: [],
        });
        core.store.release();
      }
      core.publish({ key: 'q', body: 'b', expirationMs: 100, persistent: true });
      await turns();
      leave('q');
      core.time = 200;
      const queue = restarted().queues.get('q')!;
      await turns();
      assert.equal(queue.readyCount, 0);
    }
  });

  it('an expired message is not delivered, even if the recovered meta record does not know of it', async () => {
    core.queue('q');
    core.publish({ key: 'q', body: 'a', expirationMs: 100, persistent: true });
    core.publish({ key: 'q', body: 'b', persistent: true });
    await turns();
    leave('q');
    core.store.definitions.put('queue', ['/', 'q'], { id: core.host.queues.get('q')!.id, autoDelete: false, args: [] });
    core.time = 200;
    const queue = restarted().queues.get('q')!;
    await turns();
    let entry = queue.takeNext(true);
    for (; entry === null; entry = queue.takeNext(true)) await queue.whenReadBack();
    assert.equal(entry.message.bodyBytes().toString(), 'b');
  });

  it('a queue without such messages is not read', async () => {
    core.queue('q');
    core.publish({ key: 'q', body: 'a', persistent: true });
    await turns();
    leave('q');
    const { pagedIn } = core.meters;
    const queue = restarted().queues.get('q')!;
    await turns();
    assert.equal(queue.readyCount, 1);
    assert.equal(core.meters.pagedIn, pagedIn);
  });

  it('a queue with x-expires has its full time again', async () => {
    core.queue('q', { args: integer('x-expires', 100) });
    await turns();
    core.time = 5000;
    const host = restarted();
    await core.pass(99);
    assert.ok(host.queues.has('q'));
    await core.pass(1);
    assert.ok(!host.queues.has('q'));
    assert.deepEqual([...core.store.definitions.all('queue')], []);
  });
});

describe('a queue with x-expires', () => {
  const declare = () => {
    const queue = core.queue('q', { args: integer('x-expires', 100) });
    queue.touch();
    return queue;
  };

  it('is deleted with its messages when it was unused for that time', async () => {
    declare();
    core.publish({ key: 'q', body: 'a', persistent: true });
    await core.pass(99);
    assert.ok(core.host.queues.has('q'));
    await core.pass(1);
    assert.ok(!core.host.queues.has('q'));
    assert.equal(core.memory.held, 0);
    assert.equal(core.turn.timers.size, 0);
  });

  it('stays while it has a consumer, and for that time after the last one', async () => {
    const queue = declare();
    const consumer = new Consumer(queue, new RecordingSink(), consumeOptions());
    queue.addConsumer(consumer);
    await core.pass(1000);
    assert.ok(core.host.queues.has('q'));
    core.turn.begin();
    queue.removeConsumer(consumer);
    await core.pass(99);
    assert.ok(core.host.queues.has('q'));
    await core.pass(1);
    assert.ok(!core.host.queues.has('q'));
  });

  it('stays if it is used in time', async () => {
    const queue = declare();
    for (let i = 0; i < 5; i++) {
      await core.pass(60);
      core.turn.begin();
      queue.touch();
    }
    assert.ok(core.host.queues.has('q'));
    await core.pass(100);
    assert.ok(!core.host.queues.has('q'));
  });

  it('is not kept by publishes', async () => {
    declare();
    for (let i = 0; i < 10; i++) {
      core.publish({ key: 'q', body: `${i}` });
      await core.pass(10);
    }
    assert.ok(!core.host.queues.has('q'));
  });
});

describe('a transaction', () => {
  it('starts the TTL of its messages at its commit', async () => {
    const queue = core.queue('q', { args: ttl(100) });
    const ring = new ConfirmRing({ confirmed() {} }, core.turn);
    const slot = ring.open();
    core.turn.begin();
    const entry = queue.hold(message({ key: 'q', body: 'a', persistent: true }), queue.selfRoute[0]!, ring, slot)!;
    assert.equal(entry.expiresAt, 100);
    queue.releaseHeld([entry]);
    await turns();
    assert.equal(queue.readyCount, 1);
    await core.pass(100);
    assert.equal(queue.readyCount, 0);
  });

  it('delivers a message with TTL 0 to a ready consumer', async () => {
    const queue = core.queue('q', { args: ttl(0) });
    const sink = consume(core, 'q');
    const ring = new ConfirmRing({ confirmed() {} }, core.turn);
    const entry = queue.hold(message({ key: 'q', body: 'a' }), queue.selfRoute[0]!, ring, ring.open())!;
    core.time = 5;
    core.turn.begin();
    queue.releaseHeld([entry]);
    assert.deepEqual(sink.bodies, ['a']);
  });
});
