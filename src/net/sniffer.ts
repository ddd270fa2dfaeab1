// Listens to a new connection until it is known what it speaks, and puts back what it has read: whoever takes the socket
// then sees every byte. Bounded in time, and in bytes by `sniff`, which decides within MAX_SNIFF_BYTES.

import type { Socket } from 'node:net';
import { SNIFFED, type Sniffed, sniff } from './sniff.ts';
import { type Ticked, type Ticker, ticksFor } from './ticker.ts';

const NO_BYTES = Buffer.alloc(0);

export type Verdict = Exclude<Sniffed, typeof SNIFFED.more>;

export type Unheard = 'time' | 'gone';

/** Who wants to know. Exactly one of the two is called, once. */
export interface SnifferOwner {
  /** The socket is as if nobody had read from it. */
  sniffed(socket: Socket, verdict: Verdict, sniffer: Sniffer): void;
  /** The time is up, or the peer or the listener has gone; the socket is destroyed. */
  unheard(socket: Socket, why: Unheard, sniffer: Sniffer): void;
}

export class Sniffer implements Ticked {
  private readonly socket: Socket;
  private readonly ticker: Ticker;
  private readonly owner: SnifferOwner;
  private readonly until: number;
  private heard: Buffer;
  private readonly onReadable: () => void;
  private readonly onGone: () => void;

  /** Begins at once. `timeoutMs`: how long the peer may take for its first bytes. */
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

  /** Nobody wants to know any more. */
  stop(): void {
    this.giveUp('gone');
  }

  private read(): void {
    const { socket } = this;
    const bytes = socket.read() as Buffer | null;
    // At the end there is nothing to read; `end` follows.
    if (bytes === null) return;
    this.heard = this.heard.length === 0 ? bytes : Buffer.concat([this.heard, bytes]);
    const verdict = sniff(this.heard);
    if (verdict === SNIFFED.more) return;
    this.leave();
    // Only now: what is put back while somebody waits for `readable` is readable at once.
    socket.unshift(this.heard);
    this.owner.sniffed(socket, verdict, this);
  }

  private giveUp(why: 'time' | 'gone'): void {
    this.leave();
    // Nobody else listens for what may still go wrong with it.
    this.socket.on('error', () => {});
    this.socket.destroy();
    this.owner.unheard(this.socket, why, this);
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
