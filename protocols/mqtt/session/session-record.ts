// What is on disk of a persistent session beside its queue, its bindings and its packet ids: a definition of kind
// `session`, named by virtual host and client id.

import type { DefinitionValue } from '../../../src/core/ports/definitions.ts';
import { type StoredWill, type Will, willFromJson, willToJson } from '../packet/will-record.ts';
import type { SharedSubscription } from './shared-subscription.ts';

export interface SessionRecord {
  /** Seconds that it outlives its connection; NEVER_ENDS. */
  readonly expirySeconds: number;
  /** When it ends, milliseconds since the epoch; null: a client is connected, or it never ends. */
  readonly endsAt: number | null;
  /** As whom its client logged in last: its will is published in that name. */
  readonly user: string;
  readonly shares: readonly SharedSubscription[];
  /** The will of the client that is (or was) connected, and when it is due; null: when the client goes. */
  readonly will: Will | null;
  readonly willAt: number | null;
}

export function recordToJson(record: SessionRecord): DefinitionValue {
  return { ...record, will: record.will === null ? null : willToJson(record.will) };
}

export function recordFromJson(value: DefinitionValue): SessionRecord {
  return {
    expirySeconds: value.expirySeconds as number,
    endsAt: value.endsAt as number | null,
    user: value.user as string,
    shares: value.shares as readonly SharedSubscription[],
    will: value.will === null ? null : willFromJson(value.will as StoredWill),
    willAt: value.willAt as number | null,
  };
}
