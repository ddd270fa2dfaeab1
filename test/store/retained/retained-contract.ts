// The contract of retained messages between core and store, independent of the `Kv` below.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { END_KEY, FIRST_KEY, kindOf } from '../../../src/store/keys.ts';
import { RECLAIM_LIMITS } from '../../../src/store/queues/reclaimer.ts';
import type { Place } from '../contract.ts';
import { Confirms, message, Opened } from '../harness.ts';

const START = 1_700_000_000_123;
const LIMITS = { retainedMessages: 2_000, retainedBytes: 1_000_000 };

export function retainedContract(name: string, newPlace: () => Promise<Place>): void {
  const time = { now: START };
  const opened = async (place: Place): Promise<Opened> =>
    new Opened(await place.open(), RECLAIM_LIMITS, { retained: LIMITS, clock: { now: () => time.now } });

  /** Runs a test with an open store; `again` closes it and opens the same data. */
  function check(title: string, body: (first: Opened, again: () => Promise<Opened>) => Promise<void>): void {
    test(title, async () => {
      const place = await newPlace();
      time.now = START;
      let open = await opened(place);
      try {
        await body(open, async () => {
          await open.store.close();
          open = await opened(place);
          return open;
        });
      } finally {
        await open.store.close();
        await place.remove();
      }
    });
  }

  function set(open: Opened, routingKey: string, body: string, more: { expirationMs?: number; vhost?: string } = {}) {
    const { vhost = '/', ...options } = more;
    return open.retained.set(vhost, message(body, { routingKey, ...options }), null, 0);
  }

  async function bodies(open: Opened, filter: string, vhost = '/'): Promise<Record<string, string>> {
    const found = await open.found(filter, vhost);
    return Object.fromEntries([...found].sort().map(([key, each]) => [key, each.bodyBytes().toString()]));
  }

  /** Number of records of retained messages and of their index, by kind. */
  function records(open: Opened): Record<string, number> {
    const counts: Record<string, number> = { kept: 0, due: 0 };
    for (const key of open.kv.keys(FIRST_KEY, END_KEY, 1e6)) {
      const kind = kindOf(key)!;
      if (kind in counts) counts[kind]!++;
    }
    return counts;
  }

  describe(`retained messages over ${name}`, () => {
    check('a search has what waited for its commit when it began, however it is read', async (first) => {
      for (let i = 0; i < 1900; i++) set(first, `a.${i}`, 'old');
      first.store.seal();
      for (let i = 0; i < 1900; i += 2) set(first, `a.${i}`, 'new');
      for (let i = 0; i < 100; i++) set(first, 'a.again', `${i}`);
      const cursor = first.retained.find('/', 'a.+');
      for (let i = 0; i < 1900; i++) set(first, `a.${i}`, 'later');
      set(first, 'a.again', '');
      const found = new Map<string, string>();
      let pauses = 0;
      for (;;) {
        let isRead = false;
        const reading = cursor.read().then((messages) => {
          isRead = true;
          return messages;
        });
        while (!isRead) {
          await new Promise((resolve) => setImmediate(resolve));
          pauses++;
        }
        const messages = await reading;
        if (messages.length === 0) break;
        for (const each of messages) {
          assert.ok(!found.has(each.routingKey), each.routingKey);
          found.set(each.routingKey, each.bodyBytes().toString());
        }
        await first.store.flush();
      }
      assert.equal(found.size, 1901);
      assert.equal(found.get('a.again'), '99');
      for (let i = 0; i < 1900; i++) assert.equal(found.get(`a.${i}`), i % 2 === 0 ? 'new' : 'old');
      assert.ok(pauses >= 3, `${pauses} pauses`);
    });

    check('thousands of searches at once share what waits, and look at none of it before they are read', (first) => {
      for (let i = 0; i < 1000; i++) set(first, `a.${i}`, 'x');
      const cursors = Array.from({ length: 1000 }, (_, i) => first.retained.find('/', `+.${i}`));
      const early = cursors.map((cursor) => (cursor as unknown as { earlySearch: { logs: unknown[] } }).earlySearch);
      assert.equal(new Set(early.map(({ logs }) => logs[0])).size, 1);
      return Promise.resolve();
    });

    check('repeated changes of a key do not pile up while they wait', (first) => {
      for (let i = 0; i < 10_000; i++) set(first, 'a', `${i}`);
      const { pendingLog } = first.retained as unknown as { pendingLog: unknown[] };
      assert.ok(pendingLog.length < 2000, `${pendingLog.length}`);
      return Promise.resolve();
    });

    check(
      'the last message of a key is found before its commit, after it, and after a restart',
      async (first, again) => {
        set(first, 'a.b', 'one');
        set(first, 'a.b', 'two');
        assert.deepEqual(await bodies(first, 'a.b'), { 'a.b': 'two' });
        assert.deepEqual(await bodies(first, 'a.+'), { 'a.b': 'two' });
        await first.store.flush();
        assert.deepEqual(await bodies(first, 'a.+'), { 'a.b': 'two' });
        set(first, 'a.b', 'three');
        assert.deepEqual(await bodies(first, '#'), { 'a.b': 'three' });
        const second = await again();
        assert.deepEqual(await bodies(second, '#'), { 'a.b': 'three' });
        assert.deepEqual(await bodies(second, 'a.b'), { 'a.b': 'three' });
        assert.deepEqual(second.retained.count('/'), {
          messages: 1,
          bytes: 'a.b'.length + 'props'.length + 'three'.length,
        });
      },
    );

    check('everything of a message comes back', async (first, again) => {
      const sent = message('größer', {
        exchange: 'amq.topic',
        routingKey: 'größe.日本',
        native: 'the native bytes',
        persistent: false,
        priority: 9,
        expirationMs: 60_000,
      });
      first.retained.set('/', sent, null, 0);
      const second = await again();
      const back = (await second.found('größe.+')).get('größe.日本')!;
      assert.deepEqual(
        [
          back.exchange,
          back.bodyBytes().toString(),
          back.persistent,
          back.priority,
          back.expirationMs,
          back.receivedAt,
        ],
        ['amq.topic', 'größer', false, 9, 60_000, START],
      );
      assert.equal(back.codec, sent.codec);
      const native = back.native.toString('utf8', back.nativeOffset, back.nativeOffset + back.nativeLength);
      assert.equal(native, 'the native bytes');
      assert.ok(back.owned);
    });

    check('a message without a body removes', async (first, again) => {
      set(first, 'a', '1');
      set(first, 'b', '2');
      await first.store.flush();
      set(first, 'a', '');
      set(first, 'never', '');
      assert.deepEqual(await bodies(first, '#'), { b: '2' });
      assert.equal(first.retained.count('/').messages, 1);
      const second = await again();
      assert.deepEqual(await bodies(second, '#'), { b: '2' });
      set(second, 'c', 'unwritten');
      set(second, 'c', '');
      await second.store.flush();
      assert.deepEqual(records(second), { kept: 1, due: 0 });
      assert.equal(second.retained.count('/').messages, 1);
    });

    check('a message has its own copy of its bytes once it is set', async (open) => {
      const bytes = Buffer.from('before');
      open.retained.set('/', message(bytes, { routingKey: 'a' }), null, 0);
      bytes.fill('x');
      assert.deepEqual(await bodies(open, 'a'), { a: 'before' });
      await open.store.flush();
      assert.deepEqual(await bodies(open, 'a'), { a: 'before' });
    });

    check('a confirm waits for the commit of the change, or of the one that took its place', async (open) => {
      const confirms = new Confirms();
      for (const body of ['one', 'two', '']) {
        const slot = confirms.ring.open();
        open.retained.set('/', message(body, { routingKey: 'a' }), confirms.ring, slot);
        confirms.ring.settle(slot);
      }
      assert.deepEqual(confirms.drained(), []);
      assert.ok(open.store.uncommittedBytes > 0);
      const done = open.store.flush();
      assert.deepEqual(confirms.drained(), []);
      await done;
      assert.deepEqual(confirms.drained(), [
        [0, true],
        [1, true],
        [2, true],
      ]);
      assert.equal(open.store.uncommittedBytes, 0);
    });

    check('removing a missing message does not wait', async (open) => {
      const confirms = new Confirms();
      const slot = confirms.ring.open();
      open.retained.set('/', message('', { routingKey: 'a' }), confirms.ring, slot);
      confirms.ring.settle(slot);
      assert.deepEqual(confirms.drained(), [[0, true]]);
    });

    check('virtual hosts are separate, whatever their names', async (first, again) => {
      const hosts = ['/', '', 'a', 'aa', 'größe', 'v'.repeat(255)];
      for (const vhost of hosts) set(first, 'a.a', `of ${vhost}`, { vhost });
      const second = await again();
      for (const vhost of hosts) {
        assert.deepEqual(await bodies(second, '#', vhost), { 'a.a': `of ${vhost}` });
        assert.equal(second.retained.count(vhost).messages, 1);
      }
      assert.equal(second.retained.count('other').messages, 0);
    });

    check('expired messages are not found, and are removed with their index', async (first, again) => {
      set(first, 'short', '1', { expirationMs: 1_000 });
      set(first, 'long', '2', { expirationMs: 5_000 });
      set(first, 'always', '3');
      await first.store.flush();
      assert.deepEqual(records(first), { kept: 3, due: 2 });
      time.now = START + 999;
      assert.deepEqual(Object.keys(await bodies(first, '#')), ['always', 'long', 'short']);
      time.now = START + 1_000;
      assert.deepEqual(Object.keys(await bodies(first, '#')), ['always', 'long']);
      assert.deepEqual(await bodies(first, 'short'), {});
      time.now = START + 1_001;
      const second = await again();
      assert.equal(second.retained.expire(), false);
      await second.store.flush();
      assert.deepEqual(records(second), { kept: 2, due: 1 });
      assert.equal(second.retained.count('/').messages, 2);
      assert.deepEqual(await bodies(second, '+'), { always: '3', long: '2' });
    });

    check('a message that takes the place of one that expires takes its index too', async (open) => {
      set(open, 'a', '1', { expirationMs: 1_000 });
      await open.store.flush();
      set(open, 'a', '2', { expirationMs: 2_000 });
      set(open, 'a', '3', { expirationMs: 3_000 });
      await open.store.flush();
      assert.deepEqual(records(open), { kept: 1, due: 1 });
      set(open, 'a', '4');
      await open.store.flush();
      assert.deepEqual(records(open), { kept: 1, due: 0 });
      time.now = START + 10_000;
      assert.equal(open.retained.expire(), false);
      assert.deepEqual(await bodies(open, 'a'), { a: '4' });
    });

    check('expiry is done in slices, and keeps messages set again meanwhile', async (open) => {
      for (let i = 0; i < 700; i++) set(open, `k${i}`, 'x', { expirationMs: 1_000 });
      await open.store.flush();
      time.now = START + 2_000;
      set(open, 'k0', 'new');
      let slices = 1;
      for (; open.retained.expire(); slices++) await open.store.flush();
      await open.store.flush();
      assert.ok(slices > 2);
      assert.deepEqual(await bodies(open, '#'), { k0: 'new' });
      assert.deepEqual(records(open), { kept: 1, due: 0 });
    });

    check('above a limit no message is kept for the key, and the counter increases', async (open) => {
      for (let i = 0; i < LIMITS.retainedMessages; i++) assert.equal(set(open, `k${i}`, 'x'), true);
      assert.equal(set(open, 'more', 'x'), false);
      assert.equal(set(open, 'k1', 'in its place'), true);
      assert.equal(set(open, 'k2', 'x'.repeat(LIMITS.retainedBytes)), false);
      assert.deepEqual(await bodies(open, 'k2'), {});
      assert.deepEqual(await bodies(open, 'more'), {});
      assert.equal(set(open, 'more', 'x'), true);
      assert.equal(open.retained.count('/').messages, LIMITS.retainedMessages);
      assert.equal(open.meters.retainedRefused, 2);
    });

    check('a cursor omits messages set after it was created', async (open) => {
      for (let i = 0; i < 300; i++) set(open, `k${i}`, 'old');
      await open.store.flush();
      set(open, 'early', 'old');
      const cursor = open.retained.find('/', '#');
      set(open, 'k299', 'new');
      set(open, 'late', 'new');
      set(open, 'early', 'new');
      await open.store.flush();
      set(open, 'k298', 'new');
      const found: string[] = [];
      for (let some = await cursor.read(); some.length > 0; some = await cursor.read()) {
        for (const each of some) {
          assert.equal(each.bodyBytes().toString(), 'old');
          found.push(each.routingKey);
        }
      }
      const expected = ['early', ...Array.from({ length: 298 }, (_, i) => `k${i}`)].sort();
      assert.deepEqual(found.sort(), expected);
    });

    check(
      'an interrupted search continues after a restart, without messages published meanwhile',
      async (first, again) => {
        for (let i = 10; i < 30; i++) set(first, `a.${i}`, 'old');
        await first.store.flush();
        // Not committed yet, but found in key order.
        set(first, 'a.155', 'old');
        const { since } = first.retained.find('/', 'a.#');
        set(first, 'a.16', 'persistent');
        set(first, 'a.17', '');
        first.retained.set('/', message('transient', { routingKey: 'a.18', persistent: false }), null, 0);
        const second = await again();
        set(second, 'a.19', 'persistent');
        second.retained.set('/', message('transient', { routingKey: 'a.20', persistent: false }), null, 0);
        const cursor = second.retained.find('/', 'a.#', { since, after: 'a.15' });
        set(second, 'a.21', 'later');
        second.retained.set('/', message('later', { routingKey: 'a.22', persistent: false }), null, 0);
        const left = Array.from({ length: 7 }, (_, i) => [`a.${i + 23}`, 'old']);
        const expected = [['a.155', 'old'], ['a.18', 'transient'], ['a.20', 'transient'], ...left];
        const found: string[][] = [];
        for (let some = await cursor.read(); some.length > 0; some = await cursor.read()) {
          for (const each of some) {
            assert.ok(cursor.isCurrent(each));
            found.push([each.routingKey, each.bodyBytes().toString()]);
          }
        }
        assert.deepEqual(found, expected);
        assert.deepEqual(cursor.since, since);
      },
    );

    check('a search for one key finds nothing after its message was returned', async (open) => {
      set(open, 'a', 'x');
      const { since } = open.retained.find('/', 'a');
      assert.equal((await open.found('a', '/', { since, after: null })).size, 1);
      assert.equal((await open.found('a', '/', { since, after: 'a' })).size, 0);
    });

    check('large messages come in several reads', async (open) => {
      for (let i = 0; i < 8; i++) set(open, `k${i}`, 'x'.repeat(100_000));
      await open.store.flush();
      const cursor = open.retained.find('/', '+');
      let reads = 0;
      let messages = 0;
      for (let some = await cursor.read(); some.length > 0; some = await cursor.read()) {
        reads++;
        messages += some.length;
      }
      assert.deepEqual([reads, messages], [3, 8]);
    });

    test('filters select by the rules of the specification, before and after the commit', async () => {
      // Words whose byte order differs from their key order, long words whose keys are truncated, and `$`.
      const word = fc.constantFrom(
        '',
        'a',
        'b',
        'a\u0001',
        'a-',
        'ä',
        '日',
        '$s',
        '*',
        'x'.repeat(600),
        `${'x'.repeat(600)}y`,
      );
      const key = fc.array(word, { minLength: 1, maxLength: 4 }).map((words) => words.join('.'));
      const filterWord = fc.oneof(word, fc.constant('+'));
      const filter = fc
        .tuple(fc.array(filterWord, { minLength: 1, maxLength: 4 }), fc.boolean())
        .map(([words, all]) => (all ? [...words.slice(0, 3), '#'] : words).join('.'));
      const filters = fc.array(fc.oneof(filter, fc.constant('#')), { minLength: 1, maxLength: 5 });
      await fc.assert(
        fc.asyncProperty(fc.array(fc.tuple(key, fc.boolean()), { maxLength: 25 }), filters, async (keys, filters) => {
          const place = await newPlace();
          const open = await opened(place);
          try {
            const legal = keys.filter(([text]) => text !== '');
            for (const [text, committed] of legal) if (committed) set(open, text, 'x');
            await open.store.flush();
            for (const [text, committed] of legal) if (!committed) set(open, text, 'x');
            for (const filter of filters) {
              const expected = new Set(legal.map(([text]) => text).filter((text) => selects(filter, text)));
              const found = [...(await open.found(filter)).keys()];
              assert.deepEqual(new Set(found), expected, `filter '${filter}'`);
              const { since } = open.retained.find('/', filter);
              for (const [at, after] of found.entries()) {
                const left = [...(await open.found(filter, '/', { since, after })).keys()];
                assert.deepEqual(left, found.slice(at + 1), `filter '${filter}' behind '${after}'`);
              }
            }
          } finally {
            await open.store.close();
            await place.remove();
          }
        }),
        { numRuns: name === 'memory' ? 2_000 : 100 },
      );
    });
  });
}

/** MQTT 5.0 §4.7, level by level; the levels are the words of a routing key. */
function selects(filter: string, key: string): boolean {
  const wanted = filter.split('.');
  const levels = key.split('.');
  // [MQTT-4.7.2-1]
  if (key.startsWith('$') && (wanted[0] === '+' || wanted[0] === '#')) return false;
  if (wanted.at(-1) === '#') {
    // §4.7.1.2: `#` matches the parent and any number of levels below it.
    const head = wanted.slice(0, -1);
    return levels.length >= head.length && head.every((level, i) => level === '+' || level === levels[i]);
  }
  return levels.length === wanted.length && wanted.every((level, i) => level === '+' || level === levels[i]);
}
