// The contract between core and store, independent of the `Kv` below. Each implementation's test file runs it.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { STORE_STATE } from '../../src/core/queue/queue-entry.ts';
import { retainedSubscriptionOptions, SubscriptionOptions } from '../../src/core/queue/subscription-options.ts';
import { END_KEY, FIRST_KEY, HEADER, headerKey, kindOf, u64 } from '../../src/store/keys.ts';
import type { Kv } from '../../src/store/kv/kv.ts';
import { KvBatch } from '../../src/store/kv/kv.ts';
import { Confirms, FakeQueue, message, Opened } from './harness.ts';

/** A storage location that survives closing the store. */
export interface Place {
  open(): Promise<Kv>;
  remove(): Promise<void>;
}

const LARGE = Buffer.alloc(6_000, 'L');

export function storeContract(name: string, newPlace: () => Promise<Place>): void {
  /** Runs a test with an open store; `again` closes it and opens the same data. */
  function check(title: string, body: (first: Opened, again: () => Promise<Opened>) => Promise<void>): void {
    test(title, async () => {
      const place = await newPlace();
      let open = new Opened(await place.open());
      try {
        await body(open, async () => {
          await open.store.close();
          open = new Opened(await place.open());
          return open;
        });
      } finally {
        await open.store.close();
        await place.remove();
      }
    });
  }

  function kinds(kv: Kv): string[] {
    return kv.keys(FIRST_KEY, END_KEY, 1e6).map((key) => kindOf(key)!);
  }

  describe(`the store over ${name}`, () => {
    check('a queue that never existed has no meta', async ({ queues }) => {
      assert.equal(queues.recover(12), null);
    });

    check('an entry is pending, committing, committed, and the queue is told', async (open) => {
      const queue = new FakeQueue(open.queues.nextQueueId());
      const entry = queue.entry(message('one'));
      open.queues.append(entry);
      assert.equal(entry.storeState, STORE_STATE.pending);
      assert.ok(open.queues.uncommittedBytes > 0);
      const done = open.store.flush();
      assert.equal(entry.storeState, STORE_STATE.committing);
      await done;
      assert.equal(entry.storeState, STORE_STATE.committed);
      assert.deepEqual(queue.committedSeqs, [1]);
      assert.equal(open.queues.uncommittedBytes, 0);
    });

    check('a confirm settles with the commit and not before', async (open) => {
      const queue = new FakeQueue(open.queues.nextQueueId());
      const confirms = new Confirms();
      const entry = queue.entry(message('one'));
      confirms.attach(entry);
      open.queues.append(entry);
      assert.deepEqual(confirms.drained(), []);
      const done = open.store.flush();
      assert.deepEqual(confirms.drained(), []);
      await done;
      assert.deepEqual(confirms.drained(), [[0, true]]);
    });

    check('everything of a message comes back', async (first, again) => {
      const queue = new FakeQueue(first.queues.nextQueueId());
      const sent = [
        message('plain'),
        message('names', { exchange: 'größer', routingKey: 'ключ.'.repeat(20), native: '' }),
        message('same names', { exchange: 'größer', routingKey: 'ключ.'.repeat(20), priority: 9 }),
        message('', { expirationMs: 0 }),
        message('ttl', { expirationMs: 60_000, exchange: '', routingKey: 'x'.repeat(4_096) }),
        message(Buffer.alloc(200_000, 7)),
        message(Buffer.from([0, 255, 128, 10])),
      ];
      for (const each of sent) {
        const entry = queue.entry(each);
        entry.expiresAt = each.expirationMs >= 0 ? each.receivedAt + each.expirationMs : Number.POSITIVE_INFINITY;
        first.queues.append(entry);
      }
      const read = await (await again()).readAll(queue.id, 2);
      assert.equal(read.length, sent.length);
      read.forEach((entry, i) => {
        const expected = sent[i]!;
        const got = entry.message;
        assert.equal(entry.seq, i + 1);
        assert.equal(got.exchange, expected.exchange);
        assert.equal(got.routingKey, expected.routingKey);
        assert.deepEqual(got.bodyBytes(), expected.bodyBytes());
        assert.equal(
          got.native.toString('utf8', got.nativeOffset, got.nativeOffset + got.nativeLength),
          expected.native.toString(),
        );
        assert.equal(got.codec, expected.codec);
        assert.equal(got.persistent, expected.persistent);
        assert.equal(got.priority, expected.priority);
        assert.equal(got.expirationMs, expected.expirationMs);
        assert.equal(got.receivedAt, expected.receivedAt);
        assert.equal(
          entry.expiresAt,
          expected.expirationMs >= 0 ? expected.receivedAt + expected.expirationMs : Number.POSITIVE_INFINITY,
        );
        assert.equal(entry.redelivered, false);
        assert.ok(got.owned);
      });
    });

    check(
      'the subscriptionOptions of a retained message come back with it, those of bindings do not',
      async (first, again) => {
        const queue = new FakeQueue(first.queues.nextQueueId());
        const given = [
          retainedSubscriptionOptions(1, 0),
          new SubscriptionOptions(2, false, true, [7]),
          retainedSubscriptionOptions(2, 268_435_455),
          null,
          retainedSubscriptionOptions(1, 1),
        ];
        for (const [at, subscriptionOptions] of given.entries()) {
          // With all optional fields set, including a body in its own record.
          const expirationMs = at > 1 ? 60_000 : -1;
          const entry = queue.entry(message(at === 4 ? 'x'.repeat(10_000) : `${at}`, { expirationMs }));
          if (at > 1) entry.expiresAt = 1_800_000_000_000;
          entry.subscriptionOptions = subscriptionOptions;
          first.queues.append(entry);
        }
        const read = await (await again()).readAll(queue.id);
        assert.deepEqual(
          read.map(({ subscriptionOptions }) => subscriptionOptions),
          given.map((subscriptionOptions) => (subscriptionOptions?.retained === true ? subscriptionOptions : null)),
        );
        for (const [at, { message, expiresAt }] of read.entries()) {
          assert.equal(message.expirationMs, at > 1 ? 60_000 : -1);
          assert.equal(expiresAt, at > 1 ? 1_800_000_000_000 : Number.POSITIVE_INFINITY);
          assert.equal(message.bodyLength, at === 4 ? 10_000 : 1);
        }
      },
    );

    check('an entry acknowledged while pending is never written, and its confirm settles', async (open) => {
      const queue = new FakeQueue(open.queues.nextQueueId());
      const confirms = new Confirms();
      const entry = queue.entry(message('gone'));
      confirms.attach(entry);
      open.queues.append(entry);
      open.queues.remove(entry);
      assert.equal(entry.storeState, STORE_STATE.deleted);
      assert.deepEqual(confirms.drained(), [[0, true]]);
      assert.equal(open.queues.uncommittedBytes, 0);
      await open.settle();
      assert.equal(kinds(open.kv).includes('entry'), false);
      assert.deepEqual(queue.committedSeqs, []);
    });

    check('an entry acknowledged while committing is gone with the next commit', async (first, again) => {
      const queue = new FakeQueue(first.queues.nextQueueId());
      const entry = queue.entry(message('gone'));
      first.queues.append(entry);
      first.queues.append(queue.entry(message('stays')));
      const done = first.store.flush();
      first.queues.remove(entry);
      await done;
      assert.deepEqual(queue.committedSeqs, [2]);
      await first.settle();
      const second = await again();
      assert.deepEqual(await second.bodies(queue.id), ['stays']);
      assert.equal(second.queues.recover(queue.id)!.count, 1);
    });

    check('acknowledged entries are gone after a restart, in order or not', async (first, again) => {
      const queue = new FakeQueue(first.queues.nextQueueId());
      const entries = Array.from({ length: 10 }, (_, i) => queue.entry(message(String(i + 1))));
      for (const entry of entries) first.queues.append(entry);
      await first.store.flush();
      for (const seq of [1, 2, 5, 9, 4, 7]) first.queues.remove(entries[seq - 1]!);
      const second = await again();
      assert.deepEqual(await second.bodies(queue.id), ['3', '6', '8', '10']);
      const meta = second.queues.recover(queue.id)!;
      assert.deepEqual([meta.count, meta.bytes, meta.floor, meta.nextSeq], [4, 5, 3, 11]);
      // Settling the remaining entries reclaims all records.
      const left = (await second.readAll(queue.id)).map(({ seq, message }) => {
        const entry = queue.entryAt(seq, message);
        entry.storeState = STORE_STATE.committed;
        return entry;
      });
      for (const entry of left) second.queues.remove(entry);
      await second.settle();
      const third = await again();
      assert.equal(third.queues.recover(queue.id)!.floor, 11);
      await third.settle();
      assert.deepEqual([...new Set(kinds(third.kv))], ['header', 'meta']);
    });

    check('a load keeps its limits and returns where to continue', async (open) => {
      const queue = new FakeQueue(open.queues.nextQueueId());
      for (let i = 0; i < 500; i++) open.queues.append(queue.entry(message(Buffer.alloc(1_000, i))));
      await open.store.flush();
      const few = await open.load(queue.id, 10, 400, 7);
      assert.deepEqual(
        few.entries.map(({ seq }) => seq),
        [10, 11, 12, 13, 14, 15, 16],
      );
      assert.equal(few.nextSeq, 17);
      const small = await open.load(queue.id, 17, 400, 1_000, 3_500);
      assert.equal(small.entries.length, 3);
      const one = await open.load(queue.id, 20, 400, 1_000, 1);
      assert.equal(one.entries.length, 1);
      const end = await open.load(queue.id, 390, 400);
      assert.equal(end.entries.length, 10);
      assert.equal(end.nextSeq, 400);
      assert.deepEqual(await open.load(queue.id, 600, 700), { entries: [], nextSeq: 700 });
    });

    check('a load stops before entries that are not committed', async (open) => {
      const queue = new FakeQueue(open.queues.nextQueueId());
      open.queues.append(queue.entry(message('1')));
      await open.store.flush();
      open.queues.append(queue.entry(message('2')));
      const range = await open.load(queue.id, 1, 3);
      assert.deepEqual([range.entries.length, range.nextSeq], [1, 2]);
    });

    check('transient entries are read back by this process and skipped by the next', async (first, again) => {
      const queue = new FakeQueue(first.queues.nextQueueId());
      for (let i = 1; i <= 6; i++) {
        const entry = queue.entry(message(String(i), { persistent: i % 2 === 0 }));
        first.queues.append(entry);
      }
      await first.store.flush();
      assert.deepEqual(await first.bodies(queue.id), ['1', '2', '3', '4', '5', '6']);
      assert.equal(first.queues.recover(queue.id)!.count, 3);
      const second = await again();
      assert.deepEqual(await second.bodies(queue.id), ['2', '4', '6']);
      assert.equal(second.queues.recover(queue.id)!.count, 3);
    });

    check('entries that are paged out late are read in their place', async (first, again) => {
      const queue = new FakeQueue(first.queues.nextQueueId());
      const all = Array.from({ length: 12 }, (_, i) =>
        queue.entry(message(String(i + 1), { persistent: i % 3 === 0 })),
      );
      for (const entry of all) if (entry.message.persistent) first.queues.append(entry);
      await first.store.flush();
      for (const seq of [5, 6, 2, 12, 3]) first.queues.append(all[seq - 1]!);
      await first.store.flush();
      assert.deepEqual(await first.bodies(queue.id), ['1', '2', '3', '4', '5', '6', '7', '10', '12']);
      first.queues.remove(all[0]!);
      first.queues.remove(all[1]!);
      first.queues.remove(all[4]!);
      await first.settle();
      assert.deepEqual(await first.bodies(queue.id), ['3', '4', '6', '7', '10', '12']);
      assert.deepEqual(await (await again()).bodies(queue.id), ['4', '7', '10']);
    });

    check('a purge drops everything but unacknowledged entries, in any state of a commit', async (first, again) => {
      const queue = new FakeQueue(first.queues.nextQueueId());
      const other = new FakeQueue(first.queues.nextQueueId());
      const confirms = new Confirms();
      const committed = Array.from({ length: 300 }, (_, i) => queue.entry(message(`c${i}`)));
      for (const entry of committed) first.queues.append(entry);
      first.queues.append(other.entry(message('other')));
      await first.store.flush();
      const committing = [queue.entry(message('d0')), queue.entry(message('d1'))];
      for (const entry of committing) first.queues.append(entry);
      confirms.attach(...committing);
      const done = first.store.flush();
      const pending = [queue.entry(message('e0')), queue.entry(message('e1'))];
      for (const entry of pending) first.queues.append(entry);
      confirms.attach(...pending);
      first.queues.purge(queue.id, [committed[7]!, committing[1]!, pending[0]!]);
      await done;
      await first.settle();
      assert.deepEqual(confirms.drained(), [
        [0, true],
        [1, true],
      ]);
      const second = await again();
      assert.deepEqual(await second.bodies(queue.id), ['c7', 'd1', 'e0']);
      assert.equal(second.queues.recover(queue.id)!.count, 3);
      assert.equal(second.queues.recover(queue.id)!.bytes, 6);
      assert.deepEqual(await second.bodies(other.id), ['other']);
      await second.settle();
    });

    check('a deleted queue leaves no records, even if the deletion is interrupted', async (first, again) => {
      const queue = new FakeQueue(first.queues.nextQueueId());
      const kept = new FakeQueue(first.queues.nextQueueId());
      // Each entry has its own body record; there are more of them than one slice reclaims.
      for (let i = 0; i < 1_200; i++) first.queues.append(queue.entry(message(Buffer.alloc(70_000))));
      first.queues.append(kept.entry(message('kept')));
      await first.store.flush();
      first.queues.deleteQueue(queue.id);
      assert.equal(first.queues.recover(queue.id), null);
      await first.store.flush();
      assert.ok(kinds(first.kv).includes('dropped'));
      const second = await again();
      assert.equal(second.queues.recover(queue.id), null);
      assert.deepEqual(await second.bodies(kept.id), ['kept']);
      await second.settle();
      assert.deepEqual([...new Set(kinds(second.kv))], ['header', 'meta', 'entry']);
    });

    check('queue ids are never used twice', async (first, again) => {
      const one = new FakeQueue(first.queues.nextQueueId());
      first.queues.append(one.entry(message('x')));
      await first.store.flush();
      first.queues.deleteQueue(one.id);
      const second = await again();
      assert.ok(second.queues.nextQueueId() > one.id);
    });

    check(
      'a large body that goes to several queues is stored once, and leaves with the last of them',
      async (first, again) => {
        const queues = [1, 2, 3].map(() => new FakeQueue(first.queues.nextQueueId()));
        const shared = message(LARGE);
        const entries = queues.map((queue) => queue.entry(shared));
        for (const entry of entries) first.queues.append(entry);
        first.queues.append(queues[0]!.entry(message(LARGE)));
        await first.store.flush();
        const count = (kv: Kv, kind: string) => kinds(kv).filter((each) => each === kind).length;
        assert.deepEqual([count(first.kv, 'body'), count(first.kv, 'ref')], [1, 3]);
        const second = await again();
        for (const queue of queues) assert.equal((await second.bodies(queue.id))[0], LARGE.toString());
        second.queues.purge(queues[0]!.id, []);
        second.queues.deleteQueue(queues[1]!.id);
        await second.settle();
        assert.deepEqual([count(second.kv, 'body'), count(second.kv, 'ref')], [1, 1]);
        second.queues.purge(queues[2]!.id, []);
        await second.settle();
        assert.deepEqual([count(second.kv, 'body'), count(second.kv, 'ref')], [0, 0]);
      },
    );

    check('entries have the redelivered mark if a delivery may have happened', async (first, again) => {
      const queue = new FakeQueue(first.queues.nextQueueId());
      for (let i = 0; i < 3; i++) first.queues.append(queue.entry(message('x')));
      const second = await again();
      assert.deepEqual(
        (await second.readAll(queue.id)).map((entry) => entry.redelivered),
        [false, false, false],
      );
      second.queues.markDelivering(queue.id);
      const third = await again();
      assert.deepEqual(
        (await third.readAll(queue.id)).map((entry) => entry.redelivered),
        [true, true, true],
      );
      third.queues.settleDelivered(queue.id, 3);
      const fourth = await again();
      assert.deepEqual(
        (await fourth.readAll(queue.id)).map((entry) => entry.redelivered),
        [true, true, false],
      );
      queue.nextSeq = fourth.queues.recover(queue.id)!.nextSeq;
      fourth.queues.append(queue.entry(message('new')));
      const fifth = await again();
      assert.deepEqual(
        (await fifth.readAll(queue.id)).map((entry) => entry.redelivered),
        [true, true, false, false],
      );
    });

    check('definitions survive, in key order, and the newest value counts', async (first, again) => {
      const { definitions } = first;
      const long = 'n'.repeat(3_000);
      definitions.put('queue', ['/', 'b'], { durable: true });
      definitions.put('queue', ['/', 'a'], { durable: false });
      definitions.put('queue', ['/', long], { long: 1 });
      definitions.put('exchange', ['/', 'a'], { type: 'topic' });
      const queues = [
        { name: ['/', 'a'], value: { durable: false } },
        { name: ['/', 'b'], value: { durable: true } },
      ];
      assert.deepEqual([...definitions.all('queue')].slice(0, 2), queues);
      await first.store.flush();
      definitions.put('queue', ['/', 'b'], { durable: 2 });
      definitions.remove('queue', ['/', 'a']);
      assert.deepEqual(
        [...definitions.all('queue')].map(({ value }) => value),
        [{ durable: 2 }, { long: 1 }],
      );
      const second = await again();
      assert.deepEqual(
        [...second.definitions.all('queue')],
        [
          { name: ['/', 'b'], value: { durable: 2 } },
          { name: ['/', long], value: { long: 1 } },
        ],
      );
      second.definitions.remove('queue', ['/', long]);
      assert.equal([...(await again()).definitions.all('queue')].length, 1);
    });

    check('more definitions than one slice are all read', async (first, again) => {
      for (let i = 0; i < 700; i++) first.definitions.put('binding', [`b${String(i).padStart(4, '0')}`], { i });
      const second = await again();
      second.definitions.remove('binding', ['b0300']);
      second.definitions.put('binding', ['b9999'], { i: 9999 });
      const values = [...second.definitions.all('binding')].map(({ value }) => value.i);
      assert.equal(values.length, 700);
      assert.equal(values.includes(300), false);
      assert.equal(values.at(-1), 9999);
    });

    check('whenCommitted waits for the changes submitted before it, and for no others', async (open) => {
      const outcomes: (Error | null)[] = [];
      open.queues.whenCommitted((error) => outcomes.push(error));
      assert.equal(outcomes.length, 1);
      open.definitions.put('user', ['u'], {});
      open.queues.whenCommitted((error) => outcomes.push(error));
      assert.equal(outcomes.length, 1);
      await open.store.flush();
      assert.deepEqual(outcomes, [null, null]);
    });

    check('data of another schema version is refused and not touched', async (first, again) => {
      first.definitions.put('user', ['u'], {});
      await first.store.flush();
      const batch = new KvBatch();
      batch.put(headerKey(HEADER.schema), u64(99));
      await first.kv.commit(batch);
      await assert.rejects(again, /schema version 99/);
    });
  });
}
