// What a CONNECT sets in motion between login and CONNACK: who it is, which client id, which session (MQTT 3.1.1 §3.1).

import { randomBytes } from 'node:crypto';
import type { Session } from '../../src/core/session.ts';
import type { Transport } from '../../src/net/transport.ts';
import type { ConnectRequest } from './control.ts';
import { ConnectRefused } from './errors.ts';
import { CONNECT_CODE } from './packet-types.ts';
import { MqttSession, type SessionLink } from './session.ts';
import { queueNameOf } from './session-queue.ts';
import type { Holder } from './sessions.ts';
import type { MqttOptions, MqttShared } from './shared.ts';

/** The connection that is being opened. It may be closed at any time in between. */
export interface Opening extends SessionLink, Holder {
  readonly transport: Transport;
  isClosed(): boolean;
  loggedIn(core: Session, clientId: string): void;
  holds(session: MqttSession): void;
}

/**
 * Logs in, takes the client id and attaches its session. Resolves to whether the session was there before, or null
 * where the connection went meanwhile. Rejects with ConnectRefused or BrokerError.
 */
export async function openSession(
  request: ConnectRequest,
  connection: Opening,
  shared: MqttShared,
): Promise<{ readonly present: boolean } | null> {
  const { limits, options, sessions } = shared;
  if (Buffer.byteLength(request.clientId) > limits.clientIdBytes) {
    throw new ConnectRefused(CONNECT_CODE.identifierRejected, 'the client id is over the length limit');
  }
  // [MQTT-3.1.3-7] [MQTT-3.1.3-8]
  if (request.clientId === '' && !request.cleanSession) {
    throw new ConnectRefused(CONNECT_CODE.identifierRejected, 'a persistent session needs a client id');
  }
  const credentials = credentialsOf(request, options, connection.transport.loopback);
  const core = await shared.context.door.login(credentials);
  if (connection.isClosed()) {
    core.close();
    return null;
  }
  const clientId = request.clientId === '' ? `auto-${randomBytes(12).toString('base64url')}` : request.clientId;
  const vhost = core.vhost.name;
  connection.loggedIn(core, clientId);
  await sessions.claim(vhost, clientId, connection);
  if (connection.isClosed()) return null;
  const queueName = queueNameOf(clientId);
  const stored = core.vhost.queues.has(queueName);
  if (request.cleanSession) {
    // [MQTT-3.1.2-6]
    sessions.forget(vhost, clientId);
    if (stored) await core.deleteQueue(queueName, { ifUnused: false, ifEmpty: false });
    if (connection.isClosed()) return null;
    const session = new MqttSession(clientId, false, shared);
    connection.holds(session);
    await session.attach(connection);
    return { present: false };
  }
  const session = (stored ? sessions.get(vhost, clientId) : null) ?? new MqttSession(clientId, true, shared);
  sessions.keep(vhost, session);
  connection.holds(session);
  await session.attach(connection);
  return { present: stored };
}

/** `vhost:user` names a virtual host, cut at the last colon, as in RabbitMQ. */
function credentialsOf(
  request: ConnectRequest,
  options: MqttOptions,
  loopback: boolean,
): { user: string; password: string; vhost: string; loopback: boolean } {
  if (request.user === null) {
    if (options.anonymous === null) {
      throw new ConnectRefused(CONNECT_CODE.notAuthorized, 'a user name is required');
    }
    return { ...options.anonymous, vhost: options.vhost, loopback };
  }
  const colon = request.user.lastIndexOf(':');
  return {
    user: request.user.slice(colon + 1),
    password: request.password ?? '',
    vhost: colon === -1 ? options.vhost : request.user.slice(0, colon),
    loopback,
  };
}
