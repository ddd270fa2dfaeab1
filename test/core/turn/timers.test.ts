// Timers: each due timer fires once and in time, no other fires, and one event loop timer serves all.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Faults } from '../../../src/core/turn/faults.ts';
import { type Timer, Timers } from '../../../src/core/turn/timers.ts';
import { TurnWatch } from '../../../src/core/turn/turn-watch.ts';

class Sleeper implements Timer {
  dueAt = Number.POSITIVE_INFINITY;
  heapIndex = -1;
  readonly followsWallClock: boolean;
  readonly fired: number[] = [];
  private readonly clock: { readonly now: number };

  constructor(clock: { readonly now: number }, followsWallClock = true) {
    this.clock = clock;
    this.followsWallClock = followsWallClock;
  }

  due(): void {
    this.fired.push(this.clock.now);
  }

  describeWork() {
    return { work: 'sleeper' };
  }
}

class World {
  now = 0;
  /** By how much the wall clock was set forward. */
  jumped = 0;
  turns = 0;
  started = 0;
  timer: { readonly at: number; readonly action: () => void } | null = null;
  readonly watch = new TurnWatch(() => this.now - this.jumped);
  readonly faults = new Faults();
  readonly timers = new Timers(
    this,
    { now: () => this.now, monotonic: () => this.now - this.jumped },
    (delayMs, action) => {
      this.started++;
      const timer = { at: this.now - this.jumped + delayMs, action };
      this.timer = timer;
      return () => {
        if (this.timer === timer) this.timer = null;
      };
    },
  );

  begin(): void {
    this.turns++;
  }

  /** Advances the time and fires the timer when it is due. */
  passTo(time: number): void {
    while (this.timer !== null && this.timer.at + this.jumped <= time) {
      const { at, action } = this.timer;
      this.timer = null;
      this.now = Math.max(this.now, at + this.jumped);
      action();
    }
    this.now = time;
  }

  /** Sets the wall clock forward. */
  jump(ms: number): void {
    this.now += ms;
    this.jumped += ms;
  }
}

describe('a timer', () => {
  it('of thousands at once leaves others their turn in between', () => {
    const world = new World();
    const sleepers = Array.from({ length: 1000 }, () => new Sleeper(world));
    for (const sleeper of sleepers) world.timers.set(sleeper, 100);
    world.passTo(100);
    const fired = (): number => sleepers.filter((sleeper) => sleeper.fired.length === 1).length;
    assert.equal(fired(), 256);
    assert.equal(world.timer?.at, 101);
    world.passTo(103);
    assert.equal(fired(), 1000);
    assert.equal(world.timer, null);
  });

  it('leaves others their turn if the timers that are due take long', () => {
    const world = new World();
    const sleepers = Array.from({ length: 4 }, () => new Sleeper(world));
    for (const sleeper of sleepers) {
      sleeper.due = () => {
        sleeper.fired.push(world.now);
        world.now += 3;
      };
      world.timers.set(sleeper, 100);
    }
    world.now = 100;
    world.timers.fire();
    assert.equal(sleepers.filter(({ fired }) => fired.length === 1).length, 2);
    assert.notEqual(world.timer, null);
    world.timers.fire();
    assert.equal(world.timers.size, 0);
  });

  it('is called at its time, in a turn, and is over', () => {
    const world = new World();
    const sleeper = new Sleeper(world);
    world.timers.set(sleeper, 100);
    world.passTo(99);
    assert.deepEqual(sleeper.fired, []);
    world.passTo(1000);
    assert.deepEqual(sleeper.fired, [100]);
    assert.deepEqual([world.turns, world.timers.size, world.timer], [1, 0, null]);
  });

  it('moves forwards only, and a later one is not even a new timer', () => {
    const world = new World();
    const sleeper = new Sleeper(world);
    world.timers.set(sleeper, 100);
    for (let at = 100; at < 10_000; at++) world.timers.set(sleeper, at);
    assert.equal(world.started, 1);
    world.timers.set(sleeper, 50);
    world.passTo(200);
    assert.deepEqual(sleeper.fired, [50]);
  });

  it('that is cleared is not called, and the last one takes that of the event loop with it', () => {
    const world = new World();
    const [one, other] = [new Sleeper(world), new Sleeper(world)];
    world.timers.set(one, 10);
    world.timers.set(other, 20);
    world.timers.clear(one);
    world.timers.clear(one);
    world.passTo(30);
    assert.deepEqual([one.fired, other.fired], [[], [20]]);
    world.timers.set(one, 40);
    world.timers.clear(one);
    assert.equal(world.timer, null);
  });

  it('of years ahead is waited for in steps that the event loop can do', () => {
    const world = new World();
    const sleeper = new Sleeper(world);
    const years = 315_360_000_000;
    world.timers.set(sleeper, years);
    world.passTo(years - 1);
    assert.deepEqual(sleeper.fired, []);
    world.passTo(years);
    assert.deepEqual(sleeper.fired, [years]);
    assert.ok(world.started > 100);
  });

  it('is not called when everything has stopped', () => {
    const world = new World();
    const sleeper = new Sleeper(world);
    world.timers.set(sleeper, 10);
    world.timers.close();
    world.timers.set(sleeper, 5);
    world.passTo(100);
    assert.deepEqual([sleeper.fired, world.timer], [[], null]);
  });

  it('that stands for a moment follows the wall clock when it is set ahead, one that stands for a time does not', () => {
    const world = new World();
    const [moment, time, next] = [new Sleeper(world), new Sleeper(world, false), new Sleeper(world)];
    world.timers.set(next, 10);
    world.timers.set(moment, 100);
    world.timers.set(time, 100);
    world.jump(1000);
    world.passTo(1010);
    assert.deepEqual([next.fired, moment.fired, time.fired], [[1010], [1010], []]);
    world.passTo(2000);
    assert.deepEqual(time.fired, [1100]);
  });

  it('follows a wall clock that is set back', () => {
    const world = new World();
    const [moment, time] = [new Sleeper(world), new Sleeper(world, false)];
    world.timers.set(moment, 1100);
    world.timers.set(time, 1100);
    world.jump(-1000);
    world.passTo(100);
    assert.deepEqual([moment.fired, time.fired], [[], [100]]);
    world.passTo(1099);
    assert.deepEqual(moment.fired, []);
    world.passTo(1100);
    assert.deepEqual(moment.fired, [1100]);
  });

  it('that is set after the wall clock jumped is due in its time', () => {
    const world = new World();
    const sleeper = new Sleeper(world, false);
    world.jump(5000);
    world.timers.set(sleeper, 5100);
    world.passTo(5099);
    assert.deepEqual(sleeper.fired, []);
    world.passTo(5100);
    assert.deepEqual(sleeper.fired, [5100]);
  });

  it('that fails does not keep the others from being called', () => {
    const world = new World();
    const [faulty, other] = [new Sleeper(world), new Sleeper(world)];
    faulty.due = () => {
      throw new Error('a fault');
    };
    world.timers.set(faulty, 10);
    world.timers.set(other, 20);
    world.passTo(15);
    assert.equal(world.faults.counts.timer, 1);
    world.passTo(30);
    assert.deepEqual(other.fired, [20]);
  });

  it('may set the next one while it is called', () => {
    const world = new World();
    const sleeper = new Sleeper(world);
    sleeper.due = () => {
      sleeper.fired.push(world.now);
      if (world.now < 50) world.timers.set(sleeper, world.now + 10);
    };
    world.timers.set(sleeper, 10);
    world.passTo(100);
    assert.deepEqual(sleeper.fired, [10, 20, 30, 40, 50]);
  });
});

const command = fc.tuple(fc.constantFrom('set' as const, 'clear' as const, 'pass' as const), fc.nat(9), fc.nat(60));

it('timers fire as a list of the earliest says', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 80 }), (commands) => {
      const world = new World();
      const sleepers = Array.from({ length: 10 }, () => new Sleeper(world));
      const due = new Map<Sleeper, number>();
      const expected = new Map(sleepers.map((sleeper) => [sleeper, [] as number[]]));
      for (const [kind, which, number] of commands) {
        const sleeper = sleepers[which]!;
        if (kind === 'set') {
          world.timers.set(sleeper, world.now + 1 + number);
          due.set(sleeper, Math.min(due.get(sleeper) ?? Number.POSITIVE_INFINITY, world.now + 1 + number));
        } else if (kind === 'clear') {
          world.timers.clear(sleeper);
          due.delete(sleeper);
        } else {
          const until = world.now + number;
          for (const [each, at] of due) {
            if (at > until) continue;
            expected.get(each)!.push(at);
            due.delete(each);
          }
          world.passTo(until);
        }
        for (const each of sleepers) assert.deepEqual(each.fired, expected.get(each));
        assert.equal(world.timers.size, due.size);
      }
    }),
    { numRuns: 500 },
  );
});
