// Compares a queue with priorities, TTLs, a maximum length and dead letters with a naive model, a list. Messages are
// published, alone or in transactions, taken, returned, rejected, read back late or left to expire. No consumer gets an
// expired message, messages leave by priority and age, and each message ends in exactly one place.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type FieldTable, textField } from '../../../src/core/message/field-table.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import type { QueueEntry } from '../../../src/core/queue/queue-entry.ts';
import { Transaction } from '../../../src/core/session/transaction.ts';
import { FakeStore } from '../../support/fake-store.ts';
import { checkQueues } from '../../support/queue-check.ts';
import { Core, message, turns } from '../core.ts';

type Command = readonly [
  kind: 'publish' | 'transact' | 'get' | 'ack' | 'reject' | 'requeue' | 'pass' | 'purge' | 'commit' | 'load' | 'turn',
  number: number,
  flag: boolean,
];

interface Setting {
  readonly durable: boolean;
  readonly late: boolean;
  readonly windowEntries: number;
  readonly maxPriority: number;
  readonly ttlMs: number | null;
  readonly maxLength: number | null;
  /** With transactions no message expires: whether a message expires could depend on an open transaction before it. */
  readonly transactions: boolean;
}

interface Sent {
  readonly id: number;
  readonly lane: number;
  readonly expiresAt: number;
}

const LIVES = [Number.POSITIVE_INFINITY, 0, 5, 20, 100] as const;

class Model {
  private readonly setting: Setting;
  private readonly core: Core;
  private readonly queue: Queue;
  private readonly dead: Queue;
  private ready: Sent[] = [];
  private readonly out: { readonly entry: QueueEntry; readonly sent: Sent }[] = [];
  private readonly died = new Set<number>();
  private published = 0;
  /** Messages of open transactions. */
  private readonly uncommitted = new Set<Sent>();
  /** Whether a message has expired that the queue may not have removed yet. */
  private behind = false;

  constructor(setting: Setting) {
    this.setting = setting;
    const store = new FakeStore({ automatic: false, late: setting.late, entriesPerLoad: 3 });
    this.core = new Core(store, { queueWindowEntries: setting.windowEntries });
    const args: FieldTable = [
      textField('x-dead-letter-exchange', ''),
      textField('x-dead-letter-routing-key', 'dead'),
      ...integer('x-max-priority', setting.maxPriority),
      ...integer('x-message-ttl', setting.ttlMs),
      ...integer('x-max-length', setting.maxLength),
    ];
    this.dead = this.core.queue('dead');
    this.queue = this.core.queue('q', { args, durable: setting.durable });
  }

  async run([kind, number, flag]: Command): Promise<void> {
    const { core, queue } = this;
    core.turn.begin();
    switch (kind) {
      case 'publish':
        this.publish(number, flag);
        break;
      case 'transact':
        if (this.setting.transactions) this.transact(number, 1 + (number % 4));
        break;
      case 'get':
        // A message taken ahead of an open transaction stays ahead of it when it is returned, which the model does not
        // know.
        if (this.overtakes()) await this.quiet();
        this.get(flag);
        break;
      case 'ack':
        for (const { entry } of this.out.splice(0, flag ? 1 : number)) queue.acknowledge(entry);
        break;
      case 'reject':
        for (const { entry, sent } of this.out.splice(number % 3, 1)) {
          this.died.add(sent.id);
          queue.reject(entry);
        }
        break;
      case 'requeue': {
        // The result depends on whether the queue has already removed expired messages, so the model lets it finish
        // first.
        if (this.behind) await this.quiet();
        const back = this.out.splice(flag ? 0 : this.out.length >> 1, number);
        this.ready.push(...back.map(({ sent }) => sent));
        queue.requeue(back.map(({ entry }) => entry));
        this.trim();
        break;
      }
      case 'pass':
        await core.pass(number * 4);
        this.expire();
        break;
      case 'purge':
        // A purge also drops expired messages that are still in the queue, so they are removed first.
        await this.quiet();
        assert.equal(queue.purge(), this.ready.length);
        this.ready = [];
        break;
      case 'commit':
        core.store.commit();
        break;
      case 'load':
        core.store.answerLoads();
        break;
      case 'turn':
        await turns();
        break;
      default:
        kind satisfies never;
    }
  }

  check(): void {
    checkQueues(this.core.host.queues.values(), this.core.memory);
  }

  /** Ends all pending work; then queue and model must agree. */
  async quiet(): Promise<void> {
    const { core } = this;
    for (let round = 0; round < 400; round++) {
      await core.pass(0);
      if (core.store.pending.length === 0 && core.store.inFlight.length === 0 && core.store.loadsWaiting === 0) break;
      core.store.commit();
      core.store.answerLoads();
    }
    this.expire();
    this.behind = false;
    assert.equal(this.queue.readyCount, this.ready.length, 'ready');
    assert.equal(this.queue.unackedCount, this.out.length + this.uncommitted.size, 'out');
    assert.equal(this.dead.readyCount, this.died.size, 'dead');
  }

  async empty(): Promise<void> {
    for (const { entry } of this.out.splice(0)) this.queue.acknowledge(entry);
    await this.quiet();
    while (this.ready.length > 0) {
      const before = this.ready.length;
      this.get(true);
      if (this.ready.length === before) await this.quiet();
    }
    await this.quiet();
    const found: number[] = [];
    while (found.length < this.died.size) {
      const entry = this.dead.takeNext(true);
      if (entry === null) await this.quietDead(found.length);
      else found.push(Number(entry.message.bodyBytes().toString()));
    }
    assert.equal(this.dead.takeNext(true), null);
    assert.deepEqual(
      found.sort((a, b) => a - b),
      [...this.died].sort((a, b) => a - b),
    );
    const { store, memory } = this.core;
    for (let i = 0; i < 5; i++) {
      store.commit();
      await turns();
    }
    assert.equal(memory.held, 0);
    for (const entries of store.committed.values()) assert.equal(entries.size, 0);
  }

  private async quietDead(taken: number): Promise<void> {
    this.core.store.commit();
    this.core.store.answerLoads();
    await turns();
    assert.ok(this.dead.readyCount === this.died.size - taken);
  }

  private publish(number: number, persistent: boolean): void {
    const sent = this.sent(number);
    const { id, priority, life } = sent;
    this.core.publish({ key: 'q', body: `${id}`, persistent, priority, expirationMs: lifeOf(life) });
    this.ready.push(sent);
    this.trim();
    this.expire();
  }

  /** Commits several messages in one transaction: they become ready together, the durable ones after their commit. */
  private transact(number: number, count: number): void {
    const { core, queue, setting } = this;
    const sent = Array.from({ length: count }, (_, i) => this.sent(number + i));
    const publishes = sent.map(({ id, life, priority }) => ({
      message: message({ key: 'q', body: `${id}`, persistent: setting.durable, priority, expirationMs: lifeOf(life) }),
      targets: queue.selfRoute,
    }));
    for (const each of sent) this.uncommitted.add(each);
    const committed = new Transaction({ store: core.store, turn: core.turn, meters: core.meters }, core.host).commit(
      publishes,
      [],
    );
    committed.then(() => {
      for (const each of sent) this.uncommitted.delete(each);
      this.ready.push(...sent);
      this.trim();
      this.expire();
    });
  }

  /** Whether an open transaction was published before the first ready message. */
  private overtakes(): boolean {
    const [first] = this.ready;
    return first !== undefined && [...this.uncommitted].some(({ id, lane }) => lane === first.lane && id < first.id);
  }

  private sent(number: number): Sent & { readonly life: number; readonly priority: number } {
    const { core, setting } = this;
    const life = setting.transactions ? Number.POSITIVE_INFINITY : LIVES[number % LIVES.length]!;
    const priority = number % 7;
    const expiresAt = core.time + Math.min(life, setting.ttlMs ?? Number.POSITIVE_INFINITY);
    return { id: ++this.published, lane: Math.min(priority, setting.maxPriority), expiresAt, life, priority };
  }

  private get(noAck: boolean): void {
    const entry = this.queue.takeNext(noAck);
    this.expire();
    if (entry === null) {
      assert.ok(this.ready.length === 0 || this.queue.whenReadBack() !== null, 'it looks empty and is not');
      return;
    }
    const sent = this.ready.shift()!;
    assert.equal(Number(entry.message.bodyBytes().toString()), sent.id, 'the first of the highest priority');
    assert.ok(sent.expiresAt > this.core.time, 'nothing that has expired');
    if (!noAck) this.out.push({ entry, sent });
    this.expire();
  }

  /** Removes expired messages from the head of each priority. */
  private expire(): void {
    this.sort();
    const blocked = new Set<number>();
    this.ready = this.ready.filter(({ id, lane, expiresAt }) => {
      if (!blocked.has(lane) && expiresAt <= this.core.time) {
        this.died.add(id);
        this.behind = true;
        return false;
      }
      blocked.add(lane);
      return true;
    });
  }

  /** Removes the oldest messages above the maximum length. */
  private trim(): void {
    const { maxLength } = this.setting;
    if (maxLength === null) return;
    this.expire();
    while (this.ready.length > maxLength) this.died.add(this.ready.shift()!.id);
  }

  private sort(): void {
    this.ready.sort((a, b) => b.lane - a.lane || a.id - b.id);
  }
}

function lifeOf(life: number): number {
  return life === Number.POSITIVE_INFINITY ? -1 : life;
}

function integer(name: string, value: number | null): FieldTable {
  return value === null || value === 0 ? [] : [{ name, value: { type: 'I', value } }];
}

const command: fc.Arbitrary<Command> = fc.tuple(
  fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom('publish' as const, 'publish' as const, 'transact' as const) },
    { weight: 2, arbitrary: fc.constantFrom('get' as const, 'turn' as const, 'commit' as const, 'pass' as const) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('ack' as const, 'reject' as const, 'requeue' as const, 'load' as const),
    },
    { weight: 1, arbitrary: fc.constantFrom('purge' as const, 'turn' as const, 'turn' as const, 'load' as const) },
  ),
  fc.nat(34),
  fc.boolean(),
);

/**
 * A maximum length is combined with one priority only: with several, which one is trimmed depends on expired messages
 * that the queue has not removed yet.
 */
const setting: fc.Arbitrary<Setting> = fc
  .record({
    durable: fc.boolean(),
    late: fc.boolean(),
    windowEntries: fc.integer({ min: 1, max: 6 }),
    maxPriority: fc.constantFrom(0, 0, 1, 5),
    ttlMs: fc.constantFrom(null, null, 10, 50),
    maxLength: fc.constantFrom(null, null, 1, 4),
    transactions: fc.boolean(),
  })
  .map((made) => (made.transactions ? { ...made, ttlMs: null, maxLength: null } : made))
  .map((made) => (made.maxPriority > 0 ? { ...made, maxLength: null } : made));

/** The head of an over-long queue is taken right after it was read back: the oldest messages must have been dropped. */
const OVERLONG_READ_BACK: [Setting, Command[]] = [
  { durable: false, late: true, windowEntries: 1, maxPriority: 0, ttlMs: null, maxLength: 4, transactions: false },
  [
    ['publish', 0, false],
    ['publish', 0, false],
    ['turn', 0, false],
    ['commit', 0, false],
    ['publish', 0, false],
    ['publish', 0, false],
    ['publish', 0, false],
    ['publish', 0, false],
    ['load', 0, false],
    ['get', 0, false],
  ],
];

describe('a queue with expiring messages', () => {
  it('behaves as a list', async () => {
    await fc.assert(
      fc.asyncProperty(setting, fc.array(command, { maxLength: 60, size: 'max' }), async (made, commands) => {
        const model = new Model(made);
        for (const each of commands) {
          await model.run(each);
          model.check();
        }
        await model.quiet();
        await model.empty();
      }),
      { numRuns: 1000, examples: [OVERLONG_READ_BACK] },
    );
  });
});
