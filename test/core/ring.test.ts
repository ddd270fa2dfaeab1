// The ring against an array.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Ring } from '../../src/core/ring.ts';

describe('a ring', () => {
  it('behaves as an array with push, shift and splice', () => {
    const command = fc.tuple(fc.constantFrom('push', 'shift', 'insert', 'clear'), fc.nat(40));
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
            } else if (kind === 'insert') {
              const place = (times * 7) % (model.length + 1);
              ring.insert(place, next);
              model.splice(place, 0, next++);
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

  it('gives its memory back when it empties after having been large', () => {
    const ring = new Ring<number>();
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 10_000; i++) ring.push(i);
      for (let i = 0; i < 10_000; i++) assert.equal(ring.shift(), i);
      assert.equal((ring as unknown as { items: unknown[] }).items.length, 0);
      assert.equal(ring.shift(), undefined);
    }
  });
});
