// The meta record of a queue round-trips; impossible counts are neither written nor accepted.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { InvariantError } from '../../../src/core/invariant.ts';
import { writeU64 } from '../../../src/store/keys.ts';
import { DamagedDataError } from '../../../src/store/kv/kv.ts';
import { decodeMeta, encodeMeta, QueueState } from '../../../src/store/queues/queue-state.ts';

function counting(count: number, bytes: number): QueueState {
  const state = new QueueState(7, null);
  state.count = count;
  state.bytes = bytes;
  return state;
}

describe('the meta record of a queue', () => {
  for (const [count, bytes] of [
    [0, 0],
    [3, 0],
    [3, 500],
  ] as const) {
    it(`of ${count} entries with ${bytes} bytes is read as it was written`, () => {
      const read = decodeMeta(encodeMeta(counting(count, bytes)), 7);
      assert.deepEqual([read.count, read.bytes], [count, bytes]);
    });
  }

  for (const [count, bytes] of [
    [0, 1],
    [0, -1],
    [-1, 0],
    [2, -1],
  ] as const) {
    it(`of ${count} entries with ${bytes} bytes is not written`, () => {
      assert.throws(() => encodeMeta(counting(count, bytes)), InvariantError);
    });
  }

  it('that has bytes in no entries is damaged', () => {
    const value = encodeMeta(counting(1, 5));
    writeU64(value, 1, 0);
    assert.throws(() => decodeMeta(value, 7), DamagedDataError);
  });
});
