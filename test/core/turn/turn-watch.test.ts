// The watch counts and logs what holds the event loop for too long, with the name of the work and of its client.

import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { SILENT } from '../../../src/core/logger.ts';
import { Turn } from '../../../src/core/turn/turn.ts';
import { TurnWatch } from '../../../src/core/turn/turn-watch.ts';
import { turns } from '../core.ts';

let now: number;
let lines: Record<string, unknown>[];
let watch: TurnWatch;
const worker = { describeWork: () => ({ work: 'a test', connection: 7, user: 'eve', peer: '192.0.2.1:5' }) };

beforeEach(() => {
  now = 0;
  lines = [];
  const log = { ...SILENT, warn: (details: object, message: string) => lines.push({ ...details, message }) };
  watch = new TurnWatch(() => now, 50, log);
});

/** A piece of work of so many milliseconds. */
function work(ms: number): void {
  const began = watch.now();
  now += ms;
  assert.equal(watch.ended('task', worker, began), now);
}

describe('the watch', () => {
  it('logs work that is longer than the threshold, with its name and its client', () => {
    work(50);
    assert.deepEqual(lines, []);
    work(51);
    const message = 'work held the event loop for too long';
    const description = { work: 'a test', connection: 7, user: 'eve', peer: '192.0.2.1:5' };
    assert.deepEqual(lines, [{ kind: 'task', ms: 51, ...description, unlogged: 0, message }]);
    assert.equal(watch.figures('task').slow, 1);
    assert.equal(watch.figures('input').slow, 0);
  });

  it('logs one line for each kind and ten seconds, and says how many it left out', () => {
    for (let i = 0; i < 5; i++) work(60);
    assert.equal(lines.length, 1);
    watch.ended('input', worker, now - 60);
    assert.deepEqual(
      lines.map(({ kind }) => kind),
      ['task', 'input'],
    );
    now = 10_060;
    work(60);
    assert.equal(lines.length, 3);
    assert.equal(lines[2]!.unlogged, 4);
    assert.equal(watch.figures('task').slow, 6);
  });

  it('knows the longest work of each kind in the last one to two minutes', () => {
    work(3);
    work(20);
    work(5);
    assert.equal(watch.figures('task').longestMs, 20);
    now = 60_000;
    assert.equal(watch.figures('task').longestMs, 20);
    work(4);
    now = 120_010;
    assert.equal(watch.figures('task').longestMs, 4);
    now = 400_000;
    assert.equal(watch.figures('task').longestMs, 0);
  });

  it('measures each task, each chunk of input, each timer and the turn', async () => {
    const turn = new Turn({ now: () => now }, () => () => {}, watch);
    turn.input(1);
    now += 10;
    turn.inputHandled(worker);
    turn.work({
      ...worker,
      run: () => {
        now += 20;
        return false;
      },
    });
    await turns();
    const timer = {
      ...worker,
      dueAt: Number.POSITIVE_INFINITY,
      heapIndex: -1,
      followsWallClock: true,
      due: () => {
        now += 55;
      },
    };
    turn.timers.set(timer, now);
    turn.timers.fire();
    await turns();
    const longest = (['input', 'task', 'timer', 'turn'] as const).map((kind) => watch.figures(kind).longestMs);
    assert.deepEqual(longest, [10, 20, 55, 55]);
    assert.deepEqual(
      lines.map(({ kind, longest }) => [kind, longest]),
      [
        ['timer', undefined],
        ['turn', worker.describeWork()],
      ],
    );
  });

  it('measures a slice up to the end of its microtasks', async () => {
    const turn = new Turn({ now: () => now }, () => () => {}, watch);
    await turn.slices.next(worker);
    for (let i = 0; i < 10; i++) {
      await null;
      now += 1;
    }
    await turns();
    assert.equal(watch.figures('completion').longestMs, 10);
  });
});
