// Queue types: with priorities (lanes, their store records, redelivered marks), with a single active consumer, and
// quorum queues (what they store and how they count deliveries).

import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { type Field, type FieldTable, findField, textField } from '../../../src/core/message/field-table.ts';
import type { Message } from '../../../src/core/message/message.ts';
import { Consumer } from '../../../src/core/queue/consumer.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import type { QueueEntry } from '../../../src/core/queue/queue-entry.ts';
import { Transaction } from '../../../src/core/session/transaction.ts';
import { VirtualHost } from '../../../src/core/vhost/virtual-host.ts';
import { Core, consumeOptions, message, RecordingSink, turns } from '../core.ts';

const integer = (name: string, value: number): Field => ({ name, value: { type: 'I', value } });
const PRIORITIES: FieldTable = [integer('x-max-priority', 5)];
const quorum = (...more: Field[]): FieldTable => [textField('x-queue-type', 'quorum'), ...more];

let core: Core;

beforeEach(() => {
  core = new Core();
});

function drained(queue: Queue): string[] {
  const bodies: string[] = [];
  core.turn.begin();
  for (let entry = queue.takeNext(true); entry !== null; entry = queue.takeNext(true)) {
    bodies.push(entry.message.bodyBytes().toString());
  }
  return bodies;
}

function publish(key: string, ...messages: readonly (readonly [body: string, priority: number])[]): void {
  for (const [body, priority] of messages) core.publish({ key, body, priority, persistent: true });
}

/** Writes the meta records of a queue's lanes, as a shutdown would, for the next start. */
function leave(queue: Queue, lanes: number): void {
  for (let id = queue.id; id < queue.id + lanes; id++) {
    const entries = [...(core.store.committed.get(id)?.values() ?? [])];
    if (entries.length === 0) continue;
    const nextSeq = Math.max(...entries.map(({ seq }) => seq)) + 1;
    const bytes = entries.reduce((sum, { message }) => sum + message.bodyLength, 0);
    core.store.metas.set(id, { count: entries.length, bytes, nextSeq, floor: 1, deliveredTo: 0 });
  }
}

function restarted(): VirtualHost {
  const host = new VirtualHost('/', core.dependencies);
  host.recover();
  return host;
}

describe('a queue with priorities', () => {
  it('delivers the highest priority first, and in order within one', () => {
    const queue = core.queue('q', { args: PRIORITIES });
    publish('q', ['a', 1], ['b', 5], ['c', 9], ['d', 0], ['e', 1], ['f', 5]);
    assert.equal(queue.readyCount, 6);
    assert.deepEqual(drained(queue), ['b', 'c', 'f', 'a', 'e', 'd']);
  });

  it('has a store id for each priority and uses those that it needs', async () => {
    const [before, queue, behind] = [core.queue('a'), core.queue('q', { args: PRIORITIES }), core.queue('b')];
    assert.deepEqual([queue.id - before.id, behind.id - queue.id], [1, 6]);
    publish('q', ['a', 1], ['b', 5]);
    await turns();
    assert.deepEqual([...core.store.committed.keys()], [queue.id + 1, queue.id + 5]);
  });

  it('is unchanged after a restart', async () => {
    publish.call(null, core.queue('q', { args: PRIORITIES }).name, ['a', 1], ['b', 5], ['c', 1], ['d', 5]);
    await turns();
    leave(core.host.queues.get('q')!, 6);
    const queue = restarted().queues.get('q')!;
    assert.equal(queue.readyCount, 4);
    assert.deepEqual(drained(queue), ['b', 'd', 'a', 'c']);
  });

  it('reads back each priority from disk when it is next', async () => {
    core = new Core(undefined, { queueWindowEntries: 2 });
    const queue = core.queue('q', { args: PRIORITIES });
    for (let i = 0; i < 60; i++) publish('q', [`${i}`, i % 3]);
    await turns();
    assert.ok(queue.pagedCount > 40);
    const expected = [2, 1, 0].flatMap((lane) => Array.from({ length: 20 }, (_, i) => `${i * 3 + lane}`));
    assert.deepEqual(drained(queue), expected);
    await turns();
    assert.equal(core.memory.held, 0);
  });

  it('puts returned entries back into their places', async () => {
    const queue = core.queue('q', { args: PRIORITIES });
    publish('q', ['a', 1], ['b', 5], ['c', 1], ['d', 5]);
    const entries = [1, 2, 3].map(() => queue.takeNext(false)!);
    core.turn.begin();
    queue.requeue([entries[2]!, entries[0]!, entries[1]!]);
    assert.deepEqual(drained(queue), ['b', 'd', 'a', 'c']);
  });

  it('is purged and deleted in every priority; unacknowledged entries stay', async () => {
    const queue = core.queue('q', { args: PRIORITIES });
    publish('q', ['a', 1], ['b', 5], ['c', 5]);
    const out = queue.takeNext(false)!;
    await turns();
    assert.equal(queue.purge(), 2);
    const stored = () => [...core.store.committed.values()].flatMap((lane) => [...lane.values()]);
    assert.deepEqual(stored(), [out]);
    core.host.deleteQueue(queue);
    assert.deepEqual(stored(), []);
    assert.equal(core.memory.held, 0);
  });

  it('stores the redelivered mark of a priority used later before it delivers from it', async () => {
    const queue = core.queue('q', { args: PRIORITIES });
    publish('q', ['a', 1]);
    await turns();
    assert.ok(queue.mark!.set());
    queue.mark!.written();
    assert.deepEqual([...core.store.delivering], [queue.id + 1]);
    publish('q', ['b', 3]);
    assert.deepEqual([...core.store.delivering], [queue.id + 1, queue.id + 3]);
  });

  it('expires the first of each priority', async () => {
    const queue = core.queue('q', { args: PRIORITIES });
    core.publish({ key: 'q', body: 'high', priority: 5 });
    core.publish({ key: 'q', body: 'low', priority: 1, expirationMs: 10 });
    await core.pass(10);
    assert.deepEqual(drained(queue), ['high']);
  });

  it('drops from the head of the highest priority if it is too long, as RabbitMQ does', () => {
    const queue = core.queue('q', { args: [...PRIORITIES, integer('x-max-length', 3)] });
    publish('q', ['a', 1], ['b', 5], ['c', 5], ['d', 0], ['e', 3], ['f', 5]);
    assert.deepEqual(drained(queue), ['e', 'a', 'd']);
  });

  it('with a maximum of 0 is a plain queue', async () => {
    const queue = core.queue('q', { args: [integer('x-max-priority', 0)] });
    publish('q', ['a', 1], ['b', 5]);
    assert.deepEqual(drained(queue), ['a', 'b']);
  });
});

describe('a queue with a single active consumer', () => {
  it('activates the next consumer when the active one ends, and not before', async () => {
    const queue = core.queue('q', { args: [{ name: 'x-single-active-consumer', value: { type: 't', value: true } }] });
    const consumers = [0, 1].map(() => {
      const sink = new RecordingSink();
      const consumer = new Consumer(queue, sink, consumeOptions({ prefetch: 1 }));
      queue.addConsumer(consumer);
      consumer.start();
      return { sink, consumer };
    });
    const [first, second] = consumers as [(typeof consumers)[0], (typeof consumers)[0]];
    for (const body of ['a', 'b', 'c']) core.publish({ key: 'q', body });
    await turns();
    assert.deepEqual([first.sink.bodies, second.sink.bodies], [['a'], []]);
    core.turn.begin();
    queue.removeConsumer(first.consumer);
    await turns();
    assert.deepEqual(second.sink.bodies, ['b']);
  });
});

describe('a quorum queue', () => {
  const count = (shown: Message): bigint | null =>
    (findField(shown.properties().headers, 'x-delivery-count')?.value as bigint | undefined) ?? null;

  it('stores transient messages too', async () => {
    const queue = core.queue('q', { args: quorum() });
    core.publish({ key: 'q', body: 'a', persistent: false });
    await turns();
    assert.equal(core.store.committed.get(queue.id)!.size, 1);
    leave(queue, 1);
    assert.deepEqual(drained(restarted().queues.get('q')!), ['a']);
  });

  it('counts the returns of a message in x-delivery-count', async () => {
    const queue = core.queue('q', { args: quorum() });
    const counts: (bigint | null)[] = [];
    let held: QueueEntry | null = null;
    const consumer = new Consumer(
      queue,
      {
        deliver: (_consumer, shown, entry) => {
          counts.push(count(shown));
          assert.equal(shown.bodyBytes().toString(), 'a');
          held = entry;
        },
        writable: () => true,
        cancelled() {},
      },
      consumeOptions({ prefetch: 1 }),
    );
    queue.addConsumer(consumer);
    consumer.start();
    core.publish({ key: 'q', body: 'a', properties: { headers: [textField('x-delivery-count', 'forged')] } });
    for (let i = 0; i < 3; i++) {
      core.turn.begin();
      queue.requeue([held!]);
      await turns();
    }
    assert.deepEqual(counts, ['forged', 1n, 2n, 3n]);
  });

  it('keeps delivery counts over restarts if it has a limit, and drops those of settled messages', async () => {
    const limit = quorum(integer('x-delivery-limit', 2));
    core.queue('dead');
    const queue = core.queue('q', {
      args: [...limit, textField('x-dead-letter-exchange', ''), textField('x-dead-letter-routing-key', 'dead')],
    });
    publish('q', ['a', 0], ['b', 0]);
    core.turn.begin();
    const entries = [queue.takeNext(false)!, queue.takeNext(false)!];
    queue.requeue(entries);
    queue.acknowledge([queue.takeNext(false)!, queue.takeNext(false)!][1]!);
    await turns();
    const records = () => [...core.store.definitions.all('return')].map(({ name, value }) => [name.at(-1), value]);
    assert.deepEqual(records(), [['1', { count: 1 }]]);
    leave(queue, 1);

    const host = restarted();
    const again = host.queues.get('q')!;
    for (const returns of [2, 3]) {
      core.turn.begin();
      const entry = again.takeNext(false)!;
      assert.equal(count(again.messageFor(entry)), BigInt(returns - 1));
      again.requeue([entry]);
      await turns();
    }
    assert.equal(again.readyCount, 0);
    assert.deepEqual(drained(host.queues.get('dead')!), ['a']);
    assert.deepEqual(records(), []);
  });

  it('drops the delivery counts of purged and deleted messages', async () => {
    const queue = core.queue('q', { args: quorum(integer('x-delivery-limit', 5)) });
    const records = () => [...core.store.definitions.all('return')].length;
    publish('q', ['a', 0], ['b', 0]);
    queue.requeue([queue.takeNext(false)!, queue.takeNext(false)!]);
    const out = queue.takeNext(false)!;
    assert.equal(records(), 2);
    queue.purge();
    assert.equal(records(), 1);
    assert.equal(out.deliveryCount, 2);
    core.host.deleteQueue(queue);
    assert.equal(records(), 0);
  });
});

describe('a transaction with rejections', () => {
  it('ends when the messages that it rejected are durable in the dead letter queue', async () => {
    const dead = core.queue('dead');
    const args = [textField('x-dead-letter-exchange', ''), textField('x-dead-letter-routing-key', 'dead')];
    const queue = core.queue('q', { args });
    publish('q', ['a', 0], ['b', 0]);
    await turns();
    const [rejected, acked] = [queue.takeNext(false)!, queue.takeNext(false)!];
    core.store.hold();
    let done = false;
    const sent = message({ key: 'q', body: 'c', persistent: true });
    core.turn.begin();
    const commit = new Transaction(core.dependencies, core.host).commit(
      [{ message: sent, targets: queue.selfRoute }],
      [
        { entry: rejected, outcome: 'rejected' },
        { entry: acked, outcome: 'acknowledged' },
      ],
    );
    void commit.then(() => {
      done = true;
    });
    await turns();
    assert.ok(!done);
    assert.deepEqual(
      core.store.inFlight.map((entry) => entry.queue.name),
      ['q', 'dead'],
    );
    core.store.commit();
    await turns();
    assert.ok(done);
    assert.deepEqual([drained(dead), drained(queue)], [['a'], ['c']]);
  });
});
