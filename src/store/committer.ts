// The order of commits: one is in flight, the next batch gathers meanwhile, and what happens when one fails. It knows
// batches and who takes part in them, nothing of what they hold.
//
// A full disk: the batch that failed is withdrawn by its participants (who refuse confirms); the next commit carries only
// what frees space; then whole batches are tried again, when there is something new or after a pause, and the first that
// succeeds ends the alarm. Any other failure stops everything: nobody is answered, the owner ends the process and the
// next start recovers.

import type { StoreEvents } from '../core/queue/queue-store.ts';
import { HEADER, headerKey } from './keys.ts';
import { type Kv, KvBatch, OutOfSpaceError } from './kv/kv.ts';

/** Somebody with records in the batches. */
export interface Participant {
  /** Whether something waits for the next batch. */
  hasPending(): boolean;
  /**
   * Whether something is worth a batch by itself. Read by every `seal`, thus at the end of every turn: a few compares.
   * Derived from what is pending rather than set with it, so that no change can be forgotten.
   */
  isDue(): boolean;
  /**
   * Writes everything that is pending into the batch. `whole` false: only what frees space and what is already true
   * (counts, marks); new records stay pending. `asked`: somebody waits for all that is pending; else what nobody waits for
   * may stay for the next batch.
   */
  gather(batch: KvBatch, whole: boolean, asked: boolean): void;
  /** What the last `gather` wrote is durable. */
  committed(): void;
  /** Nothing of what the last `gather` wrote is there, for want of space. */
  withdraw(): void;
}

/** Runs `action` later, without keeping the process alive. */
export type Later = (delayMs: number, action: () => void) => void;

type Callback = (error: Error | null) => void;

const STAGE = {
  /** There is space. */
  normal: 0,
  /** The disk was full; the next batch only frees space. */
  freeing: 1,
  /** The next batch tries everything. */
  trying: 2,
  /** Nothing more to try until the pause is over. */
  waiting: 3,
} as const;

/** How long a full disk is left alone before it is tried again. */
export const RETRY_MS = 1_000;
/** Written with each attempt on a full disk, so that a success means more than a few reused pages. */
const PROBE_BYTES = 256 * 1024;

export class Committer {
  private readonly kv: Kv;
  private readonly events: StoreEvents;
  private readonly later: Later;
  private readonly participants: Participant[];
  private stage: (typeof STAGE)[keyof typeof STAGE];
  private retryDue: boolean;
  private retryScheduled: boolean;
  private pendingCallbacks: Callback[];
  private inFlightCallbacks: Callback[];
  private inFlight: Promise<void> | null;
  private closing: boolean;
  private stopped: boolean;

  constructor(kv: Kv, events: StoreEvents, later: Later) {
    this.kv = kv;
    this.events = events;
    this.later = later;
    this.participants = [];
    this.stage = STAGE.normal;
    this.retryDue = false;
    this.retryScheduled = false;
    this.pendingCallbacks = [];
    this.inFlightCallbacks = [];
    this.inFlight = null;
    this.closing = false;
    this.stopped = false;
  }

  /** Batches are gathered in the order of joining. */
  join(participant: Participant): void {
    this.participants.push(participant);
  }

  /** Whether the disk is known to be full. */
  get full(): boolean {
    return this.stage !== STAGE.normal;
  }

  whenCommitted(done: Callback): void {
    if (this.participants.some((participant) => participant.hasPending())) this.pendingCallbacks.push(done);
    else if (this.inFlight !== null) this.inFlightCallbacks.push(done);
    else done(null);
  }

  /** Submits the pending batch if no commit is in flight. Most turns have none: then it costs `isDue` of each participant. */
  seal(): void {
    if (this.inFlight !== null || this.stopped) return;
    if (this.stage === STAGE.waiting && !this.retryDue) return;
    if (this.stage === STAGE.normal && this.pendingCallbacks.length === 0 && !this.closing && !this.isDue()) return;
    const whole = this.stage !== STAGE.freeing;
    const asked = this.closing || this.pendingCallbacks.length > 0;
    const batch = new KvBatch();
    const probing = whole && this.stage !== STAGE.normal;
    // On a timed retry the probe goes in first, because it may be the only record: the header joins only a batch that is
    // not empty, and every written batch needs the header.
    if (probing && this.retryDue) batch.put(headerKey(HEADER.probe), Buffer.alloc(PROBE_BYTES));
    for (const participant of this.participants) participant.gather(batch, whole, asked);
    if (probing && !this.retryDue && batch.size > 0) batch.put(headerKey(HEADER.probe), Buffer.alloc(PROBE_BYTES));
    if (probing) this.retryDue = false;
    if (whole) {
      this.inFlightCallbacks = this.pendingCallbacks;
      this.pendingCallbacks = [];
    }
    if (batch.size === 0) {
      // Nothing to write: what was pending was taken back or, while freeing, there is nothing to free. Answers as after a
      // successful commit.
      if (this.stage === STAGE.freeing) this.try();
      this.settle();
      return;
    }
    this.inFlight = this.kv.commit(batch).then(
      () => this.succeeded(whole),
      (error: Error) => this.failed(error, whole),
    );
  }

  /** Commits what is there and lets nothing in any more. Resolves when no commit is in flight. */
  async close(): Promise<void> {
    this.closing = true;
    while (!this.stopped) {
      this.seal();
      if (this.inFlight === null) break;
      await this.inFlight;
      if (this.full) break;
    }
    this.stopped = true;
    if (this.inFlight !== null) await this.inFlight;
  }

  private isDue(): boolean {
    const { participants } = this;
    for (let i = 0; i < participants.length; i++) if (participants[i]!.isDue()) return true;
    return false;
  }

  private succeeded(whole: boolean): void {
    this.inFlight = null;
    if (this.stage === STAGE.freeing) this.try();
    else if (this.stage !== STAGE.normal && whole) {
      this.stage = STAGE.normal;
      this.events.outOfSpace(false);
    }
    this.settle();
    this.events.commitEnded();
  }

  /** Space was freed as far as that goes; what is new may be tried, at the latest after a pause. */
  private try(): void {
    this.stage = STAGE.trying;
    this.retryLater();
  }

  private settle(): void {
    const callbacks = this.inFlightCallbacks;
    this.inFlightCallbacks = [];
    for (const participant of this.participants) participant.committed();
    for (const done of callbacks) done(null);
  }

  private failed(error: Error, whole: boolean): void {
    this.inFlight = null;
    if (!(error instanceof OutOfSpaceError)) {
      this.stopped = true;
      this.events.fatal(error);
      return;
    }
    const alarmed = this.stage !== STAGE.normal;
    if (whole) this.stage = STAGE.freeing;
    else {
      this.stage = STAGE.waiting;
      this.retryLater();
    }
    if (!alarmed) this.events.outOfSpace(true);
    const callbacks = this.inFlightCallbacks;
    this.inFlightCallbacks = [];
    for (const participant of this.participants) participant.withdraw();
    for (const done of callbacks) done(error);
    this.events.commitEnded();
  }

  private retryLater(): void {
    if (this.retryScheduled) return;
    this.retryScheduled = true;
    this.later(RETRY_MS, () => {
      this.retryScheduled = false;
      if (this.stage === STAGE.normal || this.stopped) return;
      this.retryDue = true;
      this.seal();
    });
  }
}
