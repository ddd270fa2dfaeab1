// Data of schema version 1, which stored each packet id separately, is upgraded without loss, even if power fails
// during it. The older broker refuses upgraded data.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HEADER, headerKey, kindOf, readU64, u64 } from '../../src/store/keys.ts';
import { DamagedDataError, KvBatch, OutOfSpaceError } from '../../src/store/kv/kv.ts';
import { MemoryKv } from '../../src/store/kv/memory.ts';
import { upgrade } from '../../src/store/upgrade.ts';
import { FaultyKv } from '../support/faulty-kv.ts';
import { Opened } from './harness.ts';

/** More records than one transaction upgrades. */
const MANY = 5_000;

function old(records: Readonly<Record<string, string>>): MemoryKv {
  const batch = new KvBatch();
  batch.put(headerKey(HEADER.schema), u64(1));
  for (const [key, value] of Object.entries(records)) batch.put(bytes(key), bytes(value));
  const kv = new MemoryKv();
  kv.apply(batch);
  return kv;
}

/** `0c | session u64 | direction u8 | packet id u16` */
function oldKey(session: number, direction: number, id: number): string {
  return `0c ${u64(session).toString('hex')} 0${direction} ${id.toString(16).padStart(4, '0')}`;
}

function bytes(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex');
}

function version(kv: MemoryKv): number {
  return readU64(kv.get(headerKey(HEADER.schema))!, 0);
}

function ids(kv: MemoryKv): string[] {
  return [...new Opened(kv).store.packets.all()].map(
    ({ sessionId, packetId, state, queueId, seq }) => `${sessionId} ${packetId} ${state} ${queueId} ${seq}`,
  );
}

function oldRecords(kv: MemoryKv): number {
  return kv.keys(Buffer.from([0x0c]), Buffer.from([0x0d]), Number.MAX_SAFE_INTEGER).length;
}

describe('data of schema version 1', () => {
  test('keeps its packet ids', async () => {
    const kv = old({
      [oldKey(5, 1, 1)]: '01',
      [oldKey(5, 1, 65_535)]: '01',
      [oldKey(5, 2, 1)]: '02 0000000000000005 0000000000000009',
      [oldKey(5, 2, 2)]: '03',
      [oldKey(6, 2, 300)]: '02 0000000200000000 0000010000000000',
    });
    assert.throws(() => new Opened(kv), /schema version 1;/, 'nothing reads it before it is brought to version 2');
    await upgrade(kv);
    assert.equal(version(kv), 2);
    assert.equal(oldRecords(kv), 0);
    assert.deepEqual(ids(kv), [
      '5 1 received 0 0',
      '5 65535 received 0 0',
      '5 1 sent 5 9',
      '5 2 released 0 0',
      `6 300 sent ${2 ** 33} ${2 ** 40}`,
    ]);
  });

  test('becomes version 2 even without packet ids', async () => {
    const kv = old({});
    await upgrade(kv);
    assert.equal(version(kv), 2);
  });

  test('is brought to version 2 in transactions of which any may be the last before a crash', async () => {
    const records = Object.fromEntries(Array.from({ length: MANY }, (_, id) => [oldKey(5, 1, id + 1), '01']));
    const disk = old(records);
    const expected = Object.keys(records).map((_, i) => `5 ${i + 1} received 0 0`);
    for (const applied of [false, true]) {
      for (let crashAt = 1; ; crashAt++) {
        const kv = new FaultyKv(disk.clone());
        kv.hold = true;
        const upgrading = upgrade(kv);
        for (let commit = 1; commit < crashAt && !(await ended(upgrading)); commit++) kv.release();
        if (await ended(upgrading)) {
          assert.ok(crashAt > 2, 'there was more than one transaction');
          break;
        }
        const left = kv.crash(applied);
        assert.equal(version(left), left.keys(Buffer.from([0x0e]), Buffer.from([0x0f]), 1).length === 0 ? 1 : 2);
        await upgrade(left);
        assert.deepEqual(ids(left), expected);
        assert.equal(oldRecords(left), 0);
      }
    }
  });

  test('is unchanged if the disk is full', async () => {
    const kv = new FaultyKv(old({ [oldKey(5, 1, 1)]: '01' }));
    kv.full = true;
    kv.fullForAll = true;
    await assert.rejects(upgrade(kv), OutOfSpaceError);
    assert.equal(version(kv.disk), 1);
    assert.equal(oldRecords(kv.disk), 1);
  });

  test('is refused where a packet id has an unknown form', async () => {
    const kv = old({ [oldKey(5, 1, 1)]: '04' });
    await assert.rejects(upgrade(kv), new DamagedDataError('packet id 1 of session 5 has an unknown form'));
    assert.equal(version(kv), 1);
  });
});

describe('other data', () => {
  test('is not touched', async () => {
    const empty = new MemoryKv();
    await upgrade(empty);
    assert.equal(empty.size, 0);
    const unknown = old({ [oldKey(5, 1, 1)]: '01' });
    const batch = new KvBatch();
    batch.put(headerKey(HEADER.schema), u64(99));
    unknown.apply(batch);
    await upgrade(unknown);
    assert.equal(version(unknown), 99);
    assert.equal(oldRecords(unknown), 1);
    const current = new FaultyKv(new MemoryKv());
    const opened = new Opened(current);
    opened.definitions.put('user', ['u'], {});
    await opened.store.flush();
    const { commits } = current;
    await upgrade(current);
    assert.equal(current.commits, commits);
    assert.equal(kindOf(bytes(oldKey(5, 1, 1))), 'packet');
  });
});

/** Whether `work` has ended by now. */
async function ended(work: Promise<void>): Promise<boolean> {
  let done = false;
  work.then(() => {
    done = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  return done;
}
