// Decides whether a connection's socket is read, for all front-ends alike. Each connection has one gate, tells it what
// happens, and is told when to go on with input that it has received and not handled. Invariant: outside of a call the
// transport is paused exactly while some reason in READ_STOP applies.
//
// While reading is stopped, the peer cannot make the broker buffer more. Input that was already received is handled as
// follows:
//   - `workPending`, `throttled`: not handled until the reason ends;
//   - `publishersHeld`: up to the next publish, which waits: also the first one of a connection. What stands before it
//     (acknowledgements above all) is handled, because consumers that go on are what ends the hold. RabbitMQ accepts the
//     publish that makes a connection a publisher and stops behind it; here that publish waits too, so that clients which
//     connect for one message each cannot get past the memory limit, and a full disk refuses none of them;
//   - `peerLags`: all of it: that input is at most a chunk.
// A connection that has never published is not held, nor is one whose closing handshake is under way.

import type { Transport } from './transport.ts';

/** Why a socket is not read: one bit each. */
export const READ_STOP = {
  /** An operation is awaited; nothing may overtake it. */
  workPending: 1,
  /** The connection publishes, and publishers are held (memory, disk). */
  publishersHeld: 2,
  /** The connection has published more than its receivers can keep up with. */
  throttled: 4,
  /** The peer does not read: its answers pile up in the outbox. */
  peerLags: 8,
} as const;

/** A connection, as its gate sees it. */
export interface GatedInput {
  /**
   * Counts the input that waits as input of this turn. The turn may end with that, and publishers may be held again.
   * Called outside of any turn.
   */
  countWaitingInput(): void;
  /** Handles the input that waits, while the gate allows it. */
  handleWaitingInput(): void;
}

export class ReadGate {
  /** Bits of READ_STOP. */
  reasons: number;
  /** Whether the connection has published, or has tried to. */
  publishes: boolean;
  private readonly transport: Transport;
  private readonly input: GatedInput;
  private paused: boolean;
  /** Operations that are awaited: one may begin another. */
  private works: number;
  private held: boolean;
  /** The next input is a publish that waits for the end of the hold. */
  private publishWaits: boolean;
  private closing: boolean;
  /** Before the login: chunks that were read while an operation was awaited. */
  private earlyChunks: number;
  private beforeLogin: boolean;
  private ended: boolean;
  /** Unsent bytes when input was first handled behind a full outbox; 0: the outbox is not full. */
  private unsentWhenFull: number;

  constructor(transport: Transport, input: GatedInput) {
    this.reasons = 0;
    this.publishes = false;
    this.transport = transport;
    this.input = input;
    this.paused = false;
    this.works = 0;
    this.held = false;
    this.publishWaits = false;
    this.closing = false;
    this.earlyChunks = 0;
    this.beforeLogin = false;
    this.ended = false;
    this.unsentWhenFull = 0;
  }

  /** Whether the next frame may be handled. A publish also needs `mayPublish`. */
  get open(): boolean {
    return (this.reasons & (READ_STOP.workPending | READ_STOP.throttled)) === 0 && !this.publishWaits;
  }

  get workPending(): boolean {
    return this.works > 0;
  }

  /**
   * Until `loggedIn` one chunk is read while an operation is awaited: only a socket that is read shows that its peer has
   * gone, and a login that nobody waits for is not worth a password hash.
   */
  expectLogin(): void {
    this.beforeLogin = true;
  }

  loggedIn(): void {
    this.beforeLogin = false;
    this.update();
  }

  /** Whether it is a publisher that is held. */
  get blocked(): boolean {
    return (this.reasons & READ_STOP.publishersHeld) !== 0;
  }

  /** Before each publish. False: it is not to be handled now; it is the first of the input that waits. Hot. */
  mayPublish(): boolean {
    this.publishes = true;
    if (!this.held) return true;
    this.publishWaits = true;
    this.add(READ_STOP.publishersHeld);
    return false;
  }

  /** Publishers are held, or released. */
  hold(held: boolean): void {
    if (this.closing) return;
    this.held = held;
    if (held && this.publishes) this.add(READ_STOP.publishersHeld);
    // In a turn of its own: whoever releases publishers is in the middle of one.
    else if (this.publishWaits) setImmediate(retryPublish, this);
    else this.remove(READ_STOP.publishersHeld);
  }

  beginWork(): void {
    this.works++;
    this.add(READ_STOP.workPending);
  }

  /** The connection then settles what became of the operation, and calls `goOn`. */
  endWork(): void {
    if (--this.works === 0) {
      this.reasons &= ~READ_STOP.workPending;
      this.earlyChunks = 0;
    }
  }

  /** The publisher is to rest, or rests no more. */
  throttle(throttled: boolean): void {
    if (throttled) this.add(READ_STOP.throttled);
    else {
      this.reasons &= ~READ_STOP.throttled;
      this.goOn();
    }
  }

  /**
   * After each chunk of input. A full outbox alone does not stop reading: it may be full of deliveries, and the client
   * may publish before it reads them. Whatever is added after that answers the peer's own input; when it exceeds one more
   * high watermark, reading stops.
   */
  inputHandled(): void {
    if (this.beforeLogin && this.works > 0 && ++this.earlyChunks > 1) this.update();
    const { outbox } = this.transport;
    if (outbox.writable || this.ended) return;
    if (this.unsentWhenFull === 0) this.unsentWhenFull = outbox.unsentBytes;
    if (outbox.unsentBytes - this.unsentWhenFull > outbox.highWatermarkBytes) this.add(READ_STOP.peerLags);
  }

  /** The outbox is writable again. */
  drained(): void {
    this.unsentWhenFull = 0;
    this.remove(READ_STOP.peerLags);
  }

  /** Only the end of the closing handshake is awaited from the peer: no hold may keep it from being read. */
  close(): void {
    this.hold(false);
    this.closing = true;
  }

  /** The connection reads nothing any more. */
  end(): void {
    this.ended = true;
  }

  /** Goes on with the input that waits, where nothing stops it, and then with the socket. */
  goOn(): void {
    if (this.ended) return;
    if (this.open) this.input.handleWaitingInput();
    this.update();
  }

  /**
   * Runs some time after the release. If other connections' input has caused a new hold by then, the publish keeps
   * waiting.
   */
  retryPublish(): void {
    if (!this.publishWaits || this.held || this.ended) return;
    this.input.countWaitingInput();
    if (this.held || this.ended) return;
    this.publishWaits = false;
    this.reasons &= ~READ_STOP.publishersHeld;
    this.goOn();
  }

  private add(reason: number): void {
    this.reasons |= reason;
    this.update();
  }

  private remove(reason: number): void {
    this.reasons &= ~reason;
    this.update();
  }

  private update(): void {
    const watching = this.beforeLogin && this.earlyChunks < 2;
    const pause = (watching ? this.reasons & ~READ_STOP.workPending : this.reasons) !== 0;
    if (pause === this.paused || this.ended) return;
    this.paused = pause;
    if (pause) this.transport.pause();
    else this.transport.resume();
  }
}

function retryPublish(gate: ReadGate): void {
  gate.retryPublish();
}
