// Logging in: what a CONNECT (or STOMP) frame asks for, the session that it gets, and the CONNECTED that answers it
// (STOMP 1.2, «Connecting»).

import { hostname } from 'node:os';
import { BrokerError } from '../../src/core/errors.ts';
import { mayBeAnonymous } from '../../src/core/session/access-control.ts';
import type { Session } from '../../src/core/session/session.ts';
import { DEFAULT_VHOST } from '../../src/core/vhost/virtual-hosts.ts';
import type { Transport } from '../../src/net/transport.ts';
import type { StompContext } from './context.ts';
import type { Frame } from './frame.ts';
import { textFrame } from './frame-writer.ts';
import { HEADER } from './header-names.ts';
import { type HeartBeatOffer, parseHeartBeat } from './heart-beat.ts';
import { StompError } from './stomp-error.ts';
import { negotiateVersion, STOMP_VERSION, type StompVersion, SUPPORTED_VERSIONS, versionName } from './version.ts';

export interface ConnectRequest {
  readonly version: StompVersion;
  /** Null, both: a client without credentials. */
  readonly user: string | null;
  readonly password: string | null;
  readonly vhost: string;
  readonly heartBeat: HeartBeatOffer;
}

/**
 * Reads a CONNECT frame. `credentials` came with the WebSocket's upgrade and count in place of the frame's, because the
 * configuration says so. Throws StompError where nobody can be logged in by it.
 */
export function readConnect(frame: Frame, credentials: Transport['httpCredentials']): ConnectRequest {
  const version = negotiateVersion(frame.text(HEADER.acceptVersion));
  if (version === null) {
    throw new StompError('Version mismatch', `supported protocol versions are ${SUPPORTED_VERSIONS}`);
  }
  const vhost = frame.text(HEADER.host) || DEFAULT_VHOST;
  const heartBeat = parseHeartBeat(frame.text(HEADER.heartBeat));
  const { user, password } = credentials ?? frameCredentials(frame) ?? NOBODY;
  if ((user === null) !== (password === null)) {
    throw new StompError('Bad CONNECT', "'login' and 'passcode' are required");
  }
  return { version, user, password, vhost, heartBeat };
}

const NOBODY = { user: null, password: null } as const;

/** Null where the frame has neither; libraries write empty headers for what they were not given. */
function frameCredentials(frame: Frame): { readonly user: string | null; readonly password: string | null } | null {
  const user = frame.text(HEADER.login);
  const password = frame.text(HEADER.passcode);
  return user || password ? { user, password } : null;
}

/** The session of whoever connects. Rejects with StompError or BrokerError where it is refused, and logs why. */
export async function logIn(
  request: ConnectRequest,
  connection: { readonly id: number; readonly transport: Transport },
  context: StompContext,
): Promise<Session> {
  try {
    return await enter(request, connection.transport, context);
  } catch (error) {
    const { user, vhost } = request;
    const { id, transport } = connection;
    context.log.warn(
      { connection: id, peer: transport.peer, user, vhost, reason: String(error) },
      'STOMP login refused',
    );
    // Whatever was wrong, a stranger learns the same.
    if (error instanceof BrokerError && error.kind === 'access-refused') {
      throw new StompError('Bad CONNECT', `access to vhost '${vhost}' refused for user '${user}'`);
    }
    throw error;
  }
}

export function connectedFrame(version: StompVersion, sessionId: string, context: StompContext): Buffer {
  const beat = context.limits.minHeartBeatMs;
  const headers: [string, string][] = [
    ['version', versionName(version)],
    ['server', `${context.identity.product}/${context.identity.version}`],
    ['broker', context.identity.broker],
    ['session', sessionId],
    ['heart-beat', `${beat},${beat}`],
  ];
  // CONNECTED is never escaped (STOMP 1.2, «Value Encoding»), and none of these values needs it.
  return textFrame('CONNECTED', headers, '', STOMP_VERSION.v1_0);
}

/**
 * «It is RECOMMENDED clients set this to the host name that the socket was established against» (STOMP 1.2, CONNECT),
 * and several libraries do: where that is no virtual host of the user's, the default one is meant.
 */
async function enter(request: ConnectRequest, transport: Transport, context: StompContext): Promise<Session> {
  const { vhost } = request;
  try {
    return await enterVhost(request, vhost, transport, context);
  } catch (error) {
    if (!(error instanceof BrokerError) || !isOwnName(vhost, transport.local)) throw error;
    return enterVhost(request, DEFAULT_VHOST, transport, context);
  }
}

async function enterVhost(
  { user, password }: ConnectRequest,
  vhost: string,
  transport: Transport,
  { access, anonymous }: StompContext,
): Promise<Session> {
  if (user === null || password === null) {
    if (!mayBeAnonymous(anonymous, transport.loopback)) {
      throw new StompError('Bad CONNECT', "'login' and 'passcode' are required");
    }
    return access.enterAnonymously(anonymous.user, vhost, transport.loopback);
  }
  return await access.login({ user, password, vhost, origin: transport });
}

/** Whether that is a name or an address of this machine, as the socket or the system knows it. */
function isOwnName(name: string, local: string): boolean {
  const address = local.slice(0, local.lastIndexOf(':')).replace(/^\[|\]$/g, '');
  return name === 'localhost' || name === address || name === hostname();
}
