// Plain counters of what the broker did. The core and the store count, metrics read them when scraped.

import { type LimitHits, newLimitHits } from './limit-hits.ts';

/** Plain counters that metrics read when scraped. One object for the process; fields only grow. */
export interface Meters {
  published: number;
  publishedBytes: number;
  delivered: number;
  deliveredBytes: number;
  acknowledged: number;
  /** Rejected for good: they are dead letters, or dropped. */
  rejected: number;
  redelivered: number;
  unroutable: number;
  returned: number;
  /** Dropped on a direct path (QoS 0) because the receiver could not keep up. */
  droppedDirect: number;
  /** Messages that a full queue dropped or refused. */
  overflowed: number;
  /** Messages whose time in a queue was over. */
  expired: number;
  /** Messages that came back to their queue too often. */
  overDeliveryLimit: number;
  /** Of all these, those that a dead letter exchange got. */
  deadLetteredRejected: number;
  deadLetteredExpired: number;
  deadLetteredMaxlen: number;
  deadLetteredDeliveryLimit: number;
  /** Dead letters that reached no queue: no such exchange or binding, or they would go in circles. */
  deadLettersLost: number;
  /** Routing keys that make no legal topic, or messages too large for a receiver. */
  undeliverable: number;
  pagedOut: number;
  pagedIn: number;
  commits: number;
  committedEntries: number;
  publishersBlocked: number;
  /** Messages that were not retained because of a bound. */
  retainedRefused: number;
  /** Times that each named bound was reached at which something is dropped, refused or closed. */
  readonly limitHits: LimitHits;
}

export function newMeters(): Meters {
  return {
    published: 0,
    publishedBytes: 0,
    delivered: 0,
    deliveredBytes: 0,
    acknowledged: 0,
    rejected: 0,
    redelivered: 0,
    unroutable: 0,
    returned: 0,
    droppedDirect: 0,
    overflowed: 0,
    expired: 0,
    overDeliveryLimit: 0,
    deadLetteredRejected: 0,
    deadLetteredExpired: 0,
    deadLetteredMaxlen: 0,
    deadLetteredDeliveryLimit: 0,
    deadLettersLost: 0,
    undeliverable: 0,
    pagedOut: 0,
    pagedIn: 0,
    commits: 0,
    committedEntries: 0,
    publishersBlocked: 0,
    retainedRefused: 0,
    limitHits: newLimitHits(),
  };
}
