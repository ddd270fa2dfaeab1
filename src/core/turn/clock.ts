// The clocks of the process, as a port: simulations and tests bring their own.

export interface Clock {
  /** Milliseconds since the epoch. May jump, when somebody sets the machine's clock or it wakes from sleep. */
  now(): number;
  /** Milliseconds since some moment, never set by anybody. Absent: `now` does not jump (simulations). */
  monotonic?(): number;
}

/** Those of the machine. */
export const SYSTEM_CLOCK: Clock = Object.freeze({ now: Date.now, monotonic: () => performance.now() });
