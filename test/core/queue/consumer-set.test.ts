// The order of consumers: highest priority with credit first, round robin among equals, no consumer is starved.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Consumer } from '../../../src/core/queue/consumer.ts';
import { ConsumerSet } from '../../../src/core/queue/consumer-set.ts';
import { Core, consumeOptions, RecordingSink } from '../core.ts';

const queue = new Core().queue('q');

function make(priority: number, prefetch = 0): { consumer: Consumer; sink: RecordingSink } {
  const sink = new RecordingSink();
  return { sink, consumer: new Consumer(queue, sink, consumeOptions({ tag: `${priority}`, priority, prefetch })) };
}

function listed(set: ConsumerSet, ...consumers: Consumer[]): void {
  for (const consumer of consumers) {
    set.add(consumer);
    set.list(consumer);
  }
}

function served(set: ConsumerSet, times: number): (Consumer | null)[] {
  return Array.from({ length: times }, () => set.next());
}

describe('a set of consumers', () => {
  it('serves consumers of equal priority round robin', () => {
    const set = new ConsumerSet();
    const [a, b, c] = [make(0).consumer, make(0).consumer, make(0).consumer];
    assert.equal(set.next(), null);
    listed(set, a, b, c);
    assert.deepEqual(served(set, 5), [a, b, c, a, b]);
    set.remove(a);
    assert.deepEqual(served(set, 3), [c, b, c]);
    assert.equal(set.size, 2);
  });

  it('serves lower priorities if no higher one has credit', () => {
    const set = new ConsumerSet();
    const low = make(-1);
    const high = make(5, 1);
    const other = make(5, 1);
    listed(set, low.consumer, high.consumer, other.consumer);
    assert.deepEqual(served(set, 2), [high.consumer, other.consumer]);
    high.consumer.unacked = 1;
    assert.deepEqual(served(set, 2), [other.consumer, other.consumer]);
    other.sink.open = false;
    assert.deepEqual(served(set, 2), [low.consumer, low.consumer]);
    assert.ok(!high.consumer.listed && !other.consumer.listed);
    high.consumer.unacked = 0;
    assert.equal(set.next(), low.consumer, 'it says itself when it has credit again');
    set.list(high.consumer);
    assert.equal(set.next(), high.consumer);
  });

  it('lists each member once', () => {
    const set = new ConsumerSet();
    const { consumer } = make(0);
    set.list(consumer);
    assert.equal(set.next(), null);
    listed(set, consumer);
    set.list(consumer);
    set.remove(consumer);
    assert.equal(set.next(), null);
    assert.equal(consumer.listed, false);
  });

  it('serves every consumer of the highest priority with credit in turn, whichever join and leave', () => {
    const command = fc.tuple(fc.constantFrom('add', 'remove', 'block', 'free', 'next'), fc.nat(9));
    fc.assert(
      fc.property(fc.array(command, { maxLength: 80, size: 'max' }), (commands) => {
        const set = new ConsumerSet();
        const all = Array.from({ length: 10 }, (_, i) => make(i % 3));
        const members = new Set<Consumer>();
        const check = (): void => {
          const able = [...members].filter((consumer) => consumer.hasCredit());
          const highest = Math.max(...able.map(({ priority }) => priority));
          const group = able.filter(({ priority }) => priority === highest);
          if (group.length === 0) {
            assert.equal(set.next(), null);
            return;
          }
          assert.deepEqual(new Set(served(set, group.length)), new Set(group));
        };
        for (const [kind, which] of commands) {
          const { consumer, sink } = all[which]!;
          if (kind === 'add') {
            listed(set, consumer);
            members.add(consumer);
          } else if (kind === 'remove') {
            set.remove(consumer);
            members.delete(consumer);
          } else if (kind === 'block') sink.open = false;
          else if (kind === 'free') {
            sink.open = true;
            set.list(consumer);
          } else check();
        }
        check();
      }),
      { numRuns: 500 },
    );
  });
});

describe('a set of 100,000 consumers', () => {
  const MANY = 100_000;
  let looks = 0;
  const sink = {
    deliver() {},
    cancelled() {},
    writable(consumer: Consumer): boolean {
      looks++;
      return consumer.unacked === 0;
    },
  };
  const many = (single: boolean, priorityOf: (i: number) => number): [ConsumerSet, Consumer[]] => {
    const set = new ConsumerSet(single);
    const consumers = Array.from(
      { length: MANY },
      (_, i) => new Consumer(queue, sink, consumeOptions({ tag: `${i}`, priority: priorityOf(i) })),
    );
    listed(set, ...consumers);
    looks = 0;
    return [set, consumers];
  };

  for (const [priorities, priorityOf] of [
    ['equal priorities', () => 0],
    ['rising priorities', (i: number) => i],
    ['falling priorities', (i: number) => -i],
  ] as const) {
    it(`with ${priorities} looks at each that has no credit once`, () => {
      const [set, consumers] = many(false, priorityOf);
      for (let i = 0; i < MANY; i++) set.next()!.unacked++;
      assert.ok(looks <= 2 * MANY, `${looks} looks`);
      for (let i = 0; i < 100; i++) assert.equal(set.next(), null);
      assert.ok(looks <= 3 * MANY, `${looks} looks`);
      looks = 0;
      for (const consumer of consumers) {
        consumer.unacked--;
        set.list(consumer);
        assert.equal(set.next(), consumer);
        consumer.unacked++;
      }
      assert.ok(looks <= 3 * MANY, `${looks} looks`);
      for (const consumer of consumers) set.remove(consumer);
      assert.equal(set.size, 0);
      assert.equal(set.next(), null);
    });
  }

  it('with a single active one takes over in order as they leave', () => {
    const [set, consumers] = many(true, (i) => i % 1000);
    let active: Consumer | null = consumers[0]!;
    let last = Number.POSITIVE_INFINITY;
    for (let left = 0; active !== null; left++) {
      assert.ok(left === 0 || active.priority <= last);
      if (left > 0) last = active.priority;
      active = set.remove(active);
    }
    assert.equal(set.size, 0);
  });

  it('keeps no group of a priority whose consumers are gone', () => {
    const set = new ConsumerSet();
    for (let i = 0; i < 1000; i++) {
      const { consumer } = make(i);
      listed(set, consumer);
      assert.equal(set.next(), consumer);
      set.remove(consumer);
    }
    const { lower } = set as unknown as { lower: { byPriority: Map<number, unknown> } };
    assert.equal(lower.byPriority.size, 0);
  });
});

describe('a set with a single active consumer', () => {
  const single = (...consumers: Consumer[]): ConsumerSet => {
    const set = new ConsumerSet(true);
    listed(set, ...consumers);
    return set;
  };

  it('serves the consumer that came first', () => {
    const [first, second, urgent] = [make(0).consumer, make(0).consumer, make(9).consumer];
    assert.deepEqual(served(single(first, second, urgent), 3), [first, first, first]);
  });

  it('serves no consumer while the active one has no credit', () => {
    const [first, second] = [make(0), make(0)];
    const set = single(first.consumer, second.consumer);
    first.sink.open = false;
    assert.equal(set.next(), null);
    set.list(second.consumer);
    assert.equal(set.next(), null);
    first.sink.open = true;
    set.list(first.consumer);
    assert.equal(set.next(), first.consumer);
  });

  it('activates the next when it leaves: the highest priority, then the oldest', () => {
    const consumers = [0, 0, 5, 5, 1].map((priority) => make(priority).consumer);
    const set = single(...consumers);
    const order: (Consumer | null)[] = [];
    for (let active: Consumer | null = consumers[0]!; active !== null; active = set.remove(active)) {
      set.list(active);
      assert.equal(set.next(), active);
      order.push(active);
    }
    assert.deepEqual(
      order.map((consumer) => consumers.indexOf(consumer!)),
      [0, 2, 3, 4, 1],
    );
    assert.equal(set.next(), null);
  });

  it('keeps the active one when another leaves', () => {
    const [first, second] = [make(0).consumer, make(0).consumer];
    const set = single(first, second);
    assert.equal(set.remove(second), null);
    assert.equal(set.next(), first);
  });
});
