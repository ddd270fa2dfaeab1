// The committer gathers a batch only if a change is due, or if a caller waits for pending changes.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Committer, type Participant } from '../../src/store/committer.ts';
import type { KvBatch } from '../../src/store/kv/kv.ts';
import { MemoryKv } from '../../src/store/kv/memory.ts';

class Records implements Participant {
  pending = 0;
  due = false;
  gathered = 0;

  hasPending(): boolean {
    return this.pending > 0;
  }

  isDue(): boolean {
    return this.due;
  }

  gather(batch: KvBatch): void {
    this.gathered++;
    for (; this.pending > 0; this.pending--) batch.put(Buffer.from([this.pending]), Buffer.alloc(0));
    this.due = false;
  }

  committed(): void {}

  withdraw(): void {
    unexpected();
  }
}

const unexpected = (): void => assert.fail('nothing fails here');

function committerOf(records: Records): Committer {
  const events = { commitEnded: () => {}, outOfSpace: unexpected, fatal: unexpected };
  const committer = new Committer(new MemoryKv(), events, unexpected);
  committer.join(records);
  return committer;
}

describe('sealing', () => {
  it('gathers nothing while nothing is due', () => {
    const records = new Records();
    const committer = committerOf(records);
    committer.seal();
    records.pending = 1;
    committer.seal();
    assert.equal(records.gathered, 0);
    records.due = true;
    committer.seal();
    assert.equal(records.gathered, 1);
  });

  it('gathers changes that are not due if a caller waits for them', async () => {
    const records = new Records();
    const committer = committerOf(records);
    records.pending = 1;
    const committed = new Promise((resolve) => committer.whenCommitted(resolve));
    committer.seal();
    assert.equal(records.gathered, 1);
    assert.equal(await committed, null);
  });

  it('gathers changes that are not due when the store closes', async () => {
    const records = new Records();
    const committer = committerOf(records);
    records.pending = 1;
    await committer.close();
    assert.equal(records.pending, 0);
  });
});
