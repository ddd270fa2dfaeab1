// What a transaction published becomes ready in its place: behind what was there before it, on disk with the rest where
// the queue is long, once, and without its messages staying in memory.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Message } from '../../../src/core/message/message.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import { Transaction } from '../../../src/core/session/transaction.ts';
import { FakeStore } from '../../support/fake-store.ts';
import { Core, message, turns } from '../core.ts';

const WINDOW = 2;

function backlogged(): { core: Core; queue: Queue } {
  const core = new Core(new FakeStore({ automatic: true }), { queueWindowEntries: WINDOW });
  return { core, queue: core.queue('q') };
}

function commit(core: Core, queue: Queue, bodies: string): Promise<readonly Message[]> {
  const publishes = [...bodies].map((body) => ({
    message: message({ key: queue.name, body, persistent: true }),
    targets: queue.selfRoute,
  }));
  return new Transaction({ store: core.store, turn: core.turn, meters: core.meters }, core.host).commit(
    publishes,
    () => [],
  );
}

async function put(core: Core, queue: Queue, bodies: string): Promise<void> {
  for (const body of bodies) core.put(queue, body, true);
  await turns();
}

async function taken(core: Core, queue: Queue): Promise<string> {
  let bodies = '';
  core.turn.begin();
  for (let entry = queue.takeNext(false); entry !== null; entry = queue.takeNext(false)) {
    bodies += entry.message.bodyBytes();
  }
  await turns();
  return bodies;
}

describe('what a transaction published', () => {
  it('comes behind what was there before it', async () => {
    const core = new Core();
    const queue = core.queue('q');
    await put(core, queue, 'a');
    await commit(core, queue, 'bc');
    await put(core, queue, 'd');
    assert.equal(await taken(core, queue), 'abcd');
  });

  it('comes once, in its place, where those around it are on disk only', async () => {
    const { core, queue } = backlogged();
    await put(core, queue, 'abcd');
    await commit(core, queue, 'ef');
    await put(core, queue, 'ghi');
    assert.equal(await taken(core, queue), 'abcdefghi');
    assert.deepEqual([queue.readyCount, queue.unackedCount], [0, 9]);
  });

  it('is not read back with those around it while it is being committed', async () => {
    const { core, queue } = backlogged();
    await put(core, queue, 'abc');
    // It is on disk, and its publisher waits for another queue's part.
    const ring = { hold: () => {}, settle: () => {} } as never;
    core.turn.begin();
    const held = queue.hold(message({ key: 'q', body: 'd', persistent: true }), queue.selfRoute[0]!, ring, 0)!;
    await put(core, queue, 'efg');
    assert.equal(await taken(core, queue), 'abcefg');
    queue.releaseHeld([held]);
    assert.equal(await taken(core, queue), 'd');
    assert.deepEqual([queue.readyCount, queue.unackedCount], [0, 7]);
  });

  it('is not read back together with what was taken past it', async () => {
    const core = new Core(new FakeStore({ automatic: true, late: true }), { memoryHighBytes: 1 });
    const queue = core.queue('q');
    const ring = { hold: () => {}, settle: () => {} } as never;
    const drain = async (): Promise<string> => {
      let bodies = await taken(core, queue);
      for (; queue.readyCount > 0; bodies += await taken(core, queue)) {
        core.store.answerLoads();
        await turns();
      }
      return bodies;
    };
    core.turn.begin();
    const held = queue.hold(message({ key: 'q', body: 'a', persistent: true }), queue.selfRoute[0]!, ring, 0)!;
    await put(core, queue, 'b');
    assert.equal(await drain(), 'b');
    queue.releaseHeld([held]);
    await put(core, queue, 'c');
    assert.equal(await drain(), 'ac');
    assert.deepEqual([queue.readyCount, queue.unackedCount], [0, 3]);
  });

  it('waits on disk where the queue is long', async () => {
    const { core, queue } = backlogged();
    for (let i = 0; i < 50; i++) await commit(core, queue, 'ab');
    await turns();
    assert.equal(queue.readyCount, 100);
    assert.equal(queue.pagedCount, 100 - WINDOW);
  });
});
