// The clocks of the process, as a port: simulations and tests have their own.

export interface Clock {
  /** Milliseconds since the epoch. May jump, when the machine's clock is set or the machine wakes from sleep. */
  now(): number;
  /** Milliseconds since an arbitrary moment; never jumps. Absent: `now` does not jump (simulations). */
  monotonic?(): number;
}

/** The machine's clocks. */
export const SYSTEM_CLOCK: Clock = Object.freeze({ now: Date.now, monotonic: () => performance.now() });

/** The clock that never jumps. */
export function monotonicOf(clock: Clock): () => number {
  return clock.monotonic === undefined ? () => clock.now() : () => clock.monotonic!();
}
