// The store's simulation: thousands of seeded runs over a disk that holds, fails, loses and keeps commits as a disk may
// (store-world.ts says what is checked, support/faulty-kv.ts what the disk does). A failure names its seed:
// `SEED=n node --test test/sim/store.test.ts` runs that one alone.
//
// The simulation is also shown to fail: each sabotage below breaks one promise of the store and must be noticed.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { kindOf } from '../../src/store/keys.ts';
import { type Kv, KvBatch } from '../../src/store/kv.ts';
import type { FaultyKv } from '../support/faulty-kv.ts';
import { Random } from './random.ts';
import { type Sabotage, StoreWorld } from './store-world.ts';

const { SEED, CI_LONG } = process.env;
const RUNS = CI_LONG === undefined ? 1_000 : 50_000;
const STEPS = 80;
/** Within so many runs a sabotage has to be noticed. */
const SABOTAGED_RUNS = 500;

async function run(seed: number, sabotage: Sabotage): Promise<void> {
  try {
    await new StoreWorld(new Random(seed), sabotage).run(STEPS);
  } catch (error) {
    throw new Error(`SEED=${seed}: ${(error as Error).message}`, { cause: error });
  }
}

/** Hands every batch to `change` on its way to the disk. */
function changedBatches(change: (batch: KvBatch) => KvBatch): Sabotage {
  return { kv: (kv) => through(kv, (batch) => kv.commit(change(batch))) };
}

function through(kv: FaultyKv, commit: (batch: KvBatch) => Promise<void>): Kv {
  return new Proxy(kv, {
    get: (target, name) => {
      if (name === 'commit') return commit;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

function without(batch: KvBatch, left: (kind: string | null, value: Buffer | null) => boolean): KvBatch {
  const kept = new KvBatch();
  batch.keys.forEach((key, i) => {
    const value = batch.values[i]!;
    if (left(kindOf(key), value)) return;
    if (value === null) kept.remove(key);
    else kept.put(key, value);
  });
  return kept;
}

test(`the store keeps its promises through ${SEED === undefined ? RUNS : 1} runs of crashes and full disks`, async () => {
  if (SEED !== undefined) return await run(Number(SEED), {});
  for (let seed = 1; seed <= RUNS; seed++) await run(seed, {});
});

const SABOTAGES: readonly (readonly [title: string, sabotage: Sabotage])[] = [
  [
    'confirms leave before their commit',
    {
      kv: (kv) =>
        through(kv, async (batch) => {
          void kv.commit(batch);
        }),
    },
  ],
  [
    'a confirm leaves with the append',
    {
      opened: ({ queues }) => {
        const append = queues.append.bind(queues);
        queues.append = (entry) => {
          append(entry);
          const { ring } = entry;
          entry.ring = null;
          ring?.settle(entry.slot);
        };
      },
    },
  ],
  [
    'acknowledgements out of order are not written',
    changedBatches((batch) => without(batch, (kind) => kind === 'gone')),
  ],
  [
    'meta is written by every other batch',
    (() => {
      let odd = false;
      return changedBatches((batch) => {
        odd = !odd;
        return odd ? without(batch, (kind) => kind === 'meta') : batch;
      });
    })(),
  ],
  ['removed refs stay', changedBatches((batch) => without(batch, (kind, value) => kind === 'ref' && value === null))],
  ['bodies stay', changedBatches((batch) => without(batch, (kind, value) => kind === 'body' && value === null))],
  [
    'a shared body is not written',
    changedBatches((batch) => without(batch, (kind, value) => kind === 'body' && value !== null)),
  ],
  [
    'a deleted queue has no tombstone',
    changedBatches((batch) => without(batch, (kind) => kind === 'dropped' || kind === 'meta')),
  ],
  [
    'what belongs together is split',
    changedBatches((batch) => without(batch, (kind) => kind === 'named' && batch.size % 2 === 0)),
  ],
  [
    'removes of a group are done although its appends were refused',
    {
      opened: ({ queues }) => {
        queues.group = (together) => together();
      },
    },
  ],
  [
    'the redelivered mark is forgotten',
    {
      opened: ({ queues }) => {
        queues.markDelivering = () => {};
      },
    },
  ],
  [
    'buffers are used again before their commit ended',
    {
      kv: (kv) =>
        through(kv, (batch) => {
          const done = kv.commit(batch);
          batch.values.find((value) => value !== null && value.length > 40)?.fill(0);
          return done;
        }),
    },
  ],
];

describe('the simulation notices when', () => {
  for (const [title, sabotage] of SABOTAGES) {
    test(title, async () => {
      await assert.rejects(async () => {
        for (let seed = 1; seed <= SABOTAGED_RUNS; seed++) await run(seed, sabotage);
      }, /^Error: SEED=/);
    });
  }
});
