// What the core says when it refuses a request. The core throws a kind; each protocol owns one table from kind
// to its own reply code, so that no protocol's numbers appear here.

export const ERROR_KINDS = [
  'not-found',
  'access-refused',
  'precondition-failed',
  'resource-locked',
  'not-allowed',
  'not-implemented',
  'limit-exceeded',
  'invalid-argument',
  'unavailable',
  'internal',
] as const;

/** The closed set of reasons for which the core refuses a request. */
export type ErrorKind = (typeof ERROR_KINDS)[number];

/** A request that was understood and refused. `message` is readable and safe to send to the peer. */
export class BrokerError extends Error {
  readonly kind: ErrorKind;

  constructor(kind: ErrorKind, message: string) {
    super(message);
    this.name = 'BrokerError';
    this.kind = kind;
  }
}
