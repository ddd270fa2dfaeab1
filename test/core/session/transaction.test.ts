// Messages of a transaction become ready in their place: behind the messages before it, on disk with the others if the
// queue is long, once, and without staying in memory.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Queue } from '../../../src/core/queue/queue.ts';
import { type Settlement, Transaction, TransactionFailed } from '../../../src/core/session/transaction.ts';
import { FakeStore } from '../../support/fake-store.ts';
import { Core, message, turns } from '../core.ts';

const WINDOW = 2;

function backlogged(): { core: Core; queue: Queue } {
  const core = new Core(new FakeStore({ automatic: true }), { queueWindowEntries: WINDOW });
  return { core, queue: core.queue('q') };
}

function commit(core: Core, queue: Queue, bodies: string): Promise<unknown> {
  const publishes = [...bodies].map((body) => ({
    message: message({ key: queue.name, body, persistent: true }),
    targets: queue.selfRoute,
  }));
  return new Transaction({ store: core.store, turn: core.turn, meters: core.meters }, core.host).commit(publishes, []);
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
    // The message is on disk, but the commit still waits for another queue.
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

describe('a transaction', () => {
  const REJECTING = [
    { name: 'x-max-length', value: { type: 'l', value: 1n } },
    { name: 'x-overflow', value: { type: 'S', value: 'reject-publish' } },
  ] as const;
  const toDead = [
    { name: 'x-dead-letter-exchange', value: { type: 'S', value: '' } },
    { name: 'x-dead-letter-routing-key', value: { type: 'S', value: 'dead' } },
  ] as const;

  function transact(core: Core, bodies: readonly [Queue, string][], settlements: readonly Settlement[]) {
    core.turn.begin();
    const publishes = bodies.map(([queue, body]) => ({
      message: message({ key: queue.name, body, persistent: true }),
      targets: queue.selfRoute,
    }));
    return new Transaction(core.dependencies, core.host).commit(publishes, settlements);
  }

  it('that a full queue refuses a part of leaves nothing, and what it settles comes again', async () => {
    const core = new Core();
    const [source, other] = [core.queue('source', { args: toDead }), core.queue('other')];
    const [full, dead] = [core.queue('full', { args: REJECTING }), core.queue('dead')];
    await put(core, source, 'ab');
    const [first, second] = [source.takeNext(false)!, source.takeNext(false)!];
    const failed = transact(
      core,
      [
        [other, '1'],
        [full, '2'],
        [full, '3'],
      ],
      [
        { entry: first, outcome: 'acknowledged' },
        { entry: second, outcome: 'rejected' },
      ],
    );
    await assert.rejects(failed, TransactionFailed);
    await turns();
    assert.deepEqual([other.readyCount, full.readyCount, dead.readyCount, source.readyCount], [0, 0, 0, 2]);
    assert.equal(source.takeNext(false)!.redelivered, true);
  });

  it('counts what others that are being committed add to a queue', async () => {
    const core = new Core();
    const full = core.queue('full', { args: REJECTING });
    core.store.hold();
    const first = transact(core, [[full, '1']], []);
    await assert.rejects(transact(core, [[full, '2']], []), TransactionFailed);
    await turns();
    core.store.release();
    await first;
    assert.equal(await taken(core, full), '1');
  });

  it('that the disk has no room for gives back acknowledgements of what was in memory only', async () => {
    const core = new Core();
    const [source, other] = [core.queue('source'), core.queue('other')];
    core.put(source, 'a');
    const entry = source.takeNext(false)!;
    core.store.hold();
    const failed = assert.rejects(
      transact(core, [[other, '1']], [{ entry, outcome: 'acknowledged' }]),
      TransactionFailed,
    );
    await turns();
    core.store.fail();
    await failed;
    assert.deepEqual([source.readyCount, other.readyCount], [1, 0]);
  });

  it('waits for the disk with an acknowledgement of what is being written', async () => {
    const core = new Core();
    const [source, other] = [core.queue('source'), core.queue('other')];
    core.store.hold();
    core.put(source, 'a', true);
    const entry = source.takeNext(false)!;
    const done = transact(core, [[other, '1']], [{ entry, outcome: 'acknowledged' }]);
    await turns();
    assert.deepEqual(
      core.store.inFlight.map(({ queue }) => queue.name),
      ['source'],
    );
    core.store.commit();
    await turns();
    // From here on a crash finds both or neither.
    assert.deepEqual(
      core.store.inFlight.map(({ queue }) => queue.name),
      ['other'],
    );
    assert.equal(core.store.committed.get(source.id)!.size, 0);
    core.store.commit();
    await done;
    assert.equal(other.readyCount, 1);
  });

  it('publishes nothing to a queue that was deleted since, and says which publishes reached nobody', async () => {
    const core = new Core();
    const [kept, gone] = [core.queue('kept'), core.queue('gone')];
    core.turn.begin();
    const commits = transact(core, [[kept, '1']], []);
    core.host.deleteQueue(gone);
    const unreachable = await transact(
      core,
      [
        [gone, '2'],
        [kept, '3'],
      ],
      [],
    );
    await commits;
    assert.deepEqual(
      unreachable.map((publish) => publish.message.bodyBytes().toString()),
      ['2'],
    );
    assert.equal(await taken(core, kept), '13');
  });
});
