// When the broker is short of memory, and what it does then.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SILENT } from '../src/core/logger.ts';
import { MemoryBudget } from '../src/core/queue/memory-budget.ts';
import { ProcessMemory } from '../src/process-memory.ts';

const MIB = 1024 * 1024;
const LIMIT = 1000 * MIB;

/** A process whose memory the test sets. Garbage goes when everything is collected. */
class World {
  readonly budget = new MemoryBudget(256 * MIB);
  live = 100 * MIB;
  garbage = 0;
  external = 0;
  collections = 0;
  closed = 0;
  turns = 0;
  private readonly memory: ProcessMemory;
  private now = 0;

  constructor(canCollect = true) {
    const collect = (): void => {
      this.collections++;
      this.garbage = 0;
    };
    this.memory = new ProcessMemory({
      budget: this.budget,
      ledger: { bytes: 0, closeLargest: () => ++this.closed },
      log: SILENT,
      highBytes: 3000 * MIB,
      figures: () => ({ heap: this.live + this.garbage, heapLimit: LIMIT, external: this.external }),
      collectAll: canCollect ? collect : null,
      begin: () => this.turns++,
    });
  }

  ticks(count: number): void {
    for (let i = 0; i < count; i++) this.memory.tick(this.now++);
  }
}

describe('the memory of the process', () => {
  it('is short when what is left after a collection is above three quarters of the heap', () => {
    const world = new World();
    world.live = 700 * MIB;
    world.garbage = 200 * MIB;
    world.ticks(10);
    assert.equal(world.budget.processLow, false, 'garbage is no shortage');
    assert.equal(world.collections, 1);
    world.live = 760 * MIB;
    world.ticks(100);
    assert.equal(world.budget.processLow, true);
    assert.equal(world.budget.share, 0, 'queues keep nothing more in memory');
    assert.equal(world.turns, 1, 'publishers are held in a turn');
    assert.equal(world.closed, 0);
  });

  it('is short of buffers, too', () => {
    const world = new World();
    world.external = 2800 * MIB;
    world.ticks(10);
    assert.equal(world.budget.processLow, false);
    world.external = 2950 * MIB;
    world.ticks(100);
    assert.equal(world.budget.processLow, true);
  });

  it('is no longer short below a lower mark', () => {
    const world = new World();
    world.live = 800 * MIB;
    world.ticks(10);
    assert.equal(world.budget.processLow, true);
    world.live = 700 * MIB;
    world.ticks(100);
    assert.equal(world.budget.processLow, true);
    world.live = 600 * MIB;
    world.ticks(100);
    assert.equal(world.budget.processLow, false);
    assert.equal(world.turns, 2);
  });

  it('closes the largest connection while it is nearly used up', () => {
    const world = new World();
    world.live = 950 * MIB;
    world.ticks(100);
    assert.ok(world.closed > 0);
    const { closed } = world;
    world.live = 500 * MIB;
    world.ticks(100);
    assert.equal(world.closed, closed);
  });

  it('is not believed to be short before nine tenths where nothing can be collected', () => {
    const world = new World(false);
    world.live = 850 * MIB;
    world.ticks(100);
    assert.equal(world.budget.processLow, false);
    world.live = 950 * MIB;
    world.ticks(100);
    assert.equal(world.budget.processLow, true);
  });
});
