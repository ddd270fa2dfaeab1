// Access to the management API: HTTP basic authentication with the broker's users, and RabbitMQ's tags. A user with
// none of the four tags is refused. `monitoring` and `administrator` see all virtual hosts and connections; other users
// see their own.

import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Identity, LoginOrigin } from '../core/ports/authorization.ts';
import { basicCredentials } from '../net/http-credentials.ts';
import { addressGroup, isLoopback } from '../net/peer-address.ts';
import type { HttpContext } from './context.ts';
import { HttpError } from './http-error.ts';

const MANAGEMENT_TAGS = ['administrator', 'monitoring', 'policymaker', 'management'];
const ALL_SEEING_TAGS = ['administrator', 'monitoring'];

declare module 'fastify' {
  interface FastifyRequest {
    /** The authenticated user; null before authentication and on routes without it. */
    identity: Identity | null;
  }
}

/** The hook that authenticates requests of a route. */
export function authenticate(context: HttpContext) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const given = basicCredentials(request.headers.authorization);
    if (given === null) throw challenge(reply, context, 'no credentials');
    const answer = await context.identify(given.user, given.password, originOf(request.socket));
    if ('refused' in answer) {
      context.log.warn({ peer: request.ip, user: given.user, reason: answer.refused }, 'management login refused');
      throw challenge(reply, context, 'login failed');
    }
    const identity = answer as Identity;
    if (!identity.tags.some((tag) => MANAGEMENT_TAGS.includes(tag))) {
      throw new HttpError(401, 'not_authorized', 'not a management user');
    }
    request.identity = identity;
  };
}

function originOf(socket: Socket): LoginOrigin {
  const address = socket.remoteAddress ?? '';
  return {
    address: addressGroup(address),
    loopback: isLoopback(address),
    get gone() {
      return socket.destroyed;
    },
  };
}

/** The user of a request, on a route behind `authenticate`. */
export function identityOf(request: FastifyRequest): Identity {
  if (request.identity === null) throw new Error('a route without authentication asked for an identity');
  return request.identity;
}

export function seesEverything(identity: Identity): boolean {
  return identity.tags.some((tag) => ALL_SEEING_TAGS.includes(tag));
}

/** Whether a user of the API sees the resources of a virtual host. */
export function seesVhost(context: HttpContext, identity: Identity, vhost: string): boolean {
  return seesEverything(identity) || context.mayEnter(identity.user, vhost);
}

function challenge(reply: FastifyReply, { identity }: HttpContext, reason: string): HttpError {
  reply.header('www-authenticate', `Basic realm="${identity.realm}", charset="UTF-8"`);
  return new HttpError(401, 'not_authorized', reason);
}
