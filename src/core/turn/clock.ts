// The wall clock, as a port: simulations and tests bring their own.

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
}
