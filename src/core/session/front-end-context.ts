// What every front-end is given: the one context from which a protocol's connections act on the broker. A front-end adds
// its own limits to it.

import type { Logger } from '../logger.ts';
import type { DefinitionStore } from '../ports/definitions.ts';
import type { Meters } from '../ports/meters.ts';
import type { RetainedStore } from '../ports/retained-store.ts';
import type { Turn } from '../turn/turn.ts';
import type { AccessControl } from './access-control.ts';
import type { ClientConnections } from './client-connection.ts';
import type { SystemSession } from './system-session.ts';

export interface FrontEndContext {
  readonly access: AccessControl;
  /** For what the broker does by itself. */
  readonly system: SystemSession;
  readonly turn: Turn;
  readonly connections: ClientConnections;
  readonly meters: Meters;
  readonly retained: RetainedStore;
  readonly log: Logger;
  /** Where what a front-end itself must not forget is kept: MQTT sessions and their packet ids. */
  readonly definitions: DefinitionStore;
  /** A connection that has not logged in by then is closed. Milliseconds. */
  readonly unauthenticatedMs: number;
  /** Largest body of a message, bytes. */
  readonly messageBytes: number;
  /** Deliveries without prefetch that may be out on one channel before delivery pauses. */
  readonly unackedPerChannel: number;
  /** Shown to clients. */
  readonly version: string;
}
