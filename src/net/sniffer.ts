// Reads a new connection until its protocol is known, then puts the bytes back, so that the socket's owner sees every
// byte. Bounded in time, and in bytes by `sniff`, which decides within MAX_SNIFF_BYTES.

import type { Socket } from 'node:net';
import { SNIFFED, type Sniffed, sniff } from './sniff.ts';
import { type Ticked, type Ticker, ticksFor } from './ticker.ts';

const NO_BYTES = Buffer.alloc(0);

export type Verdict = Exclude<Sniffed, typeof SNIFFED.more>;

export type SniffFailure = 'time' | 'gone';

/** Gets the result. Exactly one of the two is called, once. */
export interface SnifferOwner {
  /** All bytes that were read are back in the socket. */
  sniffed(socket: Socket, verdict: Verdict, sniffer: Sniffer): void;
  /** The time is over, or the peer or the listener closed; the socket is destroyed. */
  sniffFailed(socket: Socket, why: SniffFailure, sniffer: Sniffer): void;
}

export class Sniffer implements Ticked {
  private readonly socket: Socket;
  private readonly ticker: Ticker;
  private readonly owner: SnifferOwner;
  private readonly until: number;
  private heard: Buffer;
  private readonly onReadable: () => void;
  private readonly onGone: () => void;

  /** Starts at once. `timeoutMs`: how long the peer may take for its first bytes. */
  constructor(socket: Socket, ticker: Ticker, timeoutMs: number, owner: SnifferOwner) {
    this.socket = socket;
    this.ticker = ticker;
    this.owner = owner;
    this.until = ticker.now + ticksFor(timeoutMs);
    this.heard = NO_BYTES;
    this.onReadable = () => this.read();
    this.onGone = () => this.giveUp('gone');
    socket.on('readable', this.onReadable);
    socket.on('end', this.onGone);
    socket.on('error', this.onGone);
    socket.on('close', this.onGone);
    ticker.add(this);
  }

  tick(nowTick: number): void {
    if (nowTick >= this.until) this.giveUp('time');
  }

  /** Stops without a result. */
  stop(): void {
    this.giveUp('gone');
  }

  private read(): void {
    const { socket } = this;
    const bytes = socket.read() as Buffer | null;
    // Null at the end of the stream; `end` follows.
    if (bytes === null) return;
    this.heard = this.heard.length === 0 ? bytes : Buffer.concat([this.heard, bytes]);
    const verdict = sniff(this.heard);
    if (verdict === SNIFFED.more) return;
    this.leave();
    // After the listeners are removed: bytes that are put back are readable at once.
    socket.unshift(this.heard);
    this.owner.sniffed(socket, verdict, this);
  }

  private giveUp(why: 'time' | 'gone'): void {
    this.leave();
    // The socket has no other error listener left.
    this.socket.on('error', () => {});
    this.socket.destroy();
    this.owner.sniffFailed(this.socket, why, this);
  }

  private leave(): void {
    const { socket } = this;
    this.ticker.remove(this);
    socket.off('readable', this.onReadable);
    socket.off('end', this.onGone);
    socket.off('error', this.onGone);
    socket.off('close', this.onGone);
  }
}
