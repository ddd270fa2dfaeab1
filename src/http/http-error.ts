// The one form of an error response, RabbitMQ's: `{"error": "not_found", "reason": "…"}`. Fastify's errors, refusals of
// the core and internal errors all use it. An internal error is logged, and the response does not show it.

import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { BrokerError, type ErrorKind } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';

export const ErrorBody = Type.Object({ error: Type.String(), reason: Type.String() });

/** An error response that the HTTP API itself decides. The client sees `reason`. */
export class HttpError extends Error {
  readonly statusCode: number;
  readonly error: string;

  constructor(statusCode: number, error: string, reason: string) {
    super(reason);
    this.name = 'HttpError';
    this.statusCode = statusCode;
    this.error = error;
  }
}

const STATUS: Readonly<Record<ErrorKind, number>> = {
  'not-found': 404,
  'access-refused': 403,
  'precondition-failed': 400,
  'resource-locked': 409,
  'not-allowed': 400,
  'not-implemented': 501,
  'limit-exceeded': 400,
  'invalid-argument': 400,
  unavailable: 503,
  internal: 500,
};

/** The error handler of all routes. */
export function answerError(log: Logger) {
  return (error: FastifyError | HttpError | BrokerError, request: FastifyRequest, reply: FastifyReply): void => {
    const { status, name } = classify(error);
    if (status >= 500 && status !== 503) {
      log.error({ err: error, method: request.method, route: request.routeOptions.url }, 'an HTTP request failed');
    }
    const reason = status === 500 ? 'internal error; the log of the broker says more' : error.message;
    reply.code(status).send({ error: name, reason });
  };
}

export function answerNotFound(_request: FastifyRequest, reply: FastifyReply): void {
  reply.code(404).send({ error: 'not_found', reason: 'no such resource' });
}

function classify(error: FastifyError | HttpError | BrokerError): { status: number; name: string } {
  if (error instanceof HttpError) return { status: error.statusCode, name: error.error };
  if (error instanceof BrokerError) return { status: STATUS[error.kind], name: error.kind.replaceAll('-', '_') };
  const status = error.statusCode ?? 500;
  return { status, name: status < 500 ? 'bad_request' : 'internal_error' };
}
