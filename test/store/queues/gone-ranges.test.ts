// Compares gone ranges with a naive set, and what is written with what is read back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { goneBounds, readU64 } from '../../../src/store/keys.ts';
import { KvBatch } from '../../../src/store/kv/kv.ts';
import { MemoryKv } from '../../../src/store/kv/memory.ts';
import { GoneRanges } from '../../../src/store/queues/gone-ranges.ts';

const SEQS = 60;
const QUEUE = 7;

type Step =
  | { readonly kind: 'add'; readonly from: number; readonly length: number; readonly settled: boolean }
  | { readonly kind: 'punch'; readonly seq: number }
  | { readonly kind: 'write' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('add' as const),
      from: fc.integer({ min: 1, max: SEQS }),
      length: fc.integer({ min: 1, max: 6 }),
      settled: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('punch' as const), seq: fc.integer({ min: 1, max: SEQS }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('write' as const) }) },
);

function members(gone: GoneRanges): number[] {
  return Array.from({ length: SEQS + 10 }, (_, seq) => seq).filter((seq) => gone.has(seq));
}

test('gone ranges hold what a set holds, disjoint and in order', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const gone = new GoneRanges(1);
      const set = new Set([0]);
      for (const each of steps) {
        if (each.kind === 'add') {
          gone.add(each.from, each.from + each.length, each.settled);
          for (let seq = each.from; seq < each.from + each.length; seq++) set.add(seq);
        } else if (each.kind === 'punch') {
          gone.punch(each.seq);
          set.delete(each.seq);
        }
        assert.deepEqual(
          members(gone),
          [...set].sort((a, b) => a - b),
        );
        let end = gone.floor;
        for (let i = 0; i < gone.count; i++) {
          const range = gone.rangeAt(i);
          assert.ok(range.from > end && range.to > range.from, 'ranges touch or overlap');
          end = range.to;
        }
      }
    }),
    { numRuns: 1_000 },
  );
});

test('settled ranges are read back from disk, and no others', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const kv = new MemoryKv();
      const gone = new GoneRanges(1);
      const settled = new Set<number>();
      for (const each of [...steps, { kind: 'write' } as const]) {
        if (each.kind === 'add') {
          gone.add(each.from, each.from + each.length, each.settled);
          if (each.settled) for (let seq = each.from; seq < each.from + each.length; seq++) settled.add(seq);
        } else if (each.kind === 'punch') {
          gone.punch(each.seq);
          settled.delete(each.seq);
        } else {
          const batch = new KvBatch();
          gone.gather(batch, QUEUE);
          await kv.commit(batch);
          const [from, to] = goneBounds(QUEUE);
          const back = new GoneRanges(gone.floor);
          for (const { key, value } of kv.range(from, to, 1e9)) back.restore(readU64(key, 9), readU64(value, 0));
          for (const seq of settled) assert.ok(back.has(seq), `${seq} came back`);
          for (const seq of members(back)) assert.ok(gone.has(seq), `${seq} vanished`);
        }
      }
    }),
    { numRuns: 1_000 },
  );
});
