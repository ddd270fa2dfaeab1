// Whether a connection reads its socket. Three things stop it: a control operation that is under way, a hold on
// publishers (memory, disk) once it has published, and the rest of a publisher that floods. Its connection tells it of
// them and of every publish.

import { FULL_CHUNK_BYTES, PUBLISHES_A_TURN, PublisherThrottle } from '../../src/core/session/publisher-throttle.ts';
import type { Session } from '../../src/core/session/session.ts';
import type { Turn } from '../../src/core/turn/turn.ts';
import type { Transport } from '../../src/net/transport.ts';

export class Intake {
  /** Whether the socket is not read now. */
  paused: boolean;
  /** A control operation is under way. */
  busy: boolean;
  private readonly transport: Transport;
  private readonly throttle: PublisherThrottle;
  /** Publishes since the last rest; whether there ever was one. */
  private published: number;
  private publishes: boolean;
  private held: boolean;
  /** Only close-ok is waited for: no hold may keep us from it. */
  private closing: boolean;

  constructor(transport: Transport, turn: Turn) {
    this.paused = false;
    this.busy = false;
    this.transport = transport;
    this.throttle = new PublisherThrottle(turn, () => this.update());
    this.published = 0;
    this.publishes = false;
    this.held = false;
    this.closing = false;
  }

  /** Whether it is a publisher that is held. */
  get blocked(): boolean {
    return this.held && this.publishes;
  }

  /** A publish. Hot. */
  count(): void {
    this.published++;
    if (this.publishes) return;
    this.publishes = true;
    this.update();
  }

  /** A chunk was read and handled. */
  took(bytes: number, session: Session | null): void {
    if (this.published < PUBLISHES_A_TURN || bytes < FULL_CHUNK_BYTES || session === null) return;
    this.published = 0;
    this.throttle.begin(session);
  }

  wait(busy: boolean): void {
    this.busy = busy;
    this.update();
  }

  hold(held: boolean): void {
    this.held = held;
    this.update();
  }

  close(): void {
    this.closing = true;
    this.update();
  }

  /** The transport is gone. */
  end(): void {
    this.throttle.end();
  }

  private update(): void {
    const pause = this.busy || this.throttle.throttled || (this.blocked && !this.closing);
    if (pause === this.paused) return;
    this.paused = pause;
    if (pause) this.transport.pause();
    else this.transport.resume();
  }
}
