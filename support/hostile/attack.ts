// What an attack is. An attack is the client of an ordinary user, or one that has not logged in, that sends what should
// hurt nobody but itself. It runs in a worker (worker.ts), so that it does not delay the clients that watch the broker.

import type { HostilePorts } from './hostile-broker.ts';

export interface AttackTarget {
  readonly ports: HostilePorts;
  /** Moves the broker's clock, forwards or (negative) backwards. */
  moveClock(ms: number): Promise<void>;
}

export interface Attack {
  /** What the client does, as the end of the sentence "a client that …". */
  readonly name: string;
  /** Resolves when the broker has answered everything or has closed the connections. */
  run(target: AttackTarget): Promise<void>;
}
