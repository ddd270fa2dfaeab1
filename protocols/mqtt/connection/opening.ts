// Opens the session of a CONNECT, between its validation and CONNACK: login, client id, session (MQTT 5 §3.1). Called by
// handshake.ts.

import { randomBytes } from 'node:crypto';
import type { Credentials, Identity, LoginOrigin } from '../../../src/core/ports/authorization.ts';
import { mayBeAnonymous } from '../../../src/core/session/access-control.ts';
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
import { queueNameOf } from '../session/session-queue.ts';
import type { ClientIdHolder, Sessions } from '../session/sessions.ts';
import { swapSeparators } from '../topic/topics.ts';

/** The connection that a session is opened for. It may close at any time. */
export interface OpeningConnection extends SessionConnection, ClientIdHolder {
  readonly transport: Transport;
  readonly sessions: Sessions;
  isClosed(): boolean;
  /** From now on `core` is closed and the client id released when the connection closes. */
  loggedIn(core: Session, clientId: string): void;
  /** The session will be attached: from now on it is detached when the connection closes. */
  sessionFound(session: MqttSession): void;
}

export interface OpenedSession {
  /** Session Present: an earlier session is continued. */
  readonly present: boolean;
  /** The client id that the broker assigned; null: the client has sent one. */
  readonly assigned: string | null;
  /** Session expiry, seconds. */
  readonly expirySeconds: number;
}

/**
 * Logs in (unless enhanced authentication gave an `identity`), claims the client id and attaches its session. Resolves to
 * null if the connection has closed meanwhile. Rejects with ConnectRefused or BrokerError.
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
  // MQTT 3.1 allows 1 to 23 characters; every broker takes longer ones.
  if (request.level === LEVEL.v3_1 && request.clientId === '') {
    throw new ConnectRefused(REASON.clientIdNotValid, 'a client id of no characters');
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
  const user = sessions.userOf(vhost.name, clientId);
  connection.loggedIn(core, clientId);
  // Somebody else's: nothing happens to it unless this user could delete its queue, too.
  if (user !== null && user !== core.identity.user) {
    if (!(await core.mayConfigureQueue(queueNameOf(clientId)))) {
      throw new ConnectRefused(REASON.notAuthorized, `the client id '${clientId}' belongs to another user`);
    }
    if (connection.isClosed()) return null;
  }
  await sessions.claim(vhost.name, clientId, connection);
  if (connection.isClosed()) return null;
  const belongsToOther = await sessions.get(vhost.name, clientId)?.belongsToOther(core);
  if (connection.isClosed()) return null;
  let session = sessions.get(vhost.name, clientId);
  // A session whose queue was deleted by somebody else has ended.
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
  connection.sessionFound(session);
  await session.attach(connection, expirySeconds, request.will);
  return { present, assigned, expirySeconds };
}

/** Logs in by the identity of enhanced authentication, by the client certificate, or by user name and password. */
async function logIn(
  request: ConnectRequest,
  identity: Identity | null,
  transport: Transport,
  { options, access }: MqttContext,
): Promise<Session> {
  const { clientCertificate, loopback } = transport;
  if (identity !== null) return access.enter(identity, vhostOf(request, options));
  const certified = request.user === null ? certificateUser(clientCertificate, options.certificateLogin) : null;
  if (certified !== null) return access.enter(await access.identifyCertified(certified, loopback), options.vhost);
  const { anonymous, vhost } = options;
  if (request.user === null) {
    // MQTT 5 has passwords without a user name: not for a user whose password nobody checks.
    if (request.password !== null) throw new ConnectRefused(REASON.badCredentials, 'a password without a user name');
    if (!mayBeAnonymous(anonymous, loopback)) throw new ConnectRefused(REASON.notAuthorized, 'a user name is required');
    return access.enterAnonymously(anonymous.user, vhost, loopback);
  }
  const credentials = credentialsOf(request, options, transport);
  if (anonymous === null || anonymous.loopbackOnly || access.knows(credentials.user)) return access.login(credentials);
  // As Mosquitto with `allow_anonymous true`: credentials mean nothing where there is no such user.
  return access.enterAnonymously(anonymous.user, vhost, loopback);
}

/** A user name `vhost:user` names a virtual host; it is split at the last colon, as in RabbitMQ. */
function credentialsOf(request: ConnectRequest, options: MqttOptions, origin: LoginOrigin): Credentials {
  const user = request.user!;
  const name = user.slice(colonOf(user, options) + 1);
  return { user: name, password: request.password ?? '', vhost: vhostOf(request, options), origin };
}

/** Where the virtual host of a user name ends, or -1. */
function colonOf(user: string, options: MqttOptions): number {
  return options.ignoreColonsInUsername ? -1 : user.lastIndexOf(':');
}

function vhostOf({ user }: ConnectRequest, options: MqttOptions): string {
  const colon = user === null ? -1 : colonOf(user, options);
  return colon === -1 ? options.vhost : user!.slice(0, colon);
}
