// What the HTTP API is given by the broker. It reads the core's registries and acts on nothing yet; whoever asks is
// identified as any other client is.

import type { Logger } from '../core/logger.ts';
import type { Identity } from '../core/ports/authorization.ts';
import type { Meters } from '../core/ports/meters.ts';
import type { ClientConnections } from '../core/session/client-connection.ts';
import type { VirtualHosts } from '../core/vhost/virtual-hosts.ts';

/** One open port of the broker. */
export interface ListenerInfo {
  /** `amqp`, `mqtts`, `http`, … */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

export interface HttpLimits {
  /** Items of one page of a list; longer lists must be asked for in pages. */
  readonly pageSizeMax: number;
}

export interface HttpContext {
  readonly version: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly hosts: VirtualHosts;
  readonly connections: ClientConnections;
  readonly meters: Meters;
  readonly log: Logger;
  readonly limits: HttpLimits;
  /** Whether `/metrics` asks who wants to know. */
  readonly metricsAuthenticated: boolean;
  /** Who has this name and password, without regard to a virtual host. */
  identify(user: string, password: string, loopback: boolean): Promise<Identity | { readonly refused: string }>;
  /** Whether the user has access to the virtual host. */
  mayEnter(user: string, vhost: string): boolean;
  /** Whether clients are served: not yet or no longer while starting and stopping. */
  ready(): boolean;
  listeners(): readonly ListenerInfo[];
  /** The metrics in Prometheus' text format. */
  scrape(): Promise<{ readonly contentType: string; readonly body: string }>;
}
