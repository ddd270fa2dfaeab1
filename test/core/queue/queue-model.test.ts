// Compares a queue with a list. Messages are published, alone or in transactions, consumed, taken, returned and purged;
// commits end or fail and loads complete at any time. Messages leave in order, each once until it is returned, no
// message waits while a consumer could take it, and counts and memory return to their initial values.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Message } from '../../../src/core/message/message.ts';
import { Consumer, type DeliverySink } from '../../../src/core/queue/consumer.ts';
import { ENTRY_OVERHEAD_BYTES } from '../../../src/core/queue/memory-budget.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import type { QueueEntry } from '../../../src/core/queue/queue-entry.ts';
import { ConfirmRing } from '../../../src/core/turn/confirms.ts';
import { FakeStore } from '../../support/fake-store.ts';
import { checkQueues } from '../../support/queue-check.ts';
import { Core, consumeOptions, message, turns } from '../core.ts';

type Command = readonly [
  (
    | 'publish'
    | 'transact'
    | 'consume'
    | 'cancel'
    | 'get'
    | 'ack'
    | 'requeue'
    | 'purge'
    | 'stall'
    | 'commit'
    | 'fail'
    | 'load'
    | 'turn'
  ),
  number,
  boolean,
];

class Model {
  readonly core: Core;
  readonly store: FakeStore;
  readonly queue: Queue;
  /** Bodies (increasing numbers) in the order in which they must leave. */
  ready: number[] = [];
  readonly out: { readonly entry: QueueEntry; readonly id: number }[] = [];
  readonly returned = new Set<number>();
  /** Published in transactions that are not committed yet. */
  readonly held = new Set<number>();
  readonly consumers: { readonly consumer: Consumer; readonly sink: { open: boolean } }[] = [];
  readonly ring: ConfirmRing;
  readonly refused: number[] = [];
  readonly withdrawn: number[] = [];
  published = 0;
  private confirmed = 0;
  private readonly idsBySlot: number[] = [];

  constructor(durable: boolean, late: boolean, windowEntries: number, shortOfMemory: boolean) {
    this.store = new FakeStore({ late, entriesPerLoad: 2 });
    // With little memory, windows shrink from the fourth entry on and unacknowledged entries are paged out.
    const memory = shortOfMemory ? { memoryHighBytes: 6 * ENTRY_OVERHEAD_BYTES } : {};
    this.core = new Core(this.store, { queueWindowEntries: windowEntries, ...memory });
    this.queue = this.core.queue('q', { durable });
    this.ring = new ConfirmRing(
      {
        confirmed: (_ring, from, to, ok) => {
          assert.equal(from, this.confirmed, 'confirms leave in order');
          this.confirmed = to + 1;
          if (!ok) for (let slot = from; slot <= to; slot++) this.refused.push(this.idsBySlot[slot]!);
        },
      },
      this.core.turn,
    );
  }

  run(command: Command): void | Promise<void> {
    const [kind, number, flag] = command;
    switch (kind) {
      case 'publish':
        for (let i = 0; i <= number; i++) this.publish(flag);
        return;
      case 'transact':
        return this.transact(number + 1, flag);
      case 'consume':
        return this.consume(number % 4, flag && number % 2 === 0);
      case 'cancel':
        return this.cancel(number, flag);
      case 'get':
        return this.get(flag);
      case 'ack':
        for (let i = 0; i <= number && this.out.length > 0; i++) {
          this.queue.acknowledge(this.out.splice(number % this.out.length, 1)[0]!.entry);
        }
        return;
      case 'requeue':
        return this.requeue(this.out.splice(flag ? 0 : this.out.length >> 1, number + 1));
      case 'purge':
        assert.equal(this.queue.purge(), this.ready.length);
        this.ready = [];
        return;
      case 'stall':
        return this.stall(number);
      case 'commit':
        return this.store.commit();
      case 'fail':
        return this.fail();
      case 'load':
        return this.store.answerLoads();
      case 'turn':
        return turns();
      default:
        kind satisfies never;
    }
  }

  check(): void {
    assert.equal(this.queue.readyCount, this.ready.length);
    assert.equal(this.queue.unackedCount, this.out.length + this.held.size);
    checkQueues(this.core.host.queues.values(), this.core.memory);
  }

  /** Completes all pending work successfully. */
  async quiet(): Promise<void> {
    for (let i = 0; i < 200; i++) {
      this.core.turn.begin();
      await turns(2);
      if (this.store.pending.length === 0 && this.store.inFlight.length === 0 && this.store.loadsWaiting === 0) break;
      this.store.commit();
      this.store.answerLoads();
    }
    this.check();
    const able = this.consumers.some(({ consumer }) => consumer.hasCredit());
    assert.ok(this.ready.length === 0 || !able, 'nothing waits where a consumer has credit');
    assert.equal(this.ring.size, 0);
    assert.equal(this.held.size, 0);
    assert.deepEqual(this.refused, this.withdrawn, 'what was refused is what could not be written');
  }

  /** Takes and settles every message; then no trace of them may remain. */
  async empty(): Promise<void> {
    while (this.consumers.length > 0) this.cancel(0, true);
    while (this.ready.length > 0) {
      const before = this.ready.length;
      this.get(true);
      if (this.ready.length === before) await this.quiet();
    }
    for (const { entry } of this.out.splice(0)) this.queue.acknowledge(entry);
    await this.quiet();
    assert.equal(this.core.memory.held, 0);
    assert.equal(this.store.committed.get(this.queue.id)?.size ?? 0, 0);
  }

  private publish(persistent: boolean): void {
    const id = ++this.published;
    this.ready.push(id);
    const slot = this.ring.open();
    this.idsBySlot[slot] = id;
    this.queue.accept(message({ body: `${id}`, persistent }), this.queue.selfRoute[0]!, this.ring, slot);
    this.ring.settle(slot);
  }

  /** Does what a transaction does: holds its messages until all are on disk, and discards them if the commit fails. */
  private transact(count: number, persistent: boolean): void {
    const { core, queue, held } = this;
    const ids = Array.from({ length: count }, () => ++this.published);
    const ring = new ConfirmRing(
      {
        confirmed: (_ring, _from, _to, ok) => {
          for (const id of ids) held.delete(id);
          if (!ok) {
            queue.discard(entries);
            return;
          }
          queue.releaseHeld(entries);
          this.wait(ids);
        },
      },
      core.turn,
    );
    const slot = ring.open();
    const entries = ids.map((id) => {
      held.add(id);
      // A transient message waits for the persistent ones of its transaction.
      return queue.hold(
        message({ body: `${id}`, persistent: persistent && id % 3 > 0 }),
        queue.selfRoute[0]!,
        ring,
        slot,
      )!;
    });
    ring.settle(slot);
  }

  private consume(prefetch: number, noAck: boolean): void {
    const sink = { open: true };
    const deliverySink: DeliverySink = {
      deliver: (_consumer, message, entry, redelivered) => {
        assert.ok(sink.open);
        assert.equal(entry === null, noAck);
        this.left(message, entry, redelivered);
      },
      writable: () => sink.open,
      cancelled: () => assert.fail('the queue is not deleted'),
    };
    const consumer = new Consumer(this.queue, deliverySink, consumeOptions({ prefetch, noAck }));
    this.queue.addConsumer(consumer);
    this.consumers.push({ consumer, sink });
    consumer.start();
  }

  private cancel(number: number, requeue: boolean): void {
    if (this.consumers.length === 0) return;
    const { consumer } = this.consumers.splice(number % this.consumers.length, 1)[0]!;
    this.queue.removeConsumer(consumer);
    if (!requeue) return;
    const held = this.out.filter(({ entry }) => entry.consumer === consumer);
    for (const one of held) this.out.splice(this.out.indexOf(one), 1);
    this.requeue(held);
  }

  private get(noAck: boolean): void {
    const entry = this.queue.takeNext(noAck);
    if (entry === null) {
      assert.ok(this.ready.length === 0 || this.queue.whenReadBack() !== null);
      return;
    }
    this.left(entry.message, noAck ? null : entry, entry.redelivered);
  }

  private requeue(entries: readonly { readonly entry: QueueEntry; readonly id: number }[]): void {
    for (const { id } of entries) this.returned.add(id);
    this.wait(entries.map(({ id }) => id));
    this.queue.requeue(entries.map(({ entry }) => entry));
  }

  /** Returned messages come before those never delivered; both groups are ordered by id. */
  private wait(ids: readonly number[]): void {
    const rank = (id: number): number => (this.returned.has(id) ? id : this.published + id);
    this.ready = [...this.ready, ...ids].sort((a, b) => rank(a) - rank(b));
  }

  private stall(number: number): void {
    if (this.consumers.length === 0) return;
    const { consumer, sink } = this.consumers[number % this.consumers.length]!;
    sink.open = !sink.open;
    if (sink.open) consumer.resume();
  }

  private fail(): void {
    const { queue } = this;
    for (const entry of this.store.inFlight) {
      if (!queue.persisted || !entry.message.persistent) continue;
      const id = Number(entry.message.bodyBytes().toString());
      if (this.held.has(id)) continue;
      this.withdrawn.push(id);
      if (!entry.outstanding) this.ready.splice(this.ready.indexOf(id), 1);
    }
    this.store.fail();
  }

  private left(message: Message, entry: QueueEntry | null, redelivered: boolean): void {
    const id = Number(message.bodyBytes().toString());
    assert.equal(id, this.ready.shift(), 'messages leave in order');
    assert.equal(redelivered, this.returned.has(id));
    if (entry !== null) this.out.push({ entry, id });
  }
}

const command: fc.Arbitrary<Command> = fc.tuple(
  fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom('publish' as const, 'turn' as const) },
    { weight: 2, arbitrary: fc.constantFrom('transact' as const, 'commit' as const) },
    { weight: 2, arbitrary: fc.constantFrom('ack' as const, 'requeue' as const, 'get' as const, 'commit' as const) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        'consume' as const,
        'cancel' as const,
        'purge' as const,
        'stall' as const,
        'fail' as const,
        'load' as const,
      ),
    },
  ),
  fc.nat(5),
  fc.boolean(),
);

describe('a queue', () => {
  for (const late of [false, true]) {
    it(`behaves as a list, over a store that answers ${late ? 'late' : 'at once'}`, async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.boolean(),
          fc.integer({ min: 1, max: 6 }),
          fc.boolean(),
          fc.array(command, { maxLength: 60, size: 'max' }),
          async (durable, windowEntries, shortOfMemory, commands) => {
            const model = new Model(durable, late, windowEntries, shortOfMemory);
            for (const command of commands) {
              await model.run(command);
              model.check();
            }
            await model.quiet();
            await model.empty();
          },
        ),
        { numRuns: 1000 },
      );
    });
  }
});
