// What a check is: one rule of a protocol that a client can observe, and the conversation that shows whether a broker
// keeps it. A check knows an address and a user, nothing of the broker behind it; what it opens or makes there it leaves
// with the context, which takes it away at the end.

export const PROTOCOLS = ['amqp', 'mqtt', 'stomp'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** How much a rule binds: as the specification says it, or beyond it, as RabbitMQ documents or several brokers offer it. */
export const LEVELS = ['MUST', 'SHOULD', 'extension'] as const;
export type Level = (typeof LEVELS)[number];

export interface Check {
  /** Unique and stable: `<protocol>.<subject>.<rule>`. */
  readonly id: string;
  readonly protocol: Protocol;
  readonly version: string;
  /** Where the rule stands. */
  readonly section: string;
  readonly level: Level;
  /** What a broker does that keeps the rule, as a sentence. */
  readonly title: string;
  /** Belongs to the subset that is fast enough to run against a peer each time. */
  readonly fast: boolean;
  /** What it asks of whoever runs the broker; a check without is black-box and runs anywhere. */
  readonly needs: keyof Controls | null;
  /** Speaks over a WebSocket instead of TCP. */
  readonly webSocket?: boolean;
  /** Speaks over TLS, with a client's certificate. */
  readonly tls?: boolean;
  /** Resolves where the broker keeps the rule; throws what it did instead. */
  run(context: CheckContext): Promise<void>;
}

/** Where a broker listens for one protocol, and who may come in. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** Where the protocol is spoken over WebSocket, if anywhere. */
  readonly webSocket?: WebSocketAddress;
  /** Where it is spoken over TLS, if anywhere that takes a certificate of ours. */
  readonly tls?: TlsAddress;
}

export interface TlsAddress {
  readonly host: string;
  readonly port: number;
  /** Who has signed the broker's certificate and the client's, PEM. */
  readonly ca: Buffer;
  readonly client: {
    /** PEM, as its key. It is good for a server as well, so that a proxy may stand for the broker with it. */
    readonly certificate: Buffer;
    readonly key: Buffer;
    /** Whom the certificate names. */
    readonly user: string;
  };
}

export interface WebSocketAddress {
  readonly host: string;
  readonly port: number;
  /** With its leading slash. */
  readonly path: string;
}

/** What no client can do over its protocol, and the runner can where it has the broker at hand. */
export interface Controls {
  /** Holds the publishers that are connected as if memory were short, or lets them go on. */
  block?(blocked: boolean): Promise<void>;
  /** Stops the broker in an orderly way and starts it again on the same ports, with what it has on disk. */
  restart?(): Promise<void>;
  /** A virtual host that the endpoint's user may enter. */
  createVirtualHost?(name: string): Promise<void>;
  /** A user with patterns of what it may configure, write and read in `/`; none at all where they are null. */
  createUser?(name: string, password: string, permissions: readonly [string, string, string] | null): Promise<void>;
}

/** Thrown by a check that the broker gives nothing to see: it does not have what is optional. */
export class Skip extends Error {}

export interface CheckContext {
  readonly endpoint: Endpoint;
  readonly controls: Controls;
  /** Aborted when the check's time is up. */
  readonly signal: AbortSignal;
  /** A name that nobody else has. */
  name(): string;
  /** To be done when the check has ended, however it ended; the last one first. */
  after(cleanUp: () => void | Promise<void>): void;
  /** Lines that explain a failure: what was said. */
  note(line: string): void;
}
