// What a publisher of the crash test sends: numbered messages, some of them so large (4 KiB and more) that the store
// shares one record of the body between the queues. A window of them is unconfirmed at a time, and after a lost
// connection nothing new goes out before what was unconfirmed is confirmed, so that first copies stay in order.

import type { Random } from '../sim/random.ts';
import type { Sent } from './account.ts';
import type { Watch } from './watch.ts';

const WINDOW = 50;
const LARGE_SHARE = 0.2;
const SMALL_BYTES = 200;
const LARGE_BYTES = 16 * 1024;

export class Outgoing {
  readonly all: Sent[];
  /** What has no confirm, in order. */
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

  /** The next message, or null where it is not its time. */
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

  /** The connection is lost. */
  interrupt(): void {
    this.recovering = this.open.size > 0;
  }

  /** Nothing new from now on. */
  stop(): void {
    this.stopped = true;
  }
}
