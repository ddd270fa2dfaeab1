// What a CONNECT sets in motion between login and CONNACK: who it is, which client id, which session (MQTT 5 §3.1).

import { randomBytes } from 'node:crypto';
import type { Identity } from '../../../src/core/ports/authorization.ts';
import type { Session } from '../../../src/core/session/session.ts';
import { certificateUser } from '../../../src/net/certificate-login.ts';
import type { Transport } from '../../../src/net/transport.ts';
import type { MqttContext } from '../context.ts';
import type { MqttOptions } from '../options.ts';
import type { ConnectRequest } from '../packet/connect-packet.ts';
import { ConnectRefused } from '../packet/errors.ts';
import { LEVEL } from '../packet/packet-types.ts';
import { REASON } from '../packet/reason-codes.ts';
import type { MqttSession } from '../session/session.ts';
import type { SessionConnection } from '../session/session-connection.ts';
import type { ClientIdHolder, Sessions } from '../session/sessions.ts';
import { swapSeparators } from '../topic/topics.ts';

/** Characters of a client id of MQTT 3.1. */
const CLIENT_ID_3_1 = 23;

/** The connection that is being opened. It may be closed at any time in between. */
export interface OpeningConnection extends SessionConnection, ClientIdHolder {
  readonly transport: Transport;
  readonly sessions: Sessions;
  isClosed(): boolean;
  loggedIn(core: Session, clientId: string): void;
  holds(session: MqttSession): void;
}

/** What became of it. */
export interface OpenedSession {
  /** Whether the session was there before. */
  readonly present: boolean;
  /** The client id that the broker gave, or null where the client brought one. */
  readonly assigned: string | null;
  /** Seconds that the session outlives its connection. */
  readonly expirySeconds: number;
}

/**
 * Logs in (unless `identity` says who it is), takes the client id and attaches its session. Resolves to null where the
 * connection went meanwhile. Rejects with ConnectRefused or BrokerError.
 */
export async function openSession(
  request: ConnectRequest,
  identity: Identity | null,
  connection: OpeningConnection,
  context: MqttContext,
): Promise<OpenedSession | null> {
  const { limits } = context;
  const { sessions } = connection;
  if (Buffer.byteLength(request.clientId) > limits.clientIdBytes) {
    throw new ConnectRefused(REASON.clientIdNotValid, 'the client id is over the length limit', 'mqtt.clientIdBytes');
  }
  if (request.level === LEVEL.v3_1) {
    const { length } = request.clientId;
    // MQTT 3.1 §3.1: 1 to 23 characters.
    if (length === 0 || length > CLIENT_ID_3_1) {
      throw new ConnectRefused(REASON.clientIdNotValid, `a client id of ${length} characters`);
    }
  }
  // [MQTT-3.1.3-7] [MQTT-3.1.3-8] of 3.1.1
  if (request.clientId === '' && !request.cleanStart && request.level < LEVEL.v5) {
    throw new ConnectRefused(REASON.clientIdNotValid, 'a persistent session needs a client id');
  }
  const core = await logIn(request, identity, connection.transport, context);
  if (connection.isClosed()) {
    core.close();
    return null;
  }
  const assigned = request.clientId === '' ? `auto-${randomBytes(12).toString('base64url')}` : null;
  const clientId = assigned ?? request.clientId;
  const { vhost } = core;
  core.clientId = swapSeparators(clientId);
  connection.loggedIn(core, clientId);
  await sessions.claim(vhost.name, clientId, connection);
  if (connection.isClosed()) return null;
  const belongsToOther = await sessions.get(vhost.name, clientId)?.belongsToOther(core);
  if (connection.isClosed()) return null;
  let session = sessions.get(vhost.name, clientId);
  // Where its queue was deleted by other hands, nothing is left of a session.
  if (session !== null && (request.cleanStart || belongsToOther === true || !vhost.queues.has(session.queueName))) {
    // [MQTT-3.1.2-4]
    await session.end();
    await core.committed();
    session = null;
    if (connection.isClosed()) return null;
  }
  const expirySeconds = Math.min(request.expirySeconds, limits.sessionExpirySeconds);
  const present = session !== null;
  session ??= sessions.create(vhost, clientId, expirySeconds > 0);
  connection.holds(session);
  await session.attach(connection, expirySeconds, request.will);
  return { present, assigned, expirySeconds };
}

/** By what was established before CONNACK, a certificate, or user name and password. */
async function logIn(
  request: ConnectRequest,
  identity: Identity | null,
  transport: Transport,
  { options, access }: MqttContext,
): Promise<Session> {
  const { clientCertificate, loopback } = transport;
  if (identity !== null) return access.enter(identity, vhostOf(request, options));
  const certified = request.user === null ? certificateUser(clientCertificate, options.certificateLogin) : null;
  if (certified === null) return await access.login(credentialsOf(request, options, loopback));
  return access.enter(await access.identifyCertified(certified, loopback), options.vhost);
}

/** `vhost:user` names a virtual host, cut at the last colon, as in RabbitMQ. */
function credentialsOf(
  request: ConnectRequest,
  options: MqttOptions,
  loopback: boolean,
): { user: string; password: string; vhost: string; loopback: boolean } {
  const { user } = request;
  if (user === null) {
    const { anonymous, vhost } = options;
    if (anonymous === null || (anonymous.loopbackOnly && !loopback)) {
      throw new ConnectRefused(REASON.notAuthorized, 'a user name is required');
    }
    return { user: anonymous.user, password: anonymous.password, vhost, loopback };
  }
  const name = user.slice(user.lastIndexOf(':') + 1);
  return { user: name, password: request.password ?? '', vhost: vhostOf(request, options), loopback };
}

function vhostOf({ user }: ConnectRequest, options: MqttOptions): string {
  const colon = user === null ? -1 : user.lastIndexOf(':');
  return colon === -1 ? options.vhost : user!.slice(0, colon);
}
