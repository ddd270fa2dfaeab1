// A publish to thousands of queues is done in slices. It reaches each queue once, and its confirm and its publisher
// wait for the last queue.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FAN_OUT_SLICE, FanOut } from '../../../src/core/queue/fan-out.ts';
import { DEFAULT_SUBSCRIPTION_OPTIONS } from '../../../src/core/queue/subscription-options.ts';
import { Target } from '../../../src/core/queue/target.ts';
import { ConfirmRing } from '../../../src/core/turn/confirms.ts';
import { Core, message, turns } from '../core.ts';

const COUNT = 2 * FAN_OUT_SLICE + 1;

function fanOut(core: Core, onEnd: () => void) {
  const queues = Array.from({ length: COUNT }, (_, i) => core.queue(`q${i}`, { durable: false }));
  const confirmed: number[] = [];
  const ring = new ConfirmRing({ confirmed: (_ring, from) => confirmed.push(from) }, core.turn);
  const slot = ring.open();
  const targets = queues.map((queue) => new Target(queue, DEFAULT_SUBSCRIPTION_OPTIONS));
  const spread = new FanOut(message({ body: 'to all' }), targets, ring, slot, core.turn, onEnd);
  ring.settle(slot);
  return { queues, confirmed, spread };
}

describe('a large fan-out', () => {
  it('reaches every queue once, a slice at a time, and is confirmed at its end', async () => {
    const core = new Core();
    let ended = false;
    const { queues, confirmed, spread } = fanOut(core, () => {
      ended = true;
    });
    assert.equal(spread.run(), true);
    assert.equal(queues[FAN_OUT_SLICE - 1]!.readyCount, 1);
    assert.equal(queues[FAN_OUT_SLICE]!.readyCount, 0);
    assert.deepEqual([ended, confirmed], [false, []]);
    await spread.done;
    assert.ok(ended);
    await turns();
    assert.ok(queues.every((queue) => queue.readyCount === 1));
    assert.deepEqual(confirmed, [0]);
  });

  it('skips queues that were deleted meanwhile', async () => {
    const core = new Core();
    const { queues, spread, confirmed } = fanOut(core, () => {});
    core.host.deleteQueue(queues[COUNT - 1]!);
    await spread.done;
    await turns();
    assert.equal(queues[COUNT - 1]!.readyCount, 0);
    assert.deepEqual(confirmed, [0]);
  });
});
