// How an MQTT client goes wrong. 3.1.1 has no error reply but CONNACK: whatever breaks the protocol ends in a closed
// connection, so the reasons here are for the log. This file also holds the one table from the core's kinds of refusal
// to MQTT's codes.

import type { ErrorKind } from '../../src/core/errors.ts';
import { CONNECT_CODE, type ConnectCode } from './packet-types.ts';

/** The peer sent something that the specification forbids. The connection is closed; `message` goes to the log. */
export class MalformedPacket extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'MalformedPacket';
  }
}

/** A CONNECT that was understood and is answered with a return code before the close. */
export class ConnectRefused extends Error {
  readonly code: ConnectCode;

  constructor(code: ConnectCode, message: string) {
    super(message);
    this.name = 'ConnectRefused';
    this.code = code;
  }
}

/**
 * What a refused login says. As RabbitMQ, bad credentials and an unknown virtual host both read "bad user name or
 * password", so that a stranger does not learn which virtual hosts exist.
 */
export function connectCodeOf(kind: ErrorKind): ConnectCode {
  switch (kind) {
    case 'access-refused':
    case 'not-found':
      return CONNECT_CODE.badCredentials;
    case 'resource-locked':
    case 'precondition-failed':
    case 'not-allowed':
      return CONNECT_CODE.notAuthorized;
    case 'invalid-argument':
      return CONNECT_CODE.identifierRejected;
    case 'limit-exceeded':
    case 'not-implemented':
    case 'unavailable':
    case 'internal':
      return CONNECT_CODE.serverUnavailable;
    default:
      return kind satisfies never;
  }
}
