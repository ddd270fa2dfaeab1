// What ends a STOMP connection: a peer's violation or a refused request, as the ERROR frame shows it. The table from
// the core's error kinds to the `message` header of that frame is here and nowhere else.

import { BrokerError, type ErrorKind } from '../../src/core/errors.ts';
import type { CoreCountedLimit, Limited } from '../../src/core/ports/limit-hits.ts';
import type { StompCountedLimit, StompLimits } from './limits.ts';

/** `summary` becomes the ERROR frame's `message` header, `detail` its body. Both are safe to send to the peer. */
export class StompError extends Error implements Limited<StompCountedLimit> {
  readonly summary: string;
  readonly detail: string;
  readonly limit: CoreCountedLimit | StompCountedLimit | null;

  constructor(summary: string, detail: string, limit: CoreCountedLimit | StompCountedLimit | null = null) {
    super(`${summary}: ${detail}`);
    this.name = 'StompError';
    this.summary = summary;
    this.detail = detail;
    this.limit = limit;
  }
}

/** Bytes that are no STOMP frame. */
export function malformed(detail: string): StompError {
  return new StompError('Malformed frame', detail);
}

/** A frame before CONNECT. */
export function notConnected(): StompError {
  return new StompError('Not connected', 'the first frame must be CONNECT or STOMP');
}

/** A bound was reached; the peer's owner learns under which key the configuration has it. */
export function limitExceeded(limit: Exclude<keyof StompLimits, `${string}Ms`>, bound: number): StompError {
  const key = limit === 'maxBodyBytes' ? 'limits.messageBytes' : (`stomp.${limit}` as const);
  return new StompError('Limit exceeded', `${key} is ${bound}`, key);
}

const SUMMARIES: { readonly [kind in ErrorKind]: string } = {
  'not-found': 'not_found',
  'access-refused': 'access_refused',
  'precondition-failed': 'precondition_failed',
  'resource-locked': 'resource_locked',
  'not-allowed': 'not_allowed',
  'not-implemented': 'not_implemented',
  'limit-exceeded': 'limit_exceeded',
  'invalid-argument': 'invalid_argument',
  unavailable: 'unavailable',
  internal: 'internal_error',
};

/** What the peer is told of an error. Summaries are in the spelling that RabbitMQ's clients know. */
export function shownToPeer(error: unknown): { readonly summary: string; readonly detail: string } {
  if (error instanceof StompError) return error;
  if (error instanceof BrokerError) return { summary: SUMMARIES[error.kind], detail: error.message };
  return { summary: SUMMARIES.internal, detail: 'the broker failed to handle a frame' };
}
