// Assertions about our own state: counters, memory, ring slots. What breaks one is a fault of ours, never a peer's. They
// stand where they cost a compare at a rare moment (a queue runs empty, a slot leaves); full recounts are for tests and
// simulations (`check` of a queue).

/** An invariant is broken. `message` names it. */
export class InvariantError extends Error {
  constructor(what: string, details: string) {
    super(details === '' ? `invariant broken: ${what}` : `invariant broken: ${what} (${details})`);
    this.name = 'InvariantError';
  }
}

/** Throws InvariantError where it does not hold. `what` is a constant, so that a check that passes allocates nothing. */
export function invariant(holds: boolean, what: string): asserts holds {
  if (!holds) throw new InvariantError(what, '');
}

/** As `invariant`, of two numbers that must be the same. */
export function invariantEqual(actual: number, expected: number, what: string): void {
  if (actual !== expected) throw new InvariantError(what, `${actual} instead of ${expected}`);
}
