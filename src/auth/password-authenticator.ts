// Authenticates by user name and password: checks the broker's own users, their access to the virtual host, and that
// some users (guest) connect from this machine only. Its reasons are for the log; the peer never sees them.

import { randomBytes } from 'node:crypto';
import type {
  AuthenticationExchange,
  Authenticator,
  Credentials,
  Identity,
  LoginOrigin,
} from '../core/ports/authorization.ts';
import { ALL, type Patterns, type Permissions } from './permissions.ts';
import { SCRAM_METHOD, ScramExchange } from './scram.ts';
import { type Users, VERDICT } from './users.ts';

export class PasswordAuthenticator implements Authenticator {
  private readonly users: Users;
  private readonly permissions: Permissions;
  private readonly loopbackUsers: ReadonlySet<string>;

  constructor(users: Users, permissions: Permissions, loopbackUsers: readonly string[]) {
    this.users = users;
    this.permissions = permissions;
    this.loopbackUsers = new Set(loopbackUsers);
  }

  async authenticate(credentials: Credentials): Promise<Identity | { readonly refused: string }> {
    const { user, vhost } = credentials;
    const identity = await this.identify(user, credentials.password, credentials.origin);
    if ('refused' in identity) return identity;
    if (!this.mayEnter(user, vhost)) return { refused: `user '${user}' has no access to vhost '${vhost}'` };
    return identity;
  }

  /** As `authenticate`, without a virtual host; the management API uses it. */
  async identify(
    user: string,
    password: string,
    origin: LoginOrigin,
  ): Promise<Identity | { readonly refused: string }> {
    const verdict = await this.users.verify(user, password, origin);
    switch (verdict) {
      case VERDICT.busy:
        return { refused: 'too many logins wait for their password check' };
      case VERDICT.gone:
        return { refused: 'the connection ended before the password check' };
      case VERDICT.wrong:
        return { refused: `unknown user '${user}' or wrong password` };
      case VERDICT.accepted:
        break;
      default:
        verdict satisfies never;
    }
    // Checked after the password, so that the answer does not reveal which users exist.
    return this.certified(user, origin.loopback);
  }

  certified(user: string, loopback: boolean): Identity | { readonly refused: string } {
    if (!loopback && this.loopbackUsers.has(user)) return { refused: `user '${user}' may connect over loopback only` };
    const known = this.users.get(user);
    if (known === null) return { refused: `there is no user '${user}'` };
    return { user, tags: known.tags };
  }

  knows(user: string): boolean {
    return this.users.get(user) !== null;
  }

  exchange(method: string, loopback: boolean): AuthenticationExchange | null {
    if (method !== SCRAM_METHOD) return null;
    return new ScramExchange(
      (user) => this.users.scram(user),
      (user) => this.certified(user, loopback),
    );
  }

  mayEnter(user: string, vhost: string): boolean {
    return this.permissions.mayEnter(user, vhost);
  }
}

/** What a device needs: its MQTT session and STOMP subscriptions to topics, and the exchange of topics. */
export const DEVICE: Patterns = Object.freeze({
  configure: '^(mqtt|stomp)-subscription-',
  write: '^((mqtt|stomp)-subscription-.*|amq\\.topic)$',
  read: '^((mqtt|stomp)-subscription-.*|amq\\.topic)$',
});

export interface FirstUsers {
  readonly vhost: string;
  readonly administrator: string;
  readonly password: string;
  /** As whom clients without a user name are logged in: a user without tags, and with no password that anybody knows. */
  readonly anonymous: string;
}

/** Creates the users of a broker that has none. True if they were created. */
export async function ensureFirstUsers(users: Users, permissions: Permissions, first: FirstUsers): Promise<boolean> {
  const { vhost, administrator, password, anonymous } = first;
  if (users.size > 0) return false;
  const secret = randomBytes(32).toString('base64url');
  const devices = anonymous === administrator ? null : users.put(anonymous, secret, []);
  await Promise.all([users.put(administrator, password, ['administrator']), devices]);
  permissions.put(vhost, administrator, ALL);
  if (devices !== null) permissions.put(vhost, anonymous, DEVICE);
  return true;
}
