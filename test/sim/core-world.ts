// One run of the core's simulation: virtual host, queues of every kind and their dead letters over the real store and a
// faulty disk (support/faulty-kv.ts), with consumers, transactions, full disks and crashes. A model knows the state of
// each message, but not its queue. Dead letters move from queue to queue and end in one that keeps them. It checks that
// after any sequence of events
//
//   - a message that was confirmed (or whose transaction was) and not acknowledged exists exactly once after every crash
//   - no consumer gets a message that another holds unacknowledged, or that was acknowledged since the last crash
//   - no message of a failed transaction is ever visible, and none of a pending one
//   - at the end all memory is released

import assert from 'node:assert/strict';
import { amqpRewriter } from '../../protocols/amqp/foreign-properties.ts';
import { amqpProperties, encodeProperties } from '../../protocols/amqp/properties.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { SILENT } from '../../src/core/logger.ts';
import { type FieldTable, textField } from '../../src/core/message/field-table.ts';
import { Message } from '../../src/core/message/message.ts';
import { NO_CODEC, NO_PROPERTIES } from '../../src/core/message/properties.ts';
import { newMeters } from '../../src/core/ports/meters.ts';
import { Consumer, type DeliverySink } from '../../src/core/queue/consumer.ts';
import { MemoryBudget } from '../../src/core/queue/memory-budget.ts';
import type { Queue } from '../../src/core/queue/queue.ts';
import type { QueueEntry } from '../../src/core/queue/queue-entry.ts';
import { type Settlement, Transaction, TransactionFailed } from '../../src/core/session/transaction.ts';
import { ConfirmRing } from '../../src/core/turn/confirms.ts';
import { Turn } from '../../src/core/turn/turn.ts';
import { VirtualHost } from '../../src/core/vhost/virtual-host.ts';
import type { KvQueueStore } from '../../src/store/queues/queue-store.ts';
import { consumeOptions, turns } from '../core/core.ts';
import { Opened } from '../store/harness.ts';
import { FaultyKv } from '../support/faulty-kv.ts';
import { checkQueues } from '../support/queue-check.ts';
import type { Random } from './random.ts';

const integer = (name: string, value: number): FieldTable => [{ name, value: { type: 'I', value } }];
const deadTo = (queue: string): FieldTable => [
  textField('x-dead-letter-exchange', ''),
  textField('x-dead-letter-routing-key', queue),
];

const QUEUES: Readonly<Record<string, FieldTable>> = {
  plain: [],
  dead: [],
  lanes: [...deadTo('dead'), ...integer('x-max-priority', 3)],
  brief: [...deadTo('dead'), ...integer('x-message-ttl', 30)],
  chain: [...deadTo('brief'), ...integer('x-message-ttl', 20)],
  short: [...deadTo('dead'), ...integer('x-max-length', 3)],
  tight: [
    ...deadTo('brief'),
    ...integer('x-max-priority', 2),
    ...integer('x-max-length', 4),
    ...integer('x-message-ttl', 50),
  ],
  refusing: [...deadTo('dead'), ...integer('x-max-length', 2), textField('x-overflow', 'reject-publish-dlx')],
  quorum: [...deadTo('plain'), textField('x-queue-type', 'quorum'), ...integer('x-delivery-limit', 2)],
};
const NAMES = Object.keys(QUEUES);
/** Queues whose messages may have an expiration: they have a dead letter queue, so that it is not lost. */
const EXPIRING = NAMES.filter((name) => QUEUES[name]!.length > 0);

/** Small limits, so that queues page, shrink their windows and release unacknowledged messages from memory. */
const LIMITS = { ...DEFAULT_LIMITS, queueWindowEntries: 3, memoryHighBytes: 24_000 };
const RECLAIM = { dueEntries: 3, dueBytes: 5_000, sliceKeys: 2 };
const CODECS = new Map([NO_CODEC, amqpProperties].map((codec) => [codec.id, codec]));

interface Sent {
  readonly id: number;
  /** The publish, or its transaction, was confirmed. */
  confirmed: boolean;
  /** Its transaction is not committed yet. */
  hidden: boolean;
  /** Its transaction failed: it must never be delivered. */
  failed: boolean;
  /** Acknowledged or purged since the last crash; `settledBefore`: before it. */
  settled: boolean;
  /** A pending transaction acknowledges it; if that fails, it is delivered again. */
  settling: boolean;
  settledBefore: boolean;
}

interface Out {
  readonly entry: QueueEntry;
  readonly sent: Sent;
}

/** Breaks a guarantee of the store or the core, to show that the simulation detects it. */
export type Sabotage = (store: KvQueueStore) => void;

/** The core between two crashes, over one opening of the disk. */
class Life {
  readonly opened: Opened;
  readonly turn: Turn;
  readonly memory: MemoryBudget;
  readonly host: VirtualHost;
  readonly meters = newMeters();
  /** Violations found within a turn; the simulation reports them after each step. */
  readonly violations: string[] = [];
  over = false;

  constructor(kv: FaultyKv, clock: { readonly time: number }, sabotage: Sabotage) {
    this.opened = new Opened(kv, RECLAIM, { codecs: CODECS });
    sabotage(this.opened.queues);
    this.turn = new Turn({ now: () => clock.time }, () => () => {});
    this.turn.sealWith(() => this.over || this.opened.store.seal());
    this.memory = new MemoryBudget(LIMITS.memoryHighBytes);
    const { queues: store, definitions, retained } = this.opened.store;
    const { turn, memory, meters } = this;
    this.host = new VirtualHost('/', {
      store,
      definitions,
      retained,
      retainedExchange: 'amq.topic',
      turn,
      memory,
      meters,
      limits: LIMITS,
      rewriter: amqpRewriter,
      log: { ...SILENT, error: (_fields, text) => this.violations.push(text) },
    });
    this.host.recover();
  }

  queue(name: string): Queue {
    return this.host.queues.get(name)!;
  }
}

export class CoreWorld {
  time = 0;
  private readonly random: Random;
  private readonly sabotage: Sabotage;
  private kv: FaultyKv;
  private life: Life;
  private readonly sent: Map<number, Sent>;
  private out: Out[];

  constructor(random: Random, sabotage: Sabotage = () => {}) {
    this.random = random;
    this.sabotage = sabotage;
    this.kv = new FaultyKv();
    this.sent = new Map();
    this.out = [];
    this.life = new Life(this.kv, this, this.sabotage);
    for (const name of NAMES) {
      this.life.host.declareQueue({ name, durable: true, autoDelete: false, args: QUEUES[name]!, owner: null });
    }
  }

  async run(steps: number): Promise<void> {
    await this.life.opened.store.flush();
    this.begin();
    for (let step = 0; step < steps; step++) {
      this.life.turn.begin();
      await this.step();
      this.look();
    }
    await this.check();
    await this.end();
  }

  private look(): void {
    assert.deepEqual(this.life.opened.fatal, []);
    assert.deepEqual(this.life.violations, []);
    checkQueues(this.life.host.queues.values(), this.life.memory);
  }

  private async step(): Promise<void> {
    const { random } = this;
    const roll = random.below(100);
    if (roll < 28) this.publish();
    else if (roll < 36) this.transact();
    else if (roll < 50) this.get();
    else if (roll < 57) this.acknowledge();
    else if (roll < 62) this.reject();
    else if (roll < 67) this.requeue();
    else if (roll < 68) this.purge();
    else if (roll < 73) await this.pass(random.below(25));
    else if (roll < 83) await turns(1);
    else if (roll < 94) await this.endCommit();
    else if (roll < 97) this.toggleSpace();
    else if (roll < 99) await this.crash();
    else await this.check();
  }

  // Client actions.

  private publish(): void {
    const { life } = this;
    const [sent, message, queue] = this.message(false);
    const ring = new ConfirmRing(
      {
        confirmed: (_ring, _from, _to, ok) => {
          if (ok && !life.over) sent.confirmed = true;
        },
      },
      life.turn,
    );
    const slot = ring.open();
    queue.accept(message, queue.selfRoute[0]!, ring, slot);
    ring.settle(slot);
  }

  private transact(): void {
    const { life, random } = this;
    const publishes = Array.from({ length: random.below(5) }, () => this.message(true));
    const taken = this.take(random.below(4));
    const settlements: Settlement[] = taken.map(({ entry, sent }) => {
      const outcome = random.pick(['acknowledged', 'acknowledged', 'rejected', 'requeued'] as const)!;
      if (outcome === 'acknowledged' || (outcome === 'rejected' && entry.queue.deadLetters === null))
        sent.settling = true;
      return { entry, outcome };
    });
    const { queues: store } = life.opened.store;
    const { turn, meters } = life;
    const transaction = new Transaction({ store, turn, meters }, life.host);
    const { confirmed } = transaction;
    transaction.confirmed = (ring, from, to, ok) => {
      // The messages are visible from here on; the publisher is told a moment later.
      if (!life.over)
        for (const [sent] of publishes) Object.assign(sent, { hidden: false, confirmed: ok, failed: !ok });
      if (!life.over) {
        for (const { sent } of taken) {
          sent.settled ||= ok && sent.settling;
          sent.settling = false;
        }
      }
      confirmed.call(transaction, ring, from, to, ok);
    };
    const targets = publishes.map(([, message, queue]) => ({ message, targets: queue.selfRoute }));
    transaction.commit(targets, settlements).catch((error) => {
      assert.ok(error instanceof TransactionFailed);
      if (!life.over) for (const [sent] of publishes) Object.assign(sent, { hidden: false, failed: true });
    });
  }

  private message(hidden: boolean): [Sent, Message, Queue] {
    const { random } = this;
    const sent: Sent = {
      id: this.sent.size,
      confirmed: false,
      hidden,
      failed: false,
      settled: false,
      settling: false,
      settledBefore: false,
    };
    this.sent.set(sent.id, sent);
    const name = random.pick(NAMES)!;
    const expirationMs = EXPIRING.includes(name) && random.chance(0.3) ? random.below(40) : -1;
    const body = Buffer.from(`${sent.id}:${'x'.repeat(random.pick([0, 10, 300, 5000])!)}`);
    const priority = random.below(5);
    const expiration = expirationMs === -1 ? null : `${expirationMs}`;
    const native = encodeProperties({ ...NO_PROPERTIES, deliveryMode: 2, priority, expiration });
    const message = new Message(
      '',
      name,
      body,
      0,
      body.length,
      native,
      0,
      native.length,
      amqpProperties,
      true,
      priority,
      expirationMs,
      this.time,
    );
    return [sent, message, this.life.queue(name)];
  }

  private get(): void {
    const queue = this.life.queue(this.random.pick(NAMES)!);
    const entry = queue.takeNext(false);
    if (entry !== null) this.took(entry, entry.message);
  }

  private took(entry: QueueEntry, message: Message): void {
    const { violations } = this.life;
    const sent = this.sentAs(message);
    if (sent === null) return;
    if (sent.settled) violations.push(`message ${sent.id} comes though it was settled`);
    if (sent.failed) violations.push(`message ${sent.id} comes though its transaction failed`);
    if (sent.hidden) violations.push(`message ${sent.id} comes before its transaction succeeded`);
    if (this.out.some((other) => other.sent === sent)) violations.push(`message ${sent.id} comes twice`);
    this.out.push({ entry, sent });
  }

  private sentAs(message: Message): Sent | null {
    const sent = this.sent.get(Number.parseInt(message.bodyBytes().toString(), 10));
    if (sent === undefined) this.life.violations.push('a message comes without its bytes');
    return sent ?? null;
  }

  private take(count: number): Out[] {
    return this.out.splice(this.random.below(this.out.length + 1), count);
  }

  private acknowledge(): void {
    for (const { entry, sent } of this.take(1 + this.random.below(4))) {
      sent.settled = true;
      entry.queue.acknowledge(entry);
    }
  }

  private reject(): void {
    for (const { entry, sent } of this.take(1 + this.random.below(2))) {
      if (entry.queue.deadLetters === null) sent.settled = true;
      entry.queue.reject(entry);
    }
  }

  private requeue(): void {
    const byQueue = Map.groupBy(this.take(this.random.below(6)), ({ entry }) => entry.queue);
    for (const [queue, taken] of byQueue) queue.requeue(taken.map(({ entry }) => entry));
  }

  /**
   * Takes the readable messages of the dead letter queue, so that the model knows which ones go; then purges an empty
   * queue.
   */
  private purge(): void {
    const queue = this.life.queue('dead');
    for (let entry = queue.takeNext(true); entry !== null; entry = queue.takeNext(true)) {
      const sent = this.sentAs(entry.message);
      if (sent !== null) sent.settled = true;
    }
    if (queue.readyCount === 0) queue.purge();
  }

  private async pass(ms: number): Promise<void> {
    await turns(1);
    this.time += ms;
    this.life.turn.timers.fire();
  }

  // Disk actions.

  private async endCommit(): Promise<void> {
    if (this.kv.waiting) this.kv.release();
    await turns(1);
  }

  private toggleSpace(): void {
    this.kv.full = !this.kv.full && this.random.chance(0.5);
    this.kv.fullForAll = this.random.chance(0.3);
    this.kv.cold = this.random.chance(0.3);
    this.life.opened.elapse();
  }

  private async quiesce(): Promise<void> {
    this.kv.full = false;
    for (let idle = 0, commits = -1; idle < 4; ) {
      this.life.turn.timers.fire();
      this.life.opened.elapse();
      await turns(3);
      if (this.kv.waiting) this.kv.release();
      await turns(2);
      idle = this.kv.commits === commits ? idle + 1 : 0;
      ({ commits } = this.kv);
    }
  }

  private async crash(): Promise<void> {
    this.look();
    this.life.over = true;
    this.kv = new FaultyKv(this.kv.crash(this.random.chance(0.5)));
    this.out = [];
    for (const sent of this.sent.values()) {
      sent.settledBefore ||= sent.settled || sent.settling;
      sent.settling = false;
      sent.settled = false;
      // A transaction without a reported outcome may have been committed or not.
      sent.hidden = false;
    }
    this.life = new Life(this.kv, this, this.sabotage);
    await this.life.opened.store.flush();
    this.begin();
  }

  private begin(): void {
    this.kv.hold = true;
    this.consume('lanes', 2);
    this.consume('quorum', 1);
  }

  private consume(name: string, prefetch: number): void {
    const { life } = this;
    const sink: DeliverySink = {
      deliver: (_consumer, message, entry) => life.over || this.took(entry!, message),
      writable: () => !this.kv.full,
      cancelled: () => {},
    };
    const consumer = new Consumer(this.life.queue(name), sink, consumeOptions({ prefetch }));
    consumer.queue.addConsumer(consumer);
    consumer.start();
  }

  // Checks.

  /** Completes all work, restarts the broker, and compares its messages with the model. */
  private async check(): Promise<void> {
    await this.quiesce();
    await this.crash();
    await this.takeAll();
    const found = new Set(this.out.map(({ sent }) => sent));
    for (const sent of this.sent.values()) {
      if (sent.confirmed && !sent.settledBefore) assert.ok(found.has(sent), `message ${sent.id} is lost`);
    }
    await this.crash();
  }

  private async takeAll(): Promise<void> {
    for (let empty = 0; empty < 3; ) {
      await this.pass(0);
      await this.quiesce();
      const before = this.out.length;
      for (const name of NAMES) {
        const queue = this.life.queue(name);
        this.life.turn.begin();
        for (let entry = queue.takeNext(false); entry !== null; entry = queue.takeNext(false)) {
          this.took(entry, entry.message);
        }
      }
      empty = this.out.length === before ? empty + 1 : 0;
    }
    this.look();
    for (const name of NAMES) assert.equal(this.life.queue(name).readyCount, 0, `${name} looks empty and is not`);
  }

  /** When the last message is gone, all memory is released. */
  private async end(): Promise<void> {
    await this.takeAll();
    for (const { entry } of this.out.splice(0)) entry.queue.acknowledge(entry);
    await this.quiesce();
    await this.takeAll();
    for (const { entry } of this.out.splice(0)) entry.queue.acknowledge(entry);
    await this.quiesce();
    for (const name of NAMES) assert.equal(this.life.queue(name).unackedCount, 0, name);
    assert.equal(this.life.memory.held, 0);
  }
}
