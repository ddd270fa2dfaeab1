// The core's simulation: hundreds of seeded runs of queues of every kind over the real store and a failing disk
// (core-world.ts lists the checks). A failure names its seed: `SEED=n node --test test/sim/core.test.ts` runs only that
// one. Sabotages show that the simulation can fail.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { QueueEntry } from '../../src/core/queue/queue-entry.ts';
import { QueueWindow } from '../../src/core/queue/queue-window.ts';
import { CoreWorld, type Sabotage } from './core-world.ts';
import { Random } from './random.ts';

const { SEED, CI_LONG } = process.env;
const RUNS = CI_LONG === undefined ? 150 : 10_000;
const STEPS = 100;
/** A sabotage must be detected within this many runs. */
const SABOTAGED_RUNS = 300;

async function run(seed: number, sabotage?: Sabotage): Promise<void> {
  try {
    await new CoreWorld(new Random(seed), sabotage).run(STEPS);
  } catch (error) {
    throw new Error(`SEED=${seed}: ${(error as Error).message}`, { cause: error });
  }
}

async function runs(sabotage: Sabotage): Promise<void> {
  for (let seed = 1; seed <= SABOTAGED_RUNS; seed++) await run(seed, sabotage);
}

test(`the core keeps its promises through ${SEED === undefined ? RUNS : 1} runs of crashes and full disks`, async () => {
  if (SEED !== undefined) return await run(Number(SEED));
  for (let seed = 1; seed <= RUNS; seed++) await run(seed);
});

describe('the simulation notices that', { skip: SEED !== undefined }, () => {
  test('confirms leave with the append', async () => {
    const early: Sabotage = (store) => {
      const append = store.append.bind(store);
      store.append = (entry) => {
        append(entry);
        const { ring } = entry;
        entry.ring = null;
        ring?.settle(entry.slot);
      };
    };
    await assert.rejects(runs(early), /is lost/);
  });

  test('a dead letter leaves its queue and enters the other in two commits', async () => {
    const split: Sabotage = (store) => {
      store.group = (move) => move();
    };
    await assert.rejects(runs(split), /is lost/);
  });

  test('a queue gives back less memory than it took', async (t) => {
    const { release } = QueueWindow.prototype;
    t.mock.method(QueueWindow.prototype, 'release', function (this: QueueWindow, entry: QueueEntry) {
      if (!entry.redelivered) release.call(this, entry);
    });
    await assert.rejects(
      runs(() => {}),
      /memory of messages/,
    );
  });

  test('an entry that came back is not counted', async (t) => {
    const { putBack } = QueueWindow.prototype;
    t.mock.method(QueueWindow.prototype, 'putBack', function (this: QueueWindow, entries: readonly QueueEntry[]) {
      putBack.call(this, entries);
      // The bytes are not counted either; otherwise the queue's own assertions would detect it first.
      const counted = this as unknown as { count: number; bytes: number };
      counted.count--;
      counted.bytes -= entries[0]?.message.bodyLength ?? 0;
    });
    await assert.rejects(
      runs(() => {}),
      /ready entries/,
    );
  });

  test('what a transaction holds is read back with the rest', async (t) => {
    t.mock.method(QueueWindow.prototype, 'hold', () => {});
    await assert.rejects(
      runs(() => {}),
      /comes twice|comes before|without its bytes/,
    );
  });
});
