// Compares the ledger of delivery tags with a map, and tests its bounds.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { QueueEntry } from '../../../src/core/queue/queue-entry.ts';
import { Unacked } from '../../../src/core/queue/unacked.ts';
import { counted } from '../../support/work.ts';
import { Core, message } from '../core.ts';

const queue = new Core().queue('q');
const shared = message();

function entry(): QueueEntry {
  return new QueueEntry(queue, 1, shared, 0, false);
}

const command = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('add' as const), times: fc.integer({ min: 1, max: 100 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('skip' as const), times: fc.integer({ min: 1, max: 150 }) }) },
  // `at` selects a tag as a fraction of the tags so far: the oldest, the newest, any between, or one beyond them.
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('take' as const), at: fc.double({ min: 0, max: 1.1, noNaN: true }) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('most' as const), every: fc.integer({ min: 2, max: 40 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('upTo' as const), at: fc.double({ min: 0, max: 1.1, noNaN: true }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('above' as const),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      every: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('drain' as const) }) },
);

describe('the ledger of unacknowledged entries', () => {
  it('returns each entry by its tag once, and prefixes in order', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60, size: 'max' }), (commands) => {
        const unacked = new Unacked();
        const model = new Map<number, QueueEntry>();
        let last = 0;
        const takePrefix = (to: number): QueueEntry[] => {
          const taken = [...model].filter(([tag]) => tag <= to);
          for (const [tag] of taken) model.delete(tag);
          return taken.map(([, entry]) => entry);
        };
        for (const command of commands) {
          switch (command.kind) {
            case 'add':
              for (let i = 0; i < command.times; i++) {
                const added = entry();
                assert.equal(unacked.add(added), ++last);
                model.set(last, added);
              }
              break;
            case 'skip':
              for (let i = 0; i < command.times; i++) assert.equal(unacked.skip(), ++last);
              break;
            case 'take': {
              const tag = Math.round(command.at * last);
              const known = model.get(tag) ?? null;
              assert.equal(unacked.get(tag), known);
              assert.equal(unacked.take(tag), known);
              assert.equal(unacked.take(tag), null);
              model.delete(tag);
              break;
            }
            case 'most':
              for (const [tag, known] of [...model].filter(([tag]) => tag % command.every !== 0)) {
                assert.equal(unacked.take(tag), known);
                model.delete(tag);
              }
              break;
            case 'upTo': {
              const tag = Math.round(command.at * last);
              assert.deepEqual(unacked.takeUpTo(tag), takePrefix(tag));
              break;
            }
            case 'above': {
              const above = Math.round(command.at * last);
              const keeps = (tag: number): boolean => tag % command.every === 0;
              const expected = [...model].filter(([tag]) => tag > above && !keeps(tag));
              assert.deepEqual(
                unacked.takeAbove(above, keeps),
                expected.map(([, entry]) => entry),
              );
              for (const [tag] of expected) model.delete(tag);
              break;
            }
            case 'drain':
              assert.deepEqual(unacked.drain(), takePrefix(last));
              break;
            default:
              command satisfies never;
          }
          assert.equal(unacked.size, model.size);
          assert.equal(unacked.lastTag, last);
        }
        assert.deepEqual(unacked.drain(), [...model.values()]);
      }),
      { numRuns: 500 },
    );
  });

  it('stays small while one old entry remains and a million others are settled', () => {
    const unacked = new Unacked();
    const kept = entry();
    unacked.add(kept);
    const passing = entry();
    for (let i = 0; i < 1_000_000; i++) {
      if (i % 3 === 0) unacked.skip();
      else unacked.take(unacked.add(passing));
    }
    assert.ok((unacked as unknown as { entries: unknown[] }).entries.length <= 64);
    assert.equal(unacked.size, 1);
    assert.equal(unacked.get(1), kept);
    assert.deepEqual(unacked.drain(), [kept]);
  });

  it('settles a hundred thousand old entries one by one without searching', () => {
    const unacked = new Unacked();
    for (let i = 0; i < 800_000; i++) {
      const tag = unacked.add(entry());
      if (i % 8 !== 0) unacked.take(tag);
    }
    const { result, steps } = counted(() => unacked.drain());
    assert.equal(result.length, 100_000);
    // Each is found by bisection: log2(100,000) is 17.
    assert.ok(steps >= 100_000 && steps < 100_000 * 50, `${steps} steps`);
  });

  it('finds no entry for a tag that was never used', () => {
    const unacked = new Unacked();
    for (const tag of [-1, 0, 1, 2 ** 40]) assert.equal(unacked.take(tag), null);
    unacked.add(entry());
    for (const tag of [-1, 0, 2, 65, 2 ** 40]) assert.equal(unacked.take(tag), null);
    assert.deepEqual(unacked.takeUpTo(0), []);
    assert.equal(unacked.size, 1);
  });
});
