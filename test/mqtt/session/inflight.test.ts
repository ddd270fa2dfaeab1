// Packet ids against a naive model: no id is used twice, a redelivered entry keeps its id, and ids of entries that will
// not be redelivered are found.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  Inflight,
  isQos2Redelivery,
  isStoredRedelivery,
  redeliveryId,
  STAGE,
} from '../../../protocols/mqtt/session/inflight.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import { QueueEntry } from '../../../src/core/queue/queue-entry.ts';

const QUEUE = { id: 7 } as Queue;
const OTHER = { id: 8 } as Queue;

function entry(seq: number, queue = QUEUE): QueueEntry {
  return new QueueEntry(queue, seq, null as never, 0, false);
}

describe('packet ids', () => {
  it('are assigned in order, wrap around, and skip those in flight', () => {
    const inflight = new Inflight();
    const first = inflight.add(entry(1), STAGE.sent1);
    assert.equal(first, 1);
    let before = first;
    for (let wrapped = 0; wrapped < 2; ) {
      const id = inflight.add(entry(2), STAGE.sent1);
      assert.ok(id > 1 && id <= 65_535, `id ${id}: 1 is still out`);
      if (id < before) wrapped++;
      before = id;
      inflight.free(id);
    }
    assert.equal(inflight.out, 1);
  });

  it('run out at 65,535', () => {
    const inflight = new Inflight();
    const ids = new Set<number>();
    for (let i = 1; inflight.hasRoom; i++) ids.add(inflight.add(entry(i), STAGE.sent2));
    assert.equal(ids.size, 65_535);
    inflight.free(40_000);
    assert.equal(inflight.add(entry(0), STAGE.sent1), 40_000);
  });

  it('wait for their entries, except QoS 1 of other queues', () => {
    const inflight = new Inflight();
    const [one, two, three, four, five] = [entry(1), entry(2), entry(3), entry(4, OTHER), entry(5, OTHER)];
    const ids = [
      inflight.add(three, STAGE.sent2),
      inflight.add(one, STAGE.sent1),
      inflight.add(two, STAGE.storing),
      inflight.add(four, STAGE.sent1),
      inflight.add(five, STAGE.sent2),
    ];
    assert.deepEqual(inflight.drain(QUEUE.id), [one, two, three, four, five]);
    assert.equal(inflight.out, 0);
    assert.ok(!inflight.awaitsRedelivery(OTHER.id, 4));
    assert.ok(inflight.awaitsRedelivery(OTHER.id, 5));
    const gone: number[] = [];
    const first = inflight.takeRedelivery(QUEUE.id, 1, gone);
    assert.deepEqual([redeliveryId(first), isQos2Redelivery(first)], [ids[1], false]);
    inflight.restore(ids[1]!, one, STAGE.sent1);
    const third = inflight.takeRedelivery(QUEUE.id, 3, gone);
    assert.deepEqual([redeliveryId(third), isQos2Redelivery(third), isStoredRedelivery(third)], [ids[0], true, true]);
    assert.deepEqual(gone.map(redeliveryId), [ids[2]], 'the id of what does not come any more');
    assert.deepEqual([isQos2Redelivery(gone[0]!), isStoredRedelivery(gone[0]!)], [true, false], 'it was never sent');
    assert.equal(inflight.takeRedelivery(QUEUE.id, 9, gone), 0);
  });

  it('of entries that will not be redelivered are reported', () => {
    const inflight = new Inflight();
    const sent = inflight.add(entry(1), STAGE.sent2);
    const once = inflight.add(entry(2), STAGE.sent1);
    inflight.drain(QUEUE.id);
    const gone: number[] = [];
    assert.equal(inflight.takeRedelivery(QUEUE.id, 3, gone), 0);
    assert.deepEqual(gone.map(redeliveryId), [sent, once]);
    assert.deepEqual(gone.map(isStoredRedelivery), [true, false]);
    assert.equal(inflight.out, 0);
  });

  it('are never assigned twice', () => {
    const step = fc.record({ kind: fc.constantFrom('add', 'free', 'drain', 'again'), at: fc.nat({ max: 30 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const inflight = new Inflight();
        const out = new Map<number, QueueEntry>();
        let away: { id: number; entry: QueueEntry }[] = [];
        let seq = 0;
        for (const { kind, at } of steps) {
          if (kind === 'add' && away.length === 0) {
            const added = entry(++seq);
            const id = inflight.add(added, STAGE.sent2);
            assert.ok(!out.has(id), `id ${id} is out twice`);
            out.set(id, added);
          } else if (kind === 'free' && out.size > 0) {
            const id = [...out.keys()][at % out.size]!;
            assert.equal(inflight.entryOf(id), out.get(id));
            inflight.free(id);
            out.delete(id);
          } else if (kind === 'drain') {
            inflight.drain(QUEUE.id);
            away.push(...[...out].map(([id, each]) => ({ id, entry: each })));
            away.sort((a, b) => a.entry.seq - b.entry.seq);
            out.clear();
          } else if (kind === 'again' && away.length > 0) {
            const [back, ...rest] = away;
            away = rest;
            const redelivery = inflight.takeRedelivery(QUEUE.id, back!.entry.seq, []);
            assert.equal(redeliveryId(redelivery), back!.id);
            inflight.restore(back!.id, back!.entry, STAGE.sent2);
            out.set(back!.id, back!.entry);
          }
          assert.equal(inflight.out, out.size);
        }
      }),
    );
  });
});
