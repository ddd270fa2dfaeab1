// The order of one turn. A turn is one pass of the event loop: every socket that had input was read, then `end` runs
// once and does the rest, in this order:
//
//   1. input            sockets' data events call front-ends, which publish, acknowledge and so on (before `end`)
//   2. work list        deliveries that credit allows again, expiries, deletions; in slices, never recursive
//   3. confirms         slots that need no disk leave their rings (those that do leave when their commit ends)
//   4. ownership        messages that stay beyond the turn move out of the sockets' chunks into memory of our own
//   5. seal             the store's pending batch is submitted, if no commit is in flight
//   6. flush            each connection that has something to say writes it, once
//
// Commits end outside of a turn; `commitEnded` starts one, so that confirms leave at once.
//
// A pass over a thousand sockets that all have a full chunk is 64 MiB of input. A turn ends within the pass once it has
// taken its share of bytes or of messages, and the next one begins: what was written leaves, and publishers are held,
// before more is read.

import type { Message } from '../message/message.ts';
import { MessageSlabs } from '../message/message-slabs.ts';
import { Ring } from '../message/ring.ts';
import { type Clock, monotonicOf } from './clock.ts';
import type { ConfirmRing, RingScheduler } from './confirms.ts';
import { Faults } from './faults.ts';
import { Slices } from './slices.ts';
import { type StartTimer, Timers } from './timers.ts';
import { TurnWatch, type Worker } from './turn-watch.ts';

/** Something with output to write at the end of the turn: an outbox. */
export interface Flushable {
  flush(): void;
  /** `flush` threw: its connection ends without it. */
  flushFailed?(): void;
}

/** The number of messages published so far: the meters. */
export interface PublishCount {
  readonly published: number;
}

/** Work that was deferred to the work list. */
export interface Task extends Worker {
  /** Does one slice. True if more is left; it is then called again after the other tasks. */
  run(): boolean;
  /** `run` threw: the task is no longer on the work list, and lets go of what it was doing. */
  failed?(): void;
}

/**
 * Input after which a turn ends though more sockets are ready. With 1,000 MQTT publishers that were faster than one
 * AMQP consumer the process grew by 300 to 400 instead of 890 MiB; most of the rest are chunks that wait while
 * publishers are held back.
 */
export const TURN_INPUT_BYTES = 2 * 1024 * 1024;
/**
 * Publishes after which a turn ends, too. An MQTT PUBLISH may have 6 bytes: 2 MiB of them, 350,000 messages from 32
 * clients into one queue, were a turn of 650 ms that grew the heap by 180 to 240 MiB before backpressure was checked.
 * With this bound the longest turn is 80 ms and 25 to 65 MiB. Messages of more than 128 bytes reach the bound of bytes
 * first. It is checked before each chunk of input, so one chunk may exceed it.
 */
export const TURN_PUBLISHES = 16_384;
/** Slices of the work list in one turn, before sockets are read again. */
const MAX_SLICES = 256;
/** Time that one turn gives to the work list, checked after each slice. */
export const MAX_WORK_MS = 5;
/** Time after which a chunk of input begins no more work that can take long. */
const MAX_INPUT_MS = 10;

export class Turn implements RingScheduler {
  /** Milliseconds since the epoch, read once a turn. */
  now: number;
  /** Timers, which begin turns without input. */
  readonly timers: Timers;
  /** Measures the work of each turn. */
  readonly watch: TurnWatch;
  /** Bounds work that awaits something between its slices. */
  readonly slices: Slices;
  /** Faults that were contained. */
  readonly faults: Faults;
  private readonly clock: Clock;
  private readonly slabs: MessageSlabs;
  private seal: () => void;
  private scheduled: boolean;
  private inputBytes: number;
  /** The counter of publishes, and its value when the turn began. */
  private publishes: PublishCount;
  private publishedBefore: number;
  /** When the chunk of input began that is being handled, by the watch's clock; Infinity: none is. */
  private inputBegan: number;
  private readonly tasks: Ring<Task>;
  private rings: ConfirmRing[];
  private retained: Message[];
  private flushables: Flushable[];
  private readonly endings: (() => void)[];

  /** `startTimer` is the event loop's unless a test gives one. */
  constructor(
    clock: Clock,
    startTimer?: StartTimer,
    watch: TurnWatch = new TurnWatch(monotonicOf(clock)),
    faults: Faults = new Faults(),
  ) {
    this.clock = clock;
    this.watch = watch;
    this.slices = new Slices(watch, MAX_WORK_MS);
    this.faults = faults;
    this.slabs = new MessageSlabs();
    this.seal = () => {};
    this.now = clock.now();
    this.timers = new Timers(this, clock, startTimer);
    this.scheduled = false;
    this.inputBytes = 0;
    this.publishes = { published: 0 };
    this.publishedBefore = 0;
    this.inputBegan = Number.POSITIVE_INFINITY;
    this.tasks = new Ring();
    this.rings = [];
    this.retained = [];
    this.flushables = [];
    this.endings = [];
  }

  /** Sets the store's `seal`. The broker calls it once, because the store is created after the turn. */
  sealWith(seal: () => void): void {
    this.seal = seal;
  }

  /** Sets the counter of publishes by which turns end, too. The broker calls it once. */
  boundBy(publishes: PublishCount): void {
    this.publishes = publishes;
    this.publishedBefore = publishes.published;
  }

  /** `hook` runs at the end of every turn, before the flush (backpressure checks its bounds there). */
  atEnd(hook: () => void): void {
    this.endings.push(hook);
  }

  /** A socket has input: its front-end calls this first, when no other code of the broker is on the stack. */
  input(bytes: number): void {
    const published = this.publishes.published - this.publishedBefore;
    if (this.inputBytes >= TURN_INPUT_BYTES || published >= TURN_PUBLISHES) {
      this.finish();
      this.now = this.clock.now();
      this.watch.turnBegins();
    }
    this.inputBytes += bytes;
    this.begin();
    this.inputBegan = this.watch.now();
  }

  /** The input that the last call of `input` announced was handled. */
  inputHandled(connection: Worker): void {
    this.watch.ended('input', connection, this.inputBegan);
    this.inputBegan = Number.POSITIVE_INFINITY;
  }

  /** A connection goes on with input that has waited; `inputHandled` follows. Within a turn. */
  inputContinues(): void {
    this.inputBegan = this.watch.now();
  }

  /**
   * Whether the input that is being handled has taken its time: what takes long should be left for a later slice (see
   * `slices`). Costs 50 ns, so it is asked before work that takes longer.
   */
  get overdue(): boolean {
    return this.watch.now() - this.inputBegan > MAX_INPUT_MS;
  }

  /**
   * Whether the turn has had its time: a connection that goes on with input that has waited should do so in a later
   * slice (see `slices`). Operations that are awaited and done at once follow each other in microtasks, in which nobody
   * else is served: 2,000 pipelined basic.consume of one connection were a turn of 321 ms.
   */
  get isLong(): boolean {
    return this.scheduled && this.watch.now() - this.watch.turnBegan > MAX_WORK_MS;
  }

  /** Every other entry from the event loop (timer, completion) calls this first. */
  begin(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.now = this.clock.now();
    this.watch.turnBegins();
    setImmediate(this.end);
  }

  /** Puts a task on the work list. The caller ensures that it is on the list only once. */
  work(task: Task): void {
    this.tasks.push(task);
    this.begin();
  }

  drainLater(ring: ConfirmRing): void {
    this.rings.push(ring);
    this.begin();
  }

  /** The message outlives this turn: it gets memory of its own at the end. */
  retain(message: Message): void {
    if (message.retained) return;
    message.retained = true;
    if (message.owned) return;
    this.retained.push(message);
    this.begin();
  }

  /** The outbox has output. The caller ensures that it is listed only once until its `flush`. */
  flushLater(flushable: Flushable): void {
    this.flushables.push(flushable);
    this.begin();
  }

  private readonly end = (): void => {
    this.scheduled = false;
    this.finish();
  };

  private finish(): void {
    this.inputBytes = 0;
    this.publishedBefore = this.publishes.published;
    this.runTasks();
    this.drainRings();
    this.takeOwnership();
    this.seal();
    for (const hook of this.endings) hook();
    this.flushAll();
    this.watch.turnEnds();
  }

  /** Tasks take turns, a slice each: one that has more to do goes behind all others. */
  private runTasks(): void {
    const { tasks, watch } = this;
    if (tasks.length === 0) return;
    let now = watch.now();
    const until = now + MAX_WORK_MS;
    for (let left = MAX_SLICES; left > 0 && tasks.length > 0 && now < until; left--) {
      const task = tasks.shift()!;
      if (this.runTask(task)) tasks.push(task);
      now = watch.ended('task', task, now);
    }
    if (tasks.length > 0) this.begin();
  }

  /** A fault ends the task, and nothing else. */
  private runTask(task: Task): boolean {
    try {
      return task.run();
    } catch (error) {
      this.faults.report('task', error, task);
      task.failed?.();
      return false;
    }
  }

  private drainRings(): void {
    const rings = this.rings;
    if (rings.length === 0) return;
    this.rings = [];
    for (let i = 0; i < rings.length; i++) {
      try {
        rings[i]!.drain();
      } catch (error) {
        this.faults.report('confirm', error, null);
        rings[i]!.failed();
      }
    }
  }

  private takeOwnership(): void {
    const retained = this.retained;
    for (let i = 0; i < retained.length; i++) this.slabs.own(retained[i]!);
    if (retained.length > 0) this.retained = [];
  }

  private flushAll(): void {
    const flushables = this.flushables;
    if (flushables.length === 0) return;
    this.flushables = [];
    for (let i = 0; i < flushables.length; i++) {
      try {
        flushables[i]!.flush();
      } catch (error) {
        this.faults.report('flush', error, null);
        flushables[i]!.flushFailed?.();
      }
    }
  }
}
