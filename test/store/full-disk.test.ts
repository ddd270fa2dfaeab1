// The store with delayed commits, with a full disk, and after an unexplained failure.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type QueueEntry, STORE_STATE } from '../../src/core/queue/queue-entry.ts';
import { FaultyKv } from '../support/faulty-kv.ts';
import { Confirms, FakeQueue, message, Opened } from './harness.ts';

function opened(): { kv: FaultyKv; open: Opened; queue: FakeQueue; confirms: Confirms } {
  const kv = new FaultyKv();
  const open = new Opened(kv);
  return { kv, open, queue: new FakeQueue(open.queues.nextQueueId()), confirms: new Confirms() };
}

function tick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Seals and completes commits until nothing is left to do. */
async function settle({ store }: Opened): Promise<void> {
  for (let i = 0; i < 6; i++) {
    store.seal();
    await tick();
  }
}

test('while a commit is held no confirm is sent, and the next batch waits', async () => {
  const { kv, open, queue, confirms } = opened();
  kv.hold = true;
  const first = queue.entry(message('1'));
  confirms.attach(first);
  open.queues.append(first);
  open.store.seal();
  const second = queue.entry(message('2'));
  confirms.attach(second);
  open.queues.append(second);
  const outcomes: (Error | null)[] = [];
  open.queues.whenCommitted((error) => outcomes.push(error));
  open.store.seal();
  await tick();
  assert.deepEqual([kv.commits, confirms.drained(), outcomes], [1, [], []]);
  kv.release();
  await tick();
  assert.deepEqual(confirms.drained(), [[0, true]]);
  assert.deepEqual(outcomes, []);
  open.store.seal();
  kv.release();
  await tick();
  assert.deepEqual(confirms.drained(), [
    [0, true],
    [1, true],
  ]);
  assert.deepEqual(outcomes, [null]);
});

test('a batch that does not fit on the disk is refused, and reported once', async () => {
  const { kv, open, queue, confirms } = opened();
  kv.full = true;
  const entry = queue.entry(message('no'));
  confirms.attach(entry);
  open.queues.append(entry);
  open.definitions.put('queue', ['no'], {});
  const outcomes: (Error | null)[] = [];
  open.queues.whenCommitted((error) => outcomes.push(error));
  await settle(open);
  assert.deepEqual(confirms.drained(), [[0, false]]);
  assert.deepEqual(queue.withdrawnSeqs, [1]);
  assert.equal(outcomes[0]?.name, 'OutOfSpaceError');
  assert.deepEqual(
    open.told.filter((what) => what !== 'commit'),
    ['full'],
  );
  assert.deepEqual([...open.definitions.all('queue')], []);
  assert.equal(open.queues.uncommittedBytes, 0);
});

test('acknowledgements are committed on a full disk, and writing resumes when there is space', async () => {
  const { kv, open, queue, confirms } = opened();
  const old = queue.entry(message('old'));
  const kept = queue.entry(message('kept'));
  open.queues.append(old);
  open.queues.append(kept);
  await open.store.flush();
  kv.full = true;
  open.queues.remove(old);
  const refused = queue.entry(message('refused'));
  confirms.attach(refused);
  open.queues.append(refused);
  await settle(open);
  assert.equal(new Opened(new FaultyKv(kv.disk.clone())).queues.recover(queue.id)!.count, 1);
  kv.full = false;
  open.elapse();
  await settle(open);
  assert.deepEqual(
    open.told.filter((what) => what !== 'commit'),
    ['full', 'space'],
  );
  const next = queue.entry(message('next'));
  confirms.attach(next);
  open.queues.append(next);
  await settle(open);
  assert.deepEqual(confirms.drained(), [
    [0, false],
    [1, true],
  ]);
  assert.deepEqual(await open.bodies(queue.id), ['kept', 'next']);
});

test('a message that moves while the disk is full stays in its old queue until its new entry is committed', async () => {
  const { kv, open, queue } = opened();
  const other = new FakeQueue(open.queues.nextQueueId());
  const entry = queue.entry(message('moves'));
  open.queues.append(entry);
  await open.store.flush();
  kv.full = true;
  const moved = other.entry(message('moves'));
  open.queues.group(() => {
    open.queues.remove(entry);
    open.queues.append(moved);
  });
  await settle(open);
  assert.equal(moved.storeState, STORE_STATE.pending);
  const afterCrash = new Opened(new FaultyKv(kv.disk.clone()));
  assert.deepEqual(await afterCrash.bodies(queue.id), ['moves']);
  assert.deepEqual(await afterCrash.bodies(other.id), []);
  kv.full = false;
  open.elapse();
  await settle(open);
  const later = new Opened(new FaultyKv(kv.disk.clone()));
  assert.deepEqual(await later.bodies(queue.id), []);
  assert.deepEqual(await later.bodies(other.id), ['moves']);
  assert.deepEqual(other.withdrawnSeqs, []);
});

test('a move that takes several groups waits whole, though the first of them remove nothing', async () => {
  const { kv, open, queue } = opened();
  const others = [1, 2, 3].map(() => new FakeQueue(open.queues.nextQueueId()));
  const entry = queue.entry(message('moves'));
  open.queues.append(entry);
  await open.store.flush();
  kv.full = true;
  const moved = others.map((other) => other.entry(message('moves')));
  open.queues.group(() => open.queues.append(moved[0]!), true);
  await settle(open);
  open.queues.group(() => open.queues.append(moved[1]!), true);
  await settle(open);
  open.queues.group(() => {
    open.queues.append(moved[2]!);
    open.queues.remove(entry);
  });
  await settle(open);
  assert.deepEqual(await new Opened(new FaultyKv(kv.disk.clone())).bodies(queue.id), ['moves']);
  kv.full = false;
  open.elapse();
  await settle(open);
  const later = new Opened(new FaultyKv(kv.disk.clone()));
  assert.deepEqual(await later.bodies(queue.id), []);
  for (const other of others) {
    assert.deepEqual(await later.bodies(other.id), ['moves']);
    assert.deepEqual(other.withdrawnSeqs, []);
  }
});

test('moves that follow one another while commits fail are one: the message stays until it is at its end', async () => {
  const { kv, open, queue } = opened();
  const [second, third, fourth] = [1, 2, 3].map(() => new FakeQueue(open.queues.nextQueueId()));
  const move = (from: QueueEntry, to: FakeQueue): QueueEntry => {
    const moved = to.entry(message('moves'));
    open.queues.group(() => {
      open.queues.append(moved);
      open.queues.remove(from);
    });
    return moved;
  };
  const entry = queue.entry(message('moves'));
  open.queues.append(entry);
  await open.store.flush();
  kv.full = true;
  kv.hold = true;
  const once = move(entry, second!);
  open.store.seal();
  assert.equal(once.storeState, STORE_STATE.committing);
  // The entry moves again while the commit of its first move, which will fail, is pending; and then once more.
  const twice = move(once, third!);
  kv.release();
  await tick();
  assert.equal(twice.storeState, STORE_STATE.pending);
  const last = move(twice, fourth!);
  kv.hold = false;
  for (let i = 0; i < 6; i++) {
    open.elapse();
    await settle(open);
    const places = [queue, second!, third!, fourth!].map(({ id }) =>
      new Opened(new FaultyKv(kv.disk.clone())).bodies(id),
    );
    assert.deepEqual(await Promise.all(places), [['moves'], [], [], []]);
  }
  assert.equal(last.storeState, STORE_STATE.pending);
  kv.full = false;
  open.elapse();
  await settle(open);
  const places = [queue, second!, third!, fourth!].map(({ id }) =>
    new Opened(new FaultyKv(kv.disk.clone())).bodies(id),
  );
  assert.deepEqual(await Promise.all(places), [[], [], [], ['moves']]);
  assert.deepEqual(fourth!.withdrawnSeqs, []);
});

test('a store whose first commit found the disk full can be reopened after a later commit', async () => {
  const { kv, open, queue } = opened();
  kv.full = true;
  open.queues.append(queue.entry(message('refused')));
  await settle(open);
  kv.full = false;
  open.elapse();
  await settle(open);
  assert.ok(kv.disk.size > 0);
  new Opened(new FaultyKv(kv.disk.clone()));
});

test('on a full disk retained messages are unchanged, new ones are refused, and expired ones are removed', async () => {
  const time = { now: 1_700_000_000_123 };
  const kv = new FaultyKv();
  const open = new Opened(kv, undefined, { clock: { now: () => time.now } });
  const confirms = new Confirms();
  const set = (body: string, routingKey: string, expirationMs?: number): void => {
    const slot = confirms.ring.open();
    const options = expirationMs === undefined ? { routingKey } : { routingKey, expirationMs };
    open.retained.set('/', message(body, options), confirms.ring, slot);
    confirms.ring.settle(slot);
  };
  set('first', 'a');
  set('first', 'b');
  set('first', 'c', 1_000);
  await open.store.flush();
  time.now += 2_000;
  kv.full = true;
  set('refused', 'a');
  set('', 'b');
  set('refused', 'new');
  open.retained.expire();
  await settle(open);
  assert.deepEqual(
    confirms.drained().map(([, ok]) => ok),
    [true, true, true, false, false, false],
  );
  const bodies = async (of: Opened) => [...(await of.found('#')).values()].map((each) => each.bodyBytes().toString());
  assert.deepEqual(await bodies(open), ['first', 'first']);
  assert.equal(open.retained.count('/').messages, 2);
  assert.equal(open.store.uncommittedBytes, 0);
  const afterCrash = new Opened(new FaultyKv(kv.disk.clone()));
  assert.deepEqual(await bodies(afterCrash), ['first', 'first']);
  assert.equal(afterCrash.retained.count('/').messages, 2);
});

test('after an unexplained failure no confirm is sent and nothing more is written', async () => {
  const { kv, open, queue, confirms } = opened();
  kv.hold = true;
  const entry = queue.entry(message('?'));
  confirms.attach(entry);
  open.queues.append(entry);
  const outcomes: (Error | null)[] = [];
  open.queues.whenCommitted((error) => outcomes.push(error));
  open.store.seal();
  kv.fail(true);
  await tick();
  assert.equal(open.fatal[0]?.message, 'EIO');
  assert.deepEqual([confirms.drained(), outcomes, queue.withdrawnSeqs], [[], [], []]);
  open.queues.append(queue.entry(message('more')));
  open.store.seal();
  await tick();
  assert.equal(kv.commits, 1);
});
