// The messages that a publisher of the crash test sends: numbered, some so large (4 KiB and more) that the store shares
// one body record between queues. At most a window of them is unconfirmed. After a lost connection the unconfirmed ones
// are confirmed before a new one is sent, so that first copies stay in order.

import type { Random } from '../sim/random.ts';
import type { Sent } from './account.ts';
import type { Watch } from './watch.ts';

const WINDOW = 50;
const LARGE_SHARE = 0.2;
const SMALL_BYTES = 200;
const LARGE_BYTES = 16 * 1024;

export class Outgoing {
  readonly all: Sent[];
  /** Unconfirmed messages, in order. */
  readonly open: Set<Sent>;
  private readonly name: string;
  private readonly random: Random;
  private readonly watch: Watch;
  private recovering: boolean;
  private stopped: boolean;

  constructor(name: string, random: Random, watch: Watch) {
    this.all = [];
    this.open = new Set();
    this.name = name;
    this.random = random;
    this.watch = watch;
    this.recovering = false;
    this.stopped = false;
  }

  /** The next message to send, or null while the window is full or unconfirmed messages are being resent. */
  next(): Sent | null {
    if (this.stopped || this.recovering || this.open.size >= WINDOW) return null;
    const large = this.random.chance(LARGE_SHARE);
    const bytes = large ? 4096 + this.random.below(LARGE_BYTES - 4096) : this.random.below(SMALL_BYTES);
    const number = `${this.name} ${this.all.length} `;
    const sent = { body: number.padEnd(number.length + bytes, number), sendings: 0, confirmedAt: 0 };
    this.all.push(sent);
    this.open.add(sent);
    return sent;
  }

  confirm(sent: Sent): void {
    sent.confirmedAt = this.watch.tick();
    this.open.delete(sent);
    if (this.open.size === 0) this.recovering = false;
  }

  /** Called when the connection is lost. */
  interrupt(): void {
    this.recovering = this.open.size > 0;
  }

  /** Sends no new message from now on. */
  stop(): void {
    this.stopped = true;
  }
}
