// The store's simulation: thousands of seeded runs over a disk that delays, fails, loses and keeps commits as a disk may
// (store-world.ts lists the checks, support/faulty-kv.ts describes the disk). A failure names its seed:
// `SEED=n node --test test/sim/store.test.ts` runs only that one.
//
// Sabotages show that the simulation can fail: each breaks one guarantee of the store and must be detected.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { NEVER_EXPIRES } from '../../src/core/queue/queue-entry.ts';
import { kindOf, namedBounds } from '../../src/store/keys.ts';
import { type Kv, KvBatch } from '../../src/store/kv/kv.ts';
import type { FaultyKv } from '../support/faulty-kv.ts';
import { Random } from './random.ts';
import { type Sabotage, StoreWorld } from './store-world.ts';

const { SEED, CI_LONG } = process.env;
const RUNS = CI_LONG === undefined ? 1_000 : 50_000;
const STEPS = 80;
/** A sabotage must be detected within this many runs. */
const SABOTAGED_RUNS = 500;

async function run(seed: number, sabotage: Sabotage): Promise<void> {
  try {
    await new StoreWorld(new Random(seed), sabotage).run(STEPS);
  } catch (error) {
    throw new Error(`SEED=${seed}: ${(error as Error).message}`, { cause: error });
  }
}

/** Passes every batch through `change` on its way to the disk. */
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

function without(batch: KvBatch, left: (kind: string | null, value: Buffer | null, key: Buffer) => boolean): KvBatch {
  const kept = new KvBatch();
  batch.keys.forEach((key, i) => {
    const value = batch.values[i]!;
    if (left(kindOf(key), value, key)) return;
    if (value === null) kept.remove(key);
    else kept.put(key, Buffer.from(value));
  });
  return kept;
}

test(`the store keeps its promises through ${SEED === undefined ? RUNS : 1} runs of crashes and full disks`, async () => {
  if (SEED !== undefined) return await run(Number(SEED), {});
  for (let seed = 1; seed <= RUNS; seed++) await run(seed, {});
});

const BINDING = namedBounds('binding')[0];

interface Case {
  readonly title: string;
  /** The message of the simulation's failure. */
  readonly noticed: RegExp;
  readonly sabotage: Sabotage;
}

const CASES: readonly Case[] = [
  {
    title: 'commits end before they are on disk',
    noticed: /is lost|load of queue|retained/,
    sabotage: {
      kv: (kv) =>
        through(kv, async (batch) => {
          if (kv.waiting) kv.release();
          kv.commit(without(batch, () => false)).catch(() => {});
        }),
    },
  },
  {
    title: 'lanes of one queue have one id',
    noticed: /entry \d+ of queue|load of queue|: queue \d+|is lost|was never appended|out of order/,
    sabotage: {
      opened: ({ queues }) => {
        const next = queues.nextQueueId.bind(queues);
        queues.nextQueueId = () => next(1);
      },
    },
  },
  {
    title: 'a confirm leaves with the append',
    noticed: /is lost|was promised and withdrawn/,
    sabotage: {
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
  },
  {
    title: 'acknowledgements out of order are not written',
    noticed: /is back|count of queue/,
    sabotage: changedBatches((batch) => without(batch, (kind) => kind === 'gone')),
  },
  {
    title: 'meta is not written with its entries',
    noticed: /a record of queue/,
    sabotage: changedBatches((batch) => without(batch, (kind) => kind === 'meta')),
  },
  {
    title: 'removed refs stay',
    noticed: /from no segment|dangling ref/,
    sabotage: changedBatches((batch) => without(batch, (kind, value) => kind === 'ref' && value === null)),
  },
  {
    title: 'bodies stay',
    noticed: /orphan body/,
    sabotage: changedBatches((batch) => without(batch, (kind, value) => kind === 'body' && value === null)),
  },
  {
    title: 'a shared body is not written',
    noticed: /dangling ref/,
    sabotage: changedBatches((batch) => without(batch, (kind, value) => kind === 'body' && value !== null)),
  },
  {
    title: 'a deleted queue has no tombstone',
    noticed: /a record of queue/,
    sabotage: changedBatches((batch) => without(batch, (kind) => kind === 'dropped')),
  },
  {
    title: 'what belongs together is split',
    noticed: /definitions that belong together/,
    sabotage: changedBatches((batch) => without(batch, (_kind, _value, key) => key.subarray(0, 2).equals(BINDING))),
  },
  {
    title: 'the appends of a move are refused',
    noticed: /was promised and withdrawn|is lost/,
    sabotage: {
      opened: ({ queues }) => {
        queues.group = (together) => together();
      },
    },
  },
  {
    title: 'a retained message is not written with the message',
    noticed: /retained|an expiry of no message|the index of expiries/,
    sabotage: changedBatches((batch) => without(batch, (kind, value) => kind === 'kept' && value !== null)),
  },
  {
    title: 'a removed retained message stays',
    noticed: /retained|whose expiry/,
    sabotage: changedBatches((batch) => without(batch, (kind, value) => kind === 'kept' && value === null)),
  },
  {
    title: 'the index of expiries is not kept',
    noticed: /an expiry of no message|an expiry that was another|the index of expiries/,
    sabotage: changedBatches((batch) => without(batch, (kind, value) => kind === 'due' && value === null)),
  },
  {
    title: 'the confirm of a retained message does not wait for its commit',
    noticed: /retained under/,
    sabotage: {
      opened: ({ retained }) => {
        const set = retained.set.bind(retained);
        retained.set = (vhost, message) => set(vhost, message, null, 0);
      },
    },
  },
  {
    title: 'packet ids are not written with their messages',
    noticed: /packet id/,
    sabotage: changedBatches((batch) => without(batch, (kind, value) => kind === 'page' && value !== null)),
  },
  {
    title: 'a packet id is reported stored before it is',
    noticed: /packet id/,
    sabotage: {
      opened: ({ store: { packets } }) => {
        const released = packets.released.bind(packets);
        packets.released = (session, id, waiter, token) => {
          released(session, id, waiter, token);
          waiter.packetStored(token, true);
        };
      },
    },
  },
  {
    title: 'a packet id that was to be forgotten stays after a full disk',
    noticed: /packet id/,
    sabotage: {
      opened: ({ store: { packets } }) => {
        const withdraw = packets.withdraw.bind(packets);
        packets.withdraw = () => {
          withdraw();
          (packets as unknown as { pending: unknown[] }).pending = [];
        };
      },
    },
  },
  {
    title: 'the time of expiry is not written',
    noticed: /: (load of )?queue \d+|: entry \d+ of queue \d+$/m,
    sabotage: {
      opened: ({ queues }) => {
        const append = queues.append.bind(queues);
        queues.append = (entry) => {
          entry.expiresAt = NEVER_EXPIRES;
          append(entry);
        };
      },
    },
  },
  {
    title: 'the redelivered mark is forgotten',
    noticed: /lacks the redelivered mark/,
    sabotage: {
      opened: ({ queues }) => {
        queues.markDelivering = () => {};
      },
    },
  },
  {
    title: 'buffers are used again before their commit ended',
    noticed: /a value changed before its commit ended/,
    sabotage: {
      kv: (kv) =>
        through(kv, (batch) => {
          const done = kv.commit(batch);
          batch.values.find((value) => value !== null && value.length > 40)?.fill(0);
          return done;
        }),
    },
  },
];

describe('the simulation notices when', () => {
  for (const { title, noticed, sabotage } of CASES) {
    test(title, async () => {
      await assert.rejects(async () => {
        for (let seed = 1; seed <= SABOTAGED_RUNS; seed++) await run(seed, sabotage);
      }, noticed);
    });
  }
});
