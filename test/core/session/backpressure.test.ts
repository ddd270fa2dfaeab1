// When and why publishers are throttled; each bound has a high and a low mark.

import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { InvariantError } from '../../../src/core/invariant.ts';
import { DEFAULT_LIMITS } from '../../../src/core/limits.ts';
import { type Meters, newMeters } from '../../../src/core/ports/meters.ts';
import { MemoryBudget } from '../../../src/core/queue/memory-budget.ts';
import { Backpressure } from '../../../src/core/session/backpressure.ts';
import {
  type ClientConnection,
  ClientConnections,
  type ConnectionInfo,
} from '../../../src/core/session/client-connection.ts';

const LIMITS = {
  ...DEFAULT_LIMITS,
  uncommittedHighBytes: 100,
  uncommittedLowBytes: 50,
  memoryHighBytes: 1000,
  memoryLowBytes: 500,
};

class Connection implements ClientConnection {
  readonly id: number;
  readonly told: string[] = [];

  constructor(id: number) {
    this.id = id;
  }

  info(): ConnectionInfo {
    throw new Error('nobody asks');
  }

  block(reason: string, alarm: boolean): void {
    this.told.push(alarm ? `alarm ${reason}` : 'flow');
  }

  unblock(): void {
    this.told.push('go');
  }

  shutdown(): void {}
}

let store: { uncommittedBytes: number };
let memory: MemoryBudget;
let meters: Meters;
let connections: ClientConnections;
let connection: Connection;
let backpressure: Backpressure;

beforeEach(() => {
  store = { uncommittedBytes: 0 };
  memory = new MemoryBudget(LIMITS.memoryHighBytes);
  meters = newMeters();
  connections = new ClientConnections();
  connection = new Connection(connections.nextId());
  connections.add(connection);
  backpressure = new Backpressure(LIMITS, connections, memory, store, meters);
});

function at(uncommitted: number, held: number): void {
  store.uncommittedBytes = uncommitted;
  memory.held = held;
  backpressure.update();
}

describe('backpressure', () => {
  it('by uncommitted bytes is flow control, between two marks', () => {
    for (const bytes of [100, 101, 60, 51, 100, 50, 51, 100, 101]) at(bytes, 0);
    assert.deepEqual(connection.told, ['flow', 'go', 'flow']);
    assert.equal(meters.publishersBlocked, 2);
  });

  it('asserts that its sums are not negative', () => {
    assert.throws(() => at(0, -1), InvariantError);
    assert.throws(() => at(-1, 0), InvariantError);
  });

  it('by memory is an alarm, between two marks', () => {
    for (const bytes of [1000, 1001, 501, 1000, 500, 1000]) at(0, bytes);
    assert.deepEqual(connection.told, ['alarm low on memory', 'go']);
  });

  it('changes from flow control to an alarm and back, and counts once', () => {
    at(101, 0);
    at(101, 1001);
    backpressure.fullDisk(true);
    backpressure.fullDisk(false);
    at(101, 500);
    at(0, 0);
    assert.deepEqual(connection.told, [
      'flow',
      'alarm low on memory',
      'alarm low on disk',
      'alarm low on memory',
      'flow',
      'go',
    ]);
    assert.equal(meters.publishersBlocked, 1);
  });

  it('throttles publishers that join meanwhile, and drops those that leave', () => {
    at(101, 0);
    const late = new Connection(connections.nextId());
    connections.add(late);
    assert.deepEqual(late.told, ['flow']);
    connections.remove(late);
    at(0, 0);
    assert.deepEqual(late.told, ['flow']);
    assert.deepEqual([...connections], [connection]);
    assert.equal(connections.size, 1);
  });
});

describe('the memory budget', () => {
  it('leaves windows at full size until half of it is used, and at zero well below the low mark', () => {
    const shares = [0, 500, 562.5, 625, 1000].map((held) => {
      memory.held = held;
      return memory.share;
    });
    assert.deepEqual(shares, [1, 1, 0.5, 0, 0]);
  });
});
