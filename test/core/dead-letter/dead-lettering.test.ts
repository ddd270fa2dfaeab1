// Protects dead-lettering: which messages are dead-lettered, where each one is routed, that one commit moves it between
// queues, and when its publisher gets the confirm.

import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { type Field, type FieldTable, findField, textField } from '../../../src/core/message/field-table.ts';
import { Consumer } from '../../../src/core/queue/consumer.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import { Transaction, TransactionFailed } from '../../../src/core/session/transaction.ts';
import { ConfirmRing } from '../../../src/core/turn/confirms.ts';
import { FakeStore } from '../../support/fake-store.ts';
import { Core, consumeOptions, type MessageFields, message, RecordingSink, turns } from '../core.ts';

const integer = (name: string, value: number): Field => ({ name, value: { type: 'I', value } });
const TO_DEAD: FieldTable = [textField('x-dead-letter-exchange', ''), textField('x-dead-letter-routing-key', 'dead')];

let core: Core;
let dead: Queue;

beforeEach(() => {
  core = new Core();
  dead = core.queue('dead');
});

/** Takes all messages of a queue: their bodies, with the reason of the last death. */
function drained(queue: Queue): string[] {
  const found: string[] = [];
  core.turn.begin();
  for (let entry = queue.takeNext(true); entry !== null; entry = queue.takeNext(true)) {
    const { message } = entry;
    const deaths = findField(message.properties().headers, 'x-death');
    const last = deaths?.type === 'A' ? deaths.value[0]! : null;
    const reason = last?.type === 'F' ? findField(last.value, 'reason')?.value : 'alive';
    found.push(`${message.bodyBytes()} ${reason}`);
  }
  return found;
}

function taken(queue: Queue): NonNullable<ReturnType<Queue['takeNext']>> {
  core.turn.begin();
  return queue.takeNext(false)!;
}

describe('a message is dead-lettered', () => {
  it('when it is rejected', async () => {
    const queue = core.queue('q', { args: TO_DEAD });
    core.publish({ key: 'q', body: 'a' });
    queue.reject(taken(queue));
    await turns();
    assert.deepEqual(drained(dead), ['a rejected']);
    assert.equal(queue.readyCount + queue.unackedCount, 0);
    assert.equal(core.memory.held, 0);
  });

  it('when it expires', async () => {
    core.queue('q', { args: TO_DEAD });
    core.publish({ key: 'q', body: 'a', expirationMs: 10 });
    await core.pass(10);
    assert.deepEqual(drained(dead), ['a expired']);
  });

  it('when a newer one pushes it out of a full queue', async () => {
    core.queue('q', { args: [...TO_DEAD, integer('x-max-length', 2)] });
    for (const body of ['a', 'b', 'c', 'd']) core.publish({ key: 'q', body });
    await turns();
    assert.deepEqual(drained(dead), ['a maxlen', 'b maxlen']);
  });

  it('when reject-publish-dlx refuses it, and its publisher gets a nack', async () => {
    const overflow = textField('x-overflow', 'reject-publish-dlx');
    const queue = core.queue('q', { args: [...TO_DEAD, integer('x-max-length', 1), overflow] });
    const outcomes = await confirms([
      { key: 'q', body: 'a' },
      { key: 'q', body: 'b' },
    ]);
    assert.deepEqual(outcomes, [true, false]);
    assert.deepEqual(drained(dead), ['b maxlen']);
    assert.equal(queue.readyCount, 1);
  });

  it('when it exceeds the delivery limit', async () => {
    const args = [...TO_DEAD, textField('x-queue-type', 'quorum'), integer('x-delivery-limit', 2)];
    const queue = core.queue('q', { args });
    core.publish({ key: 'q', body: 'a' });
    for (let i = 0; i < 3; i++) {
      assert.equal(dead.readyCount, 0);
      queue.requeue([taken(queue)]);
      await turns();
    }
    assert.deepEqual(drained(dead), ['a delivery_limit']);
    assert.equal(queue.readyCount + queue.unackedCount, 0);
  });

  it('but not when it is acknowledged, purged or deleted with its queue', async () => {
    const queue = core.queue('q', { args: TO_DEAD });
    for (const body of ['a', 'b', 'c']) core.publish({ key: 'q', body });
    queue.acknowledge(taken(queue));
    queue.purge();
    core.publish({ key: 'q', body: 'd' });
    core.host.deleteQueue(queue);
    await turns();
    assert.deepEqual(drained(dead), []);
  });

  it('only if the queue has a dead letter exchange', async () => {
    const queue = core.queue('q');
    core.publish({ key: 'q', body: 'a', persistent: true });
    await turns();
    queue.reject(taken(queue));
    await turns();
    assert.equal(core.store.committed.get(queue.id)!.size, 0);
    assert.equal(core.memory.held, 0);
  });
});

describe('dead letters are counted', () => {
  /** One death for each reason: rejected, expired, maxlen, delivery limit. */
  async function dieOfEverything(args: FieldTable): Promise<void> {
    const all = [...args, textField('x-queue-type', 'quorum'), integer('x-delivery-limit', 0)];
    const queue = core.queue('q', { args: [...all, integer('x-max-length', 1)] });
    core.publish({ key: 'q', body: 'rejected' });
    queue.reject(taken(queue));
    core.publish({ key: 'q', body: 'returned' });
    queue.requeue([taken(queue)]);
    core.publish({ key: 'q', body: 'oldest' });
    core.publish({ key: 'q', body: 'expired', expirationMs: 10 });
    await core.pass(10);
    assert.equal(queue.readyCount + queue.unackedCount, 0);
  }

  function counted() {
    const { rejected, expired, overflowed, overDeliveryLimit, acknowledged, deadLettersLost } = core.meters;
    const { deadLetteredRejected, deadLetteredExpired, deadLetteredMaxlen, deadLetteredDeliveryLimit } = core.meters;
    const byReason = [deadLetteredRejected, deadLetteredExpired, deadLetteredMaxlen, deadLetteredDeliveryLimit];
    return { deaths: [rejected, expired, overflowed, overDeliveryLimit], byReason, deadLettersLost, acknowledged };
  }

  it('by reason, with a dead letter exchange', async () => {
    await dieOfEverything(TO_DEAD);
    const expected = { deaths: [1, 1, 1, 1], byReason: [1, 1, 1, 1], deadLettersLost: 0, acknowledged: 0 };
    assert.deepEqual(counted(), expected);
    assert.equal(dead.readyCount, 4);
  });

  it('by reason, without one', async () => {
    await dieOfEverything([]);
    const expected = { deaths: [1, 1, 1, 1], byReason: [0, 0, 0, 0], deadLettersLost: 0, acknowledged: 0 };
    assert.deepEqual(counted(), expected);
  });

  it('also when they reach no queue', async () => {
    await dieOfEverything([textField('x-dead-letter-exchange', 'nowhere')]);
    const expected = { deaths: [1, 1, 1, 1], byReason: [0, 0, 0, 0], deadLettersLost: 4, acknowledged: 0 };
    assert.deepEqual(counted(), expected);
    core.exchange('unbound', 'direct');
    core.host.deleteQueue(core.host.queues.get('q')!);
    await dieOfEverything([textField('x-dead-letter-exchange', 'unbound')]);
    assert.deepEqual(counted().byReason, [1, 1, 1, 1]);
    assert.equal(counted().deadLettersLost, 8);
  });
});

describe('a dead letter is routed', () => {
  it('by its own keys if the queue has no dead letter routing key', async () => {
    core.exchange('x', 'direct');
    for (const key of ['q', 'copy', 'hidden']) {
      core.host.bind(core.host.exchange('x'), { queue: core.queue(`${key}-dead`) }, key, [], 'amqp');
    }
    const queue = core.queue('q', { args: [textField('x-dead-letter-exchange', 'x')] });
    const headers: FieldTable = [{ name: 'CC', value: { type: 'A', value: [{ type: 'S', value: 'copy' }] } }];
    core.publish({ key: 'q', body: 'a', headers });
    queue.reject(taken(queue));
    await turns();
    assert.deepEqual(
      ['q-dead', 'copy-dead', 'hidden-dead'].map((name) => drained(core.host.queues.get(name)!).length),
      [1, 1, 0],
    );
  });

  it("only by the queue's dead letter routing key if it has one, which becomes its key", async () => {
    const queue = core.queue('q', { args: TO_DEAD });
    core.queue('copy');
    const headers: FieldTable = [{ name: 'CC', value: { type: 'A', value: [{ type: 'S', value: 'copy' }] } }];
    core.publish({ key: 'q', body: 'a', headers });
    queue.reject(taken(queue));
    await turns();
    assert.equal(core.host.queues.get('copy')!.readyCount, 0);
    const { message } = taken(dead);
    assert.deepEqual([message.exchange, message.routingKey], ['', 'dead']);
  });

  it('without its expiration, so that it does not expire again', async () => {
    core.queue('q', { args: TO_DEAD });
    core.publish({ key: 'q', body: 'a', expirationMs: 10, persistent: true });
    await core.pass(10);
    await core.pass(1000);
    const { message } = taken(dead);
    assert.equal(message.expirationMs, -1);
    assert.equal(message.properties().expiration, null);
    assert.ok(message.persistent);
  });

  it('to no queue, without an error, if the exchange does not exist', async () => {
    const queue = core.queue('q', { args: [textField('x-dead-letter-exchange', 'nowhere')] });
    core.publish({ key: 'q', body: 'a', persistent: true });
    await turns();
    queue.reject(taken(queue));
    await turns();
    assert.equal(queue.readyCount + queue.unackedCount, 0);
    assert.equal(core.store.committed.get(queue.id)!.size, 0);
  });

  it('from queue to queue, and in a cycle only if a consumer rejects it', async () => {
    const args = (key: string): FieldTable => [
      textField('x-dead-letter-exchange', ''),
      textField('x-dead-letter-routing-key', key),
      integer('x-message-ttl', 10),
    ];
    const [a, b] = [core.queue('a', { args: args('b') }), core.queue('b', { args: args('a') })];
    core.publish({ key: 'a', body: 'm' });
    for (let i = 0; i < 5; i++) await core.pass(10);
    assert.equal(a.readyCount + b.readyCount, 0, 'it expired its way round once');
    core.publish({ key: 'a', body: 'm' });
    for (let i = 0; i < 5; i++) {
      a.reject(taken(a));
      await core.pass(10);
      assert.equal(b.readyCount, 0);
    }
    assert.equal(a.readyCount, 1);
  });

  it('back into its own queue if it was rejected', async () => {
    const queue = core.queue('q', { args: [textField('x-dead-letter-exchange', '')] });
    core.publish({ key: 'q', body: 'a', persistent: true });
    await turns();
    for (let i = 1; i <= 3; i++) {
      queue.reject(taken(queue));
      await turns();
      assert.equal(core.store.committed.get(queue.id)!.size, 1);
    }
    assert.deepEqual(drained(queue), ['a rejected']);
  });

  it('in order with thousands of others', async () => {
    core.queue('q', { args: [...TO_DEAD, integer('x-message-ttl', 10)] });
    for (let i = 0; i < 3000; i++) core.publish({ key: 'q', body: `${i}` });
    await core.pass(10);
    await turns(30);
    assert.deepEqual(
      drained(dead),
      Array.from({ length: 3000 }, (_, i) => `${i} expired`),
    );
    assert.equal(core.memory.held, 0);
  });
});

describe('dead letters do not block the event loop', () => {
  it('if each of them reaches many queues', async () => {
    core.exchange('x', 'fanout');
    for (let i = 0; i < 100; i++)
      core.host.bind(core.host.exchange('x'), { queue: core.queue(`q${i}`) }, '', [], 'amqp');
    const queue = core.queue('q', { args: [textField('x-dead-letter-exchange', 'x')] });
    for (let i = 0; i < 64; i++) core.publish({ key: 'q' });
    await turns();
    for (let i = 0; i < 64; i++) queue.reject(taken(queue));
    let buried = 0;
    core.turn.work({
      describeWork: () => ({ work: 'test' }),
      run: () => {
        buried = 64 - queue.unackedCount;
        return false;
      },
    });
    await turns();
    assert.equal(buried, 3);
    assert.equal(queue.unackedCount, 0);
  });

  it('if one of them reaches thousands of queues: it enters them in slices, and leaves its own queue last', async () => {
    const queue = reachingMany();
    core.publish({ key: 'q', body: 'a', persistent: true });
    await turns();
    queue.reject(taken(queue));
    const seen: [copies: number, out: number][] = [];
    const watch = {
      describeWork: () => ({ work: 'test' }),
      run: () => {
        seen.push([copies(), queue.unackedCount]);
        return seen.length < 4;
      },
    };
    core.turn.work(watch);
    await turns();
    assert.deepEqual(seen, [
      [256, 1],
      [512, 1],
      [600, 0],
      [600, 0],
    ]);
    assert.equal(core.store.committed.get(queue.id)!.size, 0);
  });

  it('if a target queue, or its own, is deleted between two slices', async () => {
    const queue = reachingMany();
    core.publish({ key: 'q', body: 'a', persistent: true });
    await turns();
    queue.reject(taken(queue));
    core.turn.work({
      describeWork: () => ({ work: 'test' }),
      run: () => {
        for (const gone of [queue, core.host.queues.get('many599')!]) core.host.deleteQueue(gone);
        return false;
      },
    });
    await turns();
    assert.equal(copies(), 599);
    for (const reached of [...core.host.queues.values()]) core.host.deleteQueue(reached);
    assert.equal(core.memory.held, 0);
  });

  it('and count as memory even if their queue refused them', async () => {
    const args = [...TO_DEAD, integer('x-max-length', 0), textField('x-overflow', 'reject-publish-dlx')];
    const queue = core.queue('q', { args });
    for (let i = 0; i < 100; i++) core.publish({ key: 'q', body: 'x'.repeat(1000) });
    assert.ok(core.memory.held >= 100_000);
    await turns();
    assert.equal(drained(dead).length, 100);
    assert.deepEqual([core.memory.held, queue.unackedCount], [0, 0]);
  });
});

/** A queue whose dead letters reach 600 other queues. */
function reachingMany(args: FieldTable = []): Queue {
  core.exchange('many', 'fanout');
  for (let i = 0; i < 600; i++) {
    core.host.bind(core.host.exchange('many'), { queue: core.queue(`many${i}`) }, '', [], 'amqp');
  }
  return core.queue('q', { args: [textField('x-dead-letter-exchange', 'many'), ...args] });
}

/** How many of those queues have a copy. */
function copies(): number {
  return [...core.host.queues.values()].filter(({ name, readyCount }) => name.startsWith('many') && readyCount === 1)
    .length;
}

describe('a persistent dead letter', () => {
  it('leaves one queue and enters the other in one commit', async () => {
    const queue = core.queue('q', { args: TO_DEAD });
    core.publish({ key: 'q', body: 'a', persistent: true });
    await turns();
    core.store.hold();
    const removed: string[] = [];
    const { group, remove, append } = core.store;
    let open = false;
    core.store.group = (run) => {
      open = true;
      group.call(core.store, run);
      open = false;
    };
    core.store.remove = (entry) => {
      removed.push(`${entry.queue.name} ${open}`);
      remove.call(core.store, entry);
    };
    core.store.append = (entry) => {
      removed.push(`to ${entry.queue.name} ${open}`);
      append.call(core.store, entry);
    };
    queue.reject(taken(queue));
    await turns();
    assert.deepEqual(removed, ['to dead true', 'q true']);
  });

  it('is read back first if its bytes are on disk only', async () => {
    core = new Core(new FakeStore({ automatic: true, late: true }), { memoryHighBytes: 4000 });
    dead = core.queue('dead');
    const queue = core.queue('q', { args: TO_DEAD });
    const sink = new RecordingSink();
    const consumer = new Consumer(queue, sink, consumeOptions());
    queue.addConsumer(consumer);
    consumer.start();
    for (let i = 0; i < 8; i++) core.publish({ key: 'q', body: `${i}`.repeat(500), persistent: true });
    await turns();
    const entries = sink.take();
    assert.ok(entries.some((entry) => entry.unloaded));
    for (const entry of entries) queue.reject(entry);
    for (let i = 0; i < 20; i++) {
      core.store.answerLoads();
      await turns();
    }
    assert.equal(dead.readyCount, 8);
    assert.equal(queue.unackedCount, 0);
    assert.equal(core.store.committed.get(queue.id)!.size, 0);
    for (let i = 0; i < 8; i++) {
      let entry = dead.takeNext(true);
      for (; entry === null; entry = dead.takeNext(true)) {
        core.store.answerLoads();
        await turns();
      }
      assert.equal(entry.message.bodyBytes().toString(), `${i}`.repeat(500));
    }
    assert.equal(core.memory.held, 0);
  });

  it('stays where it is if it cannot be read, and does not block the others', async () => {
    core = new Core(undefined, { memoryHighBytes: 1000 });
    dead = core.queue('dead');
    const queue = core.queue('q', { args: TO_DEAD });
    core.publish({ key: 'q', body: 'x'.repeat(600), persistent: true });
    const first = taken(queue);
    await turns();
    assert.ok(first.unloaded);
    core.store.damage = new Error('damaged');
    queue.reject(first);
    core.publish({ key: 'q', body: 'other' });
    queue.reject(taken(queue));
    await turns();
    core.store.damage = null;
    assert.deepEqual(drained(dead), ['other rejected']);
    assert.equal(queue.unackedCount, 1);
    assert.equal(core.store.committed.get(queue.id)!.size, 1);
  });

  it('that cannot be read fails the transaction that rejected it', async () => {
    for (const late of [false, true]) {
      core = new Core(new FakeStore({ automatic: true, late }), { memoryHighBytes: 1000 });
      dead = core.queue('dead');
      const queue = core.queue('q', { args: TO_DEAD });
      core.publish({ key: 'q', body: 'x'.repeat(600), persistent: true });
      const entry = taken(queue);
      await turns();
      assert.ok(entry.unloaded);
      core.store.damage = new Error('damaged');
      core.turn.begin();
      const commit = new Transaction(core.dependencies, core.host).commit([], [{ entry, outcome: 'rejected' }]);
      const failed = assert.rejects(commit, TransactionFailed);
      await turns();
      core.store.answerLoads();
      await failed;
    }
  });

  it('survives the deletion of its queue after its death', async () => {
    const queue = core.queue('q', { args: TO_DEAD });
    core.publish({ key: 'q', body: 'a', persistent: true });
    await turns();
    queue.reject(taken(queue));
    core.host.deleteQueue(queue);
    await turns();
    assert.deepEqual(drained(dead), ['a rejected']);
    assert.equal(core.memory.held, 0);
  });

  it('survives a purge of its queue after its death, without a duplicate', async () => {
    const queue = core.queue('q', { args: TO_DEAD });
    core.publish({ key: 'q', body: 'a', persistent: true });
    await turns();
    queue.reject(taken(queue));
    queue.purge();
    await turns();
    assert.deepEqual(drained(dead), ['a rejected']);
    assert.equal(core.store.committed.get(queue.id)!.size, 0);
  });
});

/** Publishes with confirms and returns the outcome of each after all turns have ended. */
async function confirms(messages: readonly MessageFields[]): Promise<boolean[]> {
  const { outcomes } = publishing(messages);
  await turns();
  return outcomes;
}

function publishing(messages: readonly MessageFields[]): { readonly outcomes: boolean[]; readonly ring: ConfirmRing } {
  const outcomes: boolean[] = [];
  const confirmed = (_ring: ConfirmRing, from: number, to: number, ok: boolean): void => {
    for (let slot = from; slot <= to; slot++) outcomes.push(ok);
  };
  const ring = new ConfirmRing({ confirmed }, core.turn);
  for (const fields of messages) {
    const slot = ring.open();
    core.publish(fields, ring, slot);
    ring.settle(slot);
  }
  return { outcomes, ring };
}

describe('the confirm of a message that is dead-lettered before its commit', () => {
  const expiring: MessageFields = { key: 'q', body: 'a', persistent: true, expirationMs: 0 };

  it('is sent when its dead letter is on disk', async () => {
    core.queue('q', { args: TO_DEAD });
    await turns();
    core.store.hold();
    const { outcomes } = publishing([expiring]);
    await turns();
    assert.deepEqual(outcomes, []);
    assert.deepEqual(
      core.store.inFlight.map((entry) => entry.queue.name),
      ['dead'],
    );
    core.store.commit();
    await turns();
    assert.deepEqual(outcomes, [true]);
  });

  it('is a nack if the dead letter does not fit on the disk', async () => {
    core.queue('q', { args: TO_DEAD });
    await turns();
    core.store.hold();
    const { outcomes } = publishing([expiring]);
    await turns();
    core.store.fail();
    await turns();
    assert.deepEqual(outcomes, [false]);
  });

  it('is sent at once if no queue takes the dead letter', async () => {
    core.queue('q', { args: [textField('x-dead-letter-exchange', 'nowhere')] });
    await turns();
    core.store.hold();
    const { outcomes } = publishing([expiring]);
    await turns();
    assert.deepEqual(outcomes, [true]);
  });

  it('is not a nack if the dead letter queue is full', async () => {
    core.queue('full', { args: [integer('x-max-length', 0), textField('x-overflow', 'reject-publish')] });
    const args = [textField('x-dead-letter-exchange', ''), textField('x-dead-letter-routing-key', 'full')];
    core.queue('q', { args });
    assert.deepEqual(await confirms([expiring]), [true]);
  });

  it('waits for all of the thousands of queues that the dead letter reaches, even if its own entry was committed before', async () => {
    reachingMany([integer('x-max-length', 0)]);
    await turns();
    core.store.hold();
    const { outcomes, ring } = publishing([{ key: 'q', body: 'a', persistent: true }]);
    // The transfer takes three slices, and commits end between them.
    let commits = 0;
    core.turn.work({
      describeWork: () => ({ work: 'test' }),
      run: () => {
        core.store.seal();
        core.store.commit();
        ring.drain();
        assert.deepEqual(outcomes, []);
        return ++commits < 2;
      },
    });
    await turns();
    assert.equal(commits, 2);
    assert.equal(copies(), 600);
    core.store.commit();
    await turns();
    assert.deepEqual(outcomes, [true]);
  });

  it('waits for the last queue if it is dead-lettered through several', async () => {
    const chain = (key: string): FieldTable => [
      textField('x-dead-letter-exchange', ''),
      textField('x-dead-letter-routing-key', key),
      integer('x-message-ttl', 0),
    ];
    for (const [name, next] of [
      ['q', 'b'],
      ['b', 'c'],
      ['c', 'dead'],
    ] as const) {
      core.queue(name, { args: chain(next) });
    }
    await turns();
    core.store.hold();
    const { outcomes } = publishing([{ key: 'q', body: 'a', persistent: true }]);
    await turns();
    assert.deepEqual(outcomes, []);
    assert.deepEqual(
      core.store.inFlight.map((entry) => entry.queue.name),
      ['dead'],
    );
    core.store.commit();
    await turns();
    assert.deepEqual(outcomes, [true]);
  });
});

it('a consumer of the dead letter queue gets dead letters as they arrive', async () => {
  const queue = core.queue('q', { args: TO_DEAD });
  const sink = new RecordingSink();
  const consumer = new Consumer(dead, sink, consumeOptions({ noAck: true }));
  dead.addConsumer(consumer);
  consumer.start();
  core.publish({ key: 'q', body: 'a', persistent: true });
  await turns();
  queue.reject(taken(queue));
  await turns();
  assert.deepEqual(sink.bodies, ['a']);
  assert.equal(core.store.committed.get(queue.id)!.size, 0);
  assert.equal(core.memory.held, 0);
});

it('a full disk does not dead-letter a message whose write is only delayed', async () => {
  const queue = core.queue('q', { args: TO_DEAD });
  const ring = new ConfirmRing({ confirmed() {} }, core.turn);
  core.store.hold();
  const entry = queue.hold(message({ key: 'q', body: 'a', persistent: true }), queue.selfRoute[0]!, ring, ring.open())!;
  queue.discard([entry]);
  await turns();
  assert.deepEqual(drained(dead), []);
});

describe('queues that dead-letter to each other', () => {
  const QUEUES = 9;
  const args: FieldTable = [integer('x-message-ttl', 0), textField('x-dead-letter-exchange', 'all')];

  function completeGraph(): void {
    core.exchange('all', 'fanout');
    const all = core.host.exchange('all');
    for (let i = 0; i < QUEUES; i++) {
      core.host.bind(all, { queue: core.queue(`q${i}`, { args }) }, '', [], 'amqp');
    }
  }

  it('pass a message on in a bounded number of copies, and all of them end', async () => {
    completeGraph();
    core.publish({ exchange: 'all', key: '', body: 'a' });
    await core.pass(1);
    for (let before = -1; before !== core.meters.deadLetteredExpired; ) {
      before = core.meters.deadLetteredExpired;
      await turns();
    }
    const { deadLetteredExpired, limitHits } = core.meters;
    assert.ok(deadLetteredExpired >= QUEUES * QUEUES, `${deadLetteredExpired} deaths reach every queue`);
    const most = QUEUES * core.limits.deadLetterCopies * QUEUES;
    assert.ok(deadLetteredExpired < most, `${deadLetteredExpired} deaths`);
    assert.ok(limitHits['limits.deadLetterCopies'] > 0);
    assert.equal(core.memory.held, 0);
  });

  it('of which there are more than the limit drop a message at the end of the limit', async () => {
    const length = core.limits.deadLetterDepth + 10;
    for (let i = 0; i < length; i++) {
      const next = [textField('x-dead-letter-exchange', ''), textField('x-dead-letter-routing-key', `c${i + 1}`)];
      core.queue(`c${i}`, { args: [integer('x-message-ttl', 0), ...next] });
    }
    core.publish({ key: 'c0', body: 'a' });
    await core.pass(1);
    for (let i = 0; i < length; i++) await turns();
    assert.equal(core.meters.deadLetteredExpired, core.limits.deadLetterDepth + 1);
    assert.equal(core.meters.limitHits['limits.deadLetterDepth'], 1);
    assert.equal(core.meters.deadLettersLost, 1);
    assert.equal(core.memory.held, 0);
  });

  it('make as many copies as ever of a message that a client rejects each time', async () => {
    core.exchange('both', 'fanout');
    const both = core.host.exchange('both');
    const work = core.queue('work', { args: [textField('x-dead-letter-exchange', 'both')] });
    for (const queue of [work, dead]) core.host.bind(both, { queue }, '', [], 'amqp');
    core.publish({ key: 'work', body: 'a' });
    for (let round = 0; round < 20; round++) {
      work.reject(taken(work));
      await turns();
    }
    assert.equal(drained(dead).length, 20);
  });
});
