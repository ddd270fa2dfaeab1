// Who is closed when connections hold too much: the connection itself, or of those that share a bound the largest.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type MemoryAccount, MemoryLedger, type MemoryLimit } from '../../../src/core/session/memory-ledger.ts';

const KIB = 1024;
/** What a connection counts for itself after its login. */
const OWN = 10 * KIB;
const LIMITS = {
  connectionBytes: 1000 * KIB,
  userBytes: 2000 * KIB,
  unauthenticatedBytes: 500 * KIB,
  clientBytes: 4000 * KIB,
  unauthenticatedPerAddress: 100,
};

/** A connection that releases everything when it is closed. */
class Connection {
  readonly account: MemoryAccount;
  closedBy: MemoryLimit | null = null;

  constructor(ledger: MemoryLedger, user: string | null = null, address = '192.0.2.1') {
    this.account = ledger.open(this, address);
    if (user !== null) this.account.loggedIn(user);
  }

  exceeded(limit: MemoryLimit): void {
    assert.equal(this.closedBy, null, 'it is closed once');
    this.closedBy = limit;
    // What it says afterwards counts no more.
    this.account.update(0);
    this.account.close();
  }
}

describe('the memory ledger', () => {
  it('counts what connections state, by user and in all', () => {
    const ledger = new MemoryLedger(LIMITS);
    const [stranger, a, b, c] = [null, 'ann', 'ann', 'bob'].map((user) => new Connection(ledger, user));
    stranger!.account.update(5);
    a!.account.update(100);
    b!.account.update(50);
    c!.account.update(7);
    a!.account.update(20);
    assert.equal(ledger.unauthenticatedBytes, 5);
    assert.equal(ledger.userBytes('ann'), 70 + 2 * OWN);
    assert.equal(ledger.userBytes('bob'), 7 + OWN);
    assert.equal(ledger.bytes, 82 + 3 * OWN);
    for (const connection of [stranger, a, b, c]) connection!.account.close();
    assert.deepEqual([ledger.bytes, ledger.unauthenticatedBytes, ledger.userBytes('ann')], [0, 0, 0]);
  });

  it('moves what a connection holds to its user when it logs in', () => {
    const ledger = new MemoryLedger(LIMITS);
    const connection = new Connection(ledger);
    connection.account.update(300);
    connection.account.loggedIn('ann');
    assert.equal(ledger.unauthenticatedBytes, 0);
    assert.equal(ledger.userBytes('ann'), 300 + OWN);
    connection.account.update(0);
    connection.account.close();
    assert.equal(ledger.bytes, 0);
  });

  it('closes a connection above its own bound, and no other', () => {
    const ledger = new MemoryLedger(LIMITS);
    const [large, small] = [new Connection(ledger, 'ann'), new Connection(ledger, 'ann')];
    small.account.update(900 * KIB);
    large.account.update(1000 * KIB);
    assert.equal(large.closedBy, null);
    large.account.update(1000 * KIB + 1);
    assert.equal(large.closedBy, 'limits.connectionBytes');
    assert.equal(small.closedBy, null);
  });

  it('closes those of a user that hold the most, until an eighth is free', () => {
    const ledger = new MemoryLedger(LIMITS);
    const other = new Connection(ledger, 'bob');
    other.account.update(999 * KIB);
    const sizes = [900, 50, 500, 400, 140];
    const connections = sizes.map(() => new Connection(ledger, 'ann'));
    for (const [i, size] of sizes.entries()) connections[i]!.account.update(size * KIB);
    assert.deepEqual(
      connections.map(({ closedBy }) => closedBy),
      ['limits.userBytes', null, null, null, null],
      'the one that exceeds the bound is small, and stays',
    );
    assert.equal(other.closedBy, null);
    assert.ok(ledger.userBytes('ann') <= LIMITS.userBytes * (7 / 8));
  });

  it('closes strangers that hold the most, and lets small ones log in', () => {
    const ledger = new MemoryLedger(LIMITS);
    const user = new Connection(ledger, 'ann');
    user.account.update(900 * KIB);
    const hostile = Array.from({ length: 60 }, () => new Connection(ledger));
    const honest = new Connection(ledger);
    honest.account.update(KIB);
    for (const connection of hostile) {
      connection.account.update(20 * KIB);
      assert.ok(ledger.unauthenticatedBytes <= LIMITS.unauthenticatedBytes);
    }
    assert.ok(hostile.some(({ closedBy }) => closedBy === 'limits.unauthenticatedBytes'));
    assert.equal(honest.closedBy, null);
    assert.equal(user.closedBy, null);
  });

  it('closes the oldest stranger of an address that has too many, and nobody of another', () => {
    const ledger = new MemoryLedger(LIMITS);
    const other = new Connection(ledger, null, '192.0.2.2');
    const user = new Connection(ledger, 'ann');
    const strangers = Array.from({ length: 103 }, () => new Connection(ledger));
    const closed = strangers.filter(({ closedBy }) => closedBy === 'limits.unauthenticatedPerAddress');
    assert.deepEqual(closed, strangers.slice(0, 3));
    strangers[50]!.account.loggedIn('bob');
    strangers[51]!.account.close();
    new Connection(ledger);
    new Connection(ledger);
    assert.equal(strangers[3]!.closedBy, null, 'those that logged in or ended made room');
    assert.deepEqual([other.closedBy, user.closedBy], [null, null]);
  });

  it('closes the largest of all when all hold too much', () => {
    const ledger = new MemoryLedger(LIMITS);
    const connections = Array.from({ length: 6 }, (_, i) => new Connection(ledger, `user-${i}`));
    for (const [i, connection] of connections.entries()) connection.account.update((600 + i * 50) * KIB);
    const closed = connections.map(({ closedBy }) => closedBy !== null);
    assert.deepEqual(closed, [false, false, false, false, true, true], 'until an eighth is free');
    assert.ok(ledger.bytes <= LIMITS.clientBytes * (7 / 8));
  });

  it('closes the largest when the process is short of memory', () => {
    const ledger = new MemoryLedger(LIMITS);
    assert.equal(ledger.closeLargest(), 0);
    const [small, large] = [new Connection(ledger, 'ann'), new Connection(ledger, 'bob')];
    small.account.update(100);
    large.account.update(200);
    assert.equal(ledger.closeLargest(), 200 + OWN);
    assert.deepEqual([small.closedBy, large.closedBy], [null, 'limits.clientBytes']);
  });
});
