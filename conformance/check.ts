// A check: one rule of a protocol that a client can observe, and the exchange that shows whether a broker keeps it. A
// check knows only an address and a user. It registers everything that it creates with the context, which removes it at
// the end.

export const PROTOCOLS = ['amqp', 'mqtt', 'stomp'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** The level of a rule: as in the specification, or an extension that RabbitMQ documents or several brokers offer. */
export const LEVELS = ['MUST', 'SHOULD', 'extension'] as const;
export type Level = (typeof LEVELS)[number];

export interface Check {
  /** Unique and stable: `<protocol>.<subject>.<rule>`. */
  readonly id: string;
  readonly protocol: Protocol;
  readonly version: string;
  /** The section of the specification. */
  readonly section: string;
  readonly level: Level;
  /** What a correct broker does, as a sentence. */
  readonly title: string;
  /** Whether it belongs to the fast subset that runs against a peer each time. */
  readonly fast: boolean;
  /** The control of the broker that it needs; null for a black-box check that runs against any broker. */
  readonly needs: keyof Controls | null;
  /** Whether it uses WebSocket instead of TCP. */
  readonly webSocket?: boolean;
  /** Whether it uses TLS with a client certificate. */
  readonly tls?: boolean;
  /** Resolves if the broker keeps the rule; throws an error that describes what it did instead. */
  run(context: CheckContext): Promise<void>;
}

/** The address of a broker's listener for one protocol, and a user. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** The address for the protocol over WebSocket, if there is one. */
  readonly webSocket?: WebSocketAddress;
  /** The address for the protocol over TLS, if the broker accepts a certificate of ours. */
  readonly tls?: TlsAddress;
}

export interface TlsAddress {
  readonly host: string;
  readonly port: number;
  /** The authority of the broker's and the client's certificate, PEM. */
  readonly ca: Buffer;
  readonly client: {
    /** PEM, as is its key. It is valid for a server too, so that a proxy can use it in place of the broker. */
    readonly certificate: Buffer;
    readonly key: Buffer;
    /** The user that the certificate names. */
    readonly user: string;
  };
}

export interface WebSocketAddress {
  readonly host: string;
  readonly port: number;
  /** With its leading slash. */
  readonly path: string;
}

/** What a client cannot do over its protocol, but the runner can if it runs the broker itself. */
export interface Controls {
  /** Blocks the connected publishers as if memory were short, or unblocks them. */
  block?(blocked: boolean): Promise<void>;
  /** Stops the broker orderly and restarts it on the same ports and data. */
  restart?(): Promise<void>;
  /** Creates a virtual host that the endpoint's user may access. */
  createVirtualHost?(name: string): Promise<void>;
  /** Creates a user with configure, write and read patterns for `/`; null grants nothing. */
  createUser?(name: string, password: string, permissions: readonly [string, string, string] | null): Promise<void>;
}

/** Thrown by a check that does not apply, because the broker lacks an optional feature. */
export class Skip extends Error {}

export interface CheckContext {
  readonly endpoint: Endpoint;
  readonly controls: Controls;
  /** Aborted when the check's time limit is reached. */
  readonly signal: AbortSignal;
  /** A unique name. */
  name(): string;
  /** Registers a clean-up for the end of the check, whatever its result; the last one runs first. */
  after(cleanUp: () => void | Promise<void>): void;
  /** Adds a line of the exchange, printed on failure. */
  note(line: string): void;
}
