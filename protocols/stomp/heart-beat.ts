// Heart-beats of one connection, both ways (STOMP 1.2, «Heart-beating»), on the one ticker: whether the peer was heard
// of lately, and whether it heard of us. Silence of less than twice the interval is tolerated, as the specification
// asks for a margin of error.

import type { Ticker } from '../../src/net/ticker.ts';
import { TICK_MS, ticksFor } from '../../src/net/ticker.ts';
import type { Transport } from '../../src/net/transport.ts';
import { StompError } from './stomp-error.ts';

/** Whose heart beats. */
export interface Beating {
  /** Something has to be sent now. */
  beat(): void;
  /** The peer was silent for too long, or never logged in. */
  silent(what: 'heart-beat' | 'login'): void;
}

export class HeartBeat {
  private readonly transport: Transport;
  private readonly ticker: Ticker;
  private readonly beating: Beating;
  /** In ticks; 0: not agreed on. */
  private sendEvery: number;
  private expectWithin: number;
  private lastWritten: number;
  private lastWriteTick: number;
  private lastRead: number;
  private lastReadTick: number;
  private loginBefore: number;

  constructor(transport: Transport, ticker: Ticker, beating: Beating, loginTimeoutMs: number) {
    this.transport = transport;
    this.ticker = ticker;
    this.beating = beating;
    this.sendEvery = 0;
    this.expectWithin = 0;
    this.lastWritten = 0;
    this.lastWriteTick = ticker.now;
    this.lastRead = 0;
    this.lastReadTick = ticker.now;
    this.loginBefore = ticker.now + ticksFor(loginTimeoutMs);
    ticker.add(this);
  }

  /**
   * The client logged in and offered `cx,cy`: it can send every cx milliseconds and wants to hear from us every cy; 0
   * means not at all. We offer and ask for `minMs`. Without heart-beats the ticker is left.
   */
  start(offer: HeartBeatOffer, minMs: number): void {
    this.loginBefore = 0;
    // Well inside the promise, as RabbitMQ: a beat that is a millisecond late ends a connection.
    const sendMs = offer.wants === 0 ? 0 : Math.max(offer.wants, minMs);
    this.sendEvery = sendMs === 0 ? 0 : Math.max(1, Math.floor(sendMs / TICK_MS / 2));
    const expectMs = offer.sends === 0 ? 0 : Math.max(offer.sends, minMs);
    this.expectWithin = expectMs === 0 ? 0 : ticksFor(2 * expectMs);
    this.lastReadTick = this.ticker.now;
    this.lastWriteTick = this.ticker.now;
    if (this.sendEvery === 0 && this.expectWithin === 0) this.stop();
  }

  stop(): void {
    this.ticker.remove(this);
  }

  tickFailed(): void {
    this.transport.destroy();
  }

  tick(now: number): void {
    const { transport } = this;
    if (this.loginBefore > 0) {
      if (now >= this.loginBefore) this.beating.silent('login');
      return;
    }
    if (this.expectWithin > 0) {
      const { bytesRead } = transport;
      if (bytesRead !== this.lastRead || !transport.reading) {
        this.lastRead = bytesRead;
        this.lastReadTick = now;
      } else if (now - this.lastReadTick > this.expectWithin) {
        this.beating.silent('heart-beat');
        return;
      }
    }
    if (this.sendEvery > 0) {
      const { bytesWritten } = transport;
      if (bytesWritten !== this.lastWritten) {
        this.lastWritten = bytesWritten;
        this.lastWriteTick = now;
      } else if (now - this.lastWriteTick >= this.sendEvery) {
        this.lastWriteTick = now;
        this.beating.beat();
      }
    }
  }
}

export interface HeartBeatOffer {
  /** The shortest interval at which the client can send, milliseconds; 0: it does not. */
  readonly sends: number;
  /** The interval at which it wants to hear from us; 0: it does not care. */
  readonly wants: number;
}

/** Reads `heart-beat:cx,cy`; without the header it is 0,0. */
export function parseHeartBeat(header: string | null): HeartBeatOffer {
  if (header === null) return { sends: 0, wants: 0 };
  const parts = /^\s*(\d{1,9})\s*,\s*(\d{1,9})\s*$/.exec(header);
  if (parts === null) throw new StompError('Invalid header', "'heart-beat' must be two natural numbers: 'cx,cy'");
  return { sends: Number(parts[1]), wants: Number(parts[2]) };
}
