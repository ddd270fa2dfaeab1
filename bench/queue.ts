// Operations that put many entries back into order at once: a transaction committed after later messages, and a client
// that returns its unacknowledged messages one by one. Milliseconds for which the event loop is blocked.
//
//   node bench/queue.ts [--json]

import { DEFAULT_LIMITS } from '../src/core/limits.ts';
import { EMPTY_TABLE } from '../src/core/message/field-table.ts';
import type { PropertyRewriter } from '../src/core/message/property-rewriter.ts';
import { newMeters } from '../src/core/ports/meters.ts';
import { MemoryBudget } from '../src/core/queue/memory-budget.ts';
import { Queue, type QueueEvents } from '../src/core/queue/queue.ts';
import type { QueueEntry } from '../src/core/queue/queue-entry.ts';
import { ConfirmRing } from '../src/core/turn/confirms.ts';
import { Turn } from '../src/core/turn/turn.ts';
import { forgetfulStore } from '../support/forgetful-store.ts';
import { type Figure, printFigures } from './figure.ts';
import { messageTo } from './stand-ins.ts';

/** The default bound of operations in a connection's transactions, and the size of a full window. */
const MANY = 100_000;
const WINDOW = DEFAULT_LIMITS.queueWindowEntries;
const ROUNDS = 5;

const figures: Figure[] = [
  figure(`a transaction of ${MANY} becomes ready in front of ${WINDOW} that overtook it`, overtaken),
  figure(`${MANY} deliveries are returned one by one`, returned),
];
printFigures(figures);

/** The minimum of several rounds, because other processes may use the machine. */
function figure(title: string, round: () => number): Figure {
  let value = Number.POSITIVE_INFINITY;
  for (let i = 0; i < ROUNDS; i++) value = Math.min(value, round());
  return { title, value, unit: 'ms', target: '<= 100' };
}

function overtaken(): number {
  const queue = emptyQueue();
  const ring = new ConfirmRing({ confirmed() {} }, { drainLater() {} });
  const entries: QueueEntry[] = [];
  for (let i = 0; i < MANY; i++) entries.push(queue.hold(messageTo('q'), queue.selfRoute[0]!, ring, 0)!);
  fill(queue, WINDOW);
  return timed(() => queue.releaseHeld(entries));
}

function returned(): number {
  const queue = emptyQueue();
  fill(queue, MANY);
  const entries: QueueEntry[] = [];
  for (let i = 0; i < MANY; i++) entries.push(queue.takeNext(false)!);
  return timed(() => {
    for (let i = 0; i < MANY; i++) queue.requeue([entries[i]!]);
    queue.run();
  });
}

function fill(queue: Queue, count: number): void {
  for (let i = 0; i < count; i++) queue.accept(messageTo('q'), queue.selfRoute[0]!, null, 0);
}

function emptyQueue(): Queue {
  const limits = { ...DEFAULT_LIMITS, queueWindowBytes: Number.POSITIVE_INFINITY, queueWindowEntries: 10 * MANY };
  const around = {
    turn: new Turn({ now: () => 0 }),
    store: forgetfulStore(),
    definitions: { all: () => [], put() {}, remove() {} },
    memory: new MemoryBudget(Number.POSITIVE_INFINITY),
    limits,
    meters: newMeters(),
    rewriter: {} as PropertyRewriter,
  };
  const events = { name: '/' } as QueueEvents;
  const options = { id: 1, name: 'q', durable: false, autoDelete: false, args: EMPTY_TABLE, owner: null };
  return new Queue(options, around, events);
}

function timed(run: () => void): number {
  const started = performance.now();
  run();
  return performance.now() - started;
}
