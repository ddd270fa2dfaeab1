// Assertions about the broker's own state: counters, memory, ring slots. A broken one is a bug of the broker, never of
// a peer. They stand where they cost one comparison at a rare moment (a queue becomes empty, a slot is released); full
// recounts are for tests and simulations (`check` of a queue).

/** An invariant is broken. `message` names it. */
export class InvariantError extends Error {
  constructor(what: string, details: string) {
    super(details === '' ? `invariant broken: ${what}` : `invariant broken: ${what} (${details})`);
    this.name = 'InvariantError';
  }
}

/** Throws InvariantError unless `holds`. `what` is a constant, so that a check that passes allocates nothing. */
export function invariant(holds: boolean, what: string): asserts holds {
  if (!holds) throw new InvariantError(what, '');
}

/** As `invariant`, for two numbers that must be equal. */
export function invariantEqual(actual: number, expected: number, what: string): void {
  if (actual !== expected) throw new InvariantError(what, `${actual} instead of ${expected}`);
}
