// The rules of a queue, one by one; queue-model.test.ts tests them in combination.

import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { Consumer } from '../../../src/core/queue/consumer.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import { ANY_QOS, SubscriptionOptions } from '../../../src/core/queue/subscription-options.ts';
import { Target } from '../../../src/core/queue/target.ts';
import { FakeStore } from '../../support/fake-store.ts';
import { Core, consumeOptions, message, RecordingSink, turns } from '../core.ts';

let core: Core;
let queue: Queue;

beforeEach(() => {
  core = new Core();
  queue = core.queue('q');
});

function consume(options = {}, on = queue): { consumer: Consumer; sink: RecordingSink } {
  const sink = new RecordingSink();
  const consumer = new Consumer(on, sink, consumeOptions(options));
  on.addConsumer(consumer);
  consumer.start();
  return { consumer, sink };
}

function taken(from = queue): string[] {
  const bodies: string[] = [];
  for (let entry = from.takeNext(true); entry !== null; entry = from.takeNext(true)) {
    bodies.push(entry.message.bodyBytes().toString());
  }
  return bodies;
}

describe('a published message', () => {
  it('is delivered at once to a consumer with credit, and not stored for a consumer without acknowledgements', () => {
    const { sink } = consume({ noAck: true });
    core.put(queue, 'a', true);
    assert.deepEqual(sink.deliveries, [{ body: 'a', entry: null, redelivered: false }]);
    assert.deepEqual([core.store.pending.length, core.memory.held], [0, 0]);
  });

  it('waits behind the messages before it', async () => {
    core.put(queue, 'a');
    const { sink } = consume();
    core.put(queue, 'b');
    assert.deepEqual(sink.bodies, []);
    await turns();
    assert.deepEqual(sink.bodies, ['a', 'b']);
  });

  it('is stored if durable in a durable queue, and deleted with its acknowledgement', async () => {
    const transient = core.queue('t', { durable: false });
    for (const persistent of [true, false]) {
      core.put(queue, 'a', persistent);
      core.put(transient, 'a', persistent);
    }
    await turns();
    assert.equal(core.store.committed.get(queue.id)!.size, 1);
    assert.equal(core.store.committed.get(transient.id), undefined);
    const entry = queue.takeNext(false)!;
    queue.acknowledge(entry);
    assert.equal(core.store.committed.get(queue.id)!.size, 0);
  });

  it('that is acknowledged before its commit is never written', async () => {
    const { sink } = consume();
    core.put(queue, 'a', true);
    queue.acknowledge(sink.take()[0]!);
    await turns();
    assert.equal(core.store.committed.get(queue.id), undefined);
  });

  it('goes past the queue to a direct receiver at QoS 0 only', () => {
    const received: number[] = [];
    queue.direct = { receive: (_message, target) => received.push(target.qos) };
    const at = (qos: number, persistent: boolean) =>
      queue.accept(message({ persistent }), new Target(queue, new SubscriptionOptions(qos, false, false, [])), null, 0);
    at(0, true);
    at(ANY_QOS, false);
    at(0, false);
    at(1, true);
    assert.deepEqual(received, [0, ANY_QOS, 0]);
    assert.equal(queue.readyCount, 1);
  });
});

describe('credit', () => {
  it('is the prefetch minus the unacknowledged messages', async () => {
    const { sink, consumer } = consume({ prefetch: 2 });
    for (const body of ['a', 'b', 'c', 'd']) core.put(queue, body);
    assert.deepEqual(sink.bodies, ['a', 'b']);
    const [a] = sink.take();
    queue.acknowledge(a!);
    await turns();
    assert.deepEqual(sink.bodies, ['c']);
    assert.equal(consumer.unacked, 2);
    consumer.prefetch = 3;
    consumer.resume();
    await turns();
    assert.deepEqual(sink.bodies, ['c', 'd']);
  });

  it('is 0 while the sink is not writable; another consumer continues', async () => {
    const slow = consume();
    const quick = consume();
    slow.sink.open = false;
    for (const body of ['a', 'b']) core.put(queue, body);
    assert.deepEqual(quick.sink.bodies, ['a', 'b']);
    quick.sink.open = false;
    core.put(queue, 'c');
    slow.sink.open = true;
    slow.consumer.resume();
    await turns();
    assert.deepEqual(slow.sink.bodies, ['c']);
  });
});

describe('returned entries', () => {
  it('take their old places, marked redelivered', async () => {
    const { sink, consumer } = consume();
    for (const body of ['a', 'b', 'c', 'd']) core.put(queue, body);
    queue.removeConsumer(consumer);
    const [a, b, c, d] = sink.take();
    core.put(queue, 'e');
    queue.requeue([c!]);
    queue.requeue([d!, a!]);
    queue.requeue([b!]);
    const again = consume();
    await turns();
    assert.deepEqual(
      again.sink.deliveries.map(({ body, redelivered }) => [body, redelivered]),
      [
        ['a', true],
        ['b', true],
        ['c', true],
        ['d', true],
        ['e', false],
      ],
    );
    assert.equal(core.meters.redelivered, 4);
  });

  it('may be hundreds of thousands at once', () => {
    const { sink, consumer } = consume();
    for (let i = 0; i < 300_000; i++) core.put(queue, '');
    queue.removeConsumer(consumer);
    queue.requeue(sink.take());
    assert.equal(queue.readyCount, 300_000);
  });

  it('may be delivered again to the consumer that returned them', async () => {
    const { sink } = consume({ prefetch: 1 });
    core.put(queue, 'a');
    queue.requeue(sink.take());
    await turns();
    assert.deepEqual(sink.deliveries[0]!.redelivered, true);
  });
});

describe('purging', () => {
  it('drops ready messages and keeps unacknowledged ones', async () => {
    const { sink, consumer } = consume({ prefetch: 1 });
    for (const body of ['a', 'b', 'c']) core.put(queue, body, true);
    assert.equal(queue.purge(), 2);
    await turns();
    assert.deepEqual([queue.readyCount, queue.unackedCount], [0, 1]);
    assert.equal(core.store.committed.get(queue.id)!.size, 1);
    queue.removeConsumer(consumer);
    queue.requeue(sink.take());
    assert.deepEqual(taken(), ['a']);
    assert.equal(core.memory.held, 0);
  });

  it('while the head is being read back discards what was read', async () => {
    const store = new FakeStore({ automatic: true, late: true });
    core = new Core(store, { queueWindowEntries: 1 });
    queue = core.queue('q');
    for (const body of ['a', 'b', 'c']) core.put(queue, body, true);
    await turns();
    queue.takeNext(true);
    assert.equal(queue.takeNext(true), null);
    assert.notEqual(queue.whenReadBack(), null);
    assert.equal(queue.purge(), 2);
    store.answerLoads();
    await turns();
    core.put(queue, 'd', true);
    assert.deepEqual(taken(), ['d']);
    assert.equal(core.memory.held, 0);
  });
});

describe('deleting', () => {
  it('cancels consumers, drops ready and unacknowledged messages, and ignores later acknowledgements', async () => {
    const { sink, consumer } = consume({ prefetch: 1 });
    for (const body of ['a', 'b']) core.put(queue, body, true);
    const [a] = sink.take();
    assert.equal(core.host.deleteQueue(queue), 1);
    assert.equal(core.host.deleteQueue(queue), 0);
    assert.equal(sink.cancellations, 1);
    assert.ok(consumer.ended);
    assert.equal(core.memory.held, 0);
    queue.acknowledge(a!);
    queue.requeue([a!]);
    consumer.resume();
    await turns();
    assert.deepEqual([core.memory.held, sink.deliveries.length], [0, 0]);
  });

  it('is done to an auto-delete queue with its last consumer, not before its first one', () => {
    const auto = core.queue('auto', { autoDelete: true });
    const first = consume({}, auto);
    const second = consume({}, auto);
    auto.removeConsumer(first.consumer);
    assert.ok(core.host.queues.has('auto'));
    auto.removeConsumer(second.consumer);
    assert.ok(!core.host.queues.has('auto'));
  });
});

describe('a backlog', () => {
  it('beyond the window is on disk, in order, including transient messages', async () => {
    core = new Core(new FakeStore({ automatic: true, entriesPerLoad: 3 }), { queueWindowEntries: 4 });
    queue = core.queue('q', { durable: false });
    const bodies = Array.from({ length: 100 }, (_, i) => `${i}`);
    for (const body of bodies) core.put(queue, body);
    await turns();
    assert.equal(queue.pagedCount, 96);
    assert.deepEqual([core.meters.pagedOut, queue.readyCount], [96, 100]);
    assert.deepEqual(taken(), bodies);
    assert.deepEqual([core.meters.pagedIn, core.memory.held], [96, 0]);
  });

  it('with entries missing on disk is reported, recounted and delivered further', async (t) => {
    const store = new FakeStore({ automatic: true });
    core = new Core(store, { queueWindowEntries: 2 });
    queue = core.queue('q', { durable: false });
    for (const body of ['a', 'b', 'c', 'd', 'e']) core.put(queue, body);
    await turns();
    assert.equal(queue.pagedCount, 3);
    for (const seq of [4, 5]) store.committed.get(queue.id)!.delete(seq);
    const damaged = t.mock.method(core.host, 'damaged', () => {});
    assert.deepEqual(taken(), ['a', 'b', 'c']);
    assert.match(damaged.mock.calls[0]!.arguments[1]!.message, /^2 entries of queue 'q' are not on disk$/);
    assert.deepEqual([queue.readyCount, queue.pagedCount, core.memory.held], [0, 0, 0]);
    core.put(queue, 'f');
    assert.deepEqual(taken(), ['f']);
  });

  it('of many queues leaves memory for publishing, and each can still be consumed', async () => {
    const high = 1024 * 1024;
    core = new Core(new FakeStore({ automatic: true }), { memoryHighBytes: high });
    const queues = Array.from({ length: 50 }, (_, i) => core.queue(`q${i}`));
    for (let i = 0; i < 100; i++) {
      for (const one of queues) core.put(one, 'x'.repeat(1000), true);
      await turns(1);
    }
    assert.ok(core.memory.held < (high * 3) / 4, `${core.memory.held}`);
    for (const one of queues) assert.equal(taken(one).length, 100);
    assert.equal(core.memory.held, 0);
  });

  it('stays in memory until a failed write succeeds', async () => {
    const store = new FakeStore();
    core = new Core(store, { queueWindowEntries: 1 });
    queue = core.queue('q', { durable: false });
    for (const body of ['a', 'b', 'c']) core.put(queue, body);
    core.turn.begin();
    await turns();
    store.fail();
    core.put(queue, 'd');
    for (let i = 0; i < 3; i++) {
      core.turn.begin();
      await turns();
      store.commit();
    }
    assert.equal(queue.pagedCount, 3);
    assert.deepEqual(taken(), ['a', 'b', 'c', 'd']);
  });
});

describe('a durable queue', () => {
  it('stores the redelivered mark with its first consumer or get', () => {
    assert.ok(!core.store.delivering.has(queue.id));
    queue.takeNext(true);
    assert.ok(core.store.delivering.has(queue.id));
    const other = core.queue('other');
    consume({}, other);
    assert.ok(core.store.delivering.has(other.id));
    const transient = core.queue('transient', { durable: false });
    consume({}, transient);
    assert.ok(!core.store.delivering.has(transient.id));
  });

  it('clears the redelivered mark in an orderly stop if nothing was delivered', () => {
    consume();
    assert.ok(core.store.delivering.has(queue.id));
    core.host.settleDelivered();
    assert.ok(!core.store.delivering.has(queue.id));
  });

  it('keeps an unacknowledged entry that could not be written', async () => {
    const store = new FakeStore();
    core = new Core(store);
    queue = core.queue('q');
    const { sink, consumer } = consume({ prefetch: 1 });
    for (const body of ['a', 'b']) core.put(queue, body, true);
    core.turn.begin();
    await turns();
    store.fail();
    assert.deepEqual([queue.readyCount, queue.unackedCount], [0, 1]);
    queue.removeConsumer(consumer);
    queue.requeue(sink.take());
    assert.deepEqual(taken(), ['a']);
    assert.equal(core.memory.held, 0);
  });
});
