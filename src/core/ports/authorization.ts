// The ports through which clients are authenticated and authorized. src/auth implements them. Both may answer late.

export const PERMISSIONS = ['configure', 'write', 'read'] as const;

export type Permission = (typeof PERMISSIONS)[number];

/** Permissions that apply to topics. */
export type TopicPermission = Exclude<Permission, 'configure'>;

/** The authenticated user. */
export interface Identity {
  readonly user: string;
  readonly tags: readonly string[];
}

/** Where a login comes from. */
export interface LoginOrigin {
  /** Whether the peer is on this machine (`guest` may only connect from there). */
  readonly loopback: boolean;
  /** What the peer's address counts as where a limit is for each address. */
  readonly address: string;
  /** Whether the connection has ended, so that nobody waits for the answer. */
  readonly gone: boolean;
}

/** The credentials of a client that logs in. Secrets are never logged. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
  readonly vhost: string;
  readonly origin: LoginOrigin;
}

/** The result of one step of an authentication exchange. */
export type ExchangeStep =
  | { readonly data: Buffer; readonly identity: Identity | null }
  /** For the log only. */
  | { readonly refused: string };

/** An authentication in several messages (SASL). */
export interface AuthenticationExchange {
  /** Processes the client's next message. The reply is `data`; with an identity it is the last one. */
  step(data: Buffer): Promise<ExchangeStep>;
}

/** As whom clients without a user name are logged in. */
export interface AnonymousLogin {
  readonly user: string;
  /** Only clients on this machine. */
  readonly loopbackOnly: boolean;
}

export interface Authenticator {
  /** The identity, or the reason if user, password or vhost access is refused; the reason is for the log only. */
  authenticate(credentials: Credentials): Promise<Identity | { readonly refused: string }>;
  /** The first half of `authenticate`, for protocols that name the virtual host later (AMQP). */
  identify(user: string, password: string, origin: LoginOrigin): Promise<Identity | { readonly refused: string }>;
  /** As `identify`, for a client whose TLS certificate was verified: the user must exist, and needs no password. */
  certified(user: string, loopback: boolean): Identity | { readonly refused: string };
  /** Whether there is such a user. */
  knows(user: string): boolean;
  /** Begins an exchange with a SASL mechanism; null: the mechanism is not supported. */
  exchange(method: string, loopback: boolean): AuthenticationExchange | null;
  /** The second half of `authenticate`. */
  mayEnter(user: string, vhost: string): boolean;
}

export interface Authorizer {
  /** Incremented whenever an answer may have changed; sessions cache answers until then. */
  readonly generation: number;
  /** RabbitMQ's three permissions on a named resource of a vhost (regular expressions over the name). */
  allows(identity: Identity, vhost: string, permission: Permission, resource: string): boolean | Promise<boolean>;
  /** Whether `allowsTopic` may refuse this user anything in this exchange. Only for topic exchanges. */
  restrictsTopics(identity: Identity, vhost: string, exchange: string): boolean;
  /**
   * Whether a user who may write to (publish) or read from (bind) a topic exchange may use that routing or binding key.
   * `clientId`: of an MQTT client, in the form of a routing key; else null.
   */
  allowsTopic(
    identity: Identity,
    vhost: string,
    exchange: string,
    permission: TopicPermission,
    routingKey: string,
    clientId: string | null,
  ): boolean | Promise<boolean>;
}
