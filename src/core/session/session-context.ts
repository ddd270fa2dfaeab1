// What all sessions of a broker share: the parts of the core that they act on.

import type { Logger } from '../logger.ts';
import type { Authenticator, Authorizer } from '../ports/authorization.ts';
import type { DefinitionStore } from '../ports/definitions.ts';
import type { Meters } from '../ports/meters.ts';
import type { QueueStore } from '../queue/queue-store.ts';
import type { Turn } from '../turn/turn.ts';
import type { VirtualHosts } from '../vhost/virtual-hosts.ts';

/** What sessions need; one object for the broker. */
export interface SessionContext {
  readonly hosts: VirtualHosts;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly store: QueueStore;
  readonly definitions: DefinitionStore;
  readonly turn: Turn;
  readonly meters: Meters;
  readonly log: Logger;
}
