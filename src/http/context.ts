// What the broker gives to the HTTP API: the core's registries to read, and the authentication that all clients use.

import type { Logger } from '../core/logger.ts';
import type { Identity, LoginOrigin } from '../core/ports/authorization.ts';
import type { BrokerIdentity } from '../core/ports/broker-identity.ts';
import type { Meters } from '../core/ports/meters.ts';
import type { ClientConnections } from '../core/session/client-connection.ts';
import type { VirtualHosts } from '../core/vhost/virtual-hosts.ts';
import type { Origins } from '../net/websocket-handshake.ts';

/** One open port of the broker. */
export interface ListenerInfo {
  /** `amqp`, `mqtts`, `http`, … */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

export interface HttpLimits {
  /** Items of one page; longer lists must be requested in pages. */
  readonly pageSizeMax: number;
  /** Connections to both ports at a time. */
  readonly connections: number;
}

export interface HttpRules {
  /** Names by which the broker may be called, beside those that are known (known-hosts.ts); `*`: all. */
  readonly hosts: readonly string[];
  /** Origins of pages that may send requests: `ws.origins`. */
  readonly origins: Origins;
}

export interface HttpContext {
  readonly version: string;
  readonly identity: BrokerIdentity;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly hosts: VirtualHosts;
  readonly connections: ClientConnections;
  readonly meters: Meters;
  readonly log: Logger;
  readonly limits: HttpLimits;
  readonly rules: HttpRules;
  /** Whether `/metrics` requires a login. */
  readonly metricsAuthenticated: boolean;
  /** The user with this name and password, without checking a virtual host. */
  identify(user: string, password: string, origin: LoginOrigin): Promise<Identity | { readonly refused: string }>;
  /** Whether the user has access to the virtual host. */
  mayEnter(user: string, vhost: string): boolean;
  /** Whether clients are served: false while the broker starts or stops. */
  ready(): boolean;
  listeners(): readonly ListenerInfo[];
  /** The metrics in Prometheus' text format. */
  scrape(): Promise<{ readonly contentType: string; readonly body: string }>;
}
