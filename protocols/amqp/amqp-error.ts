// Reply codes and the table from the core's error kinds to them. The code decides the scope of an error (AMQP 0-9-1
// §1.2: soft errors close the channel, hard ones the connection). The texts are RabbitMQ's (`NAME - explanation`),
// because its users search for them.

import { BrokerError, type ErrorKind } from '../../src/core/errors.ts';
import type { CoreCountedLimit, Limited } from '../../src/core/ports/limit-hits.ts';
import type { AmqpCountedLimit } from './limits.ts';

/** AMQP 0-9-1 §1.2. */
export const REPLY = {
  success: 200,
  contentTooLarge: 311,
  noRoute: 312,
  connectionForced: 320,
  accessRefused: 403,
  notFound: 404,
  resourceLocked: 405,
  preconditionFailed: 406,
  frameError: 501,
  syntaxError: 502,
  commandInvalid: 503,
  channelError: 504,
  unexpectedFrame: 505,
  resourceError: 506,
  notAllowed: 530,
  notImplemented: 540,
  internalError: 541,
} as const;

export type ReplyCode = (typeof REPLY)[keyof typeof REPLY];

const NAMES: Readonly<Record<ReplyCode, string>> = {
  200: 'OK',
  311: 'CONTENT_TOO_LARGE',
  312: 'NO_ROUTE',
  320: 'CONNECTION_FORCED',
  403: 'ACCESS_REFUSED',
  404: 'NOT_FOUND',
  405: 'RESOURCE_LOCKED',
  406: 'PRECONDITION_FAILED',
  501: 'FRAME_ERROR',
  502: 'SYNTAX_ERROR',
  503: 'COMMAND_INVALID',
  504: 'CHANNEL_ERROR',
  505: 'UNEXPECTED_FRAME',
  506: 'RESOURCE_ERROR',
  530: 'NOT_ALLOWED',
  540: 'NOT_IMPLEMENTED',
  541: 'INTERNAL_ERROR',
};

/** Codes that close the channel only; every other one closes the connection. */
export function isChannelScope(code: ReplyCode): boolean {
  return code < 500 && code !== REPLY.connectionForced;
}

/** A violation by the peer, or a refused request, as it is reported to the peer. `message` is the whole reply text. */
export class AmqpError extends Error implements Limited<AmqpCountedLimit> {
  readonly code: ReplyCode;
  readonly limit: CoreCountedLimit | AmqpCountedLimit | null;

  constructor(code: ReplyCode, explanation: string, limit: CoreCountedLimit | AmqpCountedLimit | null = null) {
    super(`${NAMES[code]} - ${explanation}`);
    this.name = 'AmqpError';
    this.code = code;
    this.limit = limit;
  }
}

const CODE_OF_KIND: Readonly<Record<ErrorKind, ReplyCode>> = {
  'not-found': REPLY.notFound,
  'access-refused': REPLY.accessRefused,
  'precondition-failed': REPLY.preconditionFailed,
  'resource-locked': REPLY.resourceLocked,
  'not-allowed': REPLY.notAllowed,
  'not-implemented': REPLY.notImplemented,
  'limit-exceeded': REPLY.preconditionFailed,
  'invalid-argument': REPLY.preconditionFailed,
  unavailable: REPLY.resourceError,
  internal: REPLY.internalError,
};

/**
 * The reply for `error`. An error that is neither a violation nor a refusal is a bug of the broker: the peer gets
 * INTERNAL_ERROR without details.
 */
export function replyFor(error: unknown): AmqpError {
  if (error instanceof AmqpError) return error;
  if (error instanceof BrokerError) return new AmqpError(CODE_OF_KIND[error.kind], error.message);
  return new AmqpError(REPLY.internalError, 'internal error');
}
