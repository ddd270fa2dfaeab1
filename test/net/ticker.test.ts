// The ticker: members get each tick, may leave during one, do not affect each other, and do not keep the process alive.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TICK_MS, Ticker, ticksFor } from '../../src/net/ticker.ts';

function member(ticker: Ticker, forTicks = Number.POSITIVE_INFINITY) {
  const self = {
    ticks: [] as number[],
    tick(now: number): void {
      self.ticks.push(now);
      if (self.ticks.length === forTicks) ticker.remove(self);
    },
  };
  ticker.add(self);
  return self;
}

function rethrow(error: unknown): void {
  throw error;
}

function timers(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
}

describe('the ticker', () => {
  it('calls each member once a tick with a number that grows by one', () => {
    const ticker = new Ticker(rethrow);
    const a = member(ticker);
    ticker.advance();
    const b = member(ticker);
    ticker.advance();
    ticker.advance();
    assert.deepEqual(a.ticks, [1, 2, 3]);
    assert.deepEqual(b.ticks, [2, 3]);
    assert.equal(ticker.now, 3);
    ticker.close();
  });

  it('lets a member leave within its tick', () => {
    const ticker = new Ticker(rethrow);
    const short = member(ticker, 1);
    const long = member(ticker);
    ticker.advance();
    ticker.advance();
    assert.equal(short.ticks.length, 1);
    assert.equal(long.ticks.length, 2);
    ticker.close();
  });

  it('ticks the other members if one throws', () => {
    const errors: unknown[] = [];
    const ticker = new Ticker((error) => errors.push(error));
    ticker.add({
      tick(): void {
        throw new Error('broken');
      },
    });
    const other = member(ticker);
    ticker.advance();
    assert.equal(other.ticks.length, 1);
    assert.equal(errors.length, 1);
    ticker.close();
  });

  it('runs while it has members, with one timer for all, and does not keep the process alive', () => {
    const before = timers();
    const ticker = new Ticker(rethrow);
    const members = Array.from({ length: 100 }, () => member(ticker));
    // An unref'ed interval is not among the resources that keep the event loop alive.
    assert.equal(timers(), before);
    for (const one of members) ticker.remove(one);
    assert.equal(ticker.size, 0);
    member(ticker);
    ticker.advance();
    assert.equal(ticker.now, 1);
    ticker.close();
  });

  it('counts ticks that last at least as long as asked, wherever in a tick one begins', () => {
    assert.equal(ticksFor(TICK_MS), 2);
    assert.equal(ticksFor(TICK_MS + 1), 3);
    assert.equal(ticksFor(10 * TICK_MS), 11);
  });
});
