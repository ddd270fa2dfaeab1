// The one clock for heartbeats, keep-alives, linger and slow readers: a single interval for the process; its members
// count ticks. It runs only while it has members and never keeps the process alive. A stalled event loop counts as one
// tick, so that a pause of the broker never looks like silence of all peers.

/** Length of a tick in milliseconds. */
export const TICK_MS = 500;

export interface Ticked {
  /** Called once a tick. `nowTick` grows by one each time; only differences have a meaning. */
  tick(nowTick: number): void;
  /** `tick` threw: it is ticked no more, and a connection, whose peer nobody watches now, ends. */
  tickFailed?(): void;
}

/** The number of ticks that take at least `ms`. The first tick may come at once, so one is added. */
export function ticksFor(ms: number): number {
  return Math.ceil(ms / TICK_MS) + 1;
}

export class Ticker {
  /** Ticks so far. Front-ends stamp it on arrival of data instead of reading a clock. */
  now: number;
  private readonly members: Set<Ticked>;
  private readonly onError: (error: unknown) => void;
  private interval: NodeJS.Timeout | null;

  /** `onError` gets the error of a member that threw; the other members are still ticked. */
  constructor(onError: (error: unknown) => void) {
    this.now = 0;
    this.members = new Set();
    this.onError = onError;
    this.interval = null;
  }

  get size(): number {
    return this.members.size;
  }

  add(member: Ticked): void {
    this.members.add(member);
    if (this.interval === null) this.interval = setInterval(() => this.advance(), TICK_MS).unref();
  }

  /** Allowed within `tick`. */
  remove(member: Ticked): void {
    this.members.delete(member);
    if (this.members.size === 0) this.close();
  }

  /** One tick. Called by the interval; tests call it instead of waiting. */
  advance(): void {
    const now = ++this.now;
    for (const member of this.members) {
      try {
        member.tick(now);
      } catch (error) {
        this.members.delete(member);
        member.tickFailed?.();
        this.onError(error);
      }
    }
  }

  /** Stops the interval until a member is added again. */
  close(): void {
    if (this.interval === null) return;
    clearInterval(this.interval);
    this.interval = null;
  }
}
