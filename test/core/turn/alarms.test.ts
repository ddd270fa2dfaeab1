// Alarms: whoever is due is told, in time, once; nobody else is; and one timer does it.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Alarmed, Alarms } from '../../../src/core/turn/alarms.ts';

class Sleeper implements Alarmed {
  alarmAt = Number.POSITIVE_INFINITY;
  alarmPlace = -1;
  readonly rung: number[] = [];
  private readonly clock: { readonly now: number };

  constructor(clock: { readonly now: number }) {
    this.clock = clock;
  }

  alarm(): void {
    this.rung.push(this.clock.now);
  }
}

class World {
  now = 0;
  turns = 0;
  timers = 0;
  timer: { readonly at: number; readonly action: () => void } | null = null;
  readonly alarms = new Alarms(this, (delayMs, action) => {
    this.timers++;
    const timer = { at: this.now + delayMs, action };
    this.timer = timer;
    return () => {
      if (this.timer === timer) this.timer = null;
    };
  });

  begin(): void {
    this.turns++;
  }

  /** Time passes; the timer fires when it is due. */
  passTo(time: number): void {
    while (this.timer !== null && this.timer.at <= time) {
      const { at, action } = this.timer;
      this.timer = null;
      this.now = Math.max(this.now, at);
      action();
    }
    this.now = time;
  }
}

describe('an alarm', () => {
  it('of thousands at once leaves others their turn in between', () => {
    const world = new World();
    const sleepers = Array.from({ length: 1000 }, () => new Sleeper(world));
    for (const sleeper of sleepers) world.alarms.set(sleeper, 100);
    world.passTo(100);
    const rung = (): number => sleepers.filter((sleeper) => sleeper.rung.length === 1).length;
    assert.equal(rung(), 256);
    assert.equal(world.timer?.at, 101);
    world.passTo(103);
    assert.equal(rung(), 1000);
    assert.equal(world.timer, null);
  });

  it('rings at its time, in a turn, and is over', () => {
    const world = new World();
    const sleeper = new Sleeper(world);
    world.alarms.set(sleeper, 100);
    world.passTo(99);
    assert.deepEqual(sleeper.rung, []);
    world.passTo(1000);
    assert.deepEqual(sleeper.rung, [100]);
    assert.deepEqual([world.turns, world.alarms.size, world.timer], [1, 0, null]);
  });

  it('moves forwards only, and a later one is not even a new timer', () => {
    const world = new World();
    const sleeper = new Sleeper(world);
    world.alarms.set(sleeper, 100);
    for (let at = 100; at < 10_000; at++) world.alarms.set(sleeper, at);
    assert.equal(world.timers, 1);
    world.alarms.set(sleeper, 50);
    world.passTo(200);
    assert.deepEqual(sleeper.rung, [50]);
  });

  it('that is cleared does not ring, and the last one takes the timer with it', () => {
    const world = new World();
    const [one, other] = [new Sleeper(world), new Sleeper(world)];
    world.alarms.set(one, 10);
    world.alarms.set(other, 20);
    world.alarms.clear(one);
    world.alarms.clear(one);
    world.passTo(30);
    assert.deepEqual([one.rung, other.rung], [[], [20]]);
    world.alarms.set(one, 40);
    world.alarms.clear(one);
    assert.equal(world.timer, null);
  });

  it('of years ahead is waited for in steps that timers can do', () => {
    const world = new World();
    const sleeper = new Sleeper(world);
    const years = 315_360_000_000;
    world.alarms.set(sleeper, years);
    world.passTo(years - 1);
    assert.deepEqual(sleeper.rung, []);
    world.passTo(years);
    assert.deepEqual(sleeper.rung, [years]);
    assert.ok(world.timers > 100);
  });

  it('does not ring when everything has stopped', () => {
    const world = new World();
    const sleeper = new Sleeper(world);
    world.alarms.set(sleeper, 10);
    world.alarms.close();
    world.alarms.set(sleeper, 5);
    world.passTo(100);
    assert.deepEqual([sleeper.rung, world.timer], [[], null]);
  });

  it('may set the next one while it rings', () => {
    const world = new World();
    const sleeper = new Sleeper(world);
    sleeper.alarm = () => {
      sleeper.rung.push(world.now);
      if (world.now < 50) world.alarms.set(sleeper, world.now + 10);
    };
    world.alarms.set(sleeper, 10);
    world.passTo(100);
    assert.deepEqual(sleeper.rung, [10, 20, 30, 40, 50]);
  });
});

const command = fc.tuple(fc.constantFrom('set' as const, 'clear' as const, 'pass' as const), fc.nat(9), fc.nat(60));

it('alarms ring as a list of the earliest says', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 80 }), (commands) => {
      const world = new World();
      const sleepers = Array.from({ length: 10 }, () => new Sleeper(world));
      const due = new Map<Sleeper, number>();
      const expected = new Map(sleepers.map((sleeper) => [sleeper, [] as number[]]));
      for (const [kind, which, number] of commands) {
        const sleeper = sleepers[which]!;
        if (kind === 'set') {
          world.alarms.set(sleeper, world.now + 1 + number);
          due.set(sleeper, Math.min(due.get(sleeper) ?? Number.POSITIVE_INFINITY, world.now + 1 + number));
        } else if (kind === 'clear') {
          world.alarms.clear(sleeper);
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
        for (const each of sleepers) assert.deepEqual(each.rung, expected.get(each));
        assert.equal(world.alarms.size, due.size);
      }
    }),
    { numRuns: 500 },
  );
});
