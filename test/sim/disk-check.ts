// Checks all records on a disk for inconsistencies: bodies without references, references to missing bodies, segments
// that overlap or belong to no queue, retained messages missing from the counts or the expiry index, empty pages of
// packet ids.

import assert from 'node:assert/strict';
import {
  bodyIdOf,
  bodyKey,
  dueKey,
  END_KEY,
  FIRST_KEY,
  firstSeqOf,
  keptOf,
  keptPrefix,
  kindOf,
  lastSeqOf,
  queueIdOf,
  readU64,
  refKey,
  tallyKey,
  vhostOf,
} from '../../src/store/keys.ts';
import type { Kv } from '../../src/store/kv/kv.ts';
import { PacketPage } from '../../src/store/packets/packet-page.ts';
import { costOf, expiryOf } from '../../src/store/retained/retained-record.ts';

/** `reclaimed`: the background work is done, so no record of a deleted queue may remain. */
export function checkDisk(kv: Kv, reclaimed: boolean): void {
  const keys = kv.keys(FIRST_KEY, END_KEY, Number.MAX_SAFE_INTEGER);
  const text = (key: Buffer) => key.toString('hex');
  const present = new Set(keys.map(text));
  const queues = new Set<number>();
  const dropped = new Set<number>();
  const refs = new Map<number, number>();
  const shared = new Set<string>();
  const ends = new Map<string, number>();
  for (const key of keys) {
    const kind = kindOf(key);
    if (kind === 'meta') queues.add(queueIdOf(key));
    if (kind === 'dropped') dropped.add(queueIdOf(key));
    if (kind !== 'entry' && kind !== 'late') continue;
    const lane = `${kind} ${queueIdOf(key)}`;
    assert.ok(firstSeqOf(key) > (ends.get(lane) ?? 0), `segments of ${lane} overlap`);
    ends.set(lane, lastSeqOf(key));
    if (bodyIdOf(key) !== 0) shared.add(text(refKey(bodyIdOf(key), queueIdOf(key), firstSeqOf(key))));
  }
  for (const key of keys) {
    const kind = kindOf(key);
    assert.notEqual(kind, null, 'a record of no kind');
    if (kind === 'ref') {
      const bodyId = readU64(key, 1);
      refs.set(bodyId, (refs.get(bodyId) ?? 0) + 1);
      assert.ok(present.has(text(bodyKey(bodyId))), `dangling ref to body ${bodyId}`);
      assert.ok(shared.has(text(key)), `a ref to body ${bodyId} from no segment`);
    }
    if (kind === 'entry' || kind === 'late' || kind === 'gone') {
      const queueId = queueIdOf(key);
      const owned = queues.has(queueId) || (!reclaimed && dropped.has(queueId));
      assert.ok(owned, `a record of queue ${queueId}, which is not there`);
    }
  }
  for (const ref of shared) assert.ok(present.has(ref), 'a segment with a shared body has no ref');
  for (const key of keys) {
    if (kindOf(key) === 'body') assert.ok(refs.has(readU64(key, 1)), `orphan body ${readU64(key, 1)}`);
  }
  if (reclaimed) assert.equal(dropped.size, 0, 'a tombstone was left');
  checkRetained(kv, keys);
  for (const key of keys) {
    if (kindOf(key) !== 'page') continue;
    assert.ok(!new PacketPage(0, key, kv.get(key)).empty, 'a page without packet ids');
  }
}

/** Retained messages, their expiry index and their counts must agree. */
function checkRetained(kv: Kv, keys: readonly Buffer[]): void {
  const tallies = new Map<string, { messages: number; bytes: number }>();
  for (const key of keys) {
    const kind = kindOf(key);
    if (kind === 'due') {
      const record = kv.get(keptOf(key));
      assert.ok(record !== null, 'an expiry of no message');
      const expiresAt = expiryOf(record);
      const own = expiresAt !== Number.POSITIVE_INFINITY && key.equals(dueKey(expiresAt, keptOf(key)));
      assert.ok(own, 'an expiry that was another message');
    }
    if (kind !== 'kept') continue;
    const record = kv.get(key)!;
    const vhost = vhostOf(key);
    const tally = tallies.get(vhost) ?? { messages: 0, bytes: 0 };
    tally.messages++;
    tally.bytes += costOf(key, keptPrefix(vhost), record);
    tallies.set(vhost, tally);
    const expiresAt = expiryOf(record);
    if (expiresAt === Number.POSITIVE_INFINITY) continue;
    assert.ok(kv.get(dueKey(expiresAt, key)) !== null, 'a message whose expiry nobody would find');
  }
  for (const [vhost, { messages, bytes }] of tallies) {
    const stored = kv.get(tallyKey(vhost));
    assert.ok(stored !== null, 'no tally of retained messages');
    assert.deepEqual([readU64(stored, 1), readU64(stored, 9)], [messages, bytes], 'tally of retained messages');
  }
}
