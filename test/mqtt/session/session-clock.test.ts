// The timers of a session without a connection: its will and its expiry happen once, when due, however far ahead, and
// even if the machine's clock is changed.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MqttContext } from '../../../protocols/mqtt/context.ts';
import { MQTT_COUNTED_LIMITS } from '../../../protocols/mqtt/limits.ts';
import type { Will } from '../../../protocols/mqtt/packet/will-record.ts';
import { SessionClock, type TimedSession } from '../../../protocols/mqtt/session/session-clock.ts';
import { WaitingWills } from '../../../protocols/mqtt/session/waiting-wills.ts';
import { newLimitHits, registerLimits } from '../../../src/core/ports/limit-hits.ts';
import type { Session } from '../../../src/core/session/session.ts';
import { Faults } from '../../../src/core/turn/faults.ts';
import { Timers } from '../../../src/core/turn/timers.ts';
import { TurnWatch } from '../../../src/core/turn/turn-watch.ts';

const DAY_SECONDS = 86_400;
const NO_EXPIRY = 0xffff_ffff;

function willOf(delaySeconds: number): Will {
  const none = Buffer.alloc(0);
  return { topic: 'gone', payload: none, qos: 0, retain: false, block: none, delaySeconds, expirationMs: -1 };
}

/** A session, and the machine's clocks, which the test sets. */
class World implements TimedSession {
  readonly vhost = '/';
  readonly user = 'guest';
  readonly events: string[] = [];
  readonly clock: SessionClock;
  readonly timers: Timers;
  now = 1_700_000_000_000;
  monotonic = 0;

  constructor(expirySeconds: number, willDelaySeconds: number | null) {
    const world = this;
    this.timers = new Timers(
      {
        watch: new TurnWatch(() => this.monotonic),
        faults: new Faults(),
        begin: () => {},
        get now() {
          return world.now;
        },
      },
      { now: () => this.now, monotonic: () => this.monotonic },
      () => () => {},
    );
    const turn = {
      timers: this.timers,
      begin: () => {},
      get now() {
        return world.now;
      },
    };
    const wills = new WaitingWills(1024, registerLimits(newLimitHits(), MQTT_COUNTED_LIMITS));
    this.clock = new SessionClock(this, expirySeconds, { turn, traffic: {} } as unknown as MqttContext, wills);
    this.clock.publish = () => {
      if (this.clock.will !== null) this.events.push('will');
      this.clock.will = null;
      return null;
    };
    this.clock.connected(expirySeconds, willDelaySeconds === null ? null : willOf(willDelaySeconds), {} as Session);
  }

  end(): void {
    this.clock.publish();
    this.events.push('end');
  }

  changed(): void {}

  pass(seconds: number): void {
    this.now += seconds * 1000;
    this.monotonic += seconds * 1000;
    this.timers.fire();
  }

  jump(seconds: number): void {
    this.now += seconds * 1000;
    this.timers.fire();
  }
}

describe('the end of a session', () => {
  for (const days of [1, 300, 0xffff_fffe / DAY_SECONDS]) {
    it(`that is ${Math.round(days)} days away comes then and not before`, () => {
      const world = new World(days * DAY_SECONDS, null);
      world.clock.away();
      for (const part of [0.5, 0.4999]) world.pass(part * days * DAY_SECONDS);
      assert.deepEqual(world.events, []);
      world.pass(days * DAY_SECONDS);
      assert.deepEqual(world.events, ['end']);
      assert.equal(world.timers.size, 0);
    });
  }

  it('never comes without an expiry', () => {
    const world = new World(NO_EXPIRY, null);
    world.clock.away();
    assert.equal(world.timers.size, 0);
  });

  it('does not come while its client is back', () => {
    const world = new World(10, 5);
    world.clock.away();
    world.pass(4);
    world.clock.connected(10, null, {} as Session);
    world.pass(100);
    assert.deepEqual(world.events, []);
  });

  it('comes after the will, each in its time', () => {
    const world = new World(10, 5);
    world.clock.away();
    world.pass(4);
    assert.deepEqual(world.events, []);
    world.pass(1);
    assert.deepEqual(world.events, ['will']);
    world.pass(4);
    assert.deepEqual(world.events, ['will']);
    world.pass(1);
    assert.deepEqual(world.events, ['will', 'end']);
    assert.equal(world.timers.size, 0);
  });

  it('publishes a will with a longer delay', () => {
    const world = new World(10, 500);
    world.clock.away();
    world.pass(10);
    assert.deepEqual(world.events, ['will', 'end']);
  });

  for (const seconds of [-3600, 3600]) {
    it(`does not move, nor does the will, when the clock jumps by ${seconds} seconds`, () => {
      const world = new World(10, 5);
      world.clock.away();
      world.pass(4);
      world.jump(seconds);
      assert.deepEqual(world.events, []);
      world.pass(1);
      assert.deepEqual(world.events, ['will']);
      world.jump(seconds);
      world.pass(4);
      assert.deepEqual(world.events, ['will']);
      world.pass(1);
      assert.deepEqual(world.events, ['will', 'end']);
    });
  }

  it('comes at once after a restart if it was due before, and so does the will', () => {
    const world = new World(NO_EXPIRY, null);
    const will = willOf(5);
    const { now } = world;
    world.clock.recover({ expirySeconds: 10, endsAt: now - 5, willAt: now - 10, user: 'guest', shares: [], will });
    world.pass(0);
    world.pass(0);
    assert.deepEqual(world.events, ['will', 'end']);
  });
});
