// Deadlines: each is due once, at its tick, however far away that is.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Deadlines, type Due } from '../../../protocols/mqtt/deadlines.ts';
import { Ticker, ticksFor } from '../../../src/net/ticker.ts';

const DAY_MS = 86_400_000;

class Noted implements Due {
  dueTick = 0;
  times = 0;

  due(): void {
    this.times++;
  }
}

describe('a deadline', () => {
  for (const days of [1, 300, 0xffff_fffe / 86_400]) {
    it(`that is ${Math.round(days)} days away is due then and not before`, () => {
      const ticker = new Ticker((error) => {
        throw error;
      });
      const deadlines = new Deadlines(ticker);
      const noted = new Noted();
      deadlines.set(noted, days * DAY_MS);
      const ticks = ticksFor(days * DAY_MS);
      for (const early of [ticks / 2, ticks - 2]) {
        ticker.now = Math.floor(early);
        ticker.advance();
        assert.equal(noted.times, 0);
      }
      ticker.now = ticks - 1;
      ticker.advance();
      assert.equal(noted.times, 1);
      assert.equal(deadlines.size, 0);
      assert.equal(ticker.size, 0);
    });
  }
});
