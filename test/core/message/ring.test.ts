// Compares the ring with an array.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Ring } from '../../../src/core/message/ring.ts';

describe('a ring', () => {
  it('behaves as an array with push and shift', () => {
    const command = fc.tuple(fc.constantFrom('push', 'shift', 'clear'), fc.nat(40));
    fc.assert(
      fc.property(fc.array(command, { maxLength: 100, size: 'max' }), (commands) => {
        const ring = new Ring<number>();
        const model: number[] = [];
        let next = 0;
        for (const [kind, times] of commands) {
          if (kind === 'clear' && times < 3) {
            ring.clear();
            model.length = 0;
          }
          for (let i = 0; i < times; i++) {
            if (kind === 'push') {
              ring.push(next);
              model.push(next++);
            } else if (kind === 'shift') assert.equal(ring.shift(), model.shift());
          }
          assert.equal(ring.length, model.length);
          assert.equal(ring.peek(), model[0]);
          for (const index of [...model.keys(), model.length]) {
            assert.equal(ring.at(index), model[index]);
          }
        }
      }),
    );
  });

  it('merges sorted elements stably, at a cost proportional to the elements that move', () => {
    const sorted = fc.array(fc.nat(50), { maxLength: 60 }).map((numbers) => numbers.sort((a, b) => a - b));
    fc.assert(
      fc.property(fc.nat(40), sorted, sorted, (shifted, there, coming) => {
        const ring = new Ring<{ readonly number: number; readonly isNew: boolean }>();
        for (let i = 0; i < shifted; i++) ring.push({ number: i, isNew: false });
        for (let i = 0; i < shifted; i++) ring.shift();
        const before = there.map((number) => ({ number, isNew: false }));
        for (const item of before) ring.push(item);
        const items = coming.map((number) => ({ number, isNew: true }));
        let looks = 0;
        ring.merge(items, ({ number }) => {
          looks++;
          return number;
        });
        const expected = [...before, ...items].sort((a, b) => a.number - b.number || Number(a.isNew) - Number(b.isNew));
        assert.deepEqual(
          Array.from({ length: ring.length }, (_, i) => ring.at(i)),
          expected,
        );
        const passed = there.filter((number) => number > (coming[0] ?? 50)).length;
        assert.ok(looks <= 2 * (passed + coming.length));
      }),
    );
  });

  it('releases its memory when it empties after having been large', () => {
    const ring = new Ring<number>();
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 10_000; i++) ring.push(i);
      for (let i = 0; i < 10_000; i++) assert.equal(ring.shift(), i);
      assert.equal((ring as unknown as { items: unknown[] }).items.length, 0);
      assert.equal(ring.shift(), undefined);
    }
  });
});
