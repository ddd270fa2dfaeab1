// The map of packet ids behaves as a Map for any ids, including ids in one hash slot.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { PacketIdMap } from '../../../protocols/mqtt/session/packet-id-map.ts';

describe('a map of packet ids', () => {
  test('behaves as a Map', () => {
    // Consecutive ids, ids that share a slot in a small table, and random ids.
    const id = fc.oneof(
      fc.integer({ min: 1, max: 40 }),
      fc.constantFrom(89, 322, 699, 932, 1_076, 1_309),
      fc.integer({ min: 1, max: 65_535 }),
    );
    const step = fc.record({ id, value: fc.option(fc.nat(), { nil: undefined, freq: 2 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const map = new PacketIdMap<number>();
        const model = new Map<number, number>();
        for (const { id, value } of steps) {
          if (value === undefined) assert.equal(map.delete(id), model.delete(id));
          else {
            map.set(id, value);
            model.set(id, value);
          }
          assert.equal(map.size, model.size);
        }
        for (const { id } of steps) assert.deepEqual([map.has(id), map.get(id)], [model.has(id), model.get(id)]);
      }),
      { numRuns: 1_000 },
    );
  });

  test('holds every id at once, and nothing afterwards', () => {
    const map = new PacketIdMap<number>();
    for (let id = 65_535; id >= 1; id--) map.set(id, id * 2);
    assert.equal(map.size, 65_535);
    for (let id = 1; id <= 65_535; id++) if (map.get(id) !== id * 2) assert.fail(`${id} is lost`);
    for (let id = 1; id <= 65_535; id++) if (!map.delete(id)) assert.fail(`${id} is lost`);
    assert.equal(map.size, 0);
    assert.equal(map.get(1), undefined);
    map.set(1, 1);
    assert.equal(map.get(1), 1);
  });
});
