// Compares the confirm ring with a list: slots leave in order, once, in runs of equal outcome, with their tags.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { InvariantError } from '../../../src/core/invariant.ts';
import { ConfirmRing, type ConfirmSink } from '../../../src/core/turn/confirms.ts';

class Scheduler {
  rings: ConfirmRing[] = [];

  drainLater(ring: ConfirmRing): void {
    this.rings.push(ring);
  }

  drain(): void {
    for (const ring of this.rings.splice(0)) ring.drain();
  }
}

class Sink implements ConfirmSink {
  readonly runs: string[] = [];
  readonly tags: unknown[] = [];

  confirmed(ring: ConfirmRing, from: number, to: number, ok: boolean): void {
    this.runs.push(`${from}-${to} ${ok ? 'ok' : 'refused'}`);
    for (let slot = from; slot <= to; slot++) this.tags.push(ring.tagAt(slot));
  }
}

function make(): { ring: ConfirmRing; sink: Sink; scheduler: Scheduler } {
  const scheduler = new Scheduler();
  const sink = new Sink();
  return { scheduler, sink, ring: new ConfirmRing(sink, scheduler) };
}

describe('a confirm ring', () => {
  it('lets nothing past an earlier slot that is not settled', () => {
    const { ring, sink, scheduler } = make();
    const [a, b, c] = [ring.open(), ring.open(), ring.open()];
    ring.settle(c);
    ring.settle(b);
    scheduler.drain();
    assert.deepEqual(sink.runs, []);
    assert.equal(ring.size, 3);
    ring.settle(a);
    scheduler.drain();
    assert.deepEqual(sink.runs, ['0-2 ok']);
    assert.equal(ring.size, 0);
  });

  it('refuses to settle a slot twice, and to hold one that is settled', () => {
    const { ring, scheduler } = make();
    const slot = ring.open();
    ring.settle(slot);
    assert.throws(() => ring.hold(slot), InvariantError);
    const [held, other] = [ring.open(), ring.open()];
    ring.settle(held);
    assert.throws(() => ring.settle(held), /a confirm slot settles once/);
    ring.settle(other);
    scheduler.drain();
  });

  it('waits for every hold, and remembers one refusal among them', () => {
    const { ring, sink, scheduler } = make();
    const slot = ring.open();
    ring.hold(slot);
    ring.hold(slot);
    ring.settle(slot);
    ring.refuse(slot);
    scheduler.drain();
    assert.deepEqual(sink.runs, []);
    ring.settle(slot);
    scheduler.drain();
    assert.deepEqual(sink.runs, ['0-0 refused']);
  });

  it('tells what full queues declined from what could not be stored', () => {
    const scheduler = new Scheduler();
    const told: boolean[] = [];
    const confirmed: ConfirmSink['confirmed'] = (ring, from, to) => {
      for (let slot = from; slot <= to; slot++) told.push(ring.onlyDeclined(slot));
    };
    const ring = new ConfirmRing({ confirmed }, scheduler);
    const [declined, failed, both] = [ring.open(), ring.open(), ring.open()];
    ring.decline(declined);
    ring.refuse(failed);
    ring.hold(both);
    ring.decline(both);
    ring.refuse(both);
    scheduler.drain();
    assert.deepEqual(told, [true, false, false]);
  });

  it('is scheduled once until it is drained', () => {
    const { ring, scheduler } = make();
    for (let i = 0; i < 3; i++) ring.settle(ring.open());
    assert.equal(scheduler.rings.length, 1);
    scheduler.drain();
    ring.settle(ring.open());
    assert.equal(scheduler.rings.length, 1);
  });

  it('keeps tags through growth and forgets them with their slots', () => {
    const { ring, sink, scheduler } = make();
    for (let i = 0; i < 10; i++) ring.settle(ring.open());
    scheduler.drain();
    sink.tags.length = 0;
    const slots = Array.from({ length: 500 }, (_, i) => ring.open(i % 7 === 0 ? undefined : `tag ${i}`));
    for (const slot of slots.reverse()) ring.settle(slot);
    scheduler.drain();
    assert.deepEqual(
      sink.tags,
      Array.from({ length: 500 }, (_, i) => (i % 7 === 0 ? undefined : `tag ${i}`)),
    );
    const slot = ring.open();
    assert.equal(ring.tagAt(slot), undefined);
  });

  it('may be opened and settled while it confirms', () => {
    const scheduler = new Scheduler();
    const runs: string[] = [];
    const ring: ConfirmRing = new ConfirmRing(
      {
        confirmed(ring, from, to) {
          runs.push(`${from}-${to}`);
          if (to >= 200) return;
          for (let i = 0; i < 100; i++) ring.settle(ring.open());
        },
      },
      scheduler,
    );
    ring.settle(ring.open());
    scheduler.drain();
    scheduler.drain();
    assert.deepEqual(runs, ['0-0', '1-100', '101-200', '201-300'].slice(0, runs.length));
    assert.equal(ring.size, 0);
  });

  it('of a publisher that is gone counts on, and tells nobody', () => {
    const { ring, sink, scheduler } = make();
    const slot = ring.open();
    ring.close();
    ring.settle(slot);
    scheduler.drain();
    assert.deepEqual(sink.runs, []);
    assert.equal(ring.size, 0);
  });

  it('behaves as a list, whatever the order of settling', () => {
    const command = fc.tuple(fc.constantFrom('open', 'hold', 'settle', 'settle', 'refuse', 'drain'), fc.nat());
    fc.assert(
      fc.property(fc.array(command, { maxLength: 400, size: 'max' }), (commands) => {
        const { ring, scheduler, sink } = make();
        const slots: { holds: number; ok: boolean }[] = [];
        let head = 0;
        const expected: string[] = [];
        const drain = (): void => {
          scheduler.drain();
          while (head < slots.length && slots[head]!.holds === 0) {
            let to = head;
            while (slots[to + 1]?.holds === 0 && slots[to + 1]!.ok === slots[head]!.ok) to++;
            expected.push(`${head}-${to} ${slots[head]!.ok ? 'ok' : 'refused'}`);
            head = to + 1;
          }
          assert.deepEqual(sink.runs, expected);
        };
        for (const [kind, number] of commands) {
          const open = slots.flatMap(({ holds }, slot) => (holds > 0 ? [slot] : []));
          const slot = open[number % open.length];
          if (kind === 'open') {
            for (let i = 0; i <= number % 20; i++) {
              assert.equal(ring.open(slots.length), slots.length);
              slots.push({ holds: 1, ok: true });
            }
          } else if (kind === 'drain') drain();
          else if (slot !== undefined) {
            const model = slots[slot]!;
            model.holds += kind === 'hold' ? 1 : -1;
            if (kind === 'refuse') model.ok = false;
            ring[kind as 'hold' | 'settle' | 'refuse'](slot);
          }
          assert.equal(ring.size, slots.length - sink.tags.length);
        }
        for (const [slot, model] of slots.entries()) {
          for (; model.holds > 0; model.holds--) ring.settle(slot);
        }
        drain();
        assert.deepEqual(sink.tags, [...slots.keys()]);
      }),
      { numRuns: 200 },
    );
  });
});
