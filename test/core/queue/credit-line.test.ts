// Consumers that share a limit are all served: none waits for ever while another of the same rank gets messages.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Consumer, type DeliverySink } from '../../../src/core/queue/consumer.ts';
import { CreditLine, leaveLine } from '../../../src/core/queue/credit-line.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import type { QueueEntry } from '../../../src/core/queue/queue-entry.ts';
import type { Task } from '../../../src/core/turn/turn.ts';
import { Core, consumeOptions, turns } from '../core.ts';

/** A channel: consumers of several queues that together may have `limit` entries out. */
class Channel implements Task {
  readonly line = new CreditLine();
  readonly out: { consumer: Consumer; entry: QueueEntry }[] = [];
  /** The consumers that were served, in order. */
  readonly served: Consumer[] = [];
  limit: number;
  private readonly core: Core;
  private resuming = false;

  constructor(core: Core, limit: number) {
    this.core = core;
    this.limit = limit;
  }

  consume(queue: Queue, options: Parameters<typeof consumeOptions>[0] = {}): Consumer {
    const sink: DeliverySink = {
      deliver: (consumer, _message, entry) => {
        this.served.push(consumer);
        this.out.push({ consumer, entry: entry! });
        assert.ok(this.out.length <= this.limit, 'the limit holds');
      },
      writable: (consumer) => {
        const hasCredit = this.out.length < this.limit;
        if (hasCredit && (!this.line.contended || this.line.admits(consumer))) return true;
        this.line.join(consumer);
        return false;
      },
      cancelled: () => {},
    };
    const consumer = new Consumer(queue, sink, consumeOptions(options));
    queue.addConsumer(consumer);
    consumer.start();
    return consumer;
  }

  cancel(consumer: Consumer): void {
    leaveLine(consumer);
    consumer.queue.removeConsumer(consumer);
  }

  settle(index: number, requeue: boolean): void {
    const [{ entry } = { entry: null }] = this.out.splice(index, 1);
    if (entry === null) return;
    this.core.turn.begin();
    if (requeue) entry.queue.requeue([entry]);
    else entry.queue.acknowledge(entry);
    if (this.resuming || !this.line.contended) return;
    this.resuming = true;
    this.core.turn.work(this);
  }

  run(): boolean {
    this.resuming = this.line.callNext(this.limit - this.out.length);
    return this.resuming;
  }

  describeWork() {
    return { work: 'a channel' };
  }
}

function fill(core: Core, queue: Queue, count: number): void {
  while (queue.readyCount < count) core.put(queue, 'm');
}

describe('consumers that share a limit', () => {
  it('of one queue are served in turn', async () => {
    const core = new Core();
    const queue = core.queue('q');
    const channel = new Channel(core, 1);
    const consumers = [1, 2, 3].map(() => channel.consume(queue));
    fill(core, queue, 20);
    await turns();
    for (let i = 0; i < 9; i++) {
      channel.settle(0, false);
      await turns();
    }
    const order = channel.served.map((consumer) => consumers.indexOf(consumer));
    assert.deepEqual(order.slice(0, 10), [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
  });

  it('of several queues are served in turn, and a queue without messages holds nobody back', async () => {
    const core = new Core();
    const queues = ['a', 'b', 'c', 'd'].map((name) => core.queue(name));
    const channel = new Channel(core, 1);
    const consumers = queues.map((queue) => channel.consume(queue));
    for (const queue of queues.slice(0, 3)) fill(core, queue, 20);
    await turns();
    for (let i = 0; i < 12; i++) {
      channel.settle(0, false);
      await turns();
    }
    const counts = consumers.map((consumer) => channel.served.filter((served) => served === consumer).length);
    assert.equal(counts[3], 0);
    assert.ok(Math.max(...counts.slice(0, 3)) - Math.min(...counts.slice(0, 3)) <= 1, String(counts));
  });

  it('are served by priority within a queue', async () => {
    const core = new Core();
    const queue = core.queue('q');
    const other = core.queue('other');
    const channel = new Channel(core, 1);
    const low = channel.consume(queue, { priority: 1 });
    const high = channel.consume(queue, { priority: 5 });
    const elsewhere = channel.consume(other);
    fill(core, queue, 20);
    fill(core, other, 20);
    await turns();
    for (let i = 0; i < 10; i++) {
      channel.settle(0, false);
      await turns();
    }
    const after = channel.served.slice(1);
    assert.ok(!after.includes(low), 'a consumer of higher priority has credit');
    assert.ok(after.includes(high) && after.includes(elsewhere));
  });

  it('that end make room for the others', async () => {
    const core = new Core();
    const queues = ['a', 'b', 'c'].map((name) => core.queue(name));
    const channel = new Channel(core, 1);
    const consumers = queues.map((queue) => channel.consume(queue));
    for (const queue of queues) fill(core, queue, 20);
    await turns();
    channel.cancel(consumers[1]!);
    for (let i = 0; i < 6; i++) {
      channel.settle(0, false);
      await turns();
    }
    assert.ok(!channel.served.includes(consumers[1]!));
    assert.ok(channel.served.filter((served) => served === consumers[2]).length >= 3);
  });

  it('keep no memory of queues that they no longer wait for', async () => {
    const core = new Core();
    const channel = new Channel(core, 1);
    fill(core, core.queue('first'), 2);
    channel.consume(core.queue('first'));
    await turns();
    for (let i = 0; i < 50; i++) {
      const queue = core.queue(`q${i}`);
      fill(core, queue, 1);
      const consumer = channel.consume(queue);
      await turns(1);
      assert.notEqual(consumer.place, null);
      channel.cancel(consumer);
    }
    assert.equal((channel.line as unknown as { byQueue: Map<Queue, unknown> }).byQueue.size, 1);
  });

  it('are each served within a bound, whatever limits, queues, acknowledgements and requeues there are', async () => {
    const plan = fc.record({
      limit: fc.integer({ min: 1, max: 12 }),
      /** Consumers of each queue; a prefetch of their own, 0: none. */
      queues: fc.array(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 4 }), {
        minLength: 1,
        maxLength: 5,
      }),
      /** After each turn: which of the outstanding entries are settled, and how. */
      steps: fc.array(fc.array(fc.tuple(fc.nat(100), fc.boolean()), { minLength: 1, maxLength: 6 }), {
        minLength: 60,
        maxLength: 120,
      }),
    });
    await fc.assert(
      fc.asyncProperty(plan, async ({ limit, queues: shape, steps }) => {
        const core = new Core();
        const channel = new Channel(core, limit);
        const queues = shape.map((_, i) => core.queue(`q${i}`));
        const consumers = shape.flatMap((prefetches, i) =>
          prefetches.map((prefetch) => channel.consume(queues[i]!, { prefetch })),
        );
        // In one round each queue takes at most its share of the limit, or one; within a queue consumers have turns.
        const boundOf = ({ queue }: Consumer): number =>
          2 * (queue.consumers.size + 1) * Math.max(limit, queues.length);
        /** Deliveries to others since each consumer was served, while it could have been. */
        const waited = new Map(consumers.map((consumer) => [consumer, 0]));
        let seen = 0;
        for (const step of steps) {
          for (const queue of queues) fill(core, queue, 40);
          await turns();
          for (; seen < channel.served.length; seen++) {
            const served = channel.served[seen]!;
            for (const consumer of consumers) {
              const isFull = consumer.prefetch > 0 && consumer.unacked >= consumer.prefetch;
              if (consumer === served || isFull) waited.set(consumer, 0);
              else waited.set(consumer, waited.get(consumer)! + 1);
            }
          }
          for (const [consumer, count] of waited) {
            const bound = boundOf(consumer);
            assert.ok(count <= bound, `${count} deliveries to others, which is more than ${bound}`);
          }
          for (const [index, requeue] of step) channel.settle(index % Math.max(1, channel.out.length), requeue);
        }
        assert.ok(channel.served.length >= Math.min(limit, consumers.length));
      }),
      { numRuns: 60 },
    );
  });
});
