// Logins: credentials become a session or are refused. Every front-end and the HTTP API log in here.

import { BrokerError } from '../errors.ts';
import type {
  AnonymousLogin,
  AuthenticationExchange,
  Credentials,
  Identity,
  LoginOrigin,
} from '../ports/authorization.ts';
import { Session } from './session.ts';
import type { SessionContext } from './session-context.ts';

/** Whether a client without a user name is logged in. */
export function mayBeAnonymous(anonymous: AnonymousLogin | null, loopback: boolean): anonymous is AnonymousLogin {
  return anonymous !== null && (loopback || !anonymous.loopbackOnly);
}

export class AccessControl {
  private readonly context: SessionContext;

  constructor(context: SessionContext) {
    this.context = context;
  }

  /**
   * A session for these credentials. Throws BrokerError: `access-refused` (the peer always gets the same text),
   * `not-found` (no such virtual host; only with valid credentials).
   */
  async login(credentials: Credentials): Promise<Session> {
    const { authenticator, hosts } = this.context;
    const answer = await authenticator.authenticate(credentials);
    if ('refused' in answer) {
      throw new BrokerError('access-refused', `login refused for user '${credentials.user}': ${answer.refused}`);
    }
    const host = hosts.get(credentials.vhost);
    if (host === null) throw new BrokerError('not-found', `no vhost '${credentials.vhost}'`);
    return new Session(host, answer as Identity, this.context);
  }

  /** The identity, for protocols that name the virtual host later. Throws BrokerError: `access-refused`. */
  async identify(user: string, password: string, origin: LoginOrigin): Promise<Identity> {
    const answer = await this.context.authenticator.identify(user, password, origin);
    if ('refused' in answer)
      throw new BrokerError('access-refused', `login refused for user '${user}': ${answer.refused}`);
    return answer;
  }

  /** The identity of a client whose verified certificate names `user`. Throws BrokerError: `access-refused`. */
  async identifyCertified(user: string, loopback: boolean): Promise<Identity> {
    const answer = this.context.authenticator.certified(user, loopback);
    if ('refused' in answer) {
      throw new BrokerError('access-refused', `login refused for the certificate of '${user}': ${answer.refused}`);
    }
    return answer;
  }

  /** A session for a client that `mayBeAnonymous`. Throws BrokerError: `access-refused`, `not-found`. */
  enterAnonymously(user: string, vhost: string, loopback: boolean): Session {
    const answer = this.context.authenticator.certified(user, loopback);
    if ('refused' in answer) {
      throw new BrokerError('access-refused', `login refused for clients without a user name: ${answer.refused}`);
    }
    return this.enter(answer, vhost);
  }

  /** Whether there is such a user. */
  knows(user: string): boolean {
    return this.context.authenticator.knows(user);
  }

  /**
   * Begins an authentication in several steps; null: the method is not supported. The identity that it yields may
   * `enter`.
   */
  exchange(method: string, loopback: boolean): AuthenticationExchange | null {
    return this.context.authenticator.exchange(method, loopback);
  }

  /** A session for an authenticated user. Throws BrokerError: `not-found`, `access-refused`. */
  enter(identity: Identity, vhost: string): Session {
    const host = this.context.hosts.get(vhost);
    if (host === null) throw new BrokerError('not-found', `vhost ${vhost} not found`);
    if (!this.context.authenticator.mayEnter(identity.user, vhost)) {
      throw new BrokerError('access-refused', `access to vhost '${vhost}' refused for user '${identity.user}'`);
    }
    return new Session(host, identity, this.context);
  }
}
