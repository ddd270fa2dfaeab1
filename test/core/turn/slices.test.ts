// Slices: those of one pass take a bounded time together, and everybody who asks gets one in turn.

import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { Slices } from '../../../src/core/turn/slices.ts';
import { TurnWatch } from '../../../src/core/turn/turn-watch.ts';
import { turns } from '../core.ts';

let now: number;
let slices: Slices;
const worker = { describeWork: () => ({ work: 'a test' }) };

beforeEach(() => {
  now = 0;
  slices = new Slices(new TurnWatch(() => now), 5);
});

/** Does so many slices of a millisecond each, and writes its name for each. */
async function work(name: string, count: number, done: string[]): Promise<void> {
  for (let i = 0; i < count; i++) {
    await slices.next(worker);
    now += 1;
    done.push(name);
  }
}

describe('slices', () => {
  it('of one work come one in a pass', async () => {
    const done: string[] = [];
    const all = work('a', 3, done);
    for (let pass = 1; pass <= 3; pass++) {
      await turns(1);
      assert.equal(done.length, pass);
    }
    await all;
  });

  it('of all works together take the time of a pass', async () => {
    const done: string[] = [];
    const names = Array.from({ length: 12 }, (_, i) => `${i}`);
    const all = Promise.all(names.map((name) => work(name, 10, done)));
    let canary = 0;
    while (done.length < 120) {
      const before = done.length;
      await turns(1);
      canary++;
      assert.ok(done.length - before <= 5, `${done.length - before} slices in one pass`);
    }
    assert.ok(canary >= 24);
    await all;
  });

  it('of many works take turns', async () => {
    const done: string[] = [];
    const names = Array.from({ length: 12 }, (_, i) => `${i}`);
    const all = Promise.all(names.map((name) => work(name, 10, done)));
    await turns(13);
    for (let round = 0; round < 4; round++) assert.deepEqual(done.slice(round * 12, (round + 1) * 12), names);
    await all;
  });

  it('that are longer than a pass come one in a pass', async () => {
    let done = 0;
    const long = async () => {
      await slices.next(worker);
      now += 100;
      done++;
    };
    const all = Promise.all([long(), long(), long()]);
    await turns(1);
    assert.equal(done, 1);
    await all;
    assert.equal(done, 3);
  });
});
