// When the messages of one queue expire, and the queue itself: TTLs, expirations, x-expires. Sets the broker's timer
// (timers.ts) to the next of them and has the queue look then; what is done about it is the queue's business. A queue that
// has neither a TTL of its own nor ever took a message with one sets no timer and pays a comparison.

import type { Message } from '../message/message.ts';
import type { Timer } from '../turn/timers.ts';
import type { Turn } from '../turn/turn.ts';
import { NEVER_EXPIRES, type QueueEntry } from './queue-entry.ts';

/** A queue, as its expiry sees it. */
export interface ExpiringQueue {
  /** Whether it has consumers. */
  readonly used: boolean;
  /** When the first entry expires, as far as that is in memory. */
  nextExpiry(): number;
  /** Something may have expired. */
  wake(): void;
  /** A message that expires was taken in, and may be found by the next start: that has to know. */
  aged(): void;
  /** It was unused for so long that it is to be deleted. */
  expired(): void;
}

/** Milliseconds; Infinity: for ever. */
export interface ExpiryArguments {
  readonly messageTtlMs: number;
  readonly expiresMs: number;
}

export class QueueExpiry implements Timer {
  dueAt: number;
  heapIndex: number;
  /** Messages expire at a moment: `expiresAt` survives a restart. */
  readonly followsWallClock: boolean;
  /** Whether there may be entries that expire. */
  aging: boolean;
  /** Whether the next start knows. */
  private told: boolean;
  private readonly queue: ExpiringQueue;
  private readonly turn: Turn;
  private readonly messageTtlMs: number;
  private readonly expiresMs: number;
  private usedAt: number;

  constructor(queue: ExpiringQueue, turn: Turn, { messageTtlMs, expiresMs }: ExpiryArguments) {
    this.dueAt = NEVER_EXPIRES;
    this.heapIndex = -1;
    this.followsWallClock = true;
    this.aging = messageTtlMs !== NEVER_EXPIRES;
    this.told = this.aging;
    this.queue = queue;
    this.turn = turn;
    this.messageTtlMs = messageTtlMs;
    this.expiresMs = expiresMs;
    this.usedAt = 0;
  }

  /** An earlier start said that there are entries that expire. */
  recovered(): void {
    this.aging = true;
    this.told = true;
  }

  /** An entry that expires was refused by a full disk, and perhaps with it what the next start has to know. */
  refused(): void {
    this.told = this.messageTtlMs !== NEVER_EXPIRES;
  }

  /** When a message that comes in now expires here: the smaller of its own time and the queue's counts. Hot path. */
  expiryOf(message: Message): number {
    const { expirationMs } = message;
    if (expirationMs < 0 && this.messageTtlMs === NEVER_EXPIRES) return NEVER_EXPIRES;
    this.aging = true;
    if (!this.told && message.persistent) {
      this.told = true;
      this.queue.aged();
    }
    return this.turn.now + (expirationMs < 0 ? this.messageTtlMs : Math.min(expirationMs, this.messageTtlMs));
  }

  hasExpired(entry: QueueEntry): boolean {
    return this.aging && entry.expiresAt <= this.turn.now;
  }

  /** An entry that expires then is among the ready ones. */
  expireAt(at: number): void {
    if (at <= this.turn.now) this.queue.wake();
    else this.turn.timers.set(this, at);
  }

  /** The first entry is another one: sets the timer for it. */
  watch(): void {
    const at = this.queue.nextExpiry();
    if (at !== NEVER_EXPIRES) this.turn.timers.set(this, at);
  }

  /** The queue was used: the time until it expires for want of use starts again. */
  touch(): void {
    if (this.expiresMs === Number.POSITIVE_INFINITY) return;
    this.usedAt = this.turn.now;
    if (!this.queue.used) this.turn.timers.set(this, this.usedAt + this.expiresMs);
  }

  /** The queue may have been used, or the entry taken, since the timer was set. */
  due(): void {
    if (this.expiresMs !== Number.POSITIVE_INFINITY && !this.queue.used) {
      const until = this.usedAt + this.expiresMs;
      if (until <= this.turn.now) {
        this.queue.expired();
        return;
      }
      this.turn.timers.set(this, until);
    }
    if (this.aging) this.queue.wake();
  }

  /** The queue is gone. */
  end(): void {
    this.turn.timers.clear(this);
  }
}
