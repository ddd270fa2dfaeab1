// A fault of ours stays where it happened: it ends the task, the timer, the consumer's connection or the ring that it
// belongs to, is counted and logged with its stack, and everything else goes on.

import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { textField } from '../../../src/core/message/field-table.ts';
import { Consumer } from '../../../src/core/queue/consumer.ts';
import type { QueueEntry } from '../../../src/core/queue/queue-entry.ts';
import { ConfirmRing } from '../../../src/core/turn/confirms.ts';
import { Faults } from '../../../src/core/turn/faults.ts';
import { Core, consumeOptions, RecordingSink, turns } from '../core.ts';

let core: Core;

beforeEach(() => {
  core = new Core();
});

const fault = (): never => {
  throw new Error('a fault');
};

describe('a fault is reported', () => {
  it('with its boundary, its stack, and on whose behalf the work was done', () => {
    const lines: object[] = [];
    const nothing = (): void => {};
    const log = { debug: nothing, info: nothing, warn: nothing, error: (details: object) => void lines.push(details) };
    const faults = new Faults(log);
    faults.report('task', new Error('why'), { describeWork: () => ({ work: 'a test', queue: 'q' }) });
    faults.report('timer', 'no error', null);
    assert.deepEqual([faults.counts.task, faults.counts.timer, faults.counts.input], [1, 1, 0]);
    const [first] = lines as { boundary: string; queue: string; error: string }[];
    assert.deepEqual([first!.boundary, first!.queue], ['task', 'q']);
    assert.match(first!.error, /why\n\s+at .*faults\.test\.ts/);
  });
});

describe('a fault in a task', () => {
  it('ends the task, and the others of the turn go on', async () => {
    const ran: string[] = [];
    let failed = 0;
    const describeWork = () => ({ work: 'a test' });
    core.turn.work({ run: fault, describeWork, failed: () => failed++ });
    core.turn.work({ run: () => ran.push('other') > 1, describeWork });
    await turns();
    assert.deepEqual([ran, failed, core.turn.faults.counts.task], [['other'], 1, 1]);
  });

  it('of a queue leaves the queue able to work', async () => {
    const queue = core.queue('q');
    core.put(queue, 'a');
    const deliver = queue.run;
    queue.run = fault;
    const sink = new RecordingSink();
    const consumer = new Consumer(queue, sink, consumeOptions());
    queue.addConsumer(consumer);
    consumer.start();
    await turns();
    assert.equal(core.turn.faults.counts.task, 1);
    queue.run = deliver;
    queue.wake();
    await turns();
    assert.equal(sink.take().length, 1);
  });

  it('of dead letters keeps the dead letter in its queue, and passes the next one on', async () => {
    const dead = core.queue('dead');
    const args = [textField('x-dead-letter-exchange', ''), textField('x-dead-letter-routing-key', 'dead')];
    const queue = core.queue('q', { args });
    for (const body of ['a', 'b']) core.publish({ key: 'q', body });
    core.turn.begin();
    const [first, second] = [queue.takeNext(false)!, queue.takeNext(false)!];
    const properties = first.message.properties;
    first.message.properties = fault;
    queue.reject(first);
    queue.reject(second);
    await turns();
    assert.equal(core.turn.faults.counts.task, 1);
    assert.equal(dead.readyCount, 1);
    assert.equal(queue.unackedCount, 1, 'it is not lost: a restart finds it');
    first.message.properties = properties;
  });
});

describe('a fault in a timer', () => {
  it('ends what the timer was for, and the next timer is called', async () => {
    let called = 0;
    const timer = (due: () => void) => ({
      dueAt: Number.POSITIVE_INFINITY,
      heapIndex: -1,
      followsWallClock: false,
      due,
      describeWork: () => ({ work: 'a test' }),
    });
    core.turn.timers.set(timer(fault), 5);
    core.turn.timers.set(
      timer(() => called++),
      6,
    );
    core.time = 10;
    core.turn.timers.fire();
    assert.deepEqual([called, core.turn.faults.counts.timer], [1, 1]);
  });
});

describe('a fault while a delivery is written', () => {
  class BrokenSink extends RecordingSink {
    closed = 0;

    override deliver(): void {
      fault();
    }

    failed(): void {
      this.closed++;
    }
  }

  for (const noAck of [false, true]) {
    it(`ends that connection, ${noAck ? 'without' : 'with'} acknowledgements, and not the publisher`, async () => {
      const queue = core.queue('q');
      const sink = new BrokenSink();
      const consumer = new Consumer(queue, sink, consumeOptions({ noAck }));
      queue.addConsumer(consumer);
      consumer.start();
      core.publish({ key: 'q', body: 'a' });
      core.publish({ key: 'q', body: 'b' });
      await turns();
      assert.equal(sink.closed, 1);
      assert.equal(core.turn.faults.counts.delivery, 1);
      queue.removeConsumer(consumer);
      await turns();
      const healthy = new RecordingSink();
      const other = new Consumer(queue, healthy, consumeOptions());
      queue.addConsumer(other);
      other.start();
      await turns();
      const entries: QueueEntry[] = healthy.take();
      const bodies = entries.map(({ message }) => message.bodyBytes().toString());
      assert.deepEqual(bodies, noAck ? ['b'] : ['a', 'b']);
      if (!noAck) assert.deepEqual([entries[0]!.redelivered, entries[1]!.redelivered], [true, false]);
      for (const entry of entries) queue.acknowledge(entry);
      assert.deepEqual([queue.readyCount, queue.unackedCount, core.memory.held], [0, 0, 0]);
    });
  }
});

describe('a fault while confirms are written', () => {
  it('closes that ring, and another one of the turn is drained', async () => {
    const confirmed: number[] = [];
    let failed = 0;
    const broken = new ConfirmRing({ confirmed: fault, confirmFailed: () => failed++ }, core.turn);
    const healthy = new ConfirmRing({ confirmed: (_ring, from) => void confirmed.push(from) }, core.turn);
    for (const ring of [broken, healthy]) ring.settle(ring.open());
    await turns();
    assert.deepEqual([confirmed, failed, core.turn.faults.counts.confirm], [[0], 1, 1]);
    broken.settle(broken.open());
    await turns();
    assert.equal(broken.size, 0, 'later confirms leave the ring unreported');
    assert.equal(core.turn.faults.counts.confirm, 1);
  });
});

describe('a fault in a flush', () => {
  it('ends that connection, and the others are flushed', async () => {
    const flushed: string[] = [];
    core.turn.flushLater({ flush: fault, flushFailed: () => void flushed.push('failed') });
    core.turn.flushLater({ flush: () => void flushed.push('other') });
    await turns();
    assert.deepEqual([flushed, core.turn.faults.counts.flush], [['failed', 'other'], 1]);
  });
});
