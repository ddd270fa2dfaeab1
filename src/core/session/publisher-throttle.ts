// Throttles a publisher that floods its consumers. libuv delivers up to 32 chunks of one socket in a row: 14,000 small
// messages, while a consumer with prefetch gets credit once a turn. So a connection that has published much in this
// turn, and has more input waiting, is not read until the turn ends. If its consumers are behind it is not read until
// they have caught up a step, but at most for LONGEST_MS: a slow consumer must not stop a publisher.
//
// Measured with 100-byte messages and one publisher that never waits: AMQP with prefetch 400 and an ack every 100 moves
// 1.5 instead of 0.02 million messages a second (0.4 if it only waits for the turn's end), and with automatic acks 4.0
// instead of 3.4, because messages are still in the processor's cache when they are delivered. MQTT QoS 1 with 20,000
// in flight: 1.2 instead of 0.06 million; STOMP with an ack every 100: a seventh less processor time for each message.

import type { DrainWaiter } from '../queue/drain-waiters.ts';
import type { Queue } from '../queue/queue.ts';
import type { Flushable, Turn } from '../turn/turn.ts';
import type { Session } from './session.ts';

/** Publishes after which a connection is throttled if its consumers are behind. */
export const PUBLISHES_A_TURN = 256;

/** A read gate: it does not read the connection while it is throttled. */
export interface Throttled {
  throttle(throttled: boolean): void;
}

/**
 * Input after which a publisher is throttled even if no consumer is behind: the output for its receivers leaves at the
 * turn's end. Stopping and starting a socket costs something: with a stop at each 64 KiB MQTT QoS 0 takes a sixth more
 * processor time for each message, QoS 1 and STOMP up to a tenth.
 */
const THROTTLE_AFTER_BYTES = 512 * 1024;

/** Messages that consumers catch up before their publisher continues. */
const STEP_ENTRIES = 512;
/** The longest pause. It lets a publisher continue at 64 MB/s however slow its consumers are. */
const LONGEST_MS = 1;

export class PublisherThrottle implements Flushable, DrainWaiter {
  /** Whether the connection must not be read. */
  throttled: boolean;
  /** Publishes since the last pause; the connection counts them. */
  published: number;
  private readBytes: number;
  private readonly turn: Turn;
  private readonly reader: Throttled;
  private session: Session | null;
  /** The queue that it waits for; null: only for the turn's end. */
  private queue: Queue | null;
  private timer: NodeJS.Timeout | null;

  constructor(turn: Turn, reader: Throttled) {
    this.throttled = false;
    this.published = 0;
    this.readBytes = 0;
    this.turn = turn;
    this.reader = reader;
    this.session = null;
    this.queue = null;
    this.timer = null;
  }

  /** Called after each chunk of input: throttles if many publishes have left consumers behind, or after much input. */
  afterChunk(bytes: number, session: Session): void {
    this.readBytes += bytes;
    const many = this.published >= PUBLISHES_A_TURN && session.consumersBehind() !== null;
    if (many || this.readBytes >= THROTTLE_AFTER_BYTES) this.begin(session);
  }

  private begin(session: Session): void {
    if (this.throttled) return;
    this.throttled = true;
    this.published = 0;
    this.readBytes = 0;
    this.session = session;
    this.turn.flushLater(this);
    this.reader.throttle(true);
  }

  /** Called at the end of the turn. */
  flush(): void {
    const queue = this.session?.consumersBehind() ?? null;
    if (queue === null || !this.throttled) {
      this.end();
      return;
    }
    this.queue = queue;
    queue.whenBelow(queue.readyCount - STEP_ENTRIES, this);
    this.timer = setTimeout(() => this.end(), LONGEST_MS);
  }

  /** The consumers have caught up a step. */
  drained(): void {
    this.end();
  }

  /** Ends the pause now. */
  end(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.session = null;
    this.queue?.cancelWait(this);
    this.queue = null;
    if (!this.throttled) return;
    this.throttled = false;
    this.reader.throttle(false);
  }
}
