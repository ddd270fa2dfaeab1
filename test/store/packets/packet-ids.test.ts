// The packet ids of persistent sessions in each kind of storage: a change is visible before its commit and after a
// restart, and waiters are notified.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { PacketStore } from '../../../protocols/mqtt/session/packet-store.ts';
import type { Kv } from '../../../src/store/kv/kv.ts';
import { LmdbKv } from '../../../src/store/kv/lmdb.ts';
import { MemoryKv } from '../../../src/store/kv/memory.ts';
import { FaultyKv } from '../../support/faulty-kv.ts';
import { Confirms, FakeQueue, message, Opened } from '../harness.ts';

class Waiter {
  readonly told: [number, boolean][] = [];

  packetStored(token: number, ok: boolean): void {
    this.told.push([token, ok]);
  }
}

function ids(packets: PacketStore): string[] {
  return [...packets.all()]
    .map(({ sessionId, packetId, state, queueId, seq }) =>
      [sessionId, packetId, state, ...(state === 'sent' ? [queueId, seq] : [])].join(' '),
    )
    .sort();
}

const PLACES: Readonly<Record<string, () => Promise<{ open(): Promise<Kv>; remove(): Promise<void> }>>> = {
  memory: async () => {
    const kv = new MemoryKv();
    return { open: async () => kv, remove: async () => {} };
  },
  LMDB: async () => {
    const directory = await mkdtemp(join(tmpdir(), 'trivium-packets-'));
    return { open: async () => LmdbKv.open(directory), remove: () => rm(directory, { recursive: true }) };
  },
};

for (const [name, place] of Object.entries(PLACES)) {
  describe(`packet ids in ${name}`, () => {
    test('are answered in the order of changes, whatever changes of an id were pending', async () => {
      const { open, remove } = await place();
      const opened = new Opened(await open());
      const { packets } = opened.store;
      const waiter = new Waiter();
      packets.forgetSent(7, 1);
      packets.sent(7, 2, 5, 6, waiter, 11);
      packets.sent(7, 1, 5, 7, waiter, 12);
      await opened.settle();
      assert.deepEqual(waiter.told, [
        [11, true],
        [12, true],
      ]);
      await opened.store.close();
      await remove();
    });

    test('are read as they were changed last, before the commit and after a restart', async () => {
      const { open, remove } = await place();
      let opened = new Opened(await open());
      const { packets } = opened.store;
      const waiter = new Waiter();
      const confirms = new Confirms();
      const slot = confirms.ring.open();
      packets.received(7, 65_535, confirms.ring, slot);
      confirms.ring.settle(slot);
      packets.sent(7, 1, 2 ** 33, 2 ** 40, waiter, 11);
      packets.sent(7, 2, 5, 6, waiter, 12);
      packets.released(7, 2, waiter, 13);
      packets.sent(8, 1, 5, 7, waiter, 14);
      packets.forgetSent(8, 1);
      const expected = ['7 1 sent 8589934592 1099511627776', '7 2 released', '7 65535 received'];
      assert.deepEqual(ids(packets), expected);
      assert.deepEqual(waiter.told, []);
      await opened.store.flush();
      assert.deepEqual(
        waiter.told.sort(),
        [11, 12, 13, 14].map((token) => [token, true]),
      );
      assert.deepEqual(confirms.drained(), [[0, true]]);
      await opened.store.close();
      opened = new Opened(await open());
      assert.deepEqual(ids(opened.store.packets), expected);
      opened.store.packets.forgetReceived(7, 65_535, waiter, 15);
      opened.store.packets.forgetSent(7, 1);
      assert.deepEqual(ids(opened.store.packets), ['7 2 released']);
      await opened.store.close();
      opened = new Opened(await open());
      assert.deepEqual(ids(opened.store.packets), ['7 2 released']);
      assert.deepEqual(waiter.told.at(-1), [15, true]);
      await opened.store.close();
      await remove();
    });

    test('go with their session, committed, committing and pending ones', async () => {
      const { open, remove } = await place();
      const opened = new Opened(await open());
      const { packets } = opened.store;
      const waiter = new Waiter();
      packets.sent(3, 1, 1, 1, waiter, 1);
      packets.sent(4, 1, 1, 1, waiter, 2);
      await opened.store.flush();
      packets.sent(3, 2, 1, 2, waiter, 3);
      const flushed = opened.store.flush();
      packets.sent(3, 3, 1, 3, waiter, 4);
      packets.drop(3);
      assert.deepEqual(ids(packets), ['4 1 sent 1 1']);
      await flushed;
      await opened.store.flush();
      assert.deepEqual(ids(packets), ['4 1 sent 1 1']);
      await opened.store.close();
      await remove();
    });

    test('are committed with the message that they stand for', async () => {
      const { open, remove } = await place();
      const opened = new Opened(await open());
      const queue = new FakeQueue(opened.queues.nextQueueId());
      const entry = queue.entry(message('m'));
      const confirms = new Confirms();
      const slot = confirms.attach(entry);
      opened.queues.append(entry);
      opened.store.packets.received(9, 1, confirms.ring, slot);
      assert.deepEqual(confirms.drained(), []);
      await opened.store.flush();
      assert.deepEqual(confirms.drained(), [[slot, true]]);
      await opened.store.close();
      await remove();
    });
  });
}

/** A store on a disk that the test controls, with packet ids 1 and 2 of session 7 received. */
async function received(): Promise<{ kv: FaultyKv; opened: Opened; queue: FakeQueue; receive(id: number): Confirms }> {
  const kv = new FaultyKv();
  const opened = new Opened(kv);
  const queue = new FakeQueue(opened.queues.nextQueueId());
  /** Receives an id together with its message, which does not fit on a full disk. */
  const receive = (id: number): Confirms => {
    const confirms = new Confirms();
    const entry = queue.entry(message(`${id}`));
    const slot = confirms.attach(entry);
    opened.queues.append(entry);
    opened.store.packets.received(7, id, confirms.ring, slot);
    return confirms;
  };
  receive(1);
  receive(2);
  await opened.settle();
  return { kv, opened, queue, receive };
}

/** The packet ids that the next start finds. */
function found(kv: FaultyKv): string[] {
  return ids(new Opened(kv.crash(false)).store.packets);
}

describe('packet ids', () => {
  test('are written in one record, however many change', async () => {
    const { kv, opened } = await received();
    const written: number[] = [];
    const commit = kv.commit.bind(kv);
    kv.commit = (batch) => {
      written.push(batch.size);
      return commit(batch);
    };
    const waiter = new Waiter();
    for (let id = 1; id <= 100; id++) opened.store.packets.sent(7, id, 5, id, waiter, id);
    await opened.store.flush();
    for (let id = 1; id <= 100; id++) opened.store.packets.released(7, id, waiter, 100 + id);
    await opened.store.flush();
    for (let id = 1; id <= 100; id++) opened.store.packets.forgetSent(7, id);
    await opened.store.flush();
    assert.deepEqual(written, [1, 1, 1]);
    assert.deepEqual(
      waiter.told,
      Array.from({ length: 200 }, (_, i) => [i + 1, true]),
    );
    assert.deepEqual(found(kv), ['7 1 received', '7 2 received']);
  });

  test('that are freed before a batch includes them are not written', async () => {
    const { kv, opened } = await received();
    const { commits } = kv;
    const waiter = new Waiter();
    opened.store.packets.sent(7, 1_000, 5, 6, waiter, 11);
    opened.store.packets.forgetSent(7, 1_000);
    await opened.store.flush();
    assert.equal(kv.commits, commits);
    assert.deepEqual(waiter.told, [[11, true]]);
  });

  test('freed without a waiter are deleted with the next batch, on request, or at close', async () => {
    const { kv, opened, receive } = await received();
    const { packets } = opened.store;
    const waiter = new Waiter();
    const forget = async (end: () => unknown): Promise<void> => {
      packets.sent(7, 1, 5, 6, waiter, 11);
      await opened.store.flush();
      const { commits } = kv;
      packets.forgetSent(7, 1);
      opened.store.seal();
      assert.equal(kv.commits, commits);
      await end();
      assert.equal(kv.commits, commits + 1);
      assert.ok(!found(kv).includes('7 1 sent 5 6'));
    };
    await forget(() => {
      receive(3);
      opened.store.seal();
    });
    await forget(() => {
      packets.sent(8, 1, 5, 6, waiter, 12);
      opened.store.seal();
    });
    await forget(() => opened.store.flush());
    await forget(() => opened.store.close());
  });

  test('are not reported before their commit has ended', async () => {
    const { kv, opened } = await received();
    const waiter = new Waiter();
    kv.hold = true;
    opened.store.packets.sent(7, 3, 5, 6, waiter, 11);
    const flushed = opened.store.flush();
    opened.store.packets.released(7, 3, waiter, 12);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(waiter.told, []);
    assert.deepEqual(found(new FaultyKv(kv.disk)), ['7 1 received', '7 2 received']);
    kv.release();
    await flushed;
    assert.deepEqual(waiter.told, [[11, true]]);
    assert.deepEqual(found(new FaultyKv(kv.disk)), ['7 1 received', '7 2 received', '7 3 sent 5 6']);
  });

  test('on a full disk are freed, and nothing else of their pages is written', async () => {
    const { kv, opened, receive } = await received();
    kv.full = true;
    const refused = receive(3);
    await assert.rejects(opened.store.flush());
    assert.deepEqual(refused.drained(), [[0, false]]);
    const waiter = new Waiter();
    const waiting = receive(4);
    opened.store.packets.sent(7, 1, 5, 6, waiter, 11);
    opened.store.packets.sent(7, 2, 5, 7, waiter, 12);
    opened.store.packets.released(7, 2, waiter, 13);
    opened.store.packets.forgetReceived(7, 1, waiter, 14);
    opened.store.seal();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(waiter.told, [
      [13, true],
      [14, true],
    ]);
    assert.deepEqual(waiting.drained(), []);
    assert.deepEqual(found(kv), ['7 2 received', '7 2 released']);
    assert.deepEqual(ids(opened.store.packets), ['7 1 sent 5 6', '7 2 received', '7 2 released', '7 4 received']);
  });

  test('that changed again while a batch failed are as they were changed last', async () => {
    const { kv, opened, receive } = await received();
    kv.hold = true;
    const waiter = new Waiter();
    receive(3);
    opened.store.packets.forgetReceived(7, 1, waiter, 11);
    opened.store.packets.forgetReceived(7, 2, waiter, 12);
    opened.store.packets.sent(7, 1, 5, 6, waiter, 13);
    opened.store.seal();
    const confirms = receive(1);
    kv.full = true;
    kv.release();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(waiter.told, [[13, false]]);
    assert.deepEqual(ids(opened.store.packets), ['7 1 received']);
    kv.full = false;
    kv.hold = false;
    // Changes that free space are committed first.
    opened.store.seal();
    await new Promise((resolve) => setImmediate(resolve));
    await opened.settle();
    assert.deepEqual(waiter.told.slice(1), [
      [11, true],
      [12, true],
    ]);
    assert.deepEqual(confirms.drained(), [[0, true]]);
    assert.deepEqual(found(kv), ['7 1 received']);
  });

  test('of more sessions than stay in memory are read again', async () => {
    const kv = new FaultyKv();
    const opened = new Opened(kv, undefined, { cachedPages: 2 });
    const { packets } = opened.store;
    const waiter = new Waiter();
    for (const id of [1, 2]) {
      for (let session = 1; session <= 5; session++) packets.sent(session, id, 5, id, waiter, session);
      await opened.store.flush();
    }
    const expected = [1, 2, 3, 4, 5].flatMap((session) => [`${session} 1 sent 5 1`, `${session} 2 sent 5 2`]);
    assert.deepEqual(ids(packets), expected);
    assert.deepEqual(found(kv), expected);
  });
});
