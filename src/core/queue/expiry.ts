// When the messages of one queue expire, and the queue itself: TTLs, expirations, x-expires. It sets the broker's timer
// (timers.ts) to the next expiry and wakes the queue then; the queue removes what has expired. A queue that has no TTL,
// and never got a message with an expiration, sets no timer and pays one comparison.

import type { Message } from '../message/message.ts';
import type { Timer } from '../turn/timers.ts';
import type { Turn } from '../turn/turn.ts';
import type { WorkDescription } from '../turn/turn-watch.ts';
import { NEVER_EXPIRES, type QueueEntry } from './queue-entry.ts';

/** The queue, as its expiry sees it. */
export interface ExpiringQueue {
  readonly name: string;
  /** Whether it has consumers. */
  readonly used: boolean;
  /** When the first entry expires; entries that are only on disk do not count. */
  nextExpiry(): number;
  /** Messages may have expired. */
  wake(): void;
  /** The first persistent message with an expiry arrived: a restart must know that messages on disk may expire. */
  aged(): void;
  /** The queue was unused for its x-expires time: it is to be deleted. */
  expired(): void;
}

/** Milliseconds; Infinity: never. */
export interface ExpiryArguments {
  readonly messageTtlMs: number;
  readonly expiresMs: number;
}

export class QueueExpiry implements Timer {
  dueAt: number;
  heapIndex: number;
  /** Messages expire at a wall-clock time, because `expiresAt` survives a restart. */
  readonly followsWallClock: boolean;
  /** Whether there may be entries that expire. */
  aging: boolean;
  /** Whether the disk says that messages may expire. */
  private expiryStored: boolean;
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
    this.expiryStored = this.aging;
    this.queue = queue;
    this.turn = turn;
    this.messageTtlMs = messageTtlMs;
    this.expiresMs = expiresMs;
    this.usedAt = 0;
  }

  /** The disk says that there are entries that expire. */
  recovered(): void {
    this.aging = true;
    this.expiryStored = true;
  }

  /** A full disk refused an entry that expires, and perhaps the record that messages may expire. */
  refused(): void {
    this.expiryStored = this.messageTtlMs !== NEVER_EXPIRES;
  }

  /**
   * When a message that arrives now expires here: its own expiration or the queue's TTL, whichever is shorter. Hot
   * path.
   */
  expiryOf(message: Message): number {
    const { expirationMs } = message;
    if (expirationMs < 0 && this.messageTtlMs === NEVER_EXPIRES) return NEVER_EXPIRES;
    this.aging = true;
    if (!this.expiryStored && message.persistent) {
      this.expiryStored = true;
      this.queue.aged();
    }
    return this.turn.now + (expirationMs < 0 ? this.messageTtlMs : Math.min(expirationMs, this.messageTtlMs));
  }

  hasExpired(entry: QueueEntry): boolean {
    return this.aging && entry.expiresAt <= this.turn.now;
  }

  /** An entry that expires at that time became ready. */
  expireAt(at: number): void {
    if (at <= this.turn.now) this.queue.wake();
    else this.turn.timers.set(this, at);
  }

  /** The first entry changed: sets the timer for it. */
  watch(): void {
    const at = this.queue.nextExpiry();
    if (at !== NEVER_EXPIRES) this.turn.timers.set(this, at);
  }

  /** The queue was used: its x-expires time starts again. */
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

  describeWork(): WorkDescription {
    return { work: 'expiry of a queue or its messages', queue: this.queue.name };
  }

  /** The queue was deleted. */
  end(): void {
    this.turn.timers.clear(this);
  }
}
