// Compares returned entries with a sorted list. The cost of a return depends on the entries that move, not on all
// entries.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type QueueEntry, STORE_STATE } from '../../../src/core/queue/queue-entry.ts';
import { ReturnedEntries } from '../../../src/core/queue/returned-entries.ts';

let looks = 0;

/** An entry that counts how often its sequence number is read. */
function entry(seq: number): QueueEntry {
  const fields = {
    storeState: STORE_STATE.none,
    get seq() {
      looks++;
      return seq;
    },
  };
  return fields as unknown as QueueEntry;
}

describe('returned entries', () => {
  it('leave in order, in whatever order they were returned', () => {
    const command = fc.tuple(fc.constantFrom('add', 'take'), fc.integer({ min: 1, max: 8 }));
    fc.assert(
      fc.property(
        fc.array(command, { maxLength: 60, size: 'max' }),
        fc.infiniteStream(fc.nat()),
        (commands, random) => {
          const returned = new ReturnedEntries();
          const out = Array.from({ length: 300 }, (_, i) => i + 1);
          const model: number[] = [];
          for (const [kind, count] of commands) {
            if (kind === 'add') {
              const seqs = Array.from({ length: count }, () => out.splice(random.next().value % out.length, 1)[0]!);
              returned.add(seqs.map(entry));
              model.push(...seqs);
              model.sort((a, b) => a - b);
            } else if (returned.peek() !== null) {
              const seq = returned.take()!.seq;
              assert.equal(seq, model.shift());
              out.push(seq);
            }
            assert.deepEqual(
              [...returned].map(({ seq }) => seq).sort((a, b) => a - b),
              model,
            );
          }
        },
      ),
    );
  });

  it('returned in front of very many are inserted without sorting all', () => {
    const returned = new ReturnedEntries();
    returned.add(Array.from({ length: 100_000 }, (_, i) => entry(i + 1)));
    returned.peek();
    const two = [returned.take()!, returned.take()!];
    looks = 0;
    returned.add(two);
    assert.equal(returned.peek()!.seq, 1);
    assert.ok(looks < 100, `${looks} looks`);
  });
});
