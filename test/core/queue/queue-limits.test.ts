// Protects bounded queues: which message is dropped above the bound, which publisher is told, and what counts.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EMPTY_TABLE, type Field, type FieldTable } from '../../../src/core/message/field-table.ts';
import { Consumer } from '../../../src/core/queue/consumer.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import { readQueueArguments } from '../../../src/core/queue/queue-arguments.ts';
import { dropsHead, refusesMore } from '../../../src/core/queue/queue-limits.ts';
import { ConfirmRing } from '../../../src/core/turn/confirms.ts';
import { FakeStore } from '../../support/fake-store.ts';
import { Core, message, RecordingSink, turns } from '../core.ts';

const number = (name: string, value: number): Field => ({ name, value: { type: 'I', value } });
const text = (name: string, value: string): Field => ({ name, value: { type: 'S', value } });
const REJECT = text('x-overflow', 'reject-publish');

function publish(core: Core, queue: Queue, body: string, persistent = true): boolean[] {
  const outcomes: boolean[] = [];
  const confirmed = (_ring: ConfirmRing, from: number, to: number, ok: boolean): void => {
    for (let slot = from; slot <= to; slot++) outcomes.push(ok);
  };
  const ring = new ConfirmRing({ confirmed }, core.turn);
  const slot = ring.open();
  queue.accept(message({ key: queue.name, body, persistent }), queue.selfRoute[0]!, ring, slot);
  ring.settle(slot);
  return outcomes;
}

async function bodies(queue: Queue): Promise<string[]> {
  const sink = new RecordingSink();
  const options = { tag: '', noAck: true, exclusive: false, prefetch: 0, priority: 0, args: EMPTY_TABLE };
  const consumer = new Consumer(queue, sink, options);
  queue.addConsumer(consumer);
  consumer.start();
  await turns();
  queue.removeConsumer(consumer);
  return sink.bodies;
}

describe('a queue with x-max-length', () => {
  test('drops its oldest messages, which are confirmed nevertheless', async () => {
    const core = new Core();
    const queue = core.queue('q', { args: [number('x-max-length', 2)] });
    const outcomes = ['1', '2', '3', '4'].map((body) => publish(core, queue, body));
    await turns();
    assert.deepEqual(outcomes, [[true], [true], [true], [true]]);
    assert.deepEqual(await bodies(queue), ['3', '4']);
  });

  test('refuses the newest with reject-publish: its publisher gets a nack, persistent or not', async () => {
    const core = new Core();
    const queue = core.queue('q', { args: [number('x-max-length', 1), REJECT] });
    const outcomes = [true, true, false].map((persistent, i) => publish(core, queue, String(i), persistent));
    await turns();
    assert.deepEqual(outcomes, [[true], [false], [false]]);
    assert.deepEqual(await bodies(queue), ['0']);
  });

  test('of 0 holds no message, but delivers to ready consumers', async () => {
    const core = new Core();
    const queue = core.queue('q', { args: [number('x-max-length', 0), REJECT] });
    assert.deepEqual(await bodies(queue), []);
    const sink = new RecordingSink();
    const options = { tag: '', noAck: true, exclusive: false, prefetch: 0, priority: 0, args: EMPTY_TABLE };
    const consumer = new Consumer(queue, sink, options);
    queue.addConsumer(consumer);
    consumer.start();
    const outcome = publish(core, queue, 'x');
    await turns();
    assert.deepEqual([outcome, sink.bodies], [[true], ['x']]);
  });

  test('does not count unacknowledged messages; a returned one may push out the oldest', async () => {
    const core = new Core();
    const queue = core.queue('q', { args: [number('x-max-length', 2)] });
    core.put(queue, '1');
    core.put(queue, '2');
    const first = queue.takeNext(false)!;
    core.put(queue, '3');
    assert.equal(queue.readyCount, 2);
    queue.requeue([first]);
    assert.equal(queue.readyCount, 2);
    assert.deepEqual(await bodies(queue), ['2', '3']);
  });

  test('drops a head that must be read back, once it has been read', async () => {
    const store = new FakeStore({ automatic: true });
    const core = new Core(store, { queueWindowEntries: 2 });
    const queue = core.queue('q', { args: [number('x-max-length', 6)] });
    for (let i = 1; i <= 6; i++) publish(core, queue, String(i));
    await turns();
    store.late = true;
    for (let i = 7; i <= 10; i++) publish(core, queue, String(i));
    for (let i = 0; i < 10; i++) {
      store.answerLoads();
      await turns();
    }
    assert.equal(queue.readyCount, 6);
    store.late = false;
    assert.deepEqual(await bodies(queue), ['5', '6', '7', '8', '9', '10']);
  });
});

test('x-max-length-bytes counts bodies', async () => {
  const core = new Core();
  const queue = core.queue('q', { args: [number('x-max-length-bytes', 10)] });
  for (const body of ['aaaa', 'bbbb', 'cc', 'ddd']) core.put(queue, body);
  assert.deepEqual(await bodies(queue), ['bbbb', 'cc', 'ddd']);
  core.put(queue, 'x'.repeat(11));
  assert.equal(queue.readyCount, 0);
});

describe('limits', () => {
  const read = (...args: Field[]) => readQueueArguments(args as FieldTable, 'q', '/').limits;

  test('are null without a bound', () => {
    assert.equal(read(), null);
    assert.equal(read(REJECT), null);
  });

  test("are refused with RabbitMQ's error texts", () => {
    const invalid = (name: string, why: string) => ({
      kind: 'precondition-failed',
      message: `invalid arg '${name}' for queue 'q' in vhost '/': ${why}`,
    });
    assert.throws(() => read(text('x-max-length', '1')), invalid('x-max-length', '"expected integer, got longstr"'));
    assert.throws(() => read(number('x-max-length-bytes', -1)), invalid('x-max-length-bytes', '{value_negative,-1}'));
    assert.throws(() => read(text('x-overflow', 'reject-consume')), invalid('x-overflow', 'invalid_overflow'));
  });

  test('decide between dropping and refusing', () => {
    const dropping = read(number('x-max-length', 2), number('x-max-length-bytes', 100))!;
    assert.deepEqual(
      [dropsHead(dropping, 2, 100), dropsHead(dropping, 3, 0), dropsHead(dropping, 1, 101)],
      [false, true, true],
    );
    assert.equal(refusesMore(dropping, 9, 900), false);
    const refusing = read(number('x-max-length', 2), number('x-max-length-bytes', 100), REJECT)!;
    assert.deepEqual(
      [refusesMore(refusing, 1, 99), refusesMore(refusing, 2, 0), refusesMore(refusing, 0, 100)],
      [false, true, true],
    );
    assert.equal(dropsHead(refusing, 9, 900), false);
  });
});
