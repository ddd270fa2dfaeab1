// The ports through which clients are authenticated and authorized. src/auth implements them. Both may answer late.

export const PERMISSIONS = ['configure', 'write', 'read'] as const;

export type Permission = (typeof PERMISSIONS)[number];

/** What topics are checked for. */
export type TopicPermission = Exclude<Permission, 'configure'>;

/** Who is acting, as the authenticator established it. */
export interface Identity {
  readonly user: string;
  readonly tags: readonly string[];
}

/** What a front-end learned about somebody who wants in. Secrets are never logged. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
  readonly vhost: string;
  /** Whether the peer is on this machine (`guest` may only connect from here). */
  readonly loopback: boolean;
}

/** Where an authentication exchange of several messages stands. */
export type ExchangeStep =
  | { readonly data: Buffer; readonly identity: Identity | null }
  /** For the log only. */
  | { readonly refused: string };

/** An authentication in which client and broker talk in turns (SASL). */
export interface AuthenticationExchange {
  /** The client's next message. The answer is `data`; with an identity it is the last one. */
  step(data: Buffer): Promise<ExchangeStep>;
}

export interface Authenticator {
  /** The identity, or null where user, password or vhost access is refused; the reason is for the log only. */
  authenticate(credentials: Credentials): Promise<Identity | { readonly refused: string }>;
  /** The first half of `authenticate`, for protocols that name the virtual host later (AMQP). */
  identify(user: string, password: string, loopback: boolean): Promise<Identity | { readonly refused: string }>;
  /** As `identify`, for somebody whose TLS certificate was verified: the user must exist, and needs no password. */
  certified(user: string, loopback: boolean): Identity | { readonly refused: string };
  /** Begins an exchange by a SASL mechanism; null: it is not known here. */
  exchange(method: string, loopback: boolean): AuthenticationExchange | null;
  /** The second half. */
  mayEnter(user: string, vhost: string): boolean;
}

export interface Authorizer {
  /** Grows whenever an answer may have changed; sessions keep their answers until then. */
  readonly generation: number;
  /** RabbitMQ's three permissions on a named resource of a vhost (regular expressions over the name). */
  allows(identity: Identity, vhost: string, permission: Permission, resource: string): boolean | Promise<boolean>;
  /** Whether `allowsTopic` may refuse this user anything in this exchange. Topic exchanges only. */
  restrictsTopics(identity: Identity, vhost: string, exchange: string): boolean;
  /**
   * Whether a user who may write to (publish) or read from (bind) a topic exchange may do so with that routing or binding
   * key. `clientId`: of an MQTT client, as it stands in a routing key; else null.
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
