// The regular expressions of permissions.

import { BrokerError } from '../core/errors.ts';

/** Together with the bounds of names this bounds what one match can cost. */
const PATTERN_BYTES = 1024;

/**
 * Unanchored, as in RabbitMQ, where the empty pattern stands for `^$` and matches no name that exists.
 * @throws BrokerError invalid-argument where it is no regular expression or too long
 */
export function compilePattern(pattern: string): RegExp {
  if (typeof pattern !== 'string' || Buffer.byteLength(pattern) > PATTERN_BYTES) {
    throw new BrokerError('invalid-argument', `a permission is a pattern of at most ${PATTERN_BYTES} bytes`);
  }
  try {
    return new RegExp(pattern === '' ? '^$' : pattern);
  } catch (error) {
    throw new BrokerError('invalid-argument', `not a regular expression: ${(error as Error).message}`);
  }
}
