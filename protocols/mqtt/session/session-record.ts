// The record of a persistent session in the store, beside its queue, bindings and packet ids: a definition of kind
// `session`, named by virtual host and client id. Written by session.ts, read by sessions.ts.

import type { DefinitionValue } from '../../../src/core/ports/definitions.ts';
import { type StoredWill, type Will, willFromJson, willToJson } from '../packet/will-record.ts';
import type { SharedSubscription } from './shared-subscription.ts';

export interface SessionRecord {
  /** Seconds that the session outlives its connection, or NEVER_ENDS. */
  readonly expirySeconds: number;
  /** When the session expires, milliseconds since the epoch; null: its client is connected, or it never expires. */
  readonly endsAt: number | null;
  /** The user of the last connection: the will is published in its name. */
  readonly user: string;
  readonly shares: readonly SharedSubscription[];
  /** The will of the last connection; null: none, or published. */
  readonly will: Will | null;
  /** When the will is due, milliseconds since the epoch; null: not before the connection closes. */
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
