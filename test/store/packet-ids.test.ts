// The packet ids of persistent sessions over each place where data is kept: what was changed is read, before its commit and
// after a restart, and whoever waits is told.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { PACKET_STATE, type PacketStore } from '../../src/core/ports.ts';
import type { Kv } from '../../src/store/kv.ts';
import { LmdbKv } from '../../src/store/kv-lmdb.ts';
import { MemoryKv } from '../../src/store/kv-memory.ts';
import { Confirms, FakeQueue, message, Opened } from './harness.ts';

class Waiter {
  readonly told: [number, boolean][] = [];

  packetStored(token: number, ok: boolean): void {
    this.told.push([token, ok]);
  }
}

function ids(packets: PacketStore): string[] {
  const names = Object.fromEntries(Object.entries(PACKET_STATE).map(([name, state]) => [state, name]));
  return [...packets.all()]
    .map(({ sessionId, packetId, state, queueId, seq }) =>
      [sessionId, packetId, names[state], ...(state === PACKET_STATE.sent ? [queueId, seq] : [])].join(' '),
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
    test('are answered in the order of changes, whatever was to become of an id before', async () => {
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
      packets.received(7, 65_535, confirms.ring, confirms.attach());
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
