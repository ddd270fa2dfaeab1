// How an MQTT client goes wrong, and the one table from the core's kinds of refusal to MQTT's reason codes. Up to 3.1.1
// there is no error reply but CONNACK: there a breach ends in a closed connection, and its reason is for the log. An
// MQTT 5 client is sent a DISCONNECT (or CONNACK) with the reason code first.

import type { ErrorKind } from '../../../src/core/errors.ts';
import type { CoreCountedLimit, Limited } from '../../../src/core/ports/limit-hits.ts';
import type { MqttCountedLimit } from '../limits.ts';
import { REASON, type Reason } from './reason-codes.ts';

/** The peer sent something that the specification forbids. The connection is closed; `message` goes to the log. */
export class MalformedPacket extends Error implements Limited<MqttCountedLimit> {
  readonly reason: Reason;
  readonly limit: CoreCountedLimit | MqttCountedLimit | null;

  constructor(
    message: string,
    reason: Reason = REASON.malformed,
    limit: CoreCountedLimit | MqttCountedLimit | null = null,
  ) {
    super(message);
    this.name = 'MalformedPacket';
    this.reason = reason;
    this.limit = limit;
  }
}

/** A CONNECT that was understood and is answered with a code before the close. */
export class ConnectRefused extends Error implements Limited<MqttCountedLimit> {
  readonly reason: Reason;
  readonly limit: CoreCountedLimit | MqttCountedLimit | null;

  constructor(reason: Reason, message: string, limit: CoreCountedLimit | MqttCountedLimit | null = null) {
    super(message);
    this.name = 'ConnectRefused';
    this.reason = reason;
    this.limit = limit;
  }
}

/**
 * What a refused login says. As RabbitMQ, bad credentials and an unknown virtual host both read "bad user name or
 * password", so that a stranger does not learn which virtual hosts exist.
 */
export function loginReasonOf(kind: ErrorKind): Reason {
  switch (kind) {
    case 'access-refused':
    case 'not-found':
      return REASON.badCredentials;
    case 'resource-locked':
    case 'precondition-failed':
    case 'not-allowed':
      return REASON.notAuthorized;
    case 'invalid-argument':
      return REASON.clientIdNotValid;
    case 'limit-exceeded':
      return REASON.quotaExceeded;
    case 'not-implemented':
    case 'unavailable':
    case 'internal':
      return REASON.serverUnavailable;
    default:
      return kind satisfies never;
  }
}

/** What a refused publish or subscription says. */
export function refusalReasonOf(kind: ErrorKind): Reason {
  switch (kind) {
    case 'access-refused':
    case 'resource-locked':
    case 'not-allowed':
      return REASON.notAuthorized;
    case 'limit-exceeded':
    case 'unavailable':
      return REASON.quotaExceeded;
    case 'not-found':
    case 'precondition-failed':
    case 'invalid-argument':
    case 'not-implemented':
    case 'internal':
      return REASON.implementationSpecific;
    default:
      return kind satisfies never;
  }
}
