// What the broker gives to every front-end. A front-end extends it with its own limits and caches (`AmqpContext`, …).

import type { Logger } from '../logger.ts';
import type { BrokerIdentity } from '../ports/broker-identity.ts';
import type { DefinitionStore } from '../ports/definitions.ts';
import type { Meters } from '../ports/meters.ts';
import type { RetainedStore } from '../ports/retained-store.ts';
import type { Turn } from '../turn/turn.ts';
import type { AccessControl } from './access-control.ts';
import type { ClientConnections } from './client-connection.ts';
import type { MemoryLedger } from './memory-ledger.ts';
import type { SystemSession } from './system-session.ts';

export interface FrontEndContext {
  readonly access: AccessControl;
  /** For what the broker does by itself. */
  readonly system: SystemSession;
  readonly turn: Turn;
  readonly connections: ClientConnections;
  /** Counts what connections hold. */
  readonly memory: MemoryLedger;
  readonly meters: Meters;
  readonly retained: RetainedStore;
  readonly log: Logger;
  /** Stores what a front-end itself must keep: MQTT sessions. */
  readonly definitions: DefinitionStore;
  /** A connection that has not logged in by then is closed. Milliseconds. */
  readonly unauthenticatedMs: number;
  /** Largest body of a message, bytes. */
  readonly messageBytes: number;
  /** Outstanding deliveries of a channel without prefetch at which delivery pauses. */
  readonly unackedPerChannel: number;
  /** The broker's own version. */
  readonly version: string;
  readonly identity: BrokerIdentity;
}
